/* Where a snapshot cuts the state: in two by the first bit of the key's hash, and again whatever is too heavy, so that chunks are
 * of about one size whatever keys people choose. Two passes over the entries: ledger_snapshot_plan_weigh for all of them, then,
 * if ledger_snapshot_plan_again, ledger_snapshot_plan_look. Private to this room. */
#ifndef HM_LEDGER_SNAPSHOT_PLAN_H
#define HM_LEDGER_SNAPSHOT_PLAN_H

#include "ledger_snapshot_form.h"

#define LEDGER_SNAPSHOT_CELL_BITS 16 /* known of all entries after the first pass */
#define LEDGER_SNAPSHOT_CELLS     ((size_t)1 << LEDGER_SNAPSHOT_CELL_BITS)

struct ledger_snapshot_part {
    uint64_t start; /* store_tree_part_root's */
    uint64_t weight; /* bytes, more or less */
    uint8_t depth;
};

struct ledger_snapshot_cell;
struct ledger_snapshot_light;

struct ledger_snapshot_plan {
    struct ledger_snapshot_part *list; /* in order, all of the state; when made */
    size_t count;
    size_t cap;
    struct ledger_snapshot_cell *cells; /* a binary tree: 1 has 2 and 3 below it */
    struct ledger_snapshot_light *entries; /* of the cells that are cut */
    size_t entry_count;
    size_t entry_cap;
    uint64_t most; /* a part of two entries or more that weighs more is cut */
};

/* HM_ENOMEM. */
int ledger_snapshot_plan_init(struct ledger_snapshot_plan *plan, struct hm_error *error);
void ledger_snapshot_plan_release(struct ledger_snapshot_plan *plan);
void ledger_snapshot_plan_weigh(struct ledger_snapshot_plan *plan,
                                const uint8_t key_hash[CRYPTO_HASH_BYTES], uint64_t weight);
/* After the first pass. Is a second one needed? target: what a part should weigh, twice of which is the most. */
bool ledger_snapshot_plan_again(struct ledger_snapshot_plan *plan, size_t target);
/* HM_ENOMEM. */
int ledger_snapshot_plan_look(struct ledger_snapshot_plan *plan,
                              const uint8_t key_hash[CRYPTO_HASH_BYTES], uint64_t weight,
                              struct hm_error *error);
/* Makes the list. HM_ENOMEM; HM_ELIMIT: more parts than a snapshot can have, or an entry that no chunk can. */
int ledger_snapshot_plan_make(struct ledger_snapshot_plan *plan, struct hm_error *error);

#endif
