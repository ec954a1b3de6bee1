/* The file that keeps the trusted block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "light_node.h"
#include "nexus_light.h"
#include "nexus_trust.h"

struct world {
    struct light_node node;
    struct light_trust trust;
    struct hm_arena arena;
};

static int setup(void **state)
{
    struct world *world = hm_calloc(1, sizeof(*world));
    struct light_anchor anchor;
    struct hm_error error = {0};

    *state = world;
    if (!world || crypto_setup(NULL) != 0)
        return -1;
    light_node_open(&world->node);
    hm_arena_init(&world->arena, 0);
    setenv("XDG_STATE_HOME", world->node.folder, 1);
    light_node_anchor(&world->node, 4, &anchor);
    if (light_trust_begin(&world->trust, &anchor, NULL,
                          light_node_block(&world->node, 4, false, &world->arena), &error) != 0)
        fail_msg("%s", error.text);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    unsetenv("XDG_STATE_HOME");
    light_trust_release(&world->trust);
    light_node_close(&world->node);
    hm_arena_release(&world->arena);
    hm_free(world);
    return 0;
}

static const char *path_of(struct world *world, const char *chain)
{
    const char *path = NULL;
    struct hm_error error = {0};

    if (nexus_trust_path(chain, &world->arena, &path, &error) != 0)
        fail_msg("%s", error.text);
    return path;
}

static void test_kept_and_found_again(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust again = {0};
    struct world *world = *state;
    const char *path = path_of(world, LIGHT_NODE_CHAIN);
    struct hm_error error = {0};
    struct stat about;

    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_ENOTFOUND);
    if (nexus_trust_save(path, &world->trust, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(nexus_trust_load(path, &again, NULL), 0);
    assert_int_equal(nexus_light_height(&again), 4);
    assert_memory_equal(again.block.hash, world->trust.block.hash, LIGHT_HASH_BYTES);
    /* Without a chain's name: the only one there is. */
    assert_string_equal(path_of(world, NULL), path);
}

static void test_which_file(void **state)
{
    struct world *world = *state;
    const char *path = NULL;

    assert_int_equal(nexus_trust_path(NULL, &world->arena, &path, NULL), HM_ENOTFOUND);
    assert_null(path);
    /* A chain's id is no path. */
    assert_non_null(
        strstr(path_of(world, "../../etc/x"), "/hypermesh/trust/..%2F..%2Fetc%2Fx.trust"));
    assert_int_equal(nexus_trust_save(path_of(world, "one"), &world->trust, NULL), 0);
    assert_int_equal(nexus_trust_save(path_of(world, "two"), &world->trust, NULL), 0);
    assert_int_equal(nexus_trust_path(NULL, &world->arena, &path, NULL), HM_EINVAL);
}

static void test_files_of_others(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust again = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct world *world = *state;
    const char *path = path_of(world, "one");

    assert_int_equal(nexus_trust_save(path, &world->trust, NULL), 0);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_EPERM);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(hm_file_read(path, LIGHT_TRUST_MAX_BYTES, &bytes, NULL), 0);
    bytes.data[bytes.len / 2] ^= 1;
    assert_int_equal(hm_file_replace(path, bytes.data, bytes.len, 0600, NULL), 0);
    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_ECORRUPT);
    assert_int_equal(nexus_light_height(&again), 0);
}

/* Another's way to make us wait, or to show us something else than we looked at. */
static void test_what_is_no_file(void **state)
{
    HM_CLEANUP(light_trust) struct light_trust again = {0};
    HM_CLEANUP(hm_buf) struct hm_buf long_one = {0};
    struct world *world = *state;
    const char *path = path_of(world, "one");

    assert_int_equal(nexus_trust_save(path, &world->trust, NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)alarm(20); /* it must not wait for a writer */
    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_EPERM);
    (void)alarm(0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_EPERM);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(hm_buf_reserve(&long_one, LIGHT_TRUST_MAX_BYTES + 1), 0);
    memset(long_one.data, 0, LIGHT_TRUST_MAX_BYTES + 1);
    assert_int_equal(hm_file_replace(path, long_one.data, LIGHT_TRUST_MAX_BYTES + 1, 0600, NULL),
                     0);
    assert_int_equal(nexus_trust_load(path, &again, NULL), HM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_and_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_which_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, setup, teardown),
    };

    return cmocka_run_group_tests_name("nexus_trust", tests, NULL, NULL);
}
