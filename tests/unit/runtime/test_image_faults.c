/* What goes wrong with the content store of images: damage, a lost key, kills, a full disk. Never half of anything. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "image_fixture.h"
#include "runtime_tar.h"
#include "runtime_vault.h"

#define KILLS         24
#define PATTERNS_ONLY 100000 /* what the references take is less than a fifth of this */

/* Flips a bit of every so many bytes of every pack, so that what is read next is wrong. */
static void damage_below(const char *folder, size_t step)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    assert_int_equal(runtime_names_read(fd, &names, NULL), 0);
    for (size_t i = 0; i < names.count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        char path[600];
        struct stat info;

        snprintf(path, sizeof(path), "%s/%s", folder, names.names[i]);
        assert_int_equal(stat(path, &info), 0);
        if (S_ISDIR(info.st_mode)) {
            damage_below(path, step);
            continue;
        }
        assert_int_equal(hm_file_read(path, 64 << 20, &bytes, NULL), 0);
        for (size_t at = step / 5; at < bytes.len; at += step)
            bytes.data[at] ^= 1;
        put_file(path, hm_buf_slice(&bytes));
    }
}

static void damage_packs(size_t step)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/images/volume/packs", dir);
    damage_below(path, step);
}

static void found_damaged(const char *name)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    struct hm_error error = {0};

    drop_layers(NULL);
    assert_int_equal(layer_of(name, runtime_can_map_users(), path, &error), HM_ECORRUPT);
}

static void test_damage(void **state)
{
    bool mapped = runtime_can_map_users();
    char path[RUNTIME_PATH_MAX_BYTES];
    struct hm_error error = {0};

    (void)state;
    (void)import(layouts[0], "first");
    (void)import(layouts[1], "second");
    damage_packs(5000);
    /* Jobs whose layer is unpacked do not notice. */
    assert_int_equal(layer_of("first", mapped, path, &error), 0);
    drop_layers(NULL);
    assert_int_equal(layer_of("first", mapped, path, &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "image first:latest is damaged"));
    assert_non_null(strstr(error.text, "import it again"));
    assert_int_equal(entries_of("layers"), 0);
    assert_int_equal(entries_of("tmp"), 0);
    /* As it says. The other image has the damaged files, too, and with them gets them back. */
    (void)import(layouts[0], "first");
    restored("first");
    (void)import(layouts[1], "second");
    restored("second");
    assert_false(runtime_vault_is_damaged(images));
    (void)import(layouts[2], "third");
    restored("third");
}

/* An import mends and is killed before it puts anything: what was lost is not taken for what is there. */
static void test_killed_after_mend(void **state)
{
    struct runtime_vault vault = {0};
    HM_AUTOCLOSE int puts = -1;

    (void)state;
    (void)import(layouts[0], "first");
    (void)import(layouts[2], "third");
    damage_packs(PATTERNS_ONLY);
    found_damaged("first");
    assert_int_equal(runtime_vault_open(images, false, &vault, NULL), 0);
    assert_int_equal(runtime_vault_begin(&vault, &puts, NULL), 0);
    runtime_vault_release(&vault);
    hm_fd_release(&puts);
    assert_false(runtime_vault_is_damaged(images));
    (void)import(layouts[0], "first");
    restored("first");
    (void)import(layouts[2], "third"); /* not touched by what was mended for the first */
    restored("third");
    /* Once more, not each time. */
    drop_layers(NULL);
    (void)import(layouts[2], "third");
    assert_int_equal(entries_of("layers"), 0);
    /* Also when the volume's numbers begin anew. */
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(runtime_image_remove(images, "first", NULL), 0);
    assert_int_equal(look().snapshots, 0);
    (void)import(layouts[2], "third");
    drop_layers(NULL);
    (void)import(layouts[2], "third");
    assert_int_equal(entries_of("layers"), 0);
    assert_int_equal(look().snapshots, 1);
}

/* An import that looked before another one mended looks again. */
static void test_mended_meanwhile(void **state)
{
    struct runtime_vault early = {0}, vault = {0};
    char label[RUNTIME_PATH_MAX_BYTES];
    int puts = -1;

    (void)state;
    (void)import(layouts[0], "first");
    assert_int_equal(runtime_vault_open(images, false, &early, NULL), 0);
    assert_int_equal(early.count, 1);
    snprintf(label, sizeof(label), "%s", early.snapshots[0].label);
    assert_true(runtime_vault_has(&early, label));
    damage_packs(PATTERNS_ONLY);
    found_damaged("first");
    assert_int_equal(runtime_vault_open(images, false, &vault, NULL), 0);
    assert_int_equal(runtime_vault_begin(&vault, &puts, NULL), 0);
    assert_int_equal(vault.count, 1);
    assert_false(runtime_vault_has(&vault, label));
    hm_fd_release(&puts);
    assert_int_equal(runtime_vault_begin(&early, &puts, NULL), 0);
    assert_false(runtime_vault_has(&early, label));
    hm_fd_release(&puts);
    runtime_vault_release(&early);
    runtime_vault_release(&vault);
}

/* A snapshot with nodes lost keeps nothing from being removed, and the next import forgets it. */
static void test_lost_nodes(void **state)
{
    struct hm_error error = {0};

    (void)state;
    (void)import(layouts[0], "first");
    (void)import(layouts[2], "third");
    damage_packs(50);
    if (runtime_image_remove(images, "third", &error) != 0)
        fail_msg("%s", error.text);
    assert_true(runtime_vault_is_damaged(images));
    (void)import(layouts[1], "second");
    assert_false(runtime_vault_is_damaged(images));
    assert_int_equal(look().snapshots, 1);
    found_damaged("first");
    assert_int_equal(runtime_image_remove(images, "second", NULL), 0);
    assert_false(runtime_vault_is_damaged(images));
    assert_int_equal(look().bytes, 0);
    (void)import(layouts[0], "first");
    restored("first");
}

/* A damaged manifest keeps no other image from being removed, and comes back with its image. */
static void test_damaged_manifest(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_AUTOFREE struct runtime_image_loaded *loaded = hm_calloc(1, sizeof(*loaded));
    struct runtime_image first;
    struct hm_error error = {0};
    char path[500];

    (void)state;
    assert_non_null(loaded);
    first = import(layouts[0], "first");
    (void)import(layouts[2], "third");
    snprintf(path, sizeof(path), "%s/images/blobs/sha256/%s", dir, strchr(first.digest, ':') + 1);
    put_file(path, hm_slice_str("{}"));
    assert_int_equal(runtime_image_load(images, "first", &arena, loaded, NULL), HM_ECORRUPT);
    if (runtime_image_remove(images, "third", &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(entries_of("blobs/sha256"), 4); /* nothing is swept */
    (void)import(layouts[0], "first");
    assert_int_equal(runtime_image_load(images, "first", &arena, loaded, NULL), 0);
    restored("first");
    (void)import(layouts[2], "third");
    assert_int_equal(runtime_image_remove(images, "third", NULL), 0);
    assert_int_equal(entries_of("blobs/sha256"), 2);
}

/* Whether jobs run cannot be told: nothing is removed from under them. */
static void test_no_lock(void **state)
{
    char path[400];

    (void)state;
    (void)import(layouts[0], "first");
    snprintf(path, sizeof(path), "%s/images/inuse", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(runtime_image_remove(images, "first", NULL), HM_EIO);
    assert_int_equal(entries_of("blobs/sha256"), 2);
    assert_int_equal(entries_of("layers"), 1);
}

static void test_lost_key(void **state)
{
    char keys[400], aside[400], path[RUNTIME_PATH_MAX_BYTES];
    struct runtime_image image;
    struct hm_error error = {0};

    (void)state;
    (void)import(layouts[0], "first");
    snprintf(keys, sizeof(keys), "%s/images/keys", dir);
    snprintf(aside, sizeof(aside), "%s/aside", dir);
    assert_int_equal(rename(keys, aside), 0);
    assert_int_equal(layer_of("first", runtime_can_map_users(), path, &error), 0);
    assert_int_equal(runtime_image_import(images, layouts[1], "second", &image, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, "volume"));
    assert_int_equal(runtime_image_get(images, "second", &image, NULL), HM_ENOTFOUND);
    assert_int_equal(rename(aside, keys), 0);
    (void)import(layouts[1], "second");
    struct stat info;
    assert_int_equal(stat(keys, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
}

/* --- killed ------------------------------------------------------------------------------------------------------------ */

extern char **environ;

static void test_killed(void **state)
{
    bool before[2] = {false, false};
    int ended = 0;

    (void)state;
    for (int i = 0; i < KILLS; i++) {
        char *argv[] = {(char *)(uintptr_t) "test",
                        (char *)(uintptr_t) "import",
                        dir,
                        layouts[i % 2],
                        (char *)(uintptr_t)(i % 2 == 0 ? "first" : "second"),
                        NULL};
        struct timespec pause = {.tv_nsec = 1000000L * (1 + i * 37 % 400)};
        struct runtime_image image;
        struct hm_error error = {0};
        char path[RUNTIME_PATH_MAX_BYTES];
        pid_t pid;
        int status = 0, rc;

        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
        (void)nanosleep(&pause, NULL);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        ended += WIFEXITED(status);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        rc = runtime_image_get(images, argv[4], &image, &error);
        assert_true(rc == 0 || rc == HM_ENOTFOUND);
        assert_true(rc == 0 || !before[i % 2]); /* what was there stays */
        before[i % 2] = rc == 0;
        if (rc == 0 && layer_of(argv[4], runtime_can_map_users(), path, &error) != 0)
            fail_msg("kill %d: %s", i, error.text);
        if (i % 6 == 5 && before[i % 2]) { /* begin anew */
            assert_int_equal(runtime_image_remove(images, argv[4], &error), 0);
            before[i % 2] = false;
        }
    }
    print_message("%d of %d imports came to their end\n", ended, KILLS);
    (void)import(layouts[0], "first");
    (void)import(layouts[1], "second");
    restored("first");
    restored("second");
    assert_int_equal(runtime_image_remove(images, "first", NULL), 0);
    assert_int_equal(runtime_image_remove(images, "second", NULL), 0);
    assert_int_equal(look().snapshots, 0);
    assert_int_equal(entries_of("tmp"), 0);
    assert_int_equal(entries_of("layers"), 0);
}

static int import_and_end(char **argv)
{
    struct runtime_image image;
    struct hm_error error = {0};

    if (crypto_setup(&error) != 0 || runtime_images_open(argv[2], &images, &error) != 0 ||
        runtime_image_import(images, argv[3], argv[4], &image, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    runtime_images_close(images);
    return 0;
}

/* --- a full disk --------------------------------------------------------------------------------------------------------- */

static void test_full_disk(void **state)
{
    struct runtime_image image;
    struct hm_error error = {0};
    char small[300];
    int refused = 0;

    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("a small disk takes root to make\n");
        skip();
    }
    runtime_images_close(images);
    /* From too small for anything to large enough, so that space runs out everywhere on the way. */
    snprintf(small, sizeof(small), "%s/small", dir);
    assert_int_equal(mkdir(small, 0700), 0);
    for (unsigned kib = 128; kib < 6000; kib += 300) {
        char options[32], there[400];
        int rc;

        snprintf(options, sizeof(options), "size=%uk", kib);
        assert_int_equal(mount("small", small, "tmpfs", 0, options), 0);
        assert_int_equal(runtime_images_open(small, &images, &error), 0);
        rc = runtime_image_import(images, layouts[0], "first", &image, &error);
        refused += rc != 0;
        if (rc != 0 && rc != HM_EIO)
            fail_msg("%u KiB: %s: %s", kib, hm_error_name(rc), error.text);
        if (rc != 0) {
            assert_int_equal(runtime_image_get(images, "first", &image, NULL), HM_ENOTFOUND);
            snprintf(there, sizeof(there), "%s/images/tmp", small);
            assert_int_equal(rmdir(there), 0); /* empty */
            assert_int_equal(mkdir(there, 0700), 0);
            /* With room it works. */
            assert_int_equal(mount("small", small, "tmpfs", MS_REMOUNT, "size=20m"), 0);
            if (runtime_image_import(images, layouts[0], "first", &image, &error) != 0)
                fail_msg("after %u KiB: %s", kib, error.text);
        }
        runtime_images_close(images);
        assert_int_equal(umount(small), 0);
    }
    assert_true(refused > 3);
    assert_int_equal(runtime_images_open(dir, &images, &error), 0);
}

/* --- a file that cannot be read -------------------------------------------------------------------------------------- */

/* As an ordinary user: root reads everything. */
static int put_unreadable(const char *below)
{
    struct runtime_images *own = NULL;
    struct runtime_vault vault = {0};
    struct packetfs_stats stats;
    struct hm_error error = {0};
    char layer[300], path[320];
    uint64_t stored = 0;

    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 2;
    snprintf(layer, sizeof(layer), "%s/p-layer", below);
    snprintf(path, sizeof(path), "%s/locked", layer);
    if (mkdir(layer, 0700) != 0 || runtime_images_open(below, &own, &error) != 0 ||
        runtime_vault_open(own, true, &vault, &error) != 0)
        return 3;
    put_file(path, hm_slice_str("nobody reads this"));
    if (chmod(path, 0) != 0 || runtime_vault_put(&vault, layer, &stored, &error) != HM_EIO ||
        strstr(error.text, "locked") == NULL)
        return 4;
    if (packetfs_count(vault.volume, &stats, NULL) != 0 || stats.snapshots != 0 ||
        stats.bytes_packs != 0)
        return 5;
    /* There was no moment in which it lay there as if it were whole. */
    const char *paths = layer;
    const struct packetfs_put_options options = {.paths = &paths, .path_count = 1, .whole = true};
    struct packetfs_put_result result = {.files_failed = 99};
    if (packetfs_put(vault.volume, &options, NULL, &result, NULL) != PACKETFS_EIO ||
        result.files_failed != 99 || packetfs_count(vault.volume, &stats, NULL) != 0 ||
        stats.snapshots != 0)
        return 6;
    runtime_vault_release(&vault);
    runtime_images_close(own);
    return 0;
}

/* A layer that lacks a file is none: nothing of it stays. */
static void test_unreadable_file(void **state)
{
    char below[300];
    char *argv[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "unreadable", below, NULL};
    int status = 0;
    pid_t pid;

    (void)state;
    snprintf(below, sizeof(below), "%s/everybodys", dir);
    assert_int_equal(chmod(dir, 0711), 0);
    assert_int_equal(mkdir(below, 0700), 0);
    assert_int_equal(chmod(below, 0777), 0);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_after_mend, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mended_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_manifest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable_file, setup, teardown),
    };

    if (argc == 5 && strcmp(argv[1], "import") == 0)
        return import_and_end(argv);
    if (argc == 3 && strcmp(argv[1], "unreadable") == 0)
        return put_unreadable(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
