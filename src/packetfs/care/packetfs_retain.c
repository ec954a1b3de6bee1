#include "care/packetfs_retain.h"

#include <stdlib.h>

#include "store/packetfs_volume.h"

#define RETAIN_NS_PER_S    1000000000u
#define RETAIN_S_PER_HOUR  3600u
#define RETAIN_HOURS_A_DAY 24u
/* The Gregorian calendar repeats after 400 years. */
#define RETAIN_ERA_DAYS  146097u
#define RETAIN_ERA_YEARS 400u

/* Year (since 0) and month (0 to 11) of a day since 1970. Years begin with March while counting, so that the leap day is a year's last. */
static void civil_of(uint64_t day, uint64_t *year, uint64_t *month)
{
    uint64_t since = day + 719468; /* since 1 March of year 0 */
    uint64_t era = since / RETAIN_ERA_DAYS;
    uint64_t in_era = since % RETAIN_ERA_DAYS;
    uint64_t year_in_era = (in_era - in_era / 1460 + in_era / 36524 -
                            in_era / (RETAIN_ERA_DAYS - 1)) /
                           365;
    uint64_t in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    uint64_t from_march = (5 * in_year + 2) /
                          153; /* 153 days: any five months from March or August on */

    *month = (from_march + 2) % 12;
    *year = era * RETAIN_ERA_YEARS + year_in_era + (*month < 2 ? 1 : 0);
}

void packetfs_calendar_of(uint64_t time_ns, struct packetfs_calendar *out)
{
    uint64_t month;

    out->hour = time_ns / RETAIN_NS_PER_S / RETAIN_S_PER_HOUR;
    out->day = out->hour / RETAIN_HOURS_A_DAY;
    out->week = (out->day + 3) / 7; /* 1 January 1970 was a Thursday */
    civil_of(out->day, &out->year, &month);
    out->month = out->year * 12 + month;
}

/* --- the plan --- */

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Labels apart, the newest first. */
static int by_time(const void *a, const void *b)
{
    const struct packetfs_snapshot *x = *(const struct packetfs_snapshot *const *)a;
    const struct packetfs_snapshot *y = *(const struct packetfs_snapshot *const *)b;
    int order = strcmp(x->label, y->label);

    if (order == 0)
        order = compare_u64(y->time_ns, x->time_ns);
    return order != 0 ? order : compare_u64(y->sequence, x->sequence);
}

static int by_sequence(const void *a, const void *b)
{
    const struct packetfs_snapshot *x = *(const struct packetfs_snapshot *const *)a;
    const struct packetfs_snapshot *y = *(const struct packetfs_snapshot *const *)b;
    int order = strcmp(x->label, y->label);

    if (order == 0)
        order = compare_u64(y->sequence, x->sequence);
    return order != 0 ? order : compare_u64(y->time_ns, x->time_ns);
}

struct retain_rule {
    unsigned left;
    uint64_t taken; /* the hour, day, … that the last one kept stood for */
    bool begun;
};
#define RETAIN_RULES 5

static void rules_begin(const struct packetfs_retention *retention,
                        struct retain_rule rules[RETAIN_RULES])
{
    const unsigned counts[RETAIN_RULES] = {retention->hourly, retention->daily, retention->weekly,
                                           retention->monthly, retention->yearly};

    for (size_t i = 0; i < RETAIN_RULES; i++)
        rules[i] = (struct retain_rule){.left = counts[i]};
}

/* Snapshots come from the newest on: the first one of an hour, a day, … is its newest. */
static bool rules_keep(struct retain_rule rules[RETAIN_RULES], uint64_t time_ns)
{
    struct packetfs_calendar at;
    bool keep = false;

    packetfs_calendar_of(time_ns, &at);
    const uint64_t stands_for[RETAIN_RULES] = {at.hour, at.day, at.week, at.month, at.year};
    for (size_t i = 0; i < RETAIN_RULES; i++) {
        struct retain_rule *rule = &rules[i];
        if (rule->left == 0 || (rule->begun && rule->taken == stands_for[i]))
            continue;
        rule->left--;
        rule->begun = true;
        rule->taken = stands_for[i];
        keep = true;
    }
    return keep;
}

static bool same_label(const struct packetfs_snapshot *const *order, size_t i)
{
    return i > 0 && strcmp(order[i - 1]->label, order[i]->label) == 0;
}

int packetfs_retain_plan(const struct packetfs_snapshot *snapshots, size_t count,
                         const struct packetfs_retention *retention, bool *keep,
                         struct hm_error *error)
{
    struct retain_rule rules[RETAIN_RULES];
    unsigned last = 0;

    if (retention->last == 0 && retention->hourly == 0 && retention->daily == 0 &&
        retention->weekly == 0 && retention->monthly == 0 && retention->yearly == 0)
        return hm_fail(error, HM_EINVAL,
                       "nothing says what to keep; say how many last, hourly, daily, weekly, "
                       "monthly or yearly snapshots");
    if (count == 0)
        return 0;
    HM_AUTOFREE const struct packetfs_snapshot **order = hm_malloc(
        count * sizeof(const struct packetfs_snapshot *));
    if (order == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu snapshots", count);
    for (size_t i = 0; i < count; i++) {
        order[i] = &snapshots[i];
        keep[i] = retention->label != NULL && strcmp(retention->label, snapshots[i].label) != 0;
    }
    qsort(order, count, sizeof(*order), by_sequence);
    for (size_t i = 0; i < count; i++) {
        last = same_label(order, i) ? last : retention->last;
        if (last > 0) {
            keep[order[i] - snapshots] = true;
            last--;
        }
    }
    qsort(order, count, sizeof(*order), by_time);
    for (size_t i = 0; i < count; i++) {
        if (!same_label(order, i))
            rules_begin(retention, rules);
        if (rules_keep(rules, order[i]->time_ns))
            keep[order[i] - snapshots] = true;
    }
    return 0;
}

/* --- the deed --- */

int packetfs_retain(struct packetfs_volume *volume, const struct packetfs_retention *retention,
                    void (*show)(void *ctx, const struct packetfs_snapshot *snapshot, bool kept),
                    void *ctx, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    HM_AUTOFREE struct packetfs_snapshot *snapshots = NULL;
    HM_AUTOFREE bool *keep = NULL;
    size_t count = 0;
    int rc = packetfs_snapshot_list(volume->store, &snapshots, &count, own);

    if (rc != 0)
        return rc;
    keep = hm_calloc(count > 0 ? count : 1, sizeof(*keep));
    if (keep == NULL)
        return hm_fail(own, HM_ENOMEM, "no memory for %zu snapshots", count);
    rc = packetfs_retain_plan(snapshots, count, retention, keep, own);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (retention->label != NULL && strcmp(retention->label, snapshots[i].label) != 0)
            continue;
        if (!keep[i] && !retention->dry_run)
            rc = packetfs_snapshot_remove(volume->store, snapshots[i].id, own);
        if (rc == HM_ENOTFOUND) /* somebody else removed it meanwhile */
            rc = 0;
        if (rc == 0 && show != NULL)
            show(ctx, &snapshots[i], keep[i]);
    }
    return rc;
}
