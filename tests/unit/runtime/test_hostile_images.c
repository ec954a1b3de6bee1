/* Whole images that somebody hostile made: refused whole, with nothing left in the store. */
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

#include <cmocka.h>

#include "runtime_images.h"
#include "runtime_tar.h"

static const struct tar_item small[] = {{"bin", 'd', NULL, 0755, 0},
                                        {"bin/tool", 'f', "tool", 0755, 0}};
static char dir[256];
static struct runtime_images *images;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    make_dir(dir);
    return runtime_images_open(dir, &images, NULL);
}

static int teardown(void **state)
{
    runtime_images_close(images);
    (void)state;
    return hm_remove_tree(dir, NULL);
}

static size_t entries_of(const char *what)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char path[400];
    HM_AUTOCLOSE int fd = -1;

    snprintf(path, sizeof(path), "%s/images/%s", dir, what);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(runtime_names_read(fd, &names, NULL), 0);
    return names.count;
}

static void assert_store_empty(const char *what)
{
    if (entries_of("blobs/sha256") != 0 || entries_of("layers") != 0 || entries_of("tmp") != 0)
        fail_msg("%s: something is left in the store", what);
}

struct layout {
    char path[300]; /* of the layout's folder */
};

static void layout_file(const struct layout *layout, const char *name, struct hm_slice data)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", layout->path, name);
    put_file(path, data);
}

static void layout_begin(struct layout *layout)
{
    char path[400];

    snprintf(layout->path, sizeof(layout->path), "%s/bad", dir);
    assert_int_equal(hm_remove_tree(layout->path, NULL), 0);
    snprintf(path, sizeof(path), "%s/blobs/sha256", layout->path);
    assert_int_equal(hm_mkdir_all(path, 0755, NULL), 0);
    layout_file(layout, "oci-layout", hm_slice_str("{}"));
}

/* Adds a blob, and writes {"digest":..., "size":...} for it, with `more` bytes more than it has. */
static void layout_blob(const struct layout *layout, struct hm_slice data, int more, char ref[160])
{
    char digest[72], name[100];

    sha256_text(data, digest);
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
    layout_file(layout, name, data);
    snprintf(ref, 160, "\"digest\":\"%s\",\"size\":%lld", digest, (long long)data.len + more);
}

static void layout_import(const struct layout *layout, const char *what, int code)
{
    struct runtime_image image;
    struct hm_error error = {0};
    int rc = runtime_image_import(images, layout->path, "x", &image, &error);

    if (rc != code)
        fail_msg("%s: %s, not %s: %s", what, hm_error_name(rc), hm_error_name(code), error.text);
    assert_true(hm_utf8_valid(error.text, strlen(error.text)));
    if (rc == 0)
        assert_int_equal(runtime_image_remove(images, "x", NULL), 0);
    assert_store_empty(what);
}

#if defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "amd64"
#endif

/* What is wrong about sizes: bytes that a descriptor says above what its blob has. */
struct sizes {
    int layer, config, manifest;
};

static void layout_write(struct layout *layout, const struct sizes *sizes, int layers_named,
                         int diff_ids_named, int indexes)
{
    HM_CLEANUP(hm_buf) struct hm_buf layer = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char layer_ref[160], config_ref[160], ref[160], diff_id[72];

    layout_begin(layout);
    tar_make(small, 2, TAR_PLAIN, &layer);
    sha256_text(hm_buf_slice(&layer), diff_id);
    layout_blob(layout, hm_buf_slice(&layer), sizes->layer, layer_ref);
    hm_buf_printf(&text, "{\"architecture\":\"" ARCH "\",\"rootfs\":{\"diff_ids\":[");
    for (int i = 0; i < diff_ids_named; i++)
        hm_buf_printf(&text, "%s\"%s\"", i > 0 ? "," : "", diff_id);
    hm_buf_append_str(&text, "]}}");
    layout_blob(layout, hm_buf_slice(&text), sizes->config, config_ref);
    hm_buf_clear(&text);
    hm_buf_printf(&text, "{\"config\":{%s},\"layers\":[", config_ref);
    for (int i = 0; i < layers_named; i++)
        hm_buf_printf(&text, "%s{%s}", i > 0 ? "," : "", layer_ref);
    hm_buf_append_str(&text, "]}");
    layout_blob(layout, hm_buf_slice(&text), sizes->manifest, ref);
    for (int i = 0; i < indexes; i++) {
        bool inner = i > 0;

        hm_buf_clear(&text);
        hm_buf_printf(&text,
                      "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.%s\",%s}]}",
                      inner ? "index.v1+json" : "manifest.v1+json", ref);
        if (i + 1 < indexes)
            layout_blob(layout, hm_buf_slice(&text), 0, ref);
        else
            layout_file(layout, "index.json", hm_buf_slice(&text));
    }
}

static void test_layouts(void **state)
{
    static const struct {
        const char *what;
        struct sizes sizes;
        int layers, diff_ids, indexes, code;
    } cases[] = {
        {"a good one", {0, 0, 0}, 1, 1, 1, 0},
        {"the same layer twice", {0, 0, 0}, 2, 2, 1, 0},
        {"an index in an index", {0, 0, 0}, 1, 1, 2, 0},
        {"an index in an index in an index", {0, 0, 0}, 1, 1, 3, HM_EUNSUPPORTED},
        {"a layer larger than it is", {1, 0, 0}, 1, 1, 1, HM_EPARSE},
        {"a layer smaller than it is", {-1, 0, 0}, 1, 1, 1, HM_EPARSE},
        {"a configuration of another size", {0, 1, 0}, 1, 1, 1, HM_EPARSE},
        {"a manifest of another size", {0, 0, -1}, 1, 1, 1, HM_EPARSE},
        {"fewer diff ids than layers", {0, 0, 0}, 2, 1, 1, HM_EPARSE},
        {"more diff ids than layers", {0, 0, 0}, 1, 2, 1, HM_EPARSE},
        {"more layers than are taken", {0, 0, 0}, 129, 129, 1, HM_ELIMIT},
    };
    struct layout layout;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        layout_write(&layout, &cases[i].sizes, cases[i].layers, cases[i].diff_ids,
                     cases[i].indexes);
        layout_import(&layout, cases[i].what, cases[i].code);
    }
}

/* Every one-bit fault of an image's own files is found by a digest or a rule, or means the same. */
static void test_layout_flipped_bits(void **state)
{
    static const struct sizes right = {0, 0, 0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct layout layout;
    char path[400];
    size_t refused = 0;

    (void)state;
    layout_write(&layout, &right, 1, 1, 1);
    snprintf(path, sizeof(path), "%s/index.json", layout.path);
    assert_int_equal(hm_file_read(path, 4096, &text, NULL), 0);
    for (size_t at = 0; at < text.len; at++) {
        struct runtime_image image;
        struct hm_error error = {0};
        int rc;

        text.data[at] ^= (uint8_t)(1U << at % 7);
        put_file(path, hm_buf_slice(&text));
        text.data[at] ^= (uint8_t)(1U << at % 7);
        rc = runtime_image_import(images, layout.path, "x", &image, &error);
        refused += rc != 0;
        assert_true(hm_utf8_valid(error.text, strlen(error.text)));
        if (rc == 0)
            assert_int_equal(runtime_image_remove(images, "x", NULL), 0);
        assert_store_empty("flipped bit");
    }
    assert_true(refused > text.len / 2);
}

/* Layouts whose own files are not files. */
static void test_layout_files(void **state)
{
    static const struct sizes right = {0, 0, 0};
    HM_AUTOFREE char *deep = hm_malloc(10001);
    struct layout layout;
    char path[400], aside[420];

    (void)state;
    layout_write(&layout, &right, 1, 1, 1);
    snprintf(path, sizeof(path), "%s/index.json", layout.path);
    snprintf(aside, sizeof(aside), "%s/aside", layout.path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink("aside", path), 0);
    layout_import(&layout, "the index is a link", HM_EPARSE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody waits for its writer */
    layout_import(&layout, "the index is a fifo", HM_EPARSE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    layout_import(&layout, "the index is a folder", HM_EPARSE);
    assert_int_equal(rmdir(path), 0);
    layout_import(&layout, "there is no index", HM_ENOTFOUND);
    assert_non_null(deep);
    memset(deep, '[', 10000);
    deep[10000] = 0;
    put_file(path, hm_slice_str(deep));
    layout_import(&layout, "the index is nested deep", HM_ELIMIT);
    put_file(path,
             hm_slice_str("{\"manifests\":[{\"digest\":\"sha256:../../../victim\",\"size\":9}]}"));
    layout_import(&layout, "a digest with a path", HM_EPARSE);
    put_file(path, hm_slice_str("{\"manifests\":[{\"digest\":1,\"size\":9e99}]}"));
    layout_import(&layout, "numbers for texts", HM_EPARSE);
    put_file(path, hm_slice_str("{\"manifests\":[NaN]}"));
    layout_import(&layout, "NaN", HM_EPARSE);
    put_file(path, hm_slice_str("\xef\xbb\xbf{\"manifests\":[]}"));
    layout_import(&layout, "a byte order mark", HM_EPARSE);
    put_file(path, hm_slice_str("{\"manifests\":[1],\"manifests\":[2]}"));
    layout_import(&layout, "a name twice", HM_EPARSE);

    /* blobs/ as a link to a folder outside */
    layout_write(&layout, &right, 1, 1, 1);
    snprintf(path, sizeof(path), "%s/blobs", layout.path);
    snprintf(aside, sizeof(aside), "%s/outside", layout.path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink("outside", path), 0);
    layout_import(&layout, "blobs lie behind a link", HM_EPARSE);
}

/* What an import left that was killed is gone with the next one, or the next start; one at work is let alone. */
static void test_left_imports(void **state)
{
    static const struct sizes right = {0, 0, 0};
    struct runtime_staging staging = {0};
    struct runtime_images *again;
    struct layout layout;
    char path[400];

    (void)state;
    snprintf(path, sizeof(path), "%s/images/tmp/0123456789abcdef/stage", dir);
    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
    snprintf(path, sizeof(path), "%s/images/tmp/%064d", dir, 7);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(runtime_staging_begin(images, &staging, NULL), 0);
    assert_int_equal(entries_of("tmp"), 1);
    layout_write(&layout, &right, 1, 1, 1);
    {
        struct runtime_image image;

        assert_int_equal(runtime_image_import(images, layout.path, "x", &image, NULL), 0);
    }
    assert_int_equal(runtime_images_open(dir, &again, NULL), 0);
    runtime_images_close(again);
    assert_int_equal(entries_of("tmp"), 1); /* still at work */
    runtime_staging_release(&staging);
    assert_int_equal(entries_of("tmp"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layout_flipped_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layout_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_left_imports, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
