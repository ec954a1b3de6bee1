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

static int not_built(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    (void)act;
    (void)op;
    return hm_fail(error, HM_EUNSUPPORTED, "this operation is not supported yet");
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
    [HYPERMESH__OPERATION__OP_NETWORK_CREATE] = {"network_create", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_NETWORK_JOIN] = {"network_join", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_NETWORK_LEAVE] = {"network_leave", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_NETWORK_INVITE] = {"network_invite", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_NETWORK_EXPEL] = {"network_expel", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE] = {"network_dissolve", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_PEERS_SET] = {"peers_set", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_PROXY_SET] = {"proxy_set", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_CHALLENGE_OPEN] = {"challenge_open", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER] = {"challenge_answer", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_PUT] = {"kv_put", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_DELETE] = {"kv_delete", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_TXN] = {"kv_txn", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_LEASE_GRANT] = {"kv_lease_grant", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE] = {"kv_lease_revoke", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE] = {"kv_lease_keep_alive", 500,
                                                      .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_COMPACT] = {"kv_compact", 500, .apply = not_built},
    [HYPERMESH__OPERATION__OP_KV_RULE_SET] = {"kv_rule_set", 500, .apply = not_built},
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
    return proof_stake_verify(account->bonded, needed, what, error);
}

int ledger_text_check(const char *text, size_t max, const char *name, struct hm_error *error)
{
    size_t len = strlen(text);

    if (len > max)
        return hm_fail(error, HM_ELIMIT, "%s has %zu bytes, at most %zu are allowed", name, len,
                       max);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return hm_fail(error, HM_EINVAL, "%s holds a control character", name);
    }
    return 0;
}
