#include "crypto_chunk.h"

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

    if (len <= CRYPTO_CHUNK_MAX_BYTES) {
        crypto_chunk_hash(IV, 0, data, len, out);
        return;
    }
    blake3_hasher_init(&state);
    blake3_hasher_update(&state, data, len);
    blake3_hasher_finalize(&state, out, CRYPTO_HASH_BYTES);
}

/* --- contexts --- */

/* A context's key is a hash of its text. There are few contexts, each asked for again and again, so a thread
 * remembers their keys. Neither is a secret. */
#define CONTEXT_SLOTS      32u
#define CONTEXT_TEXT_BYTES 48

struct context_slot {
    char text[CONTEXT_TEXT_BYTES];
    uint32_t key[8];
};

static _Thread_local struct context_slot context_slots[CONTEXT_SLOTS];

/* A longer context has no slot: it is derived each time, into the slot that is given. */
static const uint32_t *context_key(const char *context, struct context_slot *spare)
{
    size_t len = strlen(context);
    struct context_slot *slot = spare;
    blake3_hasher state;

    if (len > 0 && len < CONTEXT_TEXT_BYTES) {
        unsigned sum = (unsigned)len;

        for (size_t i = len < 8 ? 0 : len - 8; i < len; i++)
            sum = sum * 31 + (uint8_t)context[i];
        slot = &context_slots[sum % CONTEXT_SLOTS];
        if (memcmp(slot->text, context, len + 1) == 0)
            return slot->key;
    }
    blake3_hasher_init_derive_key(&state, context);
    memcpy(slot->key, state.key, sizeof(slot->key));
    if (slot != spare)
        memcpy(slot->text, context, len + 1);
    return slot->key;
}

/* The parts one after the other; they fit. */
static const uint8_t *gather(const struct hm_slice *parts, size_t count,
                             uint8_t room[CRYPTO_CHUNK_MAX_BYTES])
{
    size_t at = 0;

    if (count == 1)
        return parts[0].data;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0)
            memcpy(room + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return room;
}

static void hash_parts_long(const char *context, const struct hm_slice *parts, size_t count,
                            uint8_t out[CRYPTO_HASH_BYTES])
{
    blake3_hasher state;

    blake3_hasher_init_derive_key(&state, context);
    for (size_t i = 0; i < count; i++)
        blake3_hasher_update(&state, parts[i].data, parts[i].len);
    blake3_hasher_finalize(&state, out, CRYPTO_HASH_BYTES);
}

void crypto_hash_parts(const char *context, const struct hm_slice *parts, size_t count,
                       uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t room[CRYPTO_CHUNK_MAX_BYTES];
    struct context_slot spare;
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > CRYPTO_CHUNK_MAX_BYTES - len) {
            hash_parts_long(context, parts, count, out);
            return;
        }
        len += parts[i].len;
    }
    crypto_chunk_hash(context_key(context, &spare), DERIVE_KEY_MATERIAL, gather(parts, count, room),
                      len, out);
}

/* --- with a key --- */

void crypto_hash_keyed(const uint8_t key[CRYPTO_KEY_BYTES], const void *data, size_t len,
                       uint8_t out[CRYPTO_HASH_BYTES])
{
    blake3_hasher state;

    if (len <= CRYPTO_CHUNK_MAX_BYTES) {
        uint32_t words[8];

        load_key_words(key, words);
        crypto_chunk_hash(words, KEYED_HASH, data, len, out);
        return;
    }
    blake3_hasher_init_keyed(&state, key);
    blake3_hasher_update(&state, data, len);
    blake3_hasher_finalize(&state, out, CRYPTO_HASH_BYTES);
}

void crypto_derive(const char *context, const uint8_t secret[CRYPTO_KEY_BYTES],
                   struct hm_slice salt, uint8_t out[CRYPTO_KEY_BYTES])
{
    uint8_t material[CRYPTO_KEY_BYTES + CRYPTO_DERIVE_SALT_MAX_BYTES];
    uint8_t digest[CRYPTO_HASH_BYTES];
    struct hm_slice whole = {.data = material, .len = CRYPTO_KEY_BYTES};

    if (salt.len > CRYPTO_DERIVE_SALT_MAX_BYTES) {
        crypto_hash(salt.data, salt.len, digest);
        salt = hm_slice_of(digest, sizeof(digest));
    }
    memcpy(material, secret, CRYPTO_KEY_BYTES);
    if (salt.len > 0)
        memcpy(material + CRYPTO_KEY_BYTES, salt.data, salt.len);
    whole.len += salt.len;
    crypto_hash_parts(context, &whole, 1, out);
    hm_wipe(material, sizeof(material));
}

/* --- streaming --- */

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
