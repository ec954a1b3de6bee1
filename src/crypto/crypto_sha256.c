#include "crypto.h"
#include "crypto_library.h"

struct crypto_sha256 {
    EVP_MD_CTX *context;
    bool broken; /* an update failed; final then gives zero bytes, which match no digest */
};

int crypto_sha256_new(struct crypto_sha256 **out)
{
    const struct crypto_library *library = crypto_library();
    struct crypto_sha256 *state = hm_calloc(1, sizeof(*state));

    if (state == NULL)
        return HM_ENOMEM;
    state->context = EVP_MD_CTX_new();
    if (state->context == NULL || library->sha256 == NULL ||
        EVP_DigestInit_ex2(state->context, library->sha256, NULL) != 1) {
        crypto_sha256_free(state);
        return HM_ENOMEM;
    }
    *out = state;
    return 0;
}

void crypto_sha256_update(struct crypto_sha256 *state, const void *data, size_t len)
{
    if (EVP_DigestUpdate(state->context, crypto_bytes(data), len) != 1)
        state->broken = true;
}

void crypto_sha256_final(struct crypto_sha256 *state, uint8_t out[CRYPTO_SHA256_BYTES])
{
    unsigned int size = 0;

    if (state->broken || EVP_DigestFinal_ex(state->context, out, &size) != 1 ||
        size != CRYPTO_SHA256_BYTES)
        memset(out, 0, CRYPTO_SHA256_BYTES);
    state->broken = true;
}

void crypto_sha256_free(struct crypto_sha256 *state)
{
    if (state == NULL)
        return;
    EVP_MD_CTX_free(state->context);
    hm_free(state);
}
