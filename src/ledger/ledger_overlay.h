/* What a block has written so far, over the state table of the store. Reads fall through; nothing reaches
 * the store before ledger_overlay_write. */
#ifndef HM_LEDGER_OVERLAY_H
#define HM_LEDGER_OVERLAY_H

#include "ledger_map.h"
#include "store.h"

/* One value, absent or present (a present value may be empty). */
struct ledger_value {
    bool present;
    uint8_t *data;
    size_t len;
    size_t cap; /* of data; only of the present value */
};

struct ledger_overlay_entry {
    struct ledger_value before; /* in the store */
    struct ledger_value now;
    /* Blind: of what was in the store only that it was there is known, now holds only once it is touched. */
    bool blind;
    bool touched;
    /* What now says, unpacked, while form_good; the overlay only sees that it does not stay good too long. */
    bool form_good;
    void *form;
    size_t form_cap;
};

/* What takes one ledger_overlay_set back. */
struct ledger_overlay_undo {
    struct ledger_overlay_entry *entry;
    struct ledger_value now;
    bool touched;
};

struct ledger_overlay {
    struct store_txn *txn; /* borrowed */
    struct hm_arena *arena;
    struct ledger_map map; /* key -> struct ledger_overlay_entry */
    size_t held; /* bytes kept for values and keys; the same on every machine */
    struct ledger_overlay_order
        *order; /* ledger_overlay_range.c: keys in order, made when first asked for */
};

void ledger_overlay_init(struct ledger_overlay *overlay, struct store_txn *txn,
                         struct hm_arena *arena, const uint8_t *seed); /* seed: ledger_map_init */
/* HM_ENOTFOUND (error is not set) when absent. The slice is valid until the next put of the key. */
int ledger_overlay_get(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice *value,
                       struct hm_error *error);
/* As above; *entry stays good as long as the overlay, and is set when the key is absent as well. */
int ledger_overlay_open(struct ledger_overlay *overlay, struct hm_slice key,
                        struct ledger_overlay_entry **entry, struct hm_slice *value,
                        struct hm_error *error);
int ledger_overlay_put(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice value,
                       struct hm_error *error);
int ledger_overlay_put_at(struct ledger_overlay *overlay, struct ledger_overlay_entry *entry,
                          struct hm_slice value, struct hm_error *error);
int ledger_overlay_delete(struct ledger_overlay *overlay, struct hm_slice key,
                          struct hm_error *error);
/* Reads without keeping anything: for values that may be large and many. HM_ENOTFOUND when absent. The
 * slice is valid until the key is written or the store is. */
int ledger_overlay_peek(struct ledger_overlay *overlay, struct hm_slice key, struct hm_slice *value,
                        struct hm_error *error);
/* Writes without copying or reading what was there: value (NULL: absent) must live as long as the overlay.
 * present: what a peek of the key just said. *undo takes it back, in the opposite order. */
int ledger_overlay_set(struct ledger_overlay *overlay, struct hm_slice key, bool present,
                       const struct hm_slice *value, struct ledger_overlay_undo *undo,
                       struct hm_error *error);
void ledger_overlay_take_back(const struct ledger_overlay_undo *undo);
/* True when the entry differs from what the store holds, or may. */
bool ledger_overlay_changed(const struct ledger_overlay_entry *entry);
bool ledger_overlay_any_changed(const struct ledger_overlay *overlay);
/* Writes every changed key to the store and to the tree; gives the new root. */
int ledger_overlay_write(struct ledger_overlay *overlay, const struct store_tree *tree,
                         uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error);

#endif
