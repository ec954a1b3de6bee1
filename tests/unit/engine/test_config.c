/* CometBFT's files: what is written is what its own code reads, what another wrote is checked, and nothing that was there is
 * lost. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_config.h"
#include "ledger.h"

/* A key pair that CometBFT made, and the address it wrote beside it. */
static const char engine_public[] = "UW1ktpMDsge0fuyOhjXsdx0mLbhP5m3MBC0J6D6AAC8=";
static const char engine_address[] = "3E66F12F116684477085E9F2C8557C0E98D65F17";

struct place {
    char *folder, *home, *keys_dir;
    struct crypto_ed25519_key node, validator, other;
    struct engine_config_peer peers[2];
    struct engine_config config;
    struct engine_genesis_validator validators[2];
    struct engine_genesis genesis;
    struct hm_buf text;
    struct hm_error error;
};

static void make_key(struct crypto_ed25519_key *key, int fill)
{
    uint8_t seed[CRYPTO_SEED_BYTES];

    memset(seed, fill, sizeof(seed));
    crypto_ed25519_from_seed(key, seed);
}

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    const char *base = getenv("TMPDIR");

    assert_int_equal(crypto_setup(NULL), 0);
    place->folder = hm_asprintf("%s/engine-config-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place->folder));
    place->home = hm_asprintf("%s/engine", place->folder);
    place->keys_dir = hm_asprintf("%s/validator", place->folder);
    make_key(&place->node, 1);
    make_key(&place->validator, 2);
    make_key(&place->other, 3);
    assert_int_equal(engine_config_node_id(place->other.public_key, place->peers[0].node_id, NULL),
                     0);
    place->peers[0].address = "127.0.0.1:30001";
    place->peers[1] = place->peers[0];
    place->peers[1].address = "[::1]:30002";
    place->config = (struct engine_config){.name = "node0",
                                           .abci_socket = "/run/x/abci.sock",
                                           .rpc_socket = "/run/x/rpc.sock",
                                           .p2p_listen = "127.0.0.1:30000",
                                           .peers = place->peers,
                                           .peer_count = 2,
                                           .keys_dir = place->keys_dir};
    memcpy(place->validators[0].key, place->validator.public_key, 32);
    memcpy(place->validators[1].key, place->other.public_key, 32);
    place->validators[0].power = place->validators[1].power = 10;
    place->validators[0].name = "node0";
    place->genesis = (struct engine_genesis){.chain_id = "local-12345678",
                                             .time_ms = UINT64_C(1767323045678),
                                             .initial_height = 1,
                                             .validators = place->validators,
                                             .validator_count = 2,
                                             .app_state = hm_slice_str("genesis of ours")};
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    hm_remove_tree(place->folder, NULL);
    hm_buf_release(&place->text);
    hm_free(place->keys_dir);
    hm_free(place->home);
    hm_free(place->folder);
    hm_free(place);
    return 0;
}

static void has(struct place *place, const char *text)
{
    if (strstr(hm_buf_cstr(&place->text), text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, hm_buf_cstr(&place->text));
}

static void refused(struct place *place, int rc, int code, const char *words)
{
    if (rc != code || strstr(place->error.text, words) == NULL)
        fail_msg("wanted %d with '%s', got %d: %s", code, words, rc, place->error.text);
}

/* --- names ----------------------------------------------------------------------------------------------- */

static void addresses_are_the_engines(void **state)
{
    struct hm_buf key = {0};
    uint8_t address[ENGINE_ADDRESS_BYTES], told[ENGINE_ADDRESS_BYTES];
    char id[ENGINE_NODE_ID_DIGITS + 1];

    (void)state;
    assert_int_equal(hm_base64_decode(engine_public, strlen(engine_public), &key, NULL), 0);
    assert_int_equal(
        hm_hex_decode(engine_address, strlen(engine_address), told, sizeof(told), NULL), 0);
    assert_int_equal(engine_config_address(key.data, address, NULL), 0);
    assert_memory_equal(address, told, sizeof(told));
    assert_int_equal(engine_config_node_id(key.data, id, NULL), 0);
    assert_string_equal(id, "3e66f12f116684477085e9f2c8557c0e98d65f17");
    hm_buf_release(&key);
}

/* --- config.toml ----------------------------------------------------------------------------------------- */

static void toml_says_what_was_asked_for(void **state)
{
    struct place *place = *state;
    char peers[256];

    assert_int_equal(engine_config_toml(&place->config, &place->text, &place->error), 0);
    has(place, "\nproxy_app = \"unix:///run/x/abci.sock\"\n");
    has(place, "[rpc]\nladdr = \"unix:///run/x/rpc.sock\"\nmax_body_bytes = 16777216\n");
    has(place, "[p2p]\nladdr = \"tcp://127.0.0.1:30000\"\n");
    snprintf(peers, sizeof(peers), "persistent_peers = \"%s@127.0.0.1:30001,%s@[::1]:30002\"\n",
             place->peers[0].node_id, place->peers[0].node_id);
    has(place, peers);
    has(place, "create_empty_blocks = false\ncreate_empty_blocks_interval = \"0ms\"\n");
    has(place, "skip_timeout_commit = true\n");
    has(place, "recheck = true\n");
    has(place, "log_format = \"json\"\n");
    has(place, "[statesync]\nenable = false\n");
    has(place, "prometheus = false\n");
    has(place, "/validator/priv_validator_state.json\"\n");
}

static void toml_of_state_sync_and_metrics(void **state)
{
    struct place *place = *state;
    const char *const servers[] = {"unix:///run/a", "unix:///run/b"};
    struct engine_config_sync sync = {.rpc_servers = servers,
                                      .rpc_server_count = 2,
                                      .trust_height = 7,
                                      .trust_period_ms = 3600000,
                                      .discovery_ms = 5000};

    memset(sync.trust_hash, 0xAB, sizeof(sync.trust_hash));
    place->config.sync = &sync;
    place->config.metrics_listen = "127.0.0.1:9";
    assert_int_equal(engine_config_toml(&place->config, &place->text, &place->error), 0);
    has(place,
        "rpc_servers = \"unix:///run/a,unix:///run/b\"\ntrust_height = 7\ntrust_hash = \"abab");
    has(place, "trust_period = \"3600000ms\"\ndiscovery_time = \"5000ms\"\n");
    has(place, "prometheus = true\nprometheus_listen_addr = \"127.0.0.1:9\"\nnamespace = "
               "\"hypermesh_engine\"\n");
    sync.discovery_ms = 4999;
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "5 s");
    sync.discovery_ms = 5000;
    sync.rpc_server_count = 1;
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "2 to 16");
    place->config.sync = NULL;
    place->config.metrics_listen = "0.0.0.0:9";
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "loopback");
}

static void toml_takes_no_text_that_says_more(void **state)
{
    struct place *place = *state;
    char too_long[ENGINE_TEXT_MAX_BYTES + 2];
    size_t before;

    place->config.name = "a\"b\\c";
    assert_int_equal(engine_config_toml(&place->config, &place->text, &place->error), 0);
    has(place, "moniker = \"a\\\"b\\\\c\"\n");
    before = place->text.len;
    place->config.name = "a\nproxy_app = 1";
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "moniker");
    assert_int_equal(place->text.len, before);
    place->config.name = "\xff";
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "UTF-8");
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    place->config.name = too_long;
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_ELIMIT,
            "moniker");
    place->config.name = "n";
    place->config.abci_socket = "abci.sock";
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "absolute");
    place->config.abci_socket = "/a";
    place->peers[1].address = "127.0.0.1:1,2@b";
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "comma");
    place->peers[1].address = "127.0.0.1:1";
    place->peers[1].node_id[3] = 'g';
    refused(place, engine_config_toml(&place->config, &place->text, &place->error), HM_EINVAL,
            "node id");
}

/* --- genesis.json ---------------------------------------------------------------------------------------- */

static void genesis_comes_back(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct place *place = *state;
    struct engine_genesis back;

    hm_arena_init(&arena, 0);
    place->genesis.initial_height = 9;
    place->genesis.has_app_hash = true;
    memset(place->genesis.app_hash, 0x5C, 32);
    assert_int_equal(engine_genesis_pack(&place->genesis, &place->text, &place->error), 0);
    has(place, "\"genesis_time\":\"2026-01-02T03:04:05.678Z\",\"chain_id\":\"local-12345678\","
               "\"initial_height\":\"9\"");
    has(place, "\"vote_extensions_enable_height\":\"10\"");
    has(place, "\"max_age_num_blocks\":\"10000\"");
    has(place, "\"app_state\":\"Z2VuZXNpcyBvZiBvdXJz\"");
    assert_int_equal(engine_genesis_read(hm_buf_slice(&place->text), &arena, &back, &place->error),
                     0);
    assert_string_equal(back.chain_id, "local-12345678");
    assert_int_equal(back.time_ms, place->genesis.time_ms);
    assert_int_equal(back.initial_height, 9);
    assert_int_equal(back.validator_count, 2);
    assert_memory_equal(back.validators[1].key, place->other.public_key, 32);
    assert_int_equal(back.validators[1].power, 10);
    assert_string_equal(back.validators[0].name, "node0");
    assert_true(back.has_app_hash);
    assert_memory_equal(back.app_hash, place->genesis.app_hash, 32);
    assert_true(hm_slice_equal(back.app_state, place->genesis.app_state));
    assert_int_equal(back.extensions_height, 10);
    assert_int_equal(back.block_max_bytes, ENGINE_BLOCK_MAX_BYTES);
    /* What the engine tells of a fault can still be taken from who was at fault. */
    Hypermesh__Params params;
    ledger_default_params(&params);
    assert_int_equal(back.evidence_max_age_ms, UINT64_C(72000000));
    assert_int_equal(back.evidence_max_age_ms, ledger_evidence_age_ms(&params));
    assert_true(back.evidence_max_age_ms < params.unbond_delay_ms);
}

static void genesis_that_the_engine_wrote(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    static const char text[] =
        "{\"genesis_time\":\"2026-11-21T14:40:24.302445144Z\",\"chain_id\":\"test-chain-zyzhb0\","
        "\"initial_height\":\"0\","
        "\"consensus_params\":{\"block\":{\"max_bytes\":\"22020096\",\"max_gas\":\"-1\"},"
        "\"evidence\":{"
        "\"max_age_num_blocks\":\"100000\",\"max_age_duration\":\"172800000000000\",\"max_bytes\":"
        "\"1048576\"},"
        "\"validator\":{\"pub_key_types\":[\"ed25519\"]},\"version\":{\"app\":\"0\"},\"abci\":{"
        "\"vote_extensions_enable_height\":\"0\"}},\"validators\":[{\"address\":"
        "\"3E66F12F116684477085E9F2C8557C0E98D65F17\",\"pub_key\":{\"type\":\"tendermint/"
        "PubKeyEd25519\",\"value\":"
        "\"UW1ktpMDsge0fuyOhjXsdx0mLbhP5m3MBC0J6D6AAC8=\"},\"power\":\"10\",\"name\":\"\"}],\"app_"
        "hash\":\"\"}";
    struct place *place = *state;
    struct engine_genesis back;

    hm_arena_init(&arena, 0);
    assert_int_equal(engine_genesis_read(hm_slice_str(text), &arena, &back, &place->error), 0);
    assert_int_equal(back.initial_height, 1);
    assert_int_equal(back.validator_count, 1);
    assert_int_equal(back.time_ms, UINT64_C(1795272024302));
    assert_false(back.has_app_hash);
}

/* The text of a good genesis with one thing in it changed. */
static int read_changed(struct place *place, const char *from, const char *to)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
    struct engine_genesis back;
    char *at;

    hm_arena_init(&arena, 0);
    hm_buf_clear(&place->text);
    assert_int_equal(engine_genesis_pack(&place->genesis, &place->text, NULL), 0);
    at = strstr(hm_buf_cstr(&place->text), from);
    assert_non_null(at);
    hm_buf_printf(&changed, "%.*s%s%s", (int)(at - (char *)place->text.data),
                  (char *)place->text.data, to, at + strlen(from));
    return engine_genesis_read(hm_buf_slice(&changed), &arena, &back, &place->error);
}

static void genesis_of_others_is_checked(void **state)
{
    static const struct {
        const char *from, *to;
        int code;
        const char *words;
    } cases[] = {
        {"\"chain_id\":\"local-12345678\"", "\"chain_id\":\"\"", HM_EINVAL, "chain id"},
        {"\"chain_id\":\"local-12345678\"", "\"chain_id\":7", HM_EINVAL, "chain id"},
        {"local-12345678", "012345678901234567890123456789012345678901234567890", HM_EINVAL,
         "chain id"},
        {"\"initial_height\":\"1\"", "\"initial_height\":\"-1\"", HM_EPARSE, "initial_height"},
        {"\"initial_height\":\"1\"", "\"initial_height\":\"2\"", HM_EINVAL, "names no state"},
        {"\"initial_height\":\"1\"", "\"initial_height\":\"18446744073709551615\"", HM_EINVAL,
         "height"},
        {"2026-01-02T", "2026-13-02T", HM_EPARSE, "time"},
        {"678Z", "678+01:00", HM_EPARSE, "time"},
        {"\"power\":\"10\"", "\"power\":\"0\"", HM_EINVAL, "over 0"},
        {"\"power\":\"10\"", "\"power\":\"-5\"", HM_EPARSE, "power"},
        {"\"power\":\"10\"", "\"power\":\"1152921504606846975\"", HM_EINVAL, "add up"},
        {"\"power\":\"10\"", "\"power\":\"9223372036854775808\"", HM_EINVAL, "power"},
        {"tendermint/PubKeyEd25519", "tendermint/PubKeySecp256k1", HM_EPARSE, "Ed25519"},
        {"\"address\":\"", "\"address\":\"00", HM_EINVAL, "address"},
        {"\"app_hash\":\"\"", "\"app_hash\":\"00\"", HM_EPARSE, "app_hash"},
        {"\"Z2Vu", "\"=2Vu", HM_EPARSE, "app_state"},
        {"\"app_state\":\"Z2VuZXNpcyBvZiBvdXJz\"", "\"app_state\":{}", HM_EPARSE, "app_state"},
        {"\"vote_extensions_enable_height\":\"2\"", "\"vote_extensions_enable_height\":\"1\"",
         HM_EINVAL, "extensions"},
        {"\"max_bytes\":\"33554432\"", "\"max_bytes\":\"104857601\"", HM_EINVAL, "100 MiB"},
        {"{\"genesis_time\"", "{{\"genesis_time\"", HM_EPARSE, "not JSON"},
        {"\"validators\":[", "\"validators\":[],\"others\":[", HM_EINVAL, "no validators"},
        {"\"name\":\"node0\"", "\"name\":\"a\\u0007\"", HM_EINVAL, "name"},
    };
    struct place *place = *state;

    for (size_t i = 0; i < HM_COUNT_OF(cases); i++)
        refused(place, read_changed(place, cases[i].from, cases[i].to), cases[i].code,
                cases[i].words);
    place->validators[1] = place->validators[0];
    refused(place, engine_genesis_pack(&place->genesis, &place->text, &place->error), HM_EINVAL,
            "twice");
    place->genesis.validator_count = 0;
    refused(place, engine_genesis_pack(&place->genesis, &place->text, &place->error), HM_EINVAL,
            "no validators");
}

static void genesis_survives_any_cut(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct place *place = *state;
    struct engine_genesis back;

    hm_arena_init(&arena, 0);
    assert_int_equal(engine_genesis_pack(&place->genesis, &place->text, NULL), 0);
    for (size_t len = 0; len + 2 < place->text.len; len += 7)
        assert_true(engine_genesis_read(hm_slice_of(place->text.data, len), &arena, &back, NULL) <
                    0);
}

static void genesis_must_be_this_ledgers(void **state)
{
    struct place *place = *state;
    struct engine_genesis_wanted wanted = {.chain_id = "local-12345678",
                                           .initial_height = 1,
                                           .now_ms = place->genesis.time_ms,
                                           .validator = place->other.public_key};

    assert_int_equal(engine_genesis_check(&place->genesis, &wanted, &place->error), 0);
    wanted.now_ms--;
    refused(place, engine_genesis_check(&place->genesis, &wanted, &place->error), HM_EINVAL,
            "clock");
    wanted.now_ms++;
    wanted.chain_id = "local-0";
    refused(place, engine_genesis_check(&place->genesis, &wanted, &place->error), HM_ECONFLICT,
            "another cluster");
    wanted.chain_id = "local-12345678";
    wanted.initial_height = 5;
    refused(place, engine_genesis_check(&place->genesis, &wanted, &place->error), HM_ECONFLICT,
            "goes on at 5");
    wanted.initial_height = 1;
    wanted.validator = place->node.public_key;
    refused(place, engine_genesis_check(&place->genesis, &wanted, &place->error), HM_ECONFLICT,
            "not among the genesis's validators");
}

/* --- keys ------------------------------------------------------------------------------------------------ */

static void keys_come_back(void **state)
{
    struct place *place = *state;
    struct crypto_ed25519_key back;

    assert_int_equal(engine_validator_key_pack(&place->validator, &place->text, NULL), 0);
    assert_int_equal(engine_key_read(hm_buf_slice(&place->text), &back, &place->error), 0);
    assert_memory_equal(&back, &place->validator, sizeof(back));
    hm_buf_clear(&place->text);
    assert_int_equal(engine_node_key_pack(&place->node, &place->text, NULL), 0);
    assert_int_equal(engine_key_read(hm_buf_slice(&place->text), &back, &place->error), 0);
    assert_memory_equal(&back, &place->node, sizeof(back));
    for (size_t len = 0; len + 2 < place->text.len; len++)
        assert_int_equal(engine_key_read(hm_slice_of(place->text.data, len), &back, NULL),
                         HM_EPARSE);
    char *last = strstr(hm_buf_cstr(&place->text), "==\"");
    last[-2] = last[-2] == 'A' ? 'B' : 'A';
    refused(place, engine_key_read(hm_buf_slice(&place->text), &back, &place->error), HM_ECORRUPT,
            "damaged");
}

/* --- the folders ----------------------------------------------------------------------------------------- */

static unsigned mode_of(const char *folder, const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, name);
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777u;
}

static int write_it(struct place *place, const struct engine_config_keys *keys)
{
    hm_buf_clear(&place->text);
    assert_int_equal(engine_genesis_pack(&place->genesis, &place->text, NULL), 0);
    return engine_config_write(place->home, &place->config, hm_buf_slice(&place->text), keys,
                               &place->error);
}

static void folders_are_written_and_kept(void **state)
{
    struct place *place = *state;
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    HM_AUTOFREE char *record = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, place->keys_dir);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    static const char signed_before[] = "{\"height\":\"7\",\"round\":0,\"step\":3}";

    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(mode_of(place->home, "."), 0700);
    assert_int_equal(mode_of(place->home, "config/config.toml"), 0600);
    assert_int_equal(mode_of(place->home, "config/genesis.json"), 0600);
    assert_int_equal(mode_of(place->keys_dir, "."), 0700);
    assert_int_equal(mode_of(place->keys_dir, ENGINE_NODE_KEY_NAME), 0600);
    assert_int_equal(mode_of(place->keys_dir, ENGINE_VALIDATOR_KEY_NAME), 0600);
    assert_int_equal(mode_of(place->keys_dir, ENGINE_VALIDATOR_STATE_NAME), 0600);
    /* The engine has signed since. */
    assert_int_equal(hm_file_replace(record, signed_before, strlen(signed_before), 0600, NULL), 0);
    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(hm_file_read(record, 4096, &text, NULL), 0);
    assert_true(hm_slice_equal(hm_buf_slice(&text), hm_slice_str(signed_before)));
    /* Later starts bring neither keys nor genesis. */
    assert_int_equal(
        engine_config_write(place->home, &place->config, (struct hm_slice){0}, NULL, &place->error),
        0);
}

static void a_record_that_is_damaged_is_refused(void **state)
{
    static const char *const wholes[] = {
        "{\"height\":\"9223372036854775807\",\"round\":0,\"step\":0}\n",
        "{\"height\": \"50\", \"round\": 1, \"step\": 3, \"signature\": \"AA==\", \"signbytes\": "
        "\"00\"}"};
    static const char *const texts[] = {
        "",
        "garbage",
        "[]",
        "{}",
        "{\"height\":\"7\",\"round\":0,\"st",
        "{\"height\":7,\"round\":0,\"step\":3}",
        "{\"height\":\"7\",\"round\":0}",
        "{\"height\":\"-7\",\"round\":0,\"step\":3}",
        "{\"height\":\"9223372036854775808\",\"round\":0,\"step\":3}",
        "{\"height\":\"7\",\"round\":-1,\"step\":3}",
        "{\"height\":\"7\",\"round\":0,\"step\":4}"};
    struct place *place = *state;
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    HM_AUTOFREE char *record = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, place->keys_dir);
    HM_AUTOFREE char *toml = hm_asprintf("%s/config/config.toml", place->home);
    HM_AUTOFREE char *large = hm_malloc(70000);

    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(unlink(toml), 0);
    for (size_t i = 0; i < HM_COUNT_OF(texts); i++) {
        assert_int_equal(hm_file_replace(record, texts[i], strlen(texts[i]), 0600, NULL), 0);
        refused(place, write_it(place, &keys), HM_ECORRUPT, "bring the file back");
        assert_int_not_equal(access(toml, F_OK), 0);
    }
    memset(large, ' ', 70000);
    assert_int_equal(hm_file_replace(record, large, 70000, 0600, NULL), 0);
    refused(place, write_it(place, &keys), HM_ECORRUPT, "is damaged, the record");
    for (size_t i = 0; i < HM_COUNT_OF(wholes); i++) {
        assert_int_equal(hm_file_replace(record, wholes[i], strlen(wholes[i]), 0600, NULL), 0);
        assert_int_equal(write_it(place, &keys), 0);
    }
}

/* Another time, other limits: no name says it, and the engine reads its own copy. */
static void another_genesis_later_is_refused(void **state)
{
    struct place *place = *state;
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    HM_AUTOFREE char *genesis = hm_asprintf("%s/config/genesis.json", place->home);
    HM_AUTOFREE char *pin = hm_asprintf("%s/config/" ENGINE_GENESIS_PIN_NAME, place->home);
    HM_CLEANUP(hm_buf) struct hm_buf first = {0};

    refused(place, engine_genesis_pin(place->home, true, &place->error), HM_ENOTFOUND, genesis);
    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(hm_file_read(genesis, ENGINE_GENESIS_MAX_BYTES, &first, NULL), 0);
    assert_int_equal(engine_genesis_pin(place->home, false, &place->error), 0); /* of before */
    assert_int_equal(mode_of(place->home, "config/" ENGINE_GENESIS_PIN_NAME), 0600);
    assert_int_equal(engine_genesis_pin(place->home, false, &place->error), 0);
    place->genesis.time_ms += 1000;
    hm_buf_clear(&place->text);
    assert_int_equal(engine_genesis_pack(&place->genesis, &place->text, NULL), 0);
    assert_int_equal(hm_file_replace(genesis, place->text.data, place->text.len, 0600, NULL), 0);
    refused(place, engine_genesis_pin(place->home, false, &place->error), HM_ECONFLICT,
            "is not the one that this node began with");
    assert_int_equal(hm_file_replace(genesis, first.data, first.len, 0600, NULL), 0);
    assert_int_equal(engine_genesis_pin(place->home, false, &place->error), 0);
    /* Where there is no ledger the file is what it begins with. */
    assert_int_equal(hm_file_replace(genesis, place->text.data, place->text.len, 0600, NULL), 0);
    assert_int_equal(engine_genesis_pin(place->home, true, &place->error), 0);
    assert_int_equal(engine_genesis_pin(place->home, false, &place->error), 0);
    assert_int_equal(hm_file_replace(pin, "a", 1, 0600, NULL), 0);
    refused(place, engine_genesis_pin(place->home, false, &place->error), HM_ECORRUPT, "damaged");
    assert_int_equal(hm_file_replace(pin, place->text.data, place->text.len, 0600, NULL), 0);
    refused(place, engine_genesis_pin(place->home, false, &place->error), HM_ECORRUPT, "damaged");
}

static void folders_of_others_are_left_alone(void **state)
{
    struct place *place = *state;
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    struct engine_config_keys others = {.node = &place->node, .validator = &place->other};
    HM_AUTOFREE char *record = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, place->keys_dir);
    HM_AUTOFREE char *key = hm_asprintf("%s/" ENGINE_VALIDATOR_KEY_NAME, place->keys_dir);
    struct crypto_ed25519_key back;

    refused(place,
            engine_config_write(place->home, &place->config, (struct hm_slice){0}, &keys,
                                &place->error),
            HM_ENOTFOUND, "no chain");
    assert_int_equal(write_it(place, &keys), 0);
    refused(place, write_it(place, &others), HM_ECONFLICT, "another key");
    place->genesis.chain_id = "another";
    refused(place, write_it(place, &keys), HM_ECONFLICT, "another chain");
    place->genesis.chain_id = "local-12345678";
    assert_int_equal(unlink(record), 0);
    refused(place, write_it(place, &keys), HM_ECONFLICT, "two blocks of one height");
    keys.may_lose_record = true;
    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(engine_key_load(place->keys_dir, ENGINE_VALIDATOR_KEY_NAME, &back, NULL), 0);
    assert_memory_equal(&back, &place->validator, sizeof(back));
    assert_int_equal(chmod(key, 0640), 0);
    refused(place,
            engine_key_load(place->keys_dir, ENGINE_VALIDATOR_KEY_NAME, &back, &place->error),
            HM_EPERM, "open to others");
}

/* Every allocation fails once: told as such, nothing kept of it, and the next try is good. */
static int all_of_it(struct place *place, const char *home)
{
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct engine_genesis back;
    struct crypto_ed25519_key key;

    hm_arena_init(&arena, 0);
    int rc = engine_genesis_pack(&place->genesis, &text, &place->error);
    if (rc == 0)
        rc = engine_genesis_read(hm_buf_slice(&text), &arena, &back, &place->error);
    if (rc == 0)
        rc = engine_config_write(home, &place->config, hm_buf_slice(&text), &keys, &place->error);
    if (rc == 0)
        rc = engine_key_load(place->keys_dir, ENGINE_VALIDATOR_KEY_NAME, &key, &place->error);
    return rc;
}

static void memory_that_runs_out_is_told(void **state)
{
    struct place *place = *state;
    unsigned long nth = 0, failed;
    int rc;

    do {
        unsigned long before = hm_alloc_failures();

        hm_alloc_fail_at(++nth);
        rc = all_of_it(place, place->home);
        hm_alloc_fail_at(0);
        failed = hm_alloc_failures() - before;
        if (failed > 0 && rc != 0)
            assert_int_equal(rc, HM_ENOMEM);
        assert_true(nth < 10000);
    } while (failed > 0);
    assert_int_equal(rc, 0);
    assert_true(nth > 20);
    assert_int_equal(all_of_it(place, place->home), 0);
}

/* Where the engine is installed: does its own code read what we wrote? */
static void the_engine_reads_it(void **state)
{
    struct place *place = *state;
    struct engine_config_keys keys = {.node = &place->node, .validator = &place->validator};
    const char *source = getenv("HM_SOURCE");
    char program[PATH_MAX], said[PATH_MAX];
    char command[] = "\"$0\" show-node-id --home \"$1\" >\"$2\" 2>&1 && \"$0\" show-validator "
                     "--home \"$1\" >>\"$2\" 2>&1";
    char shell[] = "sh", option[] = "-c";
    char *argv[] = {shell, option, command, program, place->home, said, NULL};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0}, key = {0};
    char id[ENGINE_NODE_ID_DIGITS + 1];
    int status = 0;
    pid_t pid;

    snprintf(program, sizeof(program), "%s/.deps/cluster/bin/cometbft", source ? source : ".");
    snprintf(said, sizeof(said), "%s/said", place->folder);
    if (access(program, X_OK) != 0) {
        print_message("left out: scripts/setup --cluster has not run here\n");
        skip();
    }
    assert_int_equal(write_it(place, &keys), 0);
    assert_int_equal(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(hm_file_read(said, 65536, &text, NULL), 0);
    if (status != 0)
        fail_msg("%s", hm_buf_cstr(&text));
    engine_config_node_id(place->node.public_key, id, NULL);
    assert_memory_equal(hm_buf_cstr(&text), id, ENGINE_NODE_ID_DIGITS);
    assert_int_equal(hm_base64_encode(place->validator.public_key, 32, &key), 0);
    assert_non_null(strstr(hm_buf_cstr(&text), hm_buf_cstr(&key)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(addresses_are_the_engines, setup, teardown),
        cmocka_unit_test_setup_teardown(toml_says_what_was_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(toml_of_state_sync_and_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(toml_takes_no_text_that_says_more, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_that_the_engine_wrote, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_of_others_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_survives_any_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_must_be_this_ledgers, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_are_written_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_that_is_damaged_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(another_genesis_later_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_of_others_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_engine_reads_it, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
