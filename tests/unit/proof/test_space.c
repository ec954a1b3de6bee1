/* Space: openings that are right, and every way in which they can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plot_fixture.h"

#define OPENINGS 8
#define SEGMENT  256u
#define LABELS   (5u * SEGMENT)

static struct plot_fixture fixture;
static struct proof_plot *plot;
static Hypermesh__PlotCommitment commitment;

static int setup(void **state)
{
    (void)state;
    if (plot_fixture_init(&fixture) != 0)
        return -1;
    plot = plot_fixture_plot(&fixture, LABELS, SEGMENT);
    if (plot != NULL)
        proof_plot_commitment(plot, &commitment);
    return plot != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    proof_plot_close(plot);
    plot_fixture_release(&fixture);
    return 0;
}

static Hypermesh__PlotOpening **open_at(const uint8_t *challenge, size_t count, bool with_parents)
{
    Hypermesh__PlotOpening **openings = NULL;
    struct hm_error error = {0};

    hm_arena_clear(&fixture.arena);
    int rc = proof_plot_open_at(plot, challenge, count, with_parents, &fixture.arena, &openings,
                                &error);
    if (rc != 0)
        fail_msg("%s", error.text);
    return openings;
}

static void refused(Hypermesh__PlotOpening *const *openings, bool with_parents, const char *word)
{
    struct hm_error error = {0};

    assert_int_equal(proof_space_verify(fixture.node, &commitment, fixture.challenge, openings,
                                        OPENINGS, OPENINGS, with_parents, &error),
                     HM_EPROOF_SPACE);
    if (strstr(error.text, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, word);
}

static void accepted(Hypermesh__PlotOpening *const *openings, bool with_parents)
{
    struct hm_error error = {0};

    if (proof_space_verify(fixture.node, &commitment, fixture.challenge, openings, OPENINGS,
                           OPENINGS, with_parents, &error) != 0)
        fail_msg("%s", error.text);
}

static void right_openings_everywhere(void **state)
{
    uint8_t challenge[32] = {0};
    static bool seen[LABELS];
    size_t missing = 0;

    (void)state;
    for (uint64_t round = 0; round < 100; round++) {
        hm_put_be64(challenge, round);
        for (unsigned with_parents = 0; with_parents < 2; with_parents++) {
            Hypermesh__PlotOpening **openings = open_at(challenge, 64, with_parents);
            struct hm_error error = {0};
            if (proof_space_verify(fixture.node, &commitment, challenge, openings, 64, 64,
                                   with_parents, &error) != 0)
                fail_msg("%s", error.text);
            for (size_t i = 0; i < 64; i++)
                seen[openings[i]->index] = true;
        }
    }
    for (size_t i = 0; i < LABELS; i++)
        missing += seen[i] ? 0 : 1;
    assert_in_range(missing, 0, LABELS / 50); /* 6400 draws of 1280 leave about 9 */
}

static void openings_survive_packing(void **state)
{
    Hypermesh__SpaceCommit commit = HYPERMESH__SPACE_COMMIT__INIT;
    uint8_t *packed = NULL;

    (void)state;
    commit.plot = &commitment;
    commit.openings = open_at(fixture.challenge, OPENINGS, true);
    commit.n_openings = OPENINGS;
    packed = hm_malloc(hypermesh__space_commit__get_packed_size(&commit));
    assert_non_null(packed);
    size_t len = hypermesh__space_commit__pack(&commit, packed);
    Hypermesh__SpaceCommit *again = hypermesh__space_commit__unpack(NULL, len, packed);
    assert_non_null(again);
    assert_int_equal(proof_space_verify(fixture.node, again->plot, fixture.challenge,
                                        again->openings, again->n_openings, OPENINGS, true, NULL),
                     0);
    hypermesh__space_commit__free_unpacked(again, NULL);
    hm_free(packed);
}

static void every_byte_counts(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, false);

    (void)state;
    for (size_t i = 0; i < OPENINGS; i++) {
        for (size_t b = 0; b < openings[i]->label.len; b++) {
            openings[i]->label.data[b] ^= 1;
            refused(openings, false, "committed root");
            openings[i]->label.data[b] ^= 1;
        }
        for (size_t b = 0; b < openings[i]->path.len; b++) {
            openings[i]->path.data[b] ^= 0x40;
            refused(openings, false, "committed root");
            openings[i]->path.data[b] ^= 0x40;
        }
    }
    for (size_t b = 0; b < 32; b++) {
        commitment.root.data[b] ^= 1;
        refused(openings, false, "committed root");
        commitment.root.data[b] ^= 1;
    }
    accepted(openings, false);
}

static void wrong_index_and_lengths(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, false);
    Hypermesh__PlotOpening *first = openings[0];

    (void)state;
    first->index ^= 1;
    refused(openings, false, "is opened where");
    first->index ^= 1;
    first->index += LABELS;
    refused(openings, false, "is opened where");
    first->index -= LABELS;
    first->path.len -= 32;
    refused(openings, false, "path of label");
    first->path.len += 31;
    refused(openings, false, "path of label");
    first->path.len += 33; /* never read: the length is refused first */
    refused(openings, false, "path of label");
    first->path.len -= 32;
    first->label.len = 31;
    refused(openings, false, "has 31 bytes");
    first->label.len = 0;
    refused(openings, false, "has 0 bytes");
    first->label.len = 32;
    accepted(openings, false);
}

static void swapped_openings(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, false);
    Hypermesh__PlotOpening *kept = openings[2];

    (void)state;
    assert_true(openings[2]->index != openings[5]->index);
    openings[2] = openings[5];
    openings[5] = kept;
    refused(openings, false, "is opened where");
}

static void moved_elsewhere(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, true);

    (void)state;
    accepted(openings, true);
    fixture.challenge[31] ^= 1;
    refused(openings, true, "is opened where");
    fixture.challenge[31] ^= 1;
    fixture.node[31] ^= 1;
    refused(openings, true, "this node");
    fixture.node[31] ^= 1;
    commitment.labels -= SEGMENT;
    refused(openings, true, "space: ");
    commitment.labels += SEGMENT;
    accepted(openings, true);
}

static void challenges_bind_their_parts(void **state)
{
    uint8_t a[32] = {1}, b[32] = {2}, c[32] = {3}, first[32], other[32];
    uint8_t *const parts[] = {a, b, c};
    Hypermesh__PlotCommitment changed = commitment;

    (void)state;
    proof_space_challenge(a, b, c, first);
    for (size_t i = 0; i < 3; i++) {
        parts[i][0] ^= 0x10;
        proof_space_challenge(a, b, c, other);
        assert_memory_not_equal(first, other, 32);
        parts[i][0] ^= 0x10;
    }
    proof_plot_challenge(a, &commitment, first);
    proof_plot_challenge(b, &commitment, other);
    assert_memory_not_equal(first, other, 32);
    changed.labels++;
    proof_plot_challenge(a, &changed, other);
    assert_memory_not_equal(first, other, 32);
    changed.labels--;
    changed.segment_labels++;
    proof_plot_challenge(a, &changed, other);
    assert_memory_not_equal(first, other, 32);
}

static void counts_must_agree(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, false);
    static const size_t wrong[][2] = {{7, 8}, {8, 7}, {0, 8}, {0, 0}, {8, 0}, {65, 65}, {8, 65}};
    struct hm_error error = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(proof_space_verify(fixture.node, &commitment, fixture.challenge, openings,
                                            wrong[i][0], wrong[i][1], false, &error),
                         HM_EPROOF_SPACE);
}

static void parents_are_checked(void **state)
{
    Hypermesh__PlotOpening **openings = open_at(fixture.challenge, OPENINGS, true);
    Hypermesh__PlotOpening *first = openings[0];
    Hypermesh__PlotOpening *parent = first->parents[0];

    (void)state;
    assert_int_equal(first->n_parents, 3);
    refused(openings, false, "none were asked for");
    first->n_parents = 2;
    refused(openings, true, "2 parents, must have 3");
    first->n_parents = 0;
    refused(openings, true, "0 parents, must have 3");
    first->n_parents = 3;
    parent->label.data[0] ^= 1;
    refused(openings, true, "parents");
    parent->label.data[0] ^= 1;
    parent->path.data[0] ^= 1;
    refused(openings, true, "committed root");
    parent->path.data[0] ^= 1;
    first->parents[0] = first->parents[1];
    refused(openings, true, "is opened where");
    first->parents[0] = parent;
    parent->n_parents = 3;
    parent->parents = first->parents;
    refused(openings, true, "parents of its own");
    parent->n_parents = 0;
    parent->path.len = 0;
    refused(openings, true, "path of label");
}

/* Labels that were not made by the graph can be committed to, but not opened with parents. */
static void forged_plot(void **state)
{
    uint8_t tree[127][32], path[OPENINGS][6][32];
    uint64_t positions[OPENINGS];
    Hypermesh__PlotOpening opened[OPENINGS], *openings[OPENINGS];
    Hypermesh__PlotCommitment kept = commitment;

    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        memset(tree[i], 0, 32);
        hm_put_be32(tree[i], i);
    }
    for (size_t i = 0; i < 63; i++)
        crypto_hash(tree[2 * i], 64, tree[64 + i]);
    commitment.root = wire_bytes(tree[126], 32);
    commitment.labels = commitment.segment_labels = 64;
    proof_space_positions(fixture.challenge, 64, positions, OPENINGS);
    for (size_t i = 0; i < OPENINGS; i++) {
        size_t at = positions[i], level = 0;
        for (size_t k = 0; k < 6; k++) {
            memcpy(path[i][k], tree[level + (at ^ 1)], 32);
            level += (size_t)64 >> k;
            at /= 2;
        }
        hypermesh__plot_opening__init(&opened[i]);
        opened[i].index = positions[i];
        opened[i].label = wire_bytes(tree[positions[i]], 32);
        opened[i].path = wire_bytes(path[i], sizeof(path[i]));
        openings[i] = &opened[i];
    }
    accepted(openings, false);
    refused(openings, true, "parents");
    commitment = kept;
}

/* The largest plot there can be, all its labels zero: one node a level, so that paths can be made without it. Shows
 * that 64 openings of it can be checked and how many bytes they are. */
static void largest_plot(void **state)
{
    static const uint64_t segments[] = {PROOF_SEGMENT_LABELS_DEFAULT, PROOF_SEGMENT_LABELS_MAX};
    uint8_t nodes[41][32] = {{0}};
    uint64_t positions[PROOF_OPENINGS_MAX];
    Hypermesh__PlotOpening opened[PROOF_OPENINGS_MAX], *openings[PROOF_OPENINGS_MAX];
    Hypermesh__PlotCommitment largest = commitment;
    Hypermesh__ChallengeAnswer answer = HYPERMESH__CHALLENGE_ANSWER__INIT;

    (void)state;
    for (size_t level = 0; level < 40; level++) {
        uint8_t pair[64];
        memcpy(pair, nodes[level], 32);
        memcpy(pair + 32, nodes[level], 32);
        crypto_hash(pair, sizeof(pair), nodes[level + 1]);
    }
    for (size_t s = 0; s < HM_COUNT_OF(segments); s++) {
        largest.labels = PROOF_PLOT_LABELS_MAX;
        largest.segment_labels = segments[s];
        largest.root = wire_bytes(nodes[40], 32);
        proof_space_positions(fixture.challenge, largest.labels, positions, PROOF_OPENINGS_MAX);
        for (size_t i = 0; i < PROOF_OPENINGS_MAX; i++) {
            hypermesh__plot_opening__init(&opened[i]);
            opened[i].index = positions[i];
            opened[i].label = wire_bytes(nodes[0], 32);
            opened[i].path = wire_bytes(nodes[0], 40 * 32);
            openings[i] = &opened[i];
        }
        assert_int_equal(proof_space_verify(fixture.node, &largest, fixture.challenge, openings,
                                            PROOF_OPENINGS_MAX, PROOF_OPENINGS_MAX, false, NULL),
                         0);
        answer.openings = openings;
        answer.n_openings = PROOF_OPENINGS_MAX;
        assert_in_range(hypermesh__challenge_answer__get_packed_size(&answer), 84000, 86000);
        opened[63].path.len -= 32;
        assert_int_equal(proof_space_verify(fixture.node, &largest, fixture.challenge, openings,
                                            PROOF_OPENINGS_MAX, PROOF_OPENINGS_MAX, false, NULL),
                         HM_EPROOF_SPACE);
        opened[63].path = wire_bytes(nodes[1], 40 * 32); /* moved by a level */
        assert_int_equal(proof_space_verify(fixture.node, &largest, fixture.challenge, openings,
                                            PROOF_OPENINGS_MAX, PROOF_OPENINGS_MAX, false, NULL),
                         HM_EPROOF_SPACE);
    }
}

static void positions_are_spread(void **state)
{
    uint64_t positions[PROOF_OPENINGS_MAX], more[PROOF_OPENINGS_MAX];
    unsigned low = 0;

    (void)state;
    for (uint8_t round = 0; round < 100; round++) {
        uint8_t challenge[32] = {round};
        proof_space_positions(challenge, 1000, positions, 64);
        proof_space_positions(challenge, 1000, more, 5);
        assert_memory_equal(positions, more, 5 * sizeof(more[0]));
        for (size_t i = 0; i < 64; i++) {
            assert_true(positions[i] < 1000);
            low += positions[i] < 500 ? 1 : 0;
        }
    }
    assert_in_range(low, 3000, 3400); /* of 6400: five standard deviations */
}

static void commitment_rules(void **state)
{
    Hypermesh__PlotCommitment c = commitment;

    (void)state;
    assert_int_equal(proof_plot_check(&c, 0, NULL), 0);
    assert_int_equal(proof_plot_check(&c, SEGMENT, NULL), 0);
    assert_int_equal(proof_plot_check(&c, SEGMENT + 1, NULL), HM_EPROOF_SPACE); /* segments */
    assert_int_equal(proof_plot_check(&c, LABELS + 1, NULL), HM_EPROOF_SPACE);
    c.labels = PROOF_SEGMENT_LABELS_DEFAULT * 3;
    c.segment_labels = PROOF_SEGMENT_LABELS_DEFAULT;
    assert_int_equal(proof_plot_check(&c, PROOF_SEGMENT_LABELS_DEFAULT * 2, NULL), 0);
    c.segment_labels /= 2;
    assert_int_equal(proof_plot_check(&c, PROOF_SEGMENT_LABELS_DEFAULT * 2, NULL), HM_EPROOF_SPACE);
    c = commitment;
    c.root.len = 31;
    assert_int_equal(proof_plot_check(&c, 0, NULL), HM_EPROOF_SPACE);
    c = commitment;
    c.labels++;
    assert_int_equal(proof_plot_check(&c, 0, NULL), HM_EPROOF_SPACE);
    c.labels = c.segment_labels = 0;
    assert_int_equal(proof_plot_check(&c, 0, NULL), HM_EPROOF_SPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_openings_everywhere),
        cmocka_unit_test(openings_survive_packing),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(wrong_index_and_lengths),
        cmocka_unit_test(swapped_openings),
        cmocka_unit_test(moved_elsewhere),
        cmocka_unit_test(challenges_bind_their_parts),
        cmocka_unit_test(counts_must_agree),
        cmocka_unit_test(parents_are_checked),
        cmocka_unit_test(forged_plot),
        cmocka_unit_test(largest_plot),
        cmocka_unit_test(positions_are_spread),
        cmocka_unit_test(commitment_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
