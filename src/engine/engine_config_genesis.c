/* genesis.json: made from what the ledger knows, and read again when it came from another. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine_config.h"

#define GENESIS_JSON_DEPTH_MAX 16
#define GENESIS_KEY_TYPE       "tendermint/PubKeyEd25519"
/* Evidence is dropped when it is older than both: many blocks would outlive the time on a slow chain. The time is less than bonds stay bound (unbond_delay_ms, a day): what a
 * fault is to take has not left yet when the engine tells of it. */
#define GENESIS_EVIDENCE_BLOCKS     UINT64_C(10000)
#define GENESIS_EVIDENCE_AGE_MS     (UINT64_C(20) * 3600 * 1000)
#define GENESIS_EVIDENCE_AGE_MAX_MS (UINT64_C(3650) * 24 * 3600 * 1000)
#define GENESIS_EVIDENCE_MAX_BYTES  (UINT64_C(64) << 10)
#define GENESIS_BLOCK_LIMIT_BYTES   (UINT64_C(100) << 20) /* the engine's own */

/* --- what holds for one that is written and for one that is read ------------------------------------------ */

static bool genesis_text_is_name(const char *text, size_t most)
{
    if (strlen(text) > most)
        return false;
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7E || *text == '"' || *text == '\\')
            return false;
    return true;
}

static int genesis_compare_keys(const void *a, const void *b)
{
    const struct engine_genesis_validator *const *x = a, *const *y = b;

    return memcmp((*x)->key, (*y)->key, sizeof((*x)->key));
}

static int genesis_check_twice(const struct engine_genesis *genesis, struct hm_error *error)
{
    size_t count = genesis->validator_count;
    const struct engine_genesis_validator **sorted = hm_calloc(count, sizeof(*sorted));
    int rc = 0;

    if (sorted == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a genesis's validators");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &genesis->validators[i];
    qsort(sorted, count, sizeof(struct engine_genesis_validator *), genesis_compare_keys);
    for (size_t i = 1; rc == 0 && i < count; i++)
        if (genesis_compare_keys(&sorted[i - 1], &sorted[i]) == 0)
            rc = hm_fail(error, HM_EINVAL, "the genesis names one validator's key twice");
    hm_free(sorted);
    return rc;
}

static int genesis_check_validators(const struct engine_genesis *genesis, struct hm_error *error)
{
    int64_t total = 0;

    if (genesis->validator_count == 0)
        return hm_fail(error, HM_EINVAL,
                       "the genesis names no validators: nobody could make a block");
    if (genesis->validator_count > ENGINE_VALIDATORS_MAX)
        return hm_fail(error, HM_ELIMIT, "the genesis names %zu validators, at most %d are taken",
                       genesis->validator_count, ENGINE_VALIDATORS_MAX);
    for (size_t i = 0; i < genesis->validator_count; i++) {
        const struct engine_genesis_validator *one = &genesis->validators[i];

        if (one->power <= 0)
            return hm_fail(error, HM_EINVAL,
                           "validator %zu of the genesis has the power %" PRId64
                           ", it must be over 0",
                           i, one->power);
        if (one->power > ENGINE_POWER_TOTAL_MAX - total)
            return hm_fail(error, HM_EINVAL,
                           "the powers of the genesis's validators add up to more than %" PRId64,
                           (int64_t)ENGINE_POWER_TOTAL_MAX);
        total += one->power;
        if (one->name != NULL && !genesis_text_is_name(one->name, ENGINE_VALIDATOR_NAME_BYTES))
            return hm_fail(
                error, HM_EINVAL,
                "validator %zu of the genesis has a name that is longer than %d bytes or not plain "
                "text",
                i, ENGINE_VALIDATOR_NAME_BYTES);
    }
    return genesis_check_twice(genesis, error);
}

static int genesis_check_self(const struct engine_genesis *genesis, struct hm_error *error)
{
    if (genesis->chain_id == NULL || genesis->chain_id[0] == '\0' ||
        !genesis_text_is_name(genesis->chain_id, ENGINE_CHAIN_ID_MAX_BYTES))
        return hm_fail(error, HM_EINVAL, "the genesis has no chain id of 1 to %d plain characters",
                       ENGINE_CHAIN_ID_MAX_BYTES);
    if (genesis->initial_height == 0 || genesis->initial_height > INT64_MAX / 2)
        return hm_fail(error, HM_EINVAL, "the genesis begins at height %" PRIu64,
                       genesis->initial_height);
    if (genesis->initial_height > 1 && !genesis->has_app_hash)
        return hm_fail(error, HM_EINVAL,
                       "the genesis begins at height %" PRIu64 ", but names no state to begin with",
                       genesis->initial_height);
    if (genesis->extensions_height != 0 && genesis->extensions_height <= genesis->initial_height)
        return hm_fail(error, HM_EINVAL,
                       "the genesis wants vote extensions from height %" PRIu64
                       " on, the first that can carry them is %" PRIu64,
                       genesis->extensions_height, genesis->initial_height + 1);
    if (genesis->block_max_bytes > GENESIS_BLOCK_LIMIT_BYTES)
        return hm_fail(error, HM_EINVAL,
                       "the genesis allows blocks of %" PRIu64 " bytes, over 100 MiB",
                       genesis->block_max_bytes);
    if (genesis->evidence_max_age_ms > GENESIS_EVIDENCE_AGE_MAX_MS)
        return hm_fail(error, HM_EINVAL, "the genesis keeps evidence for over ten years");
    return genesis_check_validators(genesis, error);
}

/* --- writing --------------------------------------------------------------------------------------------- */

static int genesis_pack_head(const struct engine_genesis *genesis, struct hm_buf *out)
{
    uint64_t age_ms = genesis->evidence_max_age_ms ? genesis->evidence_max_age_ms
                                                   : GENESIS_EVIDENCE_AGE_MS;
    uint64_t extensions = genesis->extensions_height ? genesis->extensions_height
                                                     : genesis->initial_height + 1;
    uint64_t block = genesis->block_max_bytes ? genesis->block_max_bytes : ENGINE_BLOCK_MAX_BYTES;
    uint64_t evidence = block < GENESIS_EVIDENCE_MAX_BYTES ? block : GENESIS_EVIDENCE_MAX_BYTES;
    char time_text[32];

    hm_time_format_ms(genesis->time_ms, time_text);
    return hm_buf_printf(
        out,
        "{\"genesis_time\":\"%s\",\"chain_id\":\"%s\",\"initial_height\":\"%" PRIu64
        "\",\"consensus_params\":{\"block\":{\"max_bytes\":\"%" PRIu64
        "\",\"max_gas\":\"-1\"},\"evidence\":{\"max_age_num_blocks\":\"%" PRIu64
        "\",\"max_age_duration\":\"%" PRIu64 "000000\",\"max_bytes\":\"%" PRIu64
        "\"},\"validator\":{\"pub_key_types\":[\"ed25519\"]},\"version\":{\"app\":\"1\"},"
        "\"abci\":{\"vote_extensions_enable_height\":\"%" PRIu64 "\"}},\n\"validators\":[",
        time_text, genesis->chain_id, genesis->initial_height, block, GENESIS_EVIDENCE_BLOCKS,
        age_ms, evidence, extensions);
}

static int genesis_pack_validator(const struct engine_genesis_validator *one, bool first,
                                  struct hm_buf *out, struct hm_error *error)
{
    char address[ENGINE_NODE_ID_DIGITS + 1];
    int rc = engine_config_node_id(one->key, address, error);

    if (rc != 0)
        return rc;
    for (char *digit = address; *digit != '\0'; digit++) /* as the engine writes it */
        if (*digit >= 'a')
            *digit = (char)(*digit - 'a' + 'A');
    rc = hm_buf_printf(
        out, "%s\n{\"address\":\"%s\",\"pub_key\":{\"type\":\"" GENESIS_KEY_TYPE "\",\"value\":\"",
        first ? "" : ",", address);
    if (rc == 0)
        rc = hm_base64_encode(one->key, sizeof(one->key), out);
    if (rc == 0)
        rc = hm_buf_printf(out, "\"},\"power\":\"%" PRId64 "\",\"name\":\"%s\"}", one->power,
                           one->name ? one->name : "");
    return rc != 0 ? hm_fail(error, rc, "no memory for a genesis") : 0;
}

static int genesis_pack_state(const struct engine_genesis *genesis, struct hm_buf *out)
{
    char hash[2 * sizeof(genesis->app_hash) + 1] = "";
    int rc;

    if (genesis->has_app_hash)
        hm_hex_encode(genesis->app_hash, sizeof(genesis->app_hash), hash);
    rc = hm_buf_printf(out, "],\n\"app_hash\":\"%s\",\n\"app_state\":\"", hash);
    if (rc == 0)
        rc = hm_base64_encode(genesis->app_state.data, genesis->app_state.len, out);
    return rc != 0 ? rc : hm_buf_append_str(out, "\"}\n");
}

int engine_genesis_pack(const struct engine_genesis *genesis, struct hm_buf *out,
                        struct hm_error *error)
{
    size_t before = out->len;
    int rc = genesis_check_self(genesis, error);

    if (rc == 0 && genesis_pack_head(genesis, out) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a genesis");
    for (size_t i = 0; rc == 0 && i < genesis->validator_count; i++)
        rc = genesis_pack_validator(&genesis->validators[i], i == 0, out, error);
    if (rc == 0 && genesis_pack_state(genesis, out) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a genesis");
    if (rc == 0 && out->len - before > ENGINE_GENESIS_MAX_BYTES)
        rc = hm_fail(error, HM_ELIMIT, "the genesis is longer than %zu MiB",
                     ENGINE_GENESIS_MAX_BYTES >> 20);
    if (rc != 0)
        out->len = before;
    return rc;
}

/* --- reading --------------------------------------------------------------------------------------------- */

/* The engine writes 64-bit numbers as text. What is missing is 0. */
static int genesis_number(const json_t *object, const char *key, uint64_t *out,
                          struct hm_error *error)
{
    const json_t *value = json_object_get(object, key);
    uint64_t number = 0;
    int rc = 0;

    if (json_is_string(value))
        rc = hm_u64_parse(json_string_value(value), &number, NULL);
    else if (json_is_integer(value) && json_integer_value(value) >= 0)
        number = (uint64_t)json_integer_value(value);
    else if (value != NULL)
        rc = HM_EPARSE;
    if (rc != 0)
        return hm_fail(error, HM_EPARSE, "the genesis's %s is not a number", key);
    *out = number;
    return 0;
}

static int genesis_digits(const char *text, size_t count, int *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return HM_EPARSE;
        *out = *out * 10 + (text[i] - '0');
    }
    return 0;
}

/* RFC 3339 in UTC with up to nine digits of a second's parts: "2026-01-02T03:04:05.678Z". */
static int genesis_time(const char *text, uint64_t *ms)
{
    static const char form[] = "0000-00-00T00:00:00";
    static const unsigned char starts[] = {0, 5, 8, 11, 14, 17}, lengths[] = {4, 2, 2, 2, 2, 2};
    int parts[6] = {0}, thousandths = 0;
    size_t at = sizeof(form) - 1;

    if (text == NULL || strlen(text) < at + 1)
        return HM_EPARSE;
    for (size_t i = 0; i < at; i++)
        if (form[i] != '0' && text[i] != form[i])
            return HM_EPARSE;
    for (size_t i = 0; i < HM_COUNT_OF(parts); i++)
        if (genesis_digits(text + starts[i], lengths[i], &parts[i]) != 0)
            return HM_EPARSE;
    if (text[at] == '.') {
        size_t count = strspn(text + at + 1, "0123456789");

        for (size_t i = 0; i < 3; i++)
            thousandths = thousandths * 10 + (i < count ? text[at + 1 + i] - '0' : 0);
        at += 1 + count;
    }
    struct tm tm = {.tm_year = parts[0] - 1900,
                    .tm_mon = parts[1] - 1,
                    .tm_mday = parts[2],
                    .tm_hour = parts[3],
                    .tm_min = parts[4],
                    .tm_sec = parts[5]};
    if (strcmp(text + at, "Z") != 0 || parts[0] < 1970 || parts[1] < 1 || parts[1] > 12 ||
        parts[2] < 1 || parts[2] > 31 || parts[3] > 23 || parts[4] > 59 || parts[5] > 60)
        return HM_EPARSE;
    *ms = (uint64_t)timegm(&tm) * 1000 + (uint64_t)thousandths;
    return 0;
}

static int genesis_read_key(const json_t *value, struct engine_genesis_validator *out,
                            struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    const json_t *pub_key = json_object_get(value, "pub_key");
    const char *type = json_string_value(json_object_get(pub_key, "type"));
    const json_t *text = json_object_get(pub_key, "value");

    if (type == NULL || strcmp(type, GENESIS_KEY_TYPE) != 0 || !json_is_string(text))
        return hm_fail(error, HM_EPARSE,
                       "a validator of the genesis has no Ed25519 key; no other kind is taken");
    int rc = hm_base64_decode(json_string_value(text), json_string_length(text), &key, NULL);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory for a genesis");
    if (rc != 0 || key.len != sizeof(out->key))
        return hm_fail(error, HM_EPARSE,
                       "a validator of the genesis has a key that is not 32 bytes");
    memcpy(out->key, key.data, sizeof(out->key));
    return 0;
}

static int genesis_read_validator(const json_t *value, struct hm_arena *arena,
                                  struct engine_genesis_validator *out, struct hm_error *error)
{
    const char *address = json_string_value(json_object_get(value, "address"));
    const char *name = json_string_value(json_object_get(value, "name"));
    uint8_t told[ENGINE_ADDRESS_BYTES], has[ENGINE_ADDRESS_BYTES];
    uint64_t power = 0;
    int rc = genesis_read_key(value, out, error);

    if (rc == 0)
        rc = genesis_number(value, "power", &power, error);
    if (rc == 0)
        rc = engine_config_address(out->key, has, error);
    if (rc != 0)
        return rc;
    if (address != NULL && address[0] != '\0' &&
        (hm_hex_decode(address, strlen(address), told, sizeof(told), NULL) != 0 ||
         memcmp(told, has, sizeof(has)) != 0))
        return hm_fail(error, HM_EINVAL,
                       "a validator of the genesis has an address that is not its key's");
    if (power > INT64_MAX)
        return hm_fail(error, HM_EINVAL, "a validator of the genesis has the power %" PRIu64,
                       power);
    out->power = (int64_t)power;
    out->name = name != NULL ? hm_arena_strdup(arena, name) : NULL;
    return name != NULL && out->name == NULL ? hm_fail(error, HM_ENOMEM, "no memory for a genesis")
                                             : 0;
}

static int genesis_read_validators(const json_t *list, struct hm_arena *arena,
                                   struct engine_genesis *out, struct hm_error *error)
{
    size_t count = json_array_size(list);
    struct engine_genesis_validator *validators;

    if (count > ENGINE_VALIDATORS_MAX)
        return hm_fail(error, HM_ELIMIT, "the genesis names %zu validators, at most %d are taken",
                       count, ENGINE_VALIDATORS_MAX);
    validators = hm_arena_alloc(arena, (count + 1) * sizeof(*validators));
    if (validators == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a genesis");
    for (size_t i = 0; i < count; i++) {
        int rc = genesis_read_validator(json_array_get(list, i), arena, &validators[i], error);

        if (rc != 0)
            return rc;
    }
    out->validators = validators;
    out->validator_count = count;
    return 0;
}

static int genesis_read_state(const json_t *root, struct hm_arena *arena,
                              struct engine_genesis *out, struct hm_error *error)
{
    const json_t *state = json_object_get(root, "app_state");
    const char *hash = json_string_value(json_object_get(root, "app_hash"));
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc = 0;

    if (hash != NULL && hash[0] != '\0') {
        if (hm_hex_decode(hash, strlen(hash), out->app_hash, sizeof(out->app_hash), NULL) != 0)
            return hm_fail(error, HM_EPARSE, "the genesis's app_hash is not 32 bytes");
        out->has_app_hash = true;
    }
    if (state == NULL)
        return 0;
    if (json_is_string(state))
        rc = hm_base64_decode(json_string_value(state), json_string_length(state), &bytes, NULL);
    if (!json_is_string(state) || rc == HM_EPARSE)
        return hm_fail(error, HM_EPARSE, "the genesis's app_state is not a text of base64");
    if (rc == 0 && bytes.len > 0) {
        out->app_state = hm_slice_of(hm_arena_dup(arena, bytes.data, bytes.len), bytes.len);
        rc = out->app_state.data == NULL ? HM_ENOMEM : 0;
    }
    return rc != 0 ? hm_fail(error, rc, "no memory for a genesis") : 0;
}

static int genesis_read_params(const json_t *root, struct engine_genesis *out,
                               struct hm_error *error)
{
    const json_t *params = json_object_get(root, "consensus_params");
    const json_t *evidence = json_object_get(params, "evidence");
    uint64_t ns = 0;
    int rc = genesis_number(root, "initial_height", &out->initial_height, error);

    if (rc == 0)
        rc = genesis_number(json_object_get(params, "abci"), "vote_extensions_enable_height",
                            &out->extensions_height, error);
    if (rc == 0)
        rc = genesis_number(json_object_get(params, "block"), "max_bytes", &out->block_max_bytes,
                            error);
    if (rc == 0)
        rc = genesis_number(evidence, "max_age_duration", &ns, error);
    out->evidence_max_age_ms = ns / 1000000;
    if (out->initial_height == 0)
        out->initial_height = 1; /* as the engine has it */
    return rc;
}

static int genesis_read_all(const json_t *root, struct hm_arena *arena, struct engine_genesis *out,
                            struct hm_error *error)
{
    const char *chain_id = json_string_value(json_object_get(root, "chain_id"));
    int rc = genesis_read_params(root, out, error);

    if (rc != 0)
        return rc;
    if (genesis_time(json_string_value(json_object_get(root, "genesis_time")), &out->time_ms) != 0)
        return hm_fail(error, HM_EPARSE, "the genesis's time is not one of RFC 3339 in UTC");
    out->chain_id = hm_arena_strdup(arena, chain_id != NULL ? chain_id : "");
    if (out->chain_id == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a genesis");
    rc = genesis_read_validators(json_object_get(root, "validators"), arena, out, error);
    if (rc == 0)
        rc = genesis_read_state(root, arena, out, error);
    return rc != 0 ? rc : genesis_check_self(out, error);
}

int engine_genesis_read(struct hm_slice json, struct hm_arena *arena, struct engine_genesis *out,
                        struct hm_error *error)
{
    struct engine_genesis genesis = {0};
    json_t *root;
    int rc;

    if (json.len > ENGINE_GENESIS_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the genesis is longer than %zu MiB",
                       ENGINE_GENESIS_MAX_BYTES >> 20);
    rc = hm_json_is_within(json, GENESIS_JSON_DEPTH_MAX)
             ? hm_json_parse(json, JSON_REJECT_DUPLICATES, &root, NULL)
             : HM_EPARSE;
    if (rc != 0)
        return hm_fail(error, rc,
                       rc == HM_ENOMEM ? "no memory for a genesis" : "the genesis is not JSON");
    rc = genesis_read_all(root, arena, &genesis, error);
    json_decref(root);
    if (rc == 0)
        *out = genesis;
    return rc;
}

/* --- is it ours? ----------------------------------------------------------------------------------------- */

int engine_genesis_check(const struct engine_genesis *genesis,
                         const struct engine_genesis_wanted *wanted, struct hm_error *error)
{
    bool named = wanted->validator == NULL;

    if (strcmp(genesis->chain_id, wanted->chain_id) != 0)
        return hm_fail(error, HM_ECONFLICT,
                       "the genesis is of the chain '%s', and this ledger is of '%.60s': it "
                       "belongs to another "
                       "cluster",
                       genesis->chain_id, wanted->chain_id);
    if (genesis->initial_height != wanted->initial_height)
        return hm_fail(error, HM_ECONFLICT,
                       "the genesis begins at height %" PRIu64 ", this ledger goes on at %" PRIu64,
                       genesis->initial_height, wanted->initial_height);
    if (genesis->time_ms > wanted->now_ms) {
        char when[32];

        hm_time_format_ms(genesis->time_ms, when);
        return hm_fail(
            error, HM_EINVAL,
            "the genesis is of %s, which this machine's clock has not reached: set the clock",
            when);
    }
    for (size_t i = 0; !named && i < genesis->validator_count; i++)
        named = memcmp(genesis->validators[i].key, wanted->validator,
                       sizeof(genesis->validators[i].key)) == 0;
    return named ? 0
                 : hm_fail(error, HM_ECONFLICT,
                           "this node's key is not among the genesis's validators");
}

int engine_genesis_load(const char *path, struct hm_arena *arena, struct engine_genesis *out,
                        struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &text, error);

    if (rc != 0)
        return rc;
    rc = engine_genesis_read(hm_buf_slice(&text), arena, out, error);
    return rc != 0 ? hm_error_prefix(error, rc, "%.200s", path) : 0;
}
