#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

/* A source that gives bytes counting up from *ctx, or fails when ctx is NULL. */
static int counting_fill(void *ctx, void *out, size_t len)
{
    uint8_t *next = ctx;
    uint8_t *at = out;

    if (next == NULL)
        return HM_EIO;
    for (size_t i = 0; i < len; i++)
        at[i] = (*next)++;
    return 0;
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1 */
static void test_known_answer(void **state)
{
    static const char plain[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                                "only one tip for the future, "
                                "sunscreen would be it.";
    static const char expected_hex[] = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c213"
                                       "96cbb731c7f1b0b4aa6440bf3a82f4eda"
                                       "7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b"
                                       "982c1bb9e3f3fac2bc369488f76b23835"
                                       "65d3fff921f9664c97637da9768812f615c68b13b52e"
                                       "c0875924c1c7987947deafd8780acf49";
    uint8_t first = 0x40;
    struct hm_random random = {counting_fill, &first};
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf opened = {0};
    uint8_t key[32];
    uint8_t context[12];
    uint8_t expected[sizeof(plain) - 1 + 16];

    (void)state;
    for (size_t i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    assert_int_equal(hm_hex_decode("50515253c0c1c2c3c4c5c6c7", 24, context, 12, NULL), 0);
    assert_int_equal(
        hm_hex_decode(expected_hex, strlen(expected_hex), expected, sizeof(expected), NULL), 0);
    assert_int_equal(
        crypto_seal(key, hm_slice_of(context, 12), hm_slice_str(plain), &random, &sealed, NULL), 0);
    assert_int_equal(sealed.len, 24 + sizeof(expected));
    assert_int_equal(sealed.data[0], 0x40);
    assert_int_equal(sealed.data[23], 0x57);
    assert_memory_equal(sealed.data + 24, expected, sizeof(expected));
    assert_int_equal(
        crypto_open(key, hm_slice_of(context, 12), hm_buf_slice(&sealed), &opened, NULL), 0);
    assert_string_equal(hm_buf_cstr(&opened), plain);
}

static void test_any_change_is_found(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf opened = {0};
    const struct hm_slice context = hm_slice_str("key file 1");
    uint8_t key[32] = {7};

    (void)state;
    assert_int_equal(
        crypto_seal(key, context, hm_slice_str("hello"), hm_random_system(), &sealed, NULL), 0);
    assert_int_equal(hm_buf_append_str(&opened, "> "), 0);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(crypto_open(key, context, hm_buf_slice(&sealed), &opened, NULL), HM_EAUTH);
        assert_int_equal(crypto_open(key, context, hm_slice_of(sealed.data, i), &opened, NULL),
                         HM_EAUTH);
        sealed.data[i] ^= 1;
    }
    assert_int_equal(
        crypto_open(key, hm_slice_str("key file 2"), hm_buf_slice(&sealed), &opened, NULL),
        HM_EAUTH);
    key[31] = 1;
    assert_int_equal(crypto_open(key, context, hm_buf_slice(&sealed), &opened, NULL), HM_EAUTH);
    key[31] = 0;
    assert_int_equal(crypto_open(key, context, (struct hm_slice){0}, &opened, NULL), HM_EAUTH);
    assert_string_equal(hm_buf_cstr(&opened), "> ");
    assert_int_equal(crypto_open(key, context, hm_buf_slice(&sealed), &opened, NULL), 0);
    assert_string_equal(hm_buf_cstr(&opened), "> hello");
}

static void test_empty_and_failing(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf opened = {0};
    const struct hm_slice nothing = {0};
    struct hm_random broken = {counting_fill, NULL};
    uint8_t key[32] = {7};

    (void)state;
    assert_int_equal(crypto_seal(key, nothing, nothing, &broken, &sealed, NULL), HM_EIO);
    assert_int_equal(sealed.len, 0);
    hm_buf_release(&sealed);
    hm_alloc_fail_at(1);
    assert_int_equal(crypto_seal(key, nothing, nothing, hm_random_system(), &sealed, NULL),
                     HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(crypto_seal(key, nothing, nothing, hm_random_system(), &sealed, NULL), 0);
    assert_int_equal(sealed.len, CRYPTO_SEAL_OVERHEAD_BYTES);
    hm_alloc_fail_at(1);
    assert_int_equal(crypto_open(key, nothing, hm_buf_slice(&sealed), &opened, NULL), HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(crypto_open(key, nothing, hm_buf_slice(&sealed), &opened, NULL), 0);
    assert_int_equal(opened.len, 0);
}

static void test_passphrase(void **state)
{
    uint8_t salt[16] = {1};
    uint8_t a[32];
    uint8_t b[32];

    (void)state;
    assert_int_equal(crypto_passphrase_key("correct horse", salt, a, NULL), 0);
    assert_int_equal(crypto_passphrase_key("correct horse", salt, b, NULL), 0);
    assert_memory_equal(a, b, 32);
    salt[15] = 1;
    assert_int_equal(crypto_passphrase_key("correct horse", salt, b, NULL), 0);
    assert_memory_not_equal(a, b, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_any_change_is_found),
        cmocka_unit_test(test_empty_and_failing),
        cmocka_unit_test(test_passphrase),
    };

    return cmocka_run_group_tests_name("crypto_seal", tests, NULL, NULL);
}
