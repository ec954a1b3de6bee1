/* Chunkers: one cut whatever the form and however the bytes come; limits; insertions; lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chunk/packetfs_chunk_inner.h"

static const struct packetfs_chunk_limits SMALL = {256, 1024, 4096};
static const uint8_t KEY[32] = "a key of thirty-two bytes, fixed";
static const enum packetfs_chunker KINDS[] = {PACKETFS_CHUNKER_KEYED, PACKETFS_CHUNKER_FAST};

/* A sequence without a pattern (splitmix64, Steele and others 2014). */
static uint64_t mixed(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint8_t *random_bytes(size_t len, uint64_t seed)
{
    uint8_t *data = hm_malloc(len);

    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)mixed(&seed);
    return data;
}

static struct packetfs_cutter *cutter_of(enum packetfs_chunker kind,
                                         const struct packetfs_chunk_limits *limits,
                                         enum packetfs_chunk_form most)
{
    struct packetfs_cutter *cutter = NULL;
    struct hm_error error = {0};

    assert_int_equal(packetfs_cutter_new_form(kind, KEY, limits, most, &cutter, &error), 0);
    assert_non_null(cutter);
    return cutter;
}

/* All cuts of the whole; ends[] as positions. */
static size_t cut_all(const struct packetfs_cutter *cutter, const uint8_t *data, size_t len,
                      size_t *ends, size_t most)
{
    size_t count = 0, at = 0;

    while (at < len) {
        size_t n = packetfs_cutter_next(cutter, data + at, len - at, true);

        assert_true(n > 0 && n <= len - at && n <= packetfs_cutter_max(cutter));
        at += n;
        assert_true(count < most);
        ends[count++] = at;
    }
    return count;
}

#define MOST 65536

static void aes_is_the_standards(void **state)
{
    /* FIPS 197, appendix B and C.1 */
    static const uint8_t key[2][16] = {{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7,
                                        0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c},
                                       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    static const uint8_t in[2][16] = {{0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d, 0x31, 0x31,
                                       0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34},
                                      {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
                                       0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};
    static const uint8_t out[2][16] = {{0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb, 0xdc, 0x11,
                                        0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32},
                                       {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd,
                                        0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a}};
    struct packetfs_chunk_plain *tables = hm_calloc(1, sizeof(*tables));

    (void)state;
    assert_non_null(tables);
    for (size_t i = 0; i < 2; i++) {
        struct packetfs_chunk_keyed keyed = {0};
        uint8_t block[16];

        packetfs_chunk_aes_expand(key[i], &keyed.aes);
        packetfs_chunk_plain_tables(&keyed, tables);
        packetfs_chunk_aes_block(&keyed.aes, tables, in[i], block);
        assert_memory_equal(block, out[i], 16);
    }
    hm_free(tables);
}

/* The hash bit by bit, as packetfs_chunk_inner.h writes it, and AES on it. */
static uint32_t value_by_definition(const struct packetfs_chunk_keyed *keyed,
                                    const struct packetfs_chunk_plain *tables, const uint8_t *data,
                                    size_t e)
{
    uint8_t hash[16] = {0}, out[16];

    for (size_t i = 0; i < 128; i++) {
        unsigned sum = 0;

        for (size_t m = 1; m < 640; m++) {
            size_t n = 8 * e + i - m;

            if (n < 8 * e)
                sum ^= (keyed->taps[m / 8] >> m % 8 & 1) & (data[n / 8] >> n % 8 & 1);
        }
        hash[i / 8] |= (uint8_t)(sum << i % 8);
    }
    packetfs_chunk_aes_block(&keyed->aes, tables, hash, out);
    return (uint32_t)out[0] << 24 | (uint32_t)out[13] << 16 | (uint32_t)out[10] << 8 | out[7];
}

/* Asks each form for each position alone with thresholds on both sides of the value. */
static void forms_follow_the_definition(void **state)
{
    struct packetfs_cutter *form[PACKETFS_CHUNK_FORMS];
    uint8_t *data = random_bytes(1024, 7);

    (void)state;
    for (size_t f = 0; f < PACKETFS_CHUNK_FORMS; f++)
        form[f] = cutter_of(PACKETFS_CHUNKER_KEYED, &SMALL, (enum packetfs_chunk_form)f);
    for (size_t e = 256; e <= 1024; e += 1 + e % 7) {
        uint32_t value = value_by_definition(&form[0]->keyed, form[0]->keyed.plain, data, e);

        for (size_t f = 0; f < PACKETFS_CHUNK_FORMS; f++) {
            assert_int_equal(form[f]->scan(form[f], data, e, e, value), 0);
            assert_int_equal(form[f]->scan(form[f], data, e, e, (uint64_t)value + 1), e);
        }
    }
    for (size_t f = 0; f < PACKETFS_CHUNK_FORMS; f++)
        packetfs_cutter_free(form[f]);
    hm_free(data);
}

static void every_form_cuts_alike(void **state)
{
    static const struct packetfs_chunk_limits limits[] = {
        {256, 512, 1024}, {256, 1024, 4096}, {300, 1024, 2048}, {16384, 65536, 262144}};
    size_t len = 1500000;
    uint8_t *data = random_bytes(len, 1);
    size_t *a = hm_calloc(MOST, sizeof(*a)), *b = hm_calloc(MOST, sizeof(*b));

    (void)state;
    memset(data + 100000, 0, 50000);
    for (size_t i = 200000; i < 300000; i++)
        data[i] = (uint8_t)(i % 7);
    for (size_t k = 0; k < 2; k++)
        for (size_t l = 0; l < 4; l++) {
            struct packetfs_cutter *plain = cutter_of(KINDS[k], &limits[l], PACKETFS_CHUNK_PLAIN);
            size_t count = cut_all(plain, data, len, a, MOST);

            for (size_t form = 1; form < PACKETFS_CHUNK_FORMS; form++) {
                struct packetfs_cutter *other = cutter_of(KINDS[k], &limits[l],
                                                          (enum packetfs_chunk_form)form);

                assert_int_equal(cut_all(other, data, len, b, MOST), count);
                assert_memory_equal(a, b, count * sizeof(*a));
                packetfs_cutter_free(other);
            }
            packetfs_cutter_free(plain);
        }
    hm_free(a);
    hm_free(b);
    hm_free(data);
}

/* Cuts are for ever: a volume made today is cut so in ten years. */
static void cuts_are_these(void **state)
{
    static const size_t first[2][4] = {{1339, 2512, 3921, 4250}, {1002, 1866, 2736, 3866}};
    uint8_t *data = random_bytes(20000, 99);

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1);
        size_t ends[100];

        assert_true(cut_all(cutter, data, 20000, ends, 100) >= 4);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(ends[i], first[k][i]);
        packetfs_cutter_free(cutter);
    }
    hm_free(data);
}

/* One byte more at a time: 0 until the cut is known, then the same cut, and no sooner than its last byte. */
static void bytes_may_come_singly(void **state)
{
    size_t len = 40000;
    uint8_t *data = random_bytes(len, 2);
    size_t *ends = hm_calloc(MOST, sizeof(*ends));

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1);
        size_t count = cut_all(cutter, data, len, ends, MOST), at = 0;

        for (size_t i = 0; i + 1 < count; i++) {
            size_t expect = ends[i] - at;

            for (size_t have = 0; have < expect; have += have + 7 < expect ? 7 : 1)
                assert_int_equal(packetfs_cutter_next(cutter, data + at, have, false), 0);
            for (size_t have = expect; have < expect + 200 && at + have <= len; have++)
                assert_int_equal(packetfs_cutter_next(cutter, data + at, have, false), expect);
            at = ends[i];
        }
        assert_int_equal(packetfs_cutter_next(cutter, data, 0, true), 0);
        assert_int_equal(packetfs_cutter_next(cutter, data, 1, true), 1);
        assert_int_equal(packetfs_cutter_next(cutter, data, 1, false), 0);
        packetfs_cutter_free(cutter);
    }
    hm_free(ends);
    hm_free(data);
}

/* Nothing behind the bytes at hand is read: they end where memory ends (the sanitizer looks). */
static void reads_only_what_it_has(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (size_t form = 0; form < PACKETFS_CHUNK_FORMS; form++) {
            struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL,
                                                       (enum packetfs_chunk_form)form);

            for (size_t len = 1; len < 1200; len += len < 250 ? 50 : 1) {
                uint8_t *data = random_bytes(len, 5);
                size_t n = packetfs_cutter_next(cutter, data, len, true);

                assert_true(n > 0 && n <= len);
                hm_free(data);
            }
            packetfs_cutter_free(cutter);
        }
}

static void equal_bytes_are_cut_at_most(void **state)
{
    size_t len = 3 * 4096 + 100;
    uint8_t *data = hm_calloc(1, len);

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1);
        size_t first = packetfs_cutter_next(cutter, data, len, true), ends[100];

        /* One window, one answer: at min or never. With this key, never. */
        assert_int_equal(first, SMALL.max_bytes);
        assert_int_equal(cut_all(cutter, data, len, ends, 100), 4);
        packetfs_cutter_free(cutter);
    }
    hm_free(data);
}

/* Bytes put in front change a few chunks; all further cuts stay at their bytes. */
static void an_insertion_moves_few_cuts(void **state)
{
    size_t len = 400000, shift = 1000;
    uint8_t *data = random_bytes(len + shift, 3);
    size_t *a = hm_calloc(MOST, sizeof(*a)), *b = hm_calloc(MOST, sizeof(*b));

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1);
        size_t n = cut_all(cutter, data + shift, len, a, MOST);
        size_t m = cut_all(cutter, data, len + shift, b, MOST), same = 0;

        while (same < n && same < m && a[n - 1 - same] + shift == b[m - 1 - same])
            same++;
        assert_true(n > 200);
        assert_true(n - same < 30);
        packetfs_cutter_free(cutter);
    }
    hm_free(a);
    hm_free(b);
    hm_free(data);
}

static void lengths_are_as_promised(void **state)
{
    size_t len = 4000000;
    uint8_t *data = random_bytes(len, 4);
    size_t *ends = hm_calloc(MOST, sizeof(*ends));

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *cutter = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1);
        size_t count = cut_all(cutter, data, len, ends, MOST), at = 0;
        double mean = (double)len / (double)count;

        for (size_t i = 0; i < count; i++) {
            size_t n = ends[i] - at;

            at = ends[i];
            assert_true(n <= SMALL.max_bytes && (n >= SMALL.min_bytes || i + 1 == count));
        }
        assert_true(mean > 0.94 * SMALL.average_bytes && mean < 1.06 * SMALL.average_bytes);
        packetfs_cutter_free(cutter);
    }
    hm_free(ends);
    hm_free(data);
}

static void another_key_cuts_elsewhere(void **state)
{
    static const uint8_t other[32] = "another key of thirty-two bytes.";
    size_t len = 200000, at = 0, common = 0;
    uint8_t *data = random_bytes(len, 6);
    size_t a[1000], b[1000];

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct packetfs_cutter *one = cutter_of(KINDS[k], &SMALL, PACKETFS_CHUNK_FORMS - 1), *two;
        size_t n = cut_all(one, data, len, a, 1000), m;

        assert_int_equal(packetfs_cutter_new(KINDS[k], other, &SMALL, &two, NULL), 0);
        m = cut_all(two, data, len, b, 1000);
        at = common = 0;
        for (size_t i = 0; i < n; i++) {
            while (at < m && b[at] < a[i])
                at++;
            common += at < m && a[i] == b[at];
        }
        assert_true(common < 5);
        packetfs_cutter_free(one);
        packetfs_cutter_free(two);
    }
    hm_free(data);
}

static void bad_limits_are_refused(void **state)
{
    static const struct packetfs_chunk_limits bad[] = {
        {255, 1024, 4096},          {513, 1024, 4096}, {256, 1000, 4096}, {256, 1024, 2047},
        {256, 1024, (1 << 20) + 1}, {256, 0, 4096},    {0, 0, 0}};
    static const struct packetfs_chunk_limits edge[] = {{256, 512, 1024},
                                                        {1 << 18, 1 << 19, 1 << 20}};
    struct packetfs_cutter *cutter = NULL;
    struct hm_error error = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        assert_int_equal(packetfs_cutter_new(PACKETFS_CHUNKER_KEYED, KEY, &bad[i], &cutter, &error),
                         HM_EINVAL);
        assert_true(strlen(error.text) > 10);
        assert_null(cutter);
    }
    assert_int_equal(packetfs_cutter_new((enum packetfs_chunker)3, KEY, &SMALL, &cutter, NULL),
                     HM_EINVAL);
    for (size_t i = 0; i < HM_COUNT_OF(edge); i++) {
        assert_int_equal(packetfs_cutter_new(PACKETFS_CHUNKER_FAST, KEY, &edge[i], &cutter, NULL),
                         0);
        packetfs_cutter_free(cutter);
        cutter = NULL;
    }
    packetfs_cutter_free(NULL);
}

static void memory_may_be_out(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (size_t form = 0; form < PACKETFS_CHUNK_FORMS; form++)
            for (unsigned long nth = 1;; nth++) {
                struct packetfs_cutter *cutter = NULL;
                int rc;

                hm_alloc_fail_at(nth);
                rc = packetfs_cutter_new_form(KINDS[k], KEY, &SMALL, (enum packetfs_chunk_form)form,
                                              &cutter, NULL);
                hm_alloc_fail_at(0);
                packetfs_cutter_free(cutter);
                if (rc == 0)
                    break;
                assert_int_equal(rc, HM_ENOMEM);
                assert_null(cutter);
                assert_true(nth < 5);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aes_is_the_standards),
        cmocka_unit_test(forms_follow_the_definition),
        cmocka_unit_test(every_form_cuts_alike),
        cmocka_unit_test(cuts_are_these),
        cmocka_unit_test(bytes_may_come_singly),
        cmocka_unit_test(reads_only_what_it_has),
        cmocka_unit_test(equal_bytes_are_cut_at_most),
        cmocka_unit_test(an_insertion_moves_few_cuts),
        cmocka_unit_test(lengths_are_as_promised),
        cmocka_unit_test(another_key_cuts_elsewhere),
        cmocka_unit_test(bad_limits_are_refused),
        cmocka_unit_test(memory_may_be_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
