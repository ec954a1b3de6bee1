/* What an open plot keeps in memory changes how it reads, not what it says: small plots are read here as large ones
 * are, and the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "plot_fixture.h"
#include "proof_plot_open.h"

#define SEGMENT (UINT64_C(1) << 15) /* two pages of stored nodes above the labels */
#define LABELS  (3 * SEGMENT)
#define ALL     UINT64_MAX

static struct plot_fixture fixture;
static struct plot_layout layout;

static int setup(void **state)
{
    (void)state;
    if (plot_fixture_init(&fixture) != 0)
        return -1;
    return proof_plot_create(fixture.path, fixture.node, LABELS, SEGMENT, NULL, NULL, NULL) != 0 ||
           plot_layout_init(&layout, LABELS, SEGMENT, NULL) != 0;
}

static int teardown(void **state)
{
    (void)state;
    plot_fixture_release(&fixture);
    return 0;
}

/* Memory for the trees, and not for the nodes in the groups. */
static uint64_t trees_only(void)
{
    return layout.shape.segments * layout.tree_bytes;
}

static struct proof_plot *open_limited(uint64_t memory_max_bytes)
{
    struct proof_plot *plot = NULL;
    struct hm_error error = {0};

    if (plot_open_limited(fixture.path, fixture.node, memory_max_bytes, &plot, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(plot->trees != NULL, memory_max_bytes > 0);
    assert_int_equal(plot->mids != NULL,
                     memory_max_bytes == ALL && plot->layout.group_labels == PLOT_GROUP_LABELS);
    return plot;
}

/* As a node would send them. */
static struct hm_slice packed(const struct proof_plot *plot, uint32_t round, bool with_parents,
                              struct hm_arena *arena)
{
    Hypermesh__SpaceCommit commit = HYPERMESH__SPACE_COMMIT__INIT;
    Hypermesh__PlotCommitment commitment;
    struct hm_error error = {0};

    hm_put_be32(fixture.challenge, round);
    proof_plot_commitment(plot, &commitment);
    commit.plot = &commitment;
    commit.n_openings = PROOF_OPENINGS_MAX;
    if (proof_plot_open_at(plot, fixture.challenge, PROOF_OPENINGS_MAX, with_parents, arena,
                           &commit.openings, &error) != 0 ||
        proof_space_verify(fixture.node, &commitment, fixture.challenge, commit.openings,
                           PROOF_OPENINGS_MAX, PROOF_OPENINGS_MAX, with_parents, &error) != 0)
        fail_msg("%s", error.text);
    uint8_t *bytes = hm_arena_alloc(arena, hypermesh__space_commit__get_packed_size(&commit));
    assert_non_null(bytes);
    return hm_slice_of(bytes, hypermesh__space_commit__pack(&commit, bytes));
}

static void openings_are_the_same(void)
{
    struct proof_plot *file = open_limited(0), *trees = open_limited(trees_only());
    struct proof_plot *all = open_limited(ALL);
    const struct proof_plot *const plots[] = {trees, all, all}; /* again: from what was kept */

    for (uint32_t round = 0; round < 20; round++) {
        for (unsigned with_parents = 0; with_parents < 2; with_parents++) {
            hm_arena_clear(&fixture.arena);
            struct hm_slice first = packed(file, round, with_parents, &fixture.arena);
            for (size_t i = 0; i < HM_COUNT_OF(plots); i++) {
                struct hm_slice other = packed(plots[i], round, with_parents, &fixture.arena);
                assert_int_equal(first.len, other.len);
                assert_memory_equal(first.data, other.data, first.len);
            }
        }
    }
    proof_plot_close(file);
    proof_plot_close(trees);
    proof_plot_close(all);
}

static void every_shape(void **state)
{
    static const uint64_t shapes[][2] = {{64, 64},         {192, 64},   {128, 128},
                                         {640, 128},       {2560, 512}, {1 << 14, 1 << 14},
                                         {LABELS, SEGMENT}};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(shapes); i++) { /* the last stays for the other tests */
        assert_int_equal(proof_plot_create(fixture.path, fixture.node, shapes[i][0], shapes[i][1],
                                           NULL, NULL, NULL),
                         0);
        assert_int_equal(plot_layout_init(&layout, shapes[i][0], shapes[i][1], NULL), 0);
        openings_are_the_same();
    }
}

/* Only groups that were opened are kept, and what is kept is what the labels lead to. */
static void kept_nodes_are_right(void **state)
{
    struct proof_plot *plot = open_limited(ALL);
    size_t kept = 0;
    uint8_t nodes[PLOT_GROUP_LABELS * 32];

    (void)state;
    hm_arena_clear(&fixture.arena);
    (void)packed(plot, 7, false, &fixture.arena);
    for (uint64_t group = 0; group < LABELS / PLOT_GROUP_LABELS; group++) {
        if (plot->mid_states[group] != PLOT_MID_KNOWN)
            continue;
        kept++;
        const uint64_t segment = group / layout.groups;
        assert_int_equal(plot_read_at(plot->fd, nodes, sizeof(nodes),
                                      plot_layout_segment_offset(&layout, segment) +
                                          group % layout.groups * sizeof(nodes),
                                      NULL),
                         0);
        size_t count = PLOT_GROUP_LABELS;
        while (count > PLOT_MIDS)
            count = graph_level_up(nodes, count, nodes);
        const uint8_t *mids = plot->mids + group * PLOT_MID_BYTES;
        assert_memory_equal(mids, nodes, 4 * 32);
        (void)graph_level_up(nodes, count, nodes);
        assert_memory_equal(mids + 4 * 32, nodes, 2 * 32);
    }
    assert_in_range(kept, PROOF_OPENINGS_MAX / 2, PROOF_OPENINGS_MAX);
    proof_plot_close(plot);
}

static void flip(int fd, uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(plot_read_at(fd, &byte, 1, offset, NULL), 0);
    byte ^= 1;
    assert_int_equal(plot_write_at(fd, &byte, 1, offset, NULL), 0);
}

static void damaged(const struct proof_plot *plot)
{
    Hypermesh__PlotOpening **openings = NULL;
    struct hm_error error = {0};

    assert_int_equal(proof_plot_open_at(plot, fixture.challenge, PROOF_OPENINGS_MAX, true,
                                        &fixture.arena, &openings, &error),
                     HM_ECORRUPT);
    assert_null(openings);
    assert_non_null(strstr(error.text, fixture.path));
    assert_non_null(strstr(error.text, "build it again"));
}

/* Damage after the plot was opened, and after the place was read once. */
static void damage_while_open(void **state)
{
    const uint64_t limits[] = {0, trees_only(), ALL};
    HM_AUTOCLOSE int fd = open(fixture.path, O_RDWR | O_CLOEXEC);
    uint64_t position;

    (void)state;
    assert_true(fd >= 0);
    for (size_t i = 0; i < HM_COUNT_OF(limits); i++) {
        struct proof_plot *plot = open_limited(limits[i]);
        for (uint32_t round = 0; round < 10; round++) {
            hm_arena_clear(&fixture.arena);
            if (round > 0)
                (void)packed(plot, round, true, &fixture.arena);
            hm_put_be32(fixture.challenge, round);
            proof_space_positions(fixture.challenge, LABELS, &position, 1);
            const uint64_t segment = plot_layout_segment_offset(&layout, position / SEGMENT);
            const uint64_t at = segment + position % SEGMENT * 32 + round;
            flip(fd, at);
            damaged(plot);
            flip(fd, at);
            (void)packed(plot, round, true, &fixture.arena);
            /* Its group's node, the sibling of that, and one further up. */
            const uint64_t group = position % SEGMENT / PLOT_GROUP_LABELS;
            const uint64_t tree = segment + layout.labels_bytes;
            const uint64_t nodes[] = {tree + group * 32, tree + (group ^ 1) * 32,
                                      tree + 2 * (layout.groups - 2) * 32 + 32 * (group >> 7 & 1)};
            for (size_t k = 0; k < HM_COUNT_OF(nodes) && limits[i] == 0; k++) {
                flip(fd, nodes[k]);
                damaged(plot);
                flip(fd, nodes[k]);
            }
            (void)packed(plot, round, true, &fixture.arena);
        }
        proof_plot_close(plot);
    }
}

/* Trees that are kept are all looked at when the plot is opened; of others the first and the last. */
static void trees_are_checked_when_opened(void **state)
{
    HM_AUTOCLOSE int fd = open(fixture.path, O_RDWR | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    for (uint64_t segment = 0; segment < 3; segment++) {
        const uint64_t tree = plot_layout_segment_offset(&layout, segment) + layout.labels_bytes;
        for (uint64_t at = 0; at < layout.tree_bytes; at += 331) {
            struct proof_plot *plot = NULL;
            struct hm_error error = {0};
            flip(fd, tree + at);
            assert_int_equal(plot_open_limited(fixture.path, fixture.node, ALL, &plot, &error),
                             HM_ECORRUPT);
            assert_non_null(strstr(error.text, "the tree of segment"));
            assert_int_equal(plot_open_limited(fixture.path, fixture.node, 0, &plot, &error),
                             segment == 1 ? 0 : HM_ECORRUPT);
            proof_plot_close(plot);
            flip(fd, tree + at);
        }
    }
}

static void cut_off_while_open(void **state)
{
    const uint64_t limits[] = {0, trees_only(), ALL};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(limits); i++) {
        HM_AUTOCLOSE int fd = open(fixture.path, O_RDWR | O_CLOEXEC);
        struct proof_plot *plot = open_limited(limits[i]);
        assert_true(fd >= 0);
        hm_arena_clear(&fixture.arena);
        (void)packed(plot, 1, true, &fixture.arena);
        for (off_t size = (off_t)layout.segment_bytes; size >= 0; size -= 300001) {
            assert_int_equal(ftruncate(fd, size), 0);
            damaged(plot);
        }
        proof_plot_close(plot);
        assert_int_equal(
            proof_plot_create(fixture.path, fixture.node, LABELS, SEGMENT, NULL, NULL, NULL), 0);
    }
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 2; how++) {
        const uint64_t limit = how == 0 ? 0 : ALL;
        int rc = HM_ENOMEM;
        unsigned long nth = 1;
        for (; rc != 0; nth++) {
            struct proof_plot *none = NULL;
            hm_alloc_fail_at(nth);
            rc = plot_open_limited(fixture.path, fixture.node, limit, &none, NULL);
            hm_alloc_fail_at(0);
            assert_true(rc == 0 || (rc == HM_ENOMEM && none == NULL));
            proof_plot_close(none);
        }
        assert_in_range(nth, how == 0 ? 5 : 7,
                        50); /* the plot, its name, roots, trees; mids, states */
    }
}

/* An arena that ends at every place: no memory, or whole openings. */
static void arena_runs_out(void **state)
{
    struct proof_plot *plot = open_limited(ALL);
    int rc = HM_ENOMEM;
    size_t failures = 0;

    (void)state;
    for (size_t limit = 16; rc != 0; limit += 16) {
        Hypermesh__PlotOpening **openings = NULL;
        struct hm_arena arena;
        struct hm_error error = {0};
        hm_arena_init(&arena, limit);
        rc = proof_plot_open_at(plot, fixture.challenge, 2, true, &arena, &openings, &error);
        assert_true(rc == 0 || (rc == HM_ENOMEM && openings == NULL && error.code == rc));
        failures += rc != 0;
        hm_arena_release(&arena);
    }
    assert_in_range(failures, 100, 100000);
    hm_alloc_fail_at(1);
    struct hm_arena arena;
    Hypermesh__PlotOpening **openings = NULL;
    hm_arena_init(&arena, 0);
    rc = proof_plot_open_at(plot, fixture.challenge, 2, true, &arena, &openings, NULL);
    hm_alloc_fail_at(0);
    assert_int_equal(rc, HM_ENOMEM);
    hm_arena_release(&arena);
    proof_plot_close(plot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),        cmocka_unit_test(kept_nodes_are_right),
        cmocka_unit_test(damage_while_open),  cmocka_unit_test(trees_are_checked_when_opened),
        cmocka_unit_test(memory_runs_out),    cmocka_unit_test(arena_runs_out),
        cmocka_unit_test(cut_off_while_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
