/* nexus verify --remote, as it is said and as it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "light_node.h"
#include "nexus.h"
#include "nexus_trust.h"

#define WORDS_MAX 24

struct world {
    struct light_node node;
    struct hm_arena arena;
    const char *address; /* as --remote has it */
    char kept[96], printed[96]; /* files: the trusted block; what nexus prints */
};

static int setup(void **state)
{
    struct world *world = hm_calloc(1, sizeof(*world));

    *state = world;
    if (!world || crypto_setup(NULL) != 0)
        return -1;
    light_node_open(&world->node);
    world->address = world->node.path;
    hm_arena_init(&world->arena, 0);
    (void)snprintf(world->kept, sizeof(world->kept), "%s/kept", world->node.folder);
    (void)snprintf(world->printed, sizeof(world->printed), "%s/printed", world->node.folder);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    light_node_close(&world->node);
    hm_arena_release(&world->arena);
    hm_free(world);
    return 0;
}

static const char *anchor_text(struct world *world, int64_t height)
{
    char text[LIGHT_ANCHOR_TEXT_MAX];
    struct light_anchor anchor;
    const char *kept;

    light_node_anchor(&world->node, height, &anchor);
    light_anchor_format(&anchor, text);
    kept = hm_arena_strdup(&world->arena, text);
    assert_non_null(kept);
    return kept;
}

/* nexus verify --remote of the key with these words more, NULL behind the last; how it ends. */
static int verify(struct world *world, const char *const *more)
{
    const char *argv[WORDS_MAX] = {"nexus", "verify", "--remote",     world->address,
                                   "--kv",  "colour", "--trust-file", world->kept};
    int to = open(world->printed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int out = dup(1), err = dup(2), argc = 8, rc;

    for (; *more && argc < WORDS_MAX - 1; more++)
        argv[argc++] = *more;
    (void)fflush(stdout);
    (void)fflush(stderr);
    assert_true(to >= 0 && out >= 0 && err >= 0);
    assert_true(dup2(to, 1) == 1 && dup2(to, 2) == 2);
    rc = nexus_main(argc, (char **)(uintptr_t)argv);
    assert_true(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    (void)close(out);
    (void)close(err);
    (void)close(to);
    return rc;
}

static void expect(struct world *world, const char *const *more, int status, const char *words)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int ended = verify(world, more);

    assert_int_equal(hm_file_read(world->printed, 65536, &text, NULL), 0);
    if (ended != status || !strstr(hm_buf_cstr(&text), words))
        fail_msg("ended with %d: %s", ended, hm_buf_cstr(&text));
}

/* What is kept from here on; 0: nothing. */
static void keep(struct world *world, int64_t height, bool forged)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct light_anchor anchor = {.height = height};
    Hypermesh__Abci__LightBlock *block;

    (void)unlink(world->kept);
    if (height == 0)
        return;
    block = light_node_block(&world->node, height, forged, &world->arena);
    assert_int_equal(light_header_hash(block->signed_header->header, anchor.hash, NULL), 0);
    assert_int_equal(light_trust_begin(&trust, &anchor, NULL, block, NULL), 0);
    assert_int_equal(nexus_trust_save(world->kept, &trust, NULL), 0);
}

static int64_t kept(struct world *world)
{
    HM_CLEANUP(light_trust) struct light_trust trust = {0};

    return nexus_trust_load(world->kept, &trust, NULL) == 0
               ? trust.block.message->signed_header->header->height
               : 0;
}

static void test_a_value(void **state)
{
    struct world *world = *state;
    const char *first[] = {"--trust", anchor_text(world, 2), NULL};
    const char *again[] = {NULL};

    expect(world, again, NEXUS_EXIT_USAGE, "nexus cluster trust");
    expect(world, first, NEXUS_EXIT_OK, "green");
    assert_int_equal(kept(world), 8);
    expect(world, again, NEXUS_EXIT_OK, "green");
}

static void test_a_relative_path(void **state)
{
    struct world *world = *state;
    const char *first[] = {"--trust", anchor_text(world, 2), NULL};
    HM_AUTOCLOSE int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_true(before >= 0 && chdir("/") == 0);
    world->address = world->node.path + 1; /* tmp/.../sock */
    expect(world, first, NEXUS_EXIT_OK, "green");
    assert_int_equal(chdir(world->node.folder), 0);
    world->address = "sock";
    expect(world, first, NEXUS_EXIT_OK, "green");
    assert_int_equal(fchdir(before), 0);
}

/* Shown, and said to be old, by words and by how it ends. */
static void test_a_value_that_is_old(void **state)
{
    struct world *world = *state;
    const char *old[] = {"--trust", anchor_text(world, 2), "--max-age", "1ms", NULL};

    expect(world, old, NEXUS_EXIT_STATE_OLD, "green");
    expect(world, old, NEXUS_EXIT_STATE_OLD, "old: this is how it was");
    assert_int_equal(kept(world), 8);
}

/* A node that has just been started is waited for, as long as there is time. */
static void test_a_node_that_starts(void **state)
{
    struct world *world = *state;
    const char *first[] = {"--trust", anchor_text(world, 2), NULL};
    const char *later[] = {"--timeout", "700ms", NULL};

    atomic_store(&world->node.lie, LIGHT_STARTS);
    atomic_store(&world->node.starting, 2);
    expect(world, first, NEXUS_EXIT_OK, "green");
    atomic_store(&world->node.lie, LIGHT_AWAY);
    expect(world, later, NEXUS_EXIT_UNREACHABLE,
           "it was asked until --timeout was over, and says: it is starting");
}

static void test_what_is_said_and_what_is_kept(void **state)
{
    struct world *world = *state;
    const char *four[] = {"--trust", anchor_text(world, 4), NULL};

    keep(world, 6, false);
    expect(world, four, NEXUS_EXIT_OK, "block 6 is trusted already, newer than that of --trust");
    keep(world, 4, false);
    expect(world, four, NEXUS_EXIT_OK, "green");
    keep(world, 2, false);
    expect(world, four, NEXUS_EXIT_OK, "green");
    for (int64_t height = 2; height <= 6; height += 2) {
        keep(world, height, true);
        expect(world, four, NEXUS_EXIT_REFUSED, world->kept);
        assert_int_equal(kept(world), height);
    }
    /* A file that others could have written says nothing. */
    keep(world, 6, true);
    assert_int_equal(chmod(world->kept, 0666), 0);
    expect(world, four, NEXUS_EXIT_OK, "green");
}

static void test_limits(void **state)
{
    struct world *world = *state;
    const char *two = anchor_text(world, 2);
    const char *too_long[] = {"--trust", two, "--trust-for", "20h", NULL};
    const char *none[] = {"--trust", two, "--timeout", "0s", NULL};
    const char *brief[] = {"--trust", two, "--timeout", "150ms", NULL};

    expect(world, too_long, NEXUS_EXIT_USAGE, "say --trust-for 16h");
    expect(world, none, NEXUS_EXIT_USAGE, "--timeout");
    atomic_store(&world->node.lie, LIGHT_SLOW);
    expect(world, brief, NEXUS_EXIT_UNREACHABLE, "does not help");
    assert_int_equal(kept(world), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_relative_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_value_that_is_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_that_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_said_and_what_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };

    return cmocka_run_group_tests_name("nexus_verify", tests, NULL, NULL);
}
