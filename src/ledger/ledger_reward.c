/* Rewards: CAES minted for those who signed, shared out by one number a validator. A share has earned reward_high,
 * reward_low / 2^64 CAES since the validator was declared; a delegation remembers where that stood when it was last
 * paid. So a block costs the same however many have delegated. (The method is that of Batog, Boca, Johnson, "Scalable
 * Reward Distribution on the Ethereum Blockchain", 2018.) */
#include "ledger_validator.h"

__extension__ typedef unsigned __int128 wide;

static wide wide_of(uint64_t high, uint64_t low)
{
    return (wide)high << 64 | low;
}

static int too_much(struct hm_error *error)
{
    return hm_fail(error, HM_EINTERNAL, "what a validator's shares earned does not fit");
}

int ledger_reward_add(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t caes,
                      struct hm_error *error)
{
    uint64_t left = UINT64_MAX - scope->supply.caes_minted;
    uint64_t commission;
    wide each;
    wide now;
    int rc;

    /* What is minted in all must fit, as with leases: who mints the most there can be by these must not stop the chain. */
    if (caes > left)
        caes = left;
    if (caes == 0 || validator->shares == 0)
        return 0;
    if (!hm_muldiv_u64(caes, validator->commission_ppm, LEDGER_PPM, &commission) ||
        commission > caes)
        return too_much(error);
    each = ((wide)(caes - commission) << 64) / validator->shares;
    now = wide_of(validator->reward_high, validator->reward_low) + each;
    if (now < each || !hm_add_u64(validator->commission_caes, commission, &commission))
        return too_much(error);
    rc = ledger_money_stake_mint(scope, validator, caes, error);
    if (rc)
        return rc;
    validator->commission_caes = commission;
    validator->reward_high = (uint64_t)(now >> 64);
    validator->reward_low = (uint64_t)now;
    return 0;
}

bool ledger_reward_owed(const Hypermesh__Validator *validator,
                        const Hypermesh__Delegation *delegation, uint64_t *caes)
{
    wide now = wide_of(validator->reward_high, validator->reward_low);
    wide mark = wide_of(delegation->reward_high, delegation->reward_low);
    uint64_t whole;
    wide part;

    if (mark > now)
        return false;
    now -= mark;
    part = (wide)(uint64_t)now * delegation->shares >> 64;
    return hm_mul_u64((uint64_t)(now >> 64), delegation->shares, &whole) &&
           hm_add_u64(whole, (uint64_t)part, caes);
}

int ledger_reward_pay(struct ledger_scope *scope, Hypermesh__Validator *validator,
                      Hypermesh__Delegation *delegation, struct hm_error *error)
{
    bool own = ledger_id_equal(validator->operator_, delegation->delegator);
    uint64_t commission = own ? validator->commission_caes : 0;
    Hypermesh__Account *account;
    uint64_t caes;
    int rc;

    if (!ledger_reward_owed(validator, delegation, &caes) || !hm_add_u64(caes, commission, &caes))
        return too_much(error);
    delegation->reward_high = validator->reward_high;
    delegation->reward_low = validator->reward_low;
    if (caes == 0)
        return 0;
    rc = ledger_scope_account(scope, delegation->delegator, &account, error);
    if (rc == 0)
        rc = ledger_money_stake_pay(validator, account, caes, error);
    if (rc == 0 && own)
        validator->commission_caes = 0;
    return rc;
}

/* --- votes --- */

static bool is_marked(ProtobufCBinaryData bits, size_t number)
{
    return number / 8 < bits.len && (bits.data[number / 8] >> number % 8 & 1) != 0;
}

/* Counts the vote in the window; too many missed is jail. A new window begins when it is full. */
static int vote_count(struct ledger_scope *scope, Hypermesh__Validator *validator, bool missed,
                      struct hm_error *error)
{
    const Hypermesh__Params *params = scope->block->params;
    uint64_t most = 0;
    int rc = 0;

    validator->window_blocks++;
    validator->window_missed += missed;
    validator->missed += missed;
    (void)hm_muldiv_u64(params->absent_window, params->absent_ppm, LEDGER_PPM, &most);
    if (validator->window_missed > most) {
        validator->jailed = true;
        validator->jailed_until_ms = scope->block->time_ms + params->jail_ms;
        scope->block->stake_changed = true;
        rc = ledger_named_add(scope->block, &scope->block->jailed, validator->operator_, error);
    }
    if (validator->jailed || validator->window_blocks >= params->absent_window) {
        validator->window_blocks = 0;
        validator->window_missed = 0;
    }
    return rc;
}

static int member_reward(struct ledger_scope *scope, const Hypermesh__EngineMember *member,
                         bool missed, bool nil, uint64_t total, struct hm_error *error)
{
    Hypermesh__Validator *validator;
    uint64_t caes;
    int rc = ledger_voter_open(scope, member, &validator, error);

    if (rc || !validator)
        return rc;
    rc = vote_count(scope, validator, missed, error);
    if (rc || missed || nil)
        return rc;
    if (!hm_muldiv_u64(scope->block->params->block_reward, member->power, total, &caes))
        return too_much(error);
    return ledger_reward_add(scope, validator, caes, error);
}

int ledger_reward_block(struct ledger_scope *scope, const Hypermesh__EngineSet *set,
                        const Hypermesh__EngineFacts *facts, struct hm_error *error)
{
    uint64_t total = 0;
    int rc = 0;

    if (facts->absent.len ==
        0) /* an engine's first block: it follows none that could be voted for */
        return 0;
    for (size_t i = 0; i < set->n_members; i++) {
        if (!hm_add_u64(total, set->members[i]->power, &total))
            return too_much(error);
    }
    for (size_t i = 0; rc == 0 && i < set->n_members; i++)
        rc = member_reward(scope, set->members[i], is_marked(facts->absent, i),
                           is_marked(facts->nil, i), total, error);
    return rc;
}
