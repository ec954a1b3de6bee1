/* How what others hand in is looked at before it is in a block; shared by ledger_check_item.c (a pool's item) and
 * ledger_items_pay.c (a proposal's). Private to this room. */
#ifndef HM_LEDGER_CHECK_ITEM_H
#define HM_LEDGER_CHECK_ITEM_H

#include "ledger_batch.h"
#include "ledger_facts.h"
#include "ledger_pay.h"

struct ledger_item_check {
    struct ledger *ledger;
    struct ledger_info info; /* the chain's name before ledger_item_check_begin; then of txn */
    uint64_t now_ms;
    /* For a block of now_ms after the last one, behind the batches before it: anchors must be there already, and transactions come in
     * order. False: for the pool, where what they follow may still be on its way. */
    bool proposed;
    size_t paid_before, unpaid_before; /* bytes, of the batches before it */
    struct store_txn *txn;
    struct ledger_pay *pay;
    struct hm_arena arena; /* the batch and its node's account */
    struct hm_arena scratch; /* a transaction and its account */
    struct ledger_batch batch;
    bool sure; /* a block takes the batch as its node's */
    size_t paying; /* transactions that would pay now, or when what they follow is there */
    size_t in_line; /* of them, those that need not wait for that */
    size_t bytes; /* of all its transactions */
    size_t hoped; /* of those that would pay */
    size_t paid; /* of those that surely would, now */
    struct hm_error why; /* the first one would not */
};

/* A snapshot of the state, and room. HM_ENOMEM and what store_begin_read fails with. */
int ledger_item_check_begin(struct ledger_item_check *check, struct hm_error *error);
void ledger_item_check_end(struct ledger_item_check *check);
/* The next batch. Codes as ledger_check_item's; where it is refused ledger_pay_undo takes back what it changed. */
int ledger_item_check_batch(struct ledger_item_check *check, struct hm_slice item,
                            struct hm_error *error);

#endif
