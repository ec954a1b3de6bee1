/* How what others hand in is looked at before it is in a block; shared by ledger_check_item.c (a pool's item) and
 * ledger_items_pay.c (a proposal's). Private to this room. */
#ifndef HM_LEDGER_CHECK_ITEM_H
#define HM_LEDGER_CHECK_ITEM_H

#include "ledger_batch.h"
#include "ledger_facts.h"

struct ledger_item_check {
    struct ledger *ledger;
    struct store_txn *txn;
    struct ledger_info info; /* of txn */
    uint64_t now_ms;
    /* For a block of now_ms, after the last one: anchors must be there already, one transaction that pays is enough, and one
     * follows its account's last act, or what `follows` knows. NULL: for the pool. */
    bool (*follows)(void *ctx, const struct ledger_tx *tx, const Hypermesh__Account *account);
    void *ctx;
    struct hm_arena arena; /* the batch and its node's account */
    struct hm_arena scratch; /* a transaction and its account */
    struct ledger_batch batch;
    size_t paying; /* transactions that would pay now */
    bool next; /* one of them follows its account's last act */
    struct hm_error why; /* the first one would not */
};

/* check->txn and info are there; arenas are emptied. Codes as ledger_check_item's. */
int ledger_item_check_batch(struct ledger_item_check *check, struct hm_slice item,
                            struct hm_error *error);
/* A transaction of a batch that was read, its account as it will be at check->now_ms; in check->scratch. */
int ledger_item_check_read(struct ledger_item_check *check, const struct ledger_batch_tx *known,
                           struct ledger_tx *tx, Hypermesh__Account **account,
                           struct hm_error *error);
/* Does it follow its account's last act in the state? */
bool ledger_item_check_is_next(const struct ledger_tx *tx, const Hypermesh__Account *account);

#endif
