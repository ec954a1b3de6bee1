#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base.h"

/* Strings that BIP 350 lists as valid, as far as their prefix is at most 16 characters. */
static void test_bip350_valid(void **state)
{
    uint8_t bytes[30];

    (void)state;
    assert_int_equal(hm_bech32_decode("a", "A1LQFN3A", NULL, 0, NULL), 0);
    assert_int_equal(hm_bech32_decode("a", "a1lqfn3a", NULL, 0, NULL), 0);
    assert_int_equal(hm_bech32_decode("?", "?1v759aa", NULL, 0, NULL), 0);
    /* symbols 31, 30, ... 0 */
    assert_int_equal(hm_bech32_decode("abcdef", "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
                                      bytes, 20, NULL),
                     0);
    assert_memory_equal(bytes, "\xff\xbb\xcd\xeb\x38\xbd\xab\x49\xca\x30", 10);
    assert_int_equal(
        hm_bech32_decode("split", "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
                         bytes, 30, NULL),
        0);
}

static void wrong(const char *hrp, const char *text, const char *reason)
{
    struct hm_error error = {0};
    uint8_t bytes[20];

    memset(bytes, 0x77, sizeof(bytes));
    assert_int_equal(hm_bech32_decode(hrp, text, bytes, sizeof(bytes), &error), HM_EPARSE);
    if (strstr(error.text, reason) == NULL)
        fail_msg("%s: '%s' does not say '%s'", text, error.text, reason);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0x77);
}

/* Strings that BIP 350 lists as invalid, and what ours must say. */
static void test_bip350_invalid(void **state)
{
    (void)state;
    wrong("x", " 1xj0phk", "forbidden character");
    wrong("x",
          "\x7f"
          "1g6xzxy",
          "forbidden character");
    wrong("x",
          "\x80"
          "1vctc34",
          "forbidden character");
    wrong("qyrz8wqd2c9m", "qyrz8wqd2c9m", "prefix");
    wrong("q", "1qyrz8wqd2c9m", "prefix");
    wrong("y", "y1b0jsk6g", "alphabet");
    wrong("lt", "lt1igcx5c0", "alphabet");
    wrong("in", "in1muywd", "length");
    wrong("mm", "mm1crxm3i", "alphabet");
    wrong("au", "au1s5cgom", "alphabet");
    wrong("m", "M1VUXWEZ", "checksum");
    wrong("x", "16plkw9", "prefix");
    wrong("p", "1p2gdwpf", "prefix");
    wrong("a", "A1lqfn3a", "case");
    /* bech32 of BIP 173, not bech32m */
    wrong("a", "a12uel5l", "checksum");
    wrong("a", "a1lqfn3a", "length");
}

static void test_round_trip_and_single_errors(void **state)
{
    static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 350);

    (void)state;
    for (size_t len = 0; len <= 66; len++) {
        char text[HM_BECH32_MAX_CHARS + 1];
        uint8_t in[66];
        uint8_t out[66];
        size_t at;
        char kept;

        assert_int_equal(random.fill(random.ctx, in, len), 0);
        assert_int_equal(hm_bech32_encode("hm", in, len, text), 0);
        assert_int_equal(hm_bech32_decode("hm", text, out, len, NULL), 0);
        assert_memory_equal(in, out, len);
        at = 3 + hm_random_u64(&random) % (strlen(text) - 3);
        kept = text[at];
        for (size_t i = 0; i < 32; i++) {
            text[at] = alphabet[i];
            assert_int_equal(hm_bech32_decode("hm", text, out, len, NULL),
                             alphabet[i] == kept ? 0 : HM_EPARSE);
        }
    }
}

static void test_limits(void **state)
{
    uint8_t bytes[100] = {0};
    char text[HM_BECH32_MAX_CHARS + 1] = "kept";
    char longer[HM_BECH32_MAX_CHARS + 10];

    (void)state;
    assert_int_equal(hm_bech32_encode("hm", bytes, 70, text), HM_ELIMIT);
    assert_int_equal(hm_bech32_encode("", bytes, 1, text), HM_EINVAL);
    assert_int_equal(hm_bech32_encode("HM", bytes, 1, text), HM_EINVAL);
    assert_int_equal(hm_bech32_encode("seventeen-letters", bytes, 1, text), HM_EINVAL);
    assert_string_equal(text, "kept");
    memset(longer, 'q', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memcpy(longer, "hm1", 3);
    wrong("hm", longer, "longer than 120");
}

/* Longer than an address: what went in comes out, and no single mistake is taken. */
static void test_long(void **state)
{
    struct hm_random_seeded seed;
    struct hm_random random = hm_random_seeded_source(&seed, 11);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint8_t data[1300];

    (void)state;
    assert_int_equal(random.fill(random.ctx, data, sizeof(data)), 0);
    for (size_t len = 0; len <= 1270; len += 127) {
        HM_CLEANUP(hm_buf) struct hm_buf back = {0};

        hm_buf_clear(&text);
        assert_int_equal(hm_bech32_encode_long("long", hm_slice_of(data, len), &text), 0);
        assert_int_equal(hm_bech32_decode_long("long", hm_buf_cstr(&text), &back, NULL), 0);
        assert_int_equal(back.len, len);
        assert_true(len == 0 || memcmp(back.data, data, len) == 0);
    }
    char *at = (char *)text.data;
    for (size_t i = 5; i < text.len; i += 13) {
        HM_CLEANUP(hm_buf) struct hm_buf back = {0};
        char kept = at[i];

        at[i] = kept == 'q' ? 'p' : 'q';
        assert_int_equal(hm_bech32_decode_long("long", hm_buf_cstr(&text), &back, NULL), HM_EPARSE);
        assert_int_equal(back.len, 0);
        at[i] = kept;
    }
    hm_buf_clear(&text);
    assert_int_equal(hm_bech32_encode_long("long", hm_slice_of(data, sizeof(data)), &text),
                     HM_ELIMIT);
    assert_int_equal(text.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bip350_valid),
        cmocka_unit_test(test_bip350_invalid),
        cmocka_unit_test(test_round_trip_and_single_errors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long),
    };

    return cmocka_run_group_tests_name("base_bech32", tests, NULL, NULL);
}
