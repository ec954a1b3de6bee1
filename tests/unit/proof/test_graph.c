/* The graph and the tree, against a second implementation written for clearness: labels in an array, the
 * tree by recursion as RFC 6962 draws it. Prints roots, which every compiler must get the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "plot_fixture.h"
#include "proof_graph.h"

static void naive_label(const uint8_t node[32], uint64_t segment_labels, uint64_t index,
                        uint8_t (*labels)[32])
{
    uint8_t message[128] = {0}, numbers[16], seed[32];
    const uint64_t first = index / segment_labels * segment_labels;
    uint64_t parents[3];

    if (index != first) {
        graph_parents(index - first, parents);
        memcpy(message, labels[first + parents[1]], 32);
        memcpy(message + 32, labels[first + parents[2]], 32);
        memcpy(message + 64, labels[index - 1], 32);
    }
    hm_put_be64(numbers, index / segment_labels);
    hm_put_be64(numbers + 8, segment_labels);
    const struct hm_slice parts[] = {hm_slice_of(node, 32), hm_slice_of(numbers, 16)};
    crypto_hash_parts("hypermesh 1 plot segment", parts, 2, seed);
    memcpy(message + 96, seed, 24);
    hm_put_be64(message + 120, index);
    crypto_hash(message, sizeof(message), labels[index]);
}

/* Root over count leaves: split at the largest power of two below count. */
static void naive_root(const uint8_t (*leaves)[32], size_t count, uint8_t out[32])
{
    uint8_t pair[64];
    size_t split = 1;

    if (count == 1) {
        memcpy(out, leaves[0], 32);
        return;
    }
    while (split * 2 < count)
        split *= 2;
    naive_root(leaves, split, pair);
    naive_root(leaves + split, count - split, pair + 32);
    crypto_hash(pair, sizeof(pair), out);
}

static void plot_is_what_it_should_be(void **state)
{
    static const uint64_t sizes[][2] = {{64, 64},    {128, 64},   {192, 64},    {320, 64},
                                        {448, 64},   {1024, 128}, {2560, 512},  {4096, 4096},
                                        {1152, 128}, {768, 256},  {10240, 1024}};
    static uint8_t labels[10240][32];

    (void)state;
    for (size_t s = 0; s < HM_COUNT_OF(sizes); s++) {
        struct plot_fixture fixture;
        Hypermesh__PlotCommitment plot;
        uint8_t root[32];
        char hex[65];

        assert_int_equal(plot_fixture_init(&fixture), 0);
        for (uint64_t i = 0; i < sizes[s][0]; i++)
            naive_label(fixture.node, sizes[s][1], i, labels);
        naive_root((const uint8_t(*)[32])labels, sizes[s][0], root);
        struct proof_plot *built = plot_fixture_plot(&fixture, sizes[s][0], sizes[s][1]);
        assert_non_null(built);
        proof_plot_commitment(built, &plot);
        assert_int_equal(plot.labels, sizes[s][0]);
        assert_int_equal(plot.segment_labels, sizes[s][1]);
        assert_int_equal(plot.root.len, 32);
        assert_memory_equal(plot.root.data, root, 32);
        hm_hex_encode(root, 32, hex);
        (void)printf("root plot %llu/%llu %s\n", (unsigned long long)sizes[s][0],
                     (unsigned long long)sizes[s][1], hex);
        proof_plot_close(built);
        plot_fixture_release(&fixture);
    }
}

/* A changed format must be a decision, not an accident. */
static void format_is_pinned(void **state)
{
    struct plot_fixture fixture;
    Hypermesh__PlotCommitment plot;
    char hex[65];

    (void)state;
    assert_int_equal(plot_fixture_init(&fixture), 0);
    struct proof_plot *built = plot_fixture_plot(&fixture, 192, 64);
    assert_non_null(built);
    proof_plot_commitment(built, &plot);
    hm_hex_encode(plot.root.data, 32, hex);
    assert_string_equal(hex, "89c77962641253950e15fa64e593833de6b71634703331105eb16a98f5c2b89c");
    proof_plot_close(built);
    plot_fixture_release(&fixture);
}

static void parents_lie_before(void **state)
{
    uint64_t parents[GRAPH_PARENTS];
    uint64_t far = 0;
    const uint64_t count = UINT64_C(1) << 20;

    (void)state;
    graph_parents(1, parents);
    assert_int_equal(parents[0] + parents[1] + parents[2], 0);
    for (uint64_t local = 2; local < count; local++) {
        graph_parents(local, parents);
        assert_int_equal(parents[0], local - 1);
        for (size_t i = 1; i < GRAPH_PARENTS; i++) {
            assert_true(parents[i] <= local - 2);
            far += local - parents[i] > local / 4 ? 1 : 0;
        }
    }
    /* Scales are equally likely: of 20 or so, the upper two reach further than a quarter. */
    assert_in_range(far, 2 * count / 20, 2 * count / 6);
}

static void paths_match_the_tree(void **state)
{
    struct graph_shape shape;

    (void)state;
    assert_int_equal(graph_shape_init(&shape, 320, 64, NULL), 0); /* five segments */
    assert_int_equal(shape.levels, 9);
    assert_int_equal(graph_path_nodes(&shape, 0), 9);
    assert_int_equal(graph_path_nodes(&shape, 255), 9);
    assert_int_equal(graph_path_nodes(&shape, 256), 7); /* the fifth goes straight to the top */
    assert_int_equal(graph_shape_init(&shape, 64, 64, NULL), 0);
    assert_int_equal(graph_path_nodes(&shape, 63), 6);
    assert_int_equal(
        graph_shape_init(&shape, PROOF_PLOT_LABELS_MAX, PROOF_SEGMENT_LABELS_DEFAULT, NULL), 0);
    assert_int_equal(shape.levels, 40);
}

static void bad_shapes(void **state)
{
    static const uint64_t bad[][2] = {
        {0, 0},
        {64, 0},
        {0, 64},
        {63, 63},
        {32, 32},
        {100, 100},
        {100, 64},
        {64, 128},
        {UINT64_C(1) << 41, 1 << 21},
        {UINT64_C(1) << 29, UINT64_C(1) << 29},
        {((UINT64_C(1) << 20) + 1) * 64, 64},
        {UINT64_MAX, UINT64_MAX},
        {UINT64_C(1) << 63, UINT64_C(1) << 63},
    };
    struct graph_shape shape;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(graph_shape_init(&shape, bad[i][0], bad[i][1], NULL), HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plot_is_what_it_should_be),
        cmocka_unit_test(format_is_pinned),
        cmocka_unit_test(parents_lie_before),
        cmocka_unit_test(paths_match_the_tree),
        cmocka_unit_test(bad_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
