/* Spans as OTLP's JSON (opentelemetry-proto 1.x: ids in hexadecimal, 64-bit numbers as text). */
#include <stdio.h>

#include "json.h"
#include "trace.h"

static void put_attribute(struct json_out *json, const char *name, const char *text,
                          const int64_t *number)
{
    char digits[24];

    json_out_open(json, '{');
    json_out_put_text(json, "key", name);
    json_out_key(json, "value");
    json_out_open(json, '{');
    if (number) {
        snprintf(digits, sizeof(digits), "%lld", (long long)*number);
        json_out_put_text(json, "intValue", digits);
    } else {
        json_out_put_text(json, "stringValue", text);
    }
    json_out_close(json, '}');
    json_out_close(json, '}');
}

static void put_time(struct json_out *json, const char *name, uint64_t ns)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)ns);
    json_out_put_text(json, name, digits);
}

static void put_span(struct json_out *json, const struct trace_span *span)
{
    static const uint8_t none[TRACE_SPAN_ID_BYTES];
    uint64_t start = span->wall_ms * 1000000;

    json_out_open(json, '{');
    json_out_put_hex(json, "traceId", hm_slice_of(span->trace_id, TRACE_ID_BYTES));
    json_out_put_hex(json, "spanId", hm_slice_of(span->id, TRACE_SPAN_ID_BYTES));
    if (memcmp(span->parent, none, sizeof(none)) != 0)
        json_out_put_hex(json, "parentSpanId", hm_slice_of(span->parent, TRACE_SPAN_ID_BYTES));
    json_out_put_text(json, "name", span->name);
    json_out_put_u64(json, "kind", span->kind);
    put_time(json, "startTimeUnixNano", start);
    put_time(json, "endTimeUnixNano", start + (span->end_ns - span->start_ns));
    json_out_key(json, "attributes");
    json_out_open(json, '[');
    for (size_t i = 0; i < span->fact_count; i++)
        put_attribute(json, span->facts[i].name, span->facts[i].text,
                      span->facts[i].is_number ? &span->facts[i].number : NULL);
    json_out_close(json, ']');
    json_out_key(json, "status");
    json_out_open(json, '{');
    if (span->failed)
        json_out_put_u64(json, "code", 2); /* STATUS_CODE_ERROR */
    json_out_close(json, '}');
    json_out_close(json, '}');
}

int trace_otlp(const struct trace_options *options, const struct trace_span *spans, size_t count,
               struct hm_buf *out)
{
    struct json_out json = {.out = out};

    json_out_open(&json, '{');
    json_out_key(&json, "resourceSpans");
    json_out_open(&json, '[');
    json_out_open(&json, '{');
    json_out_key(&json, "resource");
    json_out_open(&json, '{');
    json_out_key(&json, "attributes");
    json_out_open(&json, '[');
    put_attribute(&json, "service.name", options->service, NULL);
    put_attribute(&json, "service.version", HM_VERSION, NULL);
    if (options->instance && options->instance[0])
        put_attribute(&json, "service.instance.id", options->instance, NULL);
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    json_out_key(&json, "scopeSpans");
    json_out_open(&json, '[');
    json_out_open(&json, '{');
    json_out_key(&json, "scope");
    json_out_open(&json, '{');
    json_out_put_text(&json, "name", "hypermesh");
    json_out_close(&json, '}');
    json_out_key(&json, "spans");
    json_out_open(&json, '[');
    for (size_t i = 0; i < count; i++)
        put_span(&json, &spans[i]);
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    return json.error;
}
