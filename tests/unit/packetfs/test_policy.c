/* The policy: each row of docs/packetfs.md's table, both sides of each bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chunk/packetfs_chunk.h"

#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

static struct packetfs_parameters chosen(struct packetfs_circumstances c)
{
    struct packetfs_reason reasons[PACKETFS_REASONS] = {{0}};
    struct packetfs_parameters p = {0};
    struct packetfs_cutter *cutter = NULL;
    static const uint8_t key[PACKETFS_CHUNK_KEY_BYTES];

    packetfs_policy(&c, &p, reasons);
    for (size_t i = 0; i < PACKETFS_REASONS; i++) {
        assert_true(strlen(reasons[i].what) > 0 && strlen(reasons[i].value) > 0);
        assert_true(strlen(reasons[i].why) > 10);
    }
    /* Whatever it says can be made. */
    assert_int_equal(packetfs_cutter_new(p.chunker, key,
                                         &(struct packetfs_chunk_limits){p.chunk_min_bytes,
                                                                         p.chunk_average_bytes,
                                                                         p.chunk_max_bytes},
                                         &cutter, NULL),
                     0);
    packetfs_cutter_free(cutter);
    assert_true(p.suite == PACKETFS_SUITE_AES_256_GCM ||
                p.suite == PACKETFS_SUITE_CHACHA20_POLY1305);
    return p;
}

static void nothing_known_gives_the_defaults(void **state)
{
    struct packetfs_parameters p = chosen((struct packetfs_circumstances){0});

    (void)state;
    assert_int_equal(p.chunker, PACKETFS_CHUNKER_KEYED);
    assert_int_equal(p.chunk_min_bytes, packetfs_chunk_limits_default.min_bytes);
    assert_int_equal(p.chunk_average_bytes, packetfs_chunk_limits_default.average_bytes);
    assert_int_equal(p.chunk_max_bytes, packetfs_chunk_limits_default.max_bytes);
    assert_int_equal(p.zstd_level, 1);
    assert_false(p.no_padding);
    assert_false(p.no_dictionaries);
}

static void trust_alone_decides_what_is_hidden(void **state)
{
    (void)state;
    for (uint32_t link = 0; link < 20000; link += 700) {
        struct packetfs_parameters open = chosen(
            (struct packetfs_circumstances){.link_mbit = link, .trusted = true});
        struct packetfs_parameters closed = chosen(
            (struct packetfs_circumstances){.link_mbit = link});

        assert_true(open.chunker == PACKETFS_CHUNKER_FAST && open.no_padding);
        assert_true(closed.chunker == PACKETFS_CHUNKER_KEYED && !closed.no_padding);
    }
}

static void much_data_is_cut_coarsely(void **state)
{
    static const struct {
        uint64_t bytes;
        enum packetfs_redundancy redundancy;
        uint32_t average;
    } rows[] = {
        {1, PACKETFS_DATA_MIXED, 64 << 10},
        {TIB - 1, PACKETFS_DATA_MIXED, 64 << 10},
        {TIB, PACKETFS_DATA_MIXED, 128 << 10},
        {4 * TIB - 1, PACKETFS_DATA_REPETITIVE, 128 << 10},
        {4 * TIB, PACKETFS_DATA_REPETITIVE, 256 << 10},
        {UINT64_MAX, PACKETFS_DATA_PACKED, 256 << 10},
        {1, PACKETFS_DATA_REPETITIVE, 32 << 10},
        {256 * GIB, PACKETFS_DATA_REPETITIVE, 32 << 10},
        {256 * GIB + 1, PACKETFS_DATA_REPETITIVE, 64 << 10},
        {0, PACKETFS_DATA_REPETITIVE, 64 << 10},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++)
        assert_int_equal(chosen((struct packetfs_circumstances){.bytes = rows[i].bytes,
                                                                .redundancy = rows[i].redundancy})
                             .chunk_average_bytes,
                         rows[i].average);
}

static void the_link_decides_how_hard_to_press(void **state)
{
    static const struct {
        uint32_t link_mbit;
        int level, repetitive;
    } rows[] = {{0, 1, 3},    {1, 9, 9},    {100, 9, 9},       {101, 1, 3},
                {4999, 1, 3}, {5000, 1, 1}, {UINT32_MAX, 1, 1}};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        struct packetfs_circumstances c = {.link_mbit = rows[i].link_mbit};

        assert_int_equal(chosen(c).zstd_level, rows[i].level);
        c.redundancy = PACKETFS_DATA_REPETITIVE;
        assert_int_equal(chosen(c).zstd_level, rows[i].repetitive);
        c.redundancy = PACKETFS_DATA_PACKED;
        assert_int_equal(chosen(c).zstd_level, 100);
        assert_true(chosen(c).no_dictionaries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known_gives_the_defaults),
        cmocka_unit_test(trust_alone_decides_what_is_hidden),
        cmocka_unit_test(much_data_is_cut_coarsely),
        cmocka_unit_test(the_link_decides_how_hard_to_press),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
