/* OCI digests: "sha256:" and 64 lower-case hex digits. */
#ifndef HM_RUNTIME_DIGEST_H
#define HM_RUNTIME_DIGEST_H

#include "base.h"
#include "crypto.h"

#define RUNTIME_DIGEST_TEXT_MAX   72 /* with NUL */
#define RUNTIME_DIGEST_PREFIX_LEN 7 /* "sha256:" */

struct runtime_digest {
    char text[RUNTIME_DIGEST_TEXT_MAX];
};

/* Checks and copies; NULL text is HM_EPARSE like any other wrong one. */
int runtime_digest_parse(const char *text, struct runtime_digest *out, struct hm_error *error);
void runtime_digest_of_hash(const uint8_t hash[CRYPTO_SHA256_BYTES], struct runtime_digest *out);
int runtime_digest_of_bytes(struct hm_slice bytes, struct runtime_digest *out,
                            struct hm_error *error);
/* The hex digits alone: the file name of a blob. */
const char *runtime_digest_hex(const struct runtime_digest *digest);
bool runtime_digest_equal(const struct runtime_digest *a, const struct runtime_digest *b);

static inline void runtime_sha256_release(struct crypto_sha256 **state)
{
    crypto_sha256_free(*state);
}
#define RUNTIME_SHA256 __attribute__((cleanup(runtime_sha256_release))) struct crypto_sha256

#endif
