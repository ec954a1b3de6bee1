#include "api_metrics.h"

/* What this server answers with; others count as "other". */
static const unsigned statuses[] = {200, 201, 202, 304, 400, 401, 402, 403, 404, 405, 409, 411,
                                    412, 413, 414, 415, 421, 422, 429, 431, 500, 501, 503, 504};
_Static_assert(HM_COUNT_OF(statuses) < API_METRIC_STATUSES, "the last place is for other statuses");

/* Upper bounds in microseconds; text as Prometheus wants it, in seconds. */
static const struct {
    uint64_t us;
    const char *seconds;
} buckets[API_METRIC_BUCKETS] = {
    {100, "0.0001"},  {500, "0.0005"},  {1000, "0.001"}, {5000, "0.005"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},
    {250000, "0.25"}, {1000000, "1"},   {5000000, "5"},  {30000000, "30"},
};

static size_t status_place(unsigned status)
{
    for (size_t i = 0; i < HM_COUNT_OF(statuses); i++) {
        if (statuses[i] == status)
            return i;
    }
    return API_METRIC_STATUSES - 1;
}

void api_metrics_count(struct api_metrics *metrics, size_t route, unsigned status,
                       uint64_t duration_ns)
{
    struct api_route_metrics *row =
        &metrics->routes[route < API_METRIC_ROUTES_MAX ? route : API_METRIC_NO_ROUTE];

    atomic_fetch_add_explicit(&row->statuses[status_place(status)], 1, memory_order_relaxed);
    for (size_t i = 0; i < API_METRIC_BUCKETS; i++) {
        if (duration_ns <= buckets[i].us * 1000) {
            atomic_fetch_add_explicit(&row->buckets[i], 1, memory_order_relaxed);
            break;
        }
    }
    atomic_fetch_add_explicit(&row->nanoseconds, duration_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->count, 1, memory_order_relaxed);
}

static unsigned long long load(const atomic_ullong *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static int write_statuses(const struct api_route_metrics *row, const struct api_metric_route *name,
                          struct hm_buf *out)
{
    int rc = 0;

    for (size_t i = 0; i < API_METRIC_STATUSES && rc == 0; i++) {
        unsigned long long count = load(&row->statuses[i]);
        char status[8] = "other";

        if (count == 0)
            continue;
        if (i < HM_COUNT_OF(statuses))
            (void)snprintf(status, sizeof(status), "%u", statuses[i] % 1000);
        rc = hm_buf_printf(
            out, "hypermesh_http_requests_total{method=\"%s\",route=\"%s\",status=\"%s\"} %llu\n",
            name->method, name->pattern, status, count);
    }
    return rc;
}

static int write_histogram(const struct api_route_metrics *row, const struct api_metric_route *name,
                           struct hm_buf *out)
{
    static const char series[] = "hypermesh_http_request_duration_seconds";
    unsigned long long count = load(&row->count);
    unsigned long long sum_ns = load(&row->nanoseconds);
    unsigned long long below = 0;
    int rc = 0;

    if (count == 0)
        return 0;
    for (size_t i = 0; i < API_METRIC_BUCKETS && rc == 0; i++) {
        below += load(&row->buckets[i]);
        rc = hm_buf_printf(out, "%s_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %llu\n", series,
                           name->method, name->pattern, buckets[i].seconds, below);
    }
    /* Counted while this was written: never less than what the buckets say. */
    count = count < below ? below : count;
    if (rc == 0)
        rc = hm_buf_printf(out, "%s_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %llu\n", series,
                           name->method, name->pattern, count);
    if (rc == 0)
        rc = hm_buf_printf(out, "%s_sum{method=\"%s\",route=\"%s\"} %llu.%09llu\n", series,
                           name->method, name->pattern, sum_ns / 1000000000u, sum_ns % 1000000000u);
    if (rc == 0)
        rc = hm_buf_printf(out, "%s_count{method=\"%s\",route=\"%s\"} %llu\n", series, name->method,
                           name->pattern, count);
    return rc;
}

static const struct api_metric_route *route_name(const struct api_metric_route *names, size_t count,
                                                 size_t at)
{
    static const struct api_metric_route none = {"any", "none"};

    if (at < count)
        return &names[at];
    return at == API_METRIC_NO_ROUTE ? &none : NULL;
}

typedef int (*row_writer)(const struct api_route_metrics *row, const struct api_metric_route *name,
                          struct hm_buf *out);

static int write_rows(const struct api_metrics *metrics, const struct api_metric_route *names,
                      size_t count, row_writer writer, struct hm_buf *out)
{
    int rc = 0;

    for (size_t i = 0; i < API_METRIC_ROUTES_MAX && rc == 0; i++) {
        const struct api_metric_route *name = route_name(names, count, i);

        if (name)
            rc = writer(&metrics->routes[i], name, out);
    }
    return rc;
}

int api_metrics_write(const struct api_metrics *metrics, const struct api_metric_route *names,
                      size_t count, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "# HELP hypermesh_http_requests_total Requests answered.\n"
                                    "# TYPE hypermesh_http_requests_total counter\n");

    if (rc == 0)
        rc = write_rows(metrics, names, count, write_statuses, out);
    if (rc == 0)
        rc = hm_buf_append_str(
            out, "# HELP hypermesh_http_request_duration_seconds Time until the answer was "
                 "ready (a stream: until it began).\n"
                 "# TYPE hypermesh_http_request_duration_seconds histogram\n");
    if (rc == 0)
        rc = write_rows(metrics, names, count, write_histogram, out);
    if (rc == 0)
        rc = hm_buf_printf(out,
                           "# HELP hypermesh_http_received_bytes_total Bytes of request bodies.\n"
                           "# TYPE hypermesh_http_received_bytes_total counter\n"
                           "hypermesh_http_received_bytes_total %llu\n"
                           "# HELP hypermesh_http_connections Connections open now.\n"
                           "# TYPE hypermesh_http_connections gauge\n"
                           "hypermesh_http_connections %u\n"
                           "# HELP hypermesh_http_connections_refused_total Connections closed "
                           "at once, because there were too many.\n"
                           "# TYPE hypermesh_http_connections_refused_total counter\n"
                           "hypermesh_http_connections_refused_total %llu\n"
                           "# HELP hypermesh_http_connections_cut_total Connections closed "
                           "because a request came too slowly.\n"
                           "# TYPE hypermesh_http_connections_cut_total counter\n"
                           "hypermesh_http_connections_cut_total %llu\n"
                           "# HELP hypermesh_http_streams Streams open now.\n"
                           "# TYPE hypermesh_http_streams gauge\n"
                           "hypermesh_http_streams %u\n"
                           "# HELP hypermesh_http_waits Requests that wait for a job or replay "
                           "the chain now.\n"
                           "# TYPE hypermesh_http_waits gauge\n"
                           "hypermesh_http_waits %u\n",
                           load(&metrics->received_bytes),
                           atomic_load_explicit(&metrics->connections, memory_order_relaxed),
                           load(&metrics->refused_connections), load(&metrics->cut_connections),
                           atomic_load_explicit(&metrics->streams, memory_order_relaxed),
                           atomic_load_explicit(&metrics->waits, memory_order_relaxed));
    return rc;
}
