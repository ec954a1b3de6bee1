/* A backup on disk: what was written is read again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"

#define BIG_BYTES (3 * BACKUP_CHUNK_MAX_BYTES + 12345)

static char folder[64];
static char path[128];
static uint8_t *big;

static int setup(void **state)
{
    uint32_t x = 1;

    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/hm_backup_XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/b.hmb", folder);
    big = hm_malloc(BIG_BYTES);
    for (size_t i = 0; big && i < BIG_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        big[i] = (uint8_t)(x >> 24);
    }
    return big && crypto_setup(NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hm_free(big);
    return hm_remove_tree(folder, NULL);
}

static void write_backup(const char *to)
{
    struct backup_writer *writer;
    uint64_t bytes = 0;
    struct stat info;

    assert_int_equal(backup_writer_open(to, "secret", hm_random_system(), &writer, NULL), 0);
    assert_int_equal(backup_writer_begin(writer, "small", NULL), 0);
    assert_int_equal(backup_writer_data(writer, hm_slice_str("abc"), NULL), 0);
    assert_int_equal(backup_writer_end(writer, NULL), 0);
    assert_int_equal(backup_writer_begin(writer, "deep/big", NULL), 0);
    assert_int_equal(backup_writer_data(writer, hm_slice_of(big, 1000), NULL), 0);
    assert_int_equal(backup_writer_data(writer, hm_slice_of(big + 1000, BIG_BYTES - 1000), NULL),
                     0);
    assert_int_equal(backup_writer_end(writer, NULL), 0);
    assert_int_equal(backup_writer_begin(writer, "empty", NULL), 0);
    assert_int_equal(backup_writer_end(writer, NULL), 0);
    assert_int_not_equal(access(to, F_OK), 0); /* not before it is whole */
    assert_int_equal(backup_writer_finish(writer, &bytes, NULL), 0);
    backup_writer_free(writer);
    assert_int_equal(stat(to, &info), 0);
    assert_int_equal(info.st_size, bytes);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* 0 when all of it reads and is what was written. */
static int read_backup(const char *from, const char *passphrase, struct hm_error *error)
{
    static uint8_t got[BIG_BYTES + 1];
    struct backup_reader *reader;
    const char *name = NULL;
    size_t len = 0;
    size_t files = 0;
    int rc = backup_reader_open(from, passphrase, &reader, error);

    if (rc)
        return rc;
    while ((rc = backup_reader_next(reader, &name, error)) == 0 && name) {
        size_t step = 1;

        files++;
        for (len = 0; rc == 0 && step > 0; len += step)
            rc = backup_reader_read(reader, got + len, sizeof(got) - len, &step, error);
        if (rc)
            break;
        if (strcmp(name, "small") == 0)
            assert_true(len == 3 && memcmp(got, "abc", 3) == 0);
        else if (strcmp(name, "empty") == 0)
            assert_int_equal(len, 0);
        else
            assert_true(strcmp(name, "deep/big") == 0 && len == BIG_BYTES &&
                        memcmp(got, big, len) == 0);
    }
    backup_reader_close(reader);
    if (rc == 0)
        assert_int_equal(files, 3);
    return rc;
}

static void test_round_trip(void **state)
{
    struct hm_error error = {0};
    struct backup_writer *writer;

    (void)state;
    write_backup(path);
    assert_int_equal(read_backup(path, "secret", NULL), 0);
    assert_int_equal(read_backup(path, "Secret", &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "passphrase"));
    /* Nothing is written over. */
    assert_int_equal(backup_writer_open(path, "secret", hm_random_system(), &writer, NULL),
                     HM_EEXIST);
    assert_int_equal(backup_writer_open(path, "", hm_random_system(), &writer, NULL), HM_EINVAL);
}

static void test_skips_what_is_not_read(void **state)
{
    struct backup_reader *reader;
    const char *name = NULL;
    uint8_t byte;
    size_t got;

    (void)state;
    assert_int_equal(backup_reader_open(path, "secret", &reader, NULL), 0);
    assert_int_equal(backup_reader_next(reader, &name, NULL), 0);
    assert_string_equal(name, "small");
    assert_int_equal(backup_reader_next(reader, &name, NULL), 0);
    assert_string_equal(name, "deep/big");
    assert_int_equal(backup_reader_read(reader, &byte, 1, &got, NULL), 0);
    assert_true(got == 1 && byte == big[0]);
    assert_int_equal(backup_reader_next(reader, &name, NULL), 0);
    assert_string_equal(name, "empty");
    assert_int_equal(backup_reader_next(reader, &name, NULL), 0);
    assert_null(name);
    backup_reader_close(reader);
}

/* Changes one byte, or cuts, or adds: then it does not read. */
static void check_damage(off_t at, off_t cut_to, const char *what)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char damaged[160];
    int rc;

    snprintf(damaged, sizeof(damaged), "%s.damaged", path);
    assert_int_equal(hm_file_read(path, SIZE_MAX / 2, &bytes, NULL), 0);
    if (at >= 0)
        bytes.data[at] ^= 1;
    if (cut_to > (off_t)bytes.len)
        assert_int_equal(hm_buf_append(&bytes, "x", 1), 0);
    else if (cut_to >= 0)
        bytes.len = (size_t)cut_to;
    assert_int_equal(hm_file_replace(damaged, bytes.data, bytes.len, 0600, NULL), 0);
    rc = read_backup(damaged, "secret", NULL);
    if (rc != HM_EAUTH && rc != HM_EPARSE)
        fail_msg("%s: %d", what, rc);
    assert_int_equal(unlink(damaged), 0);
}

static void test_damage(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(stat(path, &info), 0);
    check_damage(0, -1, "magic");
    check_damage(13, -1, "salt");
    check_damage(28 + 4, -1, "first chunk's nonce");
    check_damage(info.st_size / 2, -1, "the middle");
    check_damage(info.st_size - 1, -1, "the last byte");
    check_damage(-1, info.st_size - 1, "cut by one");
    check_damage(-1, 20, "cut in the head");
    check_damage(-1, info.st_size + 1, "one more");
}

/* Whole chunks left out at the end: every tag that is left is right, and still it is noticed. */
static void test_last_chunk_missing(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    size_t at = 28;
    size_t last = at;

    (void)state;
    assert_int_equal(hm_file_read(path, SIZE_MAX / 2, &bytes, NULL), 0);
    while (at < bytes.len) {
        last = at;
        at += 4 + hm_get_be32(bytes.data + at);
    }
    assert_int_equal(at, bytes.len);
    check_damage(-1, (off_t)last, "without the last chunk");
}

static void test_abandoned(void **state)
{
    struct backup_writer *writer;
    char other[160];
    char partial[192];

    (void)state;
    snprintf(other, sizeof(other), "%s/other", folder);
    snprintf(partial, sizeof(partial), "%s.partial", other);
    assert_int_equal(backup_writer_open(other, "secret", hm_random_system(), &writer, NULL), 0);
    assert_int_equal(backup_writer_data(writer, hm_slice_str("x"), NULL), HM_ECONFLICT);
    assert_int_equal(backup_writer_begin(writer, "../x", NULL), HM_EINVAL);
    assert_int_equal(backup_writer_begin(writer, "x", NULL), 0);
    assert_int_equal(backup_writer_finish(writer, NULL, NULL), HM_ECONFLICT);
    assert_int_equal(access(partial, F_OK), 0);
    backup_writer_free(writer);
    assert_int_not_equal(access(partial, F_OK), 0);
    assert_int_not_equal(access(other, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_skips_what_is_not_read),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_last_chunk_missing),
        cmocka_unit_test(test_abandoned),
    };

    return cmocka_run_group_tests_name("backup: file", tests, setup, teardown);
}
