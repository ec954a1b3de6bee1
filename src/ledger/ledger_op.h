/* Operations: what each may do, and its row in the table that dispatches them. One operation, one
 * function; the row says the rest. */
#ifndef HM_LEDGER_OP_H
#define HM_LEDGER_OP_H

#include "ledger_rule.h"
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
    Hypermesh__KvAnswer
        *answer; /* out: of an operation on the key-value store, in the block's arena */
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
int ledger_op_network_create(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_network_join(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error);
int ledger_op_network_leave(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error);
int ledger_op_network_invite(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_network_expel(struct ledger_act *act, const Hypermesh__Operation *op,
                            struct hm_error *error);
int ledger_op_network_dissolve(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error);
int ledger_op_peers_set(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error);
int ledger_op_proxy_set(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error);
int ledger_op_challenge_open(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_challenge_answer(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error);
int ledger_op_kv_put(struct ledger_act *act, const Hypermesh__Operation *op,
                     struct hm_error *error);
int ledger_op_kv_delete(struct ledger_act *act, const Hypermesh__Operation *op,
                        struct hm_error *error);
int ledger_op_kv_txn(struct ledger_act *act, const Hypermesh__Operation *op,
                     struct hm_error *error);
int ledger_op_kv_lease_grant(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error);
int ledger_op_kv_lease_revoke(struct ledger_act *act, const Hypermesh__Operation *op,
                              struct hm_error *error);
int ledger_op_kv_lease_keep_alive(struct ledger_act *act, const Hypermesh__Operation *op,
                                  struct hm_error *error);
int ledger_op_kv_compact(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error);
int ledger_op_kv_rule_set(struct ledger_act *act, const Hypermesh__Operation *op,
                          struct hm_error *error);
int ledger_op_validator_declare(struct ledger_act *act, const Hypermesh__Operation *op,
                                struct hm_error *error);
int ledger_op_validator_update(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error);
int ledger_op_validator_retire(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error);
int ledger_op_delegate(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error);
int ledger_op_undelegate(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error);
int ledger_op_redelegate(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error);
int ledger_op_rewards_take(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error);
int ledger_op_unjail(struct ledger_act *act, const Hypermesh__Operation *op,
                     struct hm_error *error);

/* --- shared by operations --- */
/* Stake: the account must have needed bonded; remembered in the facts. */
int ledger_act_stake(struct ledger_act *act, const Hypermesh__Account *account, uint64_t needed,
                     const char *what, struct hm_error *error);
/* Id of what operation number act->index makes: H(context; account, presence, be32 index). */
void ledger_act_new_id(const struct ledger_act *act, const char *context,
                       uint8_t id[LEDGER_ID_BYTES]);
/* As above, with the chain's hash before the others. */
void ledger_act_new_chain_id(const struct ledger_act *act, const char *context,
                             uint8_t id[LEDGER_ID_BYTES]);
/* Is it 1-64 characters of a-z 0-9 . _ -? */
bool ledger_name_ok(const char *name);
/* At most max bytes of text without control characters; name is the field's. */
int ledger_text_check(const char *text, size_t max, const char *name, struct hm_error *error);

/* The bond that an operation needs, without state; 0 when none. */
uint64_t ledger_op_bond_needed(const Hypermesh__Params *params, unsigned number);

/* --- assets --- */
bool ledger_asset_active(const Hypermesh__Asset *asset);
/* Is this a privacy that the signer may give an asset of its own? */
int ledger_privacy_check(struct ledger_act *act, const Hypermesh__Privacy *privacy,
                         struct hm_error *error);
/* CAES per HYPER paid, in parts per million, for a lease under this privacy. */
uint64_t ledger_privacy_reward(const Hypermesh__Params *params, const Hypermesh__Privacy *privacy);
/* May the signer lease share_ppm of the asset until it has run for duration_ms in all? Adding no lease:
 * share_ppm 0 (a renewal). */
int ledger_act_admitted(struct ledger_act *act, const Hypermesh__Asset *asset, uint32_t share_ppm,
                        uint64_t duration_ms, struct hm_error *error);

/* --- leases --- */
/* Cost of the lease's items for a duration. HM_ERANGE when it does not fit. */
int ledger_lease_cost_of(const Hypermesh__Lease *lease, uint64_t duration_ms, uint64_t *cost,
                         struct hm_error *error);
/* Keeps the index of its parties: active, or ended. */
int ledger_lease_list(struct ledger_scope *scope, const Hypermesh__Lease *lease, bool active,
                      struct hm_error *error);
/* Ends an active lease at the block's time: pays for the time used, returns the rest, frees the shares,
 * mints the reward, writes history. op: field number, 0 for expiry. */
int ledger_lease_end(struct ledger_scope *scope, Hypermesh__Lease *lease,
                     Hypermesh__LeaseState state, uint32_t op, ProtobufCBinaryData actor,
                     struct hm_error *error);

#endif
