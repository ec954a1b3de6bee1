#include "crypto_library.h"

#include <pthread.h>
#include <sodium/core.h>

#include "crypto.h"

static struct crypto_library library_state;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_setup(void)
{
    if (sodium_init() < 0) {
        library_state.missing = "libsodium cannot start";
        return;
    }
    library_state.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (library_state.sha256 == NULL) {
        library_state.missing = "OpenSSL lacks SHA-256";
        return;
    }
    library_state.mldsa65 = EVP_SIGNATURE_fetch(NULL, "ML-DSA-65", NULL);
    if (library_state.mldsa65 == NULL)
        library_state.missing = "OpenSSL lacks ML-DSA-65; version 3.5 or later is needed";
}

const struct crypto_library *crypto_library(void)
{
    (void)pthread_once(&library_once, library_setup);
    return &library_state;
}

int crypto_setup(struct hm_error *error)
{
    const struct crypto_library *library = crypto_library();

    if (library->missing != NULL)
        return hm_fail(error, HM_EINTERNAL, "cryptography is not usable: %s", library->missing);
    return 0;
}
