/* Views: leases and rules of the key-value store. */
#include "ledger_kv.h"
#include "ledger_view_kv.h"

/* Values of the state from start on that begin with the byte of start, as messages or as they are. */
struct pages {
    const ProtobufCMessageDescriptor *descriptor;
    struct hm_arena *arena;
    size_t limit;
    void **list;
    size_t count;
};

static int pages_walk(struct ledger_view *view, struct hm_slice start, struct pages *pages,
                      struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice value;
    struct hm_slice key;
    int found;
    int rc;

    if (pages->limit == 0 || pages->limit > LEDGER_PAGE_MAX)
        return hm_fail(error, HM_ELIMIT, "a page has 1 to %d entries, not %zu", LEDGER_PAGE_MAX,
                       pages->limit);
    pages->list = hm_arena_alloc(pages->arena, pages->limit * sizeof(void *));
    if (!pages->list)
        return hm_fail(error, HM_ENOMEM, "no memory for a page");
    rc = store_cursor_open(view->txn, LEDGER_TABLE_STATE, &cursor, error);
    if (rc)
        return rc;
    found = store_cursor_seek(cursor, start, &key, &value);
    while (found == 0 && rc == 0 && key.data[0] == start.data[0] && pages->count < pages->limit) {
        ProtobufCMessage *message;

        rc = ledger_view_unpack(pages->descriptor, value, LEDGER_STATE_MAX_BYTES, pages->arena,
                                &message, error);
        if (rc == 0)
            pages->list[pages->count++] = message;
        found = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    if (rc == 0 && found && found != HM_ENOTFOUND)
        rc = ledger_view_kv_failed(found, error);
    return rc;
}

int ledger_view_kv_lease(struct ledger_view *view, uint64_t id, struct hm_arena *arena,
                         Hypermesh__KvLease **out, struct hm_error *error)
{
    uint8_t room[LEDGER_KEY_KV_LEASE_BYTES];
    ProtobufCMessage *message;
    struct hm_slice value;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE, ledger_key_kv_lease(id, room), &value,
                             error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, rc, "there is no lease %llu; it may have expired or been revoked",
                       (unsigned long long)id);
    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__kv_lease__descriptor, value, LEDGER_STATE_MAX_BYTES,
                                arena, &message, error);
    if (rc == 0)
        *out = (Hypermesh__KvLease *)message;
    return rc;
}

int ledger_view_kv_leases(struct ledger_view *view, uint64_t after, size_t limit,
                          struct hm_arena *arena, Hypermesh__KvLease ***out, size_t *count,
                          struct hm_error *error)
{
    struct pages pages = {
        .descriptor = &hypermesh__kv_lease__descriptor, .arena = arena, .limit = limit};
    uint8_t room[LEDGER_KEY_KV_LEASE_BYTES];
    int rc;

    if (after == UINT64_MAX) {
        *out = NULL;
        *count = 0;
        return 0;
    }
    rc = pages_walk(view, ledger_key_kv_lease(after + 1, room), &pages, error);
    if (rc)
        return rc;
    *out = (Hypermesh__KvLease **)pages.list;
    *count = pages.count;
    return 0;
}

int ledger_view_kv_rules(struct ledger_view *view, struct hm_slice after, size_t limit,
                         struct hm_arena *arena, Hypermesh__KvRule ***out, size_t *count,
                         struct hm_error *error)
{
    struct pages pages = {
        .descriptor = &hypermesh__kv_rule__descriptor, .arena = arena, .limit = limit};
    uint8_t room[LEDGER_KEY_KV_BYTES + 1];
    struct hm_slice start;
    int rc;

    if (after.len > LEDGER_KV_KEY_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a prefix has at most %d bytes, this has %zu",
                       LEDGER_KV_KEY_MAX_BYTES, after.len);
    start = ledger_key_kv(LEDGER_KEY_KV_RULE, after, room);
    if (after.data) /* NULL: from the first, which may be the empty prefix */
        room[start.len++] = 0;
    rc = pages_walk(view, start, &pages, error);
    if (rc)
        return rc;
    *out = (Hypermesh__KvRule **)pages.list;
    *count = pages.count;
    return 0;
}

int ledger_view_kv_lease_keys(struct ledger_view *view, uint64_t id, struct hm_slice after,
                              size_t limit, struct hm_arena *arena, struct hm_slice **keys,
                              size_t *count, struct hm_error *error)
{
    uint8_t room[LEDGER_KEY_KV_HELD_BYTES + 1];
    struct store_cursor *cursor;
    struct hm_slice *list;
    struct hm_slice start;
    struct hm_slice value;
    struct hm_slice key;
    size_t taken = 0;
    int rc;

    if (limit == 0 || limit > LEDGER_PAGE_MAX)
        return hm_fail(error, HM_ELIMIT, "a page has 1 to %d entries, not %zu", LEDGER_PAGE_MAX,
                       limit);
    if (after.len > LEDGER_KV_KEY_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a key has at most %d bytes, this has %zu",
                       LEDGER_KV_KEY_MAX_BYTES, after.len);
    list = hm_arena_alloc(arena, limit * sizeof *list);
    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory for a page");
    rc = store_cursor_open(view->txn, LEDGER_TABLE_STATE, &cursor, error);
    if (rc)
        return rc;
    start = ledger_key_kv_held(id, after, room);
    if (after.data)
        room[start.len++] = 0;
    rc = store_cursor_seek(cursor, start, &key, &value);
    while (rc == 0 && taken < limit && key.len > 9 && memcmp(key.data, room, 9) == 0) {
        uint8_t *copy = hm_arena_dup(arena, key.data + 9, key.len - 9);

        if (!copy) {
            rc = hm_fail(error, HM_ENOMEM, "no memory for a page");
            break;
        }
        list[taken++] = hm_slice_of(copy, key.len - 9);
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    if (rc && rc != HM_ENOTFOUND)
        return rc == HM_ENOMEM ? rc : ledger_view_kv_failed(rc, error);
    *keys = list;
    *count = taken;
    return 0;
}

/* --- who may --- */

/* Rules looked up in the tables: no set of them is made for one question. */
struct lookup {
    struct ledger_view *view;
    struct store_cursor *cursor;
    struct hm_arena arena;
    uint8_t after[2][LEDGER_KV_KEY_MAX_BYTES];
    unsigned turn;
};

static size_t common_length(struct hm_slice a, struct hm_slice b)
{
    size_t len = 0;

    while (len < a.len && len < b.len && a.data[len] == b.data[len])
        len++;
    return len;
}

/* The last rule <= key is the one, or shares with it the beginning at which to look again. */
static int lookup_find(void *ctx, struct hm_slice key, const Hypermesh__KvRule **out,
                       struct hm_error *error)
{
    struct lookup *lookup = ctx;
    uint8_t room[LEDGER_KEY_KV_BYTES + 1];
    struct hm_slice at = key;

    *out = NULL;
    for (;;) {
        struct hm_slice start = ledger_key_kv(LEDGER_KEY_KV_RULE, at, room);
        ProtobufCMessage *message;
        struct hm_slice prefix;
        struct hm_slice found;
        struct hm_slice value;
        int rc;

        room[start.len++] = 0; /* the place after `at` itself */
        rc = store_cursor_seek(lookup->cursor, start, &found, &value);
        if (rc == 0 || rc == HM_ENOTFOUND)
            rc = store_cursor_prev(lookup->cursor, &found, &value);
        if (rc)
            return rc == HM_ENOTFOUND ? 0 : ledger_view_kv_failed(rc, error);
        if (found.data[0] != LEDGER_KEY_KV_RULE)
            return 0;
        prefix = hm_slice_of(found.data + 1, found.len - 1);
        at.len = common_length(at, prefix);
        if (at.len < prefix.len)
            continue;
        rc = ledger_view_unpack(&hypermesh__kv_rule__descriptor, value, LEDGER_STATE_MAX_BYTES,
                                &lookup->arena, &message, error);
        if (rc == 0)
            *out = (const Hypermesh__KvRule *)message;
        return rc;
    }
}

static int lookup_after(void *ctx, struct hm_slice key, struct hm_slice *prefix,
                        struct hm_error *error)
{
    struct lookup *lookup = ctx;
    uint8_t room[LEDGER_KEY_KV_BYTES + 1];
    struct hm_slice start = ledger_key_kv(LEDGER_KEY_KV_RULE, key, room);
    struct hm_slice found;
    struct hm_slice value;
    int rc;

    *prefix = (struct hm_slice){0};
    room[start.len++] = 0;
    rc = store_cursor_seek(lookup->cursor, start, &found, &value);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : ledger_view_kv_failed(rc, error);
    if (found.data[0] != LEDGER_KEY_KV_RULE || found.len > LEDGER_KEY_KV_BYTES)
        return 0;
    /* The slice must outlast the next move of the cursor; two take turns, as two are held at a time. */
    lookup->turn ^= 1;
    memcpy(lookup->after[lookup->turn], found.data + 1, found.len - 1);
    *prefix = hm_slice_of(lookup->after[lookup->turn], found.len - 1);
    return 0;
}

int ledger_view_kv_allowed(struct ledger_view *view, const uint8_t account[32], struct hm_slice key,
                           struct hm_slice range_end, bool write, struct hm_error *error)
{
    struct lookup lookup = {.view = view};
    struct ledger_kv_rule_source source = {
        .ctx = &lookup, .find = lookup_find, .after = lookup_after};
    struct ledger_kv_span span;
    size_t steps;
    int rc = ledger_kv_span_of(key, range_end, &span, error);

    if (rc == 0)
        rc = store_cursor_open(view->txn, LEDGER_TABLE_STATE, &lookup.cursor, error);
    if (rc)
        return rc;
    hm_arena_init(&lookup.arena, (size_t)LEDGER_KV_RULES_MAX * LEDGER_STATE_MAX_BYTES / 16);
    rc = ledger_kv_admit(&source, hm_slice_of(account, LEDGER_ID_BYTES), &span, write, &steps,
                         error);
    store_cursor_close(lookup.cursor);
    hm_arena_release(&lookup.arena);
    return rc;
}
