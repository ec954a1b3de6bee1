/* A lease in terms of this machine: limits for the sandbox, and what was used as ledger records. */
#include "node_private.h"

static int node_lease_share(struct ledger_view *view, const Hypermesh__LeasedItem *item,
                            struct hm_arena *arena, struct asset_share *out, struct hm_error *error)
{
    Hypermesh__Asset *asset;

    if (item->asset.len != WIRE_ID_BYTES)
        return hm_fail(error, HM_ECORRUPT, "a lease names an asset of %zu bytes", item->asset.len);
    int rc = ledger_view_asset(view, item->asset.data, arena, &asset, error);
    if (rc == 0 && asset_adapter_of(asset->kind) == NULL)
        rc = hm_fail(error, HM_EUNSUPPORTED, "a lease of kind %s is not supported yet",
                     wire_asset_kind_name(asset->kind));
    if (rc == 0)
        *out = (struct asset_share){asset->hardware_id, asset, item->share_ppm};
    return rc;
}

int node_lease_limits(struct node *node, const Hypermesh__Lease *lease, struct hm_arena *arena,
                      Hypermesh__SandboxLimits *limits, struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, error);

    if (rc != 0)
        return rc;
    hypermesh__sandbox_limits__init(limits);
    for (size_t i = 0; rc == 0 && i < lease->n_items; i++) {
        struct asset_share share;

        rc = node_lease_share(view, lease->items[i], arena, &share, error);
        if (rc != 0)
            break;
        pthread_mutex_lock(&node->hardware.lock);
        rc = asset_adapter_of(share.asset->kind)
                 ->limit(&node->hardware.inventory, &share, arena, limits, error);
        pthread_mutex_unlock(&node->hardware.lock);
    }
    ledger_view_close(view);
    return rc;
}

/* Parties, price and time of the records that an adapter appended. */
static void node_lease_fill(const struct node *node, const Hypermesh__Lease *lease,
                            const Hypermesh__LeasedItem *item, const Hypermesh__JobUsage *used,
                            Hypermesh__ResourceTransaction **records, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        Hypermesh__ResourceTransaction *record = records[i];

        record->node = wire_bytes(node->operator_id, WIRE_ID_BYTES);
        record->resource_type = item->kind;
        record->duration_ms = used->wall_ms;
        record->price_per_unit = item->price_per_hour;
        record->consumer = lease->consumer;
        record->provider = lease->provider;
        record->timestamp_ms = now_ms;
    }
}

int node_lease_usage(struct node *node, const Hypermesh__Lease *lease,
                     const Hypermesh__JobUsage *used, struct hm_arena *arena,
                     Hypermesh__ResourceTransaction ***out, size_t *out_count,
                     struct hm_error *error)
{
    Hypermesh__ResourceTransaction **records = hm_arena_alloc(
        arena, lease->n_items * ASSET_USAGE_MAX * sizeof(*records));
    uint64_t now_ms = hm_wall_ms(node->options.clock);
    struct ledger_view *view;
    size_t count = 0;

    if (records == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for usage records");
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < lease->n_items; i++) {
        struct asset_share share;
        size_t from = count;

        rc = node_lease_share(view, lease->items[i], arena, &share, error);
        if (rc == 0)
            rc = asset_adapter_of(share.asset->kind)
                     ->usage(&share, used, arena, records, &count, error);
        if (rc == 0)
            node_lease_fill(node, lease, lease->items[i], used, records + from, count - from,
                            now_ms);
    }
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    *out = records;
    *out_count = count;
    return 0;
}
