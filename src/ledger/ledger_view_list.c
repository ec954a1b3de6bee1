/* Views: pages of accounts, assets, leases and history, in order of id or time. */
#include "ledger_view.h"

/* A page being filled. */
struct page {
    struct ledger_view *view;
    struct hm_arena *arena;
    size_t limit;
    size_t count;
    void **messages;
    uint8_t *ids; /* accounts only */
    const void *filter;
    struct hm_arena scratch; /* the value that a filter looks at */
};

static int page_init(struct page *page, struct ledger_view *view, size_t limit,
                     struct hm_arena *arena, struct hm_error *error)
{
    if (limit == 0 || limit > LEDGER_PAGE_MAX)
        return hm_fail(error, HM_ELIMIT, "a page has 1 to %d entries, not %zu", LEDGER_PAGE_MAX,
                       limit);
    *page = (struct page){.view = view, .arena = arena, .limit = limit};
    page->messages = hm_arena_alloc(arena, limit * sizeof(void *));
    page->ids = hm_arena_alloc(arena, limit * LEDGER_ID_BYTES);
    if (!page->messages || !page->ids)
        return hm_fail(error, HM_ENOMEM, "no memory for a page");
    hm_arena_init(&page->scratch, LEDGER_TX_ARENA_BYTES);
    return 0;
}

/* Takes the value into the page when the filter wants it. */
typedef int (*page_take)(struct page *page, struct hm_slice id, struct hm_slice value,
                         struct hm_error *error);

/* First key of the page: the one after prefix + after. */
static struct hm_slice page_start(uint8_t prefix, const uint8_t *after,
                                  uint8_t key[LEDGER_KEY_ID_BYTES + 1])
{
    key[0] = prefix;
    if (!after)
        return hm_slice_of(key, 1);
    memcpy(key + 1, after, LEDGER_ID_BYTES);
    key[LEDGER_KEY_ID_BYTES] = 0; /* the smallest key past it */
    return hm_slice_of(key, LEDGER_KEY_ID_BYTES + 1);
}

static int page_walk(struct page *page, uint8_t prefix, const uint8_t *after, page_take take,
                     struct hm_error *error)
{
    uint8_t start[LEDGER_KEY_ID_BYTES + 1];
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(page->view->txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, page_start(prefix, after, start), &key, &value);
    while (rc == 0 && key.len == LEDGER_KEY_ID_BYTES && key.data[0] == prefix) {
        rc = take(page, hm_slice_of(key.data + 1, LEDGER_ID_BYTES), value, error);
        if (rc || page->count == page->limit)
            break;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    hm_arena_release(&page->scratch);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

/* Unpacks into the scratch arena for the filter to look at: what it leaves out must not fill the arena of the
 * request, however much there is of it. */
static int page_peek(struct page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, ProtobufCMessage **out, struct hm_error *error)
{
    hm_arena_clear(&page->scratch);
    return ledger_view_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, &page->scratch, out,
                              error);
}

static int page_keep(struct page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc = ledger_view_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, page->arena, &message,
                                error);

    if (rc == 0)
        page->messages[page->count++] = message;
    return rc;
}

static bool filter_id(const uint8_t *wanted, ProtobufCBinaryData id)
{
    return !wanted || (id.len == LEDGER_ID_BYTES && memcmp(id.data, wanted, id.len) == 0);
}

static int take_asset(struct page *page, struct hm_slice id, struct hm_slice value,
                      struct hm_error *error)
{
    const struct ledger_asset_filter *filter = page->filter;
    ProtobufCMessage *message;
    Hypermesh__Asset *asset;
    int rc = page_peek(page, &hypermesh__asset__descriptor, value, &message, error);

    (void)id;
    if (rc)
        return rc;
    asset = (Hypermesh__Asset *)message;
    if (filter &&
        (!filter_id(filter->owner, asset->owner) || (filter->kind && filter->kind != asset->kind)))
        return 0;
    if ((!filter || !filter->with_retired) && asset->state == HYPERMESH__ASSET_STATE__RETIRED)
        return 0;
    return page_keep(page, &hypermesh__asset__descriptor, value, error);
}

static bool lease_holds(const Hypermesh__Lease *lease, const uint8_t *asset)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        if (filter_id(asset, lease->items[i]->asset))
            return true;
    }
    return false;
}

static int take_lease(struct page *page, struct hm_slice id, struct hm_slice value,
                      struct hm_error *error)
{
    const struct ledger_lease_filter *filter = page->filter;
    ProtobufCMessage *message;
    Hypermesh__Lease *lease;
    int rc = page_peek(page, &hypermesh__lease__descriptor, value, &message, error);

    (void)id;
    if (rc)
        return rc;
    lease = (Hypermesh__Lease *)message;
    if (filter && ((!filter_id(filter->party, lease->consumer) &&
                    !filter_id(filter->party, lease->provider)) ||
                   (filter->asset && !lease_holds(lease, filter->asset)) ||
                   (filter->active_only && lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)))
        return 0;
    return page_keep(page, &hypermesh__lease__descriptor, value, error);
}

static int take_account(struct page *page, struct hm_slice id, struct hm_slice value,
                        struct hm_error *error)
{
    Hypermesh__Account *account;
    int rc = ledger_account_unpack(value, page->arena, &account, error);

    if (rc)
        return rc;
    memcpy(page->ids + page->count * LEDGER_ID_BYTES, id.data, LEDGER_ID_BYTES);
    page->messages[page->count++] = account;
    return 0;
}

int ledger_view_assets(struct ledger_view *view, const struct ledger_asset_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Asset ***out, size_t *count, struct hm_error *error)
{
    struct page page;
    int rc = page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    page.filter = filter;
    rc = page_walk(&page, LEDGER_KEY_ASSET, after, take_asset, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Asset **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_leases(struct ledger_view *view, const struct ledger_lease_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Lease ***out, size_t *count, struct hm_error *error)
{
    struct page page;
    int rc = page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    page.filter = filter;
    rc = page_walk(&page, LEDGER_KEY_LEASE, after, take_lease, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Lease **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_accounts(struct ledger_view *view, const uint8_t *after, size_t limit,
                         struct hm_arena *arena, uint8_t **ids, Hypermesh__Account ***out,
                         size_t *count, struct hm_error *error)
{
    struct page page;
    int rc = page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    rc = page_walk(&page, LEDGER_KEY_ACCOUNT, after, take_account, error);
    if (rc)
        return rc;
    *ids = page.ids;
    *out = (Hypermesh__Account **)page.messages;
    *count = page.count;
    return 0;
}

/* Lines of a subject's history from number `from`. */
static int history_walk(struct page *page, const uint8_t id[32], uint64_t from,
                        const ProtobufCMessageDescriptor *descriptor, struct hm_error *error)
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

        rc = ledger_view_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, page->arena, &message,
                                error);
        if (rc)
            break;
        page->messages[page->count++] = message;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_view_asset_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                              size_t limit, struct hm_arena *arena, Hypermesh__AssetEvent ***out,
                              size_t *count, struct hm_error *error)
{
    struct page page;
    int rc = page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    rc = history_walk(&page, id, from, &hypermesh__asset_event__descriptor, error);
    if (rc)
        return rc;
    *out = (Hypermesh__AssetEvent **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_account_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                                size_t limit, struct hm_arena *arena, Hypermesh__TxLocation ***out,
                                size_t *count, struct hm_error *error)
{
    struct page page;
    int rc = page_init(&page, view, limit, arena, error);

    if (rc)
        return rc;
    rc = history_walk(&page, id, from, &hypermesh__tx_location__descriptor, error);
    if (rc)
        return rc;
    *out = (Hypermesh__TxLocation **)page.messages;
    *count = page.count;
    return 0;
}
