#include "nexus_sse.h"

void nexus_sse_release(struct nexus_sse *sse)
{
    hm_buf_release(&sse->line);
    hm_buf_release(&sse->data);
    hm_buf_release(&sse->type);
    hm_buf_release(&sse->id);
}

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "out of memory");
}

static int keep(struct hm_buf *buf, const char *text, size_t len)
{
    hm_buf_clear(buf);
    return hm_buf_append(buf, text, len);
}

/* One line "name: value"; the space behind the colon is not part of the value. */
static int field(struct nexus_sse *sse, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t name = colon ? (size_t)(colon - text) : len;
    const char *value = colon ? colon + 1 : text + len;
    size_t rest = len - (size_t)(value - text);

    if (rest > 0 && value[0] == ' ') {
        value++;
        rest--;
    }
    if (name == 4 && memcmp(text, "data", 4) == 0) {
        int rc = sse->has_data ? hm_buf_append(&sse->data, "\n", 1) : 0;

        sse->has_data = true;
        return rc ? rc : hm_buf_append(&sse->data, value, rest);
    }
    if (name == 5 && memcmp(text, "event", 5) == 0 && !memchr(value, '\0', rest))
        return keep(&sse->type, value, rest);
    if (name == 2 && memcmp(text, "id", 2) == 0 && !memchr(value, '\0', rest))
        return keep(&sse->id, value, rest);
    return 0; /* a comment, or a field of another time */
}

static int dispatch(struct nexus_sse *sse,
                    int (*take)(void *ctx, const struct nexus_sse_event *event,
                                struct hm_error *error),
                    void *ctx, struct hm_error *error)
{
    struct nexus_sse_event event = {.type = sse->type.len ? hm_buf_cstr(&sse->type) : "message",
                                    .id = hm_buf_cstr(&sse->id),
                                    .data = hm_buf_cstr(&sse->data),
                                    .data_len = sse->data.len};
    int rc = sse->has_data ? take(ctx, &event, error) : 0;

    hm_buf_clear(&sse->data);
    hm_buf_clear(&sse->type);
    sse->has_data = false;
    return rc;
}

static int end_line(struct nexus_sse *sse,
                    int (*take)(void *ctx, const struct nexus_sse_event *event,
                                struct hm_error *error),
                    void *ctx, struct hm_error *error)
{
    int rc = 0;

    if (sse->line.len == 0)
        return dispatch(sse, take, ctx, error);
    if (field(sse, (const char *)sse->line.data, sse->line.len))
        rc = no_memory(error);
    hm_buf_clear(&sse->line);
    return rc;
}

int nexus_sse_feed(struct nexus_sse *sse, const uint8_t *bytes, size_t len,
                   int (*take)(void *ctx, const struct nexus_sse_event *event,
                               struct hm_error *error),
                   void *ctx, struct hm_error *error)
{
    for (size_t at = 0; at < len;) {
        size_t run = at;
        int rc;

        if (sse->had_cr && bytes[at] == '\n') {
            sse->had_cr = false;
            at++;
            continue;
        }
        sse->had_cr = false;
        while (run < len && bytes[run] != '\n' && bytes[run] != '\r')
            run++;
        if (sse->line.len + (run - at) + sse->data.len + sse->type.len + sse->id.len >
            NEXUS_SSE_EVENT_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "an event of the node is longer than %zu MiB",
                           NEXUS_SSE_EVENT_MAX_BYTES >> 20);
        if (run > at && hm_buf_append(&sse->line, bytes + at, run - at))
            return no_memory(error);
        at = run;
        if (at == len)
            break;
        sse->had_cr = bytes[at] == '\r';
        at++;
        rc = end_line(sse, take, ctx, error);
        if (rc)
            return rc;
    }
    return 0;
}
