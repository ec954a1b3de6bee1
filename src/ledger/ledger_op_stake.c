/* delegate, undelegate, redelegate, rewards_take. */
#include "ledger_rule.h"
#include "ledger_validator.h"

int ledger_op_delegate(struct ledger_act *act, const Hypermesh__Operation *op,
                       struct hm_error *error)
{
    const Hypermesh__Delegate *what = op->delegate;
    Hypermesh__Validator *validator;
    int rc = ledger_scope_validator(act->scope, what->validator, &validator, error);

    if (rc == 0)
        rc = ledger_validator_takes(validator, error);
    if (rc)
        return rc;
    if (what->amount < act->params->delegation_min)
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_AMOUNT,
                             "%llu HYPER base units are delegated, at least %llu are needed",
                             (unsigned long long)what->amount,
                             (unsigned long long)act->params->delegation_min);
    return ledger_stake_delegate(act->scope, validator, act->body->account, what->amount, error);
}

static int amount_check(uint64_t amount, bool all, struct hm_error *error)
{
    return (amount == 0) == all
               ? 0
               : ledger_refuse(error, LEDGER_RULE_DELEGATE_ALL,
                               "either an amount that is not 0 is taken out, or all");
}

int ledger_op_undelegate(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error)
{
    const Hypermesh__Undelegate *what = op->undelegate;
    Hypermesh__Validator *validator;
    int rc = ledger_scope_validator(act->scope, what->validator, &validator, error);

    if (rc == 0)
        rc = amount_check(what->amount, what->all, error);
    return rc ? rc
              : ledger_stake_leave(act->scope, validator, act->body->account, what->amount,
                                   what->all, (ProtobufCBinaryData){0}, error);
}

int ledger_op_redelegate(struct ledger_act *act, const Hypermesh__Operation *op,
                         struct hm_error *error)
{
    const Hypermesh__Redelegate *what = op->redelegate;
    Hypermesh__Validator *validator;
    Hypermesh__Validator *goal;
    int rc = ledger_scope_validator(act->scope, what->validator, &validator, error);

    if (rc == 0)
        rc = ledger_scope_validator(act->scope, what->to, &goal, error);
    if (rc == 0)
        rc = amount_check(what->amount, what->all, error);
    if (rc == 0)
        rc = ledger_validator_takes(goal, error);
    if (rc)
        return rc;
    if (goal == validator)
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_SAME,
                             "the stake is with this validator already");
    return ledger_stake_leave(act->scope, validator, act->body->account, what->amount, what->all,
                              what->to, error);
}

int ledger_op_rewards_take(struct ledger_act *act, const Hypermesh__Operation *op,
                           struct hm_error *error)
{
    Hypermesh__Validator *validator;
    struct ledger_object *object;
    int rc = ledger_scope_validator(act->scope, op->rewards_take->validator, &validator, error);

    if (rc == 0)
        rc = ledger_scope_delegation(act->scope, validator->operator_, act->body->account, &object,
                                     error);
    if (rc)
        return rc;
    if (!object->message)
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_NONE,
                             "the account has delegated nothing to this validator");
    return ledger_reward_pay(act->scope, validator, (Hypermesh__Delegation *)object->message,
                             error);
}
