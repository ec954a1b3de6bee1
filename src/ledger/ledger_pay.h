/* Accounts as the transactions of a batch, or of a proposal, leave them one after the other: presence, balance, Work's rate. Private to
 * this room.
 *
 * What others send an account meanwhile does not count, and what becomes of an operation is not known: who hands money on by one whose
 * price only the block knows, takes a session back or a bond out may not be able to pay for what follows, nor, as a node, to seal
 * it: he is unsure. */
#ifndef HM_LEDGER_PAY_H
#define HM_LEDGER_PAY_H

#include "ledger_tx.h"

#define LEDGER_PAY_BUCKETS 1024 /* a power of two */

struct ledger_pay_account;

struct ledger_pay {
    const Hypermesh__Params *params; /* borrowed */
    uint64_t now_ms; /* of the block */
    size_t batch; /* under way, counted from 1 */
    struct ledger_pay_account *touched; /* by it */
    struct hm_arena arena;
    struct ledger_pay_account *buckets[LEDGER_PAY_BUCKETS];
};

int ledger_pay_new(const Hypermesh__Params *params, uint64_t now_ms, struct ledger_pay **out,
                   struct hm_error *error); /* HM_ENOMEM */
void ledger_pay_free(struct ledger_pay *pay); /* NULL is fine */

/* The next batch begins. */
void ledger_pay_batch(struct ledger_pay *pay);
/* The one under way has no place: it never was. */
void ledger_pay_undo(struct ledger_pay *pay);

/* May the account have lost its sessions, its bond or what it had? */
bool ledger_pay_unsure(struct ledger_pay *pay, const uint8_t id[LEDGER_ID_BYTES]);

enum ledger_pay_line {
    LEDGER_PAY_NEXT, /* it follows the account's last act so far: the account is as that left it */
    LEDGER_PAY_LATE, /* it follows the last act in the state, as another one before it did */
    LEDGER_PAY_AWAY, /* neither */
};
/* Where the transaction stands. account: as in the state; changed only for LEDGER_PAY_NEXT. */
enum ledger_pay_line ledger_pay_stand(struct ledger_pay *pay, const struct ledger_tx *tx,
                                      Hypermesh__Account *account);
/* A transaction that is next pays this fee. *sure is cleared where it may not, by what the operations before it come to. HM_ENOMEM. */
int ledger_pay_spend(struct ledger_pay *pay, const struct ledger_tx *tx,
                     const Hypermesh__Account *account, uint64_t fee, bool *sure,
                     struct hm_error *error);

#endif
