/* The folders of a cluster's first nodes, and that no node takes one kind of folder for the other. What runs in them is
 * tested with the engine itself (tests/e2e/cluster_basic.py). */
#include "node_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define NODES 5

struct place {
    char folder[64];
    struct node_cluster cluster;
    struct hm_error error;
};

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));

    memcpy(place->folder, "/tmp/hm-cluster-XXXXXX", sizeof("/tmp/hm-cluster-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
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

static int create_with(struct place *place, size_t count, const uint64_t *vdf_blocks)
{
    return node_cluster_create(place->folder, count, UINT64_C(64) << 10, vdf_blocks,
                               hm_clock_system(), hm_random_system(), &place->cluster,
                               &place->error);
}

static int create(struct place *place, size_t count)
{
    return create_with(place, count, NULL);
}

static void read_genesis(struct place *place, size_t at, struct hm_arena *arena,
                         struct hm_buf *text, struct engine_genesis *out)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/node%zu/engine/config/genesis.json", place->folder,
                                         at);

    assert_int_equal(hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, text, NULL), 0);
    assert_int_equal(engine_genesis_read(hm_buf_slice(text), arena, out, NULL), 0);
}

static void test_all_have_one_beginning(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct place *place = *state;
    struct engine_genesis genesis[NODES];
    HM_CLEANUP(hm_buf) struct hm_buf first = {0};

    hm_arena_init(&arena, 0);
    assert_int_equal(create(place, NODES), 0);
    assert_int_equal(place->cluster.count, NODES);
    for (size_t i = 0; i < NODES; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        HM_AUTOFREE char *keys_dir = hm_asprintf("%s/node%zu/validator", place->folder, i);
        struct crypto_ed25519_key key;
        char id[ENGINE_NODE_ID_DIGITS + 1];

        read_genesis(place, i, &arena, &text, &genesis[i]);
        if (i == 0)
            assert_int_equal(hm_buf_append(&first, text.data, text.len), 0);
        assert_true(hm_slice_equal(hm_buf_slice(&first), hm_buf_slice(&text)));
        assert_int_equal(engine_key_load(keys_dir, ENGINE_VALIDATOR_KEY_NAME, &key, NULL), 0);
        assert_memory_equal(key.public_key, genesis[0].validators[i].key, sizeof(key.public_key));
        assert_int_equal(engine_key_load(keys_dir, ENGINE_NODE_KEY_NAME, &key, NULL), 0);
        assert_int_equal(engine_config_node_id(key.public_key, id, NULL), 0);
        assert_string_equal(id, place->cluster.members[i].node_id);
    }
    assert_string_equal(genesis[0].chain_id, place->cluster.chain_id);
    assert_int_equal(genesis[0].validator_count, NODES);
    assert_true(genesis[0].time_ms < hm_wall_ms(hm_clock_system()));
}

/* What the nodes' accounts get of the supply adds up, and the ledger takes it. */
static void test_ledger_begins_from_it(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct place *place = *state;
    struct engine_genesis genesis;

    hm_arena_init(&arena, 0);
    for (size_t count = 1; count <= NODE_CLUSTER_MAX; count += 6) {
        const struct store_options options = {.tables = ledger_table_names,
                                              .table_count = LEDGER_TABLE_COUNT};
        struct ledger *ledger;
        struct store *store;
        struct ledger_info info;

        hm_buf_clear(&text);
        assert_int_equal(create(place, count), 0);
        read_genesis(place, count - 1, &arena, &text, &genesis);
        assert_int_equal(store_open_memory(&options, &store, NULL), 0);
        assert_int_equal(ledger_open(store, &ledger, NULL), 0);
        if (ledger_init_chain(ledger, genesis.app_state, &place->error) != 0)
            fail_msg("%zu nodes: %s", count, place->error.text);
        assert_int_equal(ledger_info(ledger, &info, NULL), 0);
        assert_string_equal(info.chain_id, place->cluster.chain_id);
        ledger_close(ledger);
        store_close(store);
        assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    }
    assert_int_equal(mkdir(place->folder, 0700), 0);
}

/* How often a link of the chain of delays is due, is said once and for all. */
static void test_delays_are_as_asked(void **state)
{
    static const uint64_t wanted[] = {0, 3};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct place *place = *state;
    struct engine_genesis genesis;
    Hypermesh__Genesis *ledger;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; i <= HM_COUNT_OF(wanted); i++) {
        const uint64_t *blocks = i < HM_COUNT_OF(wanted) ? &wanted[i] : NULL;

        hm_buf_clear(&text);
        assert_int_equal(create_with(place, 1, blocks), 0);
        read_genesis(place, 0, &arena, &text, &genesis);
        assert_int_equal(WIRE_UNPACK(hypermesh__genesis, genesis.app_state, genesis.app_state.len,
                                     &arena, &ledger, NULL),
                         0);
        assert_int_equal(ledger->params->vdf_blocks, blocks != NULL ? *blocks : 1000);
        assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    }
    assert_int_equal(mkdir(place->folder, 0700), 0);
}

/* The ledger's first validators are the engine's: the same keys, and the power that their bonds give. Each operator's bond
 * is out of its share. */
static void test_all_have_bonded(void **state)
{
    const struct store_options options = {.tables = ledger_table_names,
                                          .table_count = LEDGER_TABLE_COUNT};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct place *place = *state;
    struct ledger_validator_update *set;
    struct engine_genesis genesis;
    Hypermesh__Supply *supply;
    Hypermesh__Params *params;
    struct ledger_view *view;
    struct ledger *ledger;
    struct store *store;
    size_t count;

    hm_arena_init(&arena, 0);
    assert_int_equal(create(place, NODES), 0);
    read_genesis(place, 0, &arena, &text, &genesis);
    assert_int_equal(store_open_memory(&options, &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_init_chain(ledger, genesis.app_state, &place->error), 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_params(view, &arena, &params, NULL), 0);
    assert_int_equal(ledger_view_engine_set(view, &arena, &set, &count, NULL), 0);
    assert_int_equal(count, NODES);
    for (size_t i = 0; i < NODES; i++) {
        const struct node_cluster_member *member = &place->cluster.members[i];
        Hypermesh__Validator *validator;
        size_t at = 0;

        while (at < count && memcmp(set[at].key, genesis.validators[i].key, 32) != 0)
            at++;
        assert_int_not_equal(at, count);
        assert_int_equal(set[at].power, genesis.validators[i].power);
        assert_memory_equal(member->key, genesis.validators[i].key, 32);
        assert_int_equal(ledger_view_validator(view, member->account, &arena, &validator, NULL), 0);
        assert_memory_equal(validator->key.data, member->key, 32);
        assert_true(validator->stake >= params->validator_bond);
        assert_int_equal(validator->stake / params->power_unit, set[at].power);
    }
    assert_int_equal(ledger_view_supply(view, &arena, &supply, NULL), 0);
    assert_int_equal(supply->hyper_bonded, NODES * set[0].power * params->power_unit);
    ledger_view_close(view);
    ledger_close(ledger);
    store_close(store);
}

/* With what comes back its operator can declare the validator, on this chain and no other. */
static void proof_is_good(const struct place *place, const struct node_cluster_member *member)
{
    uint8_t chain_hash[32], digest[32];

    crypto_hash(place->cluster.chain_id, strlen(place->cluster.chain_id), chain_hash);
    ledger_validator_digest(chain_hash, member->account, digest);
    assert_int_equal(crypto_ed25519_verify(member->key, digest, sizeof(digest), member->proof), 0);
    digest[0] ^= 1;
    assert_int_not_equal(crypto_ed25519_verify(member->key, digest, sizeof(digest), member->proof),
                         0);
}

static void test_what_is_there_stays(void **state)
{
    struct place *place = *state;
    HM_AUTOFREE char *second = hm_asprintf("%s/node1", place->folder);
    HM_AUTOFREE char *first = hm_asprintf("%s/node0", place->folder);
    struct stat info;

    assert_int_equal(mkdir(second, 0700), 0);
    assert_int_equal(create(place, 2), HM_EEXIST);
    assert_non_null(strstr(place->error.text, "node1"));
    assert_int_equal(stat(first, &info), -1);
    assert_int_equal(create(place, 0), HM_ERANGE);
    assert_int_equal(create(place, NODE_CLUSTER_MAX + 1), HM_ERANGE);
}

static void test_a_further_one_has_the_same_beginning(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct place *place = *state;
    HM_AUTOFREE char *genesis = hm_asprintf("%s/node0/engine/config/genesis.json", place->folder);
    HM_AUTOFREE char *added = hm_asprintf("%s/node1", place->folder);
    HM_AUTOFREE char *keys_dir = hm_asprintf("%s/node1/validator", place->folder);
    HM_CLEANUP(hm_buf) struct hm_buf first = {0}, second = {0};
    struct node_cluster_member member;
    struct crypto_ed25519_key key;
    struct engine_genesis read;

    hm_arena_init(&arena, 0);
    assert_int_equal(create(place, 1), 0);
    assert_int_equal(
        node_cluster_add(added, "/nowhere/genesis", hm_random_system(), &member, &place->error),
        HM_ENOTFOUND);
    assert_int_equal(node_cluster_add(added, genesis, hm_random_system(), &member, &place->error),
                     0);
    read_genesis(place, 0, &arena, &first, &read);
    read_genesis(place, 1, &arena, &second, &read);
    assert_true(hm_slice_equal(hm_buf_slice(&first), hm_buf_slice(&second)));
    assert_int_equal(read.validator_count, 1);
    assert_int_equal(engine_key_load(keys_dir, ENGINE_VALIDATOR_KEY_NAME, &key, NULL), 0);
    assert_memory_not_equal(key.public_key, read.validators[0].key, sizeof(key.public_key));
    assert_memory_equal(key.public_key, member.key, sizeof(key.public_key));
    proof_is_good(place, &member);
    proof_is_good(place, &place->cluster.members[0]);
    assert_memory_not_equal(member.account, place->cluster.members[0].account,
                            sizeof(member.account));
    assert_string_not_equal(member.node_id, place->cluster.members[0].node_id);
    assert_int_equal(node_cluster_add(added, genesis, hm_random_system(), &member, &place->error),
                     HM_EEXIST);
}

/* One that begins with a snapshot remembers of whom, and what it trusts; where nobody can say that, nothing is made. */
static void test_one_begins_with_a_snapshot(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct place *place = *state;
    HM_AUTOFREE char *genesis = hm_asprintf("%s/node0/engine/config/genesis.json", place->folder);
    HM_AUTOFREE char *added = hm_asprintf("%s/node1", place->folder);
    HM_AUTOFREE char *home = hm_asprintf("%s/node1/engine", place->folder);
    struct node_cluster_sync sync = {.servers = {"unix:///nobody/a", "unix:///nobody/b"},
                                     .server_count = 2};
    struct node_cluster_member member;
    struct engine_config_sync read;
    struct stat info;

    hm_arena_init(&arena, 0);
    assert_int_equal(create(place, 1), 0);
    assert_int_equal(
        node_cluster_add_synced(added, genesis, &sync, hm_random_system(), &member, &place->error),
        HM_EUNAVAILABLE);
    assert_int_not_equal(stat(added, &info), 0);
    sync.trust_height = 9;
    memset(sync.trust_hash, 0x77, sizeof(sync.trust_hash));
    sync.server_count = 1; /* the engine wants two */
    assert_int_equal(
        node_cluster_add_synced(added, genesis, &sync, hm_random_system(), &member, &place->error),
        HM_EINVAL);
    assert_int_not_equal(stat(added, &info), 0);
    sync.server_count = 2;
    assert_int_equal(
        node_cluster_add_synced(added, genesis, &sync, hm_random_system(), &member, &place->error),
        0);
    assert_int_equal(engine_sync_load(home, &arena, &read, NULL), 0);
    assert_int_equal(read.trust_height, 9);
    assert_memory_equal(read.trust_hash, sync.trust_hash, sizeof(sync.trust_hash));
    assert_string_equal(read.rpc_servers[1], "unix:///nobody/b");
    assert_int_equal(strlen(member.node_id), 40);
}

/* Starts a node there and gives why it ended. */
static void expect_end(const struct node_options *options, const char *words)
{
    const struct timespec nap = {.tv_nsec = 5000000};
    struct hm_error error = {0};
    struct node *node;

    assert_int_equal(node_start(options, &node, &error), 0);
    for (unsigned i = 0; i < 6000 && node_failure(node) == NULL; i++)
        nanosleep(&nap, NULL);
    const char *failure = node_failure(node);
    if (failure == NULL || strstr(failure, words) == NULL)
        fail_msg("wanted '%s', it says: %s", words, failure ? failure : "nothing");
    node_stop(node);
}

static void test_folders_are_not_mistaken(void **state)
{
    struct place *place = *state;
    HM_AUTOFREE char *member = hm_asprintf("%s/node0", place->folder);
    HM_AUTOFREE char *genesis = hm_asprintf("%s/node0/engine/config/genesis.json", place->folder);
    HM_AUTOFREE char *empty = hm_asprintf("%s/empty", place->folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct node_options options = {.data_dir = member,
                                   .listen = "",
                                   .plot_bytes = UINT64_C(64) << 10,
                                   .engine_path = "/nowhere/cometbft",
                                   .p2p_listen = "127.0.0.1:0",
                                   .clock = hm_clock_system(),
                                   .random = hm_random_system()};

    assert_int_equal(create(place, 1), 0);
    expect_end(&options, "is the folder of a cluster's node");
    options.cluster = true;
    expect_end(&options, "/nowhere/cometbft");
    /* Another cluster's genesis in its place. */
    assert_int_equal(hm_file_read(genesis, ENGINE_GENESIS_MAX_BYTES, &text, NULL), 0);
    char *name = strstr(hm_buf_cstr(&text), "\"chain_id\":\"local-");
    assert_non_null(name);
    memcpy(name, "\"chain_id\":\"other-", 18);
    assert_int_equal(hm_file_replace(genesis, text.data, text.len, 0600, NULL), 0);
    expect_end(&options, "is not the one that this node began with");
    options.data_dir = empty;
    expect_end(&options, "this node is of no cluster yet");
}

static void test_a_single_nodes_ledger_is_not_taken(void **state)
{
    struct node_fixture *fixture = *state;

    node_stop(fixture->node);
    fixture->node = NULL;
    fixture->options.cluster = true;
    fixture->options.p2p_listen = "127.0.0.1:0";
    expect_end(&fixture->options, "nexus node promote makes it the first of a cluster");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_have_one_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger_begins_from_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_have_bonded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delays_are_as_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_there_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_further_one_has_the_same_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_begins_with_a_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders_are_not_mistaken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_single_nodes_ledger_is_not_taken, node_fixture_setup,
                                        node_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
