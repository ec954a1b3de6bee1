/* Moves of staked HYPER, and of CAES that validators earn. Stake counts as bonded, with a validator and while it
 * leaves. */
#include "ledger_rule.h"
#include "ledger_validator.h"

static int broken(struct hm_error *error)
{
    return hm_fail(error, HM_EINTERNAL, "a sum of stake does not fit: supply is not conserved");
}

int ledger_money_stake(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                       uint64_t *held, struct hm_error *error)
{
    Hypermesh__Supply next = scope->supply;
    uint64_t sum;

    if (from->hyper < amount)
        return ledger_refuse(error, LEDGER_RULE_FUNDS_HYPER,
                             "the account has %llu HYPER base units, %llu are needed",
                             (unsigned long long)from->hyper, (unsigned long long)amount);
    if (!hm_sub_u64(next.hyper_accounts, amount, &next.hyper_accounts) ||
        !hm_add_u64(next.hyper_bonded, amount, &next.hyper_bonded) ||
        !hm_add_u64(*held, amount, &sum))
        return broken(error);
    from->hyper -= amount;
    *held = sum;
    scope->supply = next;
    return 0;
}

int ledger_money_stake_free(struct ledger_scope *scope, uint64_t *held, uint64_t amount,
                            Hypermesh__Account *to, struct hm_error *error)
{
    Hypermesh__Supply next = scope->supply;
    uint64_t balance;
    uint64_t left;

    if (!hm_sub_u64(*held, amount, &left) || !hm_add_u64(to->hyper, amount, &balance) ||
        !hm_sub_u64(next.hyper_bonded, amount, &next.hyper_bonded) ||
        !hm_add_u64(next.hyper_accounts, amount, &next.hyper_accounts))
        return broken(error);
    *held = left;
    to->hyper = balance;
    scope->supply = next;
    return 0;
}

int ledger_money_stake_move(uint64_t *from, uint64_t *to, uint64_t amount, struct hm_error *error)
{
    uint64_t left;
    uint64_t sum;

    if (!hm_sub_u64(*from, amount, &left) || !hm_add_u64(*to, amount, &sum))
        return broken(error);
    *from = left;
    *to = sum;
    return 0;
}

int ledger_money_stake_burn(struct ledger_scope *scope, uint64_t *held, uint64_t amount,
                            struct hm_error *error)
{
    Hypermesh__Supply next = scope->supply;
    uint64_t left;

    if (!hm_sub_u64(*held, amount, &left) ||
        !hm_sub_u64(next.hyper_bonded, amount, &next.hyper_bonded) ||
        !hm_add_u64(next.hyper_burnt, amount, &next.hyper_burnt))
        return broken(error);
    *held = left;
    scope->supply = next;
    return 0;
}

int ledger_money_stake_mint(struct ledger_scope *scope, Hypermesh__Validator *validator,
                            uint64_t caes, struct hm_error *error)
{
    uint64_t minted;
    uint64_t own;

    if (!hm_add_u64(scope->supply.caes_minted, caes, &minted) ||
        !hm_add_u64(validator->caes, caes, &own))
        return broken(error);
    scope->supply.caes_minted = minted;
    validator->caes = own;
    return 0;
}

int ledger_money_stake_pay(Hypermesh__Validator *validator, Hypermesh__Account *to, uint64_t caes,
                           struct hm_error *error)
{
    uint64_t left;
    uint64_t own;

    if (!hm_sub_u64(validator->caes, caes, &left) || !hm_add_u64(to->caes, caes, &own))
        return broken(error);
    validator->caes = left;
    to->caes = own;
    return 0;
}
