#include "ledger_overlay.h"

#include <stdlib.h>

#include "ledger.h"
#include "ledger_limits.h"

void ledger_overlay_init(struct ledger_overlay *overlay, struct store_txn *txn,
                         struct hm_arena *arena, const uint8_t *seed)
{
    *overlay = (struct ledger_overlay){.txn = txn, .arena = arena};
    ledger_map_init(&overlay->map, arena, seed);
}

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the changes of a block");
}

/* Sets value to a copy of bytes; room that is there already is used again, because one account may be
 * written thousands of times in a block. */
static int value_set(struct ledger_overlay *overlay, struct ledger_value *value,
                     struct hm_slice bytes, struct hm_error *error)
{
    if (bytes.len > value->cap || !value->data) {
        size_t cap = bytes.len + bytes.len / 4 + 16;
        uint8_t *data = hm_arena_alloc(overlay->arena, cap);

        if (!data)
            return no_memory(error);
        value->data = data;
        value->cap = cap;
        overlay->held += cap;
    }
    if (bytes.len > 0)
        memcpy(value->data, bytes.data, bytes.len);
    value->len = bytes.len;
    value->present = true;
    return 0;
}

/* Finds the entry, reading it from the store at the first touch. */
static int entry_of(struct ledger_overlay *overlay, struct hm_slice key,
                    struct ledger_overlay_entry **out, struct hm_error *error)
{
    struct ledger_map_entry *known = ledger_map_find(&overlay->map, key);
    struct ledger_overlay_entry *entry;
    struct hm_slice stored;
    int rc;

    if (known) {
        *out = known->value;
        return 0;
    }
    entry = hm_arena_alloc(overlay->arena, sizeof *entry);
    if (!entry)
        return no_memory(error);
    rc = store_get(overlay->txn, LEDGER_TABLE_STATE, key, &stored);
    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the state table could not be read");
    if (rc == 0) {
        rc = value_set(overlay, &entry->before, stored, error);
        if (rc)
            return rc;
        /* Shared until the first put: cap 0 makes that put take memory of its own. */
        entry->now = entry->before;
        entry->now.cap = 0;
    }
    if (!ledger_map_add(&overlay->map, key, entry))
        return no_memory(error);
    overlay->held += LEDGER_ENTRY_BYTES;
    *out = entry;
    return 0;
}

static int stored_peek(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice *value,
                       struct hm_error *error)
{
    int rc = store_get(overlay->txn, LEDGER_TABLE_STATE, key, value);

    return rc && rc != HM_ENOTFOUND ? hm_fail(error, rc, "the state table could not be read") : rc;
}

int ledger_overlay_get(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice *value,
                       struct hm_error *error)
{
    struct ledger_overlay_entry *entry;

    return ledger_overlay_open(overlay, key, &entry, value, error);
}

int ledger_overlay_open(struct ledger_overlay *overlay, struct hm_slice key,
                        struct ledger_overlay_entry **out, struct hm_slice *value,
                        struct hm_error *error)
{
    struct ledger_overlay_entry *entry;
    int rc = entry_of(overlay, key, &entry, error);

    if (rc)
        return rc;
    *out = entry;
    if (entry->blind && !entry->touched)
        return stored_peek(overlay, key, value, error);
    if (!entry->now.present)
        return HM_ENOTFOUND;
    *value = hm_slice_of(entry->now.data, entry->now.len);
    return 0;
}

int ledger_overlay_peek(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice *value,
                        struct hm_error *error)
{
    struct ledger_map_entry *known = ledger_map_find(&overlay->map, key);

    return known ? ledger_overlay_get(overlay, key, value, error)
                 : stored_peek(overlay, key, value, error);
}

int ledger_overlay_set(struct ledger_overlay *overlay, struct hm_slice key, bool present,
                       const struct hm_slice *value, struct ledger_overlay_undo *undo,
                       struct hm_error *error)
{
    struct ledger_map_entry *known = ledger_map_find(&overlay->map, key);
    struct ledger_overlay_entry *entry = known ? known->value : NULL;

    if (!entry) {
        entry = hm_arena_alloc(overlay->arena, sizeof *entry);
        if (!entry || !ledger_map_add(&overlay->map, key, entry))
            return no_memory(error);
        entry->blind = true;
        entry->before.present = present;
        overlay->held += LEDGER_ENTRY_BYTES;
    }
    *undo = (struct ledger_overlay_undo){
        .entry = entry, .now = entry->now, .touched = entry->touched};
    entry->now = (struct ledger_value){.present = value != NULL};
    if (value) {
        entry->now.data = (uint8_t *)(uintptr_t)value->data; /* cap 0: never written through */
        entry->now.len = value->len;
    }
    entry->touched = true;
    entry->form_good = false;
    return 0;
}

void ledger_overlay_take_back(const struct ledger_overlay_undo *undo)
{
    undo->entry->now = undo->now;
    undo->entry->touched = undo->touched;
    undo->entry->form_good = false;
}

int ledger_overlay_put(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice value,
                       struct hm_error *error)
{
    struct ledger_overlay_entry *entry;
    int rc = entry_of(overlay, key, &entry, error);

    return rc ? rc : ledger_overlay_put_at(overlay, entry, value, error);
}

int ledger_overlay_put_at(struct ledger_overlay *overlay, struct ledger_overlay_entry *entry,
                          struct hm_slice value, struct hm_error *error)
{
    int rc = value_set(overlay, &entry->now, value, error);

    if (rc == 0)
        entry->touched = true;
    entry->form_good = false;
    return rc;
}

int ledger_overlay_delete(struct ledger_overlay *overlay, struct hm_slice key,
                          struct hm_error *error)
{
    struct ledger_overlay_entry *entry;
    int rc = entry_of(overlay, key, &entry, error);

    if (rc)
        return rc;
    entry->now.present = false;
    entry->touched = true;
    entry->form_good = false;
    return 0;
}

bool ledger_overlay_changed(const struct ledger_overlay_entry *entry)
{
    const struct ledger_value *before = &entry->before;
    const struct ledger_value *now = &entry->now;

    if (entry->blind)
        return entry->touched && (before->present || now->present);
    if (before->present != now->present)
        return true;
    return now->present && !hm_slice_equal(hm_slice_of(before->data, before->len),
                                           hm_slice_of(now->data, now->len));
}

bool ledger_overlay_any_changed(const struct ledger_overlay *overlay)
{
    for (size_t i = 0; i < overlay->map.count; i++) {
        if (ledger_overlay_changed(overlay->map.entries[i].value))
            return true;
    }
    return false;
}

/* What becomes of the tree, several leaves at one go: most keys and values are short. */
#define LEAVES_AT_ONCE ((size_t)32)
static void leaves_hash(const struct ledger_map_entry *const *changed, size_t count,
                        struct store_tree_change *changes)
{
    uint8_t hashes[2 * LEAVES_AT_ONCE][CRYPTO_HASH_BYTES];
    struct hm_slice bytes[2 * LEAVES_AT_ONCE];

    for (size_t i = 0; i < count; i++) {
        const struct ledger_overlay_entry *entry = changed[i]->value;

        bytes[2 * i] = ledger_map_key(changed[i]);
        bytes[2 * i + 1] = hm_slice_of(entry->now.data, entry->now.present ? entry->now.len : 0);
    }
    crypto_hash_each(bytes, 2 * count, hashes[0]);
    for (size_t i = 0; i < count; i++) {
        const struct ledger_overlay_entry *entry = changed[i]->value;

        memcpy(changes[i].key_hash, hashes[2 * i], CRYPTO_HASH_BYTES);
        if (entry->now.present)
            memcpy(changes[i].value_hash, hashes[2 * i + 1], CRYPTO_HASH_BYTES);
        else
            memset(changes[i].value_hash, 0, CRYPTO_HASH_BYTES);
    }
}

static int entry_write(struct ledger_overlay *overlay, const struct ledger_map_entry *at,
                       struct hm_error *error)
{
    const struct ledger_overlay_entry *entry = at->value;
    struct hm_slice key = ledger_map_key(at);

    if (!entry->now.present)
        return store_delete(overlay->txn, LEDGER_TABLE_STATE, key, error);
    return store_put(overlay->txn, LEDGER_TABLE_STATE, key,
                     hm_slice_of(entry->now.data, entry->now.len), error);
}

static int key_order(const void *a, const void *b)
{
    return hm_slice_compare(ledger_map_key(*(const struct ledger_map_entry *const *)a),
                            ledger_map_key(*(const struct ledger_map_entry *const *)b));
}

int ledger_overlay_write(struct ledger_overlay *overlay, const struct store_tree *tree,
                         uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    struct store_tree_change *changes = hm_arena_alloc(overlay->arena,
                                                       (overlay->map.count + 1) * sizeof *changes);
    const struct ledger_map_entry **changed = hm_arena_alloc(
        overlay->arena, (overlay->map.count + 1) * sizeof *changed);
    size_t count = 0;

    if (!changes || !changed)
        return no_memory(error);
    for (size_t i = 0; i < overlay->map.count; i++) {
        if (ledger_overlay_changed(overlay->map.entries[i].value))
            changed[count++] = &overlay->map.entries[i];
    }
    /* In the order of the table: neighbours share a path of its tree. */
    qsort(changed, count, sizeof *changed, key_order);
    for (size_t i = 0; i < count; i += LEAVES_AT_ONCE)
        leaves_hash(changed + i, count - i < LEAVES_AT_ONCE ? count - i : LEAVES_AT_ONCE,
                    changes + i);
    for (size_t i = 0; i < count; i++) {
        int rc = entry_write(overlay, changed[i], error);

        if (rc)
            return rc;
    }
    return store_tree_update(overlay->txn, tree, changes, count, root, error);
}
