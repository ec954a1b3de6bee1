#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto.h"

static int constant_fill(void *ctx, void *out, size_t len)
{
    if (ctx == NULL)
        return HM_EIO;
    memset(out, *(const uint8_t *)ctx, len);
    return 0;
}

/* With k = 2 a share is secret + factor * point: products of the field. FIPS 197, section 4.2. */
static void test_field(void **state)
{
    static const struct {
        uint8_t a, b, product;
    } known[] = {{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x57, 0x04, 0x47},
                 {0x57, 0x08, 0x8e}, {0x57, 0x10, 0x07}, {0x53, 0xca, 0x01}};
    uint8_t shares[CRYPTO_SHARES_MAX];
    const uint8_t secret = 0;
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(known); i++) {
        uint8_t factor = known[i].a;
        const struct hm_random random = {constant_fill, &factor};
        assert_int_equal(crypto_share_split(&secret, 1, 2, 255, &random, shares, NULL), 0);
        assert_int_equal(shares[known[i].b - 1], known[i].product);
    }
}

static void test_any_k(void **state)
{
    static uint8_t shares[255 * 32];
    static const unsigned cases[][2] = {{1, 1}, {1, 5}, {2, 2},     {2, 3},
                                        {3, 5}, {5, 9}, {128, 255}, {255, 255}};
    struct hm_random_seeded dice_state;
    struct hm_random dice = hm_random_seeded_source(&dice_state, 1);
    uint8_t secret[32], joined[32], points[255], chosen[255 * 32];
    (void)state;

    for (size_t c = 0; c < HM_COUNT_OF(cases); c++) {
        unsigned k = cases[c][0], n = cases[c][1];
        assert_int_equal(dice.fill(dice.ctx, secret, sizeof(secret)), 0);
        assert_int_equal(crypto_share_split(secret, 32, k, n, &dice, shares, NULL), 0);
        for (unsigned round = 0; round < 6; round++) {
            uint8_t order[255];
            for (unsigned i = 0; i < n; i++)
                order[i] = (uint8_t)i;
            for (unsigned i = 0; i < k; i++) { /* k of them, in any order */
                unsigned j = i + (unsigned)(hm_random_u64(&dice) % (n - i));
                uint8_t kept = order[i];
                order[i] = order[j];
                order[j] = kept;
                points[i] = (uint8_t)(order[i] + 1);
                memcpy(chosen + i * 32, shares + order[i] * 32u, 32);
            }
            assert_int_equal(crypto_share_join(points, chosen, k, 32, joined, NULL), 0);
            assert_memory_equal(joined, secret, 32);
            if (k > 1) {
                assert_int_equal(crypto_share_join(points, chosen, k - 1, 32, joined, NULL), 0);
                assert_memory_not_equal(joined, secret, 32);
                chosen[3] ^= 1;
                assert_int_equal(crypto_share_join(points, chosen, k, 32, joined, NULL), 0);
                assert_memory_not_equal(joined, secret, 32);
            }
        }
    }
}

/* One share of two: over all factors every value comes once, whatever the secret is. */
static void test_fewer_say_nothing(void **state)
{
    (void)state;
    for (unsigned secret_value = 0; secret_value < 256; secret_value += 51) {
        const uint8_t secret = (uint8_t)secret_value;
        uint8_t seen[256] = {0}, shares[3];
        for (unsigned factor = 0; factor < 256; factor++) {
            uint8_t byte = (uint8_t)factor;
            const struct hm_random random = {constant_fill, &byte};
            assert_int_equal(crypto_share_split(&secret, 1, 2, 3, &random, shares, NULL), 0);
            seen[shares[2]]++;
        }
        for (unsigned i = 0; i < 256; i++)
            assert_int_equal(seen[i], 1);
    }
}

static void test_refusals(void **state)
{
    const struct hm_random none = {constant_fill, NULL};
    uint8_t secret[32] = {0}, shares[3 * 32];
    struct hm_error error;
    (void)state;

    assert_int_equal(crypto_share_split(secret, 32, 0, 3, hm_random_system(), shares, &error),
                     HM_EINVAL);
    assert_int_equal(crypto_share_split(secret, 32, 4, 3, hm_random_system(), shares, &error),
                     HM_EINVAL);
    assert_int_equal(crypto_share_split(secret, 32, 1, 256, hm_random_system(), shares, &error),
                     HM_EINVAL);
    assert_int_equal(crypto_share_split(secret, 0, 2, 3, hm_random_system(), shares, &error),
                     HM_EINVAL);
    assert_int_equal(crypto_share_split(secret, 32, 2, 3, &none, shares, &error), HM_EIO);
    hm_alloc_fail_at(1);
    assert_int_equal(crypto_share_split(secret, 32, 2, 3, hm_random_system(), shares, &error),
                     HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(crypto_share_split(secret, 32, 2, 3, hm_random_system(), shares, &error), 0);
    assert_int_equal(crypto_share_join((const uint8_t[]){1, 1}, shares, 2, 32, secret, &error),
                     HM_EINVAL);
    assert_non_null(strstr(error.text, "share 1 is there twice"));
    assert_int_equal(crypto_share_join((const uint8_t[]){0, 1}, shares, 2, 32, secret, &error),
                     HM_EINVAL);
    assert_int_equal(crypto_share_join((const uint8_t[]){1}, shares, 0, 32, secret, &error),
                     HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_field),
        cmocka_unit_test(test_any_k),
        cmocka_unit_test(test_fewer_say_nothing),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
