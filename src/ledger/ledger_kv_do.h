/* Parts of operations on the key-value store that a transaction of the store (kv_txn) is made of too. */
#ifndef HM_LEDGER_KV_DO_H
#define HM_LEDGER_KV_DO_H

#include "ledger_kv.h"

/* Form of a put, and permission. */
int ledger_kv_put_check(struct ledger_act *act, const Hypermesh__KvPut *put,
                        struct hm_error *error);
/* Is its lease there and the signer's, is there what it wants to keep? */
int ledger_kv_put_possible(struct ledger_act *act, const Hypermesh__KvPut *put,
                           struct hm_error *error);
/* Of a possible put: what it keeps is there still, for no put follows a deletion on its path. */
int ledger_kv_put_do(struct ledger_act *act, const Hypermesh__KvPut *put, struct hm_error *error);
/* Ends the operation and gives its answer; NULL: memory was out. */
int ledger_kv_answer_give(struct ledger_act *act, Hypermesh__KvAnswer *answer,
                          struct hm_error *error);
/* Sets or (empty owner) removes a checked rule. */
int ledger_kv_rule_put(struct ledger_scope *scope, const Hypermesh__KvRule *rule,
                       struct hm_error *error);

#endif
