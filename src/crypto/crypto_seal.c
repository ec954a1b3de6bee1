#include <sodium/crypto_aead_xchacha20poly1305.h>
#include <sodium/crypto_pwhash_argon2id.h>

#include "crypto.h"
#include "crypto_library.h"

#define SEAL_NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SEAL_TAG_BYTES   crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(CRYPTO_SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(CRYPTO_SEAL_OVERHEAD_BYTES == SEAL_NONCE_BYTES + SEAL_TAG_BYTES, "overhead");
_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "salt");

int crypto_seal(const uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_slice context,
                struct hm_slice plain, const struct hm_random *random, struct hm_buf *out,
                struct hm_error *error)
{
    uint8_t nonce[SEAL_NONCE_BYTES];
    uint8_t *at;

    if (plain.len > SIZE_MAX - CRYPTO_SEAL_OVERHEAD_BYTES ||
        hm_buf_reserve(out, plain.len + CRYPTO_SEAL_OVERHEAD_BYTES) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to seal %zu bytes", plain.len);
    if (random->fill(random->ctx, nonce, sizeof(nonce)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed; nothing was sealed");
    at = out->data + out->len;
    if (crypto_aead_xchacha20poly1305_ietf_encrypt(
            at + SEAL_NONCE_BYTES, NULL, crypto_bytes(plain.data), plain.len,
            crypto_bytes(context.data), context.len, NULL, nonce, key) != 0)
        return hm_fail(error, HM_EINTERNAL, "sealing %zu bytes failed", plain.len);
    memcpy(at, nonce, sizeof(nonce));
    out->len += plain.len + CRYPTO_SEAL_OVERHEAD_BYTES;
    return 0;
}

int crypto_open(const uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_slice context,
                struct hm_slice sealed, struct hm_buf *out, struct hm_error *error)
{
    size_t plain_len;

    if (sealed.len < CRYPTO_SEAL_OVERHEAD_BYTES)
        return hm_fail(error, HM_EAUTH, "sealed data is cut short: %zu bytes", sealed.len);
    plain_len = sealed.len - CRYPTO_SEAL_OVERHEAD_BYTES;
    if (hm_buf_reserve(out, plain_len + 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to open %zu bytes", plain_len);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            out->data + out->len, NULL, NULL, sealed.data + SEAL_NONCE_BYTES,
            sealed.len - SEAL_NONCE_BYTES, crypto_bytes(context.data), context.len, sealed.data,
            key) != 0) {
        hm_wipe(out->data + out->len, plain_len);
        return hm_fail(error, HM_EAUTH,
                       "sealed data does not open: the key is wrong or the data was changed");
    }
    out->len += plain_len;
    return 0;
}

int crypto_passphrase_key(const char *passphrase, const uint8_t salt[16],
                          uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_error *error)
{
    uint8_t derived[CRYPTO_SEAL_KEY_BYTES];

    if (crypto_pwhash_argon2id(derived, sizeof(derived), passphrase, strlen(passphrase), salt,
                               crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                               crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0)
        return hm_fail(error, HM_ENOMEM,
                       "no memory to derive a key from the passphrase: %u MiB are needed",
                       crypto_pwhash_argon2id_MEMLIMIT_MODERATE >> 20);
    memcpy(key, derived, sizeof(derived));
    hm_wipe(derived, sizeof(derived));
    return 0;
}
