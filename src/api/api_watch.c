/* Changes of keys as server-sent events, from any revision, without a gap. */
#include "api_feed.h"
#include "api_kv.h"

#define CHANGES_PER_READ 256
#define READS_PER_TURN   16

struct watch_state {
    char *account;
    struct hm_slice key, end; /* own memory */
    uint64_t revision; /* where to go on */
    uint32_t sub;
    bool previous;
    bool base64;
    bool follow;
};

static void watch_free(void *ctx)
{
    struct watch_state *watch = ctx;

    hm_free(watch->account);
    hm_free((void *)(uintptr_t)watch->key.data);
    hm_free((void *)(uintptr_t)watch->end.data);
    hm_free(watch);
}

static int change_append(struct api_feed *feed, const Hypermesh__KvEvent *event,
                         const Hypermesh__KvEntry *previous)
{
    const struct watch_state *watch = feed->state;
    struct json_out json = {.out = &feed->out};
    char id[48];
    int rc;

    (void)snprintf(id, sizeof(id), "%llu.%u", (unsigned long long)event->revision, event->sub);
    rc = api_sse_begin(&feed->out, id, event->deleted ? "delete" : "put");
    json_out_open(&json, '{');
    json_out_put_u64(&json, "revision", event->revision);
    json_out_put_u64(&json, "sub", event->sub);
    json_out_put_u64(&json, "height", event->height);
    api_kv_item_put(&json, wire_slice(event->key), event->deleted ? NULL : event->entry, false,
                    watch->base64);
    if (watch->previous && previous) {
        json_out_key(&json, "previous");
        json_out_open(&json, '{');
        api_kv_item_put(&json, wire_slice(event->key), previous, false, watch->base64);
        json_out_close(&json, '}');
    }
    json_out_close(&json, '}');
    if (rc == 0)
        rc = json.error;
    return rc ? rc : api_sse_end(&feed->out);
}

/* History is gone before the place where the client is: it must read the keys again. */
static int compacted_append(struct api_feed *feed)
{
    const struct api_backend *backend = feed->core->backend;
    struct json_out json = {.out = &feed->out};
    Hypermesh__KvState *state = NULL;
    int rc = backend->kv_state(backend->ctx, &feed->arena, &state, NULL);

    if (rc == 0)
        rc = api_sse_begin(&feed->out, NULL, "compacted");
    if (rc)
        return rc;
    json_out_open(&json, '{');
    json_out_put_u64(&json, "compacted", state->compacted);
    json_out_put_u64(&json, "revision", state->revision);
    json_out_close(&json, '}');
    rc = json.error ? json.error : api_sse_end(&feed->out);
    return rc ? rc : API_STREAM_END;
}

static int watch_turn(struct api_feed *feed)
{
    const struct api_backend *backend = feed->core->backend;
    struct watch_state *watch = feed->state;
    int rc = 0;

    for (unsigned i = 0; i < READS_PER_TURN && feed->out.len < API_FEED_TURN_BYTES; i++) {
        struct api_kv_changes found = {0};

        rc = backend->kv_changes(backend->ctx, watch->account, watch->key, watch->end,
                                 watch->revision, watch->sub, CHANGES_PER_READ, watch->previous,
                                 &feed->arena, &found, NULL);
        if (rc == HM_ERANGE)
            return compacted_append(feed);
        for (size_t k = 0; k < found.count && rc == 0; k++)
            rc = change_append(feed, found.events[k], found.previous ? found.previous[k] : NULL);
        if (rc)
            return rc;
        if (found.next == watch->revision && found.next_sub == watch->sub)
            return watch->follow ? 0 : API_STREAM_END; /* at the head */
        watch->revision = found.next;
        watch->sub = found.next_sub;
    }
    if (feed->out.len == 0)
        rc = hm_buf_printf(&feed->out, ": revision %llu\n\n", (unsigned long long)watch->revision);
    return rc;
}

static int keep(struct hm_slice from, struct hm_slice *out)
{
    uint8_t *copy = hm_calloc(1, from.len + 1);

    if (!copy)
        return HM_ENOMEM;
    if (from.len > 0)
        memcpy(copy, from.data, from.len);
    *out = hm_slice_of(copy, from.len);
    return 0;
}

/* After the last change that the client has, from a revision on, or with the next change. */
static int watch_start(struct api_call *call, struct watch_state *out, struct hm_error *error)
{
    const struct api_value *from = api_record_get(&call->query, "from");
    const char *after = api_text_or(&call->query, "after", NULL);
    const char *last = call->request->last_event_id ? call->request->last_event_id : after;
    Hypermesh__KvState *state = NULL;
    bool whole = false;
    int rc;

    if (last) {
        rc = api_cursor_parse(last, &out->revision, &out->sub, &whole, error);
        if (rc)
            return hm_error_prefix(error, rc, last == after ? "after" : "Last-Event-ID");
        if (whole || out->sub == UINT32_MAX) {
            out->revision++;
            out->sub = 0;
        } else {
            out->sub++;
        }
        return 0;
    }
    if (from->set && from->number > 0) {
        out->revision = from->number;
        return 0;
    }
    rc = call->backend->kv_state(call->backend->ctx, &call->arena, &state, error);
    if (rc == 0)
        out->revision = state->revision + 1;
    return rc;
}

static int watch_span(struct api_call *call, struct watch_state *out, struct hm_error *error)
{
    const char *only = api_text_or(&call->query, "key", NULL);
    struct hm_slice key = {0};
    struct hm_slice end = {0};
    int rc = api_kv_encoding(&call->query, &out->base64, error);

    if (rc)
        return rc;
    if (!only)
        rc = api_kv_span(call, out->base64, &key, &end, error);
    else if (api_record_get(&call->query, "prefix")->set ||
             api_record_get(&call->query, "start")->set || api_record_get(&call->query, "end")->set)
        rc = hm_fail(error, HM_EINVAL, "key does not go with prefix, start and end");
    else
        rc = api_kv_bytes(call, "key", only, out->base64, &key, error);
    if (rc == 0 && key.len == 0)
        rc = hm_fail(error, HM_EINVAL, "key must not be empty");
    if (rc == 0 && (keep(key, &out->key) || keep(end, &out->end)))
        rc = api_no_memory(error);
    return rc;
}

/* A caller without the right to read is refused now and not by a broken stream. */
static int watch_probe(struct api_call *call, const struct watch_state *watch,
                       struct hm_error *error)
{
    struct api_kv_query query = {
        .key = watch->key, .range_end = watch->end, .limit = 1, .count_only = true};
    struct api_kv_pairs found = {0};

    return call->backend->kv_range(call->backend->ctx, watch->account, &query, &call->arena, &found,
                                   error);
}

int api_handle_kv_watch(struct api_call *call, struct hm_error *error)
{
    struct watch_state *watch = hm_calloc(1, sizeof(*watch));
    struct api_interest interest = {0};
    int rc = watch ? 0 : api_no_memory(error);

    if (rc)
        return rc;
    watch->account = hm_strdup(api_actor(call, &call->query));
    watch->previous = api_number_or(&call->query, "previous", 0) != 0;
    watch->follow = api_number_or(&call->query, "follow", 1) != 0;
    if (!watch->account)
        rc = api_no_memory(error);
    if (rc == 0)
        rc = watch_span(call, watch, error);
    if (rc == 0)
        rc = watch_start(call, watch, error);
    if (rc == 0)
        rc = watch_probe(call, watch, error);
    if (rc == 0) {
        interest.kv_key = watch->key;
        interest.kv_range_end = watch->end;
        rc = api_feed_open(call, watch->follow ? &interest : NULL, watch_turn, watch, watch_free,
                           watch->follow ? API_SSE_BEAT : NULL, error);
    }
    if (rc)
        watch_free(watch);
    return rc;
}
