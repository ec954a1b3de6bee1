/* What is fetched once from the libraries and shared, read-only, by all threads. */
#ifndef HM_CRYPTO_LIBRARY_H
#define HM_CRYPTO_LIBRARY_H

#include <openssl/evp.h>
#include <stdbool.h>

struct crypto_library {
    EVP_MD *sha256;
    EVP_CIPHER *aes_256_gcm, *chacha20_poly1305;
    EVP_SIGNATURE *mldsa65;
    const char *missing; /* NULL, or what this machine's libraries lack */
};

/* Never NULL. Sets up on the first call; a member is NULL when `missing` is not. */
const struct crypto_library *crypto_library(void);

/* Did OpenSSL lose an allocation in this thread since the last crypto_library_begin? Then its answer counts for
 * nothing: it does not tell "no memory" from "no", and may sign something else and call it done. Always false where something used
 * OpenSSL before us and its allocator could not be set. */
void crypto_library_begin(void);
bool crypto_library_starved(void);

/* Libraries want a pointer even for an empty message. */
static inline const unsigned char *crypto_bytes(const void *data)
{
    static const unsigned char nothing[1];

    return data != NULL ? data : nothing;
}

#endif
