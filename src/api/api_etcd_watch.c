/* etcd's watches: a body of requests, then a line {"result": ...} for each bunch of changes. The watches of a stream take
 * turns, so that one with much to tell holds up no other. */
#include "api_etcd_watch.h"

#define CHANGES_PER_READ 1000
#define READS_PER_TURN   16
#define NS_PER_MS        UINT64_C(1000000)

void api_etcd_watch_free(struct api_etcd_watch *watch)
{
    if (!watch)
        return;
    hm_free((void *)(uintptr_t)watch->key.data);
    hm_free((void *)(uintptr_t)watch->end.data);
    hm_free(watch);
}

void api_etcd_watches_free(void *ctx)
{
    struct api_etcd_watches *watches = ctx;

    for (size_t i = 0; i < watches->count; i++)
        api_etcd_watch_free(watches->list[i]);
    hm_free(watches->account);
    hm_free(watches);
}

void api_etcd_watches_drop(struct api_etcd_watches *watches, size_t index)
{
    api_etcd_watch_free(watches->list[index]);
    watches->count--;
    memmove(&watches->list[index], &watches->list[index + 1],
            (watches->count - index) * sizeof(watches->list[0]));
}

void api_etcd_frame_open(const struct api_etcd_watches *watches, struct json_out *json,
                         struct hm_buf *out, uint64_t revision, int64_t watch_id)
{
    *json = (struct json_out){.out = out};
    json_out_open(json, '{');
    json_out_key(json, "result");
    json_out_open(json, '{');
    api_etcd_header_put(json, &watches->ids, revision);
    api_etcd_put_i64(json, "watch_id", watch_id);
}

int api_etcd_frame_close(struct json_out *json)
{
    json_out_close(json, '}');
    json_out_close(json, '}');
    return json->error ? json->error : hm_buf_append(json->out, "\n", 1);
}

/* --- changes ------------------------------------------------------------------------------------------ */

static void event_json(const struct api_etcd_watch *watch, struct json_out *json,
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

static bool event_wanted(const struct api_etcd_watch *watch, const Hypermesh__KvEvent *event)
{
    return !watch->without[event->deleted ? API_ETCD_FILTER_NODELETE : API_ETCD_FILTER_NOPUT];
}

/* One line with what was read, unless the filters leave nothing. */
static int changes_append(struct api_feed *feed, struct api_etcd_watch *watch,
                          const struct api_kv_changes *found)
{
    struct json_out json;
    bool any = false;

    for (size_t i = 0; i < found->count && !any; i++)
        any = event_wanted(watch, found->events[i]);
    if (!any)
        return 0;
    api_etcd_frame_open(feed->state, &json, &feed->out, found->revision, watch->id);
    json_out_key(&json, "events");
    json_out_open(&json, '[');
    for (size_t i = 0; i < found->count; i++) {
        if (event_wanted(watch, found->events[i]))
            event_json(watch, &json, found->events[i], found->previous ? found->previous[i] : NULL);
    }
    json_out_close(&json, ']');
    watch->spoke_ns = hm_mono_ns(feed->core->clock);
    return api_etcd_frame_close(&json);
}

static int compacted_append(struct api_feed *feed, const struct api_etcd_watch *watch)
{
    const struct api_backend *backend = feed->core->backend;
    Hypermesh__KvState *state = NULL;
    struct json_out json;
    int rc = backend->kv_state(backend->ctx, &feed->arena, &state, NULL);

    if (rc)
        return rc;
    api_etcd_frame_open(feed->state, &json, &feed->out, 0, watch->id);
    json_out_put_bool(&json, "canceled", true);
    api_etcd_put_u64(&json, "compact_revision", state->compacted);
    return api_etcd_frame_close(&json);
}

static int progress_append(struct api_feed *feed, struct api_etcd_watch *watch, uint64_t revision)
{
    uint64_t now_ns = hm_mono_ns(feed->core->clock);
    struct json_out json;

    if (!watch->progress || now_ns - watch->spoke_ns < API_ETCD_PROGRESS_MS * NS_PER_MS)
        return 0;
    watch->spoke_ns = now_ns;
    api_etcd_frame_open(feed->state, &json, &feed->out, revision, watch->id);
    return api_etcd_frame_close(&json);
}

/* One read of what is new for the watch. *revision: that of the store, when the watch has told all until
 * then; else 0. HM_ERANGE: its history is gone. */
static int watch_read(struct api_feed *feed, struct api_etcd_watch *watch, uint64_t *revision)
{
    const struct api_etcd_watches *watches = feed->state;
    const struct api_backend *backend = feed->core->backend;
    struct api_kv_changes found = {0};
    int rc = backend->kv_changes(backend->ctx, watches->account, watch->key, watch->end,
                                 watch->revision, watch->sub, CHANGES_PER_READ, watch->prev,
                                 &feed->arena, &found, NULL);

    *revision = 0;
    if (rc == 0)
        rc = changes_append(feed, watch, &found);
    if (rc)
        return rc;
    if (found.next != watch->revision || found.next_sub != watch->sub) {
        watch->revision = found.next;
        watch->sub = found.next_sub;
        return 0;
    }
    *revision = found.revision;
    return progress_append(feed, watch, found.revision);
}

/* To those who asked, once everything until that revision was told. */
static int asked_append(struct api_feed *feed, uint64_t revision)
{
    struct api_etcd_watches *watches = feed->state;
    struct json_out json;
    int rc = 0;

    for (; watches->asked > 0 && rc == 0; watches->asked--) {
        api_etcd_frame_open(watches, &json, &feed->out, revision, API_ETCD_NO_WATCH);
        rc = api_etcd_frame_close(&json);
    }
    return rc;
}

/* A few reads; the watches take turns. At the head are all when one after the other, `quiet` of them, had nothing
 * new, the store being at `least` or later. */
static int watches_turn(struct api_feed *feed)
{
    struct api_etcd_watches *watches = feed->state;
    uint64_t least = UINT64_MAX;
    size_t most = watches->count + READS_PER_TURN;
    size_t quiet = 0;

    for (size_t i = 0; quiet < watches->count && i < most && feed->out.len < API_FEED_TURN_BYTES;
         i++) {
        size_t at = watches->turn % watches->count;
        uint64_t revision = 0;
        int rc = watch_read(feed, watches->list[at], &revision);

        if (rc == HM_ERANGE) {
            rc = compacted_append(feed, watches->list[at]);
            api_etcd_watches_drop(watches, at);
        }
        if (rc)
            return rc;
        watches->turn = at + 1;
        quiet = revision == 0 ? 0 : quiet + 1;
        least = revision > 0 && revision < least ? revision : least;
    }
    if (watches->count == 0)
        return API_STREAM_END;
    if (quiet >= watches->count)
        return asked_append(feed, least);
    /* Much that the filters leave out. */
    if (feed->out.len == 0)
        api_feed_again(feed);
    return 0;
}

/* --- the request -------------------------------------------------------------------------------------- */

static int watches_open(struct api_call *call, struct api_etcd_watches *watches, struct hm_buf *out,
                        struct hm_error *error)
{
    struct api_feed *feed = NULL;
    int rc = api_feed_open(call, NULL, watches_turn, watches, api_etcd_watches_free, NULL, error);

    if (rc) {
        api_etcd_watches_free(watches);
        return rc;
    }
    feed = (struct api_feed *)(void *)call->response->stream;
    for (size_t i = 0; i < watches->count && rc == 0; i++) {
        const struct api_etcd_watch *watch = watches->list[i];
        const struct api_interest interest = {.kv_key = watch->key, .kv_range_end = watch->end};

        rc = api_feed_follow(feed, &interest, error);
        if (watch->progress) /* is told when nothing happens */
            feed->base.beat_ms = API_FEED_BEAT_MS;
    }
    if (rc) {
        call->response->stream->release(call->response->stream);
        call->response->stream = NULL;
        return rc;
    }
    feed->out = *out;
    *out = (struct hm_buf){0};
    return 0;
}

static int watch_body(struct api_call *call, struct hm_error *error)
{
    struct api_etcd_watches *watches = hm_calloc(1, sizeof(*watches));
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    int rc;

    if (!watches)
        return api_no_memory(error);
    watches->account = hm_strdup(call->account);
    rc = watches->account ? api_etcd_ids(call->core, &call->arena, &watches->ids, error)
                          : api_no_memory(error);
    if (rc == 0)
        rc = api_etcd_watches_read(call, watches, &out, error);
    if (rc) {
        api_etcd_watches_free(watches);
        return rc;
    }
    return watches_open(call, watches, &out, error);
}

int api_etcd_watch(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, watch_body);
}
