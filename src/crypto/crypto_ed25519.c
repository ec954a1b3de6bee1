#include <sodium/crypto_sign_ed25519.h>

#include "crypto.h"
#include "crypto_library.h"

_Static_assert(CRYPTO_ED25519_PUBLIC_BYTES == crypto_sign_ed25519_PUBLICKEYBYTES, "public key");
_Static_assert(CRYPTO_ED25519_SECRET_BYTES == crypto_sign_ed25519_SECRETKEYBYTES, "secret key");
_Static_assert(CRYPTO_ED25519_SIGNATURE_BYTES == crypto_sign_ed25519_BYTES, "signature");
_Static_assert(CRYPTO_SEED_BYTES == crypto_sign_ed25519_SEEDBYTES, "seed");

void crypto_ed25519_from_seed(struct crypto_ed25519_key *key, const uint8_t seed[CRYPTO_SEED_BYTES])
{
    (void)crypto_sign_ed25519_seed_keypair(key->public_key, key->secret_key, seed);
}

void crypto_ed25519_wipe(struct crypto_ed25519_key *key)
{
    if (key != NULL)
        hm_wipe(key, sizeof(*key));
}

void crypto_ed25519_sign(const struct crypto_ed25519_key *key, const void *message, size_t len,
                         uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES])
{
    (void)crypto_sign_ed25519_detached(signature, NULL, crypto_bytes(message), len,
                                       key->secret_key);
}

int crypto_ed25519_verify(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          const void *message, size_t len,
                          const uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES])
{
    if (crypto_sign_ed25519_verify_detached(signature, crypto_bytes(message), len, public_key) != 0)
        return HM_EAUTH;
    return 0;
}
