#include "runtime_digest.h"

#include <stdio.h>

int runtime_digest_parse(const char *text, struct runtime_digest *out, struct hm_error *error)
{
    const char *hex = text != NULL ? text + RUNTIME_DIGEST_PREFIX_LEN : NULL;

    if (text == NULL || strncmp(text, "sha256:", RUNTIME_DIGEST_PREFIX_LEN) != 0 ||
        strspn(hex, "0123456789abcdef") != 64 || hex[64] != 0)
        return hm_fail(error, HM_EPARSE, "a digest is not sha256: and 64 hex digits");
    snprintf(out->text, sizeof(out->text), "%s", text);
    return 0;
}

void runtime_digest_of_hash(const uint8_t hash[CRYPTO_SHA256_BYTES], struct runtime_digest *out)
{
    memcpy(out->text, "sha256:", RUNTIME_DIGEST_PREFIX_LEN);
    hm_hex_encode(hash, CRYPTO_SHA256_BYTES, out->text + RUNTIME_DIGEST_PREFIX_LEN);
}

int runtime_digest_of_bytes(struct hm_slice bytes, struct runtime_digest *out,
                            struct hm_error *error)
{
    RUNTIME_SHA256 *state = NULL;
    uint8_t hash[CRYPTO_SHA256_BYTES];

    if (crypto_sha256_new(&state) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to hash");
    crypto_sha256_update(state, bytes.data, bytes.len);
    crypto_sha256_final(state, hash);
    runtime_digest_of_hash(hash, out);
    return 0;
}

const char *runtime_digest_hex(const struct runtime_digest *digest)
{
    return digest->text + RUNTIME_DIGEST_PREFIX_LEN;
}

bool runtime_digest_equal(const struct runtime_digest *a, const struct runtime_digest *b)
{
    return strcmp(a->text, b->text) == 0;
}
