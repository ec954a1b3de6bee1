/* transfer, bond, unbond. */
#include "ledger_challenge.h"
#include "ledger_op.h"

int ledger_op_transfer(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error)
{
    const Hypermesh__Transfer *transfer = op->transfer;
    Hypermesh__Account *to;
    int rc;

    if (transfer->amount == 0)
        return ledger_refuse(error, LEDGER_RULE_TOKEN_AMOUNT, "the amount is 0");
    rc = ledger_text_check(transfer->memo, LEDGER_MEMO_MAX_BYTES, "memo", error);
    if (rc)
        return rc;
    rc = ledger_scope_account(act->scope, transfer->to, &to, error);
    if (rc)
        return rc;
    switch (transfer->token) {
    case HYPERMESH__TOKEN__HYPER:
        return ledger_money_transfer(act->scope, act->signer, to, transfer->amount, error);
    case HYPERMESH__TOKEN__CAES:
        return ledger_money_transfer_caes(act->signer, to, transfer->amount, error);
    default:
        return ledger_refuse(error, LEDGER_RULE_TOKEN_KIND, "there is no token %d",
                             (int)transfer->token);
    }
}

int ledger_op_bond(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    if (op->bond->amount == 0)
        return ledger_refuse(error, LEDGER_RULE_TOKEN_AMOUNT, "the amount is 0");
    return ledger_money_bond(act->scope, act->signer, op->bond->amount, error);
}

int ledger_op_unbond(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    Hypermesh__Account *account = act->signer;
    uint64_t amount = op->unbond->amount;
    uint64_t needed = act->params->bond_provider;
    int rc;

    if (amount == 0)
        return ledger_refuse(error, LEDGER_RULE_TOKEN_AMOUNT, "the amount is 0");
    if (account->assets > 0 && amount <= account->bonded && account->bonded - amount < needed)
        return ledger_refuse(
            error, LEDGER_RULE_BOND_PROVIDER,
            "the account owns %llu active assets, so %llu HYPER base units must stay "
            "bonded; retire them first",
            (unsigned long long)account->assets, (unsigned long long)needed);
    rc = ledger_challenge_bond_free(act, amount, error);
    if (rc)
        return rc;
    return ledger_money_unbond(act->scope, account, amount,
                               act->scope->block->time_ms + act->params->unbond_delay_ms, error);
}
