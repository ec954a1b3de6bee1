/* Views: what changed in the key-value store, for watches. */
#include "ledger_kv.h"
#include "ledger_restore.h"
#include "ledger_view_kv.h"

#define CHANGE_BYTES ((size_t)128) /* counted for each beside its key and value */

/* Changes being collected. Of the revision that does not fit any more nothing is given, unless it is the first:
 * then as much as fits. */
struct feed {
    struct ledger_view *view;
    struct ledger_kv_span span;
    struct ledger_kv_totals totals;
    struct hm_arena *arena;
    struct store_cursor *past; /* NULL: no previous entries */
    size_t limit;
    Hypermesh__KvEvent **events;
    Hypermesh__KvEntry **previous;
    size_t count;
    size_t cap;
    size_t bytes;
    size_t whole; /* events of revisions that are complete */
    size_t lines; /* looked at */
    uint64_t revision; /* that is being collected */
    uint64_t next;
    uint32_t next_sub;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for changes");
}

static int feed_room(struct feed *feed, struct hm_error *error)
{
    size_t cap = feed->cap ? feed->cap * 2 : 16;
    Hypermesh__KvEvent **events;
    Hypermesh__KvEntry **previous;

    if (feed->count < feed->cap)
        return 0;
    events = hm_arena_alloc(feed->arena, cap * sizeof(Hypermesh__KvEvent *));
    previous = hm_arena_alloc(feed->arena, cap * sizeof(Hypermesh__KvEntry *));
    if (!events || !previous)
        return no_memory(error);
    if (feed->count > 0) {
        memcpy(events, feed->events, feed->count * sizeof(Hypermesh__KvEvent *));
        memcpy(previous, feed->previous, feed->count * sizeof(Hypermesh__KvEntry *));
    }
    feed->events = events;
    feed->previous = previous;
    feed->cap = cap;
    return 0;
}

/* The key's entry before the change, when history still has it: at the revision before this one. */
static int previous_take(struct feed *feed, const struct ledger_kv_event *event,
                         Hypermesh__KvEntry **out, struct hm_error *error)
{
    struct ledger_kv_past_key key;
    struct ledger_kv_event before;
    bool found;
    int rc;

    *out = NULL;
    if (!feed->past || event->revision <= feed->totals.compacted)
        return 0;
    ledger_kv_past_begin(event->key, &key);
    rc = ledger_view_kv_before(feed->view, feed->past, &key,
                               ledger_kv_past_line(&key, event->revision, event->sub), &before,
                               &found, error);
    if (rc || !found || before.deleted)
        return rc;
    *out = ledger_kv_entry_message(&before.entry, false, feed->arena);
    feed->bytes += before.entry.value.len;
    return *out ? 0 : no_memory(error);
}

static int event_take(struct feed *feed, const struct ledger_kv_event *event,
                      struct hm_error *error)
{
    Hypermesh__KvEvent *message = hm_arena_alloc(feed->arena, sizeof *message);
    uint8_t *key = hm_arena_dup(feed->arena, event->key.data, event->key.len);
    int rc = message && key ? feed_room(feed, error) : no_memory(error);

    if (rc)
        return rc;
    *message = (Hypermesh__KvEvent)HYPERMESH__KV_EVENT__INIT;
    message->revision = event->revision;
    message->sub = event->sub;
    message->key = wire_bytes(key, event->key.len);
    message->deleted = event->deleted;
    message->height = event->height;
    if (!event->deleted) {
        message->entry = ledger_kv_entry_message(&event->entry, false, feed->arena);
        if (!message->entry)
            return no_memory(error);
    }
    rc = previous_take(feed, event, &feed->previous[feed->count], error);
    if (rc)
        return rc;
    feed->events[feed->count++] = message;
    feed->bytes += CHANGE_BYTES + event->key.len + event->entry.value.len;
    return 0;
}

/* Ends the feed before this change. */
static void feed_cut(struct feed *feed, const struct ledger_kv_event *event)
{
    if (feed->whole > 0) {
        feed->count = feed->whole;
        feed->next = event->revision;
        feed->next_sub = 0;
        return;
    }
    feed->next = event->revision;
    feed->next_sub = event->sub;
}

/* *done: the feed is full. */
static int line_take(struct feed *feed, struct hm_slice value, bool *done, struct hm_error *error)
{
    struct ledger_kv_event event;
    size_t bytes;

    if (ledger_kv_event_read(value, &event))
        return hm_fail(error, HM_ECORRUPT, "the history of the key-value store is damaged");
    if (event.revision != feed->revision) {
        feed->revision = event.revision;
        feed->whole = feed->count;
        if (feed->lines >= LEDGER_KV_SCAN_MAX) {
            feed->next = event.revision;
            feed->next_sub = 0;
            *done = true;
            return 0;
        }
    }
    feed->lines++;
    if (!ledger_kv_span_has(&feed->span, event.key))
        return 0;
    bytes = CHANGE_BYTES + event.key.len + event.entry.value.len;
    if (feed->count == feed->limit ||
        (feed->count > 0 && feed->bytes + bytes > LEDGER_KV_ANSWER_MAX_BYTES)) {
        feed_cut(feed, &event);
        *done = true;
        return 0;
    }
    return event_take(feed, &event, error);
}

static int feed_run(struct feed *feed, uint64_t from, uint32_t sub, struct hm_error *error)
{
    uint8_t start[LEDGER_KV_LOG_KEY_BYTES];
    struct store_cursor *cursor;
    struct hm_slice value;
    struct hm_slice key;
    bool done = false;
    int rc = store_cursor_open(feed->view->txn, LEDGER_TABLE_KV_LOG, &cursor, error);
    int found;

    if (rc)
        return rc;
    found = store_cursor_seek(cursor, ledger_kv_log_key(from, sub, start), &key, &value);
    while (found == 0 && rc == 0 && !done) {
        rc = line_take(feed, value, &done, error);
        if (rc == 0 && !done)
            found = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    if (rc == 0 && found && found != HM_ENOTFOUND)
        rc = ledger_view_kv_failed(found, error);
    return rc;
}

/* Of the revision that a snapshot had as its newest, this node knows what it left, not all that it did. */
static int feed_since(struct feed *feed, uint64_t from, struct hm_error *error)
{
    struct ledger_first first;
    int rc = ledger_first_read(feed->view->txn, &first, error);

    if (rc == 0 && first.kv && from <= first.kv)
        rc = hm_fail(error, HM_ERANGE,
                     "changes of revision %llu are not on this node, which began with a snapshot: "
                     "it has them from %llu on",
                     (unsigned long long)from, (unsigned long long)first.kv + 1);
    return rc ? rc : ledger_view_kv_since(&feed->totals, from, error);
}

int ledger_view_kv_changes(struct ledger_view *view, struct hm_slice key, struct hm_slice range_end,
                           uint64_t from, uint32_t sub, size_t limit, struct hm_arena *arena,
                           Hypermesh__KvEvent ***out, Hypermesh__KvEntry ***previous, size_t *count,
                           uint64_t *next, uint32_t *next_sub, struct hm_error *error)
{
    struct feed feed = {.view = view, .arena = arena, .limit = limit};
    int rc = ledger_kv_span_of(key, range_end, &feed.span, error);

    if (rc == 0)
        rc = ledger_kv_totals_read(view->txn, &feed.totals, error);
    if (rc == 0)
        rc = feed_since(&feed, from, error);
    if (rc)
        return rc;
    if (limit == 0)
        return hm_fail(error, HM_ELIMIT, "a page of changes has 1 or more");
    feed.next = from > feed.totals.revision ? from : feed.totals.revision + 1;
    if (previous)
        rc = store_cursor_open(view->txn, LEDGER_TABLE_KV_PAST, &feed.past, error);
    if (rc)
        return rc;
    rc = feed_run(&feed, from, sub, error);
    if (feed.past)
        store_cursor_close(feed.past);
    if (rc)
        return rc;
    *out = feed.events;
    if (previous)
        *previous = feed.previous;
    *count = feed.count;
    *next = feed.next;
    *next_sub = feed.next_sub;
    return 0;
}
