/* Behind the API: what happened (events), who wants to hear of it (the feed), the bytes that an audit takes, and what was
 * answered to whom. */
#include "node_notes.h"
#include "node_reading.h"

#define NODE_FEED_PAGE 1024

/* --- the feed's source --------------------------------------------------------------------------------------- */

static int node_feed_page(struct ledger_view *view, uint64_t *from, uint32_t *sub, uint64_t to,
                          node_feed_key key, void *key_ctx, bool *over, struct hm_error *error)
{
    static const uint8_t zero;
    const struct hm_slice first = hm_slice_of(&zero, 1);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__KvEvent **events;
    size_t count;

    hm_arena_init(&arena, 0);
    int rc = ledger_view_kv_changes(view, first, first, *from, *sub, NODE_FEED_PAGE, &arena,
                                    &events, NULL, &count, from, sub, error);
    if (rc != 0)
        return rc;
    *over = count == 0 || *from > to;
    for (size_t i = 0; i < count; i++)
        if (key(key_ctx, wire_slice(events[i]->key))) {
            *over = true;
            break;
        }
    return 0;
}

static int node_feed_changes(void *ctx, uint64_t from, uint64_t to, node_feed_key key,
                             void *key_ctx, struct hm_error *error)
{
    struct node *node = ctx;
    struct ledger_view *view;
    uint32_t sub = 0;
    bool over = false;
    int rc = ledger_view_open(node->ledger, &view, error);

    if (rc != 0)
        return rc;
    while (rc == 0 && !over)
        rc = node_feed_page(view, &from, &sub, to, key, key_ctx, &over, error);
    ledger_view_close(view);
    return rc;
}

void node_news_init(struct node *node)
{
    const struct node_feed_source source = {.changes = node_feed_changes, .ctx = node};

    node_feed_init(&node->feed, &source);
}

int node_news_start(struct node *node, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__KvState *state;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_kv_state(view, &arena, &state, error);
    ledger_view_close(view);
    return rc != 0 ? rc : node_feed_start(&node->feed, state->revision, error);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static int node_events(void *ctx, uint64_t height, uint32_t index, size_t limit,
                       struct hm_arena *arena, struct api_event **out, size_t *count,
                       uint32_t *total, struct hm_error *error)
{
    struct ledger_event *found;
    struct api_event *list;
    uint32_t all;
    size_t got;
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_events(at.view, height, index, limit, arena, &found, &got, &all, error);
    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, (got + 1) * sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu events", got);
    for (size_t i = 0; i < got; i++)
        list[i] = (struct api_event){.height = found[i].height,
                                     .time_ms = found[i].time_ms,
                                     .index = found[i].index,
                                     .type = found[i].type,
                                     .tx = found[i].tx,
                                     .account = found[i].account,
                                     .asset = found[i].asset,
                                     .lease = found[i].lease,
                                     .network = found[i].network,
                                     .challenge = found[i].challenge,
                                     .op = found[i].op,
                                     .kv = found[i].kv};
    *out = list;
    *count = got;
    *total = all;
    return 0;
}

static int node_subscribe(void *ctx, const struct api_interest *interest,
                          void (*wake)(void *wake_ctx), void *wake_ctx,
                          struct api_subscription **out, struct hm_error *error)
{
    struct node *node = ctx;

    return node_feed_subscribe(&node->feed, interest, wake, wake_ctx, out, error);
}

static void node_unsubscribe(void *ctx, struct api_subscription *subscription)
{
    struct node *node = ctx;

    node_feed_unsubscribe(&node->feed, subscription);
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static int node_bytes_keep(struct hm_slice bytes, struct hm_arena *arena, struct hm_slice *out,
                           struct hm_error *error)
{
    void *copy = hm_arena_dup(arena, bytes.data, bytes.len);

    if (copy == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu bytes of the chain", bytes.len);
    *out = hm_slice_of(copy, bytes.len);
    return 0;
}

static int node_genesis_bytes(void *ctx, struct hm_arena *arena, struct hm_slice *out,
                              struct hm_error *error)
{
    struct hm_slice bytes;
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_genesis(at.view, &bytes, error);
    return rc != 0 ? rc : node_bytes_keep(bytes, arena, out, error);
}

static int node_block_bytes(void *ctx, uint64_t height, struct hm_arena *arena,
                            struct hm_slice *block, Hypermesh__BlockRecord **record,
                            struct hm_error *error)
{
    struct hm_slice bytes;
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_block(at.view, height, arena, &bytes, record, error);
    return rc != 0 ? rc : node_bytes_keep(bytes, arena, block, error);
}

/* --- answers that may be asked for twice ------------------------------------------------------------------------- */

static int node_idempotency_get(void *ctx, const uint8_t key[32], struct hm_arena *arena,
                                struct hm_slice *out, struct hm_error *error)
{
    return node_answer_get(ctx, key, arena, out, error);
}

static int node_idempotency_put(void *ctx, const uint8_t key[32], uint64_t expires_ms,
                                struct hm_slice record, struct hm_error *error)
{
    return node_answer_put(ctx, key, expires_ms, record, error);
}

void node_backend_news_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->events = node_events;
    backend->subscribe = node_subscribe;
    backend->unsubscribe = node_unsubscribe;
    backend->genesis_bytes = node_genesis_bytes;
    backend->block_bytes = node_block_bytes;
    backend->idempotency_get = node_idempotency_get;
    backend->idempotency_put = node_idempotency_put;
}
