#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_images.h"
#include "runtime_tar.h"

static const struct tar_item layer_items[] = {{"hello", 'f', "hello", 0755, 0},
                                              {"w", 'd', NULL, 0755, 0}};

struct store {
    char dir[256];
    struct runtime_images *images;
};

static int setup(void **state)
{
    static struct store store;
    struct hm_error error = {0};

    assert_int_equal(crypto_setup(&error), 0);
    make_dir(store.dir);
    if (runtime_images_open(store.dir, &store.images, &error) != 0)
        fail_msg("%s", error.text);
    *state = &store;
    return 0;
}

static int teardown(void **state)
{
    struct store *store = *state;

    runtime_images_close(store->images);
    assert_int_equal(hm_remove_tree(store->dir, NULL), 0);
    return 0;
}

/* Entries of a folder of the store. */
static size_t count_in(const struct store *store, const char *what)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char path[400];
    HM_AUTOCLOSE int dir = -1;

    snprintf(path, sizeof(path), "%s/images/%s", store->dir, what);
    dir = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(dir >= 0);
    assert_int_equal(runtime_names_read(dir, &names, NULL), 0);
    return names.count;
}

static void test_layout(void **state)
{
    struct store *store = *state;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_image_loaded loaded;
    struct runtime_image image, *list = NULL;
    struct hm_error error = {0};
    char path[300];
    size_t count = 0;

    hm_arena_init(&arena, 0);
    snprintf(path, sizeof(path), "%s/layout", store->dir);
    tar_make(layer_items, 2, TAR_PLAIN, &plain);
    tar_make(layer_items, 2, TAR_ZSTD, &packed);
    layout_make(path, hm_buf_slice(&packed), hm_buf_slice(&plain), 0);
    if (runtime_image_import(store->images, path, NULL, &image, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(image.name, "tested:1");
    assert_int_equal(image.layers, 1);
    assert_int_equal(runtime_image_load(store->images, "tested:1", &arena, &loaded, &error), 0);
    assert_string_equal(loaded.config.command[0], "/hello");
    assert_string_equal(loaded.config.user, "7:8");
    /* The same under another name shares everything. */
    assert_int_equal(runtime_image_import(store->images, path, "other", &image, &error), 0);
    assert_string_equal(image.name, "other:latest");
    assert_int_equal(count_in(store, "layers"), 1);
    assert_int_equal(runtime_image_list(store->images, &list, &count, &error), 0);
    assert_int_equal(count, 2);
    hm_free(list);
    assert_int_equal(runtime_image_remove(store->images, "other", &error), 0);
    assert_int_equal(count_in(store, "blobs/sha256"), 2);
    assert_int_equal(runtime_image_remove(store->images, "tested:1", &error), 0);
    assert_int_equal(count_in(store, "blobs/sha256"), 0);
    assert_int_equal(count_in(store, "layers"), 0);
    assert_int_equal(count_in(store, "tmp"), 0);
    assert_int_equal(runtime_image_remove(store->images, "tested:1", &error), HM_ENOTFOUND);
    assert_int_equal(runtime_image_get(store->images, "tested:1", &image, &error), HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "image import"));
}

static void test_docker_archive(void **state)
{
    struct store *store = *state;
    HM_CLEANUP(hm_buf) struct hm_buf layer = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf archive = {0};
    struct runtime_image image;
    struct hm_error error = {0};
    char path[300];

    snprintf(path, sizeof(path), "%s/save.tar", store->dir);
    tar_make(layer_items, 2, TAR_PLAIN, &layer);
    docker_make(hm_buf_slice(&layer), &archive);
    put_file(path, hm_buf_slice(&archive));
    if (runtime_image_import(store->images, path, NULL, &image, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(image.name, "saved:2");
    assert_int_equal(count_in(store, "blobs/sha256"), 2);

    /* The same layer, compressed. */
    tar_make(layer_items, 2, TAR_GZIP, &packed);
    snprintf(path, sizeof(path), "%s/packed", store->dir);
    layout_make(path, hm_buf_slice(&packed), hm_buf_slice(&layer), 0);
    assert_int_equal(runtime_image_import(store->images, path, "packed", &image, &error), 0);
    assert_int_equal(count_in(store, "blobs/sha256"), 3);
    assert_int_equal(image.stored_bytes, 0);
    assert_int_equal(runtime_image_remove(store->images, "saved:2", &error), 0);
    assert_int_equal(count_in(store, "blobs/sha256"), 2);
    assert_int_equal(count_in(store, "layers"), 1);
    assert_int_equal(count_in(store, "tmp"), 0);
}

/* A layer of an image that an older version took in is unpacked again, if its blob is still what it was. */
static void test_layer_again(void **state)
{
    struct store *store = *state;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf other = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_image_loaded loaded;
    struct runtime_image image;
    struct hm_error error = {0};
    char layout[300], path[400], layer[RUNTIME_PATH_MAX_BYTES], same[RUNTIME_PATH_MAX_BYTES];

    hm_arena_init(&arena, 0);
    snprintf(layout, sizeof(layout), "%s/layout", store->dir);
    tar_make(layer_items, 2, TAR_PLAIN, &plain);
    layout_make(layout, hm_buf_slice(&plain), hm_buf_slice(&plain), 0);
    assert_int_equal(runtime_image_import(store->images, layout, NULL, &image, NULL), 0);
    assert_int_equal(runtime_image_load(store->images, "tested:1", &arena, &loaded, NULL), 0);
    snprintf(path, sizeof(path), "%s/images/volume", store->dir);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    snprintf(path, sizeof(path), "%s/images/blobs/sha256/%s", store->dir,
             runtime_digest_hex(&loaded.manifest.layers[0].digest));
    put_file(path, hm_buf_slice(&plain));
    snprintf(path, sizeof(path), "%s/images/layers", store->dir);
    assert_int_equal(hm_remove_tree(path, NULL), 0);
    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
    if (runtime_image_layer(store->images, &loaded, 0, false, layer, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(runtime_image_layer(store->images, &loaded, 0, false, same, NULL), 0);
    assert_string_equal(layer, same);
    assert_int_equal(count_in(store, "layers"), 1);

    assert_int_equal(hm_remove_tree(layer, NULL), 0);
    snprintf(path, sizeof(path), "%s/images/blobs/sha256/%s", store->dir,
             runtime_digest_hex(&loaded.manifest.layers[0].digest));
    tar_make(layer_items, 1, TAR_PLAIN, &other);
    put_file(path, hm_buf_slice(&other));
    assert_int_equal(runtime_image_layer(store->images, &loaded, 0, false, layer, &error),
                     HM_ECORRUPT);
    put_file(path, hm_slice_of(plain.data, plain.len / 3));
    assert_int_equal(runtime_image_layer(store->images, &loaded, 0, false, layer, &error),
                     HM_EPARSE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(runtime_image_layer(store->images, &loaded, 0, false, layer, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, "image tested:1"));
    assert_int_equal(count_in(store, "layers"), 0);
    assert_int_equal(count_in(store, "tmp"), 0);
}

static void test_refused_whole(void **state)
{
    struct store *store = *state;
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    struct runtime_image image;
    char path[300];

    tar_make(layer_items, 2, TAR_PLAIN, &plain);
    for (int wrong = 1; wrong <= 4; wrong++) {
        struct hm_error error = {0};
        int rc;

        snprintf(path, sizeof(path), "%s/bad%d", store->dir, wrong);
        layout_make(path, hm_buf_slice(&plain), hm_buf_slice(&plain), wrong);
        rc = runtime_image_import(store->images, path, NULL, &image, &error);
        if (rc != (wrong == 3 ? HM_ENOTFOUND : HM_EPARSE))
            fail_msg("case %d: %d %s", wrong, rc, error.text);
    }
    snprintf(path, sizeof(path), "%s/noise", store->dir);
    put_file(path, hm_slice_str("this is no archive at all"));
    assert_int_equal(runtime_image_import(store->images, path, "x", &image, NULL), HM_EPARSE);
    assert_int_equal(runtime_image_import(store->images, "/no/such", "x", &image, NULL),
                     HM_ENOTFOUND);
    assert_int_equal(count_in(store, "blobs/sha256"), 0);
    assert_int_equal(count_in(store, "layers"), 0);
    assert_int_equal(count_in(store, "tmp"), 0);
}

static void test_base_image(void **state)
{
    struct store *store = *state;
    const char *busybox = getenv("HYPERMESH_BUSYBOX");
    struct runtime_image first, again;
    struct hm_error error = {0};
    int rc = runtime_image_build_base(
        store->images, busybox != NULL && *busybox != 0 ? busybox : NULL, &first, &error);

    if (rc == HM_ENOTFOUND) {
        print_message("%s\n", error.text);
        skip();
    }
    if (rc != 0)
        fail_msg("%s", error.text);
    assert_string_equal(first.name, "busybox:latest");
    assert_int_equal(runtime_image_build_base(store->images,
                                              busybox != NULL && *busybox != 0 ? busybox : NULL,
                                              &again, &error),
                     0);
    assert_string_equal(first.digest, again.digest);
    assert_int_equal(runtime_image_build_base(store->images, "/bin/sh", &again, &error), HM_EINVAL);
}

static void test_index_is_checked(void **state)
{
    struct store *store = *state;
    struct runtime_image image;
    char path[300];

    snprintf(path, sizeof(path), "%s/images/index.json", store->dir);
    put_file(path, hm_slice_str("{\"version\":2,\"images\":{}}"));
    assert_int_equal(runtime_image_get(store->images, "x", &image, NULL), HM_ECORRUPT);
    put_file(path,
             hm_slice_str(
                 "{\"version\":1,\"images\":{\"x:latest\":{\"digest\":\"../../etc/passwd\"}}}"));
    assert_int_equal(runtime_image_get(store->images, "x", &image, NULL), HM_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_docker_archive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layer_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base_image, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_is_checked, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
