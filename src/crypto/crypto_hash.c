#include <blake3.h>

#include "crypto.h"

_Static_assert(sizeof(struct crypto_hasher) >= sizeof(blake3_hasher), "a hasher must fit");
_Static_assert(_Alignof(struct crypto_hasher) >= _Alignof(blake3_hasher),
               "a hasher must be aligned");
_Static_assert(CRYPTO_HASH_BYTES == BLAKE3_OUT_LEN, "one hash size");

static blake3_hasher *inner(struct crypto_hasher *hasher)
{
    return (blake3_hasher *)(void *)hasher->opaque;
}

static const blake3_hasher *inner_const(const struct crypto_hasher *hasher)
{
    return (const blake3_hasher *)(const void *)hasher->opaque;
}

void crypto_hash(const void *data, size_t len, uint8_t out[CRYPTO_HASH_BYTES])
{
    blake3_hasher state;

    blake3_hasher_init(&state);
    blake3_hasher_update(&state, data, len);
    blake3_hasher_finalize(&state, out, CRYPTO_HASH_BYTES);
}

void crypto_hash_parts(const char *context, const struct hm_slice *parts, size_t count,
                       uint8_t out[CRYPTO_HASH_BYTES])
{
    blake3_hasher state;

    blake3_hasher_init_derive_key(&state, context);
    for (size_t i = 0; i < count; i++)
        blake3_hasher_update(&state, parts[i].data, parts[i].len);
    blake3_hasher_finalize(&state, out, CRYPTO_HASH_BYTES);
}

void crypto_hasher_init(struct crypto_hasher *hasher)
{
    blake3_hasher_init(inner(hasher));
}

void crypto_hasher_init_context(struct crypto_hasher *hasher, const char *context)
{
    blake3_hasher_init_derive_key(inner(hasher), context);
}

void crypto_hasher_update(struct crypto_hasher *hasher, const void *data, size_t len)
{
    blake3_hasher_update(inner(hasher), data, len);
}

void crypto_hasher_final(const struct crypto_hasher *hasher, uint8_t out[CRYPTO_HASH_BYTES])
{
    blake3_hasher_finalize(inner_const(hasher), out, CRYPTO_HASH_BYTES);
}
