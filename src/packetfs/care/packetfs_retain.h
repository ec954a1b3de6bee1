/* Which snapshots to keep: the rules alone, over a list. Pure. */
#ifndef HM_PACKETFS_RETAIN_H
#define HM_PACKETFS_RETAIN_H

#include "base.h"
#include "packetfs.h"

/* Hours, days, weeks (from Monday on), months and years since 1970, in UTC and the Gregorian calendar. */
struct packetfs_calendar {
    uint64_t hour, day, week, month, year;
};
void packetfs_calendar_of(uint64_t time_ns, struct packetfs_calendar *out);

/* keep[i] for snapshots[i], in any order. Each label by itself. `last` counts by sequence, so that a clock that was set back
 * does not make the newest snapshot look old; the others go by time, and by sequence where that is equal. Snapshots of labels that are not asked for
 * are kept. HM_EINVAL: no rule; HM_ENOMEM. */
int packetfs_retain_plan(const struct packetfs_snapshot *snapshots, size_t count,
                         const struct packetfs_retention *retention, bool *keep,
                         struct hm_error *error);

#endif
