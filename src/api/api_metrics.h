/* Counts of what was asked, per route, and how long answers took. Prometheus text format 0.0.4. */
#ifndef HM_API_METRICS_H
#define HM_API_METRICS_H

#include <stdatomic.h>

#include "base.h"

#define API_METRIC_ROUTES_MAX 160
#define API_METRIC_BUCKETS    12
#define API_METRIC_STATUSES   32

struct api_route_metrics {
    atomic_ullong statuses[API_METRIC_STATUSES];
    atomic_ullong
        buckets[API_METRIC_BUCKETS]; /* not cumulative; slower ones are only in the count */
    atomic_ullong count;
    atomic_ullong nanoseconds;
};

struct api_metrics {
    struct api_route_metrics routes[API_METRIC_ROUTES_MAX]; /* the last one: no route */
    atomic_ullong received_bytes; /* bodies */
    atomic_uint connections; /* open now */
    atomic_uint waits; /* requests that wait for a job or replay the chain, now */
    atomic_uint streams; /* open now */
    atomic_ullong refused_connections; /* closed at once: there were too many */
    atomic_ullong cut_connections; /* too slow with their headers or body */
};

#define API_METRIC_NO_ROUTE (API_METRIC_ROUTES_MAX - 1)

/* Thread-safe. duration: until the answer or its stream was ready. */
void api_metrics_count(struct api_metrics *metrics, size_t route, unsigned status,
                       uint64_t duration_ns);

struct api_metric_route {
    const char *method;
    const char *pattern;
};
/* Appends the text; names says what each route is called. */
int api_metrics_write(const struct api_metrics *metrics, const struct api_metric_route *names,
                      size_t count, struct hm_buf *out);

#endif
