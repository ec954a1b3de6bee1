/* Where trust begins, and how it is kept. */
#include "light_fixture.h"

static struct hm_arena arena;

static int begin(const char *name, const char *hash, int64_t height, const char *chain,
                 struct light_trust *trust, struct hm_error *error)
{
    struct light_anchor anchor = {.height = height};

    assert_int_equal(hm_hex_decode(hash, 64, anchor.hash, LIGHT_HASH_BYTES, NULL), 0);
    return light_trust_begin(trust, &anchor, chain, light_fixture_block(name, &arena), error);
}

#define SEVEN_14 "6fd031c807d1df06dd69e93c7f06e47f262c1bbeb8c27b6ba88d7f5558b0bab5"
#define SEVEN_15 "f71207f45d3bf56f559f96f2d5a95927101235a68352c8f98f3557e137e84372"

static void only_what_was_named_is_trusted(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(begin("seven-14", SEVEN_15, 14, NULL, &trust, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "of chain light-seven has the hash " SEVEN_14));
    assert_non_null(strstr(error.text, "you trust " SEVEN_15));
    /* Of another chain: its hash says nothing. */
    assert_int_equal(begin("seven-14", SEVEN_15, 14, "other", &trust, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "is of chain light-seven, not of other"));
    assert_int_equal(begin("seven-14", SEVEN_14, 15, NULL, &trust, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "asked for height 15"));
    assert_int_equal(begin("seven-14", SEVEN_14, 14, "other", &trust, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "other"));
    assert_null(trust.block.message);
    assert_int_equal(begin("seven-14", SEVEN_14, 14, "light-seven", &trust, &error), 0);
    assert_int_equal(light_header(&trust.block)->height, 14);
    assert_int_equal(begin("seven-15", SEVEN_15, 15, NULL, &trust, &error), 0); /* replaces it */
    assert_int_equal(begin("seven-14", SEVEN_15, 14, NULL, &trust, &error), HM_EAUTH);
    assert_int_equal(light_header(&trust.block)->height, 15);
}

static void anchors_are_read_and_written(void **state)
{
    static const char *const wrong[] = {
        "",
        ":",
        "14",
        ":" SEVEN_14,
        "14:",
        "14:" SEVEN_14 "0",
        "14:6fd0",
        "0:" SEVEN_14,
        "-1:" SEVEN_14,
        "+1:" SEVEN_14,
        " 1:" SEVEN_14,
        "1x:" SEVEN_14,
        "9223372036854775808:" SEVEN_14,
        "99999999999999999999:" SEVEN_14,
        "111111111111111111111111111:" SEVEN_14,
        "14:zfd031c807d1df06dd69e93c7f06e47f262c1bbeb8c27b6ba88d7f5558b0bab5",
        "14 " SEVEN_14,
    };
    struct light_anchor anchor, before;
    char text[LIGHT_ANCHOR_TEXT_MAX];
    struct hm_error error;

    (void)state;
    assert_int_equal(light_anchor_parse("14:" SEVEN_14, &anchor, NULL), 0);
    assert_int_equal(anchor.height, 14);
    light_anchor_format(&anchor, text);
    assert_string_equal(text, "14:" SEVEN_14);
    assert_int_equal(light_anchor_parse("9223372036854775807:" SEVEN_14, &anchor, NULL), 0);
    assert_true(anchor.height == INT64_MAX);
    light_anchor_format(&anchor, text);
    assert_string_equal(text, "9223372036854775807:" SEVEN_14);
    memset(&anchor, 0x5a, sizeof(anchor));
    before = anchor;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        memset(&error, 0, sizeof(error));
        if (light_anchor_parse(wrong[i], &anchor, &error) != HM_EPARSE || error.text[0] == '\0')
            fail_msg("\"%s\" is taken", wrong[i]);
        assert_memory_equal(&anchor, &before, sizeof(anchor));
    }
}

static void trust_comes_back_from_a_file(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    HM_CLEANUP(light_trust) struct light_trust again = {0};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    HM_CLEANUP(hm_buf) struct hm_buf twice = {0};

    (void)state;
    assert_int_equal(begin("seven-14", SEVEN_14, 14, NULL, &trust, NULL), 0);
    assert_int_equal(light_trust_pack(&trust, &file, NULL), 0);
    assert_true(file.len <= LIGHT_TRUST_MAX_BYTES);
    assert_int_equal(light_trust_unpack(&again, hm_buf_slice(&file), NULL), 0);
    assert_memory_equal(again.block.hash, trust.block.hash, LIGHT_HASH_BYTES);
    assert_int_equal(again.block.set.power, trust.block.set.power);
    assert_int_equal(light_trust_pack(&again, &twice, NULL), 0);
    assert_int_equal(twice.len, file.len);
    assert_memory_equal(twice.data, file.data, file.len);
}

static void a_damaged_file_is_found(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    const Hypermesh__Abci__LightBlock *before;

    (void)state;
    assert_int_equal(begin("four-2",
                           "c521d45377e743a588dbb8544e35c5c7d6f54d4adbcc01829cf9216d34484d0d", 2,
                           NULL, &trust, NULL),
                     0);
    before = trust.block.message;
    assert_int_equal(light_trust_pack(&trust, &file, NULL), 0);
    for (size_t i = 0; i < file.len; i++) {
        int wanted = i < 8 ? HM_EPARSE : HM_ECORRUPT;

        file.data[i] ^= 0x10;
        assert_int_equal(light_trust_unpack(&trust, hm_buf_slice(&file), NULL), wanted);
        file.data[i] ^= 0x10;
        assert_int_not_equal(light_trust_unpack(&trust, hm_slice_of(file.data, i), NULL), 0);
    }
    assert_int_equal(hm_buf_append(&file, "", 1), 0);
    assert_int_equal(light_trust_unpack(&trust, hm_buf_slice(&file), NULL), HM_ECORRUPT);
    assert_ptr_equal(trust.block.message, before);
}

/* A checksum is no signature: the block is checked as well. */
static void a_file_with_another_block_is_checked(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    HM_CLEANUP(hm_buf) struct hm_buf block = {0};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint8_t check[CRYPTO_HASH_BYTES];

    (void)state;
    light_fixture_read("four-2", &block);
    block.data[200] ^= 1; /* in one of the hashes */
    crypto_hash(block.data, block.len, check);
    assert_int_equal(hm_buf_append(&file, "HMLIGHT1", 8), 0);
    assert_int_equal(hm_buf_append(&file, check, sizeof(check)), 0);
    assert_int_equal(hm_buf_append(&file, block.data, block.len), 0);
    assert_int_equal(light_trust_unpack(&trust, hm_buf_slice(&file), NULL), HM_EAUTH);
    assert_null(trust.block.message);
    assert_int_equal(hm_buf_reserve(&file, LIGHT_TRUST_MAX_BYTES), 0);
    memset(file.data + file.len, 0, LIGHT_TRUST_MAX_BYTES);
    assert_int_equal(
        light_trust_unpack(&trust, hm_slice_of(file.data, LIGHT_TRUST_MAX_BYTES + 1), NULL),
        HM_ELIMIT);
}

/* Whatever allocation fails: an error, nothing lost, and the next try works. */
static void memory_may_end_anywhere(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    unsigned long nth = 0;
    int rc = HM_ENOMEM;

    (void)state;
    assert_int_equal(begin("seven-14", SEVEN_14, 14, NULL, &trust, NULL), 0);
    assert_int_equal(light_trust_pack(&trust, &file, NULL), 0);
    while (rc != 0) {
        struct light_trust again = {0};
        struct hm_error error = {0};
        HM_CLEANUP(hm_buf) struct hm_buf twice = {0};

        hm_alloc_fail_at(++nth);
        rc = light_trust_unpack(&again, hm_buf_slice(&file), &error);
        if (rc == 0)
            rc = light_trust_pack(&again, &twice, &error);
        hm_alloc_fail_at(0);
        if (rc != 0)
            assert_int_equal(rc, HM_ENOMEM);
        light_trust_release(&again);
        assert_true(nth < 10000);
    }
    assert_true(nth > 20);
}

#define SHELF_BLOCKS 12

/* Packed blocks by height: fetching them fails with an error where there is no memory, not with a failed test. */
static int shelf_fetch(void *ctx, int64_t height, struct hm_arena *into,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    const struct hm_buf *shelf = ctx;

    return light_block_parse(hm_buf_slice(&shelf[height]), into, out, error);
}

static void shelf_fill(struct hm_buf *shelf)
{
    const struct made_chain chain = {.count = 2, .stay = 2};

    for (int64_t height = 1; height < SHELF_BLOCKS; height++)
        assert_int_equal(wire_pack(&made_chain_block(&chain, height, &arena)->base, &shelf[height]),
                         0);
}

/* Trust begins and moves, or stays as it was. */
static void a_path_may_run_out_of_memory(void **state)
{
    static const struct light_rules rules = {LIGHT_TRUSTING_PERIOD_MS, LIGHT_CLOCK_DRIFT_MS};
    struct hm_buf shelf[SHELF_BLOCKS] = {{0}};
    const struct light_source source = {shelf_fetch, shelf};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    Hypermesh__Abci__LightBlock *first = NULL;
    struct light_anchor anchor = {.height = 1};
    unsigned long nth = 0;
    int rc = HM_ENOMEM;

    (void)state;
    shelf_fill(shelf);
    assert_int_equal(shelf_fetch(shelf, 1, &arena, &first, NULL), 0);
    assert_int_equal(light_header_hash(first->signed_header->header, anchor.hash, NULL), 0);
    while (rc != 0) {
        hm_alloc_fail_at(++nth);
        rc = light_trust_begin(&trust, &anchor, NULL, first, NULL);
        hm_alloc_fail_at(0);
        if (rc != 0)
            assert_true(rc == HM_ENOMEM && trust.block.message == NULL);
    }
    for (nth = 0, rc = HM_ENOMEM; rc != 0;) {
        hm_alloc_fail_at(++nth);
        rc = light_verify_path(&trust, SHELF_BLOCKS - 1, MADE_TIME_MS + 60000, &rules, &source,
                               NULL);
        hm_alloc_fail_at(0);
        if (rc != 0)
            assert_true(rc == HM_ENOMEM && light_header(&trust.block)->height == 1);
    }
    assert_int_equal(light_header(&trust.block)->height, SHELF_BLOCKS - 1);
    assert_true(nth > 100);
    for (size_t i = 0; i < SHELF_BLOCKS; i++)
        hm_buf_release(&shelf[i]);
}

/* The application's hash must be one of ours to be a state root. */
static void a_root_has_32_bytes(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct made_set set = {.count = 0};
    Hypermesh__Abci__Header *header;
    uint8_t root[LIGHT_HASH_BYTES];

    (void)state;
    made_add(&set, 1, 10);
    header = made_header(5, &set, &set, &arena);
    light_fixture_trust(made_block(header, &set, NULL, &arena), &trust);
    assert_int_equal(light_state_root(&trust, 4, root, NULL), 0);
    assert_memory_equal(root, header->app_hash.data, sizeof(root));
    header = made_header(5, &set, &set, &arena);
    header->app_hash.len = 20;
    light_fixture_trust(made_block(header, &set, NULL, &arena), &trust);
    assert_int_equal(light_state_root(&trust, 4, root, NULL), HM_EPARSE);
    assert_int_equal(light_state_root(&trust, -1, root, NULL), HM_ERANGE);
    assert_int_equal(light_state_root(&trust, INT64_MAX, root, NULL), HM_ERANGE);
}

static int drop(void **state)
{
    (void)state;
    hm_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_named_is_trusted),
        cmocka_unit_test(anchors_are_read_and_written),
        cmocka_unit_test(trust_comes_back_from_a_file),
        cmocka_unit_test(a_damaged_file_is_found),
        cmocka_unit_test(a_file_with_another_block_is_checked),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(a_path_may_run_out_of_memory),
        cmocka_unit_test(a_root_has_32_bytes),
    };

    return cmocka_run_group_tests_name("light: trust", tests, light_fixture_setup, drop);
}
