/* Sets of validators: their hash, their order, their power. */
#include "light_private.h"

#define VALIDATOR_MAX_BYTES 64 /* a packed SimpleValidator: 36 of the key, up to 10 of the power */

static int validator_check(const Hypermesh__Abci__SimpleValidator *validator, size_t index,
                           struct hm_error *error)
{
    const Hypermesh__Abci__PublicKey *key = validator->pub_key;

    if (key == NULL || key->sum_case != HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519 ||
        key->ed25519.len != CRYPTO_ED25519_PUBLIC_BYTES)
        return hm_fail(error, HM_EPARSE, "validator %zu has no Ed25519 key of %d bytes", index,
                       CRYPTO_ED25519_PUBLIC_BYTES);
    if (validator->voting_power < 1)
        return hm_fail(error, HM_EPARSE, "validator %zu has the power %lld, the least is 1", index,
                       (long long)validator->voting_power);
    return 0;
}

static int set_check(Hypermesh__Abci__SimpleValidator *const *validators, size_t count,
                     struct hm_error *error)
{
    if (count == 0)
        return hm_fail(error, HM_EPARSE, "there are no validators");
    if (count > LIGHT_VALIDATORS_MAX)
        return hm_fail(error, HM_ELIMIT, "there are %zu validators, at most %d are taken", count,
                       LIGHT_VALIDATORS_MAX);
    for (size_t i = 0; i < count; i++) {
        int rc = validator_check(validators[i], i, error);

        if (rc != 0)
            return rc;
    }
    return 0;
}

int light_validators_hash(Hypermesh__Abci__SimpleValidator *const *validators, size_t count,
                          uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error)
{
    uint8_t hashes[LIGHT_VALIDATORS_MAX][LIGHT_HASH_BYTES];
    int rc = set_check(validators, count, error);

    for (size_t i = 0; i < count && rc == 0; i++) {
        uint8_t bytes[VALIDATOR_MAX_BYTES];
        size_t len = protobuf_c_message_pack(&validators[i]->base, bytes);

        rc = light_merkle_leaf(hm_slice_of(bytes, len), hashes[i], error);
    }
    return rc != 0 ? rc : light_merkle_root(hashes, count, out, error);
}

/* The engine's order is strict: who stands behind has less power, or the same and a greater address. */
static bool stands_before(const struct light_validator *a, const struct light_validator *b)
{
    if (a->power != b->power)
        return a->power > b->power;
    return memcmp(a->address, b->address, LIGHT_ADDRESS_BYTES) < 0;
}

/* One address twice with different powers would pass for two in that order. */
static int place_check(const struct light_validator *list, size_t index, struct hm_error *error)
{
    for (size_t i = 0; i < index; i++)
        if (memcmp(list[i].address, list[index].address, LIGHT_ADDRESS_BYTES) == 0)
            return hm_fail(error, HM_EPARSE, "validators %zu and %zu are the same one", i, index);
    if (index > 0 && !stands_before(&list[index - 1], &list[index]))
        return hm_fail(error, HM_EPARSE,
                       "validator %zu is not in the engine's order (power descending, then address "
                       "ascending)",
                       index);
    return 0;
}

int light_set_read(Hypermesh__Abci__SimpleValidator *const *validators, size_t count,
                   struct hm_arena *arena, struct light_set *out, struct hm_error *error)
{
    struct light_set set = {.count = count};
    struct light_validator *list;
    int rc = set_check(validators, count, error);

    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, count * sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu validators", count);
    for (size_t i = 0; i < count; i++) {
        memcpy(list[i].public_key, validators[i]->pub_key->ed25519.data,
               CRYPTO_ED25519_PUBLIC_BYTES);
        list[i].power = validators[i]->voting_power;
        if (list[i].power > LIGHT_POWER_MAX - set.power)
            return hm_fail(error, HM_ELIMIT,
                           "the validators have more power together than %lld, the engine's limit",
                           (long long)LIGHT_POWER_MAX);
        set.power += list[i].power;
        rc = light_validator_address(list[i].public_key, list[i].address, error);
        if (rc == 0)
            rc = place_check(list, i, error);
        if (rc != 0)
            return rc;
    }
    set.list = list;
    *out = set;
    return 0;
}
