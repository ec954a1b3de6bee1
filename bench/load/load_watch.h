/* Watch fan-out: many connections hold a watch on one prefix, one client puts keys under it.
 *
 * First rounds of one put each: when its answer came, when the first, the median and the last watcher had the event.
 * Then puts one after the other by several clients, until all watchers have all events: events a second. */
#ifndef LOAD_WATCH_H
#define LOAD_WATCH_H

#include "load_run.h"

/* Beside the plan, whose method, path and body are the put's. */
struct load_watch_plan {
    const struct load_plan *put;
    size_t watchers;
    struct load_text path;
    struct load_text body;
    size_t rounds;
};

struct load_watch_result {
    struct load_hist put, first, median, last; /* of the rounds */
    uint64_t puts; /* of the flood */
    uint64_t events; /* that arrived, over all watchers */
    uint64_t missing; /* that did not, within the time to wait for them */
    double seconds; /* from the flood's first put to its last event */
    double open_seconds; /* until all watches stood */
};

int load_watch(const struct load_watch_plan *plan, struct load_watch_result *result,
               struct hm_error *error);

#endif
