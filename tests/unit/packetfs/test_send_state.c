/* The folders of a handover: which of the user's are taken for ours, and which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/packetfs_send_state.h"

static char folder[64];
static const uint8_t name[PACKETFS_STATE_NAME_BYTES] = "a name";

static const char *at(const char *path)
{
    static char paths[8][192];
    static unsigned turn;
    char *out = paths[turn++ % 8];

    (void)snprintf(out, sizeof(paths[0]), "%s/%s", folder, path);
    return out;
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/packetfs-state-XXXXXX");
    return mkdtemp(folder) == NULL || setenv("XDG_CACHE_HOME", at("cache"), 1) != 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return hm_remove_tree(folder, NULL);
}

static int open_and_close(const char *given)
{
    struct packetfs_state state = {.lock = -1};
    int rc = packetfs_state_open(given, "send", name, false, &state, NULL);

    if (rc == 0)
        packetfs_state_close(&state, false);
    return rc;
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(hm_file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void test_a_folder_is_ours_again(void **unused)
{
    struct packetfs_state state = {.lock = -1};
    (void)unused;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(packetfs_state_open(at("s"), "send", name, false, &state, NULL), 0);
        assert_int_equal(hm_mkdir_all(state.volume, 0700, NULL), 0);
        write_file(state.key, "key");
        packetfs_state_close(&state, false);
    }
    assert_int_equal(packetfs_state_open(at("s/"), "send", name, false, &state, NULL), 0);
    packetfs_state_close(&state, true);
    assert_int_equal(access(at("s"), F_OK), -1);
}

/* A file that happens to be called lock says nothing. */
static void test_a_lock_of_somebody_elses(void **unused)
{
    (void)unused;
    assert_int_equal(mkdir(at("apt"), 0700), 0);
    assert_int_equal(mkdir(at("apt/volume"), 0700), 0);
    write_file(at("apt/lock"), "");
    write_file(at("apt/key"), "precious");
    assert_int_equal(open_and_close(at("apt")), HM_EEXIST);
    write_file(at("apt/lock"), "12345\n");
    assert_int_equal(open_and_close(at("apt")), HM_EEXIST);
    assert_int_equal(access(at("apt/key"), F_OK), 0);
    assert_int_equal(mkdir(at("alone"), 0700), 0);
    write_file(at("alone/lock"), ""); /* begun, and interrupted */
    assert_int_equal(open_and_close(at("alone")), 0);
}

static void test_folders_of_others(void **unused)
{
    (void)unused;
    assert_int_equal(mkdir(at("real"), 0700), 0);
    assert_int_equal(symlink("real", at("link")), 0);
    assert_int_equal(open_and_close(at("link")), HM_EPERM);
    assert_int_equal(open_and_close(at("link/")), HM_EPERM);
    for (mode_t bit = S_IWOTH; bit <= S_IWGRP; bit *= S_IWGRP / S_IWOTH) {
        assert_int_equal(chmod(at("real"), 0700 | bit), 0);
        assert_int_equal(open_and_close(at("real")), HM_EPERM);
    }
    assert_int_equal(chmod(at("real"), 0755), 0);
    assert_int_equal(open_and_close(at("real")), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(at("real"), 1234, 1234), 0);
        assert_int_equal(open_and_close(at("real")), HM_EPERM);
    }
}

static void test_a_cache_of_others(void **unused)
{
    (void)unused;
    assert_int_equal(open_and_close(NULL), 0);
    assert_int_equal(chmod(at("cache/packetfs/send"), 0777), 0);
    assert_int_equal(open_and_close(NULL), HM_EPERM);
    assert_int_equal(hm_remove_tree(at("cache/packetfs/send"), NULL), 0);
    assert_int_equal(mkdir(at("theirs"), 0700), 0);
    assert_int_equal(symlink(at("theirs"), at("cache/packetfs/send")), 0);
    assert_int_equal(open_and_close(NULL), HM_EPERM);
}

static void test_links_within(void **unused)
{
    static const char *const names[] = {"s/volume", "s/key", "s/for", "s/code"};
    (void)unused;

    assert_int_equal(open_and_close(at("s")), 0);
    assert_int_equal(mkdir(at("theirs"), 0700), 0);
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        assert_int_equal(symlink(at("theirs"), at(names[i])), 0);
        assert_int_equal(open_and_close(at("s")), HM_EPERM);
        assert_int_equal(unlink(at(names[i])), 0);
    }
    assert_int_equal(open_and_close(at("s")), 0);
}

static void test_for_whom(void **unused)
{
    static const uint8_t other[PACKETFS_STATE_NAME_BYTES] = "another";
    struct packetfs_state state = {.lock = -1};
    (void)unused;

    assert_int_equal(packetfs_state_open(at("s"), "send", name, false, &state, NULL), 0);
    assert_false(packetfs_state_is_for(&state, name));
    assert_int_equal(packetfs_state_mark(&state, name, NULL), 0);
    assert_true(packetfs_state_is_for(&state, name));
    assert_false(packetfs_state_is_for(&state, other));
    write_file(state.code, "4821-harbor-violin");
    assert_int_equal(packetfs_state_clear(&state, NULL), 0);
    assert_false(packetfs_state_is_for(&state, name));
    assert_int_equal(access(state.code, F_OK), -1);
    packetfs_state_close(&state, true);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(test_a_folder_is_ours_again), EACH(test_a_lock_of_somebody_elses),
        EACH(test_folders_of_others),      EACH(test_a_cache_of_others),
        EACH(test_links_within),           EACH(test_for_whom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
