/* A node's folder gets another engine: put in place whole, whatever it is cut off at, and no validator forgets what it has signed
 * of a chain that it can still sign for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node_anew.h"
#include "node_idle.h"

#define RECORD_7 "{\"height\":\"7\",\"round\":0,\"step\":3}\n"
#define RECORD_0 "{\"height\":\"0\",\"round\":0,\"step\":0}\n"

#define RECORD_ALL "{\"height\":\"9223372036854775807\",\"round\":0,\"step\":0}\n"
#define RECORD_42  "{\"height\":\"42\",\"round\":0,\"step\":0}\n"
#define RECORD_50  "{\"height\": \"50\", \"round\": 1, \"step\": 3, \"signature\": \"AA==\"}\n"

struct place {
    char folder[64];
    struct hm_error error;
};

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));

    memcpy(place->folder, "/tmp/hm-promote-XXXXXX", sizeof("/tmp/hm-promote-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    assert_int_equal(crypto_setup(NULL), 0);
    hm_log_setup(-1, HM_LOG_ERROR, false);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    hm_free(place);
    return 0;
}

/* --- files ------------------------------------------------------------------------------------------------- */

static char *in(struct place *place, const char *name)
{
    char *path = hm_asprintf("%s/%s", place->folder, name);

    assert_non_null(path);
    return path;
}

static bool has(struct place *place, const char *name)
{
    HM_AUTOFREE char *path = in(place, name);

    return access(path, F_OK) == 0;
}

static void put(struct place *place, const char *name, const char *text)
{
    HM_AUTOFREE char *path = in(place, name);
    HM_AUTOFREE char *folder = hm_strdup(path);

    *strrchr(folder, '/') = '\0';
    assert_int_equal(hm_mkdir_all(folder, 0700, NULL), 0);
    assert_int_equal(hm_file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void is(struct place *place, const char *name, const char *text)
{
    HM_AUTOFREE char *path = in(place, name);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(hm_file_read(path, 1 << 20, &bytes, NULL), 0);
    assert_string_equal(hm_buf_cstr(&bytes), text);
}

static void drop(struct place *place, const char *name)
{
    HM_AUTOFREE char *path = in(place, name);

    assert_int_equal(hm_remove_tree(path, NULL), 0);
}

static void move(struct place *place, const char *from, const char *to)
{
    HM_AUTOFREE char *source = in(place, from);
    HM_AUTOFREE char *target = in(place, to);

    assert_int_equal(rename(source, target), 0);
}

#define ASIDE_ONE "validator/priv_validator_state.one.json"
#define RECORD    "validator/" ENGINE_VALIDATOR_STATE_NAME

/* A genesis of the chain of this name. */
static void genesis_at(const char *chain, uint64_t height, struct hm_buf *out)
{
    const struct engine_genesis_validator validators[] = {{.key = {1}, .power = 10}};
    const struct engine_genesis genesis = {.chain_id = chain,
                                           .time_ms = 1000,
                                           .initial_height = height,
                                           .validators = validators,
                                           .validator_count = 1,
                                           .has_app_hash = true,
                                           .app_state = hm_slice_str("state")};

    struct hm_error error = {0};

    if (engine_genesis_pack(&genesis, out, &error))
        fail_msg("%s", error.text);
}

static void genesis_of(const char *chain, struct hm_buf *out)
{
    genesis_at(chain, 8, out);
}

static int put_era(struct place *place, const char *chain, uint64_t signed_height)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};

    genesis_of(chain, &genesis);
    return node_era_put(place->folder, hm_buf_slice(&genesis), NULL, signed_height, false,
                        &place->error);
}

static int put_fresh(struct place *place, const char *chain)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};

    genesis_of(chain, &genesis);
    return node_era_put(place->folder, hm_buf_slice(&genesis), NULL, 0, true, &place->error);
}

static void chain_is(struct place *place, const char *chain)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};

    genesis_of(chain, &genesis);
    is(place, "engine/config/genesis.json", hm_buf_cstr(&genesis));
}

static void begin(struct place *place)
{
    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), &place->error), 0);
    put(place, RECORD, RECORD_7);
    if (put_era(place, "one", 0))
        fail_msg("%s", place->error.text);
    chain_is(place, "one");
}

/* --- eras --------------------------------------------------------------------------------------------------- */

static void test_the_first_one(void **state)
{
    struct place *place = *state;

    begin(place);
    assert_true(has(place, "engine/data") && has(place, "engine/config/config.toml"));
    assert_false(has(place, "engine.last.1") || has(place, "engine.next"));
    is(place, RECORD, RECORD_7);
    assert_int_equal(node_era_settle(place->folder, NULL), 0);
    is(place, RECORD, RECORD_7);
}

static void test_another_chain_begins_anew(void **state)
{
    static const char *const servers[] = {"unix:///a", "unix:///b"};
    const struct engine_config_sync sync = {
        .rpc_servers = servers, .rpc_server_count = 2, .trust_height = 9};
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    struct place *place = *state;

    begin(place);
    put(place, "engine/data/blocks", "old");
    put(place, "snapshots/5/metadata", "old");
    genesis_of("one-2-ab", &genesis);
    assert_int_equal(
        node_era_put(place->folder, hm_buf_slice(&genesis), &sync, 0, false, &place->error), 0);
    chain_is(place, "one-2-ab");
    assert_true(has(place, "engine/sync.json"));
    assert_false(has(place, "engine/data/blocks") || has(place, "snapshots") ||
                 has(place, "engine/" NODE_ERA_BEGIN));
    is(place, "engine.last.1/data/blocks", "old");
    is(place, RECORD, RECORD_0);
}

static void test_the_same_chain_keeps_its_record(void **state)
{
    struct place *place = *state;

    begin(place);
    assert_int_equal(put_era(place, "one", 0), 0);
    is(place, RECORD, RECORD_7);
    assert_int_equal(put_era(place, "one", 99), 0);
    is(place, RECORD, RECORD_7);
}

static void test_a_lost_record_ends_somewhere(void **state)
{
    struct place *place = *state;

    begin(place);
    drop(place, RECORD);
    put(place, "engine/data/blocks", "old");
    assert_int_equal(put_era(place, "one", 0), HM_ECONFLICT);
    assert_non_null(strstr(place->error.text, "is missing, the record of what"));
    assert_true(has(place, "engine/data/blocks"));
    assert_false(has(place, RECORD));
    assert_int_equal(put_era(place, "one", 42), 0);
    is(place, RECORD, "{\"height\":\"42\",\"round\":0,\"step\":0}\n");
    /* It may have been on the other chain too, unless that is being made just now. */
    drop(place, RECORD);
    assert_int_equal(put_era(place, "one-2-ab", 0), HM_ECONFLICT);
    assert_false(has(place, RECORD));
    assert_int_equal(put_fresh(place, "one-2-ab"), 0);
    is(place, RECORD, RECORD_0);
    /* Nothing is known of the first chain now. */
    assert_int_equal(put_era(place, "one", 0), HM_ECONFLICT);
    chain_is(place, "one-2-ab");
    is(place, RECORD, RECORD_0);
    assert_int_equal(put_era(place, "one", 42), 0);
    is(place, RECORD, RECORD_42);
}

static void test_a_chain_that_is_come_back_to_has_its_record(void **state)
{
    struct place *place = *state;

    begin(place);
    put(place, RECORD, RECORD_50);
    assert_int_equal(put_era(place, "two", 0), 0);
    is(place, RECORD, RECORD_0);
    is(place, ASIDE_ONE, RECORD_50);
    put(place, RECORD, RECORD_7);
    assert_int_equal(put_era(place, "one", 0), 0);
    is(place, RECORD, RECORD_50);
    is(place, "validator/priv_validator_state.two.json", RECORD_7);
    assert_int_equal(put_era(place, "two", 42), 0);
    is(place, RECORD, RECORD_7);
    assert_int_equal(put_era(place, "one", 60), 0);
    is(place, RECORD, RECORD_50);
    assert_int_equal(put_era(place, "three", 42), 0);
    is(place, RECORD, RECORD_42);
    assert_int_equal(put_era(place, "one", 0), 0);
    assert_int_equal(put_era(place, "a/../b", 0), HM_EINVAL);
    chain_is(place, "one");
    /* Nothing of before is gone. */
    for (int i = 1; i <= 6; i++) {
        HM_AUTOFREE char *name = hm_asprintf("engine.last.%d/config/genesis.json", i);

        assert_true(has(place, name));
    }
}

/* --- cut off --------------------------------------------------------------------------------------------------- */

static void test_before_anything_is_in_place(void **state)
{
    struct place *place = *state;

    begin(place);
    put(place, NODE_ERA_NEXT "/config/genesis.json", "{");
    assert_int_equal(node_era_settle(place->folder, NULL), 0);
    chain_is(place, "one");
    is(place, RECORD, RECORD_7);
    assert_int_equal(put_era(place, "one-2-ab", 0), 0);
    chain_is(place, "one-2-ab");
    assert_false(has(place, NODE_ERA_NEXT));
}

static void test_between_the_two(void **state)
{
    struct place *place = *state;

    begin(place);
    assert_int_equal(put_era(place, "one-2-ab", 0), 0);
    put(place, "engine/" NODE_ERA_BEGIN, "");
    put(place, RECORD, RECORD_7);
    move(place, "engine", NODE_ERA_NEXT);
    assert_int_equal(node_era_settle(place->folder, &place->error), 0);
    chain_is(place, "one-2-ab");
    is(place, RECORD, RECORD_0);
    assert_false(has(place, NODE_ERA_NEXT));
    assert_true(has(place, "engine.last.1/config/genesis.json"));
}

static void test_before_the_record_begins(void **state)
{
    struct place *place = *state;

    begin(place);
    assert_int_equal(put_era(place, "one-2-ab", 0), 0);
    put(place, "engine/" NODE_ERA_BEGIN, "");
    put(place, RECORD, RECORD_7);
    assert_int_equal(node_era_settle(place->folder, &place->error), 0);
    is(place, RECORD, RECORD_0);
    /* Once: what is signed from now on stays. */
    put(place, RECORD, RECORD_7);
    assert_int_equal(node_era_settle(place->folder, &place->error), 0);
    is(place, RECORD, RECORD_7);
}

/* The folder is in place, and each write of the turn of records was the last. */
static void test_cut_off_in_the_turn_of_records(void **state)
{
    static const struct {
        const char *mark, *record, *aside;
    } cuts[] = {{"one 0\n", RECORD_50, NULL},
                {"one 0\n", RECORD_50, RECORD_50},
                {"- 0\n", RECORD_50, RECORD_50},
                {"- 0\n", RECORD_0, RECORD_50}};
    struct place *place = *state;

    begin(place);
    for (size_t i = 0; i < HM_COUNT_OF(cuts); i++) {
        assert_int_equal(put_era(place, "two", 0), 0);
        drop(place, "validator/priv_validator_state.two.json");
        drop(place, ASIDE_ONE);
        if (cuts[i].aside != NULL)
            put(place, ASIDE_ONE, cuts[i].aside);
        put(place, RECORD, cuts[i].record);
        put(place, "engine/" NODE_ERA_BEGIN, cuts[i].mark);
        /* As the next start, or as said again. */
        assert_int_equal(
            i % 2 == 0 ? node_era_settle(place->folder, NULL) : put_era(place, "two", 0), 0);
        assert_false(has(place, "engine/" NODE_ERA_BEGIN));
        is(place, RECORD, RECORD_0);
        is(place, ASIDE_ONE, RECORD_50);
        assert_int_equal(put_era(place, "one", 0), 0);
        is(place, RECORD, RECORD_50);
    }
    put(place, "engine/" NODE_ERA_BEGIN, "one");
    assert_int_equal(node_era_settle(place->folder, NULL), HM_EPARSE);
    is(place, RECORD, RECORD_50);
}

/* It stops where the new record should begin: what is set aside is not set aside again, when the record may be the new one already. */
static void test_a_record_is_set_aside_once(void **state)
{
    struct place *place = *state;

    begin(place);
    assert_int_equal(put_era(place, "two", 0), 0);
    drop(place, ASIDE_ONE);
    put(place, RECORD, RECORD_7);
    put(place, "validator/priv_validator_state.two.json", "{");
    put(place, "engine/" NODE_ERA_BEGIN, "one 0\n");
    assert_int_not_equal(node_era_settle(place->folder, NULL), 0);
    is(place, ASIDE_ONE, RECORD_7);
    is(place, RECORD, RECORD_7);
    is(place, "engine/" NODE_ERA_BEGIN, "- 0\n");
    put(place, "validator/priv_validator_state.two.json", RECORD_50);
    put(place, RECORD, RECORD_50); /* it had begun, and was cut off before the mark was gone */
    assert_int_equal(node_era_settle(place->folder, NULL), 0);
    is(place, ASIDE_ONE, RECORD_7);
    is(place, RECORD, RECORD_50);
}

/* Cut off between the folder and its record, with a key whose record is not known: said again, it signs after what the others say. */
static void test_said_again_it_does_not_stay_silent(void **state)
{
    struct place *place = *state;

    begin(place);
    drop(place, RECORD);
    assert_int_equal(put_era(place, "two", 42), 0);
    put(place, RECORD, RECORD_ALL);
    put(place, "engine/" NODE_ERA_BEGIN, "one 42\n");
    assert_int_equal(put_era(place, "two", 42), 0);
    is(place, RECORD, RECORD_42);
    assert_false(has(place, "engine/" NODE_ERA_BEGIN));
    /* One that is left from a cut without its mark. */
    put(place, RECORD, RECORD_ALL);
    assert_int_equal(put_era(place, "two", 0), HM_ECONFLICT);
    assert_int_equal(put_era(place, "two", 42), 0);
    is(place, RECORD, RECORD_42);
}

static void test_old_ledgers_are_kept(void **state)
{
    struct place *place = *state;

    assert_int_equal(node_rejoin_away(place->folder, NULL), 0);
    assert_false(has(place, "ledger.last.1"));
    put(place, "ledger/data.mdb", "first");
    put(place, "blocks.0", "first");
    assert_int_equal(node_rejoin_away(place->folder, NULL), 0);
    put(place, "ledger/data.mdb", "second");
    put(place, "blocks.1", "second");
    /* Cut off before the ledger; what opened it made a new log. */
    put(place, "ledger.last.2/blocks.0", "moved");
    put(place, "blocks.0", "new");
    assert_int_equal(node_rejoin_away(place->folder, &place->error), 0);
    is(place, "ledger.last.1/ledger/data.mdb", "first");
    is(place, "ledger.last.1/blocks.0", "first");
    is(place, "ledger.last.2/ledger/data.mdb", "second");
    is(place, "ledger.last.2/blocks.0", "moved");
    is(place, "ledger.last.2/blocks.0.1", "new");
    is(place, "ledger.last.2/blocks.1", "second");
    assert_false(has(place, "ledger") || has(place, "blocks.0") || has(place, "blocks.1"));
}

/* --- begin anew ------------------------------------------------------------------------------------------------ */

static void set_sync(struct place *place, const char *chain, time_t age_s)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    HM_AUTOFREE char *path = in(place, "engine/sync.json");
    const struct timespec times[2] = {{.tv_sec = time(NULL) - age_s},
                                      {.tv_sec = time(NULL) - age_s}};

    genesis_at(chain, 1, &genesis);
    put(place, "engine/config/genesis.json", hm_buf_cstr(&genesis));
    put(place, "engine/sync.json", "{}");
    put(place, "engine/data/blocks", "wrong");
    put(place, NODE_ANEW_NAME, "9\n");
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_a_trusted_block_is_used_while_it_is_new(void **state)
{
    struct place *place = *state;
    bool moved = false;

    set_sync(place, "one", 60);
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_true(moved && has(place, "engine/sync.json") && has(place, "wrong-9/data/blocks"));
    drop(place, "wrong-9");
    set_sync(place, "one", 20 * 24 * 3600);
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_false(has(place, "engine/sync.json"));
    assert_true(has(place, "wrong-9/sync.json"));
}

#define DECIDED "the others have decided a block: +2/3 committed an invalid block: "

static void marks(struct place *place, uint64_t height, const char *why, bool anew,
                  const char *words)
{
    char sentence[HM_ERROR_TEXT_BYTES] = "";

    node_anew_mark(place->folder, height, why, sentence);
    if (strstr(sentence, words) == NULL || has(place, NODE_ANEW_NAME) != anew)
        fail_msg("%s", sentence);
}

/* With that genesis it would come to the same state again. */
static void test_another_genesis_is_no_ledger_to_begin_anew(void **state)
{
    struct place *place = *state;

    set_sync(place, "one", 60);
    drop(place, NODE_ANEW_NAME);
    marks(place, 0, DECIDED "wrong Block.Header.AppHash.  Expected A1, got B2", false,
          "genesis.json is not the cluster's genesis");
    marks(place, 7, DECIDED "wrong Block.Header.ConsensusHash.  Expected A1, got B2", false,
          "genesis.json is not the cluster's genesis");
    /* A text of a peer's. */
    marks(place, 7, DECIDED "wrong Block.Header.AppHash. got wrong Block.Header.ConsensusHash",
          true, "begins anew");
    drop(place, NODE_ANEW_NAME);
    put(place, "wrong-3/ledger/lock", "");
    marks(place, 7, DECIDED "wrong Block.Header.AppHash.  Expected A1, got B2", false,
          "it has begun anew before");
    marks(place, 0, DECIDED "wrong Block.Header.AppHash.  Expected A1, got B2", false,
          "genesis.json is not the cluster's genesis");
}

static void damaged(struct place *place, const char *words)
{
    char sentence[HM_ERROR_TEXT_BYTES] = "";

    node_anew_mark_damaged(place->folder, "a page is bad", sentence);
    if (strstr(sentence, "this node's ledger is damaged") == NULL ||
        strstr(sentence, words) == NULL)
        fail_msg("%s", sentence);
}

/* CometBFT's blocks stay where they are all: the ledger follows from them. Where it began with a snapshot they are not. */
static void test_a_damaged_ledger_is_made_again(void **state)
{
    struct place *place = *state;
    bool moved = false;

    set_sync(place, "one", 60);
    drop(place, NODE_ANEW_NAME);
    drop(place, "engine/sync.json");
    put(place, "ledger/data.mdb", "bad");
    put(place, NODE_LOG_NAME ".0", "log");
    damaged(place, "/wrong-damaged) and the node begins anew");
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_true(moved && has(place, "engine/data/blocks") && !has(place, NODE_ANEW_NAME));
    is(place, "wrong-damaged/ledger/data.mdb", "bad");
    is(place, "wrong-damaged/" NODE_LOG_NAME ".0", "log");
    assert_false(has(place, "ledger") || has(place, NODE_LOG_NAME ".0"));
    damaged(place, "stays as it is: it has begun anew before");
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_false(moved);
    drop(place, "wrong-damaged");
    put(place, "engine/sync.json", "{}");
    damaged(place, "begins anew");
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_true(moved && has(place, "wrong-damaged/data/blocks") && has(place, "engine/sync.json"));
    assert_false(has(place, "engine/data"));
}

/* What was to be set aside is not there any more: the next start takes nothing away. */
static void test_a_new_era_ends_what_was_to_begin_anew(void **state)
{
    struct place *place = *state;
    bool moved = true;

    begin(place);
    put(place, NODE_ANEW_NAME, "9\n");
    assert_int_equal(put_era(place, "two", 0), 0);
    put(place, "engine/data/blocks", "new");
    assert_int_equal(node_anew_do(place->folder, &moved, &place->error), 0);
    assert_false(moved);
    is(place, "engine/data/blocks", "new");
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void test_keys_are_made_once(void **state)
{
    struct place *place = *state;
    HM_CLEANUP(hm_buf) struct hm_buf first = {0};
    HM_AUTOFREE char *path = in(place, "validator/" ENGINE_VALIDATOR_KEY_NAME);

    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), &place->error), 0);
    is(place, RECORD, RECORD_0);
    assert_int_equal(hm_file_read(path, 4096, &first, NULL), 0);
    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), &place->error), 0);
    is(place, "validator/" ENGINE_VALIDATOR_KEY_NAME, hm_buf_cstr(&first));
    drop(place, RECORD);
    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), &place->error),
                     HM_ECONFLICT);
    assert_false(has(place, RECORD));
}

/* --- a ledger ------------------------------------------------------------------------------------------------------- */

static int promote(struct place *place)
{
    struct node_promote_facts facts;

    return node_promote(place->folder, hm_clock_system(), &facts, &place->error);
}

/* A chain whose one validator has the key. */
static void make_ledger(struct place *place, const uint8_t *key)
{
    const struct store_options options = {.tables = ledger_table_names,
                                          .table_count = LEDGER_TABLE_COUNT};
    static const uint8_t users[1][WIRE_ID_BYTES] = {{1}}, operators[1][WIRE_ID_BYTES] = {{2}};
    const struct node_genesis_plan plan = {
        .chain_id = "promoted-1",
        .time_ms = 1000,
        .plot_labels = 4096,
        .users = users,
        .operators = operators,
        .validators = (const uint8_t(*)[CRYPTO_ED25519_PUBLIC_BYTES])key,
        .nodes = 1};
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    HM_AUTOFREE char *path = in(place, "ledger");
    struct ledger *ledger;
    struct store *store;

    assert_int_equal(node_genesis_pack(&plan, &genesis, NULL), 0);
    assert_int_equal(store_open_lmdb(path, &options, &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_init_chain(ledger, hm_buf_slice(&genesis), &place->error), 0);
    ledger_close(ledger);
    store_close(store);
}

static void test_what_is_no_single_node_is_refused(void **state)
{
    const struct store_options options = {.tables = ledger_table_names,
                                          .table_count = LEDGER_TABLE_COUNT};
    struct place *place = *state;
    HM_AUTOFREE char *path = in(place, "ledger");
    struct node_promote_facts facts;
    struct store *store;

    assert_int_equal(node_promote("here", hm_clock_system(), &facts, &place->error), HM_EINVAL);
    assert_int_equal(promote(place), HM_ENOTFOUND);
    assert_non_null(strstr(place->error.text, "no node's ledger is in"));
    assert_false(has(place, "ledger"));
    assert_int_equal(store_open_lmdb(path, &options, &store, NULL), 0);
    assert_int_equal(promote(place), HM_EBUSY);
    assert_non_null(strstr(place->error.text, "stop it first"));
    store_close(store);
    assert_int_equal(promote(place), HM_ENOTFOUND);
    assert_non_null(strstr(place->error.text, "no chain yet"));
}

static void test_one_without_a_validator_is_refused(void **state)
{
    struct place *place = *state;

    make_ledger(place, NULL);
    assert_int_equal(promote(place), HM_ENOTFOUND); /* no key */
    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), NULL), 0);
    assert_int_equal(promote(place), HM_ECONFLICT);
    assert_non_null(strstr(place->error.text, "is not declared"));
    assert_false(has(place, "engine") || has(place, NODE_ERA_NEXT));
}

static void test_one_with_a_validator_is_promoted(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct place *place = *state;
    HM_AUTOFREE char *keys = in(place, "validator");
    HM_AUTOFREE char *path = in(place, "engine/config/genesis.json");
    struct engine_genesis genesis;
    struct crypto_ed25519_key key;

    hm_arena_init(&arena, 0);
    assert_int_equal(node_promote_make_keys(place->folder, hm_random_system(), NULL), 0);
    assert_int_equal(engine_key_load(keys, ENGINE_VALIDATOR_KEY_NAME, &key, NULL), 0);
    make_ledger(place, key.public_key);
    if (promote(place))
        fail_msg("%s", place->error.text);
    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    assert_int_equal(engine_genesis_read(hm_buf_slice(&text), &arena, &genesis, NULL), 0);
    assert_string_equal(genesis.chain_id, "promoted-1");
    assert_int_equal(genesis.initial_height, 1);
    assert_int_equal(genesis.validator_count, 1);
    assert_memory_equal(genesis.validators[0].key, key.public_key, 32);
    assert_true(genesis.time_ms + ENGINE_GENESIS_AGE_MS <= hm_wall_ms(hm_clock_system()));
    assert_int_equal(promote(place), HM_EEXIST);
    assert_non_null(strstr(place->error.text, "already"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_first_one),
        TEST(test_another_chain_begins_anew),
        TEST(test_the_same_chain_keeps_its_record),
        TEST(test_a_lost_record_ends_somewhere),
        TEST(test_before_anything_is_in_place),
        TEST(test_between_the_two),
        TEST(test_before_the_record_begins),
        TEST(test_a_chain_that_is_come_back_to_has_its_record),
        TEST(test_cut_off_in_the_turn_of_records),
        TEST(test_a_record_is_set_aside_once),
        TEST(test_said_again_it_does_not_stay_silent),
        TEST(test_old_ledgers_are_kept),
        TEST(test_a_trusted_block_is_used_while_it_is_new),
        TEST(test_another_genesis_is_no_ledger_to_begin_anew),
        TEST(test_a_damaged_ledger_is_made_again),
        TEST(test_a_new_era_ends_what_was_to_begin_anew),
        TEST(test_keys_are_made_once),
        TEST(test_what_is_no_single_node_is_refused),
        TEST(test_one_without_a_validator_is_refused),
        TEST(test_one_with_a_validator_is_promoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
