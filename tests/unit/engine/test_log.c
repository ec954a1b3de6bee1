/* The block log: what was appended is read again, whatever lies torn or old behind it; and what counted is missed
 * when it is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_log.h"

#define STEP_BYTES  ((size_t)8192)
#define LIMIT_BYTES ((size_t)32768)
#define ITEMS_MAX   3

struct place {
    char *folder;
    char *path;
    char *names[ENGINE_LOG_FILES];
};

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));
    const char *base = getenv("TMPDIR");

    place->folder = hm_asprintf("%s/engine-log-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place->folder));
    place->path = hm_asprintf("%s/blocks", place->folder);
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        place->names[i] = hm_asprintf("%s.%u", place->path, i);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        hm_free(place->names[i]);
    hm_free(place->path);
    hm_free(place->folder);
    hm_free(place);
    return 0;
}

/* --- blocks that follow from their height ------------------------------------------------------------------ */

struct made {
    uint8_t header[100];
    uint8_t bytes[6000];
    struct hm_slice items[ITEMS_MAX];
    struct engine_log_block block;
};

static void make(struct made *made, uint64_t height)
{
    struct ledger_proposal *proposal = &made->block.proposal;
    size_t at = 0;

    memset(made, 0, sizeof(*made));
    memset(made->header, (int)(height * 3), sizeof(made->header));
    for (size_t i = 0; i < sizeof(made->bytes); i++)
        made->bytes[i] = (uint8_t)(height * 7 + i);
    proposal->height = height;
    proposal->time_ms = 1000 + height;
    memset(proposal->hash, (int)height, sizeof(proposal->hash));
    memset(made->block.state_root, (int)(height + 1), sizeof(made->block.state_root));
    proposal->header = hm_slice_of(made->header, height % sizeof(made->header));
    proposal->count = height % (ITEMS_MAX + 1);
    proposal->items = made->items;
    for (size_t i = 0; i < proposal->count; i++) {
        size_t len = (height * 131 + i * 1777) % 2000;

        made->items[i] = hm_slice_of(made->bytes + at, len);
        at += len;
    }
}

static void expect_same(const struct engine_log_block *block, uint64_t height)
{
    struct made made;

    make(&made, height);
    assert_true(block->proposal.height == height);
    assert_true(block->proposal.time_ms == made.block.proposal.time_ms);
    assert_memory_equal(block->proposal.hash, made.block.proposal.hash, CRYPTO_HASH_BYTES);
    assert_memory_equal(block->state_root, made.block.state_root, CRYPTO_HASH_BYTES);
    assert_true(hm_slice_equal(block->proposal.header, made.block.proposal.header));
    assert_int_equal(block->proposal.count, made.block.proposal.count);
    for (size_t i = 0; i < block->proposal.count; i++)
        assert_true(hm_slice_equal(block->proposal.items[i], made.items[i]));
}

static struct engine_log *open_log(const struct place *place)
{
    struct engine_log *log = NULL;
    struct hm_error error = {0};

    if (engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, NULL, &log, &error) != 0)
        fail_msg("open: %s", error.text);
    return log;
}

/* Turns the log as a keeper does whose checkpoints take no time. */
static void append(struct engine_log *log, uint64_t first, uint64_t last)
{
    for (uint64_t height = first; height <= last; height++) {
        struct hm_error error = {0};
        struct made made;

        make(&made, height);
        if (!engine_log_has_room(log, &made.block))
            engine_log_turn(log);
        if (engine_log_append(log, &made.block, &error) != 0)
            fail_msg("append %d: %s", (int)height, error.text);
    }
}

struct seen {
    uint64_t first, last;
    uint64_t stop; /* refuse this one; 0: none */
};

static int see(void *ctx, const struct engine_log_block *block, struct hm_error *error)
{
    struct seen *seen = ctx;

    if (block->proposal.height == seen->stop)
        return hm_fail(error, HM_ERANGE, "enough");
    if (seen->first == 0)
        seen->first = block->proposal.height;
    else
        assert_true(block->proposal.height == seen->last + 1);
    seen->last = block->proposal.height;
    expect_same(block, seen->last);
    return 0;
}

static struct seen read_all(const struct place *place, uint64_t after)
{
    struct engine_log *log = open_log(place);
    struct seen seen = {0};
    struct hm_error error = {0};

    if (engine_log_read(log, after, see, &seen, &error) != 0)
        fail_msg("read: %s", error.text);
    engine_log_close(log);
    return seen;
}

static void expect_corrupt(const struct place *place, uint64_t after, const char *words)
{
    struct engine_log *log = open_log(place);
    struct seen seen = {0};
    struct hm_error error = {0};

    assert_int_equal(engine_log_read(log, after, see, &seen, &error), HM_ECORRUPT);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    engine_log_close(log);
}

static void poke(const char *name, uint64_t at, uint8_t mask)
{
    int fd = open(name, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;

    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* --- tests ---------------------------------------------------------------------------------------------------- */

static void a_new_log_is_empty(void **state)
{
    struct seen seen = read_all(*state, 0);

    assert_int_equal(seen.first, 0);
    assert_int_equal(read_all(*state, 77).first, 0);
}

static void what_was_appended_is_read(void **state)
{
    struct engine_log *log = open_log(*state);
    struct seen seen;

    append(log, 1, 5);
    engine_log_close(log);
    seen = read_all(*state, 0);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.last, 5);
    seen = read_all(*state, 3);
    assert_int_equal(seen.first, 4);
    assert_int_equal(seen.last, 5);
    assert_int_equal(read_all(*state, 5).first, 0);
    assert_int_equal(read_all(*state, 900).first, 0);
}

static void a_visitor_may_stop(void **state)
{
    struct engine_log *log = open_log(*state);
    struct seen seen = {.stop = 3};

    append(log, 1, 5);
    assert_int_equal(engine_log_read(log, 0, see, &seen, NULL), HM_ERANGE);
    assert_int_equal(seen.last, 2);
    engine_log_close(log);
}

/* Many rounds: at each moment both files together give what came since the turn before the last. */
static void the_files_are_used_in_turn(void **state)
{
    struct engine_log *log = open_log(*state);
    const struct place *place = *state;
    uint64_t turned = 0, covered = 0;
    unsigned current = log->current;

    for (uint64_t height = 1; height <= 120; height++) {
        append(log, height, height);
        if (log->current != current) {
            covered = turned;
            turned = height - 1;
            current = log->current;
        }
        struct seen seen = read_all(place, covered);
        assert_true(seen.first == covered + 1);
        assert_true(seen.last == height);
    }
    assert_true(turned > 100);
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++) {
        struct stat info;

        assert_int_equal(stat(place->names[i], &info), 0);
        assert_true((size_t)info.st_size <= LIMIT_BYTES + ENGINE_LOG_PAGE_BYTES + STEP_BYTES);
    }
    engine_log_close(log);
}

/* The last record cut or damaged at any byte: it is gone, those before it are not. */
static void a_torn_end_is_the_end(void **state)
{
    const struct place *place = *state;
    struct engine_log *log = open_log(place);

    append(log, 1, 2);
    uint64_t from = log->files[0].end;
    append(log, 3, 3);
    uint64_t len = log->record.len;
    struct made made;
    make(&made, 3);
    uint64_t used = 136 + made.block.proposal.header.len;
    for (size_t i = 0; i < made.block.proposal.count; i++)
        used += 4 + made.items[i].len;
    engine_log_close(log);
    assert_true(used <= len);
    for (uint64_t at = 0; at < used; at++) {
        poke(place->names[0], from + at, (uint8_t)(1u << at % 8));
        assert_int_equal(read_all(place, 0).last, 2);
        poke(place->names[0], from + at, (uint8_t)(1u << at % 8));
    }
    assert_int_equal(read_all(place, 0).last, 3);
    for (uint64_t at = used; at < len; at += 97) { /* padding says nothing */
        poke(place->names[0], from + at, 0xff);
        assert_int_equal(read_all(place, 0).last, 3);
    }
    for (uint64_t at = from; at < from + used; at += 61) { /* a file cut short */
        assert_int_equal(truncate(place->names[0], (off_t)at), 0);
        assert_int_equal(read_all(place, 0).last, 2);
    }
}

static void a_damaged_block_that_counted_is_told(void **state)
{
    const struct place *place = *state;
    struct engine_log *log = open_log(place);
    uint64_t at[4];

    for (uint64_t height = 1; height <= 3; height++) {
        at[height] = log->files[0].end;
        append(log, height, height);
    }
    engine_log_close(log);
    poke(place->names[0], at[2] + 40, 1);
    expect_corrupt(place, 0, "block 3 is there and the one before it is not");
    expect_corrupt(place, 1, "block 3 is there");
    assert_int_equal(read_all(place, 3).first, 0); /* the ledger has them all */
    poke(place->names[0], at[2] + 40, 1);
    poke(place->names[0], at[1] + 200, 1);
    expect_corrupt(place, 0, "is there and the one before it is not");
}

static void a_gap_is_told(void **state)
{
    struct engine_log *log = open_log(*state);

    append(log, 10, 12);
    engine_log_close(log);
    expect_corrupt(*state, 5, "the ledger ends at block 5");
    assert_int_equal(read_all(*state, 9).first, 10);
}

/* A record of another log, in a transaction or copied from there, is none of this one's. */
static void a_foreign_record_is_nothing(void **state)
{
    const struct place *place = *state;
    HM_CLEANUP(hm_buf) struct hm_buf record = {0};
    static const uint8_t id[ENGINE_LOG_ID_BYTES] = {1};
    struct engine_log *log = open_log(place);
    struct made made;

    append(log, 1, 1);
    make(&made, 2);
    assert_int_equal(engine_log_pack(id, &made.block, &record), 0);
    assert_int_equal(pwrite(log->files[0].fd, record.data, record.len, (off_t)log->files[0].end),
                     (ssize_t)record.len);
    engine_log_close(log);
    assert_int_equal(read_all(place, 0).last, 1);
}

static void a_restarted_log_forgets(void **state)
{
    struct engine_log *log = open_log(*state);

    append(log, 1, 9);
    engine_log_restart(log);
    assert_int_equal(engine_log_used(log), 0);
    append(log, 10, 10);
    engine_log_close(log);
    assert_int_equal(read_all(*state, 9).last, 10);
}

static void a_long_record_fits_an_empty_file(void **state)
{
    HM_AUTOFREE uint8_t *bytes = hm_calloc(1, 100000);
    struct hm_slice item = hm_slice_of(bytes, 100000);
    struct engine_log *log = open_log(*state);
    struct engine_log_block block = {.proposal = {.height = 1, .items = &item, .count = 1}};
    struct made made;

    assert_true(engine_log_has_room(log, &block));
    assert_int_equal(engine_log_append(log, &block, NULL), 0);
    make(&made, 2);
    assert_false(engine_log_has_room(log, &made.block));
    engine_log_turn(log);
    append(log, 2, 2);
    engine_log_close(log);
    assert_int_equal(read_all(*state, 1).last, 2);
}

static void a_file_that_is_no_log_is_refused(void **state)
{
    const struct place *place = *state;
    struct engine_log *log = open_log(place);
    struct hm_error error = {0};

    engine_log_close(log);
    for (uint64_t at = 0; at < 72; at++) {
        poke(place->names[1], at, 4);
        assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, NULL, &log, &error),
                         HM_ECORRUPT);
        assert_non_null(strstr(error.text, "backup"));
        poke(place->names[1], at, 4);
    }
    assert_int_equal(truncate(place->names[1], 10), 0);
    assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, NULL, &log, &error),
                     HM_ECORRUPT);
}

/* The mark tells one log from all others, and one that is expected is not made. */
static void only_the_expected_log_is_opened(void **state)
{
    const struct place *place = *state;
    uint8_t mark[ENGINE_LOG_MARK_BYTES], again[ENGINE_LOG_MARK_BYTES];
    struct hm_error error = {0};
    struct engine_log *log = NULL;

    memset(mark, 1, sizeof(mark));
    assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, mark, &log, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, place->names[0]));
    assert_int_equal(access(place->names[0], F_OK), -1);
    log = open_log(place);
    engine_log_mark(log, mark);
    engine_log_close(log);
    assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, mark, &log, &error), 0);
    engine_log_mark(log, again);
    assert_memory_equal(mark, again, sizeof(mark));
    engine_log_close(log);
    assert_int_equal(unlink(place->names[1]), 0);
    assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, mark, &log, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, place->names[1]));
    engine_log_close(open_log(place));
    assert_int_equal(engine_log_open(place->path, STEP_BYTES, LIMIT_BYTES, mark, &log, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, "is not the one"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_log_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_appended_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_visitor_may_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(the_files_are_used_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_end_is_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_block_that_counted_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_record_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restarted_log_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_record_fits_an_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_expected_log_is_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_log_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests_name("block log", tests, NULL, NULL);
}
