/* Behind the API: reads of the key-value store. Who asks must be allowed to read every key of the range. */
#include "node_reading.h"

/* Opens the snapshot and asks its rules. */
static int node_kv_open(struct node *node, const char *account, struct hm_slice key,
                        struct hm_slice range_end, struct node_reading *out, struct hm_error *error)
{
    uint8_t id[WIRE_ID_BYTES];
    int rc = node_reading_open(node, out, error);

    if (rc == 0)
        rc = node_wallet_resolve(node, account, id, error);
    return rc != 0 ? rc : ledger_view_kv_allowed(out->view, id, key, range_end, false, error);
}

static int node_kv_state(void *ctx, struct hm_arena *arena, Hypermesh__KvState **out,
                         struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_kv_state(at.view, arena, out, error);
}

static int node_kv_range(void *ctx, const char *account, const struct api_kv_query *query,
                         struct hm_arena *arena, struct api_kv_pairs *out, struct hm_error *error)
{
    const struct ledger_kv_query asked = {.key = query->key,
                                          .range_end = query->range_end,
                                          .revision = query->revision,
                                          .limit = query->limit,
                                          .keys_only = query->keys_only,
                                          .count_only = query->count_only};
    struct api_kv_pairs found = {0};
    Hypermesh__KvState *state;
    NODE_READING at = {0};
    int rc = node_kv_open(ctx, account, query->key, query->range_end, &at, error);

    if (rc == 0)
        rc = ledger_view_kv_state(at.view, arena, &state, error);
    if (rc == 0)
        rc = ledger_view_kv_range(at.view, &asked, arena, &found.pairs, &found.count, &found.total,
                                  &found.more, error);
    if (rc != 0)
        return rc;
    found.revision = state->revision;
    *out = found;
    return 0;
}

static int node_kv_changes(void *ctx, const char *account, struct hm_slice key,
                           struct hm_slice range_end, uint64_t from, uint32_t sub, size_t limit,
                           bool with_previous, struct hm_arena *arena, struct api_kv_changes *out,
                           struct hm_error *error)
{
    struct api_kv_changes found = {0};
    Hypermesh__KvState *state;
    NODE_READING at = {0};
    int rc = node_kv_open(ctx, account, key, range_end, &at, error);

    if (rc == 0)
        rc = ledger_view_kv_state(at.view, arena, &state, error);
    if (rc == 0)
        rc = ledger_view_kv_changes(at.view, key, range_end, from, sub, limit, arena, &found.events,
                                    with_previous ? &found.previous : NULL, &found.count,
                                    &found.next, &found.next_sub, error);
    if (rc != 0)
        return rc;
    found.revision = state->revision;
    *out = found;
    return 0;
}

/* All keys of a lease, page by page. */
static int node_kv_lease_keys(struct ledger_view *view, uint64_t id, size_t most,
                              struct hm_arena *arena, struct hm_slice **keys, size_t *key_count,
                              struct hm_error *error)
{
    struct hm_slice *all = hm_arena_alloc(arena, (most + 1) * sizeof(*all));
    struct hm_slice after = {0};
    size_t total = 0, got = 1;

    if (all == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a lease's keys");
    while (got > 0 && total < most) {
        struct hm_slice *page;
        size_t limit = most - total < LEDGER_PAGE_MAX ? most - total : LEDGER_PAGE_MAX;
        int rc = ledger_view_kv_lease_keys(view, id, after, limit, arena, &page, &got, error);

        if (rc != 0)
            return rc;
        if (got > 0) {
            memcpy(all + total, page, got * sizeof(*all));
            total += got;
            after = all[total - 1];
        }
    }
    *keys = all;
    *key_count = total;
    return 0;
}

static int node_kv_lease(void *ctx, uint64_t id, struct hm_arena *arena, Hypermesh__KvLease **out,
                         struct hm_slice **keys, size_t *key_count, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_kv_lease(at.view, id, arena, out, error);
    return rc != 0 ? rc
                   : node_kv_lease_keys(at.view, id, (*out)->keys, arena, keys, key_count, error);
}

static int node_kv_leases(void *ctx, uint64_t after, size_t limit, struct hm_arena *arena,
                          Hypermesh__KvLease ***out, size_t *count, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_kv_leases(at.view, after, limit, arena, out, count, error);
}

static int node_kv_rules(void *ctx, struct hm_slice after, size_t limit, struct hm_arena *arena,
                         Hypermesh__KvRule ***out, size_t *count, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_kv_rules(at.view, after, limit, arena, out, count, error);
}

void node_backend_kv_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->kv_state = node_kv_state;
    backend->kv_range = node_kv_range;
    backend->kv_changes = node_kv_changes;
    backend->kv_lease = node_kv_lease;
    backend->kv_leases = node_kv_leases;
    backend->kv_rules = node_kv_rules;
}
