/* validator_declare, validator_update, validator_retire, unjail. */
#include "ledger_rule.h"
#include "ledger_validator.h"

static int commission_check(const Hypermesh__Params *params, uint32_t ppm, struct hm_error *error)
{
    return ppm <= params->commission_max_ppm
               ? 0
               : ledger_refuse(error, LEDGER_RULE_VALIDATOR_COMMISSION,
                               "a commission of %u parts per million, at most %u are allowed", ppm,
                               params->commission_max_ppm);
}

/* Of a commission that others rely on. */
static int commission_step_check(const struct ledger_act *act,
                                 const Hypermesh__Validator *validator, uint32_t ppm,
                                 struct hm_error *error)
{
    const Hypermesh__Params *params = act->params;
    uint64_t since = act->scope->block->time_ms - validator->commission_ms;
    uint32_t change = ppm > validator->commission_ppm ? ppm - validator->commission_ppm
                                                      : validator->commission_ppm - ppm;

    if (change > params->commission_step_ppm)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_COMMISSION_STEP,
                             "the commission would change by %u parts per million, at most %u are "
                             "allowed at a time",
                             change, params->commission_step_ppm);
    if (since < params->commission_step_ms)
        return ledger_refuse(
            error, LEDGER_RULE_VALIDATOR_COMMISSION_TIME,
            "the commission was %s %llu ms ago; it may change once in %llu",
            validator->commission_ms == validator->declared_ms ? "declared" : "changed",
            (unsigned long long)since, (unsigned long long)params->commission_step_ms);
    return 0;
}

static int declare_check(struct ledger_act *act, const Hypermesh__ValidatorDeclare *what,
                         struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];

    if (what->key.len != LEDGER_VALIDATOR_KEY_BYTES)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_KEY,
                             "a validator's key has %d bytes, not %zu", LEDGER_VALIDATOR_KEY_BYTES,
                             what->key.len);
    if (what->bond < act->params->validator_bond)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_BOND,
                             "a validator bonds at least %llu HYPER base units of its own, not "
                             "%llu",
                             (unsigned long long)act->params->validator_bond,
                             (unsigned long long)what->bond);
    ledger_validator_digest(act->scope->block->next.chain_hash, act->body->account.data, digest);
    if (what->proof.len != CRYPTO_ED25519_SIGNATURE_BYTES ||
        crypto_ed25519_verify(what->key.data, digest, sizeof digest, what->proof.data))
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_PROOF,
                             "the proof is not the key's signature of this chain and operator");
    return commission_check(act->params, what->commission_ppm, error);
}

/* The address is the key's for ever: a fault of long ago must find who it was. */
static int address_take(struct ledger_act *act, ProtobufCBinaryData key, struct hm_error *error)
{
    uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES];
    Hypermesh__EngineMember *owner;
    struct ledger_object *object;
    int rc = ledger_validator_address(key.data, address, error);

    if (rc == 0)
        rc = ledger_scope_address(act->scope, address, &object, error);
    if (rc)
        return rc;
    if (object->message)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_KEY_TAKEN,
                             "the key was a validator's before");
    rc = ledger_stake_message(act->scope, &hypermesh__engine_member__descriptor, &object->message,
                              error);
    if (rc)
        return rc;
    owner = (Hypermesh__EngineMember *)object->message;
    owner->operator_ = act->body->account;
    return 0;
}

static int retire(struct ledger_scope *scope, Hypermesh__Validator *validator,
                  struct hm_error *error)
{
    validator->retired = true;
    validator->retired_ms = scope->block->time_ms;
    return ledger_validator_activate(scope, validator->operator_, false, error);
}

/* Where there is no place any more a larger bond has that of the least stake which has no power: or else whoever fills them all
 * keeps everybody out. */
static int place_make(struct ledger_act *act, uint64_t bond, uint64_t most, struct hm_error *error)
{
    uint8_t weakest[LEDGER_ID_BYTES];
    Hypermesh__Validator *validator;
    uint64_t stake;
    int rc = ledger_scope_work(act->scope, most * LEDGER_VALIDATOR_WORK, error);

    if (rc == 0)
        rc = ledger_validator_weakest(act->scope, weakest, &stake, error);
    if (rc)
        return rc;
    if (bond <= stake || act->signer->hyper < bond)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_COUNT,
                             "there are %llu validators already, as many as the chain keeps, and "
                             "the bond is not larger than the least stake without power",
                             (unsigned long long)most);
    rc = ledger_scope_validator(act->scope, wire_bytes(weakest, sizeof weakest), &validator, error);
    if (rc)
        return rc;
    if (validator->retired || validator->tombstoned)
        return 0; /* it makes room already */
    return retire(act->scope, validator, error);
}

static int place_check(struct ledger_act *act, uint64_t bond, struct hm_error *error)
{
    uint64_t most = LEDGER_VALIDATORS_A_PLACE * act->params->max_validators;
    Hypermesh__EngineState *engine;
    int rc = ledger_scope_engine(act->scope, &engine, error);

    if (rc || engine->active < most)
        return rc;
    return place_make(act, bond, most, error);
}

/* A validator that has retired is still there as long as somebody's stake is with it, which its operator cannot help.
 * The key that it had is answered for until nobody can show a fault of it any more; whose stake is still there was promised
 * that the commission changes by steps. */
static int again_check(const struct ledger_act *act, const Hypermesh__Validator *validator,
                       uint32_t ppm, struct hm_error *error)
{
    uint64_t now = act->scope->block->time_ms;
    uint64_t free_ms = validator->retired_ms + act->params->unbond_delay_ms;

    if (validator->tombstoned)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_DECLARED,
                             "the account's validator signed two blocks of one height: it is "
                             "remembered, and the account operates no other");
    if (!validator->retired)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_DECLARED,
                             "the account operates a validator already");
    if (now < free_ms)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_DECLARED,
                             "the account's validator has retired, but can be held to account for "
                             "%llu ms more: declare another one then",
                             (unsigned long long)(free_ms - now));
    return validator->shares == 0 || ppm == validator->commission_ppm
               ? 0
               : commission_step_check(act, validator, ppm, error);
}

/* What was delegated to it, and is still there, goes with it. */
static void validator_again(Hypermesh__Validator *validator)
{
    validator->retired = false;
    validator->retired_ms = 0;
    validator->jailed = false;
    validator->jailed_until_ms = 0;
    validator->window_blocks = 0;
    validator->window_missed = 0;
}

static int validator_new(struct ledger_act *act, const Hypermesh__ValidatorDeclare *what,
                         struct ledger_object *object, struct hm_error *error)
{
    Hypermesh__Validator *validator;
    int rc = 0;

    if (object->message)
        validator_again((Hypermesh__Validator *)object->message);
    else
        rc = ledger_stake_message(act->scope, &hypermesh__validator__descriptor, &object->message,
                                  error);
    if (rc)
        return rc;
    validator = (Hypermesh__Validator *)object->message;
    validator->operator_ = act->body->account;
    validator->key = what->key;
    validator->commission_ppm = what->commission_ppm;
    validator->commission_ms = act->scope->block->time_ms;
    validator->declared_ms = act->scope->block->time_ms;
    rc = ledger_validator_activate(act->scope, act->body->account, true, error);
    return rc ? rc
              : ledger_stake_delegate(act->scope, validator, act->body->account, what->bond, error);
}

int ledger_op_validator_declare(struct ledger_act *act, const Hypermesh__Operation *op,
                                struct hm_error *error)
{
    const Hypermesh__ValidatorDeclare *what = op->validator_declare;
    struct ledger_object *object;
    int rc = declare_check(act, what, error);

    if (rc == 0)
        rc = ledger_scope_validator_open(act->scope, act->body->account, &object, error);
    if (rc)
        return rc;
    if (object->message)
        rc = again_check(act, (const Hypermesh__Validator *)object->message, what->commission_ppm,
                         error);
    if (rc == 0)
        rc = place_check(act, what->bond, error);
    if (rc == 0)
        rc = address_take(act, what->key, error);
    return rc ? rc : validator_new(act, what, object, error);
}

/* The signer's own. */
static int own_open(struct ledger_act *act, Hypermesh__Validator **out, struct hm_error *error)
{
    int rc = ledger_scope_validator(act->scope, act->body->account, out, error);

    return rc ? rc : ledger_validator_takes(*out, error);
}

int ledger_op_validator_update(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error)
{
    uint32_t ppm = op->validator_update->commission_ppm;
    Hypermesh__Validator *validator;
    int rc = own_open(act, &validator, error);

    if (rc == 0)
        rc = commission_check(act->params, ppm, error);
    if (rc == 0)
        rc = commission_step_check(act, validator, ppm, error);
    if (rc)
        return rc;
    validator->commission_ppm = ppm;
    validator->commission_ms = act->scope->block->time_ms;
    return 0;
}

int ledger_op_validator_retire(struct ledger_act *act, const Hypermesh__Operation *op,
                               struct hm_error *error)
{
    Hypermesh__Validator *validator;
    int rc = own_open(act, &validator, error);

    (void)op;
    if (rc)
        return rc;
    return retire(act->scope, validator, error);
}

int ledger_op_unjail(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    uint64_t now = act->scope->block->time_ms;
    Hypermesh__Validator *validator;
    int rc = own_open(act, &validator, error);

    (void)op;
    if (rc)
        return rc;
    if (!validator->jailed)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_FREE, "the validator is not jailed");
    if (now < validator->jailed_until_ms)
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_JAIL_TIME,
                             "the validator is jailed for %llu ms more",
                             (unsigned long long)(validator->jailed_until_ms - now));
    validator->jailed = false;
    validator->jailed_until_ms = 0;
    act->scope->block->stake_changed = true;
    return 0;
}
