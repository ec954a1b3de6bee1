/* The engine's key files, and the names made of keys. */
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "engine_config.h"

#define KEY_TYPE_PUBLIC "tendermint/PubKeyEd25519"
#define KEY_TYPE_SECRET "tendermint/PrivKeyEd25519"

#define STATE_MAX_BYTES 65536
#define STATE_STEP_MAX  3 /* propose, prevote, precommit */

int engine_config_address(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          uint8_t out[ENGINE_ADDRESS_BYTES], struct hm_error *error)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    struct crypto_sha256 *state;
    int rc = crypto_sha256_new(&state);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for a validator's address");
    crypto_sha256_update(state, public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    crypto_sha256_final(state, hash);
    crypto_sha256_free(state);
    memcpy(out, hash, ENGINE_ADDRESS_BYTES);
    return 0;
}

int engine_config_node_id(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          char out[ENGINE_NODE_ID_DIGITS + 1], struct hm_error *error)
{
    uint8_t address[ENGINE_ADDRESS_BYTES];
    int rc = engine_config_address(public_key, address, error);

    if (rc == 0)
        hm_hex_encode(address, sizeof(address), out);
    return rc;
}

/* --- writing --------------------------------------------------------------------------------------------- */

static int key_pack_secret(const struct crypto_ed25519_key *key, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "\"priv_key\":{\"type\":\"" KEY_TYPE_SECRET "\",\"value\":\"");

    if (rc == 0)
        rc = hm_base64_encode(key->secret_key, sizeof(key->secret_key), out);
    return rc != 0 ? rc : hm_buf_append_str(out, "\"}");
}

int engine_node_key_pack(const struct crypto_ed25519_key *key, struct hm_buf *out,
                         struct hm_error *error)
{
    int rc = hm_buf_append_str(out, "{");

    if (rc == 0)
        rc = key_pack_secret(key, out);
    if (rc == 0)
        rc = hm_buf_append_str(out, "}\n");
    return rc != 0 ? hm_fail(error, rc, "no memory for a node's key") : 0;
}

int engine_validator_key_pack(const struct crypto_ed25519_key *key, struct hm_buf *out,
                              struct hm_error *error)
{
    uint8_t address[ENGINE_ADDRESS_BYTES];
    int rc = engine_config_address(key->public_key, address, error);

    if (rc != 0)
        return rc;
    rc = hm_buf_append_str(out, "{\"address\":\"");
    for (size_t i = 0; rc == 0 && i < sizeof(address); i++)
        rc = hm_buf_printf(out, "%02X", address[i]);
    if (rc == 0)
        rc = hm_buf_append_str(out,
                               "\",\"pub_key\":{\"type\":\"" KEY_TYPE_PUBLIC "\",\"value\":\"");
    if (rc == 0)
        rc = hm_base64_encode(key->public_key, sizeof(key->public_key), out);
    if (rc == 0)
        rc = hm_buf_append_str(out, "\"},");
    if (rc == 0)
        rc = key_pack_secret(key, out);
    if (rc == 0)
        rc = hm_buf_append_str(out, "}\n");
    return rc != 0 ? hm_fail(error, rc, "no memory for a validator's key") : 0;
}

int engine_key_write(const char *path, const struct crypto_ed25519_key *key, engine_key_pack *pack,
                     struct hm_error *error)
{
    struct hm_buf text = {0};
    int rc = hm_buf_reserve(&text, ENGINE_KEY_MAX_BYTES); /* once: growing would leave copies */

    rc = rc != 0 ? hm_fail(error, rc, "no memory for a key") : pack(key, &text, error);
    if (rc == 0)
        rc = hm_file_replace(path, text.data, text.len, 0600, error);
    if (text.data != NULL)
        hm_wipe(text.data, text.cap);
    hm_buf_release(&text);
    return rc;
}

int engine_validator_state_pack(struct hm_buf *out)
{
    return hm_buf_append_str(out, "{\"height\":\"0\",\"round\":0,\"step\":0}\n");
}

/* The engine's record of what it has signed, whose end over a damaged one says nothing of it. */
static int state_read(struct hm_slice text)
{
    uint64_t height = 0;
    json_t *root = NULL;
    int rc = hm_json_is_within(text, 8) ? hm_json_parse(text, JSON_REJECT_DUPLICATES, &root, NULL)
                                        : HM_EPARSE;

    if (rc != 0)
        return rc;
    const json_t *digits = json_object_get(root, "height");
    const json_t *round = json_object_get(root, "round"), *step = json_object_get(root, "step");
    bool whole = json_is_string(digits) &&
                 hm_u64_parse(json_string_value(digits), &height, NULL) == 0 &&
                 height <= INT64_MAX && json_is_integer(round) && json_integer_value(round) >= 0 &&
                 json_integer_value(round) <= INT32_MAX && json_is_integer(step) &&
                 json_integer_value(step) >= 0 && json_integer_value(step) <= STATE_STEP_MAX;

    json_decref(root);
    return whole ? 0 : HM_EPARSE;
}

int engine_validator_state_check(const char *path, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = hm_file_read(path, STATE_MAX_BYTES, &text, error);

    if (rc != 0 && rc != HM_ELIMIT)
        return rc;
    if (rc == 0)
        rc = state_read(hm_buf_slice(&text));
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory for a validator's record");
    return rc == 0
               ? 0
               : hm_fail(error, HM_ECORRUPT,
                         "%s is damaged, the record of what this validator has signed: without it "
                         "it could sign two blocks of one height and lose its bond. Nothing was "
                         "changed: bring the file back, or join as a new validator",
                         path);
}

/* --- reading --------------------------------------------------------------------------------------------- */

static int key_decode(const json_t *value, struct crypto_ed25519_key *key, struct hm_error *error)
{
    struct hm_buf secret = {0};
    int rc = hm_buf_reserve(&secret, ENGINE_KEY_MAX_BYTES);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for a key");
    rc = hm_base64_decode(json_string_value(value), json_string_length(value), &secret, NULL);
    if (rc == HM_ENOMEM) {
        hm_fail(error, rc, "no memory for a key");
    } else if (rc != 0 || secret.len != CRYPTO_ED25519_SECRET_BYTES) {
        rc = hm_fail(error, HM_EPARSE, "an engine's key file holds no Ed25519 key of 64 bytes");
    } else {
        crypto_ed25519_from_seed(key, secret.data);
        if (!hm_equal_ct(key->secret_key, secret.data, secret.len))
            rc = hm_fail(error, HM_ECORRUPT,
                         "an engine's key file is damaged: its public half is not its secret's");
    }
    hm_wipe(secret.data, secret.cap);
    hm_buf_release(&secret);
    return rc;
}

int engine_key_read(struct hm_slice json, struct crypto_ed25519_key *out, struct hm_error *error)
{
    struct crypto_ed25519_key key = {0};
    json_t *root;
    int rc;

    if (json.len > ENGINE_KEY_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "an engine's key file has %zu bytes, at most %d are read",
                       json.len, ENGINE_KEY_MAX_BYTES);
    if (!hm_json_is_within(json, 8))
        return hm_fail(error, HM_EPARSE, "an engine's key file is not JSON");
    rc = hm_json_parse(json, JSON_REJECT_DUPLICATES, &root, NULL);
    if (rc != 0)
        return hm_fail(error, rc,
                       rc == HM_ENOMEM ? "no memory for a key"
                                       : "an engine's key file is not JSON");
    const json_t *secret = json_object_get(root, "priv_key");
    const char *type = json_string_value(json_object_get(secret, "type"));
    const json_t *value = json_object_get(secret, "value");

    if (type == NULL || strcmp(type, KEY_TYPE_SECRET) != 0 || !json_is_string(value))
        rc = hm_fail(error, HM_EPARSE, "an engine's key file holds no " KEY_TYPE_SECRET);
    else
        rc = key_decode(value, &key, error);
    if (json_is_string(value))
        hm_wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_decref(root);
    if (rc == 0)
        *out = key;
    crypto_ed25519_wipe(&key);
    return rc;
}

int engine_key_load(const char *keys_dir, const char *name, struct crypto_ed25519_key *out,
                    struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", keys_dir, name);
    struct hm_buf text = {0};
    struct stat info;
    int rc;

    if (path == NULL || hm_buf_reserve(&text, ENGINE_KEY_MAX_BYTES + 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a key");
    rc = hm_file_read(path, ENGINE_KEY_MAX_BYTES, &text, error);
    if (rc == 0 && stat(path, &info) == 0 && (info.st_mode & 077) != 0)
        rc = hm_fail(error, HM_EPERM, "%s is open to others: chmod 600 it, and think it known",
                     path);
    if (rc == 0)
        rc = hm_error_prefix(error, engine_key_read(hm_buf_slice(&text), out, error), "%s", path);
    hm_wipe(text.data, text.cap);
    hm_buf_release(&text);
    return rc;
}
