/* Supply: what must add up after every block, and over the whole state. */
#ifndef HM_LEDGER_SUPPLY_H
#define HM_LEDGER_SUPPLY_H

#include "ledger_private.h"

/* Reads the totals into *out, which has no pointers into the arena. */
int ledger_supply_unpack(struct hm_slice bytes, struct hm_arena *arena, Hypermesh__Supply *out,
                         struct hm_error *error);
/* Recomputes from what the block changed in accounts and leases how the totals must have changed, and
 * compares; also that nothing is leased over 100 %. HM_EINTERNAL. Scratch is cleared. */
int ledger_supply_check(struct ledger_block *block, struct hm_error *error);
/* Adds up every account and lease of the state and compares with the totals, and every asset with its
 * leases. HM_ECORRUPT. */
int ledger_supply_audit(struct store_txn *txn, struct hm_error *error);

#endif
