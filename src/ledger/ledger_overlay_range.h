/* A range of the state in key order, as the block sees it: what the store holds, with what the block has
 * written over it. */
#ifndef HM_LEDGER_OVERLAY_RANGE_H
#define HM_LEDGER_OVERLAY_RANGE_H

#include "ledger_overlay.h"

struct ledger_overlay_node; /* of the overlay's own keys, in order */

struct ledger_overlay_range {
    struct ledger_overlay *overlay;
    struct store_cursor *cursor;
    struct hm_slice end; /* exclusive; borrowed */
    struct hm_slice key; /* where the cursor stands; data NULL: past the end */
    struct hm_slice value;
    bool given; /* the cursor's key was handed out: the next call moves it first */
    const struct ledger_overlay_node
        *node; /* where the overlay's order stands; NULL: past the end */
    uint64_t
        passed; /* entries stepped over so far: deleted in the block, or left by what was taken back */
};

/* Keys in [start, end). The overlay may be written while the range is open, the store may not: keys past
 * the one given last that are new since the opening may be missed. */
int ledger_overlay_range_open(struct ledger_overlay *overlay, struct hm_slice start,
                              struct hm_slice end, struct ledger_overlay_range *out,
                              struct hm_error *error);
/* HM_ENOTFOUND (error is not set) at the end. The slices are valid until the next call, or until the key
 * is written. */
int ledger_overlay_range_next(struct ledger_overlay_range *range, struct hm_slice *key,
                              struct hm_slice *value, struct hm_error *error);
void ledger_overlay_range_close(struct ledger_overlay_range *range);

#endif
