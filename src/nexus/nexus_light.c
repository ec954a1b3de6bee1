#include "nexus_light.h"

#include <inttypes.h>
#include <poll.h>

#include "nexus.h"
#include "nexus_json.h"

#define PATH_BYTES (2 * STORE_KEY_MAX_BYTES + 64)
#define PARAMS_KEY "P" /* of the ledger's state */
/* Which part of unbond_delay_ms is left when an engine forgets a fault (docs/ledger.md). */
#define EVIDENCE_SPARE 6

void nexus_light_release(struct nexus_light *light)
{
    light_trust_release(&light->trust);
}

/* --- asking ------------------------------------------------------------------------------------- */

struct taken {
    struct hm_buf bytes;
    size_t most;
    bool over; /* more came */
};

static int take_bytes(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct taken *taken = ctx;

    taken->over = len > taken->most - taken->bytes.len;
    if (taken->over)
        return hm_fail(error, HM_ELIMIT, "the node's answer is longer than %zu bytes", taken->most);
    return hm_buf_append(&taken->bytes, data, len) == 0
               ? 0
               : hm_fail(error, HM_ENOMEM, "no memory for the node's answer");
}

/* A source that may lie can refuse to answer in many ways; they are all the same. What it gives instead of an answer is
 * none. */
static int source_failed(int rc, struct hm_error *error)
{
    switch (rc) {
    case HM_ENOTFOUND:
    case HM_EBUSY:
    case HM_EUNAVAILABLE:
    case HM_ETIMEOUT:
    case HM_EIO:
        return hm_error_prefix(error, NEXUS_EUNREACHABLE, "the node does not help");
    case HM_EPARSE:
    case HM_ELIMIT:
    case HM_ERANGE:
    case HM_ECORRUPT:
        return hm_error_prefix(error, HM_EAUTH, "the node's answer is refused");
    default:
        return rc;
    }
}

/* However many blocks a node makes necessary, and however slowly it gives each. */
static int time_left(const struct nexus_light *light, unsigned *out, struct hm_error *error)
{
    uint64_t now_ns = light->deadline_ns ? hm_mono_ns(light->clock) : 0;
    uint64_t left_ms;

    if (light->deadline_ns && now_ns >= light->deadline_ns)
        return hm_fail(error, HM_ETIMEOUT,
                       "the time for all of its answers is over (--timeout allows more)");
    left_ms = light->deadline_ns ? (light->deadline_ns - now_ns) / 1000000 + 1 : UINT64_MAX;
    *out = left_ms < NEXUS_LIGHT_TIMEOUT_MS ? (unsigned)left_ms : NEXUS_LIGHT_TIMEOUT_MS;
    return 0;
}

static int get_once(struct nexus_light *light, const char *path, struct taken *taken,
                    struct hm_error *error)
{
    struct nexus_request request = {
        .method = "GET", .path = path, .take = take_bytes, .wake_fd = -1, .ctx = taken};
    int rc = time_left(light, &request.timeout_ms, error);

    hm_buf_clear(&taken->bytes);
    return rc ? rc : nexus_client_send(light->client, &request, NULL, error);
}

/* False: the deadline comes before the pause would end, or there is none to wait for. */
static bool pause_before(const struct nexus_light *light)
{
    uint64_t pause_ns = (uint64_t)NEXUS_LIGHT_AGAIN_MS * 1000000;

    if (hm_mono_ns(light->clock) + pause_ns >= light->deadline_ns)
        return false;
    (void)poll(NULL, 0, NEXUS_LIGHT_AGAIN_MS);
    return true;
}

/* Who is only busy (503, as a node that starts) is asked again. */
static int get(struct nexus_light *light, const char *path, struct taken *taken,
               struct hm_error *error)
{
    int rc = get_once(light, path, taken, error);

    while (rc == HM_EBUSY && light->deadline_ns) {
        if (!pause_before(light))
            return hm_error_prefix(error, rc, "it was asked until --timeout was over, and says");
        rc = get_once(light, path, taken, error);
    }
    /* "Too many requests" is no answer that could be wrong. */
    return rc == HM_ELIMIT && !taken->over ? HM_EBUSY : rc;
}

int nexus_light_block(struct nexus_light *light, int64_t height, bool ask, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct taken taken = {.most = LIGHT_BLOCK_MAX_BYTES};
    char path[PATH_BYTES];
    int rc;

    if (height == 0)
        (void)snprintf(path, sizeof(path), "/light/latest");
    else if (ask)
        (void)snprintf(path, sizeof(path), "/light/%" PRId64 "?wait_ms=%d", height,
                       NEXUS_LIGHT_WAIT_MS);
    else
        (void)snprintf(path, sizeof(path), "/light/%" PRId64, height);
    rc = get(light, path, &taken, error);
    if (!rc)
        rc = light_block_parse(hm_buf_slice(&taken.bytes), arena, out, error);
    hm_buf_release(&taken.bytes);
    return rc ? source_failed(rc, error) : 0;
}

static int fetch(void *ctx, int64_t height, struct hm_arena *arena,
                 Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct nexus_light *light = ctx;

    return nexus_light_block(light, height, height == light->goal, arena, out, error);
}

static int ask_state(struct nexus_light *light, struct hm_slice key, json_t **answer,
                     struct hm_error *error)
{
    struct taken taken = {.most = NEXUS_STATE_MAX_BYTES};
    char path[PATH_BYTES] = "/state/";
    int rc;

    hm_hex_encode(key.data, key.len, path + strlen(path));
    rc = get(light, path, &taken, error);
    if (!rc && hm_json_parse(hm_buf_slice(&taken.bytes), JSON_REJECT_DUPLICATES, answer, NULL) != 0)
        rc = hm_fail(error, HM_EPARSE, "it is not JSON");
    hm_buf_release(&taken.bytes);
    return rc ? source_failed(rc, error) : 0;
}

/* --- what it says --------------------------------------------------------------------------------- */

static int parse_base64(const json_t *answer, const char *name, struct hm_arena *arena,
                        struct hm_slice *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    const json_t *text = json_object_get(answer, name);
    uint8_t *kept;

    if (!json_is_string(text) ||
        hm_base64_decode(json_string_value(text), json_string_length(text), &bytes, NULL) != 0)
        return hm_fail(error, HM_EPARSE, "the node's answer has no good %s", name);
    kept = hm_arena_alloc(arena, bytes.len + 1); /* an empty value is not an absent one */
    if (!kept)
        return hm_fail(error, HM_ENOMEM, "no memory for the node's answer");
    if (bytes.len > 0)
        memcpy(kept, bytes.data, bytes.len);
    *out = hm_slice_of(kept, bytes.len);
    return 0;
}

int nexus_state_parse(const json_t *answer, struct hm_arena *arena, struct nexus_state *out,
                      struct hm_error *error)
{
    const json_t *height = json_object_get(answer, "height");
    const json_t *root = json_object_get(answer, "root");
    const json_t *value = json_object_get(answer, "value");
    struct nexus_state state = {0};
    int rc = 0;

    if (!json_is_integer(height) || json_integer_value(height) < 0 ||
        json_integer_value(height) == INT64_MAX)
        return hm_fail(error, HM_EPARSE, "the node's answer has no good height");
    state.height = (uint64_t)json_integer_value(height);
    if (!json_is_string(root) || hm_hex_decode(json_string_value(root), json_string_length(root),
                                               state.root, sizeof(state.root), NULL) != 0)
        return hm_fail(error, HM_EPARSE, "the node's answer has no good root");
    if (!value)
        return hm_fail(error, HM_EPARSE, "the node's answer has no value");
    if (!json_is_null(value))
        rc = parse_base64(answer, "value", arena, &state.value, error);
    if (!rc)
        rc = parse_base64(answer, "proof", arena, &state.proof, error);
    if (!rc)
        *out = state;
    return rc;
}

int nexus_state_verify(const uint8_t root[CRYPTO_HASH_BYTES], struct hm_slice key,
                       const struct nexus_state *state, struct hm_error *error)
{
    struct store_tree_proof proof = {0};
    int rc = store_tree_proof_decode(state->proof, &proof, error);

    if (rc == HM_EPARSE)
        return hm_error_prefix(error, HM_EAUTH, "the node's proof is none");
    if (rc)
        return rc;
    rc = store_tree_verify(root, key, state->value, &proof, error);
    store_tree_proof_release(&proof);
    return rc ? hm_error_prefix(error, rc, "the node lies about the value") : 0;
}

/* --- keys: docs/formats-ledger.md -------------------------------------------------------------------- */

static int key_of_id(const char *text, int (*parse)(const char *, uint8_t *, struct hm_error *),
                     struct hm_buf *out, struct hm_error *error)
{
    uint8_t id[WIRE_ID_BYTES];
    int rc = parse(text, id, error);

    return rc ? rc : hm_buf_append(out, id, sizeof(id));
}

static int key_of_hex(const char *text, struct hm_buf *out, struct hm_error *error)
{
    uint8_t key[STORE_KEY_MAX_BYTES];
    size_t len = strlen(text) / 2;
    int rc;

    if (len < 1 || len > sizeof(key))
        return hm_fail(error, HM_ERANGE, "a state key has 1 to %zu bytes", sizeof(key));
    rc = hm_hex_decode(text, strlen(text), key, len, error);
    return rc ? rc : hm_buf_append(out, key, len);
}

int nexus_state_key(const char *what, const char *text, struct hm_buf *out, struct hm_error *error)
{
    static const struct {
        const char *what;
        uint8_t prefix;
        int (*parse)(const char *, uint8_t *, struct hm_error *); /* NULL: the text's bytes */
    } kinds[] = {{"account", 'a', wire_account_parse},
                 {"asset", 's', wire_asset_parse},
                 {"lease", 'l', wire_lease_parse},
                 {"kv", 'k', NULL}};

    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        size_t len = strlen(text);

        if (strcmp(kinds[i].what, what) != 0)
            continue;
        if (!kinds[i].parse && (len < 1 || len > NEXUS_KV_KEY_MAX_BYTES))
            return hm_fail(error, HM_ERANGE, "a key has 1 to %d bytes", NEXUS_KV_KEY_MAX_BYTES);
        if (hm_buf_append(out, &kinds[i].prefix, 1) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for a key");
        return kinds[i].parse ? key_of_id(text, kinds[i].parse, out, error)
                              : hm_buf_append(out, text, len);
    }
    return key_of_hex(text, out, error);
}

/* --- checking ----------------------------------------------------------------------------------------- */

int64_t nexus_light_height(const struct light_trust *trust)
{
    return trust->block.message ? trust->block.message->signed_header->header->height : 0;
}

uint64_t nexus_light_time_ms(const struct light_trust *trust)
{
    const Hypermesh__Abci__Timestamp *time = trust->block.message->signed_header->header->time;

    return time->seconds < 0 ? 0 : (uint64_t)time->seconds * 1000 + (uint64_t)time->nanos / 1000000;
}

/* A node that has not got a block may be one of another chain, whose heights say nothing: its newest one tells. 0 also where that
 * cannot be had. */
static int check_chain(struct nexus_light *light, const char *chain_id, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *message = NULL;
    struct light_block block;

    hm_arena_init(&arena, LIGHT_BLOCK_MAX_MEMORY);
    if (!chain_id || nexus_light_block(light, 0, false, &arena, &message, NULL) != 0 ||
        light_block_check(message, &arena, &block, NULL) != 0 ||
        strcmp(message->signed_header->header->chain_id, chain_id) == 0)
        return 0;
    light->lied = true;
    return hm_fail(error, HM_EAUTH, "the node is of chain %s, and what you trust is of %s",
                   message->signed_header->header->chain_id, chain_id);
}

int nexus_light_begin(struct nexus_light *light, const struct light_anchor *anchor,
                      const char *chain_id, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block = NULL;
    int rc;

    hm_arena_init(&arena, LIGHT_BLOCK_MAX_MEMORY);
    rc = nexus_light_block(light, anchor->height, false, &arena, &block, error);
    if (rc == NEXUS_EUNREACHABLE && check_chain(light, chain_id, error) != 0)
        return HM_EAUTH;
    if (rc)
        return hm_error_prefix(error, rc, "block %" PRId64, anchor->height);
    rc = light_trust_begin(&light->trust, anchor, chain_id, block, error);
    light->lied = light->lied || rc == HM_EAUTH || rc == HM_EPARSE || rc == HM_ELIMIT;
    return rc ? source_failed(rc, error) : 0;
}

/* Where trust already stands, no step would notice. */
static int check_age(const struct nexus_light *light, uint64_t now_ms, struct hm_error *error)
{
    uint64_t time_ms = nexus_light_time_ms(&light->trust);

    if (now_ms <= time_ms || now_ms - time_ms <= light->rules.trusting_period_ms)
        return 0;
    return hm_fail(error, HM_ETIMEOUT,
                   "the trusted block %" PRId64
                   " is older than the trusting period: whoever signed it may have taken his bond "
                   "back since",
                   nexus_light_height(&light->trust));
}

static int go_to(struct nexus_light *light, int64_t height, struct hm_error *error)
{
    struct light_source source = {.fetch = fetch, .ctx = light};
    uint64_t now_ms = hm_wall_ms(light->clock);
    int rc = check_age(light, now_ms, error);

    if (rc)
        return rc;
    if (height < nexus_light_height(&light->trust) &&
        check_chain(light, light->trust.block.message->signed_header->header->chain_id, error))
        return HM_EAUTH;
    if (height < nexus_light_height(&light->trust))
        return hm_fail(error, NEXUS_EUNREACHABLE,
                       "the node stands at block %" PRId64 ", behind the trusted block %" PRId64
                       ": ask again later, or another node",
                       height - 1, nexus_light_height(&light->trust));
    light->goal = height;
    rc = light_verify_path(&light->trust, height, now_ms, &light->rules, &source, error);
    light->lied = light->lied || rc == HM_EAUTH || rc == HM_EPARSE;
    return rc == HM_EPARSE ? hm_error_prefix(error, HM_EAUTH, "the node's blocks are refused") : rc;
}

int nexus_light_read(struct nexus_light *light, struct hm_slice key, struct hm_arena *arena,
                     struct nexus_state *out, struct hm_error *error)
{
    NEXUS_AUTOJSON json_t *answer = NULL;
    uint8_t root[LIGHT_HASH_BYTES];
    struct nexus_state state;
    int rc = ask_state(light, key, &answer, error);

    if (rc)
        return rc;
    rc = nexus_state_parse(answer, arena, &state, error);
    if (rc)
        return source_failed(rc, error);
    rc = go_to(light, (int64_t)state.height + 1, error);
    if (!rc)
        rc = light_state_root(&light->trust, (int64_t)state.height, root, error);
    if (rc)
        return rc == HM_EPARSE ? source_failed(rc, error) : rc;
    if (memcmp(root, state.root, sizeof(root)) != 0)
        rc = hm_fail(error, HM_EAUTH,
                     "the node lies about the state root after block %" PRIu64
                     ": the signed header has another one",
                     state.height);
    if (!rc)
        rc = nexus_state_verify(root, key, &state, error);
    light->lied = light->lied || rc == HM_EAUTH;
    if (!rc)
        *out = state;
    return rc;
}
_Static_assert(LIGHT_HASH_BYTES == CRYPTO_HASH_BYTES, "a state root is a hash");

/* --- what a person says, and the chain ------------------------------------------------------------------ */

static void swap(struct light_trust *a, struct light_trust *b)
{
    struct light_trust kept = *a;

    *a = *b;
    *b = kept;
}

static int same_block(const struct light_trust *a, const struct light_trust *b,
                      struct hm_error *error)
{
    if (memcmp(a->block.hash, b->block.hash, LIGHT_HASH_BYTES) == 0)
        return 0;
    return hm_fail(error, HM_EAUTH, "there are two blocks %" PRId64 " of chain %.60s",
                   nexus_light_height(a), a->block.message->signed_header->header->chain_id);
}

int nexus_light_agree(struct nexus_light *light, struct light_trust *other, struct hm_error *error)
{
    int64_t ours = nexus_light_height(&light->trust), theirs = nexus_light_height(other);
    struct hm_error why = {0};
    int rc = 0;

    if (theirs < ours)
        swap(&light->trust, other);
    if (theirs != ours)
        rc = go_to(light, nexus_light_height(other), &why);
    /* The older one is too old to lead anywhere: nothing shows that they disagree. */
    if (rc == HM_ETIMEOUT || rc == HM_ELIMIT)
        rc = 0;
    else if (!rc)
        rc = same_block(&light->trust, other, &why);
    if (!rc)
        swap(&light->trust, other);
    else if (error)
        *error = why;
    return rc;
}

int nexus_light_check_period(struct nexus_light *light, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Params *params = NULL;
    struct nexus_state state = {0};
    uint64_t most_ms;
    char most[32], good[32];
    int rc;

    hm_arena_init(&arena, 4 * NEXUS_STATE_MAX_BYTES);
    rc = nexus_light_read(light, hm_slice_str(PARAMS_KEY), &arena, &state, error);
    if (rc)
        return rc;
    rc = WIRE_UNPACK(hypermesh__params, state.value, state.value.len, &arena, &params, error);
    if (rc)
        return hm_error_prefix(error, rc == HM_ENOMEM ? rc : HM_EAUTH,
                               "the chain is no ledger of ours: it has no parameters");
    most_ms = params->unbond_delay_ms - params->unbond_delay_ms / EVIDENCE_SPARE;
    if (light->rules.trusting_period_ms < most_ms)
        return 0;
    hm_duration_format_ms(most_ms / 1000 * 1000, most);
    hm_duration_format_ms(params->unbond_delay_ms / 3000 * 2000, good);
    return hm_fail(error, HM_EINVAL,
                   "this chain forgets faults after %s, so that a block may be trusted for less: "
                   "say --trust-for %s",
                   most, good);
}
