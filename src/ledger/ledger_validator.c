/* Opening validators and what belongs to them by their keys. */
#include "ledger_validator.h"

#include "ledger_rule.h"

struct hm_slice ledger_key_delegation(const uint8_t validator[LEDGER_ID_BYTES],
                                      const uint8_t delegator[LEDGER_ID_BYTES],
                                      uint8_t out[LEDGER_KEY_DELEGATION_BYTES])
{
    out[0] = LEDGER_KEY_DELEGATION;
    memcpy(out + 1, validator, LEDGER_ID_BYTES);
    memcpy(out + 1 + LEDGER_ID_BYTES, delegator, LEDGER_ID_BYTES);
    return hm_slice_of(out, LEDGER_KEY_DELEGATION_BYTES);
}

struct hm_slice ledger_key_address(const uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES],
                                   uint8_t out[LEDGER_KEY_ADDRESS_BYTES])
{
    out[0] = LEDGER_KEY_ADDRESS;
    memcpy(out + 1, address, LEDGER_VALIDATOR_ADDRESS_BYTES);
    return hm_slice_of(out, LEDGER_KEY_ADDRESS_BYTES);
}

int ledger_validator_address(const uint8_t key[LEDGER_VALIDATOR_KEY_BYTES],
                             uint8_t out[LEDGER_VALIDATOR_ADDRESS_BYTES], struct hm_error *error)
{
    struct crypto_sha256 *state;
    uint8_t digest[CRYPTO_SHA256_BYTES];

    if (crypto_sha256_new(&state))
        return hm_fail(error, HM_ENOMEM, "no memory for a validator's address");
    crypto_sha256_update(state, key, LEDGER_VALIDATOR_KEY_BYTES);
    crypto_sha256_final(state, digest);
    crypto_sha256_free(state);
    memcpy(out, digest, LEDGER_VALIDATOR_ADDRESS_BYTES);
    return 0;
}

void ledger_validator_digest(const uint8_t chain_hash[CRYPTO_HASH_BYTES],
                             const uint8_t operator_id[LEDGER_ID_BYTES],
                             uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {hm_slice_of(chain_hash, CRYPTO_HASH_BYTES),
                                     hm_slice_of(operator_id, LEDGER_ID_BYTES)};

    crypto_hash_parts("hypermesh 1 validator", parts, HM_COUNT_OF(parts), out);
}

int ledger_stake_message(struct ledger_scope *scope, const ProtobufCMessageDescriptor *descriptor,
                         ProtobufCMessage **out, struct hm_error *error)
{
    void *memory;
    int rc = ledger_scope_alloc(scope, descriptor->sizeof_message, &memory, error);

    if (rc)
        return rc;
    descriptor->message_init(memory);
    *out = memory;
    return 0;
}

bool ledger_validator_sound(const Hypermesh__Validator *validator)
{
    return ledger_id_ok(validator->operator_) && validator->key.len == LEDGER_VALIDATOR_KEY_BYTES;
}

bool ledger_delegation_sound(const Hypermesh__Delegation *delegation)
{
    return ledger_id_ok(delegation->validator) && ledger_id_ok(delegation->delegator);
}

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "a stored validator or delegation is damaged");
}

int ledger_scope_validator_open(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                                struct ledger_object **out, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    int rc = ledger_id_check(operator_id, error);

    if (rc)
        return rc;
    rc = ledger_scope_open(scope, ledger_key_id(LEDGER_KEY_VALIDATOR, operator_id.data, key),
                           &hypermesh__validator__descriptor, out, error);
    if (rc == 0 && (*out)->message &&
        !ledger_validator_sound((const Hypermesh__Validator *)(*out)->message))
        return damaged(error);
    return rc;
}

int ledger_scope_validator(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                           Hypermesh__Validator **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    struct ledger_object *object;
    int rc = ledger_scope_validator_open(scope, operator_id, &object, error);

    if (rc)
        return rc;
    if (!object->message) {
        wire_account_text(operator_id.data, text);
        return ledger_refuse(error, LEDGER_RULE_VALIDATOR_UNKNOWN,
                             "the account %s operates no validator", text);
    }
    *out = (Hypermesh__Validator *)object->message;
    return 0;
}

int ledger_scope_delegation(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                            ProtobufCBinaryData delegator, struct ledger_object **out,
                            struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_DELEGATION_BYTES];
    int rc;

    rc = ledger_scope_open(scope, ledger_key_delegation(operator_id.data, delegator.data, key),
                           &hypermesh__delegation__descriptor, out, error);
    if (rc == 0 && (*out)->message &&
        !ledger_delegation_sound((const Hypermesh__Delegation *)(*out)->message))
        return damaged(error);
    return rc;
}

int ledger_scope_address(struct ledger_scope *scope,
                         const uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES],
                         struct ledger_object **out, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ADDRESS_BYTES];

    return ledger_scope_open(scope, ledger_key_address(address, key),
                             &hypermesh__engine_member__descriptor, out, error);
}

int ledger_scope_engine_open(struct ledger_scope *scope, struct ledger_object **out,
                             struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_ENGINE;

    return ledger_scope_open(scope, hm_slice_of(&key, 1), &hypermesh__engine_state__descriptor, out,
                             error);
}

int ledger_scope_engine(struct ledger_scope *scope, Hypermesh__EngineState **out,
                        struct hm_error *error)
{
    struct ledger_object *object;
    int rc = ledger_scope_engine_open(scope, &object, error);

    if (rc == 0 && !object->message)
        rc = ledger_stake_message(scope, &hypermesh__engine_state__descriptor, &object->message,
                                  error);
    if (rc == 0)
        *out = (Hypermesh__EngineState *)object->message;
    return rc;
}

int ledger_validator_activate(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                              bool active, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    Hypermesh__EngineState *engine;
    struct ledger_object *object;
    int rc = ledger_scope_engine(scope, &engine, error);

    if (rc == 0)
        rc = ledger_scope_open(scope, ledger_key_id(LEDGER_KEY_ACTIVE, operator_id.data, key),
                               &hypermesh__engine_member__descriptor, &object, error);
    if (rc)
        return rc;
    if ((object->message != NULL) == active)
        return hm_fail(error, HM_EINTERNAL, "a validator is active twice, or was not");
    scope->block->stake_changed = true;
    if (!active) {
        object->message = NULL;
        engine->active--;
        return 0;
    }
    engine->active++;
    return ledger_stake_message(scope, &hypermesh__engine_member__descriptor, &object->message,
                                error);
}
