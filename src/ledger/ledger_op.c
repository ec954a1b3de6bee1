/* The table of operations. Weights are in units of about one byte of transaction: an account written
 * costs a few hundred, an asset with its index entries more. */
#include "ledger_op.h"

static size_t items_opened(const Hypermesh__Operation *op)
{
    return op->space_commit->n_openings;
}

static size_t items_leased(const Hypermesh__Operation *op)
{
    return op->allocate->n_items;
}

static size_t items_used(const Hypermesh__Operation *op)
{
    return op->settle->n_usage;
}

static size_t items_answered(const Hypermesh__Operation *op)
{
    return op->challenge_answer->n_openings;
}

static size_t accounts_listed(const Hypermesh__Operation *op)
{
    return op->peers_set->n_accounts;
}

static size_t relays_listed(const Hypermesh__Operation *op)
{
    return op->proxy_set->n_relays;
}

/* Weights of the key-value store: a byte of key and value is written to the state and to the log, a put also
 * to the past; what ranges find is weighed when it is found (ledger_kv.h). */
#define KV_PUT     300
#define KV_COMPARE 50
#define KV_OP      100

static size_t kv_put_bytes(const Hypermesh__KvPut *put)
{
    return 2 * (put->key.len + put->value.len);
}

static size_t items_put(const Hypermesh__Operation *op)
{
    return kv_put_bytes(op->kv_put);
}

static size_t items_rule(const Hypermesh__Operation *op)
{
    const Hypermesh__KvRuleSet *set = op->kv_rule_set;

    return 1 + set->n_writers + set->n_readers;
}

static size_t kv_txn_weight(const Hypermesh__KvTxn *txn);

static size_t kv_ops_weight(Hypermesh__KvTxnOp *const *ops, size_t count)
{
    size_t weight = KV_OP * count;

    for (size_t i = 0; i < count; i++) {
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            weight += KV_PUT + kv_put_bytes(ops[i]->put);
        else if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            weight += kv_txn_weight(ops[i]->txn);
    }
    return weight;
}

/* Deep as a message may nest. Both branches count: which is taken shows later. */
static size_t kv_txn_weight(const Hypermesh__KvTxn *txn)
{
    return KV_COMPARE * txn->n_compare + kv_ops_weight(txn->success, txn->n_success) +
           kv_ops_weight(txn->failure, txn->n_failure);
}

static size_t items_txn(const Hypermesh__Operation *op)
{
    return kv_txn_weight(op->kv_txn);
}

#define ASSETS .touches_assets = true
static const struct ledger_op ops[] = {
    [HYPERMESH__OPERATION__OP_TRANSFER] = {"transfer", 400, .apply = ledger_op_transfer},
    [HYPERMESH__OPERATION__OP_SESSION_GRANT] = {"session_grant", 400, .root_only = true,
                                                .apply = ledger_op_session_grant},
    [HYPERMESH__OPERATION__OP_SESSION_REVOKE] = {"session_revoke", 200,
                                                 .apply = ledger_op_session_revoke},
    [HYPERMESH__OPERATION__OP_BOND] = {"bond", 200, .apply = ledger_op_bond},
    [HYPERMESH__OPERATION__OP_UNBOND] = {"unbond", 300, .apply = ledger_op_unbond},
    [HYPERMESH__OPERATION__OP_SPACE_COMMIT] = {"space_commit", 1000, 500, items_opened,
                                               .apply = ledger_op_space_commit},
    [HYPERMESH__OPERATION__OP_ASSET_REGISTER] = {"asset_register", 1500, ASSETS,
                                                 .apply = ledger_op_asset_register},
    [HYPERMESH__OPERATION__OP_ASSET_UPDATE] = {"asset_update", 1000, ASSETS,
                                               .apply = ledger_op_asset_update},
    [HYPERMESH__OPERATION__OP_ASSET_TRANSFER] = {"asset_transfer", 1000, ASSETS,
                                                 .apply = ledger_op_asset_transfer},
    [HYPERMESH__OPERATION__OP_ASSET_RETIRE] = {"asset_retire", 800, ASSETS,
                                               .apply = ledger_op_asset_retire},
    [HYPERMESH__OPERATION__OP_PRIVACY_SET] = {"privacy_set", 800, ASSETS,
                                              .apply = ledger_op_privacy_set},
    [HYPERMESH__OPERATION__OP_ALLOCATE] = {"allocate", 600, 600, items_leased, ASSETS,
                                           .apply = ledger_op_allocate},
    /* A lease has at most max_lease_items items; what they cost was paid for in part by allocate. */
    [HYPERMESH__OPERATION__OP_RENEW] = {"renew", 1000, ASSETS, .apply = ledger_op_renew},
    [HYPERMESH__OPERATION__OP_RELEASE] = {"release", 1000, ASSETS, .apply = ledger_op_release},
    [HYPERMESH__OPERATION__OP_SETTLE] = {"settle", 1000, 100, items_used, ASSETS,
                                         .apply = ledger_op_settle},
    [HYPERMESH__OPERATION__OP_NETWORK_CREATE] = {"network_create", 800,
                                                 .apply = ledger_op_network_create},
    [HYPERMESH__OPERATION__OP_NETWORK_JOIN] = {"network_join", 600,
                                               .apply = ledger_op_network_join},
    [HYPERMESH__OPERATION__OP_NETWORK_LEAVE] = {"network_leave", 600,
                                                .apply = ledger_op_network_leave},
    [HYPERMESH__OPERATION__OP_NETWORK_INVITE] = {"network_invite", 600,
                                                 .apply = ledger_op_network_invite},
    [HYPERMESH__OPERATION__OP_NETWORK_EXPEL] = {"network_expel", 600,
                                                .apply = ledger_op_network_expel},
    [HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE] = {"network_dissolve", 600,
                                                   .apply = ledger_op_network_dissolve},
    [HYPERMESH__OPERATION__OP_PEERS_SET] = {"peers_set", 300, 10, accounts_listed,
                                            .apply = ledger_op_peers_set},
    [HYPERMESH__OPERATION__OP_PROXY_SET] = {"proxy_set", 300, 10, relays_listed,
                                            .apply = ledger_op_proxy_set},
    [HYPERMESH__OPERATION__OP_CHALLENGE_OPEN] = {"challenge_open", 2500,
                                                 .apply = ledger_op_challenge_open},
    /* An opening is up to 40 hashes; the bytes that are hashed count by themselves. */
    [HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER] = {"challenge_answer", 1500, 200, items_answered,
                                                   .apply = ledger_op_challenge_answer},
    [HYPERMESH__OPERATION__OP_KV_PUT] = {"kv_put", KV_PUT, 1, items_put, .apply = ledger_op_kv_put},
    [HYPERMESH__OPERATION__OP_KV_DELETE] = {"kv_delete", 100, .apply = ledger_op_kv_delete},
    [HYPERMESH__OPERATION__OP_KV_TXN] = {"kv_txn", 100, 1, items_txn, .apply = ledger_op_kv_txn},
    [HYPERMESH__OPERATION__OP_KV_LEASE_GRANT] = {"kv_lease_grant", 500,
                                                 .apply = ledger_op_kv_lease_grant},
    [HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE] = {"kv_lease_revoke", 200,
                                                  .apply = ledger_op_kv_lease_revoke},
    [HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE] = {"kv_lease_keep_alive", 300,
                                                      .apply = ledger_op_kv_lease_keep_alive},
    [HYPERMESH__OPERATION__OP_KV_COMPACT] = {"kv_compact", 500, .apply = ledger_op_kv_compact},
    [HYPERMESH__OPERATION__OP_KV_RULE_SET] = {"kv_rule_set", 2000, 100, items_rule,
                                              .apply = ledger_op_kv_rule_set},
    [HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE] = {"validator_declare", 3000,
                                                    .apply = ledger_op_validator_declare},
    [HYPERMESH__OPERATION__OP_VALIDATOR_UPDATE] = {"validator_update", 500,
                                                   .apply = ledger_op_validator_update},
    [HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE] = {"validator_retire", 500,
                                                   .apply = ledger_op_validator_retire},
    [HYPERMESH__OPERATION__OP_DELEGATE] = {"delegate", 1000, .apply = ledger_op_delegate},
    [HYPERMESH__OPERATION__OP_UNDELEGATE] = {"undelegate", 1200, .apply = ledger_op_undelegate},
    [HYPERMESH__OPERATION__OP_REDELEGATE] = {"redelegate", 1800, .apply = ledger_op_redelegate},
    [HYPERMESH__OPERATION__OP_REWARDS_TAKE] = {"rewards_take", 800,
                                               .apply = ledger_op_rewards_take},
    [HYPERMESH__OPERATION__OP_UNJAIL] = {"unjail", 500, .apply = ledger_op_unjail},
};
_Static_assert(HM_COUNT_OF(ops) == LEDGER_OP_COUNT + 1, "an operation has no row");

const struct ledger_op *ledger_op_find(unsigned number)
{
    return number > 0 && number < HM_COUNT_OF(ops) ? &ops[number] : NULL;
}

const char *ledger_op_name(unsigned number)
{
    const struct ledger_op *op = ledger_op_find(number);

    return op ? op->name : NULL;
}

bool ledger_op_touches_assets(unsigned number)
{
    const struct ledger_op *op = ledger_op_find(number);

    return op && op->touches_assets;
}

uint64_t ledger_op_bond_needed(const Hypermesh__Params *params, unsigned number)
{
    switch (number) {
    case HYPERMESH__OPERATION__OP_ASSET_REGISTER:
        return params->bond_provider;
    case HYPERMESH__OPERATION__OP_ALLOCATE:
    case HYPERMESH__OPERATION__OP_RENEW:
        return params->bond_consumer;
    default:
        return 0;
    }
}

int ledger_act_stake(struct ledger_act *act, const Hypermesh__Account *account, uint64_t needed,
                     const char *what, struct hm_error *error)
{
    if (needed >= act->facts->bond_needed) {
        act->facts->bond_needed = needed;
        act->facts->bonded = account->bonded;
    }
    return ledger_refuse_as(error, LEDGER_RULE_STAKE_BOND,
                            proof_stake_verify(account->bonded, needed, what, error));
}

void ledger_act_new_id(const struct ledger_act *act, const char *context,
                       uint8_t id[LEDGER_ID_BYTES])
{
    uint8_t index[4];

    hm_put_be32(index, act->index);
    crypto_hash_parts(context,
                      (struct hm_slice[]){wire_slice(act->body->account),
                                          wire_slice(act->body->presence),
                                          hm_slice_of(index, sizeof index)},
                      3, id);
}

void ledger_act_new_chain_id(const struct ledger_act *act, const char *context,
                             uint8_t id[LEDGER_ID_BYTES])
{
    uint8_t index[4];

    hm_put_be32(index, act->index);
    crypto_hash_parts(
        context,
        (struct hm_slice[]){hm_slice_of(act->scope->block->next.chain_hash, CRYPTO_HASH_BYTES),
                            wire_slice(act->body->account), wire_slice(act->body->presence),
                            hm_slice_of(index, sizeof index)},
        4, id);
}

bool ledger_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > LEDGER_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

int ledger_text_check(const char *text, size_t max, const char *name, struct hm_error *error)
{
    size_t len = strlen(text);

    if (len > max)
        return ledger_refuse(error, LEDGER_RULE_FORM_TEXT_LENGTH,
                             "%s has %zu bytes, at most %zu are allowed", name, len, max);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return ledger_refuse(error, LEDGER_RULE_FORM_TEXT, "%s holds a control character",
                                 name);
    }
    return 0;
}
