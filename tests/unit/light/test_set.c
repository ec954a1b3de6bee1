/* Sets of validators: what is one, and what its hash covers. */
#include "light_fixture.h"

static int read_set(const struct made_set *made, struct light_set *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct light_set set = {0};
    int rc = light_set_read(made_validators(made, &arena), made->count, &arena, &set, error);

    *out = set; /* only count and power are looked at: the arena goes */
    return rc;
}

static struct made_set made;

static void start(size_t count)
{
    made.count = 0;
    for (size_t i = 0; i < count; i++)
        made_add(&made, i, 10 + (int64_t)(i % 3));
    made_sort(&made);
}

static void order_matters(void **state)
{
    struct light_set set;
    struct hm_error error = {0};

    (void)state;
    start(7);
    assert_int_equal(read_set(&made, &set, &error), 0);
    assert_int_equal(set.count, 7);
    assert_int_equal(set.power, 10 * 3 + 11 * 2 + 12 * 2);
    for (size_t i = 0; i + 1 < made.count; i++) { /* by power and, where equal, by address */
        struct made_validator kept = made.list[i];

        made.list[i] = made.list[i + 1];
        made.list[i + 1] = kept;
        assert_int_equal(read_set(&made, &set, &error), HM_EPARSE);
        assert_non_null(strstr(error.text, "order"));
        made_sort(&made);
    }
    assert_int_equal(read_set(&made, &set, &error), 0);
}

static void nobody_is_there_twice(void **state)
{
    struct light_set set;
    struct hm_error error = {0};

    (void)state;
    start(5);
    made_add(&made, 0,
             99); /* a key of the five, with other power: a proper order, but the same validator */
    made_sort(&made);
    assert_int_equal(read_set(&made, &set, &error), HM_EPARSE);
    assert_non_null(strstr(error.text, "same"));
    start(5);
    made.list[5] = made.list[4];
    made.count = 6;
    assert_int_equal(read_set(&made, &set, &error), HM_EPARSE);
    assert_non_null(strstr(error.text, "same"));
}

static void power_has_limits(void **state)
{
    struct light_set set;

    (void)state;
    made.count = 0;
    made_add(&made, 1, LIGHT_POWER_MAX - 1);
    made_add(&made, 2, 1);
    assert_int_equal(read_set(&made, &set, NULL), 0);
    assert_int_equal(set.power, LIGHT_POWER_MAX);
    made.list[1].power = 2;
    assert_int_equal(read_set(&made, &set, NULL), HM_ELIMIT);
    made.list[0].power = INT64_MAX;
    made.list[1].power = INT64_MAX;
    assert_int_equal(read_set(&made, &set, NULL), HM_ELIMIT);
    made.list[0].power = 5;
    made.list[1].power = 0;
    assert_int_equal(read_set(&made, &set, NULL), HM_EPARSE);
    made.list[1].power = -5;
    assert_int_equal(read_set(&made, &set, NULL), HM_EPARSE);
    made.list[1].power = INT64_MIN;
    assert_int_equal(read_set(&made, &set, NULL), HM_EPARSE);
}

static void count_has_limits(void **state)
{
    struct light_set set;

    (void)state;
    start(0);
    assert_int_equal(read_set(&made, &set, NULL), HM_EPARSE);
    start(LIGHT_VALIDATORS_MAX);
    assert_int_equal(read_set(&made, &set, NULL), 0);
    start(LIGHT_VALIDATORS_MAX + 1);
    assert_int_equal(read_set(&made, &set, NULL), HM_ELIMIT);
}

static void keys_are_ed25519(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__Abci__SimpleValidator **list;
    struct light_set set;
    uint8_t hash[LIGHT_HASH_BYTES];

    (void)state;
    start(3);
    list = made_validators(&made, &arena);
    list[1]->pub_key->ed25519.len = 31;
    assert_int_equal(light_set_read(list, 3, &arena, &set, NULL), HM_EPARSE);
    assert_int_equal(light_validators_hash(list, 3, hash, NULL), HM_EPARSE);
    list[1]->pub_key->ed25519.len = 32;
    list[1]->pub_key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_SECP256K1;
    assert_int_equal(light_set_read(list, 3, &arena, &set, NULL), HM_EPARSE);
    list[1]->pub_key = NULL;
    assert_int_equal(light_set_read(list, 3, &arena, &set, NULL), HM_EPARSE);
}

/* Split at the largest power of two below the count, as RFC 6962 draws it. */
static void naive_root(uint8_t (*leaves)[LIGHT_HASH_BYTES], size_t count, uint8_t *out)
{
    uint8_t pair[1 + 2 * LIGHT_HASH_BYTES] = {1};
    const struct hm_slice bytes = hm_slice_of(pair, sizeof(pair));
    size_t split = 1;

    if (count == 1) {
        memcpy(out, leaves[0], LIGHT_HASH_BYTES);
        return;
    }
    while (split * 2 < count)
        split *= 2;
    naive_root(leaves, split, pair + 1);
    naive_root(leaves + split, count - split, pair + 1 + LIGHT_HASH_BYTES);
    assert_int_equal(light_sha256(&bytes, 1, out, NULL), 0);
}

static void tree_has_the_shape_of_rfc_6962(void **state)
{
    uint8_t leaves[40][LIGHT_HASH_BYTES], wanted[LIGHT_HASH_BYTES], found[LIGHT_HASH_BYTES];

    (void)state;
    for (size_t count = 1; count <= HM_COUNT_OF(leaves); count++) {
        for (size_t i = 0; i < count; i++)
            crypto_hash(&i, sizeof(i), leaves[i]);
        naive_root(leaves, count, wanted);
        assert_int_equal(light_merkle_root(leaves, count, found, NULL), 0);
        assert_memory_equal(found, wanted, sizeof(wanted));
    }
}

/* Another key, another power, another order, one less: another hash. */
static void hash_covers_all(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__Abci__SimpleValidator **list, *kept;
    uint8_t first[LIGHT_HASH_BYTES], other[LIGHT_HASH_BYTES];

    (void)state;
    start(6);
    list = made_validators(&made, &arena);
    assert_int_equal(light_validators_hash(list, 6, first, NULL), 0);
    assert_int_equal(light_validators_hash(list, 5, other, NULL), 0);
    assert_memory_not_equal(first, other, sizeof(first));
    for (size_t i = 0; i < 6; i++) {
        list[i]->voting_power++;
        assert_int_equal(light_validators_hash(list, 6, other, NULL), 0);
        assert_memory_not_equal(first, other, sizeof(first));
        list[i]->voting_power--;
        list[i]->pub_key->ed25519.data[i] ^= 1;
        assert_int_equal(light_validators_hash(list, 6, other, NULL), 0);
        assert_memory_not_equal(first, other, sizeof(first));
        list[i]->pub_key->ed25519.data[i] ^= 1;
    }
    kept = list[0];
    list[0] = list[5];
    list[5] = kept;
    assert_int_equal(light_validators_hash(list, 6, other, NULL), 0);
    assert_memory_not_equal(first, other, sizeof(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_matters),    cmocka_unit_test(nobody_is_there_twice),
        cmocka_unit_test(power_has_limits), cmocka_unit_test(count_has_limits),
        cmocka_unit_test(keys_are_ed25519), cmocka_unit_test(tree_has_the_shape_of_rfc_6962),
        cmocka_unit_test(hash_covers_all),
    };

    return cmocka_run_group_tests_name("light: sets", tests, light_fixture_setup, NULL);
}
