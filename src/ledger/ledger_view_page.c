/* Pages: up to so many messages in order of id, from the state or by the index. */
#include "ledger_view.h"

int ledger_page_init(struct ledger_page *page, struct ledger_view *view, size_t limit,
                     struct hm_arena *arena, struct hm_error *error)
{
    if (limit == 0 || limit > LEDGER_PAGE_MAX)
        return hm_fail(error, HM_ELIMIT, "a page has 1 to %d entries, not %zu", LEDGER_PAGE_MAX,
                       limit);
    *page = (struct ledger_page){.view = view, .arena = arena, .limit = limit};
    page->messages = hm_arena_alloc(arena, limit * sizeof(void *));
    if (!page->messages)
        return hm_fail(error, HM_ENOMEM, "no memory for a page");
    hm_arena_init(&page->scratch, LEDGER_TX_ARENA_BYTES);
    return 0;
}

/* A key of the page: what all have in common, then the id, then a zero byte where the walk starts past it. */
struct place {
    uint8_t key[1 + 2 * LEDGER_ID_BYTES + 1];
    size_t head;
};

static bool place_init(struct place *place, uint8_t prefix, struct hm_slice head)
{
    if (head.len > LEDGER_ID_BYTES)
        return false;
    place->key[0] = prefix;
    if (head.len > 0)
        memcpy(place->key + 1, head.data, head.len);
    place->head = 1 + head.len;
    return true;
}

static struct hm_slice place_start(struct place *place, const uint8_t *after)
{
    if (!after)
        return hm_slice_of(place->key, place->head);
    memcpy(place->key + place->head, after, LEDGER_ID_BYTES);
    place->key[place->head + LEDGER_ID_BYTES] = 0; /* the smallest key past it */
    return hm_slice_of(place->key, place->head + LEDGER_ID_BYTES + 1);
}

static bool place_holds(const struct place *place, struct hm_slice key)
{
    return key.len == place->head + LEDGER_ID_BYTES &&
           memcmp(key.data, place->key, place->head) == 0;
}

/* A value under a key of the table, or what the entry of the index names. */
static int page_entry(struct ledger_page *page, uint8_t prefix, struct hm_slice id,
                      struct hm_slice value, bool listed, ledger_page_take take,
                      struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    int rc = 0;

    if (listed)
        rc = ledger_view_get(page->view, LEDGER_TABLE_STATE, ledger_key_id(prefix, id.data, key),
                             &value, error);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    return take(page, id, value, error);
}

static int table_walk(struct ledger_page *page, unsigned table, struct place *place,
                      const uint8_t *after, uint8_t prefix, ledger_page_take take,
                      struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(page->view->txn, table, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, place_start(place, after), &key, &value);
    while (rc == 0 && place_holds(place, key)) {
        rc = page_entry(page, prefix, hm_slice_of(key.data + place->head, LEDGER_ID_BYTES), value,
                        table == LEDGER_TABLE_INDEX, take, error);
        if (rc || page->count == page->limit)
            break;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_page_walk(struct ledger_page *page, uint8_t prefix, struct hm_slice head,
                     const uint8_t *after, ledger_page_take take, struct hm_error *error)
{
    struct place place;
    int rc = HM_EINTERNAL;

    if (place_init(&place, prefix, head))
        rc = table_walk(page, LEDGER_TABLE_STATE, &place, after, prefix, take, error);
    hm_arena_release(&page->scratch);
    return rc;
}

int ledger_page_listed(struct ledger_page *page, uint8_t kind, const uint8_t *who,
                       const uint8_t *after, uint8_t prefix, ledger_page_take take,
                       struct hm_error *error)
{
    struct place place;
    int rc = HM_EINTERNAL;

    if (place_init(&place, kind, hm_slice_of(who, LEDGER_ID_BYTES)))
        rc = table_walk(page, LEDGER_TABLE_INDEX, &place, after, prefix, take, error);
    hm_arena_release(&page->scratch);
    return rc;
}

int ledger_page_peek(struct ledger_page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, ProtobufCMessage **out, struct hm_error *error)
{
    hm_arena_clear(&page->scratch);
    return ledger_view_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, &page->scratch, out,
                              error);
}

int ledger_page_keep(struct ledger_page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc = ledger_view_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, page->arena, &message,
                                error);

    if (rc == 0)
        page->messages[page->count++] = message;
    return rc;
}
