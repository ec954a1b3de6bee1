/* Parts of the tree, hashed alone, against the naive model of the whole and against the stored tree. */
#include "store_test_tree.h"

#define RANDOM_SEED 66016
#define LEAVES_MAX  3000
#define PARTS_MAX   4096

static struct store_tree_part parts[PARTS_MAX];
static uint64_t starts[PARTS_MAX]; /* as the cutting has them */
static size_t parts_count;

struct dice {
    struct hm_random_seeded seed;
    struct hm_random random;
};

static void random_leaf(struct dice *dice, bool crowded, struct store_tree_change *leaf)
{
    for (size_t i = 0; i < 32; i += 8) {
        hm_put_be64(leaf->key_hash + i, hm_random_u64(&dice->random));
        hm_put_be64(leaf->value_hash + i, hm_random_u64(&dice->random));
    }
    if (crowded) /* in two corners, close together: the deepest paths */
        memset(leaf->key_hash, hm_random_u64(&dice->random) % 2 ? 0xff : 0,
               hm_random_u64(&dice->random) % 2 ? 30 : 1);
}

static void random_map(struct dice *dice, size_t count, bool crowded, struct tree_model *model)
{
    while (model->count < count) {
        struct store_tree_change leaf;

        random_leaf(dice, crowded && hm_random_u64(&dice->random) % 2, &leaf);
        tree_model_set(model, &leaf);
    }
}

static bool leaf_is_in(const struct store_tree_change *leaf, uint64_t start, unsigned depth)
{
    for (unsigned bit = 0; bit < depth; bit++) {
        if (tree_model_bit(leaf, bit) != (start >> (63 - bit) & 1u))
            return false;
    }
    return true;
}

/* The leaves of one part, shuffled. */
static size_t part_leaves(struct dice *dice, const struct tree_model *model, uint64_t start,
                          unsigned depth, struct store_tree_change *out)
{
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++) {
        if (!leaf_is_in(&model->leaves[i], start, depth))
            continue;
        size_t at = hm_random_u64(&dice->random) % (count + 1);
        out[count] = out[at];
        out[at] = model->leaves[i];
        count++;
    }
    return count;
}

static void part_root(uint64_t start, unsigned depth, struct store_tree_change *leaves,
                      size_t count, uint8_t root[32])
{
    struct hm_error error = {0};

    if (store_tree_part_root(start, depth, leaves, count, root, &error))
        fail_msg("part %llx at depth %u: %s", (unsigned long long)start, depth, error.text);
}

/* How the map is cut: what has two leaves at least, and then as the dice say; or wherever it may be. */
enum cutting { CUT_NEVER, CUT_SOME, CUT_ALL };

static void cut(struct dice *dice, const struct tree_model *model, enum cutting how, uint64_t start,
                unsigned depth)
{
    static struct store_tree_change leaves[LEAVES_MAX];
    size_t count = part_leaves(dice, model, start, depth, leaves);
    bool may = count > 1 && depth < STORE_TREE_PART_DEPTH_MAX && parts_count + 2 * 64 < PARTS_MAX;

    if (may && how != CUT_NEVER && (how == CUT_ALL || hm_random_u64(&dice->random) % 4)) {
        cut(dice, model, how, start, depth + 1);
        cut(dice, model, how, start | UINT64_C(1) << (63 - depth), depth + 1);
        return;
    }
    parts[parts_count].depth = (uint8_t)depth;
    part_root(start, depth, leaves, count, parts[parts_count].root);
    starts[parts_count++] = start;
}

static void all_parts(struct dice *dice, const struct tree_model *model, enum cutting how)
{
    parts_count = 0;
    cut(dice, model, how, 0, 0);
}

static void joins(const uint8_t want[32])
{
    static uint64_t said[PARTS_MAX];
    struct hm_error error = {0};
    uint8_t got[32];

    if (store_tree_part_join(parts, parts_count, said, got, &error))
        fail_msg("%s", error.text);
    assert_memory_equal(got, want, 32);
    assert_memory_equal(said, starts, parts_count * sizeof(*said));
}

static void stored_root(const struct tree_model *model, uint8_t root[32])
{
    struct store_tree_change *changes = hm_calloc(model->count + 1, sizeof(*changes));
    struct store *store;
    struct store_txn *txn;

    assert_int_equal(store_open_memory(&store_test_options, &store, NULL), 0);
    txn = store_test_write(store);
    if (model->count)
        memcpy(changes, model->leaves, model->count * sizeof(*changes));
    assert_int_equal(store_tree_update(txn, &store_test_tree, changes, model->count, root, NULL),
                     0);
    store_test_commit(txn);
    store_close(store);
    hm_free(changes);
}

static void test_join(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 64, 65, 66, 400, LEAVES_MAX};
    struct dice dice;
    (void)state;

    dice.random = hm_random_seeded_source(&dice.seed, RANDOM_SEED);
    for (size_t i = 0; i < 2 * HM_COUNT_OF(sizes); i++) {
        struct tree_model model = {0};
        size_t count = sizes[i / 2];
        uint8_t want[32], stored[32];

        random_map(&dice, count, i % 2 && count <= 400, &model);
        tree_model_root(&model, want);
        stored_root(&model, stored);
        assert_memory_equal(stored, want, 32);
        for (int how = CUT_NEVER; how <= CUT_ALL; how++) {
            all_parts(&dice, &model, (enum cutting)how);
            joins(want);
        }
        tree_model_release(&model);
    }
}

/* A part's root says what every node below it says: any change of an entry shows. */
static void test_tampered(void **state)
{
    static struct store_tree_change leaves[LEAVES_MAX + 1];
    static struct store_tree_change bad[LEAVES_MAX + 1];
    struct dice dice;
    struct tree_model model = {0};
    (void)state;

    dice.random = hm_random_seeded_source(&dice.seed, RANDOM_SEED + 1);
    random_map(&dice, 300, true, &model);
    for (unsigned depth = 0; depth <= 4; depth += 2) {
        for (uint64_t number = 0; number < 1u << depth; number++) {
            uint64_t part = depth ? number << (64 - depth) : 0;
            size_t count = part_leaves(&dice, &model, part, depth, leaves);
            uint8_t good[32], got[32];

            part_root(part, depth, leaves, count, good);
            for (size_t i = 0; i < count; i++) {
                memcpy(bad, leaves, count * sizeof(*bad));
                bad[i].value_hash[hm_random_u64(&dice.random) % 32] ^= 1;
                part_root(part, depth, bad, count, got);
                assert_memory_not_equal(got, good, 32);
                memcpy(bad, leaves, count * sizeof(*bad));
                bad[i].key_hash[31 - hm_random_u64(&dice.random) % 2] ^= 2;
                if (store_tree_part_root(part, depth, bad, count, got, NULL) == 0)
                    assert_memory_not_equal(got, good, 32);
                memcpy(bad, leaves, count * sizeof(*bad));
                bad[i] = bad[count - 1];
                part_root(part, depth, bad, count - 1, got);
                assert_memory_not_equal(got, good, 32);
            }
            memcpy(bad, leaves, count * sizeof(*bad));
            random_leaf(&dice, false, &bad[count]);
            if (depth)
                bad[count].key_hash[0] = (uint8_t)(part >> 56);
            part_root(part, depth, bad, count + 1, got);
            assert_memory_not_equal(got, good, 32);
        }
    }
    tree_model_release(&model);
}

static void test_roots_tampered(void **state)
{
    struct dice dice;
    struct tree_model model = {0};
    uint8_t want[32], got[32];
    (void)state;

    dice.random = hm_random_seeded_source(&dice.seed, RANDOM_SEED + 2);
    random_map(&dice, 100, false, &model);
    tree_model_root(&model, want);
    all_parts(&dice, &model, CUT_SOME);
    assert_true(parts_count > 10);
    for (size_t i = 0; i < parts_count; i++) {
        const struct store_tree_part was = parts[i];

        parts[i].root[i % 32] ^= 0x20;
        assert_int_equal(store_tree_part_join(parts, parts_count, NULL, got, NULL), 0);
        assert_memory_not_equal(got, want, 32);
        parts[i] = was;
        for (unsigned depth = 0; depth < 256; depth++) {
            parts[i].depth = (uint8_t)depth;
            if (depth != was.depth &&
                store_tree_part_join(parts, parts_count, NULL, got, NULL) != HM_EINVAL)
                fail_msg("part %zu may be at depth %u", i, depth);
        }
        parts[i] = was;
    }
    joins(want);
    assert_int_equal(store_tree_part_join(parts, parts_count - 1, NULL, got, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_join(parts + 1, parts_count - 1, NULL, got, NULL), HM_EINVAL);
    parts[parts_count] = parts[0];
    assert_int_equal(store_tree_part_join(parts, parts_count + 1, NULL, got, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_join(parts, 0, NULL, got, NULL), HM_EINVAL);
    tree_model_release(&model);
}

/* A leaf alone would rise to the root whatever part is said to hold it, which nobody could then make good: so nothing is cut
 * that has not two. */
static void test_lone_leaf(void **state)
{
    struct store_tree_change leaf = {{0x5a, 1}, {7}};
    struct tree_model model = {0};
    uint8_t want[32], got[32];
    (void)state;

    tree_model_set(&model, &leaf);
    tree_model_root(&model, want);
    parts_count = 1;
    parts[0].depth = 0;
    starts[0] = 0;
    memcpy(parts[0].root, want, 32);
    joins(want);
    part_root(0, 0, &leaf, 1, got);
    assert_memory_equal(got, want, 32);
    for (size_t place = 0; place < 2; place++) {
        memset(parts, 0, 2 * sizeof(parts[0]));
        parts[0].depth = parts[1].depth = 1;
        memcpy(parts[place].root, want, 32);
        assert_int_equal(store_tree_part_join(parts, 2, NULL, got, NULL), HM_EINVAL);
    }
    memset(parts[1].root, 0, 32); /* nor nothing */
    assert_int_equal(store_tree_part_join(parts, 2, NULL, got, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_root(UINT64_C(0x5b) << 56, 8, &leaf, 1, got, NULL), HM_EINVAL);
    part_root(UINT64_C(0x5a01) << 48, 64, &leaf, 1, got);
    tree_model_release(&model);
}

#define HALF (UINT64_C(1) << 63)

static void test_refused(void **state)
{
    struct store_tree_change leaves[3] = {{{0x80}, {1}}, {{0x81}, {2}}, {{0x80}, {3}}};
    uint8_t root[32];
    (void)state;

    memset(root, 0x77, 32);
    assert_int_equal(store_tree_part_root(HALF, 1, leaves, 3, root, NULL), HM_EINVAL); /* twice */
    assert_int_equal(store_tree_part_root(0, 1, leaves, 1, root, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_root(HALF, 0, leaves, 1, root, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_root(HALF | 1, 63, leaves, 1, root, NULL), HM_EINVAL);
    assert_int_equal(store_tree_part_root(0, STORE_TREE_PART_DEPTH_MAX + 1, leaves, 0, root, NULL),
                     HM_EINVAL);
    memset(leaves[0].value_hash, 0, 32);
    assert_int_equal(store_tree_part_root(HALF, 1, leaves, 1, root, NULL), HM_EINVAL);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(root[i], 0x77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),           cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_roots_tampered), cmocka_unit_test(test_lone_leaf),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
