/* The requests of a stream of etcd's watches: create, cancel, progress. */
#include "api_etcd_watch.h"

#define REQUESTS_MAX (4 * API_ETCD_WATCHES_MAX)

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

static int read_filters(const json_t *from, struct api_etcd_watch *out, struct hm_error *error)
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
        if (filter >= 0 && filter < API_ETCD_FILTER_COUNT)
            out->without[filter] = true;
    }
    return 0;
}

static int read_create(struct api_call *call, const json_t *from, struct api_etcd_watch *out,
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
        rc = api_etcd_i64(from, "watch_id", &out->id, error);
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

/* Whoever may not read is refused at once. */
static int watch_probe(struct api_call *call, const struct api_etcd_watch *watch,
                       struct hm_error *error)
{
    const struct api_kv_query query = {
        .key = watch->key, .range_end = watch->end, .limit = 1, .count_only = true};
    struct api_kv_pairs found = {0};

    return call->backend->kv_range(call->backend->ctx, call->account, &query, &call->arena, &found,
                                   error);
}

static int watch_make(struct api_call *call, const json_t *create, struct api_etcd_watch *watch,
                      uint64_t *revision, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    int64_t start = 0;
    int rc = read_create(call, create, watch, &start, error);

    watch->spoke_ns = hm_mono_ns(call->core->clock);
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

/* The watch with that id; count: there is none. */
static size_t find(const struct api_etcd_watches *watches, int64_t id)
{
    size_t at = 0;

    while (at < watches->count && watches->list[at]->id != id)
        at++;
    return at;
}

/* Why etcd would make no such watch; NULL: it would. Gives the watch an id when it asks for none. */
static const char *watch_place(struct api_etcd_watches *watches, struct api_etcd_watch *watch)
{
    bool open = watch->end.len == 0 || (watch->end.len == 1 && watch->end.data[0] == 0);

    if (!open && hm_slice_compare(watch->key, watch->end) >= 0)
        return "mvcc: watcher range is empty";
    if (watch->id != 0)
        return find(watches, watch->id) < watches->count
                   ? "mvcc: duplicate watch ID provided on the WatchStream"
                   : NULL;
    while (find(watches, watches->next_id) < watches->count)
        watches->next_id++;
    watch->id = watches->next_id++;
    return NULL;
}

/* Says that the watch is there; refused: why it is not. */
static int say_created(const struct api_etcd_watches *watches, struct hm_buf *out,
                       uint64_t revision, int64_t id, const char *refused)
{
    struct json_out json;

    api_etcd_frame_open(watches, &json, out, revision, id);
    json_out_put_bool(&json, "created", true);
    if (refused) {
        json_out_put_bool(&json, "canceled", true);
        json_out_put_text(&json, "cancel_reason", refused);
    }
    return api_etcd_frame_close(&json);
}

static int do_create(struct api_call *call, struct api_etcd_watches *watches, const json_t *create,
                     struct hm_buf *out, struct hm_error *error)
{
    struct api_etcd_watch *watch;
    const char *refused = NULL;
    uint64_t revision = 0;
    int rc;

    if (watches->count == API_ETCD_WATCHES_MAX)
        return hm_fail(error, HM_ELIMIT, "a stream holds at most %d watches", API_ETCD_WATCHES_MAX);
    watch = hm_calloc(1, sizeof(*watch));
    if (!watch)
        return api_no_memory(error);
    rc = watch_make(call, create, watch, &revision, error);
    if (rc == 0) {
        refused = watch_place(watches, watch);
        rc = say_created(watches, out, revision, refused ? API_ETCD_NO_WATCH : watch->id, refused);
        rc = rc ? api_no_memory(error) : 0;
    }
    if (rc || refused)
        api_etcd_watch_free(watch);
    else
        watches->list[watches->count++] = watch;
    return rc;
}

/* As etcd: to cancel what is not there says nothing. */
static int do_cancel(struct api_call *call, struct api_etcd_watches *watches, const json_t *cancel,
                     struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    struct json_out json;
    int64_t id = 0;
    size_t at;
    int rc = api_etcd_i64(cancel, "watch_id", &id, error);

    if (rc)
        return rc;
    at = find(watches, id);
    if (at == watches->count)
        return 0;
    api_etcd_watches_drop(watches, at);
    rc = api_etcd_state(call, &state, error);
    if (rc)
        return rc;
    api_etcd_frame_open(watches, &json, out, state->revision, id);
    json_out_put_bool(&json, "canceled", true);
    return api_etcd_frame_close(&json) ? api_no_memory(error) : 0;
}

static int do_request(struct api_call *call, struct api_etcd_watches *watches, const json_t *from,
                      struct hm_buf *out, struct hm_error *error)
{
    const json_t *create = api_etcd_field(from, "create_request");
    const json_t *cancel = api_etcd_field(from, "cancel_request");
    const json_t *progress = api_etcd_field(from, "progress_request");

    if ((create != NULL) + (cancel != NULL) + (progress != NULL) > 1)
        return hm_fail(error, HM_EPARSE,
                       "json: a watch request is one of create_request, "
                       "cancel_request, progress_request");
    if (create ? !json_is_object(create)
               : (cancel && !json_is_object(cancel)) || (progress && !json_is_object(progress)))
        return hm_fail(error, HM_EPARSE, "json: a watch request must be an object");
    if (create)
        return do_create(call, watches, create, out, error);
    if (cancel)
        return do_cancel(call, watches, cancel, out, error);
    watches->asked += progress != NULL;
    return 0;
}

int api_etcd_watches_read(struct api_call *call, struct api_etcd_watches *watches,
                          struct hm_buf *out, struct hm_error *error)
{
    struct hm_slice body = call->request->body;
    int rc = 0;

    for (unsigned i = 0; rc == 0; i++) {
        HM_CLEANUP(json) json_t *request = NULL;

        rc = api_etcd_read_next(&body, &request, error);
        if (rc || !request)
            break;
        if (i == REQUESTS_MAX)
            return hm_fail(error, HM_ELIMIT, "a stream's body holds at most %d requests",
                           REQUESTS_MAX);
        rc = do_request(call, watches, request, out, error);
    }
    if (rc == 0 && out->len == 0)
        rc = hm_fail(error, HM_EINVAL,
                     "not supported: a watch's stream makes no watch without a create_request");
    return rc;
}
