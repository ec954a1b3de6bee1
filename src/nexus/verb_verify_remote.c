/* verify --remote: one value of the ledger, from a node that need not be trusted. */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "nexus_light.h"
#include "nexus_trust.h"
#include "nexus_verify.h"

#define MAX_AGE_DEFAULT_MS 60000
#define TIMEOUT_MAX_MS     (UINT64_C(24) * 3600 * 1000)
/* A block's time is that of the votes for the one before it, which an idle chain took long ago: the second reading asks for
 * a block over one that was made just now. */
#define READINGS_MAX 2
#define HYPER_DIGITS 9

struct remote {
    struct nexus_call *call;
    struct nexus_place place;
    struct nexus_light light;
    const char *chain; /* --chain, or NULL */
    const char *trust_file; /* --trust-file, or NULL */
    const char *what, *name; /* "account", "hm1..." */
    struct hm_buf key;
    uint64_t max_age_ms;
    struct nexus_state shown;
};

static void remote_release(struct remote *remote)
{
    nexus_light_release(&remote->light);
    nexus_client_close(remote->light.client);
    hm_buf_release(&remote->key);
}

/* --- what is asked ---------------------------------------------------------------------------------- */

/* A "/" never stands in HOST:PORT but at its end; a socket in the working folder may be named alone. */
static bool is_path(const char *address)
{
    struct stat info;

    return address[strcspn(address, "/:")] == '/' || address[0] == '.' ||
           (stat(address, &info) == 0 && S_ISSOCK(info.st_mode));
}

int nexus_verify_place(struct nexus_call *call, const char *address, struct nexus_place *out)
{
    const char *url = address;

    if (is_path(address)) {
        struct nexus_place place = {.data_dir = call->place.data_dir};
        int rc = nexus_path_absolute(address, call->arena, &place.socket_path, &call->error);

        if (rc)
            return rc;
        if (strlen(place.socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
            return hm_fail(&call->error, HM_ELIMIT, "%s is too long for a unix socket",
                           place.socket_path);
        *out = place;
        return 0;
    }
    if (!strstr(address, "://"))
        url = hm_arena_printf(call->arena, "http://%s", address);
    if (!url)
        return nexus_no_memory(call);
    int rc = nexus_place_find(call->place.data_dir, url, nexus_value(call, "token-file"),
                              call->arena, out, &call->error);
    /* A stranger's node never sees the token of this machine's own. */
    if (!rc && !nexus_has(call, "token-file"))
        out->token_path = NULL;
    return rc;
}

static int read_what(struct remote *remote)
{
    static const char *const kinds[] = {"account", "asset", "lease", "kv", "key"};
    struct nexus_call *call = remote->call;
    int rc;

    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        if (!nexus_has(call, kinds[i]))
            continue;
        if (remote->what)
            return hm_fail(&call->error, HM_EINVAL, "--%s and --%s: one value at a time",
                           remote->what, kinds[i]);
        remote->what = kinds[i];
        remote->name = nexus_value(call, kinds[i]);
    }
    if (!remote->what)
        return hm_fail(&call->error, HM_EINVAL,
                       "say what to check: --account, --asset, --lease, --kv or --key");
    rc = nexus_state_key(remote->what, remote->name, &remote->key, &call->error);
    return rc ? hm_error_prefix(&call->error, rc, "--%s", remote->what) : 0;
}

static int read_deadline(struct remote *remote)
{
    uint64_t timeout_ms = NEXUS_LIGHT_ALL_MS;
    int rc = nexus_value_ms(remote->call, "timeout", &timeout_ms);

    if (!rc && (timeout_ms == 0 || timeout_ms > TIMEOUT_MAX_MS))
        rc = hm_fail(&remote->call->error, HM_ERANGE, "--timeout is 1ms to 1d");
    remote->light.deadline_ns = hm_mono_ns(remote->light.clock) + timeout_ms * 1000000;
    return rc;
}

static int read_line(struct remote *remote)
{
    struct nexus_call *call = remote->call;
    int rc = nexus_value_ms(call, "max-age", &remote->max_age_ms);

    remote->chain = nexus_value(call, "chain");
    remote->trust_file = nexus_value(call, "trust-file");
    if (!rc)
        rc = nexus_value_ms(call, "trust-for", &remote->light.rules.trusting_period_ms);
    if (!rc)
        rc = read_deadline(remote);
    if (!rc)
        rc = read_what(remote);
    return rc ? rc : nexus_verify_place(call, nexus_value(call, "remote"), &remote->place);
}

/* --- trust -------------------------------------------------------------------------------------------- */

static const char *chain_of(const struct light_trust *trust)
{
    return trust->block.message->signed_header->header->chain_id;
}

/* Without a file or an option there is nothing to begin with: how to get it is half of the answer. */
static int nothing_trusted(struct nexus_call *call)
{
    return hm_fail(
        &call->error, HM_EINVAL,
        "no block of this chain is trusted yet: ask somebody who runs a node, and whom you "
        "believe, what \"nexus cluster trust\" prints there, and say it as --trust "
        "HEIGHT:HASH");
}

static int load_trust(struct remote *remote)
{
    struct nexus_call *call = remote->call;
    const char *path = remote->trust_file;
    int rc = path ? 0 : nexus_trust_path(remote->chain, call->arena, &path, &call->error);

    if (!rc)
        rc = nexus_trust_load(path, &remote->light.trust, &call->error);
    if (rc == HM_ENOTFOUND)
        return nothing_trusted(call);
    if (!rc && remote->chain && strcmp(chain_of(&remote->light.trust), remote->chain) != 0)
        rc = hm_fail(&call->error, HM_EINVAL, "%s is of chain %.60s, not of %.60s", path,
                     chain_of(&remote->light.trust), remote->chain);
    return rc;
}

/* Where the trusted block of this chain is kept. */
static int kept_path(struct remote *remote, const char **out)
{
    struct nexus_call *call = remote->call;

    *out = remote->trust_file;
    return *out ? 0
                : nexus_trust_path(chain_of(&remote->light.trust), call->arena, out, &call->error);
}

/* False: none of this chain that can be read. */
static bool load_kept(const struct remote *remote, const char *path, struct light_trust *kept)
{
    return nexus_trust_load(path, kept, NULL) == 0 &&
           strcmp(chain_of(kept), chain_of(&remote->light.trust)) == 0;
}

/* What a person says beside what is kept: the newer of them is gone on from, and they must not contradict each other. */
static int compare_kept(struct remote *remote, int64_t said)
{
    HM_CLEANUP(light_trust) struct light_trust kept = {0};
    struct nexus_call *call = remote->call;
    const char *path = NULL;
    int64_t height;
    int rc = kept_path(remote, &path);

    if (rc || !load_kept(remote, path, &kept))
        return rc;
    height = nexus_light_height(&kept);
    rc = nexus_light_agree(&remote->light, &kept, &call->error);
    if (rc == HM_EAUTH)
        call->hint = hm_arena_printf(
            call->arena,
            "the node lies, or --trust and the block kept in %s are of two histories: ask others "
            "whom you believe, and remove the file if theirs is that of --trust",
            path);
    if (!rc && height > said)
        nexus_say("block %lld is trusted already, newer than that of --trust: it is used",
                  (long long)height);
    return rc;
}

static int begin(struct remote *remote)
{
    struct nexus_call *call = remote->call;
    const char *text = nexus_value(call, "trust");
    struct light_anchor anchor;
    int rc;

    if (!text)
        return load_trust(remote);
    rc = light_anchor_parse(text, &anchor, &call->error);
    if (rc)
        return hm_error_prefix(&call->error, rc, "--trust");
    rc = nexus_light_begin(&remote->light, &anchor, remote->chain, &call->error);
    return rc ? rc : compare_kept(remote, anchor.height);
}

/* What is kept already never goes back: an older block would let a node show the past again. */
static int save_trust(struct remote *remote)
{
    HM_CLEANUP(light_trust) struct light_trust kept = {0};
    struct nexus_call *call = remote->call;
    const char *path = NULL;
    int rc = kept_path(remote, &path);

    if (rc || (load_kept(remote, path, &kept) &&
               nexus_light_height(&kept) > nexus_light_height(&remote->light.trust)))
        return rc;
    rc = nexus_trust_save(path, &remote->light.trust, &call->error);
    return rc ? hm_error_prefix(&call->error, rc,
                                "the value is right, but not the trusted block kept")
              : 0;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static uint64_t age_ms(const struct remote *remote)
{
    uint64_t now_ms = hm_wall_ms(remote->light.clock);
    uint64_t time_ms = nexus_light_time_ms(&remote->light.trust);

    return now_ms > time_ms ? now_ms - time_ms : 0;
}

static int read_value(struct remote *remote)
{
    int rc = 0;

    for (unsigned i = 0;
         !rc && (i == 0 || (i < READINGS_MAX && age_ms(remote) > remote->max_age_ms)); i++)
        rc = nexus_light_read(&remote->light, hm_buf_slice(&remote->key), remote->call->arena,
                              &remote->shown, &remote->call->error);
    return rc;
}

/* --- showing -------------------------------------------------------------------------------------------- */

static json_t *block_json(const struct remote *remote)
{
    const struct light_trust *trust = &remote->light.trust;
    char hash[2 * LIGHT_HASH_BYTES + 1];

    hm_hex_encode(trust->block.hash, LIGHT_HASH_BYTES, hash);
    return json_pack("{s:I, s:s, s:I, s:I}", "height", (json_int_t)nexus_light_height(trust),
                     "hash", hash, "time_ms", (json_int_t)nexus_light_time_ms(trust), "age_ms",
                     (json_int_t)age_ms(remote));
}

static json_t *shown_json(const struct remote *remote)
{
    const struct nexus_state *shown = &remote->shown;
    HM_CLEANUP(hm_buf) struct hm_buf value = {0};
    HM_AUTOFREE char *key = hm_malloc(2 * remote->key.len + 1);
    char root[2 * CRYPTO_HASH_BYTES + 1];
    json_t *block = block_json(remote);

    if (!key || !block || hm_base64_encode(shown->value.data, shown->value.len, &value) != 0) {
        json_decref(block);
        return NULL;
    }
    hm_hex_encode(remote->key.data, remote->key.len, key);
    hm_hex_encode(shown->root, sizeof(shown->root), root);
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o}", "chain_id", chain_of(&remote->light.trust),
                     "key", key, "value",
                     shown->value.data ? json_string(hm_buf_cstr(&value)) : json_null(), "height",
                     (json_int_t)shown->height, "root", root, "block", block);
}

/* What the bytes mean, where that is short. */
static void add_meaning(struct nexus_table *table, const struct remote *remote)
{
    struct hm_arena *arena = remote->call->arena;
    struct hm_slice value = remote->shown.value;
    Hypermesh__Account *account;
    Hypermesh__KvEntry *entry;
    char money[40];

    if (strcmp(remote->what, "account") == 0 &&
        WIRE_UNPACK(hypermesh__account, value, value.len, arena, &account, NULL) == 0) {
        hm_decimal_format(account->hyper, HYPER_DIGITS, money);
        nexus_fact(table, "hyper", hm_arena_strdup(arena, money));
        hm_decimal_format(account->caes, HYPER_DIGITS, money);
        nexus_fact(table, "caes", hm_arena_strdup(arena, money));
    }
    if (strcmp(remote->what, "kv") == 0 &&
        WIRE_UNPACK(hypermesh__kv_entry, value, value.len, arena, &entry, NULL) == 0) {
        if (hm_utf8_valid((const char *)entry->value.data, entry->value.len))
            nexus_fact(table, "text",
                       hm_arena_printf(arena, "%.*s", (int)entry->value.len,
                                       entry->value.len ? (const char *)entry->value.data : ""));
        nexus_fact(table, "revision",
                   hm_arena_printf(arena, "%llu", (unsigned long long)entry->mod_revision));
    }
}

/* nexus_table_form has no room for more than the JSON. */
static int table_of(struct remote *remote, const json_t *shown, struct hm_buf *out)
{
    const json_t *block = json_object_get(shown, "block");
    struct nexus_call *call = remote->call;
    struct hm_arena *arena = call->arena;
    const json_t *value = json_object_get(shown, "value");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "chain", nexus_json_text(shown, "chain_id"));
    nexus_fact(&table, "key", nexus_json_text(shown, "key"));
    nexus_fact(&table, "value", json_is_null(value) ? "absent" : json_string_value(value));
    if (!json_is_null(value))
        add_meaning(&table, remote);
    nexus_fact(&table, "after block", nexus_json_cell(json_object_get(shown, "height"), arena));
    nexus_fact(&table, "state root", nexus_json_text(shown, "root"));
    nexus_fact(&table, "signed in",
               hm_arena_printf(arena, "%llu:%s",
                               (unsigned long long)nexus_json_u64(block, "height"),
                               nexus_json_text(block, "hash")));
    nexus_fact(&table, "time", nexus_show_time(nexus_json_u64(block, "time_ms"), arena));
    nexus_fact(&table, "age", nexus_show_span_ms(nexus_json_u64(block, "age_ms"), arena));
    return nexus_table_finish(call, &table, out);
}

static int show(struct remote *remote)
{
    struct nexus_call *call = remote->call;
    NEXUS_AUTOJSON json_t *shown = shown_json(remote);
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    int rc;

    if (!shown)
        return nexus_no_memory(call);
    if (call->format != NEXUS_FORMAT_TABLE)
        return nexus_show(call, shown, nexus_table_object);
    rc = table_of(remote, shown, &out);
    return rc ? rc : nexus_write(call, &out);
}

/* --- the end of it --------------------------------------------------------------------------------------- */

static int end_with(struct remote *remote, int rc)
{
    struct nexus_call *call = remote->call;

    if (remote->light.lied && !call->hint)
        call->hint = "do not use what this node says; ask another, and tell whoever runs it";
    if (rc == HM_EAUTH && !call->hint && remote->place.url)
        call->hint =
            "its operator starts it with --open-proofs for readers without a token, or gives "
            "you one for --token-file";
    if (rc == NEXUS_EUNREACHABLE)
        call->hint = "nothing was shown to be wrong; ask again later, or another node";
    if (rc != HM_ETIMEOUT)
        return rc;
    nexus_say("%s", call->error.text);
    fprintf(stderr,
            "hint: ask somebody who runs a node, and whom you believe, what \"nexus cluster "
            "trust\" prints there, and say it as --trust HEIGHT:HASH\n");
    return NEXUS_EXIT_TRUST_OLD;
}

/* What was shown is right, but perhaps no more so. */
static int judge_age(const struct remote *remote)
{
    uint64_t age = age_ms(remote);
    char was[32], most[32];

    if (age <= remote->max_age_ms)
        return 0;
    hm_duration_format_ms(age < 1000 ? age : age / 1000 * 1000, was);
    hm_duration_format_ms(remote->max_age_ms, most);
    nexus_say("old: this is how it was %s ago, longer than --max-age allows (%s): the node has no "
              "newer block, or does not show it",
              was, most);
    return NEXUS_EXIT_STATE_OLD;
}

int nexus_verify_remote(struct nexus_call *call)
{
    HM_CLEANUP(remote)
    struct remote remote = {.call = call,
                            .max_age_ms = MAX_AGE_DEFAULT_MS,
                            .light = {.clock = hm_clock_system(),
                                      .rules = {.trusting_period_ms = LIGHT_TRUSTING_PERIOD_MS,
                                                .clock_drift_ms = LIGHT_CLOCK_DRIFT_MS}}};
    int rc = crypto_setup(&call->error);

    if (!rc)
        rc = read_line(&remote);
    if (!rc)
        rc = nexus_client_open(&remote.place, &remote.light.client, &call->error);
    if (!rc)
        rc = begin(&remote);
    if (!rc)
        rc = nexus_light_check_period(&remote.light, &call->error);
    if (!rc)
        rc = read_value(&remote);
    if (!rc)
        rc = show(&remote);
    if (rc)
        return end_with(&remote, rc);
    rc = save_trust(&remote);
    return rc ? rc : judge_age(&remote);
}
