/* Digests and Work: what is hashed, what counts as bits, and where the edges are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proof.h"

static void digest_is_one_block(void **state)
{
    uint8_t block[64] = "hypermesh 1 tx";
    uint8_t body[32], expected[32], digest[32];

    (void)state;
    memset(body, 0xab, sizeof(body));
    memcpy(block + 24, body, sizeof(body));
    hm_put_be64(block + 56, UINT64_C(0x0102030405060708));
    crypto_hash(block, sizeof(block), expected);
    proof_tx_digest(body, UINT64_C(0x0102030405060708), digest);
    assert_memory_equal(digest, expected, 32);
}

static void digests_are_apart(void **state)
{
    const struct hm_slice same = hm_slice_str("the same bytes");
    uint8_t a[32], b[32], c[32];

    (void)state;
    proof_body_digest(same, a);
    proof_batch_digest(same, b);
    proof_block_hash(same, c);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(b, c, 32);
    assert_memory_not_equal(a, c, 32);
}

static void ids_depend_on_every_part(void **state)
{
    uint8_t owner[32] = {1}, other[32] = {2}, a[32], b[32];

    (void)state;
    proof_asset_id(owner, HYPERMESH__ASSET_KIND__CPU, "cpu-0", a);
    proof_asset_id(owner, HYPERMESH__ASSET_KIND__CPU, "cpu-1", b);
    assert_memory_not_equal(a, b, 32);
    proof_asset_id(owner, HYPERMESH__ASSET_KIND__MEMORY, "cpu-0", b);
    assert_memory_not_equal(a, b, 32);
    proof_asset_id(other, HYPERMESH__ASSET_KIND__CPU, "cpu-0", b);
    assert_memory_not_equal(a, b, 32);
    proof_asset_id(owner, HYPERMESH__ASSET_KIND__CPU, "cpu-0", b);
    assert_memory_equal(a, b, 32);
    proof_presence_next(owner, other, a);
    proof_presence_next(other, owner, b);
    assert_memory_not_equal(a, b, 32);
}

static void solve_finds_the_first_nonce(void **state)
{
    uint8_t body[32] = {4, 2}, digest[32], again[32];
    uint64_t nonce = 0;
    struct hm_error error = {0};

    (void)state;
    for (unsigned bits = 0; bits <= 12; bits++) {
        uint64_t first = 0;
        assert_int_equal(proof_work_solve(body, bits, &nonce, digest, &error), 0);
        proof_tx_digest(body, nonce, again);
        assert_memory_equal(digest, again, 32);
        assert_int_equal(proof_work_verify(digest, bits, &error), 0);
        for (;; first++) {
            proof_tx_digest(body, first, again);
            if (proof_work_bits(again) >= bits)
                break;
        }
        assert_int_equal(nonce, first);
    }
}

static void work_does_not_move_to_another_body(void **state)
{
    uint8_t body[32] = {4, 2}, digest[32];
    uint64_t nonce = 0;
    struct hm_error error = {0};
    unsigned passed = 0;

    (void)state;
    assert_int_equal(proof_work_solve(body, 16, &nonce, digest, &error), 0);
    for (unsigned i = 0; i < 32; i++) {
        body[i] ^= 1;
        proof_tx_digest(body, nonce, digest);
        passed += proof_work_verify(digest, 16, &error) == 0;
        body[i] ^= 1;
    }
    assert_int_equal(passed, 0);
    assert_int_equal(error.code, HM_EPROOF_WORK);
}

static void bits_at_every_edge(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 256; bits++) {
        uint8_t digest[32] = {0};
        memset(digest + bits / 8, 0xff, 32 - bits / 8);
        digest[bits / 8] = (uint8_t)(0xff >> bits % 8);
        assert_int_equal(proof_work_bits(digest), bits);
        assert_int_equal(proof_work_verify(digest, bits, NULL), 0);
        assert_int_equal(proof_work_verify(digest, bits + 1, NULL), HM_EPROOF_WORK);
    }
    const uint8_t zero[32] = {0};
    assert_int_equal(proof_work_bits(zero), 256);
}

static void too_many_bits_are_refused(void **state)
{
    uint8_t body[32] = {0}, digest[32] = {7};
    uint64_t nonce = 99;
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(proof_work_solve(body, PROOF_WORK_BITS_MAX + 1, &nonce, digest, &error),
                     HM_ERANGE);
    assert_int_equal(nonce, 99);
    assert_int_equal(digest[0], 7);
    assert_non_null(strstr(error.text, "41 bits"));
}

static int setup(void **state)
{
    (void)state;
    return crypto_setup(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_is_one_block),
        cmocka_unit_test(digests_are_apart),
        cmocka_unit_test(ids_depend_on_every_part),
        cmocka_unit_test(solve_finds_the_first_nonce),
        cmocka_unit_test(work_does_not_move_to_another_body),
        cmocka_unit_test(bits_at_every_edge),
        cmocka_unit_test(too_many_bits_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
