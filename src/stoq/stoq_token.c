/* Stateless reset tokens (RFC 9000 section 10.3.2): a function of a secret and a connection id that nobody else can
 * compute. AES-256 of the id, which is one block of it, is that, and costs a fiftieth of HKDF: a connection issues six ids
 * in its handshake. */
#include "stoq_core.h"

#include <assert.h>
#include <openssl/evp.h>

static_assert(STOQ_CID_BYTES == 16 && NGTCP2_STATELESS_RESET_TOKENLEN == 16,
              "one block of AES each");

int stoq_endpoint_tokens_init(struct stoq_endpoint *endpoint)
{
    static const char label[] = "stoq 1 reset tokens";
    static const uint8_t no_salt[32]; /* RFC 5869 section 2.2 */
    const struct stoq_config *config = &endpoint->config;
    EVP_MD *digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    ngtcp2_crypto_md md = {.native_handle = digest};
    uint8_t key[32];
    int rc = STOQ_EINTERNAL;

    if (digest != NULL && cipher != NULL && context != NULL &&
        ngtcp2_crypto_hkdf(key, sizeof(key), &md, config->secret, sizeof(config->secret), no_salt,
                           sizeof(no_salt), (const uint8_t *)label, sizeof(label) - 1) == 0 &&
        EVP_EncryptInit_ex2(context, cipher, key, NULL, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(context, 0) == 1) {
        endpoint->token_cipher = context;
        context = NULL;
        rc = 0;
    }
    hm_wipe(key, sizeof(key));
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    EVP_MD_free(digest);
    return rc;
}

void stoq_endpoint_tokens_release(struct stoq_endpoint *endpoint)
{
    EVP_CIPHER_CTX_free(endpoint->token_cipher);
    endpoint->token_cipher = NULL;
}

int stoq_endpoint_token(struct stoq_endpoint *endpoint, const uint8_t *id, uint8_t *out)
{
    int len = 0;

    return EVP_EncryptUpdate(endpoint->token_cipher, out, &len, id, STOQ_CID_BYTES) == 1 &&
                   len == STOQ_CID_BYTES
               ? 0
               : STOQ_EINTERNAL;
}
