/* Images in the content store: equal files once, restored as they were. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "image_fixture.h"
#include "runtime_tar.h"
#include "runtime_vault.h"

/* Both trees hold the same, but for inodes, and times of folders. */
static void same_trees(const char *left, const char *right, bool owners)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_CLEANUP(runtime_names) struct runtime_names others = {0};
    HM_AUTOCLOSE int a = open(left, O_RDONLY | O_DIRECTORY);
    HM_AUTOCLOSE int b = open(right, O_RDONLY | O_DIRECTORY);
    char mark[2][2] = {{0}};

    assert_true(a >= 0 && b >= 0);
    assert_int_equal(runtime_names_read(a, &names, NULL), 0);
    assert_int_equal(runtime_names_read(b, &others, NULL), 0);
    assert_int_equal(names.count, others.count);
    assert_int_equal(fgetxattr(a, "trusted.overlay.opaque", mark[0], 1),
                     fgetxattr(b, "trusted.overlay.opaque", mark[1], 1));
    assert_int_equal(fgetxattr(a, "user.overlay.opaque", mark[0], 1),
                     fgetxattr(b, "user.overlay.opaque", mark[1], 1));
    for (size_t i = 0; i < names.count; i++) {
        char one[600], two[600], to[2][64] = {{0}};
        struct stat x, y;

        assert_string_equal(names.names[i], others.names[i]);
        snprintf(one, sizeof(one), "%s/%s", left, names.names[i]);
        snprintf(two, sizeof(two), "%s/%s", right, names.names[i]);
        assert_int_equal(lstat(one, &x), 0);
        assert_int_equal(lstat(two, &y), 0);
        assert_int_equal(x.st_rdev, y.st_rdev);
        assert_int_equal(x.st_mode & S_IFMT, y.st_mode & S_IFMT);
        if (!S_ISCHR(x.st_mode))
            assert_int_equal(x.st_mode, y.st_mode);
        if (owners)
            assert_int_equal(x.st_uid, y.st_uid);
        if (S_ISDIR(x.st_mode)) {
            same_trees(one, two, owners);
            continue;
        }
        assert_int_equal(x.st_nlink, y.st_nlink);
        if (S_ISLNK(x.st_mode)) {
            assert_int_equal(readlink(one, to[0], 63), readlink(two, to[1], 63));
            assert_string_equal(to[0], to[1]);
        }
        if (S_ISREG(x.st_mode)) {
            HM_CLEANUP(hm_buf) struct hm_buf old = {0};
            HM_CLEANUP(hm_buf) struct hm_buf now = {0};

            assert_int_equal(x.st_mtim.tv_sec, y.st_mtim.tv_sec);
            assert_int_equal(hm_file_read(one, NOISE_BYTES, &old, NULL), 0);
            assert_int_equal(hm_file_read(two, NOISE_BYTES, &now, NULL), 0);
            assert_true(hm_slice_equal(hm_buf_slice(&old), hm_buf_slice(&now)));
        }
    }
}

/* --- tests ----------------------------------------------------------------------------------------------------------- */

static void test_shared_files(void **state)
{
    struct runtime_image first, second;
    struct look one, both;

    (void)state;
    first = import(layouts[0], "first");
    one = look();
    assert_true(first.stored_bytes > NOISE_BYTES); /* three files at half their size */
    assert_true(one.bytes < 2 * NOISE_BYTES);
    second = import(layouts[1], "second");
    both = look();
    assert_true(second.bytes > NOISE_BYTES); /* it came whole */
    assert_true(second.stored_bytes < first.stored_bytes / 20);
    assert_true(both.bytes - one.bytes < one.bytes / 20);
    assert_int_equal(both.snapshots, 2);
    /* Layers are in the volume alone: manifests and configurations are all that lies there as it came. */
    assert_int_equal(entries_of("blobs/sha256"), 4);
}

static void test_again(void **state)
{
    struct runtime_image image, again, *list = NULL;
    struct look before, after;
    size_t count = 0;

    (void)state;
    image = import(layouts[0], "first");
    before = look();
    drop_layers(NULL);
    again = import(layouts[0], "first");
    assert_int_equal(again.stored_bytes, image.stored_bytes);
    assert_int_equal(again.bytes, image.bytes);
    assert_int_equal(again.layers, 1);
    assert_int_equal(entries_of("layers"), 0); /* known: not even unpacked */
    again = import(layouts[0], "other");
    assert_int_equal(again.stored_bytes, 0);
    after = look();
    assert_int_equal(after.snapshots, before.snapshots);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(runtime_image_list(images, &list, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].stored_bytes + list[1].stored_bytes, image.stored_bytes);
    hm_free(list);
    restored("other");
}

static void test_restored_as_it_was(void **state)
{
    bool mapped = runtime_can_map_users();
    char before[500], aside[400], path[RUNTIME_PATH_MAX_BYTES];
    struct hm_error error = {0};

    (void)state;
    (void)import(layouts[0], "first");
    snprintf(aside, sizeof(aside), "%s/aside", dir);
    drop_layers(aside);
    if (layer_of("first", mapped, path, &error) != 0)
        fail_msg("%s", error.text);
    snprintf(before, sizeof(before), "%s/%s", aside, strrchr(path, '/') + 1);
    same_trees(before, path, true);
    assert_int_equal(entries_of("layers"), 1);
    if (geteuid() != 0)
        return;
    /* In the other form: a machine that no longer maps users, or now does. */
    if (layer_of("first", !mapped, path, &error) != 0)
        fail_msg("%s", error.text);
    same_trees(before, path, false);
    snprintf(path + strlen(path), 32, "/bin/two");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, mapped ? 0 : RUNTIME_UID_BASE);
    assert_int_equal(entries_of("layers"), 2);
    assert_int_equal(entries_of("tmp"), 0);
}

static void test_removal_gives_room_back(void **state)
{
    struct look before, after;

    (void)state;
    (void)import(layouts[2], "third");
    before = look();
    (void)import(layouts[0], "first");
    (void)import(layouts[1], "second");
    assert_int_equal(runtime_image_remove(images, "first", NULL), 0);
    assert_int_equal(look().snapshots, 2);
    restored("second"); /* what both had is still there */
    assert_int_equal(runtime_image_remove(images, "second", NULL), 0);
    after = look();
    assert_int_equal(after.snapshots, 1);
    assert_true(after.bytes < before.bytes + 4096);
    restored("third");
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(look().snapshots, 0);
    assert_int_equal(look().bytes, 0);
}

/* A store as versions before the volume wrote it: layers as blobs. */
static void make_old(const char *layout)
{
    HM_CLEANUP(hm_buf) struct hm_buf index = {0};
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char from[600], to[600];
    HM_AUTOCLOSE int blobs = -1;
    char *stored;

    snprintf(from, sizeof(from), "%s/blobs/sha256", layout);
    blobs = open(from, O_RDONLY | O_DIRECTORY);
    assert_int_equal(runtime_names_read(blobs, &names, NULL), 0);
    for (size_t i = 0; i < names.count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

        snprintf(from, sizeof(from), "%s/blobs/sha256/%s", layout, names.names[i]);
        snprintf(to, sizeof(to), "%s/images/blobs/sha256/%s", dir, names.names[i]);
        assert_int_equal(hm_file_read(from, 64 << 20, &bytes, NULL), 0);
        put_file(to, hm_buf_slice(&bytes));
    }
    snprintf(to, sizeof(to), "%s/images/volume", dir);
    assert_int_equal(hm_remove_tree(to, NULL), 0);
    snprintf(to, sizeof(to), "%s/images/index.json", dir);
    assert_int_equal(hm_file_read(to, 65536, &index, NULL), 0);
    stored = strstr(hm_buf_cstr(&index), "\"stored\"");
    assert_non_null(stored);
    memcpy(stored, "\"before\"", 8); /* a field it does not know */
    put_file(to, hm_buf_slice(&index));
}

static void test_old_store(void **state)
{
    struct runtime_image image;

    (void)state;
    (void)import(layouts[0], "first");
    make_old(layouts[0]);
    assert_int_equal(runtime_image_get(images, "first", &image, NULL), 0);
    assert_int_equal(image.stored_bytes, image.bytes);
    restored("first");
    /* Another image comes and goes: the blob stays, for it is all there is. */
    (void)import(layouts[2], "third");
    assert_int_equal(entries_of("blobs/sha256"), 5);
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(entries_of("blobs/sha256"), 3);
    restored("first");
    /* Taken in again it is in the volume, and the next removal takes the blob. */
    image = import(layouts[0], "first");
    assert_true(image.stored_bytes > NOISE_BYTES);
    (void)import(layouts[2], "third");
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(entries_of("blobs/sha256"), 2);
    restored("first");
}

/* --- several at once --------------------------------------------------------------------------------------------------- */

static void *importer(void *arg)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    size_t which = (size_t)(uintptr_t)arg;

    for (int round = 0; round < 6; round++) {
        struct runtime_image image;
        struct hm_error error = {0};

        if (runtime_image_import(images, layouts[which % 3], names[which], &image, &error) != 0 ||
            (which == 3 && round < 5 && runtime_image_remove(images, names[which], &error) != 0)) {
            (void)fprintf(stderr, "importer %zu: %s\n", which, error.text);
            return arg;
        }
    }
    return NULL;
}

static void *importer_once(void *arg)
{
    struct runtime_image image;

    (void)arg;
    return runtime_image_import(images, layouts[0], "first", &image, NULL) == 0 ? NULL : images;
}

static void test_several_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, importer, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    restored("a");
    restored("b");
    restored("c");
    restored("d");
    /* The next removal leaves one snapshot a layer. */
    assert_int_equal(runtime_image_remove(images, "d", NULL), 0);
    assert_int_equal(look().snapshots, 3);
}

/* What an import has put is not removed before a name holds it. */
static void test_put_is_kept_until_named(void **state)
{
    HM_AUTOCLOSE int lock = -1;
    HM_AUTOCLOSE int use = -1;
    pthread_t thread;
    void *failed = NULL;
    size_t snapshots = 0;

    (void)state;
    (void)import(layouts[2], "third");
    assert_int_equal(runtime_images_lock(images, "lock", LOCK_EX, &lock, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, importer_once, NULL), 0);
    for (int i = 0; i < 6000 && snapshots < 2; i++) { /* it puts, then waits for the lock to name */
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        snapshots = look().snapshots;
    }
    assert_int_equal(snapshots, 2);
    assert_int_equal(runtime_images_lock(images, "inuse", LOCK_EX | LOCK_NB, &use, NULL), HM_EBUSY);
    hm_fd_release(&lock);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    restored("first");
    /* As with a job: what nobody needs goes with the next removal that finds nobody at work. */
    assert_int_equal(runtime_images_lock(images, "inuse", LOCK_SH, &use, NULL), 0);
    assert_int_equal(runtime_image_remove(images, "first", NULL), 0);
    assert_int_equal(look().snapshots, 2);
    hm_fd_release(&use);
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(look().snapshots, 0);
}

/* Two removals at once wait for each other. */
static void *remover(void *arg)
{
    struct hm_error error = {0};

    if (runtime_image_remove(images, "first", &error) == 0)
        return NULL;
    (void)fprintf(stderr, "remover: %s\n", error.text);
    return arg;
}

static void test_removal_waits(void **state)
{
    HM_AUTOCLOSE int care = -1;
    struct timespec until;
    pthread_t thread;
    void *failed = NULL;

    (void)state;
    (void)import(layouts[0], "first");
    assert_int_equal(runtime_images_lock(images, "care", LOCK_EX, &care, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, remover, &care), 0);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec++;
    assert_int_not_equal(pthread_timedjoin_np(thread, &failed, &until), 0);
    hm_fd_release(&care);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(look().bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shared_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restored_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removal_gives_room_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_is_kept_until_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removal_waits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
