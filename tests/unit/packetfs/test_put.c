/* What is put is got back, whatever it is: the walk, the cutting and the writing over the twin in memory. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "put_world.h"

static void fill(uint8_t *data, size_t len, uint64_t seed)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, seed);

    (void)source.fill(source.ctx, data, len);
}

/* Everything a folder can hold that needs no rights. */
static void tree_make(struct put_world *world)
{
    static uint8_t large[3 * 1024 * 1024 + 17];
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1234567890, .tv_nsec = 123456789}};
    char name[64];

    (void)mkdir(put_world_path(world, "in"), 0755);
    (void)mkdir(put_world_path(world, "in/empty"), 0711);
    (void)mkdir(put_world_path(world, "in/many"), 0755);
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "in/many/%u", i);
        put_world_write(world, name, name, i % 7 == 0 ? 0 : strlen(name));
    }
    fill(large, sizeof(large), 1);
    put_world_write(world, "in/large", large, sizeof(large));
    put_world_write(world, "in/new\nline", "x", 1);
    put_world_write(world, "in/\xff\xfe bytes", "y", 1);
    put_world_write(world, "in/links", "linked", 6);
    assert_int_equal(link(put_world_path(world, "in/links"), put_world_path(world, "in/zz")), 0);
    assert_int_equal(link(put_world_path(world, "in/links"), put_world_path(world, "in/empty/a")),
                     0);
    assert_int_equal(symlink("/etc/passwd", put_world_path(world, "in/link")), 0);
    assert_int_equal(symlink("nowhere", put_world_path(world, "in/dangling")), 0);
    assert_int_equal(mkfifo(put_world_path(world, "in/pipe"), 0640), 0);
    int fd = open(put_world_path(world, "in/holes"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(pwrite(fd, "data", 4, 300000), 4);
    (void)close(fd);
    fd = open(put_world_path(world, "in/hole only"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 1 << 22), 0);
    (void)close(fd);
    (void)setxattr(put_world_path(world, "in/large"), "user.colour", "blue", 4, 0);
    assert_int_equal(chmod(put_world_path(world, "in/large"), 04751), 0);
    assert_int_equal(utimensat(AT_FDCWD, put_world_path(world, "in/large"), times, 0), 0);
    assert_int_equal(
        utimensat(AT_FDCWD, put_world_path(world, "in/link"), times, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(utimensat(AT_FDCWD, put_world_path(world, "in/many"), times, 0), 0);
}

static void round_trip(unsigned threads)
{
    struct put_world world;
    struct stat st;
    char value[8];

    put_world_init(&world);
    world.threads = threads;
    tree_make(&world);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    assert_int_equal(world.failed, 0);
    assert_int_equal(world.folders, 2);
    assert_int_equal(world.files, 500 + 11);
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(world.failed, 0);
    assert_true(put_world_same(&world, "in", "out"));
    assert_int_equal(stat(put_world_path(&world, "out/hole only"), &st), 0);
    assert_true(st.st_blocks * 512 < st.st_size);
    if (getxattr(put_world_path(&world, "in/large"), "user.colour", value, sizeof(value)) == 4)
        assert_int_equal(
            getxattr(put_world_path(&world, "out/large"), "user.colour", value, sizeof(value)), 4);
    /* A second time all of it is there. */
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(world.failed, 0);
    assert_int_equal(world.files, 0);
    assert_int_equal(world.same, 500 + 11);
    put_world_release(&world);
}

static void one_thread_puts_and_gets_a_tree(void **state)
{
    (void)state;
    round_trip(1);
}

static void several_threads_put_and_get_a_tree(void **state)
{
    (void)state;
    round_trip(4);
}

static void threads_and_one_thread_give_the_same_root(void **state)
{
    struct put_world world;
    struct packetfs_id root;

    (void)state;
    put_world_init(&world);
    tree_make(&world);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    root = world.root;
    for (unsigned threads = 2; threads < 6; threads++) {
        world.threads = threads;
        assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
        assert_true(packetfs_id_equal(&root, &world.root));
    }
    put_world_release(&world);
}

static void excluded_names_are_left_out(void **state)
{
    static const char *const excludes[] = {"*.o", "sub/skip", "/top"};
    struct put_world world;
    struct stat st;

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    (void)mkdir(put_world_path(&world, "in/sub"), 0755);
    (void)mkdir(put_world_path(&world, "in/sub/skip"), 0755);
    put_world_write(&world, "in/a.o", "a", 1);
    put_world_write(&world, "in/sub/b.o", "b", 1);
    put_world_write(&world, "in/sub/top", "c", 1);
    put_world_write(&world, "in/top", "d", 1);
    put_world_write(&world, "in/sub/skip/e", "e", 1);
    assert_int_equal(put_world_put(&world, "in", excludes, 3, NULL), 0);
    assert_int_equal(world.files, 1);
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(lstat(put_world_path(&world, "out/sub/top"), &st), 0);
    assert_int_not_equal(lstat(put_world_path(&world, "out/sub/skip"), &st), 0);
    assert_int_not_equal(lstat(put_world_path(&world, "out/top"), &st), 0);
    put_world_release(&world);
}

static void folders_700_deep_come_back(void **state)
{
    struct put_world world;
    struct stat st;
    unsigned depth = 0;

    (void)state;
    put_world_init(&world);
    world.threads = 3;
    (void)mkdir(put_world_path(&world, "in"), 0755);
    int fd = open(put_world_path(&world, "in"), O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < 700; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        int file = openat(next, "z", O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(file, &i, sizeof(i)), sizeof(i));
        (void)close(file);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    assert_int_equal(world.failed, 0);
    assert_int_equal(world.folders, 700);
    assert_int_equal(world.files, 700);
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(world.failed, 0);
    fd = open(put_world_path(&world, "out"), O_RDONLY | O_DIRECTORY);
    for (int next; (next = openat(fd, "d", O_RDONLY | O_DIRECTORY)) >= 0; fd = next) {
        unsigned value = 0;
        int file = openat(next, "z", O_RDONLY);
        assert_int_equal(read(file, &value, sizeof(value)), sizeof(value));
        assert_int_equal(value, depth++);
        (void)close(file);
        assert_int_equal(fstat(next, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        (void)close(fd);
    }
    (void)close(fd);
    assert_int_equal(depth, 700);
    put_world_release(&world);
}

static void what_differs_is_left_unless_overwriting(void **state)
{
    struct put_world world;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    put_world_write(&world, "in/file", "right", 5);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    (void)mkdir(put_world_path(&world, "out"), 0755);
    put_world_write(&world, "out/file", "wrong", 5);
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(world.failed, 1);
    assert_int_equal(hm_file_read(put_world_path(&world, "out/file"), 100, &bytes, NULL), 0);
    assert_memory_equal(bytes.data, "wrong", 5);
    assert_int_equal(put_world_get(&world, "out", true, NULL), 0);
    assert_int_equal(world.failed, 0);
    hm_buf_clear(&bytes);
    assert_int_equal(hm_file_read(put_world_path(&world, "out/file"), 100, &bytes, NULL), 0);
    assert_memory_equal(bytes.data, "right", 5);
    put_world_release(&world);
}

/* A link where a folder or a file of the snapshot belongs leads nowhere. */
static void nothing_is_written_through_a_link(void **state)
{
    struct put_world world;
    struct stat st;

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    (void)mkdir(put_world_path(&world, "in/folder"), 0755);
    put_world_write(&world, "in/folder/file", "secret", 6);
    put_world_write(&world, "in/plain", "secret", 6);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        (void)hm_remove_tree(put_world_path(&world, "out"), NULL);
        (void)mkdir(put_world_path(&world, "elsewhere"), 0755);
        (void)mkdir(put_world_path(&world, "out"), 0755);
        assert_int_equal(symlink("../elsewhere", put_world_path(&world, "out/folder")), 0);
        assert_int_equal(symlink("../elsewhere/plain", put_world_path(&world, "out/plain")), 0);
        assert_int_equal(put_world_get(&world, "out", overwrite == 1, NULL), 0);
        assert_int_equal(world.failed, overwrite == 1 ? 0 : 2);
        assert_int_not_equal(lstat(put_world_path(&world, "elsewhere/file"), &st), 0);
        assert_int_not_equal(lstat(put_world_path(&world, "elsewhere/plain"), &st), 0);
    }
    put_world_release(&world);
}

static void a_lost_pattern_names_its_file_and_leaves_no_half(void **state)
{
    static uint8_t large[200000];
    struct put_world world;
    struct packetfs_entry entry;
    struct packetfs_piece piece;
    struct packetfs_list_cursor *cursor = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct stat st;

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    fill(large, sizeof(large), 5);
    put_world_write(&world, "in/damaged", large, sizeof(large));
    put_world_write(&world, "in/sound", "sound", 5);
    assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    struct packetfs_objects objects = packetfs_memory_objects(world.memory);
    assert_int_equal(
        packetfs_tree_find(&objects, &world.root, hm_slice_str("damaged"), &entry, &keep, NULL), 0);
    assert_int_equal(packetfs_list_open(&objects, &entry.content, &cursor, NULL), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(packetfs_list_next(cursor, &piece, NULL), 0);
    packetfs_list_close(cursor);
    assert_true(packetfs_memory_forget(world.memory, PACKETFS_PATTERN, &piece.id));
    assert_int_equal(put_world_get(&world, "out", false, NULL), 0);
    assert_int_equal(world.failed, 1);
    assert_int_equal(world.files, 1);
    assert_non_null(strstr(world.finding, "damaged"));
    assert_int_not_equal(lstat(put_world_path(&world, "out/damaged"), &st), 0);
    assert_int_equal(lstat(put_world_path(&world, "out/sound"), &st), 0);
    assert_int_equal(stat(put_world_path(&world, "out"), &st), 0);
    assert_int_equal(rmdir(put_world_path(&world, "out")), -1);
    assert_int_equal(unlink(put_world_path(&world, "out/sound")), 0);
    assert_int_equal(rmdir(put_world_path(&world, "out")), 0); /* no part file is left */
    put_world_release(&world);
}

struct changer {
    int fd;
    _Atomic bool stop;
};

static void *change(void *arg)
{
    struct changer *changer = arg;

    for (unsigned i = 0; !atomic_load(&changer->stop); i++)
        (void)!pwrite(changer->fd, &i, sizeof(i), (off_t)(i % 1000) * 4096);
    return NULL;
}

static void a_file_that_keeps_changing_is_a_finding(void **state)
{
    static uint8_t large[4096000];
    struct put_world world;
    struct changer changer = {.fd = -1};
    pthread_t thread;

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    fill(large, sizeof(large), 2);
    put_world_write(&world, "in/busy", large, sizeof(large));
    put_world_write(&world, "in/calm", "calm", 4);
    changer.fd = open(put_world_path(&world, "in/busy"), O_WRONLY);
    assert_int_equal(pthread_create(&thread, NULL, change, &changer), 0);
    (void)usleep(20000);
    /* On a busy machine the other thread may stand still for as long as the file is read. */
    for (unsigned i = 0; i < 200 && world.findings == 0; i++)
        assert_int_equal(put_world_put(&world, "in", NULL, 0, NULL), 0);
    atomic_store(&changer.stop, true);
    (void)pthread_join(thread, NULL);
    (void)close(changer.fd);
    assert_int_equal(world.files, 1);
    assert_int_equal(world.failed, 1);
    assert_non_null(strstr(world.finding, "kept changing"));
    put_world_release(&world);
}

static void a_missing_path_ends_the_put(void **state)
{
    struct put_world world;
    struct hm_error error;

    (void)state;
    put_world_init(&world);
    assert_int_equal(put_world_put(&world, "nothing", NULL, 0, &error), HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "nothing"));
    put_world_release(&world);
}

static void every_failing_allocation_ends_cleanly(void **state)
{
    struct put_world world;
    unsigned long nth = 1;
    int put = HM_ENOMEM, got = HM_ENOMEM;

    (void)state;
    put_world_init(&world);
    (void)mkdir(put_world_path(&world, "in"), 0755);
    (void)mkdir(put_world_path(&world, "in/sub"), 0755);
    put_world_write(&world, "in/sub/file", "text", 4);
    assert_int_equal(link(put_world_path(&world, "in/sub/file"), put_world_path(&world, "in/x")),
                     0);
    for (; put != 0 && nth < 5000; nth++) {
        hm_alloc_fail_at(nth);
        put = put_world_put(&world, "in", NULL, 0, NULL);
        bool failed = hm_alloc_failures() > 0;
        hm_alloc_fail_at(0);
        (void)failed;
        assert_true(put == 0 || put == HM_ENOMEM);
        if (put == 0 && world.files < 2) /* an attribute's or a name's memory: told, not fatal */
            put = HM_ENOMEM;
    }
    assert_int_equal(put, 0);
    assert_true(nth > 10);
    for (nth = 1; got != 0 && nth < 5000; nth++) {
        hm_alloc_fail_at(nth);
        got = put_world_get(&world, "out", false, NULL);
        hm_alloc_fail_at(0);
        assert_true(got == 0 || got == HM_ENOMEM);
    }
    assert_int_equal(got, 0);
    assert_true(put_world_same(&world, "in", "out"));
    put_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_puts_and_gets_a_tree),
        cmocka_unit_test(several_threads_put_and_get_a_tree),
        cmocka_unit_test(threads_and_one_thread_give_the_same_root),
        cmocka_unit_test(excluded_names_are_left_out),
        cmocka_unit_test(folders_700_deep_come_back),
        cmocka_unit_test(what_differs_is_left_unless_overwriting),
        cmocka_unit_test(nothing_is_written_through_a_link),
        cmocka_unit_test(a_lost_pattern_names_its_file_and_leaves_no_half),
        cmocka_unit_test(a_file_that_keeps_changing_is_a_finding),
        cmocka_unit_test(a_missing_path_ends_the_put),
        cmocka_unit_test(every_failing_allocation_ends_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
