/* Any bytes as a key file. First byte: bit 0 which kind of file, bit 1 whether the keystore is sealed (under
 * a fixed key); the rest: the file. What is refused must leave the output alone and say why; what is
 * taken must be refused under another name, as the other kind, and by a keystore sealed otherwise. */
#include <stdlib.h>

#include "trust_keystore.h"

#define FUZZ_NAME "alice"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int parse(struct hm_slice bytes, const char *name, enum trust_kind kind, const uint8_t *key)
{
    struct trust_secret secret, before;
    struct hm_error error = {0};

    memset(&secret, 0x5a, sizeof(secret));
    before = secret;
    int rc = trust_file_parse(bytes, name, kind, key, &secret, &error);
    if (rc != 0) {
        require(error.code == rc && error.text[0] != '\0');
        require(memcmp(&secret, &before, sizeof(secret)) == 0);
    }
    trust_secret_release(&secret);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[CRYPTO_SEAL_KEY_BYTES] = "a key that is not a secret";
    static const uint8_t other_key[CRYPTO_SEAL_KEY_BYTES] = "another";

    if (size == 0)
        return 0;
    enum trust_kind kind = (data[0] & 1) != 0 ? TRUST_SESSION : TRUST_ROOT;
    enum trust_kind other_kind = kind == TRUST_ROOT ? TRUST_SESSION : TRUST_ROOT;
    const uint8_t *with = (data[0] & 2) != 0 ? key : NULL;
    struct hm_slice bytes = hm_slice_of(data + 1, size - 1);

    if (parse(bytes, FUZZ_NAME, kind, with) != 0)
        return 0;
    require(parse(bytes, "bob", kind, with) != 0);
    require(parse(bytes, FUZZ_NAME, other_kind, with) != 0);
    require(parse(bytes, FUZZ_NAME, kind, with != NULL ? other_key : key) != 0);
    require(parse(bytes, FUZZ_NAME, kind, with != NULL ? NULL : other_key) != 0);
    return 0;
}
