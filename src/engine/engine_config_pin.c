/* Which genesis a chain began with. The engine keeps its own copy and never looks at the file again, but the node hands it on. */
#include <stdio.h>

#include "engine_config.h"

#define PIN_FILE_MODE 0600
/* As sha256sum writes and checks it. */
#define PIN_BEHIND    "  genesis.json\n"
#define PIN_MAX_BYTES (2 * CRYPTO_SHA256_BYTES + sizeof(PIN_BEHIND) - 1)

static int pin_make(const char *path, char out[PIN_MAX_BYTES + 1], struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint8_t hash[CRYPTO_SHA256_BYTES];
    struct crypto_sha256 *state;
    int rc = hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &text, error);

    if (rc != 0)
        return rc;
    if (crypto_sha256_new(&state) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the genesis's hash");
    crypto_sha256_update(state, text.data, text.len);
    crypto_sha256_final(state, hash);
    crypto_sha256_free(state);
    hm_hex_encode(hash, sizeof(hash), out);
    memcpy(out + 2 * sizeof(hash), PIN_BEHIND, sizeof(PIN_BEHIND));
    return 0;
}

static int pin_compare(const char *genesis_path, const char *pin_path, const char *has,
                       struct hm_slice pinned, struct hm_error *error)
{
    const int digits = 2 * CRYPTO_SHA256_BYTES;

    if (hm_slice_equal(pinned, hm_slice_str(has)))
        return 0;
    if (pinned.len != PIN_MAX_BYTES)
        return hm_fail(error, HM_ECORRUPT,
                       "%s is damaged: it is a line of sha256sum, of the genesis.json that this "
                       "node began with. Where %s is the cluster's, remove it",
                       pin_path, genesis_path);
    return hm_fail(error, HM_ECONFLICT,
                   "%.100s is not the one that this node began with (SHA-256 %.*s, it began with "
                   "%.*s): nothing was changed. Put the first one back, or make this node again "
                   "with a ticket (nexus cluster join)",
                   genesis_path, digits, has, digits, (const char *)pinned.data);
}

int engine_genesis_pin(const char *home, bool fresh, struct hm_error *error)
{
    HM_AUTOFREE char *genesis_path = hm_asprintf("%s/config/genesis.json", home);
    HM_AUTOFREE char *pin_path = hm_asprintf("%s/config/" ENGINE_GENESIS_PIN_NAME, home);
    HM_CLEANUP(hm_buf) struct hm_buf pinned = {0};
    char has[PIN_MAX_BYTES + 1];
    int rc;

    if (genesis_path == NULL || pin_path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the genesis's hash");
    rc = pin_make(genesis_path, has, error);
    if (rc != 0)
        return rc;
    rc = fresh ? HM_ENOTFOUND : hm_file_read(pin_path, PIN_MAX_BYTES, &pinned, error);
    if (rc == HM_ENOTFOUND)
        return hm_file_replace(pin_path, has, PIN_MAX_BYTES, PIN_FILE_MODE, error);
    if (rc == HM_ELIMIT)
        rc = 0; /* longer than one can be: told as damaged below */
    return rc != 0 ? rc : pin_compare(genesis_path, pin_path, has, hm_buf_slice(&pinned), error);
}
