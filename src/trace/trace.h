/* trace: where the time of a request went, as spans sent to an OpenTelemetry collector (OTLP over HTTP, JSON).
 *
 * Off unless a collector is configured; then a span costs one atomic load. Process-wide, as the log is.
 * Never: holds up what it measures (what the collector does not take in time is dropped and counted), puts a
 * secret or a request's content into a span. Start reading with trace_begin. */
#ifndef HM_TRACE_H
#define HM_TRACE_H

#include "base.h"

#define TRACE_ID_BYTES       16
#define TRACE_SPAN_ID_BYTES  8
#define TRACE_FACTS_MAX      8
#define TRACE_TEXT_MAX_BYTES 96 /* of a fact, cut past it */
#define TRACE_QUEUE_MAX      8192 /* spans that wait for the collector; more are dropped */
#define TRACE_BATCH_MAX      512 /* in one request */
#define TRACE_EVERY_MS       1000
#define TRACE_TIMEOUT_MS     5000

struct trace_options {
    const char *url; /* "http://127.0.0.1:4318/v1/traces" */
    const char *service; /* service.name: "hypermeshd" */
    const char *instance; /* service.instance.id, or "" */
    uint32_t
        sample_ppm; /* of the traces that begin here; those of callers follow the caller's flag */
    const struct hm_clock *clock; /* borrowed */
    const struct hm_random *random; /* borrowed */
};

/* Starts the thread that sends. HM_EINVAL: no http:// or https:// URL; HM_EEXIST: open already. */
int trace_open(const struct trace_options *options, struct hm_error *error);
/* Sends what waits (TRACE_TIMEOUT_MS at most) and stops. No span may be open on another thread. */
void trace_close(void);
bool trace_on(void);

/* OTLP's SpanKind. */
enum trace_kind { TRACE_INTERNAL = 1, TRACE_SERVER = 2 };

struct trace_fact {
    const char *name; /* static text */
    bool is_number;
    int64_t number;
    char text[TRACE_TEXT_MAX_BYTES];
};

/* One span, in its owner's frame from begin to end. */
struct trace_span {
    bool recording; /* the functions below do nothing otherwise */
    bool failed;
    enum trace_kind kind;
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t id[TRACE_SPAN_ID_BYTES];
    uint8_t parent[TRACE_SPAN_ID_BYTES]; /* all zero: none */
    const char *name; /* static text */
    uint64_t wall_ms, start_ns, end_ns; /* wall clock at the beginning; monotonic */
    struct trace_span *outer; /* of this thread */
    size_t fact_count;
    struct trace_fact facts[TRACE_FACTS_MAX];
};

/* A child of the thread's open span, or a new trace (sampled). Open until end; ends in reverse order on the same
 * thread. */
void trace_begin(struct trace_span *span, const char *name);
/* What a request begins with: goes on with the caller's trace when it sent a `traceparent` header (W3C Trace
 * Context, version 00); NULL or malformed: a new trace. */
void trace_begin_request(struct trace_span *span, const char *name, const char *traceparent);
void trace_text(struct trace_span *span, const char *name, const char *text);
void trace_number(struct trace_span *span, const char *name, int64_t number);
void trace_fail(struct trace_span *span);
void trace_end(struct trace_span *span);

struct trace_stats {
    uint64_t sent, dropped,
        failures; /* spans taken, spans lost, requests refused or not answered */
};
void trace_get_stats(struct trace_stats *out);

/* --- pure parts, for tests and the fuzzer -------------------------------------------------------- */
/* False: not a valid header. */
bool trace_parent_parse(const char *header, uint8_t trace_id[TRACE_ID_BYTES],
                        uint8_t parent[TRACE_SPAN_ID_BYTES], bool *sampled);
/* An ExportTraceServiceRequest in OTLP's JSON mapping, appended. HM_ENOMEM. */
int trace_otlp(const struct trace_options *options, const struct trace_span *spans, size_t count,
               struct hm_buf *out);

#endif
