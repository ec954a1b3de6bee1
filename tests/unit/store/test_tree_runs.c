/* Changes of the tree that wait above its tables: how long, how many, and what damage to them does. */
#include "store_test_tree.h"

#include "store_tree_fold.h"

#define RANDOM_SEED 5511
#define TREE        2000
#define BATCH       40

struct world {
    struct store *store;
    char *path; /* NULL: in memory */
    struct tree_model model;
    struct hm_random_seeded seed;
    struct hm_random random;
};

static struct world *world_new(bool disk)
{
    struct world *world = hm_calloc(1, sizeof(*world));
    struct hm_error error = {0};
    int rc;

    assert_non_null(world);
    world->random = hm_random_seeded_source(&world->seed, RANDOM_SEED);
    world->path = disk ? store_test_folder() : NULL;
    rc = disk ? store_open_lmdb(world->path, &store_test_options, &world->store, &error)
              : store_open_memory(&store_test_options, &world->store, &error);
    assert_int_equal(rc, 0);
    return world;
}

static int setup_memory(void **state)
{
    *state = world_new(false);
    return 0;
}

static int setup_disk(void **state)
{
    *state = world_new(true);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    store_close(world->store);
    if (world->path)
        store_test_folder_remove(world->path);
    tree_model_release(&world->model);
    hm_free(world);
    return 0;
}

static void random_hash(struct world *world, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i += 8)
        hm_put_be64(out + i, hm_random_u64(&world->random));
}

/* count changes: half of them to keys that are there, a sixth of these deletions. */
static void random_changes(struct world *world, struct store_tree_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        random_hash(world, changes[i].key_hash);
        random_hash(world, changes[i].value_hash);
        if (world->model.count > count && i % 2) {
            size_t at = world->model.count / count * i;

            memcpy(changes[i].key_hash, world->model.leaves[at].key_hash, 32);
            if (i % 12 == 1)
                memset(changes[i].value_hash, 0, 32);
        }
    }
}

static void update_in(struct world *world, struct store_txn *txn, size_t count)
{
    static struct store_tree_change changes[TREE];
    struct hm_error error = {0};
    uint8_t root[32];
    uint8_t want[32];

    random_changes(world, changes, count);
    for (size_t i = 0; i < count; i++)
        tree_model_set(&world->model, &changes[i]);
    if (store_tree_update(txn, &store_test_tree, changes, count, root, &error))
        fail_msg("update: %s", error.text);
    tree_model_root(&world->model, want);
    assert_memory_equal(root, want, 32);
}

static void update(struct world *world, size_t count)
{
    struct store_txn *txn = store_test_write(world->store);

    update_in(world, txn, count);
    store_test_commit(txn);
}

/* What lies in the tables and in the runs over them. */
struct census {
    size_t runs;
    size_t waiting; /* leaves in runs */
    uint64_t fold;
    uint64_t table; /* leaves in the table */
};

static struct census census(struct store *store)
{
    static struct store_tree_view view;
    struct store_txn *txn = store_test_read(store);
    struct census found = {0};
    struct store_stats stats = {0};
    struct hm_error error = {0};

    memset(&view, 0, sizeof(view));
    if (store_tree_view_open(&view, txn, &store_test_tree, &error))
        fail_msg("view: %s", error.text);
    for (size_t i = 0; i < view.run_count; i++) {
        found.waiting += view.runs[i].leaf_count;
        if (i > 0) {
            assert_true(view.runs[i - 1].number < view.runs[i].number);
            assert_true(view.runs[i - 1].born <= view.runs[i].born);
        }
    }
    found.runs = view.run_count;
    found.fold = view.fold;
    store_tree_view_release(&view);
    store_abort(txn);
    assert_int_equal(store_stats(store, &stats, NULL), 0);
    found.table = stats.entries[store_test_tree.leaf_table];
    return found;
}

/* Nothing waits for ever: the fold goes round, and few runs are there at any time. */
static void what_waits_is_folded(void **state)
{
    struct world *world = *state;
    uint64_t room = store_tree_fold_room(TREE);
    struct census now = {0};
    size_t most = 0;

    update(world, TREE); /* straight */
    now = census(world->store);
    assert_int_equal(now.runs, 0);
    assert_int_equal(now.table, TREE);
    for (unsigned i = 0; i < 4 * room / BATCH; i++) {
        update(world, BATCH);
        now = census(world->store);
        assert_true(now.runs >= 1 && now.runs <= 16);
        assert_true(now.waiting <= 3 * room + BATCH); /* a run of two rounds, and one round */
        if (now.waiting > most)
            most = now.waiting;
    }
    assert_true(most > room / 2); /* they did wait */
    assert_true(now.fold >= 3 * STORE_TREE_FOLD_WHOLE); /* and were folded */
    update(world, TREE); /* straight: nothing waits any more */
    now = census(world->store);
    assert_int_equal(now.runs, 0);
    assert_int_equal(now.table, world->model.count);
}

/* Several updates in one transaction read each other's runs. */
static void many_updates_in_one_transaction(void **state)
{
    struct world *world = *state;
    struct store_txn *txn;

    update(world, 500);
    txn = store_test_write(world->store);
    for (unsigned i = 0; i < 64; i++) /* small runs, merged several at a time */
        update_in(world, txn, 1);
    for (unsigned i = 0; i < 60; i++)
        update_in(world, txn, 1 + i * 3 % BATCH);
    store_test_commit(txn);
    update(world, BATCH);
    assert_true(census(world->store).runs >= 1);
}

/* Every key of the model is proved while its changes wait, and keys that were deleted are absent. */
static void waiting_changes_are_proved(void **state)
{
    struct world *world = *state;
    struct store_txn *txn;
    uint8_t root[32];
    uint64_t number = 0;

    update(world, 800);
    for (unsigned i = 0; i < 6; i++) {
        struct store_tree_change change[2];
        uint8_t value = (uint8_t)i;

        number = i / 2; /* each key twice: set, then changed or deleted */
        crypto_hash(&number, sizeof(number), change[0].key_hash);
        crypto_hash(&value, sizeof(value), change[0].value_hash);
        if (i == 3)
            memset(change[0].value_hash, 0, 32);
        tree_model_set(&world->model, &change[0]);
        txn = store_test_write(world->store);
        assert_int_equal(store_tree_update(txn, &store_test_tree, change, 1, root, NULL), 0);
        store_test_commit(txn);
    }
    txn = store_test_read(world->store);
    assert_int_equal(store_tree_root(txn, &store_test_tree, root, NULL), 0);
    for (number = 0; number < 4; number++) {
        HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
        struct hm_slice key = hm_slice_of(&number, sizeof(number));
        uint8_t value = (uint8_t)(2 * number + 1);
        bool there = number == 0 || number == 2;

        assert_int_equal(store_tree_prove(txn, &store_test_tree, key, &proof, NULL), 0);
        assert_int_equal(proof.exists, there);
        assert_int_equal(store_tree_verify(root, key,
                                           there ? hm_slice_of(&value, 1) : (struct hm_slice){0},
                                           &proof, NULL),
                         0);
    }
    store_abort(txn);
}

/* --- runs as bytes --- */

static struct store_tree_run make(const char *keys, const struct store_tree_draft *draft)
{
    struct store_tree_change leaves[16] = {0};
    struct store_tree_run run = {0};
    size_t count = strlen(keys);

    for (size_t i = 0; i < count; i++) {
        leaves[i].key_hash[0] = (uint8_t)keys[i];
        leaves[i].value_hash[0] = (uint8_t)(count + i);
    }
    assert_int_equal(store_tree_run_make(leaves, count, draft, 7, &run, NULL), 0);
    return run;
}

static void add(struct store_tree_draft *draft, unsigned depth, char path, unsigned index,
                char node)
{
    const uint8_t bytes[8] = {(uint8_t)path};
    const uint8_t hash[32] = {(uint8_t)node};

    assert_int_equal(
        store_tree_draft_add(draft, depth, bytes, index, index ? hash : NULL, (unsigned)node, NULL),
        0);
}

/* A letter for each patch: path, then index as a digit, then the node. */
static void expect_patches(const struct store_tree_run *run, unsigned depth, const char *want)
{
    char text[128] = "";
    size_t len = 0;

    for (size_t i = 0; i < run->patch_count[depth]; i++) {
        const struct store_tree_patch *patch = &run->patches[depth][i];

        len += (size_t)snprintf(text + len, sizeof(text) - len, "%c%u%c ", patch->path[0],
                                patch->index,
                                patch->node[0] < 3 ? '0' + patch->node[0] : patch->node[0]);
    }
    assert_string_equal(text, want);
}

static void newer_wins_in_a_merge(void **state)
{
    HM_CLEANUP(store_tree_draft) struct store_tree_draft old = {0};
    HM_CLEANUP(store_tree_draft) struct store_tree_draft new = {0};
    struct store_tree_run older;
    struct store_tree_run newer;
    char keys[16] = "";

    (void)state;
    add(&old, 0, 'a', 3, 'x');
    add(&old, 0, 'a', 5, 'x');
    add(&old, 0, 'b', 0, STORE_TREE_PATCH_NEW);
    add(&old, 0, 'b', 1, 'x');
    add(&old, 0, 'b', 2, 'x');
    add(&old, 0, 'd', 1, 'x');
    add(&old, 2, 'z', 9, 'x');
    add(&new, 0, 'a', 4, 'y');
    add(&new, 0, 'a', 5, 'y');
    add(&new, 0, 'b', 0, STORE_TREE_PATCH_GONE); /* what was said before is forgotten */
    add(&new, 0, 'c', 8, 'y');
    add(&new, 1, 'q', 1, 'y');
    older = make("bdf", &old);
    newer = make("adeg", &new);
    assert_int_equal(store_tree_run_merge(&older, &newer, NULL), 0);
    for (size_t i = 0; i < newer.leaf_count; i++)
        keys[i] = (char)newer.leaves[i].key_hash[0];
    assert_string_equal(keys, "abdefg");
    assert_int_equal(newer.leaves[2].value_hash[0], 5); /* d: the newer run's */
    assert_int_equal(newer.born, 7);
    expect_patches(&newer, 0, "a3x a4y a5y b02 c8y d1x ");
    expect_patches(&newer, 1, "q1y ");
    expect_patches(&newer, 2, "z9x ");
    store_tree_run_release(&older);
    store_tree_run_release(&newer);
}

static void searches_find_their_place(void **state)
{
    HM_CLEANUP(store_tree_draft) struct store_tree_draft none = {0};
    struct store_tree_run run;

    (void)state;
    run = make("bdfhjlnp", &none);
    for (size_t hint = 0; hint <= 9;
         hint++) { /* wherever the last search ended, and past the end */
        for (char c = 'a'; c <= 'q'; c++) {
            uint8_t key[32] = {(uint8_t)c};
            size_t want = (size_t)(c - 'a') / 2;

            run.leaf_hint = hint;
            assert_int_equal(store_tree_run_leaf_at(&run, key), want);
        }
    }
    store_tree_run_release(&run);
}

static void malformed_runs_are_refused(void **state)
{
    HM_CLEANUP(store_tree_draft) struct store_tree_draft draft = {0};
    struct store_tree_run found = {0};
    struct store_tree_run run;
    struct hm_slice bytes;
    uint8_t copy[1024];

    (void)state;
    add(&draft, 10, 'a', 3, 'x');
    run = make("abc", &draft);
    bytes = store_tree_run_bytes(&run);
    assert_true(bytes.len < sizeof(copy));
    assert_int_equal(store_tree_run_decode(bytes, &found), 0);
    assert_int_equal(found.leaf_count, 3);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(store_tree_run_decode(hm_slice_of(bytes.data, len), &found), HM_ECORRUPT);
    for (size_t i = 0; i < STORE_TREE_RUN_HEAD_BYTES; i++) {
        memcpy(copy, bytes.data, bytes.len);
        copy[i] ^= 0x80;
        if (i < 8 || i >= 16) /* all but where the fold stood */
            assert_int_equal(store_tree_run_decode(hm_slice_of(copy, bytes.len), &found),
                             HM_ECORRUPT);
    }
    store_tree_run_release(&run);
}

/* --- damage on disk --- */

static void expect_corrupt(struct world *world, struct hm_slice key, struct hm_slice value)
{
    struct store_tree_change change = {{1}, {1}};
    struct store_tree_proof proof = {0};
    struct store_txn *txn = store_test_write(world->store);
    struct hm_error error = {0};
    uint8_t root[32];

    assert_int_equal(store_put(txn, store_test_tree.page_table, key, value, NULL), 0);
    assert_int_equal(store_tree_prove(txn, &store_test_tree, hm_slice_str("any"), &proof, &error),
                     HM_ECORRUPT);
    assert_true(error.text[0] != '\0');
    assert_int_equal(store_tree_update(txn, &store_test_tree, &change, 1, root, &error),
                     HM_ECORRUPT);
    store_abort(txn);
}

static void damaged_runs_are_said(void **state)
{
    struct world *world = *state;
    uint8_t key[STORE_TREE_RUN_KEY_BYTES];
    HM_CLEANUP(store_tree_draft) struct store_tree_draft draft = {0};
    struct store_tree_run run;
    struct store_txn *txn;
    struct hm_error error = {0};
    struct store_tree_proof proof = {0};

    update(world, 200);
    expect_corrupt(world, hm_slice_of("\xf1", 1), hm_slice_str("short"));
    expect_corrupt(world, store_tree_run_key(99, key), hm_slice_str("no run"));
    add(&draft, 0, '\0', 200, 'x'); /* a page has no such node */
    run = make("a", &draft);
    expect_corrupt(world, store_tree_run_key(99, key), store_tree_run_bytes(&run));
    txn = store_test_write(world->store); /* more runs than there ever are */
    store_tree_run_release(&run);
    run = make("", &(struct store_tree_draft){0});
    for (uint64_t i = 0; i <= STORE_TREE_RUNS_MAX; i++)
        assert_int_equal(store_put(txn, store_test_tree.page_table,
                                   store_tree_run_key(1000 + i, key), store_tree_run_bytes(&run),
                                   NULL),
                         0);
    assert_int_equal(store_tree_prove(txn, &store_test_tree, hm_slice_str("any"), &proof, &error),
                     HM_ECORRUPT);
    store_abort(txn);
    store_tree_run_release(&run);
}

/* However many runs are found, an update leaves fewer. */
static void many_runs_become_few(void **state)
{
    struct world *world = *state;
    struct store_tree_run run = make("", &(struct store_tree_draft){0});
    uint8_t key[STORE_TREE_RUN_KEY_BYTES];
    struct store_txn *txn;

    update(world, 400);
    txn = store_test_write(world->store);
    for (uint64_t i = 0; i < STORE_TREE_RUNS_MAX - 1; i++)
        assert_int_equal(store_put(txn, store_test_tree.page_table,
                                   store_tree_run_key(1000 + i, key), store_tree_run_bytes(&run),
                                   NULL),
                         0);
    store_test_commit(txn);
    store_tree_run_release(&run);
    update(world, 2);
    assert_true(census(world->store).runs <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_is_folded, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_folded, setup_disk, teardown),
        cmocka_unit_test_setup_teardown(many_updates_in_one_transaction, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(many_updates_in_one_transaction, setup_disk, teardown),
        cmocka_unit_test_setup_teardown(waiting_changes_are_proved, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(waiting_changes_are_proved, setup_disk, teardown),
        cmocka_unit_test(newer_wins_in_a_merge),
        cmocka_unit_test(searches_find_their_place),
        cmocka_unit_test(malformed_runs_are_refused),
        cmocka_unit_test_setup_teardown(damaged_runs_are_said, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(many_runs_become_few, setup_disk, teardown),
    };

    return cmocka_run_group_tests_name("state tree, waiting changes", tests, NULL, NULL);
}
