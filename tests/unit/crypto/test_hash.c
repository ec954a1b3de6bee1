#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "crypto.h"

static void hash_is(const uint8_t hash[32], const char *expected)
{
    char text[65];

    hm_hex_encode(hash, 32, text);
    assert_string_equal(text, expected);
}

/* The input of BLAKE3's official vectors: 0, 1, ... 250, 0, 1, ... */
static void official_input(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i % 251);
}

static void test_official_vectors(void **state)
{
    uint8_t input[1025];
    uint8_t hash[32];

    (void)state;
    official_input(input, sizeof(input));
    crypto_hash(NULL, 0, hash);
    hash_is(hash, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    crypto_hash(input, 1, hash);
    hash_is(hash, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213");
    crypto_hash(input, 1024, hash);
    hash_is(hash, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7");
    crypto_hash(input, 1025, hash);
    hash_is(hash, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444");
    crypto_hash_parts("BLAKE3 2019-12-27 16:29:52 test vectors context", NULL, 0, hash);
    hash_is(hash, "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d");
}

static void test_parts_join_and_contexts_part(void **state)
{
    const struct hm_slice parts[] = {hm_slice_str("ab"), {NULL, 0}, hm_slice_str("c")};
    const struct hm_slice whole = hm_slice_str("abc");
    uint8_t a[32];
    uint8_t b[32];

    (void)state;
    crypto_hash_parts("hypermesh 1 test", parts, 3, a);
    crypto_hash_parts("hypermesh 1 test", &whole, 1, b);
    assert_memory_equal(a, b, 32);
    crypto_hash_parts("hypermesh 1 tesu", &whole, 1, b);
    assert_memory_not_equal(a, b, 32);
    crypto_hash("abc", 3, b);
    assert_memory_not_equal(a, b, 32);
}

static void test_hasher_forks(void **state)
{
    struct crypto_hasher first;
    struct crypto_hasher second;
    uint8_t a[32];
    uint8_t b[32];

    (void)state;
    crypto_hasher_init(&first);
    crypto_hasher_update(&first, "ab", 2);
    second = first;
    crypto_hasher_update(&first, "c", 1);
    crypto_hasher_update(&second, NULL, 0);
    crypto_hasher_final(&first, a);
    crypto_hash("abc", 3, b);
    assert_memory_equal(a, b, 32);
    crypto_hasher_final(&second, a);
    crypto_hash("ab", 2, b);
    assert_memory_equal(a, b, 32);
    crypto_hasher_init_context(&first, "hypermesh 1 test");
    crypto_hasher_update(&first, "abc", 3);
    crypto_hasher_final(&first, a);
    crypto_hash_parts("hypermesh 1 test", &(struct hm_slice){(const uint8_t *)"abc", 3}, 1, b);
    assert_memory_equal(a, b, 32);
}

/* Every length around the one-chunk kernel, counts around the batch and the SIMD widths. */
static void test_many_equals_one_by_one(void **state)
{
    static const size_t lengths[] = {0, 1, 63, 64, 65, 128, 192, 512, 960, 1023, 1024, 1025, 4096};
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 130};
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 3);
    uint8_t *messages = hm_malloc(130 * 4096);
    uint8_t outs[130 * 32 + 1];
    uint8_t expected[32];

    (void)state;
    assert_non_null(messages);
    assert_int_equal(random.fill(random.ctx, messages, 130 * 4096), 0);
    for (size_t l = 0; l < HM_COUNT_OF(lengths); l++) {
        for (size_t c = 0; c < HM_COUNT_OF(counts); c++) {
            memset(outs, 0xEE, sizeof(outs));
            crypto_hash_many(messages, counts[c], lengths[l], outs);
            for (size_t i = 0; i < counts[c]; i++) {
                crypto_hash(messages + i * lengths[l], lengths[l], expected);
                assert_memory_equal(outs + i * 32, expected, 32);
            }
            assert_int_equal(outs[counts[c] * 32], 0xEE);
        }
    }
    hm_free(messages);
}

/* Streamed, which never takes the short way. */
static void streamed(const uint8_t *data, size_t len, uint8_t out[32])
{
    struct crypto_hasher hasher;

    crypto_hasher_init(&hasher);
    crypto_hasher_update(&hasher, data, len);
    crypto_hasher_final(&hasher, out);
}

/* Every length up to two chunks by all three ways. */
static void test_short_equals_streamed(void **state)
{
    uint8_t input[2100];
    uint8_t expected[32];
    uint8_t out[32];

    (void)state;
    official_input(input, sizeof(input));
    for (size_t len = 0; len <= sizeof(input); len++) {
        struct hm_slice message = hm_slice_of(input, len);

        streamed(input, len, expected);
        crypto_hash(input, len, out);
        assert_memory_equal(out, expected, 32);
        crypto_hash_each(&message, 1, out);
        assert_memory_equal(out, expected, 32);
    }
}

static void test_each_takes_any_lengths(void **state)
{
    enum { MOST = 300 };
    static const size_t spread[] = {1, 8, 70, 1400}; /* lengths differ by less than so much */
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 4);
    struct hm_slice messages[MOST];
    uint8_t input[2048];
    uint8_t outs[MOST * 32 + 1];
    uint8_t expected[32];

    (void)state;
    assert_int_equal(random.fill(random.ctx, input, sizeof(input)), 0);
    for (size_t s = 0; s < HM_COUNT_OF(spread); s++) {
        for (size_t base = 0; base < 500; base += 31) {
            size_t count = (base * 7 + s) % MOST;

            for (size_t i = 0; i < count; i++)
                messages[i] = hm_slice_of(input + i % 100, base + (i * 37) % spread[s]);
            memset(outs, 0xEE, sizeof(outs));
            crypto_hash_each(messages, count, outs);
            for (size_t i = 0; i < count; i++) {
                streamed(messages[i].data, messages[i].len, expected);
                assert_memory_equal(outs + i * 32, expected, 32);
            }
            assert_int_equal(outs[count * 32], 0xEE);
        }
    }
}

/* Keys of contexts are remembered: more of them than there is room for, told by their text and not by where it
 * lies, the longest of them not remembered at all. */
static void test_contexts_are_told_by_their_text(void **state)
{
    char context[80];
    uint8_t input[1500];
    uint8_t expected[32];
    uint8_t out[32];

    (void)state;
    official_input(input, sizeof(input));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 200; i++) {
            const struct hm_slice parts[] = {
                {input, i}, {NULL, 0}, {input + i, i % 2 == 0 ? 40 : 1024 - i}, {input, i % 3}};
            struct crypto_hasher hasher;

            (void)snprintf(context, sizeof(context), "%0*u", (int)(i % 70), i);
            crypto_hasher_init_context(&hasher, context);
            for (size_t p = 0; p < HM_COUNT_OF(parts); p++)
                crypto_hasher_update(&hasher, parts[p].data, parts[p].len);
            crypto_hasher_final(&hasher, expected);
            crypto_hash_parts(context, parts, HM_COUNT_OF(parts), out);
            assert_memory_equal(out, expected, 32);
        }
    }
}

/* FIPS 180-4: "abc", and the empty message */
static void test_sha256(void **state)
{
    struct crypto_sha256 *sha = NULL;
    uint8_t out[32];

    (void)state;
    assert_int_equal(crypto_sha256_new(&sha), 0);
    crypto_sha256_update(sha, "a", 1);
    crypto_sha256_update(sha, NULL, 0);
    crypto_sha256_update(sha, "bc", 2);
    crypto_sha256_final(sha, out);
    hash_is(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256_free(sha);
    assert_int_equal(crypto_sha256_new(&sha), 0);
    crypto_sha256_final(sha, out);
    hash_is(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    crypto_sha256_free(sha);
    crypto_sha256_free(NULL);
    sha = NULL;
    hm_alloc_fail_at(1);
    assert_int_equal(crypto_sha256_new(&sha), HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(sha);
}

/* RFC 6962, section 2.1, written down as it stands there, with the prefixes of crypto.h. */
static void merkle_by_definition(const uint8_t *hashes, size_t count, uint8_t out[32])
{
    uint8_t node[65] = {1};
    size_t split = 1;

    if (count == 1) {
        memcpy(out, hashes, 32);
        return;
    }
    while (split * 2 < count)
        split *= 2;
    merkle_by_definition(hashes, split, node + 1);
    merkle_by_definition(hashes + split * 32, count - split, node + 33);
    crypto_hash(node, sizeof(node), out);
}

static void test_merkle_shape(void **state)
{
    static const size_t more[] = {127, 128, 129, 191, 192, 193, 255, 256, 257, 300, 1000};
    static uint8_t hashes[1000 * 32];
    uint8_t root[32];
    uint8_t expected[32];
    uint8_t wrapped[33] = {0};

    (void)state;
    official_input(hashes, sizeof(hashes));
    crypto_merkle_root(NULL, 0, root);
    memset(expected, 0, 32);
    assert_memory_equal(root, expected, 32);
    crypto_merkle_root(hashes, 1, root);
    memcpy(wrapped + 1, hashes, 32);
    crypto_hash(wrapped, 33, expected);
    assert_memory_equal(root, expected, 32);
    for (size_t count = 2; count <= 70; count++) {
        crypto_merkle_root(hashes, count, root);
        merkle_by_definition(hashes, count, expected);
        assert_memory_equal(root, expected, 32);
    }
    for (size_t i = 0; i < HM_COUNT_OF(more); i++) {
        crypto_merkle_root(hashes, more[i], root);
        merkle_by_definition(hashes, more[i], expected);
        assert_memory_equal(root, expected, 32);
    }
}

static void test_merkle_sees_order_and_last_leaf(void **state)
{
    uint8_t hashes[4 * 32];
    uint8_t three[32];
    uint8_t other[32];

    (void)state;
    official_input(hashes, sizeof(hashes));
    memcpy(hashes + 96, hashes + 64, 32);
    crypto_merkle_root(hashes, 3, three);
    crypto_merkle_root(hashes, 4, other); /* the last leaf twice is another tree */
    assert_memory_not_equal(three, other, 32);
    memcpy(hashes, hashes + 32, 32);
    crypto_merkle_root(hashes, 3, other);
    assert_memory_not_equal(three, other, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_official_vectors),
        cmocka_unit_test(test_parts_join_and_contexts_part),
        cmocka_unit_test(test_hasher_forks),
        cmocka_unit_test(test_many_equals_one_by_one),
        cmocka_unit_test(test_short_equals_streamed),
        cmocka_unit_test(test_each_takes_any_lengths),
        cmocka_unit_test(test_contexts_are_told_by_their_text),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_merkle_shape),
        cmocka_unit_test(test_merkle_sees_order_and_last_leaf),
    };

    return cmocka_run_group_tests_name("crypto_hash", tests, NULL, NULL);
}
