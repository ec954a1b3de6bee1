/* Proofs: every key's verifies, nothing else does. */
#include "store_test_tree.h"

#define KEYS_MAX 600

struct world {
    struct store *store;
    uint8_t root[32];
    unsigned keys; /* "key 0" .. are present with "value 0" ..; absent ones are "absent 0" .. */
};

static struct hm_slice text_of(const char *what, unsigned i, char out[32])
{
    return hm_slice_of(out, (size_t)snprintf(out, 32, "%s %u", what, i));
}

static void grow(struct world *world, unsigned keys)
{
    static struct store_tree_change changes[KEYS_MAX];
    struct store_txn *txn = store_test_write(world->store);
    struct hm_error error = {0};

    for (unsigned i = 0; i < keys; i++) {
        char text[32];
        struct hm_slice key = text_of("key", i, text);

        crypto_hash(key.data, key.len, changes[i].key_hash);
        key = text_of("value", i, text);
        crypto_hash(key.data, key.len, changes[i].value_hash);
    }
    if (store_tree_update(txn, &store_test_tree, changes, keys, world->root, &error))
        fail_msg("%s", error.text);
    store_test_commit(txn);
    world->keys = keys;
}

static int setup(void **state)
{
    struct world *world = hm_calloc(1, sizeof(*world));

    *state = world;
    return store_open_memory(&store_test_options, &world->store, NULL);
}

static int teardown(void **state)
{
    struct world *world = *state;

    store_close(world->store);
    hm_free(world);
    return 0;
}

static struct store_tree_proof prove(struct world *world, struct hm_slice key)
{
    struct store_txn *txn = store_test_read(world->store);
    struct store_tree_proof proof = {0};
    struct hm_error error = {0};

    if (store_tree_prove(txn, &store_test_tree, key, &proof, &error))
        fail_msg("prove: %s", error.text);
    store_abort(txn);
    return proof;
}

static int verify(const struct world *world, struct hm_slice key, struct hm_slice value,
                  const struct store_tree_proof *proof)
{
    struct hm_error error = {0};
    int rc = store_tree_verify(world->root, key, value, proof, &error);

    assert_true(rc == 0 || (rc == HM_EAUTH && error.text[0] != '\0'));
    return rc;
}

static void check_present(struct world *world, unsigned i)
{
    char key_text[32];
    char value_text[32];
    struct hm_slice key = text_of("key", i, key_text);
    struct hm_slice value = text_of("value", i, value_text);
    struct store_tree_proof proof = prove(world, key);

    assert_true(proof.exists);
    assert_int_equal(verify(world, key, value, &proof), 0);
    assert_int_equal(verify(world, key, (struct hm_slice){0}, &proof), HM_EAUTH);
    assert_int_equal(verify(world, key, hm_slice_str("other"), &proof), HM_EAUTH);
    assert_int_equal(verify(world, hm_slice_str("other"), value, &proof), HM_EAUTH);
    store_tree_proof_release(&proof);
}

static void check_absent(struct world *world, unsigned i)
{
    char key_text[32];
    struct hm_slice key = text_of("absent", i, key_text);
    struct store_tree_proof proof = prove(world, key);

    assert_false(proof.exists);
    assert_int_equal(verify(world, key, (struct hm_slice){0}, &proof), 0);
    assert_int_equal(verify(world, key, hm_slice_str("value 0"), &proof), HM_EAUTH);
    store_tree_proof_release(&proof);
}

static void all_keys_at_all_sizes(void **state)
{
    static const unsigned sizes[] = {0, 1, 2, 3, 17, 63, 64, 65, 66, 600};
    struct world *world = *state;

    for (size_t s = 0; s < HM_COUNT_OF(sizes); s++) {
        grow(world, sizes[s]);
        for (unsigned i = 0; i < world->keys; i++)
            check_present(world, i);
        for (unsigned i = 0; i < 50; i++)
            check_absent(world, i);
    }
}

/* Flips each bit of len bytes in turn; nothing may verify then. */
static void flip_each_bit(const struct world *world, void *bytes, size_t len, struct hm_slice key,
                          struct hm_slice value, const struct store_tree_proof *proof)
{
    uint8_t *at = bytes;

    for (size_t bit = 0; bit < len * 8; bit++) {
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(verify(world, key, value, proof), HM_EAUTH);
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(verify(world, key, value, proof), 0);
}

/* Another absent key may share the path of this one: then the proof holds for it, and rightly. */
static void flip_absent_key(struct world *world, char *key_text, struct hm_slice key,
                            const struct store_tree_proof *proof)
{
    size_t shared = 0;

    for (size_t bit = 0; bit < key.len * 8; bit++) {
        key_text[bit / 8] = (char)(key_text[bit / 8] ^ (1 << bit % 8));
        if (verify(world, key, (struct hm_slice){0}, proof) == 0) {
            struct store_tree_proof own = prove(world, key);

            assert_false(own.exists);
            assert_int_equal(own.depth, proof->depth);
            store_tree_proof_release(&own);
            shared++;
        }
        key_text[bit / 8] = (char)(key_text[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(shared < 8); /* of about 80, each with odds of about 1 in 300 */
}

static void mutate_all(struct world *world, char *key_text, struct hm_slice key, char *value_text,
                       struct hm_slice value)
{
    struct store_tree_proof proof = prove(world, key);

    assert_int_equal(verify(world, key, value, &proof), 0);
    if (value.data) {
        flip_each_bit(world, key_text, key.len, key, value, &proof);
        flip_each_bit(world, value_text, value.len, key, value, &proof);
    } else {
        flip_absent_key(world, key_text, key, &proof);
    }
    flip_each_bit(world, world->root, 32, key, value, &proof);
    flip_each_bit(world, proof.siblings, proof.depth * 32, key, value, &proof);
    flip_each_bit(world, proof.leaf_key_hash, 32, key, value, &proof);
    flip_each_bit(world, proof.leaf_value_hash, 32, key, value, &proof);
    proof.exists = !proof.exists;
    assert_int_equal(verify(world, key, value, &proof), HM_EAUTH);
    proof.exists = !proof.exists;
    proof.ends_in_leaf = !proof.ends_in_leaf;
    assert_int_equal(verify(world, key, value, &proof), HM_EAUTH);
    proof.ends_in_leaf = !proof.ends_in_leaf;
    for (size_t depth = proof.depth; depth-- > 0;) {
        struct store_tree_proof cut = proof;

        cut.depth = depth;
        assert_int_equal(verify(world, key, value, &cut), HM_EAUTH);
    }
    store_tree_proof_release(&proof);
}

static void no_bit_can_change(void **state)
{
    struct world *world = *state;
    char key_text[32];
    char value_text[32];

    grow(world, 300);
    for (unsigned i = 0; i < 20; i++)
        mutate_all(world, key_text, text_of("key", i, key_text), value_text,
                   text_of("value", i, value_text));
    for (unsigned i = 0; i < 20; i++)
        mutate_all(world, key_text, text_of("absent", i, key_text), value_text,
                   (struct hm_slice){0});
}

static bool same_proof(const struct store_tree_proof *a, const struct store_tree_proof *b)
{
    return a->exists == b->exists && a->ends_in_leaf == b->ends_in_leaf && a->depth == b->depth &&
           memcmp(a->leaf_key_hash, b->leaf_key_hash, 32) == 0 &&
           memcmp(a->leaf_value_hash, b->leaf_value_hash, 32) == 0 &&
           (a->depth == 0 || memcmp(a->siblings, b->siblings, a->depth * 32) == 0);
}

/* Decoding what was encoded gives it back; no other bytes decode to a proof that verifies. */
static void check_bytes(struct world *world, struct hm_slice key, struct hm_slice value)
{
    struct store_tree_proof proof = prove(world, key);
    struct store_tree_proof back = {0};
    struct hm_error error = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(store_tree_proof_encode(&proof, &bytes), 0);
    assert_true(bytes.len <= STORE_TREE_PROOF_MAX_BYTES);
    assert_int_equal(store_tree_proof_decode(hm_buf_slice(&bytes), &back, &error), 0);
    assert_true(same_proof(&proof, &back));
    store_tree_proof_release(&back);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (store_tree_proof_decode(hm_buf_slice(&bytes), &back, &error) == 0)
            assert_int_equal(verify(world, key, value, &back), HM_EAUTH);
        store_tree_proof_release(&back);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(store_tree_proof_decode(hm_slice_of(bytes.data, len), &back, &error),
                         HM_EPARSE);
    assert_int_equal(hm_buf_append(&bytes, "", 1), 0);
    assert_int_equal(store_tree_proof_decode(hm_buf_slice(&bytes), &back, &error), HM_EPARSE);
    store_tree_proof_release(&proof);
}

static void bytes_have_one_form(void **state)
{
    static const unsigned sizes[] = {0, 1, 2, 300};
    struct world *world = *state;
    char key_text[32];
    char value_text[32];

    for (size_t s = 0; s < HM_COUNT_OF(sizes); s++) {
        grow(world, sizes[s]);
        for (unsigned i = 0; i < world->keys && i < 10; i++)
            check_bytes(world, text_of("key", i, key_text), text_of("value", i, value_text));
        for (unsigned i = 0; i < 10; i++)
            check_bytes(world, text_of("absent", i, key_text), (struct hm_slice){0});
    }
}

/* The deepest path there is: two keys' leaves that part at the last bit. Only hashes can be made so,
 * so this goes by the change's hashes and checks the way to them, not a key. */
static void deepest_path(void **state)
{
    struct world *world = *state;
    struct store_tree_change changes[2] = {0};
    struct store_txn *txn = store_test_write(world->store);
    uint8_t root[32];
    uint8_t want[32];
    uint8_t pair[64];

    changes[0].value_hash[5] = 1;
    changes[1].value_hash[5] = 2;
    changes[1].key_hash[31] = 1;
    tree_model_node(changes, 2, 0, want);
    assert_int_equal(store_tree_update(txn, &store_test_tree, changes, 2, root, NULL), 0);
    assert_memory_equal(root, want, 32);
    memset(pair, 0, sizeof(pair));
    tree_model_node(changes, 2, 255, pair);
    for (int level = 254; level >= 0; level--) {
        crypto_hash(pair, 64, want);
        memcpy(pair, want, 32);
        pair[0] &= 0x7f;
    }
    assert_memory_equal(root, pair, 32);
    store_abort(txn);
}

static void failed_allocations(void **state)
{
    struct world *world = *state;
    unsigned long nth = 0;
    int rc = -1;

    grow(world, 100);
    while (rc) {
        struct store_txn *txn = store_test_read(world->store);
        struct store_tree_proof proof = {0};
        struct store_tree_proof back = {0};
        struct hm_buf bytes = {0};

        hm_alloc_fail_at(++nth);
        rc = store_tree_prove(txn, &store_test_tree, hm_slice_str("key 1"), &proof, NULL);
        if (!rc)
            rc = store_tree_proof_encode(&proof, &bytes);
        if (!rc)
            rc = store_tree_proof_decode(hm_buf_slice(&bytes), &back, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        store_abort(txn);
        store_tree_proof_release(&proof);
        store_tree_proof_release(&back);
        hm_buf_release(&bytes);
    }
    assert_true(nth > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_keys_at_all_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(no_bit_can_change, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_have_one_form, setup, teardown),
        cmocka_unit_test_setup_teardown(deepest_path, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_allocations, setup, teardown),
    };

    if (crypto_setup(NULL))
        return 1;
    return cmocka_run_group_tests_name("store tree proofs", tests, NULL, NULL);
}
