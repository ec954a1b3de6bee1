#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_layer.h"
#include "runtime_tar.h"

static const struct runtime_owner nobody = {.set = false};

/* Unpacks into DIR/l and returns the code. */
static int unpack(const char *dir, const struct tar_item *items, size_t count,
                  enum tar_filter filter, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
    struct runtime_archive_budget budget = {1 << 20, 100};
    struct runtime_archive_source source = {.fd = -1};
    HM_AUTOCLOSE int root = -1;
    char path[300];

    snprintf(path, sizeof(path), "%s/l", dir);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    root = open(path, O_RDONLY | O_DIRECTORY);
    tar_make(items, count, filter, &tar);
    source.memory = hm_buf_slice(&tar);
    return runtime_layer_unpack(&source, root, &nobody, &budget, NULL, error);
}

static void test_kinds_of_entries(void **state)
{
    static const struct tar_item items[] = {
        {"./", 'd', NULL, 0755, 0},
        {"bin/", 'd', NULL, 0755, 0},
        {"/bin/tool", 'f', "tool", 04755, 0},
        {"bin/again", 'h', "bin/tool", 0, 0},
        {"lib/deep/file", 'f', "content", 0640, 0},
        {"link", 'l', "../../etc/passwd", 0, 0},
        {"bin/tool", 'f', "newer", 0700, 0},
    };
    static const enum tar_filter filters[] = {TAR_PLAIN, TAR_GZIP, TAR_ZSTD};
    char dir[256], path[300], target[64];
    struct hm_error error = {0};
    struct stat info;

    (void)state;
    make_dir(dir);
    for (size_t i = 0; i < HM_COUNT_OF(filters); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};

        if (unpack(dir, items, HM_COUNT_OF(items), filters[i], &error) != 0)
            fail_msg("%s", error.text);
        snprintf(path, sizeof(path), "%s/l/bin/again", dir);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0755); /* the set-uid bit is gone */
        assert_int_equal(info.st_mtim.tv_sec, 1000);
        snprintf(path, sizeof(path), "%s/l/bin/tool", dir);
        assert_int_equal(hm_file_read(path, 100, &text, NULL), 0);
        assert_string_equal(hm_buf_cstr(&text), "newer");
        snprintf(path, sizeof(path), "%s/l/link", dir);
        assert_int_equal(readlink(path, target, sizeof(target)), 16);
    }
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

static void test_hostile_entries(void **state)
{
    static const struct {
        struct tar_item items[2];
        int code;
    } cases[] = {
        {{{"../escape", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{"a/../../escape", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{"dev/sda", 'c', NULL, 0, 0}}, HM_EPARSE},
        {{{"pipe", 'p', NULL, 0, 0}}, HM_EPARSE},
        {{{"out", 'l', "/tmp", 0, 0}, {"out/file", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{"out", 'l', "..", 0, 0}, {"out/escape", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{"out", 'l', "..", 0, 0}, {"out/", 'd', NULL, 0, 0}}, HM_EPARSE},
        {{{"hard", 'h', "../escape", 0, 0}}, HM_EPARSE},
        {{{"hard", 'h', "/etc/passwd", 0, 0}}, HM_ENOTFOUND},
        {{{"soft", 'l', "/etc/passwd", 0, 0}, {"hard", 'h', "soft", 0, 0}}, HM_EPARSE},
        {{{"d/f", 'f', "x", 0, 0}, {"d", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{".wh.", 'f', NULL, 0, 0}}, HM_EPARSE},
        {{{".wh...", 'f', NULL, 0, 0}}, HM_EPARSE},
        {{{".wh.x", 'f', "content", 0, 0}}, HM_EPARSE},
        {{{"a\nb", 'f', "x", 0, 0}}, HM_EPARSE},
        {{{"far", 'f', "x", 0, 70000}}, HM_EUNSUPPORTED},
    };
    char dir[256], path[300];

    (void)state;
    make_dir(dir);
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_error error = {0};
        size_t count = cases[i].items[1].path != NULL ? 2 : 1;
        int rc = unpack(dir, cases[i].items, count, TAR_PLAIN, &error);

        if (rc != cases[i].code)
            fail_msg("case %zu: %d, not %d: %s", i, rc, cases[i].code, error.text);
        snprintf(path, sizeof(path), "%s/escape", dir);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

static void test_budget(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf tar = {0};
    struct tar_item many[101];
    char names[101][8], dir[256];
    struct runtime_archive_budget budget = {UINT64_C(1) << 40, 100};
    struct runtime_archive_source source = {.fd = -1};
    HM_AUTOCLOSE int root = -1;
    struct hm_error error = {0};
    char path[300];

    (void)state;
    make_dir(dir);
    for (size_t i = 0; i < HM_COUNT_OF(many); i++) {
        snprintf(names[i], sizeof(names[i]), "%zu", i);
        many[i] = (struct tar_item){names[i], 'f', "x", 0644, 0};
    }
    assert_int_equal(unpack(dir, many, 101, TAR_PLAIN, &error), HM_ELIMIT);
    assert_int_equal(unpack(dir, many, 100, TAR_PLAIN, &error), 0);
    snprintf(path, sizeof(path), "%s/l", dir);
    root = open(path, O_RDONLY | O_DIRECTORY);
    /* zstd makes 64 MiB of zeros into a few kilobytes: over the ratio, whatever the budget says */
    tar_make_zeros(UINT64_C(64) << 20, TAR_ZSTD, &tar);
    source.memory = hm_buf_slice(&tar);
    assert_int_equal(runtime_layer_unpack(&source, root, &nobody, &budget, NULL, &error),
                     HM_ELIMIT);
    budget = (struct runtime_archive_budget){UINT64_C(1) << 20, 100};
    assert_int_equal(runtime_layer_unpack(&source, root, &nobody, &budget, NULL, &error),
                     HM_ELIMIT);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

static int apply_two(const char *dir, const struct tar_item *low, size_t low_count,
                     const struct tar_item *high, size_t high_count)
{
    HM_AUTOCLOSE int to = -1;
    char path[300];

    snprintf(path, sizeof(path), "%s/root", dir);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    to = open(path, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 2; i++) {
        HM_AUTOCLOSE int from = -1;
        struct hm_error error = {0};

        if (unpack(dir, i == 0 ? low : high, i == 0 ? low_count : high_count, TAR_PLAIN, &error) !=
            0)
            fail_msg("%s", error.text);
        snprintf(path, sizeof(path), "%s/l", dir);
        from = open(path, O_RDONLY | O_DIRECTORY);
        if (runtime_tree_apply(from, to, false, &error) != 0)
            fail_msg("%s", error.text);
    }
    return 0;
}

static bool exists(const char *dir, const char *name)
{
    char path[400];
    struct stat info;

    snprintf(path, sizeof(path), "%s/root/%s", dir, name);
    return lstat(path, &info) == 0;
}

static void test_whiteouts(void **state)
{
    static const struct tar_item low[] = {
        {"keep", 'f', "1", 0, 0},     {"gone", 'f', "1", 0, 0},    {"dir/old", 'f', "1", 0, 0},
        {"opaque/a", 'f', "1", 0, 0}, {"swap", 'l', "/etc", 0, 0}, {"tree/x/y", 'f', "1", 0, 0},
    };
    static const struct tar_item high[] = {
        {".wh.gone", 'f', NULL, 0, 0},
        {".wh.tree", 'f', NULL, 0, 0},
        {"dir/.wh.old", 'f', NULL, 0, 0},
        {"dir/new", 'f', "2", 0, 0},
        {"opaque/.wh..wh..opq", 'f', NULL, 0, 0},
        {"opaque/b", 'f', "2", 0, 0},
        {"swap/file", 'f', "2", 0, 0},
    };
    char dir[256];

    (void)state;
    make_dir(dir);
    apply_two(dir, low, HM_COUNT_OF(low), high, HM_COUNT_OF(high));
    assert_true(exists(dir, "keep"));
    assert_false(exists(dir, "gone"));
    assert_false(exists(dir, "tree"));
    assert_false(exists(dir, "dir/old"));
    assert_true(exists(dir, "dir/new"));
    assert_false(exists(dir, "opaque/a"));
    assert_true(exists(dir, "opaque/b"));
    /* A folder took the place of the link: nothing was written into /etc. */
    assert_true(exists(dir, "swap/file"));
    assert_int_not_equal(access("/etc/file", F_OK), 0);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

static int ignore_entry(void *ctx, const struct runtime_entry *entry, struct hm_error *error)
{
    (void)ctx;
    (void)entry;
    (void)error;
    return 0;
}

static int ignore_data(void *ctx, const void *data, size_t len, uint64_t offset,
                       struct hm_error *error)
{
    (void)data;
    (void)offset;
    (void)error;
    *(uint64_t *)ctx += len;
    return 0;
}

static int ignore_end(void *ctx, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return 0;
}

/* Every cut of a good archive is refused or read, never more; the hash is that of the plain tar. */
static void test_cuts_and_hash(void **state)
{
    static const struct tar_item items[] = {{"a", 'f', "hello", 0, 0}, {"b", 'l', "a", 0, 0}};
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    uint64_t bytes = 0;
    const struct runtime_archive_visitor visitor = {ignore_entry, ignore_data, ignore_end, &bytes};
    uint8_t hash[CRYPTO_SHA256_BYTES];
    char expected[72], hex[72] = "sha256:";

    (void)state;
    tar_make(items, 2, TAR_PLAIN, &plain);
    tar_make(items, 2, TAR_GZIP, &packed);
    sha256_text(hm_buf_slice(&plain), expected);
    for (size_t len = 0; len <= packed.len; len++) {
        struct runtime_archive_source source = {.fd = -1, .memory = hm_slice_of(packed.data, len)};
        struct runtime_archive_budget budget = {1000, 10};
        int rc = runtime_archive_walk(&source, &visitor, &budget, hash, NULL);

        if (len == packed.len)
            assert_int_equal(rc, 0);
    }
    assert_true(bytes >= 5);
    hm_hex_encode(hash, sizeof(hash), hex + 7);
    assert_string_equal(hex, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_entries), cmocka_unit_test(test_hostile_entries),
        cmocka_unit_test(test_budget),           cmocka_unit_test(test_whiteouts),
        cmocka_unit_test(test_cuts_and_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
