/* Views: pages of accounts, assets, leases and history, in order of id or time. */
#include "ledger_restore.h"
#include "ledger_view.h"

static bool filter_id(const uint8_t *wanted, ProtobufCBinaryData id)
{
    return !wanted || (id.len == LEDGER_ID_BYTES && memcmp(id.data, wanted, id.len) == 0);
}

static int take_asset(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                      struct hm_error *error)
{
    const struct ledger_asset_filter *filter = page->filter;
    ProtobufCMessage *message;
    Hypermesh__Asset *asset;
    int rc = ledger_page_peek(page, &hypermesh__asset__descriptor, value, &message, error);

    (void)id;
    if (rc)
        return rc;
    asset = (Hypermesh__Asset *)message;
    if (filter &&
        (!filter_id(filter->owner, asset->owner) || (filter->kind && filter->kind != asset->kind)))
        return 0;
    if ((!filter || !filter->with_retired) && asset->state == HYPERMESH__ASSET_STATE__RETIRED)
        return 0;
    return ledger_page_keep(page, &hypermesh__asset__descriptor, value, error);
}

static bool lease_holds(const Hypermesh__Lease *lease, const uint8_t *asset)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        if (filter_id(asset, lease->items[i]->asset))
            return true;
    }
    return false;
}

static int take_lease(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                      struct hm_error *error)
{
    const struct ledger_lease_filter *filter = page->filter;
    ProtobufCMessage *message;
    Hypermesh__Lease *lease;
    int rc = ledger_page_peek(page, &hypermesh__lease__descriptor, value, &message, error);

    (void)id;
    if (rc)
        return rc;
    lease = (Hypermesh__Lease *)message;
    if (filter && ((!filter_id(filter->party, lease->consumer) &&
                    !filter_id(filter->party, lease->provider)) ||
                   (filter->asset && !lease_holds(lease, filter->asset)) ||
                   (filter->active_only && lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)))
        return 0;
    return ledger_page_keep(page, &hypermesh__lease__descriptor, value, error);
}

int ledger_view_assets(struct ledger_view *view, const struct ledger_asset_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Asset ***out, size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    page.filter = filter;
    if (filter && filter->owner)
        rc = ledger_page_listed(&page,
                                filter->with_retired ? LEDGER_INDEX_ASSET_ALL : LEDGER_INDEX_ASSET,
                                filter->owner, after, LEDGER_KEY_ASSET, take_asset, error);
    else
        rc = ledger_page_walk(&page, LEDGER_KEY_ASSET, (struct hm_slice){0}, after, take_asset,
                              error);
    if (rc)
        return rc;
    *out = (Hypermesh__Asset **)page.messages;
    *count = page.count;
    return 0;
}

/* By the index that holds the fewest that the filter does not want. */
static int leases_walk(struct ledger_page *page, const struct ledger_lease_filter *filter,
                       const uint8_t *after, struct hm_error *error)
{
    const uint8_t *who = ledger_everybody;
    uint8_t kind = LEDGER_INDEX_LEASE;

    if (filter && filter->party) {
        who = filter->party;
        kind = filter->active_only ? LEDGER_INDEX_LEASE : LEDGER_INDEX_LEASE_ALL;
    } else if (filter && filter->asset) {
        who = filter->asset;
        kind = LEDGER_INDEX_LEASED;
    } else if (!filter || !filter->active_only) {
        return ledger_page_walk(page, LEDGER_KEY_LEASE, (struct hm_slice){0}, after, take_lease,
                                error);
    }
    return ledger_page_listed(page, kind, who, after, LEDGER_KEY_LEASE, take_lease, error);
}

int ledger_view_leases(struct ledger_view *view, const struct ledger_lease_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Lease ***out, size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    page.filter = filter;
    rc = leases_walk(&page, filter, after, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Lease **)page.messages;
    *count = page.count;
    return 0;
}

/* Lines of an asset's history from number `from`. */
static int history_walk(struct ledger_page *page, const uint8_t id[32], uint64_t from,
                        struct hm_error *error)
{
    uint8_t start[LEDGER_ID_BYTES + 8];
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(page->view->txn, LEDGER_TABLE_HISTORY, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, ledger_key_numbered(id, from, start), &key, &value);
    while (rc == 0 && page->count < page->limit && key.len == sizeof start &&
           memcmp(key.data, id, LEDGER_ID_BYTES) == 0) {
        ProtobufCMessage *message;

        rc = ledger_view_unpack(&hypermesh__asset_event__descriptor, value, LEDGER_STATE_MAX_BYTES,
                                page->arena, &message, error);
        if (rc)
            break;
        page->messages[page->count++] = message;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

/* Lines of before are missing where a node began with a snapshot: what is asked for from there on is refused, with the
 * number of the first that is here, rather than given with a gap. */
static int history_whole(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                         struct hm_error *error)
{
    uint8_t start[LEDGER_ID_BYTES + 8];
    struct ledger_first first;
    struct hm_arena arena;
    Hypermesh__Asset *asset;
    struct hm_slice value;
    uint64_t here = from;
    int rc = ledger_first_read(view->txn, &first, error);

    if (rc || first.height == 1)
        return rc;
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES * 4);
    rc = ledger_view_asset(view, id, &arena, &asset, NULL);
    while (rc == 0 && here < asset->events &&
           store_get(view->txn, LEDGER_TABLE_HISTORY, ledger_key_numbered(id, here, start),
                     &value) == HM_ENOTFOUND)
        here++;
    hm_arena_release(&arena);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : hm_fail(error, rc, "an asset could not be read");
    if (here == from)
        return 0;
    return hm_fail(error, HM_ENOTFOUND,
                   "line %llu of the asset's history is of a block before %llu, where this node "
                   "began: it has lines from %llu on",
                   (unsigned long long)from, (unsigned long long)first.height,
                   (unsigned long long)here);
}

int ledger_view_asset_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                              size_t limit, struct hm_arena *arena, Hypermesh__AssetEvent ***out,
                              size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = history_whole(view, id, from, error);

    if (rc == 0)
        rc = ledger_page_init(&page, view, limit, arena, error);
    if (rc)
        return rc;
    rc = history_walk(&page, id, from, error);
    if (rc)
        return rc;
    *out = (Hypermesh__AssetEvent **)page.messages;
    *count = page.count;
    return 0;
}
