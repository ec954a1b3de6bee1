/* What happened on the ledger, as server-sent events: from any point, to the head, and on. */
#include "api_feed.h"
#include "api_handlers.h"

/* Each read goes through its whole block, so a page is long: a block is read a few times, however much is in it. */
#define EVENTS_PER_READ 16384
#define BLOCKS_PER_TURN 64 /* looked at, so that a rare filter does not hold up the thread */
#define TYPES_MAX       16
#define TYPE_CHARS      32

struct event_filter {
    char types[TYPES_MAX][TYPE_CHARS];
    size_t type_count; /* 0: all */
    bool by_account, by_asset, by_lease, by_network;
    uint8_t account[32], asset[32], lease[32], network[32];
};

struct event_state {
    uint64_t height; /* where to go on */
    uint32_t index;
    bool follow;
    struct event_filter filter;
};

static bool id_fits(bool wanted, const uint8_t filter[32], const uint8_t *id)
{
    return !wanted || (id && memcmp(filter, id, WIRE_ID_BYTES) == 0);
}

static bool event_fits(const struct event_filter *filter, const struct api_event *event)
{
    bool type = filter->type_count == 0;

    for (size_t i = 0; i < filter->type_count && !type; i++)
        type = strcmp(filter->types[i], event->type) == 0;
    return type && id_fits(filter->by_account, filter->account, event->account) &&
           id_fits(filter->by_asset, filter->asset, event->asset) &&
           id_fits(filter->by_lease, filter->lease, event->lease) &&
           id_fits(filter->by_network, filter->network, event->network);
}

static void put_id(struct json_out *json, const char *name, const uint8_t *id,
                   void (*write)(struct json_out *json, struct hm_slice id))
{
    if (!id)
        return;
    json_out_key(json, name);
    write(json, hm_slice_of(id, WIRE_ID_BYTES));
}

static void event_json(struct json_out *json, const char *id, const struct api_event *event)
{
    json_out_open(json, '{');
    json_out_put_text(json, "id", id);
    json_out_put_text(json, "type", event->type);
    json_out_put_u64(json, "height", event->height);
    json_out_put_u64(json, "index", event->index);
    json_out_put_u64(json, "time_ms", event->time_ms);
    if (event->tx)
        json_out_put_hash(json, "tx", event->tx);
    put_id(json, "account", event->account, json_out_account);
    put_id(json, "asset", event->asset, json_out_asset);
    put_id(json, "lease", event->lease, json_out_lease);
    put_id(json, "network", event->network, json_out_network);
    put_id(json, "challenge", event->challenge, json_out_challenge);
    if (event->op) {
        json_out_key(json, "op");
        json_message(json, &event->op->base);
    }
    if (event->kv) {
        json_out_key(json, "kv");
        json_message(json, &event->kv->base);
    }
    json_out_close(json, '}');
}

static int event_append(struct api_feed *feed, const struct api_event *event)
{
    struct json_out json = {.out = &feed->out};
    char id[48];
    int rc;

    (void)snprintf(id, sizeof(id), "%llu.%u", (unsigned long long)event->height, event->index);
    rc = api_sse_begin(&feed->out, id, event->type);
    event_json(&json, id, event);
    if (rc == 0)
        rc = json.error;
    return rc ? rc : api_sse_end(&feed->out);
}

/* The rest of one block, as far as one read brings it. HM_ENOTFOUND: there is no such block yet. */
static int block_append(struct api_feed *feed, struct event_state *state)
{
    const struct api_backend *backend = feed->core->backend;
    struct api_event *events = NULL;
    size_t count = 0;
    uint32_t total = 0;
    int rc = backend->events(backend->ctx, state->height, state->index, EVENTS_PER_READ,
                             &feed->arena, &events, &count, &total, NULL);

    for (size_t i = 0; i < count && rc == 0; i++) {
        if (event_fits(&state->filter, &events[i]))
            rc = event_append(feed, &events[i]);
    }
    hm_arena_clear(&feed->arena); /* what is said is in feed->out; the next block needs the room */
    if (rc)
        return rc;
    state->index += (uint32_t)count;
    if (state->index >= total || count == 0) {
        state->height++;
        state->index = 0;
    }
    return 0;
}

static int events_turn(struct api_feed *feed)
{
    struct event_state *state = feed->state;
    int rc = 0;

    for (unsigned i = 0; i < BLOCKS_PER_TURN && rc == 0 && feed->out.len < API_FEED_TURN_BYTES; i++)
        rc = block_append(feed, state);
    if (rc == HM_ENOTFOUND)
        return state->follow ? 0 : API_STREAM_END;
    /* Nothing fits so far, but there is more to look at: say how far it is, and go on. */
    if (rc == 0 && feed->out.len == 0)
        rc = hm_buf_printf(&feed->out, ": block %llu\n\n", (unsigned long long)state->height);
    return rc;
}

static int filter_types(const char *text, struct event_filter *out, struct hm_error *error)
{
    while (*text != '\0') {
        size_t len = strcspn(text, ",");

        if (len == 0 || len >= TYPE_CHARS || out->type_count == TYPES_MAX)
            return hm_fail(error, HM_EINVAL,
                           "type is a list of at most %d names such as allocate,settle,kv",
                           TYPES_MAX);
        memcpy(out->types[out->type_count], text, len);
        out->types[out->type_count++][len] = '\0';
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return 0;
}

static void filter_id(const struct api_record *query, const char *name, bool *wanted,
                      uint8_t out[32])
{
    const struct api_value *value = api_record_get(query, name);

    *wanted = value->set;
    memcpy(out, value->id, WIRE_ID_BYTES);
}

static int filter_read(struct api_call *call, struct event_filter *out, struct hm_error *error)
{
    const char *account = api_text_or(&call->query, "account", NULL);
    ProtobufCBinaryData id = {0};
    int rc = filter_types(api_text_or(&call->query, "type", ""), out, error);

    if (rc == 0 && account)
        rc = api_account_id(call, account, &id, error);
    if (rc)
        return rc;
    out->by_account = account != NULL;
    if (account)
        memcpy(out->account, id.data, WIRE_ID_BYTES);
    filter_id(&call->query, "asset", &out->by_asset, out->asset);
    filter_id(&call->query, "lease", &out->by_lease, out->lease);
    filter_id(&call->query, "network", &out->by_network, out->network);
    return 0;
}

/* Where to begin: after the last event that the client has, or with the next block. */
static int start_read(struct api_call *call, struct event_state *out, struct hm_error *error)
{
    const char *header = call->request->last_event_id;
    const char *since = header ? header : api_text_or(&call->query, "since", NULL);
    struct api_status status = {0};
    bool whole = false;
    int rc;

    if (!since) {
        rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);
        out->height = status.height + 1;
        return rc;
    }
    rc = api_cursor_parse(since, &out->height, &out->index, &whole, error);
    if (rc)
        return hm_error_prefix(error, rc, "%s", header ? "Last-Event-ID" : "since");
    if (whole || out->height == 0 || out->index == UINT32_MAX) {
        out->height++;
        out->index = 0;
    } else {
        out->index++;
    }
    return 0;
}

int api_handle_events(struct api_call *call, struct hm_error *error)
{
    const struct api_interest interest = {.blocks = true};
    struct event_state *state = hm_calloc(1, sizeof(*state));
    int rc = state ? 0 : api_no_memory(error);

    if (rc == 0)
        rc = filter_read(call, &state->filter, error);
    if (rc == 0)
        rc = start_read(call, state, error);
    if (rc == 0) {
        state->follow = api_number_or(&call->query, "follow", 1) != 0;
        rc = api_feed_open(call, state->follow ? &interest : NULL, events_turn, state, hm_free,
                           state->follow ? API_SSE_BEAT : NULL, error);
    }
    if (rc)
        hm_free(state);
    return rc;
}
