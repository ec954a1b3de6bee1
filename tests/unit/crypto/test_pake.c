/* The exchange of keys by a code: the draft's vectors, and who must not get through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

/* Gives these bytes, whatever is asked for. */
static int bytes_fill(void *ctx, void *out, size_t len)
{
    memcpy(out, ctx, len);
    return 0;
}

static int no_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    (void)out;
    (void)len;
    return HM_EIO;
}

static void unhex(const char *text, uint8_t *out, size_t len)
{
    assert_int_equal(strlen(text), 2 * len);
    assert_int_equal(hm_hex_decode(text, 2 * len, out, len, NULL), 0);
}

/* Both ends of a run. */
struct pair {
    struct crypto_pake *first, *second;
    uint8_t first_tag[CRYPTO_PAKE_TAG_BYTES], second_tag[CRYPTO_PAKE_TAG_BYTES];
    uint8_t first_key[CRYPTO_PAKE_KEY_BYTES], second_key[CRYPTO_PAKE_KEY_BYTES];
};

static const struct crypto_pake_inputs plain_first = {
    .password = {(const uint8_t *)"4821-harbor-violin", 18},
    .channel = {(const uint8_t *)"channel", 7},
    .session = {(const uint8_t *)"session", 7},
    .data = {(const uint8_t *)"first", 5}};
static const struct crypto_pake_inputs plain_second = {
    .password = {(const uint8_t *)"4821-harbor-violin", 18},
    .channel = {(const uint8_t *)"channel", 7},
    .session = {(const uint8_t *)"session", 7},
    .data = {(const uint8_t *)"second", 6}};

static void pair_begin(struct pair *pair, const struct crypto_pake_inputs *first,
                       const struct crypto_pake_inputs *second)
{
    *pair = (struct pair){.first = NULL};
    assert_int_equal(
        crypto_pake_new(CRYPTO_PAKE_FIRST, first, hm_random_system(), &pair->first, NULL), 0);
    assert_int_equal(
        crypto_pake_new(CRYPTO_PAKE_SECOND, second, hm_random_system(), &pair->second, NULL), 0);
}

static void pair_end(struct pair *pair)
{
    crypto_pake_free(pair->first);
    crypto_pake_free(pair->second);
}

/* first_data, second_data: as they arrive. */
static void pair_meet(struct pair *pair, struct hm_slice first_data, struct hm_slice second_data)
{
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES];

    crypto_pake_share(pair->second, share);
    assert_int_equal(crypto_pake_meet(pair->first, share, second_data, pair->first_tag, NULL), 0);
    crypto_pake_share(pair->first, share);
    assert_int_equal(crypto_pake_meet(pair->second, share, first_data, pair->second_tag, NULL), 0);
}

static void assert_strangers(const struct crypto_pake_inputs *first,
                             const struct crypto_pake_inputs *second, struct hm_slice first_data,
                             struct hm_slice second_data)
{
    struct pair pair;
    struct hm_error error = {0};
    uint8_t untouched[CRYPTO_PAKE_KEY_BYTES];

    memset(untouched, 0x5a, sizeof(untouched));
    pair_begin(&pair, first, second);
    pair_meet(&pair, first_data, second_data);
    assert_int_equal(crypto_pake_confirm(pair.first, pair.second_tag, untouched, &error), HM_EAUTH);
    assert_int_equal(crypto_pake_confirm(pair.second, pair.first_tag, untouched, &error), HM_EAUTH);
    for (size_t i = 0; i < sizeof(untouched); i++)
        assert_int_equal(untouched[i], 0x5a);
    /* and never again with the same run */
    assert_int_equal(crypto_pake_confirm(pair.first, pair.second_tag, untouched, &error),
                     HM_EINVAL);
    pair_end(&pair);
}

/* draft-irtf-cfrg-cpace, appendix "Test vector for CPace using group ristretto255 and hash SHA-512". */
static void test_vectors(void **state)
{
    static const uint8_t channel[] = "\x0b"
                                     "A_initiator\x0b"
                                     "B_responder";
    struct crypto_pake_inputs inputs = {.password = hm_slice_str("Password"),
                                        .channel = hm_slice_of(channel, sizeof(channel) - 1)};
    uint8_t session[16], scalar[32], expected[32], share[CRYPTO_PAKE_SHARE_BYTES], key[64];
    struct hm_random random = {bytes_fill, scalar};
    struct pair pair = {.first = NULL};
    (void)state;

    unhex("7e4b4791d6a8ef019b936c79fb7f2c57", session, sizeof(session));
    inputs.session = hm_slice_of(session, sizeof(session));
    unhex("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08", scalar, 32);
    inputs.data = hm_slice_str("ADa");
    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, &random, &pair.first, NULL), 0);
    unhex("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d", scalar, 32);
    inputs.data = hm_slice_str("ADb");
    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_SECOND, &inputs, &random, &pair.second, NULL), 0);
    crypto_pake_share(pair.first, share);
    unhex("d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157", expected, 32);
    assert_memory_equal(share, expected, 32);
    crypto_pake_share(pair.second, share);
    unhex("3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258", expected, 32);
    assert_memory_equal(share, expected, 32);
    pair_meet(&pair, hm_slice_str("ADa"), hm_slice_str("ADb"));
    assert_int_equal(crypto_pake_confirm(pair.first, pair.second_tag, pair.first_key, NULL), 0);
    assert_int_equal(crypto_pake_confirm(pair.second, pair.first_tag, pair.second_key, NULL), 0);
    unhex("b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd"
          "2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447",
          key, 64);
    assert_memory_equal(pair.first_key, key, 64);
    assert_memory_equal(pair.second_key, key, 64);
    pair_end(&pair);
}

static void test_two_who_know_the_code(void **state)
{
    struct pair one, two;
    (void)state;

    pair_begin(&one, &plain_first, &plain_second);
    pair_meet(&one, plain_first.data, plain_second.data);
    assert_memory_not_equal(one.first_tag, one.second_tag, sizeof(one.first_tag));
    assert_int_equal(crypto_pake_confirm(one.second, one.first_tag, one.second_key, NULL), 0);
    assert_int_equal(crypto_pake_confirm(one.first, one.second_tag, one.first_key, NULL), 0);
    assert_memory_equal(one.first_key, one.second_key, sizeof(one.first_key));
    pair_begin(&two, &plain_first, &plain_second);
    pair_meet(&two, plain_first.data, plain_second.data);
    assert_int_equal(crypto_pake_confirm(two.first, two.second_tag, two.first_key, NULL), 0);
    assert_memory_not_equal(one.first_key, two.first_key, sizeof(one.first_key));
    pair_end(&one);
    pair_end(&two);
}

static void test_whatever_differs_parts_them(void **state)
{
    struct crypto_pake_inputs other = plain_second;
    (void)state;

    other.password = hm_slice_str("4821-harbor-violet");
    assert_strangers(&plain_first, &other, plain_first.data, other.data);
    other = plain_second;
    other.channel = hm_slice_str("channel of another");
    assert_strangers(&plain_first, &other, plain_first.data, other.data);
    /* as with somebody in between: each sees another channel's certificates */
    other = plain_second;
    other.session = hm_slice_str("other certificates");
    assert_strangers(&plain_first, &other, plain_first.data, other.data);
    assert_strangers(&plain_first, &plain_second, hm_slice_str("changed"), plain_second.data);
    assert_strangers(&plain_first, &plain_second, plain_first.data, hm_slice_str("changed"));
    /* a byte moved from one field to the next */
    other = plain_second;
    other.channel = hm_slice_str("channels");
    other.session = hm_slice_str("ession");
    assert_strangers(&plain_first, &other, plain_first.data, other.data);
}

/* Who sends back what he is sent needs no code, if he is let. */
static void test_reflection(void **state)
{
    struct crypto_pake_inputs same = plain_first;
    struct hm_error error = {0};
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES], tag[CRYPTO_PAKE_TAG_BYTES];
    struct crypto_pake *pake;
    (void)state;

    same.data = (struct hm_slice){0};
    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &same, hm_random_system(), &pake, NULL), 0);
    crypto_pake_share(pake, share);
    assert_int_equal(crypto_pake_meet(pake, share, same.data, tag, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "our own"));
    share[0] ^= 2; /* no second try with the same scalar */
    assert_int_equal(crypto_pake_meet(pake, share, same.data, tag, &error), HM_EINVAL);
    crypto_pake_free(pake);
}

static void test_reflected_tag(void **state)
{
    struct pair pair;
    (void)state;

    pair_begin(&pair, &plain_first, &plain_second);
    pair_meet(&pair, plain_first.data, plain_second.data);
    assert_int_equal(crypto_pake_confirm(pair.first, pair.first_tag, pair.first_key, NULL),
                     HM_EAUTH);
    assert_int_equal(crypto_pake_confirm(pair.second, pair.second_tag, pair.second_key, NULL),
                     HM_EAUTH);
    pair_end(&pair);
}

static void assert_share_refused(const uint8_t share[CRYPTO_PAKE_SHARE_BYTES])
{
    static const enum crypto_pake_role roles[] = {CRYPTO_PAKE_FIRST, CRYPTO_PAKE_SECOND};
    uint8_t tag[CRYPTO_PAKE_TAG_BYTES], key[CRYPTO_PAKE_KEY_BYTES];

    for (size_t i = 0; i < HM_COUNT_OF(roles); i++) {
        struct crypto_pake *pake;

        assert_int_equal(crypto_pake_new(roles[i], &plain_first, hm_random_system(), &pake, NULL),
                         0);
        assert_int_equal(crypto_pake_meet(pake, share, plain_second.data, tag, NULL), HM_EAUTH);
        memset(tag, 0, sizeof(tag));
        assert_int_equal(crypto_pake_confirm(pake, tag, key, NULL), HM_EINVAL);
        crypto_pake_free(pake);
    }
}

/* The draft's Y_i1 and Y_i2; bytes that are no canonical or no positive field element (RFC 9496, section 4.3.1); points of order 2 and 4
 * of the curve beneath (their encodings as Edwards points). */
static void test_what_is_no_element(void **state)
{
    static const char *const refused[] = {
        "2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES];
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(refused); i++) {
        unhex(refused[i], share, sizeof(share));
        assert_share_refused(share);
    }
}

static void test_limits(void **state)
{
    static const uint8_t zeros[32];
    static const uint8_t long_bytes[CRYPTO_PAKE_FIELD_MAX_BYTES + 1] = {1};
    struct hm_random still = {bytes_fill, (void *)(uintptr_t)zeros}, broken = {no_fill, NULL};
    struct hm_slice too_long = hm_slice_of(long_bytes, sizeof(long_bytes));
    struct crypto_pake_inputs inputs;
    struct crypto_pake *pake = NULL;
    struct hm_slice *fields[] = {&inputs.password, &inputs.channel, &inputs.session, &inputs.data};
    (void)state;

    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &plain_first, &still, &pake, NULL), HM_EIO);
    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &plain_first, &broken, &pake, NULL),
                     HM_EIO);
    for (size_t i = 0; i < HM_COUNT_OF(fields); i++) {
        inputs = plain_first;
        *fields[i] = too_long;
        assert_int_equal(
            crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, hm_random_system(), &pake, NULL),
            HM_EINVAL);
        fields[i]->len--; /* and the longest that goes */
        assert_int_equal(
            crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, hm_random_system(), &pake, NULL), 0);
        crypto_pake_free(pake);
        pake = NULL;
    }
    inputs = plain_first;
    inputs.password.len = 0;
    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, hm_random_system(), &pake, NULL),
                     HM_EINVAL);
    hm_alloc_fail_at(1);
    assert_int_equal(
        crypto_pake_new(CRYPTO_PAKE_FIRST, &plain_first, hm_random_system(), &pake, NULL),
        HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(pake);
    crypto_pake_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_two_who_know_the_code),
        cmocka_unit_test(test_whatever_differs_parts_them),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_reflected_tag),
        cmocka_unit_test(test_what_is_no_element),
        cmocka_unit_test(test_limits),
    };

    if (crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
