/* Figures as people read them. All return text of the arena, or static text; NULL only when memory is out,
 * which fails the table they are put into. */
#ifndef HM_NEXUS_SHOW_H
#define HM_NEXUS_SHOW_H

#include <jansson.h>

#include "base.h"

const char *nexus_show_size(uint64_t bytes, struct hm_arena *arena); /* "64.0 MiB" */
const char *nexus_show_time(uint64_t wall_ms,
                            struct hm_arena *arena); /* "2026-01-02 03:04:05"; "-" for 0 */
const char *nexus_show_span_ms(uint64_t ms,
                               struct hm_arena *arena); /* "850 ms", "1.2 s", "3m20s" */
const char *nexus_show_span_ns(uint64_t ns, struct hm_arena *arena); /* "41.3 µs", then as above */
const char *nexus_show_share(uint64_t share_ppm, struct hm_arena *arena); /* "12.5 %" */
/* The same for a limit, where 0 means that there is none: "any". */
const char *nexus_show_share_limit(uint64_t share_ppm, struct hm_arena *arena);
/* Capacity in the unit of its kind: "2 cores", "16.0 GiB", "1 device", "64 slots", "10 Gbit/s". */
const char *nexus_show_capacity(const char *kind, uint64_t capacity, struct hm_arena *arena);
/* The beginning of an id or digest, enough to tell things apart and to name them by: "asset1q2w3e4r5". */
const char *nexus_show_short(const char *id, struct hm_arena *arena);
#define NEXUS_SHORT_CHARS 10 /* of an id, behind its prefix ("asset1"); of a digest */
/* "1.5 HYPER"; "-" for an empty amount. */
const char *nexus_show_hyper(const char *amount, struct hm_arena *arena);

#endif
