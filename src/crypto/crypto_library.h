/* What is fetched once from the libraries and shared, read-only, by all threads. */
#ifndef HM_CRYPTO_LIBRARY_H
#define HM_CRYPTO_LIBRARY_H

#include <openssl/evp.h>

struct crypto_library {
    EVP_MD *sha256;
    EVP_SIGNATURE *mldsa65;
    const char *missing; /* NULL, or what this machine's libraries lack */
};

/* Never NULL. Sets up on the first call; a member is NULL when `missing` is not. */
const struct crypto_library *crypto_library(void);

/* Libraries want a pointer even for an empty message. */
static inline const unsigned char *crypto_bytes(const void *data)
{
    static const unsigned char nothing[1];

    return data != NULL ? data : nothing;
}

#endif
