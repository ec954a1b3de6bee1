/* One wrong bit anywhere in a block refuses it, or takes one vote away from the same block. */
#include "light_fixture.h"

struct seen {
    uint8_t hash[LIGHT_HASH_BYTES]; /* of the header: binds the validators */
    int64_t power; /* that counts */
    bool more; /* there are votes beside those that count */
};

static int check(struct hm_slice bytes, struct seen *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__Abci__LightBlock *message = NULL;
    struct light_block block;
    struct hm_error error = {0};
    int rc = light_block_parse(bytes, &arena, &message, &error);

    if (rc == 0)
        rc = light_block_check(message, &arena, &block, &error);
    if (rc != 0) {
        assert_true(error.code == rc && error.text[0] != '\0');
        return rc;
    }
    *out = (struct seen){0};
    memcpy(out->hash, block.hash, sizeof(out->hash));
    for (size_t i = 0; i < block.set.count; i++) {
        out->power += block.voted[i] ? block.set.list[i].power : 0;
        out->more |= !block.voted[i] &&
                     message->signed_header->commit->signatures[i]->signature.len;
    }
    return 0;
}

static void flip_all(const char *name)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct seen whole, now;

    light_fixture_read(name, &bytes);
    assert_int_equal(check(hm_buf_slice(&bytes), &whole), 0);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (check(hm_buf_slice(&bytes), &now) == 0 &&
            (memcmp(now.hash, whole.hash, sizeof(now.hash)) != 0 || now.power > whole.power ||
             (now.power == whole.power && !whole.more)))
            fail_msg("%s: bit %zu of byte %zu does not matter", name, bit % 8, bit / 8);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_not_equal(check(hm_slice_of(bytes.data, len), &now), 0);
}

static void every_bit_of_a_first_block(void **state)
{
    (void)state;
    flip_all("one-1"); /* no last_block_id */
}

static void every_bit_with_nil_and_absent_votes(void **state)
{
    (void)state;
    flip_all("four-2");
}

static void every_bit_of_a_later_round(void **state)
{
    (void)state;
    flip_all("seven-14");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_a_first_block),
        cmocka_unit_test(every_bit_with_nil_and_absent_votes),
        cmocka_unit_test(every_bit_of_a_later_round),
    };

    return cmocka_run_group_tests_name("light: flipped bits", tests, light_fixture_setup, NULL);
}
