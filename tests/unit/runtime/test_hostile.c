/* Archives that somebody hostile made: refused whole, or harmless. Every case is unpacked beside a file that
 * must stay as it is, in a folder that must hold nothing else afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "runtime_layer.h"
#include "runtime_tar.h"

#define BYTES_MAX (UINT64_C(1) << 20)
#define FILES_MAX UINT64_C(100)

#define REFUSED 1 /* by libarchive or by us: which, depends on its version */
#define EITHER  2 /* refused, or read by what the plain header says */

static const struct hm_slice nothing = {NULL, 0};
static char dir[256];

static int setup(void **state)
{
    char path[300];

    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/victim", dir);
    put_file(path, hm_slice_str("untouched"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return hm_remove_tree(dir, NULL);
}

/* Nothing but the victim, as it was, and the layer's folder. */
static void assert_contained(const char *what)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY);
    char path[300];
    struct stat info;

    snprintf(path, sizeof(path), "%s/victim", dir);
    if (hm_file_read(path, 100, &text, NULL) != 0 || strcmp(hm_buf_cstr(&text), "untouched") != 0)
        fail_msg("%s: the file outside was changed", what);
    assert_int_equal(stat(path, &info), 0);
    if (info.st_nlink != 1)
        fail_msg("%s: the file outside was linked", what);
    assert_int_equal(runtime_names_read(fd, &names, NULL), 0);
    if (names.count != 2)
        fail_msg("%s: something was made outside", what);
}

static int unpack_bytes(struct hm_slice bytes, struct hm_error *error)
{
    const struct runtime_owner nobody = {.set = false};
    struct runtime_archive_budget budget = {BYTES_MAX, FILES_MAX};
    struct runtime_archive_source source = {.fd = -1, .memory = bytes};
    HM_AUTOCLOSE int root = -1;
    char path[300];
    int rc;

    snprintf(path, sizeof(path), "%s/l", dir);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    root = open(path, O_RDONLY | O_DIRECTORY);
    rc = runtime_layer_unpack(&source, root, &nobody, &budget, NULL, error);
    assert_true(hm_utf8_valid(error->text, strlen(error->text)));
    return rc;
}

static void assert_case(const char *what, struct hm_slice bytes, int code)
{
    struct hm_error error = {0};
    int rc = unpack_bytes(bytes, &error);

    if (code != EITHER && (code == REFUSED ? rc >= 0 : rc != code))
        fail_msg("%s: %s, not %s: %s", what, hm_error_name(rc), hm_error_name(code), error.text);
    assert_contained(what);
}

/* --- links and folders ------------------------------------------------------------------------------------------ */

static void test_links(void **state)
{
    static const struct {
        const char *what;
        struct tar_item items[4];
        int code;
    } cases[] = {
        {"hard link through a link to a folder outside",
         {{"d", 'l', "..", 0, 0}, {"h", 'h', "d/victim", 0, 0}},
         HM_EPARSE},
        {"hard link to a link that leads outside",
         {{"s", 'l', "../victim", 0, 0}, {"h", 'h', "s", 0, 0}},
         HM_EPARSE},
        {"hard link over a link, then written",
         {{"s", 'l', "../victim", 0, 0}, {"f", 'f', "x", 0, 0}, {"s", 'h', "f", 0, 0}},
         0},
        {"hard link to a folder", {{"d", 'd', NULL, 0, 0}, {"h", 'h', "d", 0, 0}}, HM_EPARSE},
        {"hard link to itself", {{"h", 'h', "h", 0, 0}}, HM_EPARSE},
        {"hard link out of the root", {{"a/h", 'h', "a/../../victim", 0, 0}}, HM_EPARSE},
        {"a file where a link to outside lies",
         {{"s", 'l', "../victim", 0, 0}, {"s", 'f', "written", 0, 0}},
         0},
        {"a folder where a link to outside lies",
         {{"s", 'l', "..", 0, 0}, {"s/", 'd', NULL, 0777, 0}},
         HM_EPARSE},
        {"a link through a link",
         {{"a", 'l', "b", 0, 0}, {"b", 'l', "..", 0, 0}, {"a/victim", 'f', "x", 0, 0}},
         HM_EPARSE},
        {"a link in a linked folder",
         {{"a", 'l', "..", 0, 0}, {"a/new", 'l', "victim", 0, 0}},
         HM_EPARSE},
        {"links in a ring",
         {{"a", 'l', "b", 0, 0}, {"b", 'l', "a", 0, 0}, {"a/x", 'f', "x", 0, 0}},
         HM_EPARSE},
        {"a folder that becomes a link",
         {{"d/x", 'f', "x", 0, 0}, {"d", 'l', "..", 0, 0}},
         HM_EPARSE},
        {"whiteout in a linked folder",
         {{"a", 'l', "..", 0, 0}, {"a/.wh.victim", 'f', NULL, 0, 0}},
         HM_EPARSE},
        {"opaque mark in a linked folder",
         {{"a", 'l', "..", 0, 0}, {"a/.wh..wh..opq", 'f', NULL, 0, 0}},
         HM_EPARSE},
        {"whiteout of the folder above", {{"d/.wh...", 'f', NULL, 0, 0}}, HM_EPARSE},
        {"whiteout of the folder itself", {{"d/.wh..", 'f', NULL, 0, 0}}, HM_EPARSE},
        {"whiteout with a path in it", {{".wh.../../victim", 'f', NULL, 0, 0}}, HM_EPARSE},
        {"whiteout as a link", {{".wh.x", 'l', "../victim", 0, 0}}, HM_EPARSE},
        {"whiteout as a hard link", {{"f", 'f', NULL, 0, 0}, {".wh.x", 'h', "f", 0, 0}}, HM_EPARSE},
        {"whiteout of a whiteout", {{".wh..wh.x", 'f', NULL, 0, 0}}, HM_EPARSE},
        {"device", {{"sda", 'c', NULL, 0, 0}}, HM_EPARSE},
        {"fifo", {{"pipe", 'p', NULL, 0, 0}}, HM_EPARSE},
        {"the root as a file", {{".", 'f', "x", 0, 0}}, HM_EPARSE},
        {"the root as a link", {{"./", 'l', "..", 0, 0}}, HM_EPARSE},
        {"the same file thrice",
         {{"f", 'f', "1", 0, 0}, {"f", 'f', "22", 0, 0}, {"f", 'f', "333", 0, 0}},
         0},
        {"the same folder twice", {{"d/", 'd', NULL, 0700, 0}, {"d/", 'd', NULL, 0755, 0}}, 0},
        {"set-id bits", {{"su", 'f', "x", 06755, 0}, {"sg", 'd', NULL, 02777, 0}}, 0},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
        size_t count = 0;

        while (count < 4 && cases[i].items[count].path != NULL)
            count++;
        tar_make(cases[i].items, count, TAR_PLAIN, &tar);
        assert_case(cases[i].what, hm_buf_slice(&tar), cases[i].code);
    }
    char path[300];
    struct stat info;

    snprintf(path, sizeof(path), "%s/l/su", dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    snprintf(path, sizeof(path), "%s/l/sg", dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0777);
}

/* --- headers that no honest program writes ------------------------------------------------------------------------ */

static void test_raw_headers(void **state)
{
    static const struct {
        const char *what, *name;
        char type;
        uint64_t size;
        const char *link;
        int code;
    } cases[] = {
        {"a size past the budget", "f", '0', BYTES_MAX + 1, "", HM_ELIMIT},
        {"a size of 8 EiB", "f", '0', INT64_MAX, "", REFUSED},
        {"a size past 64 bits", "f", '0', UINT64_MAX, "", REFUSED},
        {"a size without data", "f", '0', 1000, "", HM_EPARSE},
        {"a block device", "sda", '4', 0, "", HM_EPARSE},
        {"a character device", "null", '3', 0, "", HM_EPARSE},
        {"a fifo", "pipe", '6', 0, "", HM_EPARSE},
        {"a name of nothing but slashes", "////", '0', 0, "", 0}, /* the root folder */
        {"no name", "", '0', 0, "", REFUSED},
        {"an absolute name", "/victim", '5', 0, "", 0},
        {"a name with an escape sequence", "\x1b[31m", '0', 0, "", HM_EPARSE},
        {"a name that is not UTF-8", "n\xff\xfe", '0', 0, "", 0},
        {"a link without a target", "s", '2', 0, "", HM_EPARSE},
        {"a hard link without a target", "h", '1', 0, "", HM_EPARSE},
        {"a hard link with an absolute target", "h", '1', 0, "/etc/passwd", HM_ENOTFOUND},
        {"a whiteout that claims content", ".wh.x", '0', 5, "", HM_EPARSE},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf tar = {0};

        tar_raw(cases[i].name, cases[i].type, cases[i].size, cases[i].link, nothing, &tar);
        if (cases[i].size == 0)
            tar_raw_end(&tar);
        assert_case(cases[i].what, hm_buf_slice(&tar), cases[i].code);
    }
}

/* A pax header that changes what the next header says. */
static void pax_case(const char *what, const char *key, const char *value, int code)
{
    HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
    HM_CLEANUP(hm_buf) struct hm_buf record = {0};
    size_t body = strlen(key) + strlen(value) + 3; /* blank, '=', newline */
    size_t digits = body + 1 < 10 ? 1 : body + 2 < 100 ? 2 : body + 3 < 1000 ? 3 : 4;

    if (body + digits >= 10000)
        digits = body + 5 < 100000 ? 5 : body + 6 < 1000000 ? 6 : 7;
    assert_int_equal(hm_buf_printf(&record, "%zu %s=", body + digits, key), 0);
    assert_int_equal(hm_buf_append_str(&record, value), 0);
    assert_int_equal(hm_buf_append_str(&record, "\n"), 0);
    tar_raw("pax", 'x', record.len, "", hm_buf_slice(&record), &tar);
    tar_raw("f", '0', 1, "", hm_slice_str("x"), &tar);
    tar_raw_end(&tar);
    assert_case(what, hm_buf_slice(&tar), code);
}

static void test_pax_headers(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf deep = {0};
    char *name = hm_malloc((size_t)1 << 20);

    (void)state;
    assert_non_null(name);
    pax_case("a path out of the root", "path", "a/../../victim", HM_EPARSE);
    pax_case("an absolute path", "path", "/etc/x", 0);
    pax_case("a path with a newline", "path", "a\nb", HM_EPARSE);
    pax_case("a giant size", "size", "9223372036854775807", REFUSED);
    pax_case("a size past the budget", "size", "1048577", HM_ELIMIT);
    pax_case("a negative size", "size", "-1", REFUSED);
    pax_case("a giant sparse file", "GNU.sparse.realsize", "9223372036854775807", REFUSED);
    pax_case("a user above what there is", "uid", "4294967295", HM_EUNSUPPORTED);
    pax_case("a negative user", "uid", "-5", REFUSED);
    memset(name, 'n', (size_t)1 << 20);
    name[300] = 0;
    pax_case("a part of 300 bytes", "path", name, HM_ELIMIT);
    name[300] = 'n';
    name[RUNTIME_PATH_MAX_BYTES] = 0;
    pax_case("a name as long as a path", "path", name, HM_EPARSE);
    name[RUNTIME_PATH_MAX_BYTES] = 'n';
    name[((size_t)1 << 20) - 100] = 0;
    pax_case("a name of a megabyte", "path", name, EITHER);
    hm_free(name);
    for (int i = 0; i < RUNTIME_PATH_MAX_DEPTH; i++)
        assert_int_equal(hm_buf_append_str(&deep, "d/"), 0);
    pax_case("a path too deep", "path", hm_buf_cstr(&deep), HM_ELIMIT);
}

/* Old GNU sparse ('S'): the real size stands at offset 483, the map at 386. */
static void test_sparse(void **state)
{
    static const uint64_t sizes[] = {BYTES_MAX + 1, UINT64_C(1) << 40, INT64_MAX};

    (void)state;
    for (size_t i = 0; i <= HM_COUNT_OF(sizes); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
        unsigned sum = 0;

        tar_raw("sparse", 'S', 512, "", nothing, &tar);
        memcpy(tar.data + 257, "ustar  ", 8); /* GNU's magic */
        memset(tar.data + 345, 0, 512 - 345);
        memcpy(tar.data + 386, "00000000000", 11); /* one piece of 512 bytes at 0 */
        memcpy(tar.data + 398, "00000001000", 11);
        if (i < HM_COUNT_OF(sizes)) {
            tar.data[483] = 0x80;
            hm_put_be64(tar.data + 483 + 4, sizes[i]);
        } else {
            memcpy(tar.data + 483, "00000100000", 11); /* 32 KiB */
        }
        memset(tar.data + 148, ' ', 8);
        for (size_t at = 0; at < 512; at++)
            sum += tar.data[at];
        snprintf((char *)tar.data + 148, 8, "%06o", sum);
        assert_int_equal(hm_buf_reserve(&tar, 512), 0);
        memset(tar.data + tar.len, 'x', 512);
        tar.len += 512;
        tar_raw_end(&tar);
        assert_case("sparse", hm_buf_slice(&tar), i < HM_COUNT_OF(sizes) ? HM_ELIMIT : 0);
    }
    char path[300];
    struct stat info;

    snprintf(path, sizeof(path), "%s/l/sparse", dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 32768);
}

/* --- bombs ------------------------------------------------------------------------------------------------------- */

/* Folders that no entry names are counted: else each of a million files could bring 127 of them. */
static void test_folders_are_counted(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
    char names[3][200];

    (void)state;
    for (int i = 0; i < 3; i++) {
        size_t len = (size_t)snprintf(names[i], sizeof(names[i]), "%d/", i);

        for (int depth = 0; depth < 40; depth++)
            len += (size_t)snprintf(names[i] + len, sizeof(names[i]) - len, "d/");
        snprintf(names[i] + len, sizeof(names[i]) - len, "f");
    }
    const struct tar_item items[] = {
        {names[0], 'f', "x", 0, 0}, {names[1], 'f', "x", 0, 0}, {names[2], 'f', "x", 0, 0}};

    tar_make(items, 2, TAR_PLAIN, &tar);
    assert_case("82 folders and 2 files", hm_buf_slice(&tar), 0);
    hm_buf_clear(&tar);
    tar_make(items, 3, TAR_PLAIN, &tar);
    assert_case("123 folders and 3 files", hm_buf_slice(&tar), HM_ELIMIT);
}

static void gzip(struct hm_slice in, struct hm_buf *out)
{
    z_stream stream = {0};

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(hm_buf_reserve(out, deflateBound(&stream, in.len)), 0);
    stream.next_in = (uint8_t *)(uintptr_t)in.data;
    stream.avail_in = (unsigned)in.len;
    stream.next_out = out->data;
    stream.avail_out = (unsigned)out->cap;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->len = stream.total_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
}

static void test_bombs(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf once = {0};
    HM_CLEANUP(hm_buf) struct hm_buf twice = {0};
    HM_CLEANUP(hm_buf) struct hm_buf tail = {0};
    struct runtime_archive_budget budget = {UINT64_C(1) << 40, FILES_MAX};
    struct runtime_archive_source source = {.fd = -1};
    struct hm_error error = {0};
    HM_AUTOCLOSE int root = open(dir, O_RDONLY | O_DIRECTORY);
    const struct runtime_owner nobody = {.set = false};

    (void)state;
    tar_make_zeros(UINT64_C(64) << 20, TAR_GZIP, &once);
    assert_case("more bytes than the budget", hm_buf_slice(&once), HM_ELIMIT);
    gzip(hm_buf_slice(&once), &twice);
    assert_true(twice.len < 2048);
    /* Compressed twice: 64 MiB from a kilobyte, within the bytes but not within the ratio. */
    source.memory = hm_buf_slice(&twice);
    assert_int_equal(runtime_layer_unpack(&source, root, &nobody, &budget, NULL, &error),
                     HM_ELIMIT);
    assert_non_null(strstr(error.text, "times its size"));
    (void)unlinkat(root, "zeros", 0);

    /* No file at all, but endless zeros behind the end of the archive. */
    tar_raw_end(&tail);
    assert_int_equal(hm_buf_reserve(&tail, 4 << 20), 0);
    memset(tail.data + tail.len, 0, 4 << 20);
    tail.len += 4 << 20;
    hm_buf_clear(&once);
    gzip(hm_buf_slice(&tail), &once);
    assert_case("zeros behind the end", hm_buf_slice(&once), HM_ELIMIT);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static const struct tar_item small[] = {{"bin", 'd', NULL, 0755, 0},
                                        {"bin/tool", 'f', "tool", 0755, 0},
                                        {"link", 'l', "bin/tool", 0, 0},
                                        {"hard", 'h', "bin/tool", 0, 0},
                                        {".wh.old", 'f', NULL, 0, 0}};

static void test_cut_everywhere(void **state)
{
    static const enum tar_filter filters[] = {TAR_PLAIN, TAR_GZIP, TAR_ZSTD};
    size_t refused = 0;

    (void)state;
    for (size_t f = 0; f < HM_COUNT_OF(filters); f++) {
        HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
        size_t step;

        tar_make(small, HM_COUNT_OF(small), filters[f], &tar);
        step = tar.len > 1000 ? 13 : 1;
        for (size_t len = 0; len < tar.len; len += step) {
            struct hm_error error = {0};
            int rc = unpack_bytes(hm_slice_of(tar.data, len), &error);

            if (rc != 0 && rc != HM_EPARSE)
                fail_msg("cut at %zu: %s", len, error.text);
            refused += rc != 0;
            assert_contained("cut");
        }
    }
    assert_true(refused > 100);
}

static void test_flipped_bits(void **state)
{
    static const enum tar_filter filters[] = {TAR_PLAIN, TAR_GZIP, TAR_ZSTD};

    (void)state;
    for (size_t f = 0; f < HM_COUNT_OF(filters); f++) {
        HM_CLEANUP(hm_buf) struct hm_buf tar = {0};

        tar_make(small, HM_COUNT_OF(small), filters[f], &tar);
        for (size_t at = 0; at < tar.len; at++) {
            struct hm_error error = {0};

            tar.data[at] ^= (uint8_t)(1U << at % 8);
            (void)unpack_bytes(hm_buf_slice(&tar), &error);
            tar.data[at] ^= (uint8_t)(1U << at % 8);
            if (at % 16 == 0)
                assert_contained("flipped bit");
        }
        assert_contained("flipped bits");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raw_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pax_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
