#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

/* Every test works in a folder of its own: *state is its path. */
static int make_folder(void **state)
{
    char *path = hm_strdup("/tmp/hm_test_file_XXXXXX");

    if (path == NULL || mkdtemp(path) == NULL)
        return -1;
    *state = path;
    return 0;
}

static int remove_folder(void **state)
{
    int rc = hm_remove_tree(*state, NULL);

    hm_free(*state);
    return rc;
}

static void test_replace_and_read(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/config", (char *)*state);
    HM_AUTOFREE char *beside = hm_asprintf("%s.tmp", path);
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error;
    struct stat info;

    assert_int_equal(hm_file_read(path, 10, &out, &error), HM_ENOTFOUND);
    assert_int_equal(hm_file_replace(path, "first", 5, 0640, &error), 0);
    /* what a crash left behind, even as a link, is in nobody's way */
    assert_int_equal(symlink("/dev/null", beside), 0);
    assert_int_equal(hm_file_replace(path, "second!", 7, 0604, &error), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0604);
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(hm_buf_append_str(&out, "> "), 0);
    assert_int_equal(hm_file_read(path, 7, &out, &error), 0);
    assert_string_equal(hm_buf_cstr(&out), "> second!");
    assert_int_equal(hm_file_read(path, 6, &out, &error), HM_ELIMIT);
    assert_int_equal(out.len, 9);
    assert_int_equal(hm_file_read(*state, 6, &out, &error), HM_EIO);
}

static void test_replace_keeps_the_old_on_failure(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/value", (char *)*state);
    HM_AUTOFREE char *in_the_way = hm_asprintf("%s.tmp", path);
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(hm_file_replace(path, "old", 3, 0600, NULL), 0);
    assert_int_equal(mkdir(in_the_way, 0700), 0);
    assert_int_not_equal(hm_file_replace(path, "new", 3, 0600, NULL), 0);
    assert_int_equal(hm_file_read(path, 3, &out, NULL), 0);
    assert_string_equal(hm_buf_cstr(&out), "old");
    for (unsigned long nth = 1; nth <= 2; nth++) {
        hm_alloc_fail_at(nth);
        assert_int_not_equal(hm_file_replace(path, "new", 3, 0600, NULL), 0);
        hm_alloc_fail_at(0);
    }
}

static void test_read_of_unknown_size(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    (void)state;
    assert_int_equal(hm_file_read("/proc/self/status", 1 << 20, &out, NULL), 0);
    assert_int_equal(strncmp(hm_buf_cstr(&out), "Name:", 5), 0);
    assert_int_equal(hm_file_read("/dev/zero", 100000, &out, NULL), HM_ELIMIT);
}

static void test_mkdir_all(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s//a/b/c/", (char *)*state);
    HM_AUTOFREE char *file = hm_asprintf("%s/a/file", (char *)*state);
    HM_AUTOFREE char *below = hm_asprintf("%s/x", file);
    struct stat info;

    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(hm_file_replace(file, "", 0, 0600, NULL), 0);
    assert_int_equal(hm_mkdir_all(file, 0700, NULL), HM_EEXIST);
    assert_int_equal(hm_mkdir_all(below, 0700, NULL), HM_EEXIST);
    assert_int_equal(hm_mkdir_all("", 0700, NULL), HM_EINVAL);
    assert_int_equal(hm_mkdir_all("/", 0700, NULL), 0);
}

static void touch_at(int folder, const char *name)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    (void)close(fd);
}

static void test_remove_tree_leaves_what_links_name(void **state)
{
    HM_AUTOFREE char *kept = hm_asprintf("%s/kept", (char *)*state);
    HM_AUTOFREE char *file = hm_asprintf("%s/file", kept);
    HM_AUTOFREE char *tree = hm_asprintf("%s/tree", (char *)*state);
    HM_AUTOFREE char *inner = hm_asprintf("%s/a/b", tree);
    HM_AUTOFREE char *link = hm_asprintf("%s/link", inner);
    HM_AUTOFREE char *top_link = hm_asprintf("%s/top", (char *)*state);

    assert_int_equal(hm_mkdir_all(kept, 0700, NULL), 0);
    assert_int_equal(hm_file_replace(file, "x", 1, 0600, NULL), 0);
    assert_int_equal(hm_mkdir_all(inner, 0700, NULL), 0);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(symlink(kept, top_link), 0);
    assert_int_equal(hm_remove_tree(tree, NULL), 0);
    assert_int_equal(access(tree, F_OK), -1);
    assert_int_equal(hm_remove_tree(top_link, NULL), 0);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(hm_remove_tree(tree, NULL), 0);
    assert_int_equal(hm_remove_tree(file, NULL), 0);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(hm_remove_tree("/", NULL), HM_EINVAL);
}

/* Deeper than any path may be long, and more folders than descriptors, with siblings on the way. */
static void test_remove_deep_tree(void **state)
{
    HM_AUTOFREE char *tree = hm_asprintf("%s/deep", (char *)*state);
    int fd;

    assert_int_equal(mkdir(tree, 0700), 0);
    fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        int next;

        touch_at(fd, "file");
        assert_int_equal(mkdirat(fd, "empty", 0700), 0);
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        if (i % 100 == 99) /* locked by its owner: no search, no write, no read */
            assert_int_equal(fchmod(fd, i % 200 == 99 ? 0 : 0500), 0);
        (void)close(fd);
        fd = next;
    }
    assert_int_equal(fchmod(fd, 0), 0);
    (void)close(fd);
    assert_int_equal(hm_remove_tree(tree, NULL), 0);
    assert_int_equal(access(tree, F_OK), -1);
}

static void test_write_to_a_full_device(void **state)
{
    HM_AUTOCLOSE int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct hm_error error;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(hm_write_all(fd, "x", 1, &error), HM_EIO);
    assert_non_null(strstr(error.text, "No space left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replace_and_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_replace_keeps_the_old_on_failure, make_folder,
                                        remove_folder),
        cmocka_unit_test(test_read_of_unknown_size),
        cmocka_unit_test_setup_teardown(test_mkdir_all, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_remove_tree_leaves_what_links_name, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_remove_deep_tree, make_folder, remove_folder),
        cmocka_unit_test(test_write_to_a_full_device),
    };

    return cmocka_run_group_tests_name("base_file", tests, NULL, NULL);
}
