/* The authenticated tree against its naive model, on both backends. */
#include "store_test_tree.h"

#define RANDOM_SEED 7470

/* Random hashes; crowded ones share their first 251 bits or so, which makes the deepest paths. */
static void random_hash(const struct hm_random *random, bool crowded, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i += 8)
        hm_put_be64(out + i, hm_random_u64(random));
    if (crowded) {
        unsigned keep = (unsigned)(hm_random_u64(random) % 3);

        memset(out, keep == 1 ? 0xff : 0, keep == 2 ? 20 : 31);
    }
}

struct world {
    struct store *stores[2];
    char *path;
    struct tree_model model;
    struct hm_random_seeded seed;
    struct hm_random random;
};

static int setup(void **state)
{
    struct world *world = hm_calloc(1, sizeof(*world));

    *state = world;
    world->path = store_test_folder();
    world->random = hm_random_seeded_source(&world->seed, RANDOM_SEED);
    if (store_open_memory(&store_test_options, &world->stores[0], NULL))
        return -1;
    return store_open_lmdb(world->path, &store_test_options, &world->stores[1], NULL);
}

static int teardown(void **state)
{
    struct world *world = *state;

    store_close(world->stores[0]);
    store_close(world->stores[1]);
    store_test_folder_remove(world->path);
    tree_model_release(&world->model);
    hm_free(world);
    return 0;
}

static void update(struct store_txn *txn, struct store_tree_change *changes, size_t count,
                   uint8_t root[32])
{
    struct hm_error error = {0};

    if (store_tree_update(txn, &store_test_tree, changes, count, root, &error))
        fail_msg("update: %s", error.text);
}

/* Applies the changes to both stores and the model, and compares the three roots. */
static void apply(struct world *world, struct store_tree_change *changes, size_t count)
{
    uint8_t want[32];
    uint8_t got[32];

    for (size_t i = 0; i < count; i++)
        tree_model_set(&world->model, &changes[i]);
    tree_model_root(&world->model, want);
    for (size_t i = 0; i < 2; i++) {
        struct store_txn *txn = store_test_write(world->stores[i]);

        update(txn, changes, count, got);
        assert_memory_equal(got, want, 32);
        assert_int_equal(store_tree_root(txn, &store_test_tree, got, NULL), 0);
        assert_memory_equal(got, want, 32);
        store_test_commit(txn);
    }
}

static bool taken(const struct store_tree_change *changes, size_t count, const uint8_t hash[32])
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(changes[i].key_hash, hash, 32) == 0)
            return true;
    return false;
}

/* A batch of new keys, overwritten keys, deletions of present and of missing keys. */
static size_t random_batch(struct world *world, struct store_tree_change *changes, size_t max,
                           unsigned delete_percent, bool crowded)
{
    size_t count = 0;
    size_t tries = 1 + hm_random_u64(&world->random) % max;

    for (size_t i = 0; i < tries; i++) {
        struct store_tree_change *change = &changes[count];

        random_hash(&world->random, crowded && hm_random_u64(&world->random) % 2, change->key_hash);
        if (world->model.count && hm_random_u64(&world->random) % 2)
            memcpy(change->key_hash,
                   world->model.leaves[hm_random_u64(&world->random) % world->model.count].key_hash,
                   32);
        random_hash(&world->random, false, change->value_hash);
        if (hm_random_u64(&world->random) % 100 < delete_percent)
            memset(change->value_hash, 0, 32);
        if (!taken(changes, count, change->key_hash))
            count++;
    }
    return count;
}

static uint64_t entries(struct store *store, unsigned table)
{
    struct store_stats stats = {0};

    assert_int_equal(store_stats(store, &stats, NULL), 0);
    return stats.entries[table];
}

/* Deletes what is left in random portions, down to nothing: no page may stay behind. */
static void empty_out(struct world *world)
{
    static struct store_tree_change changes[5000];

    while (world->model.count) {
        size_t count = world->model.count < 3 ? 1 : world->model.count / 2;

        assert_true(count <= HM_COUNT_OF(changes));
        memcpy(changes, world->model.leaves + (world->model.count - count) / 2,
               count * sizeof(*changes));
        for (size_t i = 0; i < count; i++)
            memset(changes[i].value_hash, 0, 32);
        apply(world, changes, count);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(entries(world->stores[i], store_test_tree.leaf_table), 0);
        assert_int_equal(entries(world->stores[i], store_test_tree.page_table), 0);
    }
}

static void follow_model(struct world *world, size_t rounds, size_t batch, bool crowded)
{
    static struct store_tree_change changes[2000];

    for (size_t round = 0; round < rounds; round++) {
        size_t count = random_batch(world, changes, batch, round % 5 == 4 ? 80 : 20, crowded);

        apply(world, changes, count);
    }
    empty_out(world);
}

static void small_batches(void **state)
{
    follow_model(*state, 300, 4, false);
}

static void middle_batches(void **state)
{
    follow_model(*state, 60, 120, false);
}

static void large_batches(void **state)
{
    follow_model(*state, 8, 2000, false);
}

static void deep_paths(void **state)
{
    follow_model(*state, 150, 40, true);
}

/* From one leaf to many and back, one change at a time, over every size at which pages come and go. */
static void one_by_one(void **state)
{
    struct world *world = *state;
    struct store_tree_change change;

    for (int i = 0; i < 150; i++) {
        random_hash(&world->random, i % 3 == 0, change.key_hash);
        random_hash(&world->random, false, change.value_hash);
        apply(world, &change, 1);
        apply(world, &change, 1); /* the same again changes nothing */
    }
    while (world->model.count) {
        change = world->model.leaves[hm_random_u64(&world->random) % world->model.count];
        memset(change.value_hash, 0, 32);
        apply(world, &change, 1);
    }
    empty_out(world);
}

/* The same map by different ways has the same root. */
static void order_does_not_matter(void **state)
{
    enum { COUNT = 600 };
    struct world *world = *state;
    static struct store_tree_change changes[COUNT];
    uint8_t first[32] = {0};

    for (size_t i = 0; i < COUNT; i++) {
        do
            random_hash(&world->random, i % 7 == 0, changes[i].key_hash);
        while (taken(changes, i, changes[i].key_hash));
        random_hash(&world->random, false, changes[i].value_hash);
    }
    for (size_t portion = 1; portion <= COUNT; portion = portion * 3 + 1) {
        struct store_txn *txn = store_test_write(world->stores[0]);
        uint8_t root[32] = {0};

        for (size_t i = COUNT - 1; i > 0; i--) {
            size_t other = hm_random_u64(&world->random) % (i + 1);
            struct store_tree_change swap = changes[i];

            changes[i] = changes[other];
            changes[other] = swap;
        }
        for (size_t i = 0; i < COUNT; i += portion)
            update(txn, changes + i, COUNT - i < portion ? COUNT - i : portion, root);
        if (portion == 1)
            memcpy(first, root, 32);
        assert_memory_equal(root, first, 32);
        store_abort(txn); /* and the next way starts from nothing */
    }
}

static void refuses_a_key_twice(void **state)
{
    struct world *world = *state;
    struct store_tree_change changes[2] = {0};
    struct hm_error error = {0};
    struct store_txn *txn = store_test_write(world->stores[0]);
    uint8_t root[32] = {1, 2, 3};

    changes[0].value_hash[0] = 1;
    changes[1].value_hash[0] = 2;
    assert_int_equal(store_tree_update(txn, &store_test_tree, changes, 2, root, &error), HM_EINVAL);
    assert_int_equal(root[0], 1); /* untouched */
    update(txn, changes, 0, root);
    assert_int_equal(root[0], 0); /* an empty map */
    store_abort(txn);
}

/* Damage to either table is found, not hashed over. */
static void notices_damage(void **state)
{
    enum { COUNT = 900 }; /* so many go straight into the tables */
    struct world *world = *state;
    static struct store_tree_change changes[COUNT];
    struct hm_error error = {0};
    struct hm_slice top = hm_slice_of("\0", 1);
    struct store_tree_proof proof = {0};
    struct store_txn *txn;
    uint8_t root[32];

    for (size_t i = 0; i < COUNT; i++) {
        random_hash(&world->random, false, changes[i].key_hash);
        random_hash(&world->random, false, changes[i].value_hash);
    }
    apply(world, changes, COUNT);
    txn = store_test_write(world->stores[0]);
    assert_int_equal(store_delete(txn, store_test_tree.page_table, top, NULL), 0);
    assert_int_equal(store_tree_update(txn, &store_test_tree, changes, 1, root, &error),
                     HM_ECORRUPT);
    assert_int_equal(store_tree_prove(txn, &store_test_tree, hm_slice_str("any"), &proof, &error),
                     HM_ECORRUPT);
    store_abort(txn);
    txn = store_test_write(world->stores[0]);
    assert_int_equal(store_put(txn, store_test_tree.page_table, top, hm_slice_str("short"), NULL),
                     0);
    assert_int_equal(store_tree_update(txn, &store_test_tree, changes, 1, root, &error),
                     HM_ECORRUPT);
    store_abort(txn);
}

/* So few changes wait above the tables; so many go straight into them. */
#define WAITING  300
#define STRAIGHT 900

static void random_changes(struct world *world, struct store_tree_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        random_hash(&world->random, false, changes[i].key_hash);
        random_hash(&world->random, false, changes[i].value_hash);
    }
}

/* Every allocation of an update fails once, over a tree of so many leaves; the committed tree is never
 * touched. */
static void fail_allocations(struct world *world, size_t tree, size_t count, unsigned long least)
{
    static struct store_tree_change changes[STRAIGHT];
    static struct store_tree_change again[STRAIGHT];
    uint8_t before[32];
    uint8_t root[32];
    unsigned long nth = 0;
    int rc = -1;

    random_changes(world, changes, tree);
    apply(world, changes, tree);
    tree_model_root(&world->model, before);
    for (size_t i = 0; i < count; i++)
        random_hash(&world->random, false, changes[i].value_hash);
    while (rc) {
        struct store_txn *txn = store_test_write(world->stores[0]);

        /* Every allocation of a small tree, then every seventh: the path is the same. */
        nth += nth < 200 ? 1 : 7;
        memcpy(again, changes, sizeof(again));
        hm_alloc_fail_at(nth);
        rc = store_tree_update(txn, &store_test_tree, again, count, root, NULL);
        hm_alloc_fail_at(0);
        store_abort(txn);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        txn = store_test_read(world->stores[0]);
        assert_int_equal(store_tree_root(txn, &store_test_tree, root, NULL), 0);
        assert_memory_equal(root, before, 32);
        store_abort(txn);
    }
    assert_true(nth > least);
    apply(world, changes, count); /* and it goes on */
}

static void survives_failed_allocations(void **state)
{
    fail_allocations(*state, STRAIGHT, WAITING, 10);
    fail_allocations(*state, STRAIGHT, STRAIGHT, 300);
    fail_allocations(*state, WAITING, WAITING, 10); /* part of what waits is folded */
}

/* Every write of an update fails once, then the commit: the same. */
static void fail_writes(struct world *world, size_t count, unsigned long least)
{
    static struct store_tree_change changes[STRAIGHT];
    uint64_t before = entries(world->stores[0], store_test_tree.leaf_table);
    struct store_txn *txn;
    uint8_t root[32];
    unsigned long nth = 0;
    int rc = -1;

    random_changes(world, changes, count);
    while (rc) {
        txn = store_test_write(world->stores[0]);
        store_memory_fail_at(world->stores[0], ++nth, 0);
        rc = store_tree_update(txn, &store_test_tree, changes, count, root, NULL);
        assert_true(rc == 0 || rc == HM_EIO);
        if (rc)
            store_abort(txn);
    }
    assert_true(nth > least);
    store_memory_fail_at(world->stores[0], 0, 1);
    assert_int_equal(store_commit(txn, NULL), HM_EIO);
    store_memory_fail_at(world->stores[0], 0, 0);
    assert_int_equal(entries(world->stores[0], store_test_tree.leaf_table), before);
    apply(world, changes, count);
}

static void survives_failed_writes(void **state)
{
    fail_writes(*state, WAITING, 2);
    fail_writes(*state, WAITING, 50); /* with what is folded */
    fail_writes(*state, STRAIGHT, STRAIGHT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(middle_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(large_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(order_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_a_key_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(notices_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_failed_allocations, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_failed_writes, setup, teardown),
    };

    if (crypto_setup(NULL))
        return 1;
    return cmocka_run_group_tests_name("store tree", tests, NULL, NULL);
}
