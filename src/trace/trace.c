#include "trace_queue.h"

/* Of one thread: the innermost open span. */
static _Thread_local struct trace_span *current;
/* Ids need to be different, not secret: xorshift per thread, seeded once from the source given. */
static _Thread_local uint64_t id_state;

static uint64_t next_id(void)
{
    if (id_state == 0)
        id_state = trace_queue_seed();
    id_state ^= id_state << 13;
    id_state ^= id_state >> 7;
    id_state ^= id_state << 17;
    return id_state;
}

static void start(struct trace_span *span, const char *name, enum trace_kind kind)
{
    const struct hm_clock *clock = trace_queue_clock();

    hm_put_be64(span->id, next_id());
    span->recording = true;
    span->kind = kind;
    span->name = name;
    span->wall_ms = hm_wall_ms(clock);
    span->start_ns = hm_mono_ns(clock);
    span->outer = current;
    current = span;
}

static void begin_trace(struct trace_span *span, const char *name, enum trace_kind kind)
{
    if (next_id() % 1000000 >= trace_queue_sample_ppm())
        return;
    hm_put_be64(span->trace_id, next_id());
    hm_put_be64(span->trace_id + 8, next_id());
    start(span, name, kind);
}

static void prepare(struct trace_span *span)
{
    span->recording = false;
    span->failed = false;
    span->fact_count = 0;
    memset(span->parent, 0, sizeof(span->parent));
}

void trace_begin(struct trace_span *span, const char *name)
{
    prepare(span);
    if (!trace_on())
        return;
    if (!current) {
        begin_trace(span, name, TRACE_INTERNAL);
        return;
    }
    memcpy(span->trace_id, current->trace_id, TRACE_ID_BYTES);
    memcpy(span->parent, current->id, TRACE_SPAN_ID_BYTES);
    start(span, name, TRACE_INTERNAL);
}

void trace_begin_request(struct trace_span *span, const char *name, const char *traceparent)
{
    bool sampled = false;

    prepare(span);
    if (!trace_on())
        return;
    if (traceparent && trace_parent_parse(traceparent, span->trace_id, span->parent, &sampled)) {
        if (sampled)
            start(span, name, TRACE_SERVER);
        return;
    }
    memset(span->parent, 0, sizeof(span->parent));
    begin_trace(span, name, TRACE_SERVER);
}

static struct trace_fact *fact(struct trace_span *span, const char *name)
{
    struct trace_fact *out;

    if (!span->recording || span->fact_count == TRACE_FACTS_MAX)
        return NULL;
    out = &span->facts[span->fact_count++];
    out->name = name;
    return out;
}

void trace_text(struct trace_span *span, const char *name, const char *text)
{
    struct trace_fact *out = fact(span, name);
    size_t len = strlen(text);

    if (!out)
        return;
    if (len >= sizeof(out->text))
        len = sizeof(out->text) - 1;
    memcpy(out->text, text, len);
    out->text[len] = '\0';
    out->is_number = false;
    hm_text_clean(out->text);
}

void trace_number(struct trace_span *span, const char *name, int64_t number)
{
    struct trace_fact *out = fact(span, name);

    if (!out)
        return;
    out->is_number = true;
    out->number = number;
}

void trace_fail(struct trace_span *span)
{
    span->failed = true;
}

void trace_end(struct trace_span *span)
{
    if (!span->recording)
        return;
    span->end_ns = hm_mono_ns(trace_queue_clock());
    current = span->outer;
    span->recording = false;
    trace_queue_put(span);
}
