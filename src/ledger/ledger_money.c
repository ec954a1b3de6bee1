/* Moves of money. Every change of a balance, a bond, an escrow or a total is made here. */
#include "ledger_rule.h"
#include "ledger_scope.h"

static int short_of(struct hm_error *error, enum ledger_rule rule, uint64_t has, uint64_t amount)
{
    return ledger_refuse(error, rule, "the account has %llu %s base units, %llu are needed",
                         (unsigned long long)has, rule == LEDGER_RULE_FUNDS_CAES ? "CAES" : "HYPER",
                         (unsigned long long)amount);
}

/* Supply is bounded by genesis, so a sum that does not fit is a broken invariant, not a user's mistake. */
static int broken(struct hm_error *error)
{
    return hm_fail(error, HM_EINTERNAL, "a sum of HYPER does not fit: supply is not conserved");
}

int ledger_money_transfer(struct ledger_scope *scope, Hypermesh__Account *from,
                          Hypermesh__Account *to, uint64_t amount, struct hm_error *error)
{
    uint64_t sum;

    (void)scope; /* free balances in all stay as they are */
    if (from->hyper < amount)
        return short_of(error, LEDGER_RULE_FUNDS_HYPER, from->hyper, amount);
    if (from == to)
        return 0;
    if (!hm_add_u64(to->hyper, amount, &sum))
        return broken(error);
    from->hyper -= amount;
    to->hyper = sum;
    return 0;
}

int ledger_money_transfer_caes(Hypermesh__Account *from, Hypermesh__Account *to, uint64_t amount,
                               struct hm_error *error)
{
    uint64_t sum;

    if (from->caes < amount)
        return short_of(error, LEDGER_RULE_FUNDS_CAES, from->caes, amount);
    if (from == to)
        return 0;
    if (!hm_add_u64(to->caes, amount, &sum))
        return broken(error);
    from->caes -= amount;
    to->caes = sum;
    return 0;
}

int ledger_money_burn(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                      struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    uint64_t accounts;
    uint64_t burnt;

    if (from->hyper < amount)
        return short_of(error, LEDGER_RULE_FUNDS_HYPER, from->hyper, amount);
    if (!hm_sub_u64(supply->hyper_accounts, amount, &accounts) ||
        !hm_add_u64(supply->hyper_burnt, amount, &burnt))
        return broken(error);
    from->hyper -= amount;
    supply->hyper_accounts = accounts;
    supply->hyper_burnt = burnt;
    return 0;
}

int ledger_money_bond(struct ledger_scope *scope, Hypermesh__Account *account, uint64_t amount,
                      struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    uint64_t accounts;
    uint64_t bonded;
    uint64_t own;

    if (account->hyper < amount)
        return short_of(error, LEDGER_RULE_FUNDS_HYPER, account->hyper, amount);
    if (!hm_sub_u64(supply->hyper_accounts, amount, &accounts) ||
        !hm_add_u64(supply->hyper_bonded, amount, &bonded) ||
        !hm_add_u64(account->bonded, amount, &own))
        return broken(error);
    account->hyper -= amount;
    account->bonded = own;
    supply->hyper_accounts = accounts;
    supply->hyper_bonded = bonded;
    return 0;
}

int ledger_money_unbond(struct ledger_scope *scope, Hypermesh__Account *account, uint64_t amount,
                        uint64_t free_ms, struct hm_error *error)
{
    Hypermesh__Unbonding **queue;
    Hypermesh__Unbonding *entry;
    void *memory;
    int rc;

    if (account->bonded < amount)
        return ledger_refuse(error, LEDGER_RULE_BOND_AMOUNT,
                             "the account has bonded %llu HYPER base units, %llu are to be "
                             "unbonded",
                             (unsigned long long)account->bonded, (unsigned long long)amount);
    if (account->n_unbonding >= LEDGER_UNBONDING_MAX)
        return ledger_refuse(error, LEDGER_RULE_BOND_QUEUE,
                             "%d amounts are unbonding already; wait until one of them is free",
                             LEDGER_UNBONDING_MAX);
    rc = ledger_scope_alloc(scope, (account->n_unbonding + 1) * sizeof(void *), &memory, error);
    if (rc)
        return rc;
    queue = memory;
    rc = ledger_scope_alloc(scope, sizeof *entry, &memory, error);
    if (rc)
        return rc;
    entry = memory;
    *entry = (Hypermesh__Unbonding)HYPERMESH__UNBONDING__INIT;
    entry->amount = amount;
    entry->free_ms = free_ms;
    if (account->n_unbonding > 0)
        memcpy(queue, account->unbonding, account->n_unbonding * sizeof(void *));
    queue[account->n_unbonding] = entry;
    account->unbonding = queue;
    account->n_unbonding++;
    account->bonded -= amount;
    return 0;
}

uint64_t ledger_money_at_stake(const Hypermesh__Account *account)
{
    uint64_t sum = account->bonded;

    for (size_t i = 0; i < account->n_unbonding; i++)
        sum += account->unbonding[i]->amount;
    return sum;
}

/* Takes amount out of the bond and the queue; the caller sees that there is as much. */
static void stake_take(Hypermesh__Account *account, uint64_t amount)
{
    uint64_t part = amount < account->bonded ? amount : account->bonded;

    account->bonded -= part;
    amount -= part;
    while (amount > 0 && account->n_unbonding > 0) {
        Hypermesh__Unbonding *last = account->unbonding[account->n_unbonding - 1];

        part = amount < last->amount ? amount : last->amount;
        last->amount -= part;
        amount -= part;
        if (last->amount == 0)
            account->n_unbonding--;
    }
}

int ledger_money_slash(struct ledger_scope *scope, Hypermesh__Account *account,
                       Hypermesh__Account *to, uint64_t amount, uint64_t paid,
                       struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    Hypermesh__Supply next = *supply;
    uint64_t balance;

    if (amount > ledger_money_at_stake(account) || paid > amount ||
        !hm_sub_u64(next.hyper_bonded, amount, &next.hyper_bonded) ||
        !hm_add_u64(next.hyper_accounts, paid, &next.hyper_accounts) ||
        !hm_add_u64(next.hyper_burnt, amount - paid, &next.hyper_burnt) ||
        !hm_add_u64(to->hyper, paid, &balance))
        return broken(error);
    stake_take(account, amount);
    to->hyper = balance;
    *supply = next;
    return 0;
}

int ledger_money_deposit(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                         struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    uint64_t accounts;
    uint64_t deposits;
    uint64_t own;

    if (from->hyper < amount)
        return short_of(error, LEDGER_RULE_CHALLENGE_DEPOSIT, from->hyper, amount);
    if (!hm_sub_u64(supply->hyper_accounts, amount, &accounts) ||
        !hm_add_u64(supply->hyper_deposits, amount, &deposits) ||
        !hm_add_u64(from->deposits, amount, &own))
        return broken(error);
    from->hyper -= amount;
    from->deposits = own;
    supply->hyper_accounts = accounts;
    supply->hyper_deposits = deposits;
    return 0;
}

int ledger_money_deposit_give(struct ledger_scope *scope, Hypermesh__Account *from,
                              Hypermesh__Account *to, uint64_t amount, uint64_t burnt,
                              struct hm_error *error)
{
    Hypermesh__Supply next = scope->supply;
    uint64_t own;
    uint64_t balance;

    if (burnt > amount || !hm_sub_u64(next.hyper_deposits, amount, &next.hyper_deposits) ||
        !hm_add_u64(next.hyper_accounts, amount - burnt, &next.hyper_accounts) ||
        !hm_add_u64(next.hyper_burnt, burnt, &next.hyper_burnt) ||
        !hm_sub_u64(from->deposits, amount, &own) ||
        !hm_add_u64(to->hyper, amount - burnt, &balance))
        return broken(error);
    from->deposits = own;
    to->hyper = balance;
    scope->supply = next;
    return 0;
}

int ledger_money_release_unbonding(struct ledger_scope *scope, Hypermesh__Account *account,
                                   uint64_t now_ms, struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    size_t kept = 0;

    for (size_t i = 0; i < account->n_unbonding; i++) {
        Hypermesh__Unbonding *entry = account->unbonding[i];

        if (entry->free_ms > now_ms) {
            account->unbonding[kept++] = entry;
            continue;
        }
        if (!hm_add_u64(account->hyper, entry->amount, &account->hyper) ||
            !hm_sub_u64(supply->hyper_bonded, entry->amount, &supply->hyper_bonded) ||
            !hm_add_u64(supply->hyper_accounts, entry->amount, &supply->hyper_accounts))
            return broken(error);
    }
    account->n_unbonding = kept;
    return 0;
}

int ledger_money_escrow(struct ledger_scope *scope, Hypermesh__Account *from,
                        Hypermesh__Lease *lease, uint64_t amount, struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    uint64_t accounts;
    uint64_t escrow;
    uint64_t held;

    if (from->hyper < amount)
        return short_of(error, LEDGER_RULE_LEASE_ESCROW, from->hyper, amount);
    if (!hm_sub_u64(supply->hyper_accounts, amount, &accounts) ||
        !hm_add_u64(supply->hyper_escrow, amount, &escrow) ||
        !hm_add_u64(lease->escrow, amount, &held))
        return broken(error);
    from->hyper -= amount;
    lease->escrow = held;
    supply->hyper_accounts = accounts;
    supply->hyper_escrow = escrow;
    return 0;
}

int ledger_money_pay(struct ledger_scope *scope, Hypermesh__Lease *lease,
                     Hypermesh__Account *provider, Hypermesh__Account *consumer, uint64_t paid,
                     struct hm_error *error)
{
    Hypermesh__Supply *supply = &scope->supply;
    uint64_t held = lease->escrow;
    uint64_t accounts;
    uint64_t escrow;

    if (paid > held || !hm_sub_u64(supply->hyper_escrow, held, &escrow) ||
        !hm_add_u64(supply->hyper_accounts, held, &accounts) ||
        !hm_add_u64(provider->hyper, paid, &provider->hyper) ||
        !hm_add_u64(consumer->hyper, held - paid, &consumer->hyper))
        return broken(error);
    lease->escrow = 0;
    lease->paid = paid;
    lease->refunded = held - paid;
    supply->hyper_escrow = escrow;
    supply->hyper_accounts = accounts;
    return 0;
}

int ledger_money_mint_caes(struct ledger_scope *scope, Hypermesh__Account *to, uint64_t amount,
                           struct hm_error *error)
{
    uint64_t minted;
    uint64_t own;

    if (!hm_add_u64(scope->supply.caes_minted, amount, &minted) ||
        !hm_add_u64(to->caes, amount, &own))
        return broken(error);
    scope->supply.caes_minted = minted;
    to->caes = own;
    return 0;
}
