/* Operations: what each may do, and its row in the table that dispatches them. One operation, one
 * function; the row says the rest. */
#ifndef HM_LEDGER_OP_H
#define HM_LEDGER_OP_H

#include "ledger_scope.h"

/* One operation being applied. */
struct ledger_act {
    struct ledger_scope *scope;
    const Hypermesh__Params *params;
    const Hypermesh__TxBody *body;
    Hypermesh__Account *signer; /* open in scope */
    Hypermesh__TxFacts *facts; /* bonded and bond_needed are filled in by the operations */
    uint32_t index; /* of the operation in the transaction */
    uint32_t number; /* its field in Operation */
    ProtobufCBinaryData created; /* out: id of the asset or lease that came to be, or empty */
};

struct ledger_op {
    const char *name;
    uint64_t weight; /* fixed part */
    uint64_t item_weight; /* for each thing that `items` counts */
    size_t (*items)(const Hypermesh__Operation *op);
    bool touches_assets; /* carries all four proofs: the batch must open its node's plot */
    bool root_only; /* only in transactions signed by the root keys */
    int (*apply)(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error);
};

/* Row of operation `number` (field in Operation); NULL for one that does not exist. */
const struct ledger_op *ledger_op_find(unsigned number);

int ledger_op_transfer(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error);
int ledger_op_bond(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error);
int ledger_op_unbond(struct ledger_act *act, const Hypermesh__Operation *op,
                     struct hm_error *error);
int ledger_op_session_grant(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error);
int ledger_op_session_revoke(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_space_commit(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error);
int ledger_op_asset_register(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_asset_update(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error);
int ledger_op_asset_transfer(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_asset_retire(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error);
int ledger_op_privacy_set(struct ledger_act *act, const Hypermesh__Operation *op,
                          struct hm_error *error);
int ledger_op_allocate(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error);
int ledger_op_renew(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error);
int ledger_op_release(struct ledger_act *act, const Hypermesh__Operation *op,
                      struct hm_error *error);
int ledger_op_settle(struct ledger_act *act, const Hypermesh__Operation *op,
                     struct hm_error *error);

/* --- shared by operations --- */
/* Stake: the account must have needed bonded; remembered in the facts. */
int ledger_act_stake(struct ledger_act *act, const Hypermesh__Account *account, uint64_t needed,
                     const char *what, struct hm_error *error);
/* At most max bytes of text without control characters; name is the field's. */
int ledger_text_check(const char *text, size_t max, const char *name, struct hm_error *error);

/* The bond that an operation needs, without state; 0 when none. */
uint64_t ledger_op_bond_needed(const Hypermesh__Params *params, unsigned number);

/* --- assets --- */
bool ledger_asset_active(const Hypermesh__Asset *asset);
int ledger_privacy_check(const Hypermesh__Params *params, const Hypermesh__Privacy *privacy,
                         struct hm_error *error);
/* May consumer lease share_ppm of the asset until it has run for duration_ms in all? Adding no lease:
 * share_ppm 0 (a renewal). */
int ledger_privacy_admits(const Hypermesh__Params *params, const Hypermesh__Asset *asset,
                          ProtobufCBinaryData consumer, uint32_t share_ppm, uint64_t duration_ms,
                          struct hm_error *error);

/* --- leases --- */
/* Cost of the lease's items for a duration. HM_ERANGE when it does not fit. */
int ledger_lease_cost_of(const Hypermesh__Lease *lease, uint64_t duration_ms, uint64_t *cost,
                         struct hm_error *error);
/* Ends an active lease at the block's time: pays for the time used, returns the rest, frees the shares,
 * mints the reward, writes history. op: field number, 0 for expiry. */
int ledger_lease_end(struct ledger_scope *scope, Hypermesh__Lease *lease,
                     Hypermesh__LeaseState state, uint32_t op, ProtobufCBinaryData actor,
                     struct hm_error *error);

#endif
