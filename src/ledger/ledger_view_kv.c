/* Views: keys and values of the key-value store, as they are and as they were at any revision since the last
 * compaction. */
#include "ledger_kv.h"
#include "ledger_restore.h"
#include "ledger_view_kv.h"

int ledger_view_kv_state(struct ledger_view *view, struct hm_arena *arena, Hypermesh__KvState **out,
                         struct hm_error *error)
{
    Hypermesh__KvState *state = hm_arena_alloc(arena, sizeof *state);
    struct ledger_kv_totals totals;
    int rc = state ? ledger_kv_totals_read(view->txn, &totals, error)
                   : hm_fail(error, HM_ENOMEM, "no memory to read the key-value store");

    if (rc == 0)
        rc = ledger_first_kv(view->txn, &totals.compacted, error);
    if (rc)
        return rc;
    *state = (Hypermesh__KvState)HYPERMESH__KV_STATE__INIT;
    state->revision = totals.revision;
    state->compacted = totals.compacted;
    state->keys = totals.keys;
    state->leases = totals.leases;
    state->swept = totals.swept;
    *out = state;
    return 0;
}

int ledger_view_kv_since(const struct ledger_kv_totals *totals, uint64_t revision,
                         struct hm_error *error)
{
    if (revision < totals->compacted)
        return hm_fail(error, HM_ERANGE,
                       "revision %llu has been compacted: there is history from %llu on",
                       (unsigned long long)revision, (unsigned long long)totals->compacted);
    return 0;
}

int ledger_view_kv_failed(int rc, struct hm_error *error)
{
    return hm_fail(error, rc, "the key-value store could not be read");
}

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "the key-value store is damaged");
}

/* An answer being filled. */
struct answer {
    const struct ledger_kv_query *query;
    struct ledger_kv_span span;
    struct hm_arena *arena;
    size_t limit;
    Hypermesh__KvPair **pairs;
    size_t count;
    size_t cap;
    size_t bytes;
    uint64_t total;
    bool more;
};

static int pair_take(struct answer *answer, struct hm_slice key,
                     const struct ledger_kv_entry *entry, struct hm_error *error)
{
    bool keys_only = answer->query->keys_only;
    size_t bytes = key.len + (keys_only ? 0 : entry->value.len);
    Hypermesh__KvPair *pair;
    uint8_t *copy;

    answer->total++;
    if (answer->query->count_only)
        return 0;
    if (answer->more || answer->count == answer->limit ||
        (answer->count > 0 && answer->bytes + bytes > LEDGER_KV_ANSWER_MAX_BYTES)) {
        answer->more = true;
        return 0;
    }
    if (answer->count == answer->cap) {
        size_t cap = answer->cap ? answer->cap * 2 : 8;
        Hypermesh__KvPair **list = hm_arena_alloc(answer->arena, cap * sizeof(Hypermesh__KvPair *));

        if (!list)
            return hm_fail(error, HM_ENOMEM, "no memory for an answer");
        if (answer->count > 0)
            memcpy(list, answer->pairs, answer->count * sizeof(Hypermesh__KvPair *));
        answer->pairs = list;
        answer->cap = cap;
    }
    pair = hm_arena_alloc(answer->arena, sizeof *pair);
    copy = hm_arena_dup(answer->arena, key.data, key.len);
    if (!pair || !copy)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    *pair = (Hypermesh__KvPair)HYPERMESH__KV_PAIR__INIT;
    pair->key = wire_bytes(copy, key.len);
    pair->entry = ledger_kv_entry_message(entry, keys_only, answer->arena);
    if (!pair->entry)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    answer->pairs[answer->count++] = pair;
    answer->bytes += bytes;
    return 0;
}

/* --- as it is --- */

static int one_now(struct ledger_view *view, struct answer *answer, struct hm_error *error)
{
    uint8_t room[LEDGER_KEY_KV_BYTES];
    struct ledger_kv_entry entry;
    struct hm_slice value;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE,
                             ledger_key_kv(LEDGER_KEY_KV, answer->span.first, room), &value, error);

    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    if (ledger_kv_entry_read(value, &entry))
        return damaged(error);
    return pair_take(answer, answer->span.first, &entry, error);
}

static int range_now(struct ledger_view *view, struct answer *answer, uint64_t keys,
                     struct hm_error *error)
{
    const struct ledger_kv_span *span = &answer->span;
    /* Of all keys the number is known. */
    bool whole = span->open && span->first.len == 1 && span->first.data[0] == 0;
    uint8_t room[2][LEDGER_KEY_KV_BYTES + 1];
    struct store_cursor *cursor;
    struct hm_slice start;
    struct hm_slice value;
    struct hm_slice end;
    struct hm_slice key;
    int rc = store_cursor_open(view->txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    ledger_kv_span_bounds(span, room[0], room[1], &start, &end);
    rc = store_cursor_seek(cursor, start, &key, &value);
    for (; rc == 0 && hm_slice_compare(key, end) < 0;
         rc = store_cursor_next(cursor, &key, &value)) {
        struct ledger_kv_entry entry;

        if (whole && (answer->more || answer->query->count_only)) {
            answer->total = keys;
            break;
        }
        rc = ledger_kv_entry_read(value, &entry)
                 ? damaged(error)
                 : pair_take(answer, hm_slice_of(key.data + 1, key.len - 1), &entry, error);
        if (rc)
            break;
    }
    store_cursor_close(cursor);
    if (rc == HM_ENOTFOUND)
        return 0;
    return rc && !hm_error_is_fatal(rc) ? ledger_view_kv_failed(rc, error) : rc;
}

/* --- as it was --- */

struct past {
    struct ledger_view *view;
    struct store_cursor *cursor;
    uint64_t revision;
};

int ledger_view_kv_event(struct ledger_view *view, uint64_t revision, uint32_t sub,
                         struct ledger_kv_event *out, struct hm_error *error)
{
    uint8_t room[LEDGER_KV_LOG_KEY_BYTES];
    struct hm_slice value;
    int rc = ledger_view_get(view, LEDGER_TABLE_KV_LOG, ledger_kv_log_key(revision, sub, room),
                             &value, error);

    if (rc == HM_ENOTFOUND || (rc == 0 && ledger_kv_event_read(value, out)))
        return damaged(error);
    return rc;
}

int ledger_view_kv_before(struct ledger_view *view, struct store_cursor *past,
                          struct ledger_kv_past_key *key, struct hm_slice limit,
                          struct ledger_kv_event *out, bool *found, struct hm_error *error)
{
    struct hm_slice line;
    struct hm_slice value;
    uint64_t revision;
    uint32_t sub;
    int rc = store_cursor_seek(past, limit, &line, &value);

    *found = false;
    if (rc == 0 || rc == HM_ENOTFOUND)
        rc = store_cursor_prev(past, &line, &value);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : ledger_view_kv_failed(rc, error);
    if (!ledger_kv_past_of(key, line, &revision, &sub))
        return 0;
    rc = ledger_view_kv_event(view, revision, sub, out, error);
    *found = rc == 0;
    return rc;
}

/* The key as of the revision: its last line that is not newer. */
static int key_then(struct past *past, struct answer *answer, struct hm_slice key,
                    struct hm_error *error)
{
    struct ledger_kv_past_key at;
    struct ledger_kv_event event;
    bool found;
    int rc;

    ledger_kv_past_begin(key, &at);
    rc = ledger_view_kv_before(past->view, past->cursor, &at,
                               ledger_kv_past_line(&at, past->revision + 1, 0), &event, &found,
                               error);
    if (rc || !found || event.deleted)
        return rc;
    return pair_take(answer, key, &event.entry, error);
}

/* From key to key, over the lines of each. */
static int range_then(struct past *past, struct answer *answer, struct hm_error *error)
{
    uint8_t room[LEDGER_KV_KEY_MAX_BYTES];
    struct ledger_kv_past_key at;
    struct hm_slice line;
    struct hm_slice value;
    struct hm_slice key;
    uint64_t revision;
    uint32_t sub;
    int rc;

    ledger_kv_past_begin(answer->span.first, &at);
    rc = store_cursor_seek(past->cursor, ledger_kv_past_line(&at, 0, 0), &line, &value);
    while (rc == 0) {
        if (ledger_kv_past_read(line, room, &key, &revision, &sub))
            return damaged(error);
        if (!ledger_kv_span_has(&answer->span, key))
            return 0;
        rc = key_then(past, answer, key, error);
        if (rc)
            return rc;
        ledger_kv_past_begin(key, &at);
        rc = store_cursor_seek(past->cursor, ledger_kv_past_after(&at), &line, &value);
    }
    return rc == HM_ENOTFOUND ? 0 : ledger_view_kv_failed(rc, error);
}

static int answer_then(struct ledger_view *view, struct answer *answer, struct hm_error *error)
{
    struct past past = {.view = view, .revision = answer->query->revision};
    int rc = store_cursor_open(view->txn, LEDGER_TABLE_KV_PAST, &past.cursor, error);

    if (rc)
        return rc;
    rc = answer->span.one ? key_then(&past, answer, answer->span.first, error)
                          : range_then(&past, answer, error);
    store_cursor_close(past.cursor);
    return rc;
}

int ledger_view_kv_range(struct ledger_view *view, const struct ledger_kv_query *query,
                         struct hm_arena *arena, Hypermesh__KvPair ***out, size_t *count,
                         uint64_t *total, bool *more, struct hm_error *error)
{
    struct answer answer = {.query = query, .arena = arena, .limit = query->limit};
    struct ledger_kv_totals totals;
    int rc = ledger_kv_span_of(query->key, query->range_end, &answer.span, error);

    if (rc == 0)
        rc = ledger_kv_totals_read(view->txn, &totals, error);
    if (rc == 0)
        rc = ledger_first_kv(view->txn, &totals.compacted, error);
    if (rc)
        return rc;
    if (answer.limit == 0 || answer.limit > LEDGER_KV_RANGE_MAX)
        answer.limit = LEDGER_KV_RANGE_MAX;
    if (query->revision > totals.revision)
        return hm_fail(error, HM_ERANGE, "revision %llu is in the future, the newest is %llu",
                       (unsigned long long)query->revision, (unsigned long long)totals.revision);
    if (query->revision)
        rc = ledger_view_kv_since(&totals, query->revision, error);
    if (rc)
        return rc;
    if (query->revision && query->revision < totals.revision)
        rc = answer_then(view, &answer, error);
    else if (answer.span.one)
        rc = one_now(view, &answer, error);
    else
        rc = range_now(view, &answer, totals.keys, error);
    if (rc)
        return rc;
    *out = answer.pairs;
    *count = answer.count;
    *total = answer.total;
    *more = answer.more;
    return 0;
}
