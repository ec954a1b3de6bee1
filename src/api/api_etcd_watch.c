/* etcd's watches: one request, then a line {"result": ...} for each bunch of changes. */
#include "api_etcd.h"
#include "api_feed.h"

#define CHANGES_PER_READ 1000
#define READS_PER_TURN   16
#define NS_PER_MS        UINT64_C(1000000)

enum { FILTER_NOPUT, FILTER_NODELETE, FILTER_COUNT };

struct etcd_watch {
    char *account;
    struct hm_slice key, end; /* own memory */
    struct api_etcd_ids ids;
    int64_t watch_id;
    uint64_t revision; /* where to go on */
    uint32_t sub;
    bool prev, progress;
    bool without[FILTER_COUNT];
    uint64_t spoke_ns; /* for progress */
};

static void watch_free(void *ctx)
{
    struct etcd_watch *watch = ctx;

    hm_free(watch->account);
    hm_free((void *)(uintptr_t)watch->key.data);
    hm_free((void *)(uintptr_t)watch->end.data);
    hm_free(watch);
}

static void frame_open(const struct etcd_watch *watch, struct json_out *json, struct hm_buf *out,
                       uint64_t revision)
{
    *json = (struct json_out){.out = out};
    json_out_open(json, '{');
    json_out_key(json, "result");
    json_out_open(json, '{');
    api_etcd_header_put(json, &watch->ids, revision);
    api_etcd_put_i64(json, "watch_id", watch->watch_id);
}

static int frame_close(struct json_out *json)
{
    json_out_close(json, '}');
    json_out_close(json, '}');
    return json->error ? json->error : hm_buf_append(json->out, "\n", 1);
}

static void event_json(const struct etcd_watch *watch, struct json_out *json,
                       const Hypermesh__KvEvent *event, const Hypermesh__KvEntry *previous)
{
    Hypermesh__KvEntry gone = HYPERMESH__KV_ENTRY__INIT;

    json_out_open(json, '{');
    gone.mod_revision = event->revision;
    if (event->deleted)
        json_out_put_text(json, "type", "DELETE");
    json_out_key(json, "kv");
    api_etcd_kv_json(json, wire_slice(event->key), event->deleted ? &gone : event->entry, false);
    if (watch->prev && previous) {
        json_out_key(json, "prev_kv");
        api_etcd_kv_json(json, wire_slice(event->key), previous, false);
    }
    json_out_close(json, '}');
}

static bool event_wanted(const struct etcd_watch *watch, const Hypermesh__KvEvent *event)
{
    return !watch->without[event->deleted ? FILTER_NODELETE : FILTER_NOPUT];
}

/* One line with what was read, unless the filters leave nothing. */
static int changes_append(struct api_feed *feed, const struct api_kv_changes *found)
{
    struct etcd_watch *watch = feed->state;
    struct json_out json;
    bool any = false;

    for (size_t i = 0; i < found->count && !any; i++)
        any = event_wanted(watch, found->events[i]);
    if (!any)
        return 0;
    frame_open(watch, &json, &feed->out, found->revision);
    json_out_key(&json, "events");
    json_out_open(&json, '[');
    for (size_t i = 0; i < found->count; i++) {
        if (event_wanted(watch, found->events[i]))
            event_json(watch, &json, found->events[i], found->previous ? found->previous[i] : NULL);
    }
    json_out_close(&json, ']');
    watch->spoke_ns = hm_mono_ns(feed->core->clock);
    return frame_close(&json);
}

static int compacted_append(struct api_feed *feed)
{
    const struct api_backend *backend = feed->core->backend;
    struct etcd_watch *watch = feed->state;
    Hypermesh__KvState *state = NULL;
    struct json_out json;
    int rc = backend->kv_state(backend->ctx, &feed->arena, &state, NULL);

    if (rc)
        return rc;
    frame_open(watch, &json, &feed->out, 0);
    json_out_put_bool(&json, "canceled", true);
    api_etcd_put_u64(&json, "compact_revision", state->compacted);
    rc = frame_close(&json);
    return rc ? rc : API_STREAM_END;
}

static int progress_append(struct api_feed *feed, uint64_t revision)
{
    struct etcd_watch *watch = feed->state;
    uint64_t now_ns = hm_mono_ns(feed->core->clock);
    struct json_out json;

    if (!watch->progress || now_ns - watch->spoke_ns < API_ETCD_PROGRESS_MS * NS_PER_MS)
        return 0;
    watch->spoke_ns = now_ns;
    frame_open(watch, &json, &feed->out, revision);
    return frame_close(&json);
}

static int watch_turn(struct api_feed *feed)
{
    const struct api_backend *backend = feed->core->backend;
    struct etcd_watch *watch = feed->state;
    int rc = 0;

    for (unsigned i = 0; i < READS_PER_TURN && rc == 0 && feed->out.len < API_FEED_TURN_BYTES;
         i++) {
        struct api_kv_changes found = {0};

        rc = backend->kv_changes(backend->ctx, watch->account, watch->key, watch->end,
                                 watch->revision, watch->sub, CHANGES_PER_READ, watch->prev,
                                 &feed->arena, &found, NULL);
        if (rc == HM_ERANGE)
            return compacted_append(feed);
        if (rc == 0)
            rc = changes_append(feed, &found);
        if (rc)
            return rc;
        if (found.next == watch->revision && found.next_sub == watch->sub)
            return progress_append(feed, found.revision);
        watch->revision = found.next;
        watch->sub = found.next_sub;
    }
    /* Much that the filters leave out. */
    if (rc == 0 && feed->out.len == 0)
        api_feed_again(feed);
    return rc;
}

/* --- the request -------------------------------------------------------------------------------------- */

static int keep(ProtobufCBinaryData from, struct hm_slice *out, struct hm_error *error)
{
    uint8_t *copy = hm_calloc(1, from.len + 1);

    if (!copy)
        return api_no_memory(error);
    if (from.len > 0)
        memcpy(copy, from.data, from.len);
    *out = hm_slice_of(copy, from.len);
    return 0;
}

static int read_filters(const json_t *from, struct etcd_watch *out, struct hm_error *error)
{
    static const char *const names[] = {"NOPUT", "NODELETE"};
    const json_t *list = api_etcd_field(from, "filters");

    if (list && !json_is_array(list))
        return hm_fail(error, HM_EPARSE, "json: filters must be a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        int filter = 0;
        int rc = api_etcd_enum_value(json_array_get(list, i), "filters", names, HM_COUNT_OF(names),
                                     &filter, error);

        if (rc)
            return rc;
        if (filter >= 0 && filter < FILTER_COUNT)
            out->without[filter] = true;
    }
    return 0;
}

static int read_create(struct api_call *call, const json_t *from, struct etcd_watch *out,
                       int64_t *start, struct hm_error *error)
{
    ProtobufCBinaryData key = {0};
    ProtobufCBinaryData end = {0};
    bool fragment = false; /* no line grows so large that it would be cut */
    int rc = api_etcd_bytes(from, "key", &call->arena, &key, error);

    if (rc == 0)
        rc = api_etcd_bytes(from, "range_end", &call->arena, &end, error);
    if (rc == 0)
        rc = api_etcd_i64(from, "start_revision", start, error);
    if (rc == 0)
        rc = api_etcd_i64(from, "watch_id", &out->watch_id, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "prev_kv", &out->prev, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "progress_notify", &out->progress, error);
    if (rc == 0)
        rc = api_etcd_bool(from, "fragment", &fragment, error);
    if (rc == 0)
        rc = read_filters(from, out, error);
    if (rc)
        return rc;
    /* As etcd: an empty key is the least one. */
    if (key.len == 0)
        key = wire_bytes("", 1);
    rc = keep(key, &out->key, error);
    return rc ? rc : keep(end, &out->end, error);
}

/* Whoever may not read is refused at once, as etcd does. */
static int watch_probe(struct api_call *call, const struct etcd_watch *watch,
                       struct hm_error *error)
{
    const struct api_kv_query query = {
        .key = watch->key, .range_end = watch->end, .limit = 1, .count_only = true};
    struct api_kv_pairs found = {0};

    return call->backend->kv_range(call->backend->ctx, watch->account, &query, &call->arena, &found,
                                   error);
}

static int watch_open(struct api_call *call, struct etcd_watch *watch, struct hm_error *error)
{
    const struct api_interest interest = {.kv_key = watch->key, .kv_range_end = watch->end};
    int rc = api_feed_open(call, &interest, watch_turn, watch, watch_free, NULL, error);

    /* Progress is told when nothing happens. */
    if (rc == 0 && watch->progress)
        call->response->stream->beat_ms = API_FEED_BEAT_MS;
    return rc;
}

static int watch_created(struct api_call *call, struct etcd_watch *watch, uint64_t revision)
{
    struct api_feed *feed = (struct api_feed *)(void *)call->response->stream;
    struct json_out json;

    frame_open(watch, &json, &feed->out, revision);
    json_out_put_bool(&json, "created", true);
    return frame_close(&json);
}

static int watch_make(struct api_call *call, const json_t *create, struct etcd_watch *watch,
                      uint64_t *revision, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    int64_t start = 0;
    int rc = read_create(call, create, watch, &start, error);

    watch->account = hm_strdup(call->account);
    watch->spoke_ns = hm_mono_ns(call->core->clock);
    if (rc == 0 && !watch->account)
        rc = api_no_memory(error);
    if (rc == 0)
        rc = api_etcd_ids(call->core, &call->arena, &watch->ids, error);
    if (rc == 0)
        rc = watch_probe(call, watch, error);
    if (rc == 0)
        rc = api_etcd_state(call, &state, error);
    if (rc)
        return rc;
    *revision = state->revision;
    watch->revision = start == 0 ? state->revision + 1 : start < 0 ? 1 : (uint64_t)start;
    return 0;
}

static int watch_body(struct api_call *call, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *body = NULL;
    struct etcd_watch *watch;
    const json_t *create;
    uint64_t revision = 0;
    int rc = api_etcd_read(call, &body, error);

    if (rc)
        return rc;
    create = api_etcd_field(body, "create_request");
    if (!json_is_object(create))
        return hm_fail(error, HM_EINVAL,
                       "not supported: a watch's stream begins with one create_request");
    watch = hm_calloc(1, sizeof(*watch));
    if (!watch)
        return api_no_memory(error);
    rc = watch_make(call, create, watch, &revision, error);
    if (rc == 0)
        rc = watch_open(call, watch, error);
    if (rc) {
        watch_free(watch);
        return rc;
    }
    rc = watch_created(call, watch, revision);
    if (rc) {
        call->response->stream->release(call->response->stream);
        call->response->stream = NULL;
        return api_no_memory(error);
    }
    return 0;
}

int api_etcd_watch(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, watch_body);
}
