/* How what others hand in is looked at before it is in a block; shared by ledger_check_item.c (a pool's item) and
 * ledger_items_pay.c (a proposal's). Private to this room. */
#ifndef HM_LEDGER_CHECK_ITEM_H
#define HM_LEDGER_CHECK_ITEM_H

#include "ledger_batch.h"
#include "ledger_facts.h"

struct ledger_pay; /* a proposal's accounts, as its transactions leave them so far */

struct ledger_item_check {
    struct ledger *ledger;
    struct store_txn *txn;
    struct ledger_info info; /* of txn */
    uint64_t now_ms;
    /* For a block of now_ms after the last one: anchors must be there already, and a transaction follows its account's last act as it
     * is after those before it. NULL: for the pool, where others of the account may still be on their way. */
    struct ledger_pay *pay;
    size_t paid_before, unpaid_before; /* bytes, of the proposal's batches before this one */
    struct hm_arena arena; /* the batch and its node's account */
    struct hm_arena scratch; /* a transaction and its account */
    struct ledger_batch batch;
    bool sure; /* the block takes the batch as its node's */
    size_t paying; /* transactions that would pay now */
    size_t paid, unpaid; /* bytes of those that surely would, and of the others */
    bool next; /* one that would pay follows its account's last act */
    struct hm_error why; /* the first one would not */
};

/* check->txn and info are there; arenas are emptied. Codes as ledger_check_item's. */
int ledger_item_check_batch(struct ledger_item_check *check, struct hm_slice item,
                            struct hm_error *error);
/* A transaction of a batch that was read, its account as it will be at check->now_ms; in check->scratch. */
int ledger_item_check_read(struct ledger_item_check *check, const struct ledger_batch_tx *known,
                           struct ledger_tx *tx, Hypermesh__Account **account,
                           struct hm_error *error);
/* Does it follow its account's last act? */
bool ledger_item_check_is_next(const struct ledger_tx *tx, const Hypermesh__Account *account);

/* May the account have lost its sessions, its bond or what it had, by the transactions so far? */
bool ledger_pay_unsure(struct ledger_pay *pay, const uint8_t id[LEDGER_ID_BYTES]);
/* The account as the transactions before this one leave it. False: one of them took this one's place behind the account's last act; the
 * account is as in the state. The block tells its client, who would wait for nothing otherwise. */
bool ledger_pay_stand(struct ledger_pay *pay, const struct ledger_tx *tx,
                      Hypermesh__Account *account);
/* The transaction pays this fee. *sure is cleared where it may not, by what the operations before it come to. HM_ENOMEM. */
int ledger_pay_spend(struct ledger_pay *pay, const struct ledger_tx *tx,
                     const Hypermesh__Account *account, uint64_t fee, bool *sure,
                     struct hm_error *error);

#endif
