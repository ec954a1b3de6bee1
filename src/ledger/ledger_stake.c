/* Delegating and leaving: shares of a validator's stake, and pools of what leaves it. */
#include "ledger_rule.h"
#include "ledger_validator.h"

uint64_t ledger_stake_worth(uint64_t stake, uint64_t all_shares, uint64_t shares)
{
    uint64_t worth;

    return shares <= all_shares && hm_muldiv_u64(stake, shares, all_shares, &worth) ? worth : 0;
}

/* Shares for amount more of a stake, rounded down. What cannot be counted is refused. */
static int shares_for(uint64_t stake, uint64_t all_shares, uint64_t amount, uint64_t *shares,
                      struct hm_error *error)
{
    uint64_t sum;
    bool fits = true;

    if (all_shares == 0)
        *shares = amount;
    else
        fits = stake > 0 && hm_muldiv_u64(amount, all_shares, stake, shares);
    if (!fits || *shares == 0 || !hm_add_u64(all_shares, *shares, &sum))
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_WORTH,
                             "%llu HYPER base units are no countable number of shares of a stake "
                             "of %llu, of which there are %llu",
                             (unsigned long long)amount, (unsigned long long)stake,
                             (unsigned long long)all_shares);
    return 0;
}

int ledger_validator_takes(const Hypermesh__Validator *validator, struct hm_error *error)
{
    if (validator->tombstoned)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_TOMBSTONED,
                             "the validator signed two blocks of one height: it is out for good");
    if (validator->retired)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_RETIRED, "the validator has retired");
    return 0;
}

static bool is_own(const Hypermesh__Validator *validator, ProtobufCBinaryData delegator)
{
    return ledger_id_equal(validator->operator_, delegator);
}

/* The delegation, made when there is none; what it earned so far is paid. */
static int delegation_open(struct ledger_scope *scope, Hypermesh__Validator *validator,
                           ProtobufCBinaryData delegator, Hypermesh__Delegation **out,
                           struct hm_error *error)
{
    struct ledger_object *object;
    Hypermesh__Delegation *delegation;
    int rc = ledger_scope_delegation(scope, validator->operator_, delegator, &object, error);

    if (rc)
        return rc;
    *out = (Hypermesh__Delegation *)object->message;
    if (object->message)
        return ledger_reward_pay(scope, validator, *out, error);
    rc = ledger_stake_message(scope, &hypermesh__delegation__descriptor, &object->message, error);
    if (rc)
        return rc;
    delegation = (Hypermesh__Delegation *)object->message;
    delegation->reward_high = validator->reward_high;
    delegation->reward_low = validator->reward_low;
    *out = delegation;
    rc = ledger_scope_bytes(scope, validator->operator_.data, LEDGER_ID_BYTES,
                            &delegation->validator, error);
    if (rc == 0)
        rc = ledger_scope_bytes(scope, delegator.data, LEDGER_ID_BYTES, &delegation->delegator,
                                error);
    return rc ? rc
              : ledger_scope_list(scope, LEDGER_INDEX_DELEGATION, delegator.data,
                                  validator->operator_.data, true, error);
}

/* Shares for stake that has come: to the delegation and to the validator. */
static void shares_give(struct ledger_scope *scope, Hypermesh__Validator *validator,
                        Hypermesh__Delegation *delegation, uint64_t shares)
{
    validator->shares += shares;
    delegation->shares += shares;
    if (is_own(validator, delegation->delegator))
        validator->own_shares += shares;
    scope->block->stake_changed = true;
}

int ledger_stake_delegate(struct ledger_scope *scope, Hypermesh__Validator *validator,
                          ProtobufCBinaryData delegator, uint64_t amount, struct hm_error *error)
{
    Hypermesh__Delegation *delegation;
    Hypermesh__Account *account;
    uint64_t shares = 0;
    int rc = ledger_scope_account(scope, delegator, &account, error);

    if (rc == 0)
        rc = delegation_open(scope, validator, delegator, &delegation, error);
    if (rc == 0)
        rc = shares_for(validator->stake, validator->shares, amount, &shares, error);
    if (rc == 0)
        rc = ledger_money_stake(scope, account, amount, &validator->stake, error);
    if (rc == 0)
        shares_give(scope, validator, delegation, shares);
    return rc;
}

/* --- leaving --- */

/* One more at the end of a list of messages, which is copied. */
static int list_append(struct ledger_scope *scope, void **list, size_t *count,
                       const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **out,
                       struct hm_error *error)
{
    void *memory;
    int rc = ledger_scope_alloc(scope, (*count + 1) * sizeof(void *), &memory, error);

    if (rc == 0)
        rc = ledger_stake_message(scope, descriptor, out, error);
    if (rc)
        return rc;
    if (*count > 0)
        memcpy(memory, *list, *count * sizeof(void *));
    memcpy((uint8_t *)memory + *count * sizeof(void *), out, sizeof(void *));
    *list = memory;
    (*count)++;
    return 0;
}

/* The pool of what leaves now. */
static int pool_now(struct ledger_scope *scope, Hypermesh__Validator *validator,
                    Hypermesh__LeavingPool **out, struct hm_error *error)
{
    uint64_t number = scope->block->time_ms / ledger_leaving_span(scope->block->params);
    ProtobufCMessage *message;
    void *list = validator->leaving;
    int rc;

    for (size_t i = 0; i < validator->n_leaving; i++) {
        if (validator->leaving[i]->number == number) {
            *out = validator->leaving[i];
            return 0;
        }
    }
    rc = list_append(scope, &list, &validator->n_leaving, &hypermesh__leaving_pool__descriptor,
                     &message, error);
    if (rc)
        return rc;
    validator->leaving = list;
    *out = (Hypermesh__LeavingPool *)message;
    (*out)->number = number;
    return 0;
}

/* Stake of the validator goes to the pool of now, and the delegation waits for it. */
static int leave_begin(struct ledger_scope *scope, Hypermesh__Validator *validator,
                       Hypermesh__Delegation *delegation, uint64_t amount, ProtobufCBinaryData to,
                       struct hm_error *error)
{
    const struct ledger_block *block = scope->block;
    void *list = delegation->leaving;
    Hypermesh__LeavingPool *pool;
    Hypermesh__Leaving *entry;
    ProtobufCMessage *message;
    uint64_t shares = 0;
    int rc = 0;

    if (delegation->n_leaving >= LEDGER_LEAVING_MAX)
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_QUEUE,
                             "%d amounts of this delegation leave already; wait until one of them "
                             "is free",
                             LEDGER_LEAVING_MAX);
    rc = pool_now(scope, validator, &pool, error);
    if (rc == 0)
        rc = shares_for(pool->stake, pool->shares, amount, &shares, error);
    if (rc == 0)
        rc = ledger_money_stake_move(&validator->stake, &pool->stake, amount, error);
    if (rc == 0)
        rc = list_append(scope, &list, &delegation->n_leaving, &hypermesh__leaving__descriptor,
                         &message, error);
    if (rc)
        return rc;
    delegation->leaving = list;
    pool->shares += shares;
    entry = (Hypermesh__Leaving *)message;
    entry->pool = pool->number;
    entry->shares = shares;
    entry->free_ms = block->time_ms + block->params->unbond_delay_ms;
    return to.len == 0 ? 0 : ledger_scope_bytes(scope, to.data, to.len, &entry->to, error);
}

/* How many shares an amount takes, rounded up, and what they bring. */
static int shares_of(const Hypermesh__Validator *validator, const Hypermesh__Delegation *delegation,
                     uint64_t amount, bool all, uint64_t *shares, uint64_t *brings,
                     struct hm_error *error)
{
    *shares = delegation->shares;
    *brings = amount;
    if (!all && (!hm_muldiv_up_u64(amount, validator->shares, validator->stake, shares) ||
                 *shares > delegation->shares))
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_SHARES,
                             "%llu HYPER base units are more than the delegation's %llu",
                             (unsigned long long)amount,
                             (unsigned long long)ledger_stake_worth(
                                 validator->stake, validator->shares, delegation->shares));
    /* A share is never worth more than one unit, so all shares are taken out only with all of the stake. */
    if (all)
        *brings = ledger_stake_worth(validator->stake, validator->shares, *shares);
    return 0;
}

/* An operator that means to go on keeps enough of its own. */
static int own_bond_check(const struct ledger_scope *scope, const Hypermesh__Validator *validator,
                          uint64_t shares, uint64_t brings, struct hm_error *error)
{
    uint64_t needed = scope->block->params->validator_bond;
    uint64_t left = ledger_stake_worth(validator->stake - brings, validator->shares - shares,
                                       validator->own_shares - shares);

    if (validator->retired || validator->tombstoned || left >= needed)
        return 0;
    return ledger_refuse(error, LEDGER_RULE_VALIDATOR_SELF_BOND,
                         "the operator would keep %llu HYPER base units with its validator, %llu "
                         "are needed; retire it first",
                         (unsigned long long)left, (unsigned long long)needed);
}

int ledger_stake_leave(struct ledger_scope *scope, Hypermesh__Validator *validator,
                       ProtobufCBinaryData delegator, uint64_t amount, bool all,
                       ProtobufCBinaryData to, struct hm_error *error)
{
    bool own = is_own(validator, delegator);
    Hypermesh__Delegation *delegation;
    struct ledger_object *object;
    uint64_t shares;
    uint64_t brings;
    int rc = ledger_scope_delegation(scope, validator->operator_, delegator, &object, error);

    if (rc)
        return rc;
    delegation = (Hypermesh__Delegation *)object->message;
    if (!delegation || delegation->shares == 0)
        return ledger_refuse(error, LEDGER_RULE_DELEGATE_NONE,
                             "the account has delegated nothing to this validator");
    rc = shares_of(validator, delegation, amount, all, &shares, &brings, error);
    if (rc == 0 && own)
        rc = own_bond_check(scope, validator, shares, brings, error);
    if (rc == 0)
        rc = ledger_reward_pay(scope, validator, delegation, error);
    if (rc == 0 && brings > 0)
        rc = leave_begin(scope, validator, delegation, brings, to, error);
    if (rc)
        return rc;
    validator->shares -= shares;
    delegation->shares -= shares;
    if (own)
        validator->own_shares -= shares;
    scope->block->stake_changed = true;
    return ledger_stake_tidy(scope, validator, delegation, error);
}

/* --- the end of leaving --- */

/* Nothing of it is left: neither here nor in the index. */
static int delegation_drop(struct ledger_scope *scope, const Hypermesh__Validator *validator,
                           const Hypermesh__Delegation *delegation, struct hm_error *error)
{
    struct ledger_object *object;
    int rc = ledger_scope_list(scope, LEDGER_INDEX_DELEGATION, delegation->delegator.data,
                               validator->operator_.data, false, error);

    if (rc == 0)
        rc = ledger_scope_delegation(scope, validator->operator_, delegation->delegator, &object,
                                     error);
    if (rc == 0)
        object->message = NULL;
    return rc;
}

/* Nothing is delegated any more to a validator that has retired or was tombstoned: its operator gets what rounding left. One
 * that has retired goes, one that was tombstoned is remembered. */
static int validator_drop(struct ledger_scope *scope, Hypermesh__Validator *validator,
                          struct hm_error *error)
{
    struct ledger_object *object;
    Hypermesh__Account *account;
    int rc = ledger_scope_account(scope, validator->operator_, &account, error);

    if (rc == 0)
        rc = ledger_money_stake_pay(validator, account, validator->caes, error);
    if (rc)
        return rc;
    validator->commission_caes = 0;
    if (validator->tombstoned)
        return 0;
    rc = ledger_scope_validator_open(scope, validator->operator_, &object, error);
    if (rc == 0)
        object->message = NULL;
    return rc;
}

int ledger_stake_tidy(struct ledger_scope *scope, Hypermesh__Validator *validator,
                      const Hypermesh__Delegation *delegation, struct hm_error *error)
{
    int rc = 0;

    if (delegation->shares == 0 && delegation->n_leaving == 0)
        rc = delegation_drop(scope, validator, delegation, error);
    if (rc == 0 && (validator->retired || validator->tombstoned) && validator->shares == 0 &&
        validator->n_leaving == 0)
        rc = validator_drop(scope, validator, error);
    return rc;
}

static Hypermesh__LeavingPool *pool_find(const Hypermesh__Validator *validator, uint64_t number)
{
    for (size_t i = 0; i < validator->n_leaving; i++) {
        if (validator->leaving[i]->number == number)
            return validator->leaving[i];
    }
    return NULL;
}

static void pools_tidy(Hypermesh__Validator *validator)
{
    size_t kept = 0;

    for (size_t i = 0; i < validator->n_leaving; i++) {
        if (validator->leaving[i]->shares > 0)
            validator->leaving[kept++] = validator->leaving[i];
    }
    validator->n_leaving = kept;
}

/* The validator that the stake goes to; NULL when it takes none any more. */
static int goal_find(struct ledger_scope *scope, ProtobufCBinaryData to, uint64_t amount,
                     Hypermesh__Validator **out, uint64_t *shares, struct hm_error *error)
{
    struct ledger_object *object;
    Hypermesh__Validator *goal;
    int rc;

    *out = NULL;
    if (to.len == 0 || amount == 0)
        return 0;
    rc = ledger_scope_validator_open(scope, to, &object, error);
    if (rc || !object->message)
        return rc;
    goal = (Hypermesh__Validator *)object->message;
    if (!goal->retired && !goal->tombstoned &&
        shares_for(goal->stake, goal->shares, amount, shares, NULL) == 0)
        *out = goal;
    return 0;
}

/* One entry is free: to the balance, or on to another validator. */
static int entry_end(struct ledger_scope *scope, Hypermesh__Validator *validator,
                     ProtobufCBinaryData delegator, const Hypermesh__Leaving *entry,
                     struct hm_error *error)
{
    Hypermesh__LeavingPool *pool = pool_find(validator, entry->pool);
    Hypermesh__Delegation *delegation;
    Hypermesh__Validator *goal;
    Hypermesh__Account *account;
    uint64_t shares = 0;
    uint64_t amount;
    int rc;

    if (!pool || pool->shares < entry->shares)
        return hm_fail(error, HM_EINTERNAL, "stake leaves that is in no pool");
    amount = ledger_stake_worth(pool->stake, pool->shares, entry->shares);
    rc = goal_find(scope, entry->to, amount, &goal, &shares, error);
    if (rc == 0)
        rc = ledger_scope_account(scope, delegator, &account, error);
    if (rc)
        return rc;
    pool->shares -= entry->shares;
    if (!goal)
        return ledger_money_stake_free(scope, &pool->stake, amount, account, error);
    rc = delegation_open(scope, goal, delegator, &delegation, error);
    if (rc == 0)
        rc = ledger_money_stake_move(&pool->stake, &goal->stake, amount, error);
    if (rc == 0)
        shares_give(scope, goal, delegation, shares);
    return rc;
}

int ledger_stake_leave_end(struct ledger_scope *scope, ProtobufCBinaryData id,
                           struct hm_error *error)
{
    uint64_t now = scope->block->time_ms;
    Hypermesh__Delegation *delegation;
    Hypermesh__Validator *validator;
    struct ledger_object *object;
    size_t ended = 0;
    int rc;

    if (id.len != 2 * LEDGER_ID_BYTES)
        return HM_ENOTFOUND;
    rc = ledger_scope_validator(scope, wire_bytes(id.data, LEDGER_ID_BYTES), &validator, error);
    if (rc == 0)
        rc = ledger_scope_delegation(scope, validator->operator_,
                                     wire_bytes(id.data + LEDGER_ID_BYTES, LEDGER_ID_BYTES),
                                     &object, error);
    if (rc || !object->message)
        return rc ? rc : HM_ENOTFOUND;
    delegation = (Hypermesh__Delegation *)object->message;
    while (rc == 0 && ended < delegation->n_leaving && delegation->leaving[ended]->free_ms <= now)
        rc = entry_end(scope, validator, delegation->delegator, delegation->leaving[ended++],
                       error);
    if (rc)
        return rc;
    pools_tidy(validator);
    delegation->leaving += ended;
    delegation->n_leaving -= ended;
    return ledger_stake_tidy(scope, validator, delegation, error);
}
