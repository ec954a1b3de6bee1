#include "crypto_library.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sodium/core.h>

#include "crypto.h"

static struct crypto_library library_state;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static _Thread_local bool library_is_starved;

static void *library_noted(void *ptr)
{
    if (ptr == NULL)
        library_is_starved = true;
    return ptr;
}

/* Zero bytes as OpenSSL's own functions have it. */
static void *library_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size != 0 ? library_noted(hm_malloc(size)) : NULL;
}

static void *library_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size != 0)
        return library_noted(hm_realloc(ptr, size));
    hm_free(ptr);
    return NULL;
}

static void library_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    hm_free(ptr);
}

void crypto_library_begin(void)
{
    library_is_starved = false;
}

bool crypto_library_starved(void)
{
    return library_is_starved;
}

static void library_setup(void)
{
    (void)CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free);
    if (sodium_init() < 0) {
        library_state.missing = "libsodium cannot start";
        return;
    }
    library_state.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (library_state.sha256 == NULL) {
        library_state.missing = "OpenSSL lacks SHA-256";
        return;
    }
    library_state.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    library_state.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    if (library_state.aes_256_gcm == NULL || library_state.chacha20_poly1305 == NULL) {
        library_state.missing = "OpenSSL lacks AES-256-GCM or ChaCha20-Poly1305";
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
