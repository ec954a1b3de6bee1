/* The engine's JSON of headers, commits and validators as the messages that a light client hashes and verifies. Nothing
 * is believed here: a light client checks all of it. */
#include "engine_remote.h"

#include <time.h>

#define LIGHT_HASH_BYTES      32
#define LIGHT_ADDRESS_BYTES   20
#define LIGHT_KEY_BYTES       32
#define LIGHT_SIGNATURE_BYTES 64
#define LIGHT_SIGNATURES_MAX  10000
#define LIGHT_NANO_DIGITS     9
#define LIGHT_KEY_TYPE        "tendermint/PubKeyEd25519"

struct light_read {
    struct hm_arena *arena;
    struct hm_error *error;
    int rc; /* the first failure sticks */
};

static void light_bad(struct light_read *read, const char *name)
{
    if (read->rc == 0)
        read->rc = hm_fail(read->error, HM_EPARSE, "the engine's answer has a wrong %s", name);
}

static void *light_new(struct light_read *read, size_t size)
{
    void *memory = hm_arena_alloc(read->arena, size);

    if (memory == NULL && read->rc == 0)
        read->rc = hm_fail(read->error, HM_ENOMEM, "no memory for a light block");
    return memory;
}

#define LIGHT_NEW(read, prefix, type, out)     \
    do {                                       \
        (out) = light_new(read, sizeof(type)); \
        if ((out) == NULL)                     \
            return;                            \
        prefix##__init(out);                   \
    } while (0)

/* --- single values ------------------------------------------------------------------------------------------- */

/* Hexadecimal of `want` bytes; empty is fine, too, where nothing is there yet. */
static void light_hex(struct light_read *read, const json_t *object, const char *name, size_t want,
                      ProtobufCBinaryData *out)
{
    const char *text = engine_rpc_text(object, name);
    size_t len = strlen(text);

    *out = (ProtobufCBinaryData){0};
    if (len == 0 || read->rc != 0)
        return;
    uint8_t *bytes = light_new(read, want);
    if (bytes == NULL)
        return;
    if (len != 2 * want || hm_hex_decode(text, len, bytes, want, NULL) != 0) {
        light_bad(read, name);
        return;
    }
    *out = (ProtobufCBinaryData){.len = want, .data = bytes};
}

static void light_base64(struct light_read *read, const json_t *object, const char *name,
                         size_t want, ProtobufCBinaryData *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    const char *text = engine_rpc_text(object, name);

    *out = (ProtobufCBinaryData){0};
    if (text[0] == '\0' || read->rc != 0)
        return;
    if (hm_base64_decode(text, strlen(text), &bytes, NULL) != 0 || bytes.len != want) {
        light_bad(read, name);
        return;
    }
    uint8_t *kept = hm_arena_dup(read->arena, bytes.data, bytes.len);
    if (kept == NULL)
        read->rc = hm_fail(read->error, HM_ENOMEM, "no memory for a light block");
    *out = (ProtobufCBinaryData){.len = kept != NULL ? want : 0, .data = kept};
}

static int64_t light_number(struct light_read *read, const json_t *object, const char *name)
{
    uint64_t value = engine_rpc_number(object, name);

    if (value > INT64_MAX) {
        light_bad(read, name);
        return 0;
    }
    return (int64_t)value;
}

/* Two digits and more at *at. */
static bool light_digits(const char **at, unsigned count, int *out)
{
    *out = 0;
    for (unsigned i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool light_char(const char **at, char c)
{
    return *(*at)++ == c;
}

static bool light_fraction(const char **at, int32_t *nanos)
{
    unsigned digits = 0;

    *nanos = 0;
    if (**at != '.')
        return true;
    for ((*at)++; **at >= '0' && **at <= '9' && digits < LIGHT_NANO_DIGITS; (*at)++, digits++)
        *nanos = *nanos * 10 + (**at - '0');
    for (unsigned i = digits; i < LIGHT_NANO_DIGITS; i++)
        *nanos *= 10;
    return digits > 0;
}

int engine_light_time(const char *text, Hypermesh__Abci__Timestamp *out, struct hm_error *error)
{
    const char *at = text;
    struct tm when = {0};
    int32_t nanos;
    bool good = light_digits(&at, 4, &when.tm_year) && light_char(&at, '-') &&
                light_digits(&at, 2, &when.tm_mon) && light_char(&at, '-') &&
                light_digits(&at, 2, &when.tm_mday) && light_char(&at, 'T') &&
                light_digits(&at, 2, &when.tm_hour) && light_char(&at, ':') &&
                light_digits(&at, 2, &when.tm_min) && light_char(&at, ':') &&
                light_digits(&at, 2, &when.tm_sec) && light_fraction(&at, &nanos) &&
                light_char(&at, 'Z') && *at == '\0';

    if (!good || when.tm_mon < 1 || when.tm_mon > 12 || when.tm_mday < 1 || when.tm_mday > 31 ||
        when.tm_hour > 23 || when.tm_min > 59 || when.tm_sec > 59)
        return hm_fail(error, HM_EPARSE, "\"%.40s\" is no time of the engine", text);
    when.tm_year -= 1900;
    when.tm_mon -= 1;
    out->seconds = (int64_t)timegm(&when);
    out->nanos = nanos;
    return 0;
}

static void light_time(struct light_read *read, const json_t *object, const char *name,
                       Hypermesh__Abci__Timestamp **out)
{
    LIGHT_NEW(read, hypermesh__abci__timestamp, Hypermesh__Abci__Timestamp, *out);
    if (read->rc == 0)
        read->rc = engine_light_time(engine_rpc_text(object, name), *out, read->error);
}

static void light_block_id(struct light_read *read, const json_t *value,
                           Hypermesh__Abci__BlockId **out)
{
    const json_t *parts = json_object_get(value, "parts");

    LIGHT_NEW(read, hypermesh__abci__block_id, Hypermesh__Abci__BlockId, *out);
    LIGHT_NEW(read, hypermesh__abci__part_set_header, Hypermesh__Abci__PartSetHeader,
              (*out)->part_set_header);
    light_hex(read, value, "hash", LIGHT_HASH_BYTES, &(*out)->hash);
    light_hex(read, parts, "hash", LIGHT_HASH_BYTES, &(*out)->part_set_header->hash);
    (*out)->part_set_header->total = (uint32_t)light_number(read, parts, "total");
}

/* --- headers ------------------------------------------------------------------------------------------------- */

static char *light_text(struct light_read *read, const json_t *object, const char *name)
{
    char *text = hm_arena_strdup(read->arena, engine_rpc_text(object, name));

    if (text == NULL && read->rc == 0)
        read->rc = hm_fail(read->error, HM_ENOMEM, "no memory for a light block");
    return text;
}

static void light_header_hashes(struct light_read *read, const json_t *value,
                                Hypermesh__Abci__Header *header)
{
    light_hex(read, value, "last_commit_hash", LIGHT_HASH_BYTES, &header->last_commit_hash);
    light_hex(read, value, "data_hash", LIGHT_HASH_BYTES, &header->data_hash);
    light_hex(read, value, "validators_hash", LIGHT_HASH_BYTES, &header->validators_hash);
    light_hex(read, value, "next_validators_hash", LIGHT_HASH_BYTES, &header->next_validators_hash);
    light_hex(read, value, "consensus_hash", LIGHT_HASH_BYTES, &header->consensus_hash);
    light_hex(read, value, "app_hash", LIGHT_HASH_BYTES, &header->app_hash);
    light_hex(read, value, "last_results_hash", LIGHT_HASH_BYTES, &header->last_results_hash);
    light_hex(read, value, "evidence_hash", LIGHT_HASH_BYTES, &header->evidence_hash);
    light_hex(read, value, "proposer_address", LIGHT_ADDRESS_BYTES, &header->proposer_address);
}

static void light_header(struct light_read *read, const json_t *value,
                         Hypermesh__Abci__Header **out)
{
    const json_t *version = json_object_get(value, "version");

    LIGHT_NEW(read, hypermesh__abci__header, Hypermesh__Abci__Header, *out);
    LIGHT_NEW(read, hypermesh__abci__version_consensus, Hypermesh__Abci__VersionConsensus,
              (*out)->version);
    (*out)->version->block = engine_rpc_number(version, "block");
    (*out)->version->app = engine_rpc_number(version, "app");
    (*out)->chain_id = light_text(read, value, "chain_id");
    (*out)->height = light_number(read, value, "height");
    light_time(read, value, "time", &(*out)->time);
    light_block_id(read, json_object_get(value, "last_block_id"), &(*out)->last_block_id);
    light_header_hashes(read, value, *out);
}

static void light_signature(struct light_read *read, const json_t *value,
                            Hypermesh__Abci__CommitSig **out)
{
    uint64_t flag = engine_rpc_number(value, "block_id_flag");

    LIGHT_NEW(read, hypermesh__abci__commit_sig, Hypermesh__Abci__CommitSig, *out);
    if (flag > HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL)
        light_bad(read, "block_id_flag");
    (*out)->flag = (Hypermesh__Abci__BlockIdFlag)flag;
    light_hex(read, value, "validator_address", LIGHT_ADDRESS_BYTES, &(*out)->validator_address);
    light_time(read, value, "timestamp", &(*out)->timestamp);
    light_base64(read, value, "signature", LIGHT_SIGNATURE_BYTES, &(*out)->signature);
}

static void light_commit(struct light_read *read, const json_t *value,
                         Hypermesh__Abci__Commit **out)
{
    const json_t *list = json_object_get(value, "signatures");
    size_t count = json_array_size(list);

    LIGHT_NEW(read, hypermesh__abci__commit, Hypermesh__Abci__Commit, *out);
    (*out)->height = light_number(read, value, "height");
    (*out)->round = (int32_t)light_number(read, value, "round");
    light_block_id(read, json_object_get(value, "block_id"), &(*out)->block_id);
    if (count > LIGHT_SIGNATURES_MAX) {
        light_bad(read, "number of signatures");
        return;
    }
    (*out)->signatures = light_new(read, (count + 1) * sizeof(*(*out)->signatures));
    for (size_t i = 0; read->rc == 0 && i < count; i++) {
        light_signature(read, json_array_get(list, i), &(*out)->signatures[i]);
        (*out)->n_signatures++;
    }
}

static void light_signed_header(struct light_read *read, const json_t *value,
                                Hypermesh__Abci__SignedHeader **out)
{
    LIGHT_NEW(read, hypermesh__abci__signed_header, Hypermesh__Abci__SignedHeader, *out);
    light_header(read, json_object_get(value, "header"), &(*out)->header);
    light_commit(read, json_object_get(value, "commit"), &(*out)->commit);
}

int engine_light_header(const json_t *commit, struct hm_arena *arena,
                        Hypermesh__Abci__SignedHeader **out, struct hm_error *error)
{
    struct light_read read = {.arena = arena, .error = error};
    Hypermesh__Abci__SignedHeader *header = NULL;

    light_signed_header(&read, json_object_get(commit, "signed_header"), &header);
    if (read.rc == 0 && header->header->height <= 0)
        light_bad(&read, "height");
    if (read.rc == 0)
        *out = header;
    return read.rc;
}

/* --- validators ---------------------------------------------------------------------------------------------- */

static void light_validator(struct light_read *read, const json_t *value,
                            Hypermesh__Abci__SimpleValidator **out)
{
    const json_t *key = json_object_get(value, "pub_key");

    LIGHT_NEW(read, hypermesh__abci__simple_validator, Hypermesh__Abci__SimpleValidator, *out);
    LIGHT_NEW(read, hypermesh__abci__public_key, Hypermesh__Abci__PublicKey, (*out)->pub_key);
    if (strcmp(engine_rpc_text(key, "type"), LIGHT_KEY_TYPE) != 0)
        light_bad(read, "kind of key");
    (*out)->pub_key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    light_base64(read, key, "value", LIGHT_KEY_BYTES, &(*out)->pub_key->ed25519);
    (*out)->voting_power = light_number(read, value, "voting_power");
}

int engine_light_validators(const json_t *page, struct hm_arena *arena,
                            Hypermesh__Abci__SimpleValidator **out, size_t room, size_t *count,
                            size_t *total, struct hm_error *error)
{
    struct light_read read = {.arena = arena, .error = error};
    const json_t *list = json_object_get(page, "validators");
    size_t here = json_array_size(list);
    uint64_t all = engine_rpc_number(page, "total");

    if (here > room || all == 0 || all > LIGHT_SIGNATURES_MAX)
        light_bad(&read, "number of validators");
    for (size_t i = 0; read.rc == 0 && i < here; i++)
        light_validator(&read, json_array_get(list, i), &out[i]);
    if (read.rc == 0) {
        *count = here;
        *total = (size_t)all;
    }
    return read.rc;
}
