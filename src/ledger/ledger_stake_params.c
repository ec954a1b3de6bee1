/* Parameters of proof of stake, and the validators of a genesis. */
#include "ledger_overlay.h"
#include "ledger_validator.h"

/* Which part of unbond_delay_ms is left when an engine forgets a fault: clocks differ, and blocks take time. */
#define LEDGER_EVIDENCE_SPARE 6
#define HYPER                 UINT64_C(1000000000)
#define MINUTE_MS             UINT64_C(60000)
#define DAY_MS                (24 * 60 * MINUTE_MS)

void ledger_default_staking(Hypermesh__Params *params)
{
    params->max_validators = 64;
    params->power_unit = 1 * HYPER;
    params->validator_bond = 1000 * HYPER;
    params->delegation_min = 1 * HYPER;
    params->commission_max_ppm = 500000;
    params->commission_step_ppm = 10000;
    params->commission_step_ms = DAY_MS;
    params->slash_double_ppm = 50000;
    params->slash_plot_ppm = 10000;
    params->absent_ppm = 500000;
    params->absent_window = 1000;
    params->jail_ms = 10 * MINUTE_MS;
    params->block_reward = HYPER / 100; /* of CAES, which has the same base unit */
}

uint64_t ledger_evidence_age_ms(const Hypermesh__Params *params)
{
    return params->unbond_delay_ms - params->unbond_delay_ms / LEDGER_EVIDENCE_SPARE;
}

void ledger_stake_params_fill(Hypermesh__Params *params)
{
    if (params->max_validators == 0)
        ledger_default_staking(params);
}

int ledger_stake_params_check(const Hypermesh__Params *params, struct hm_error *error)
{
    const uint64_t most_reward = UINT64_C(1) << 50;
    const struct {
        const char *name;
        uint64_t value;
        uint64_t least;
        uint64_t most;
    } rows[] = {
        {"max_validators", params->max_validators, 1, LEDGER_PLACES_MAX},
        {"power_unit", params->power_unit, 1, UINT64_C(1) << 60},
        {"validator_bond", params->validator_bond, params->power_unit, UINT64_C(1) << 62},
        {"delegation_min", params->delegation_min, 1, UINT64_C(1) << 62},
        {"commission_max_ppm", params->commission_max_ppm, 0, LEDGER_PPM},
        {"commission_step_ppm", params->commission_step_ppm, 0, LEDGER_PPM},
        {"commission_step_ms", params->commission_step_ms, 0, 366 * DAY_MS},
        {"slash_double_ppm", params->slash_double_ppm, 1, LEDGER_PPM},
        {"slash_plot_ppm", params->slash_plot_ppm, 0, LEDGER_PPM},
        {"absent_ppm", params->absent_ppm, 1, LEDGER_PPM},
        {"absent_window", params->absent_window, 1, UINT64_C(1) << 40},
        {"jail_ms", params->jail_ms, 0, 366 * DAY_MS},
        /* A share earns less than one CAES a block then, so what it earned in all never outgrows its 128 bits. */
        {"block_reward", params->block_reward, 0,
         params->validator_bond < most_reward ? params->validator_bond : most_reward},
    };

    if (params->max_validators == 0)
        return 0;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        if (rows[i].value < rows[i].least || rows[i].value > rows[i].most)
            return hm_fail(error, HM_EINVAL, "genesis: params.%s is %llu, must be %llu to %llu",
                           rows[i].name, (unsigned long long)rows[i].value,
                           (unsigned long long)rows[i].least, (unsigned long long)rows[i].most);
    }
    return 0;
}

/* --- the validators of a genesis --- */

static bool key_is_again(const Hypermesh__Genesis *genesis, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        if (ledger_id_equal(genesis->validators[i]->key, genesis->validators[number]->key))
            return true;
    }
    return false;
}

static int validator_check(const Hypermesh__Genesis *genesis, const Hypermesh__Params *params,
                           size_t number, struct hm_error *error)
{
    const Hypermesh__GenesisValidator *validator = genesis->validators[number];

    if (!ledger_id_ok(validator->operator_) ||
        (number > 0 && hm_slice_compare(wire_slice(genesis->validators[number - 1]->operator_),
                                        wire_slice(validator->operator_)) >= 0))
        return hm_fail(error, HM_EINVAL,
                       "genesis: validators[%zu].operator is no account after the one before it: "
                       "they are sorted by operator, each once",
                       number);
    if (validator->key.len != LEDGER_VALIDATOR_KEY_BYTES || key_is_again(genesis, number))
        return hm_fail(error, HM_EINVAL,
                       "genesis: validators[%zu].key must have %d bytes and be nobody else's",
                       number, LEDGER_VALIDATOR_KEY_BYTES);
    if (validator->bond < params->validator_bond)
        return hm_fail(error, HM_EINVAL, "genesis: validators[%zu].bond is %llu, at least %llu",
                       number, (unsigned long long)validator->bond,
                       (unsigned long long)params->validator_bond);
    if (validator->commission_ppm > params->commission_max_ppm)
        return hm_fail(error, HM_EINVAL,
                       "genesis: validators[%zu].commission_ppm is %u, at most %u", number,
                       validator->commission_ppm, params->commission_max_ppm);
    return 0;
}

int ledger_validators_genesis_check(const Hypermesh__Genesis *genesis, struct hm_error *error)
{
    Hypermesh__Params params = *genesis->params;
    int rc = ledger_stake_params_check(&params, error);

    if (rc)
        return rc;
    ledger_stake_params_fill(&params);
    if (genesis->supply / params.power_unit > LEDGER_POWER_TOTAL_MAX)
        return hm_fail(error, HM_EINVAL,
                       "genesis: params.power_unit %llu is too small for the supply",
                       (unsigned long long)params.power_unit);
    if (genesis->n_validators > 0 &&
        params.unbond_delay_ms / LEDGER_EVIDENCE_SPARE <= params.time_window_ms)
        return hm_fail(
            error, HM_EINVAL,
            "genesis: params.unbond_delay_ms is %llu: with validators it must be more than "
            "%d times params.time_window_ms (%llu), or a fault could come out when the "
            "stake has left",
            (unsigned long long)params.unbond_delay_ms, LEDGER_EVIDENCE_SPARE,
            (unsigned long long)params.time_window_ms);
    if (genesis->n_validators > params.max_validators)
        return hm_fail(error, HM_EINVAL, "genesis: %zu validators, at most %u have a place",
                       genesis->n_validators, params.max_validators);
    for (size_t i = 0; i < genesis->n_validators; i++) {
        rc = validator_check(genesis, &params, i, error);
        if (rc)
            return rc;
    }
    return 0;
}

/* What writing a genesis needs. */
struct founding_stake {
    struct ledger_overlay *overlay;
    struct hm_arena *arena;
    uint64_t time_ms;
};

static int found_put(struct founding_stake *founding, struct hm_slice key,
                     const ProtobufCMessage *message, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    if (wire_pack(message, &buf))
        return hm_fail(error, HM_ENOMEM, "no memory for genesis");
    return ledger_overlay_put(founding->overlay, key, hm_buf_slice(&buf), error);
}

/* The bond comes out of the account. */
static int found_bond(struct founding_stake *founding, const Hypermesh__GenesisValidator *validator,
                      size_t number, struct hm_error *error)
{
    uint8_t key_bytes[LEDGER_KEY_ID_BYTES];
    struct hm_slice key = ledger_key_id(LEDGER_KEY_ACCOUNT, validator->operator_.data, key_bytes);
    Hypermesh__Account *account;
    struct hm_slice bytes;
    int rc = ledger_overlay_get(founding->overlay, key, &bytes, error);

    if (rc && rc != HM_ENOTFOUND)
        return rc;
    if (rc == 0)
        rc = ledger_account_unpack(bytes, founding->arena, &account, error);
    if (rc == HM_ENOTFOUND || (rc == 0 && account->hyper < validator->bond))
        return hm_fail(error, HM_EINVAL,
                       "genesis: validators[%zu].bond is more than its operator's share", number);
    if (rc)
        return rc;
    account->hyper -= validator->bond;
    return found_put(founding, key, &account->base, error);
}

/* Listed as every other one is that a transaction makes, and as a restore lists it. */
static int found_delegation(struct founding_stake *founding,
                            const Hypermesh__GenesisValidator *from, struct hm_error *error)
{
    Hypermesh__Delegation delegation = HYPERMESH__DELEGATION__INIT;
    uint8_t key[LEDGER_KEY_DELEGATION_BYTES];
    uint8_t line[LEDGER_INDEX_KEY_BYTES] = {LEDGER_INDEX_DELEGATION};
    int rc;

    delegation.validator = from->operator_;
    delegation.delegator = from->operator_;
    delegation.shares = from->bond;
    rc = found_put(founding, ledger_key_delegation(from->operator_.data, from->operator_.data, key),
                   &delegation.base, error);
    if (rc)
        return rc;
    memcpy(line + 1, from->operator_.data, LEDGER_ID_BYTES);
    memcpy(line + 1 + LEDGER_ID_BYTES, from->operator_.data, LEDGER_ID_BYTES);
    return store_put(founding->overlay->txn, LEDGER_TABLE_INDEX, hm_slice_of(line, sizeof line),
                     (struct hm_slice){0}, error);
}

static int found_validator(struct founding_stake *founding, const Hypermesh__GenesisValidator *from,
                           struct hm_error *error)
{
    Hypermesh__Validator validator = HYPERMESH__VALIDATOR__INIT;
    Hypermesh__EngineMember owner = HYPERMESH__ENGINE_MEMBER__INIT;
    Hypermesh__EngineMember mark = HYPERMESH__ENGINE_MEMBER__INIT;
    uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES];
    uint8_t key[LEDGER_KEY_ID_BYTES];
    int rc = ledger_validator_address(from->key.data, address, error);

    if (rc)
        return rc;
    owner.operator_ = from->operator_;
    validator.operator_ = from->operator_;
    validator.key = from->key;
    validator.stake = from->bond;
    validator.shares = from->bond;
    validator.own_shares = from->bond;
    validator.commission_ppm = from->commission_ppm;
    validator.commission_ms = founding->time_ms;
    validator.declared_ms = founding->time_ms;
    rc = found_put(founding, ledger_key_id(LEDGER_KEY_VALIDATOR, from->operator_.data, key),
                   &validator.base, error);
    if (rc == 0)
        rc = found_put(founding, ledger_key_id(LEDGER_KEY_ACTIVE, from->operator_.data, key),
                       &mark.base, error);
    if (rc == 0)
        rc = found_put(founding, ledger_key_address(address, key), &owner.base, error);
    return rc ? rc : found_delegation(founding, from, error);
}

int ledger_validators_found(struct ledger_overlay *overlay, struct hm_arena *arena,
                            const Hypermesh__Genesis *genesis, uint64_t *bonded,
                            struct hm_error *error)
{
    struct founding_stake founding = {
        .overlay = overlay, .arena = arena, .time_ms = genesis->time_ms};
    Hypermesh__EngineState engine = HYPERMESH__ENGINE_STATE__INIT;
    const uint8_t key = LEDGER_KEY_ENGINE;
    int rc = 0;

    *bonded = 0;
    if (genesis->n_validators == 0)
        return 0;
    for (size_t i = 0; rc == 0 && i < genesis->n_validators; i++) {
        rc = found_bond(&founding, genesis->validators[i], i, error);
        if (rc == 0)
            rc = found_validator(&founding, genesis->validators[i], error);
        *bonded += genesis->validators[i]->bond; /* each out of a share of the supply */
    }
    engine.active = genesis->n_validators;
    return rc ? rc : found_put(&founding, hm_slice_of(&key, 1), &engine.base, error);
}
