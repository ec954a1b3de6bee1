/* Headers of tar archives as bytes, and archives read back: what is written is what is read, whatever is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli_archive.h"

static struct packetfs_bytes bytes(const char *text)
{
    return (struct packetfs_bytes){(const uint8_t *)text, strlen(text)};
}

/* *fd is the caller's to close, after the archive. */
static int archive_of(struct hm_buf *data, size_t end_blocks, int *fd, struct cli_archive **out,
                      struct hm_error *error)
{
    static const uint8_t zeros[CLI_TAR_BLOCK_BYTES];

    for (size_t i = 0; i < end_blocks; i++)
        assert_int_equal(hm_buf_append(data, zeros, sizeof(zeros)), 0);
    *fd = memfd_create("archive", MFD_CLOEXEC);
    assert_true(*fd >= 0);
    assert_int_equal(hm_write_all(*fd, data->data, data->len, NULL), 0);
    assert_int_equal(lseek(*fd, 0, SEEK_SET), 0);
    return cli_archive_open(*fd, 0, out, error);
}

static void acls_are_text(void **state)
{
    static const uint8_t acl[] = {2, 0, 0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  4,
                                  0, 7, 0,   0,   0,   4,   0,  5, 0,   255, 255, 255, 255, 16, 0,
                                  7, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
    uint8_t other[sizeof(acl)];
    char text[200];

    (void)state;
    assert_true(cli_acl_text((struct packetfs_bytes){acl, sizeof(acl)}, text, sizeof(text)));
    assert_string_equal(text, "user::rw-,user:7:r--,group::r-x,mask::rwx,other::---");
    for (size_t len = 0; len < sizeof(acl); len++)
        if (len < 12 || (len - 4) % 8 != 0)
            assert_false(cli_acl_text((struct packetfs_bytes){acl, len}, text, sizeof(text)));
    for (size_t room = 1; room < 52; room++)
        assert_false(cli_acl_text((struct packetfs_bytes){acl, sizeof(acl)}, text, room));
    for (size_t at = 0; at < 8; at++) { /* version, an unknown tag, a permission past rwx */
        memcpy(other, acl, sizeof(acl));
        other[at] ^= 0x40;
        assert_false(cli_acl_text((struct packetfs_bytes){other, sizeof(acl)}, text, sizeof(text)));
    }
}

/* Names of every length around what a header holds; times and sizes past it. */
static void what_is_written_is_read(void **state)
{
    static const size_t lengths[] = {1,   30,  99,  100, 101, 154, 155,
                                     156, 200, 255, 256, 257, 600, 3000};
    static const struct {
        int64_t s;
        uint32_t ns;
    } times[] = {
        {0, 0}, {0, 1}, {-1, 0}, {-2, 499999999}, {INT64_C(1) << 34, 5}, {1700000000, 999999999}};
    char name[3001], user[41];

    (void)state;
    memset(user, 'u', sizeof(user));
    user[40] = '\0';
    for (unsigned i = 0; i < HM_COUNT_OF(lengths) * 3 * 4; i++) {
        size_t len = lengths[i / 12];
        unsigned kind = i % 3, type = i / 3 % 4;
        for (size_t j = 0; j < len; j++)
            name[j] = (char)(j % 90 == 89 && j + 1 < len ? '/' : 'a' + (int)(j % 26));
        name[len] = '\0';
        if (kind == 1)
            memcpy(name, len > 1 ? "\xc3\xbc" : "u", len > 1 ? 2 : 1); /* UTF-8 */
        else if (kind == 2)
            name[0] = (char)0xff; /* none */
        struct packetfs_item item = {.path = bytes(name),
                                     .type = type == 0   ? PACKETFS_FILE
                                             : type == 1 ? PACKETFS_SYMLINK
                                             : type == 2 ? PACKETFS_CHARACTER_DEVICE
                                                         : PACKETFS_FOLDER,
                                     .mode = 04751,
                                     .uid = i % 2 == 0 ? 5 : 3000000000u,
                                     .gid = i % 5 == 0 ? 4000000000u : 6,
                                     .user = bytes(i % 2 == 0 ? "root" : user),
                                     .group = bytes(i % 3 == 0 ? "" : "gr\xc3\xb6up"),
                                     .mtime_s = times[i % 6].s,
                                     .mtime_ns = times[i % 6].ns,
                                     .device = type == 2 ? (uint64_t)7 << 32 | 250 : 0,
                                     .target = bytes(type == 1 ? name : "")};
        const struct packetfs_attribute attribute = {bytes("user.a=%b"), bytes("value\n\x01\xff")};
        struct cli_pax pax = {.item = &item, .attributes = &attribute, .count = 1};
        HM_CLEANUP(hm_buf) struct hm_buf data = {0};
        HM_AUTOCLOSE int fd = -1;
        struct hm_error error = {0};
        struct cli_archive *archive = NULL;
        struct cli_archive_entry entry;
        assert_int_equal(cli_pax_header(&pax, &data, NULL), 0);
        assert_int_equal(data.len % CLI_TAR_BLOCK_BYTES, 0);
        assert_int_equal(archive_of(&data, 2, &fd, &archive, &error), 0);
        assert_int_equal(cli_archive_next(archive, &entry, &error), 0);
        assert_int_equal(entry.item.type, item.type);
        assert_int_equal(entry.item.mode, item.mode);
        assert_int_equal(entry.item.uid, item.uid);
        assert_int_equal(entry.item.gid, item.gid);
        assert_true(entry.item.mtime_s == item.mtime_s && entry.item.mtime_ns == item.mtime_ns);
        assert_int_equal(entry.item.device, item.device);
        size_t slash = item.type == PACKETFS_FOLDER;
        assert_int_equal(entry.item.path.len, len + slash);
        assert_memory_equal(entry.item.path.data, name, len);
        assert_int_equal(entry.item.user.len, item.user.len);
        assert_int_equal(entry.item.target.len, item.target.len);
        assert_memory_equal(entry.item.target.data, name, item.target.len);
        assert_int_equal(entry.count, 1);
        assert_int_equal(entry.attributes[0].name.len, 9);
        assert_memory_equal(entry.attributes[0].name.data, "user.a=%b", 9);
        assert_int_equal(entry.attributes[0].value.len, 8);
        assert_memory_equal(entry.attributes[0].value.data, "value\n\x01\xff", 8);
        assert_int_equal(cli_archive_next(archive, &entry, &error), HM_ENOTFOUND);
        cli_archive_close(archive);
    }
}

static void an_archive_without_its_end_is_cut_off(void **state)
{
    struct packetfs_item item = {.path = bytes("some name"), .type = PACKETFS_FIFO, .mode = 0600};
    struct cli_pax pax = {.item = &item};

    (void)state;
    for (size_t blocks = 0; blocks < 3; blocks++) {
        HM_CLEANUP(hm_buf) struct hm_buf data = {0};
        HM_AUTOCLOSE int fd = -1;
        struct hm_error error = {0};
        struct cli_archive *archive = NULL;
        struct cli_archive_entry entry;
        assert_int_equal(cli_pax_header(&pax, &data, NULL), 0);
        assert_int_equal(archive_of(&data, blocks, &fd, &archive, &error), 0);
        assert_int_equal(cli_archive_next(archive, &entry, &error), 0);
        assert_int_equal(cli_archive_next(archive, &entry, &error),
                         blocks == 0 ? HM_EPARSE : HM_ENOTFOUND);
        if (blocks == 0)
            assert_non_null(strstr(error.text, "cut off behind \"some name\""));
        cli_archive_close(archive);
    }
    cli_archive_close(NULL);
}

static void every_failing_allocation_is_told(void **state)
{
    char name[300];
    struct packetfs_item item = {
        .path = {(uint8_t *)name, sizeof(name)}, .type = PACKETFS_FILE, .mtime_ns = 1, .bytes = 9};
    const struct packetfs_attribute attribute = {bytes("user.a"), bytes("value")};
    struct cli_pax pax = {
        .item = &item, .attributes = &attribute, .count = 1, .stored = 1024, .sparse = true};
    unsigned long nth = 0, failures;

    (void)state;
    memset(name, 0xfe, sizeof(name));
    do {
        HM_CLEANUP(hm_buf) struct hm_buf data = {0};
        failures = hm_alloc_failures();
        hm_alloc_fail_at(++nth);
        int rc = cli_pax_header(&pax, &data, NULL);
        hm_alloc_fail_at(0);
        assert_int_equal(rc, hm_alloc_failures() > failures ? HM_ENOMEM : 0);
    } while (hm_alloc_failures() > failures);
    assert_true(nth > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acls_are_text),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(an_archive_without_its_end_is_cut_off),
        cmocka_unit_test(every_failing_allocation_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
