/* A plot's file that is not what was written: refused when opened or when the damaged place is asked for,
 * never a wrong opening. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "plot_fixture.h"
#include "proof_plot_file.h"

#define SEGMENT 256u
#define LABELS  (4u * SEGMENT)

static struct plot_fixture fixture;
static struct plot_layout layout;
static int fd = -1;

static int setup(void **state)
{
    (void)state;
    if (plot_fixture_init(&fixture) != 0 || plot_layout_init(&layout, LABELS, SEGMENT, NULL) != 0 ||
        proof_plot_create(fixture.path, fixture.node, LABELS, SEGMENT, NULL, NULL, NULL) != 0)
        return -1;
    fd = open(fixture.path, O_RDWR | O_CLOEXEC);
    return fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(fd);
    plot_fixture_release(&fixture);
    return 0;
}

static void flip(uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(plot_read_at(fd, &byte, 1, offset, NULL), 0);
    byte ^= 1;
    assert_int_equal(plot_write_at(fd, &byte, 1, offset, NULL), 0);
}

static int try_open(struct hm_error *error)
{
    struct proof_plot *plot = NULL;
    int rc = proof_plot_open(fixture.path, fixture.node, &plot, error);

    proof_plot_close(plot);
    return rc;
}

/* Opens positions of many challenges; the first failure, or 0. Every success must verify. */
static int open_many(struct hm_error *error)
{
    struct proof_plot *plot = NULL;
    Hypermesh__PlotCommitment commitment;
    int rc = proof_plot_open(fixture.path, fixture.node, &plot, error);

    if (rc != 0)
        return rc;
    proof_plot_commitment(plot, &commitment);
    for (uint32_t round = 0; round < 200 && rc == 0; round++) {
        Hypermesh__PlotOpening **openings = NULL;
        hm_arena_clear(&fixture.arena);
        hm_put_be32(fixture.challenge, round);
        rc = proof_plot_open_at(plot, fixture.challenge, 32, true, &fixture.arena, &openings,
                                error);
        if (rc == 0)
            assert_int_equal(proof_space_verify(fixture.node, &commitment, fixture.challenge,
                                                openings, 32, 32, true, NULL),
                             0);
    }
    proof_plot_close(plot);
    return rc;
}

static void header_page(void **state)
{
    struct hm_error error = {0};

    (void)state;
    for (uint64_t offset = 0; offset < PLOT_PAGE_BYTES; offset++) {
        flip(offset);
        int rc = try_open(&error);
        if (rc != HM_ECORRUPT && rc != HM_EUNSUPPORTED)
            fail_msg("byte %llu of the header: %d", (unsigned long long)offset, rc);
        assert_non_null(strstr(error.text, fixture.path));
        flip(offset);
    }
    assert_int_equal(try_open(&error), 0);
}

static void wrong_size(void **state)
{
    const off_t whole = (off_t)layout.file_bytes;
    const off_t sizes[] = {0, 1, 4095, 4096, whole / 2, whole - 1, whole + 1, whole * 2};
    struct hm_error error = {0};
    struct hm_buf kept = {0};

    (void)state;
    assert_int_equal(hm_file_read(fixture.path, layout.file_bytes, &kept, NULL), 0);
    assert_int_equal(kept.len, layout.file_bytes);
    for (size_t i = 0; i < HM_COUNT_OF(sizes); i++) {
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        assert_int_equal(try_open(&error), HM_ECORRUPT);
        assert_int_equal(ftruncate(fd, whole), 0);
        assert_int_equal(plot_write_at(fd, kept.data, kept.len, 0, NULL), 0);
    }
    hm_buf_release(&kept);
    assert_int_equal(open_many(&error), 0);
}

static void labels_trees_and_roots(void **state)
{
    struct hm_error error = {0};

    (void)state;
    for (uint64_t segment = 0; segment < 4; segment++) {
        const uint64_t at = plot_layout_segment_offset(&layout, segment);
        const uint64_t places[] = {at,
                                   at + 77 * 32 + 5,
                                   at + layout.labels_bytes - 1,
                                   at + layout.labels_bytes,
                                   at + layout.labels_bytes + 33,
                                   layout.roots_offset + segment * 32};
        for (size_t i = 0; i < HM_COUNT_OF(places); i++) {
            flip(places[i]);
            if (open_many(&error) != HM_ECORRUPT)
                fail_msg("segment %llu, place %zu", (unsigned long long)segment, i);
            assert_non_null(strstr(error.text, "build it again"));
            flip(places[i]);
        }
    }
    assert_int_equal(open_many(&error), 0);
}

static void truncated_while_open(void **state)
{
    struct proof_plot *plot = NULL;
    Hypermesh__PlotOpening **openings = NULL;
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(proof_plot_open(fixture.path, fixture.node, &plot, NULL), 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(
        proof_plot_open_at(plot, fixture.challenge, 8, false, &fixture.arena, &openings, &error),
        HM_ECORRUPT);
    assert_null(openings);
    assert_non_null(strstr(error.text, "ends before"));
    proof_plot_close(plot);
}

static void another_nodes_plot(void **state)
{
    struct proof_plot *plot = NULL;
    struct hm_error error = {0};

    (void)state;
    fixture.node[0] ^= 1;
    assert_int_equal(proof_plot_open(fixture.path, fixture.node, &plot, &error), HM_ECONFLICT);
    assert_null(plot);
    assert_non_null(strstr(error.text, "another node"));
    fixture.node[0] ^= 1;
}

static void not_a_file(void **state)
{
    struct proof_plot *plot = NULL;

    (void)state;
    assert_true(proof_plot_open(fixture.folder, fixture.node, &plot, NULL) < 0);
    assert_true(proof_plot_open("/dev/null", fixture.node, &plot, NULL) < 0);
    assert_int_equal(proof_plot_open("/dev/zero", fixture.node, &plot, NULL), HM_ECORRUPT);
    assert_null(plot);
    proof_plot_close(NULL);
}

static void too_many_openings(void **state)
{
    struct proof_plot *plot = NULL;
    Hypermesh__PlotOpening **openings = NULL;

    (void)state;
    assert_int_equal(proof_plot_open(fixture.path, fixture.node, &plot, NULL), 0);
    assert_int_equal(
        proof_plot_open_at(plot, fixture.challenge, 0, false, &fixture.arena, &openings, NULL),
        HM_EINVAL);
    assert_int_equal(proof_plot_open_at(plot, fixture.challenge, PROOF_OPENINGS_MAX + 1, false,
                                        &fixture.arena, &openings, NULL),
                     HM_EINVAL);
    assert_null(openings);
    proof_plot_close(plot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_page),          cmocka_unit_test(wrong_size),
        cmocka_unit_test(another_nodes_plot),   cmocka_unit_test(labels_trees_and_roots),
        cmocka_unit_test(not_a_file),           cmocka_unit_test(too_many_openings),
        cmocka_unit_test(truncated_while_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
