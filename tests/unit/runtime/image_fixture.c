#include "image_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_tar.h"
#include "runtime_vault.h"

char dir[256];
struct runtime_images *images;
char layouts[3][300];

/* --- what is imported ------------------------------------------------------------------------------------------------ */

static char noise[4][NOISE_BYTES + 1];

static void noise_make(void)
{
    uint64_t state = 88172645463325252u;

    for (size_t n = 0; n < HM_COUNT_OF(noise); n++)
        for (size_t i = 0; i < NOISE_BYTES; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise[n][i] = "0123456789abcdef"[state >> 60];
        }
}

static const struct tar_item first_items[] = {
    {"bin", 'd', NULL, 0755, 0},          {"bin/one", 'f', noise[0], 0755, 0},
    {"bin/two", 'f', noise[1], 0644, 11}, {"bin/three", 'f', noise[2], 0600, 12},
    {"bin/same", 'h', "bin/one", 0, 0},   {"bin/sh", 'l', "one", 0777, 0},
    {"bin/.wh.gone", 'f', NULL, 0, 0},    {"etc", 'd', NULL, 0700, 5},
    {"etc/.wh..wh..opq", 'f', NULL, 0, 0}};
/* The same files elsewhere, in another order, somebody else's; and one that is new. */
static const struct tar_item second_items[] = {{"lib", 'd', NULL, 0755, 0},
                                               {"lib/3", 'f', noise[2], 0644, 7},
                                               {"lib/2", 'f', noise[1], 0644, 7},
                                               {"lib/new", 'f', "a few bytes", 0644, 7},
                                               {"lib/1", 'f', noise[0], 0644, 7}};
static const struct tar_item third_items[] = {{"other", 'f', noise[3], 0644, 0}};

static void layout_put(char out[300], const char *name, const struct tar_item *items, size_t count)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};

    snprintf(out, 300, "%s/%s", dir, name);
    tar_make(items, count, TAR_PLAIN, &plain);
    tar_make(items, count, TAR_GZIP, &packed);
    layout_make(out, hm_buf_slice(&packed), hm_buf_slice(&plain), 0);
}

struct runtime_image import(const char *layout, const char *name)
{
    struct runtime_image image = {0};
    struct hm_error error = {0};

    if (runtime_image_import(images, layout, name, &image, &error) != 0)
        fail_msg("%s: %s", name, error.text);
    return image;
}

int setup(void **state)
{
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(crypto_setup(&error), 0);
    make_dir(dir);
    noise_make();
    layout_put(layouts[0], "first", first_items, HM_COUNT_OF(first_items));
    layout_put(layouts[1], "second", second_items, HM_COUNT_OF(second_items));
    layout_put(layouts[2], "third", third_items, HM_COUNT_OF(third_items));
    if (runtime_images_open(dir, &images, &error) != 0)
        fail_msg("%s", error.text);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    runtime_images_close(images);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
    return 0;
}

/* --- looking --------------------------------------------------------------------------------------------------------- */

size_t entries_of(const char *what)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    char path[400];
    HM_AUTOCLOSE int fd = -1;

    snprintf(path, sizeof(path), "%s/images/%s", dir, what);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(runtime_names_read(fd, &names, NULL), 0);
    return names.count;
}

struct look look(void)
{
    struct runtime_vault vault = {0};
    struct packetfs_stats stats;
    struct packetfs_check_result checked;
    struct packetfs_error why = {0};
    struct hm_error error = {0};
    struct look found;

    if (runtime_vault_open(images, false, &vault, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(packetfs_count(vault.volume, &stats, &why), 0);
    if (packetfs_check(vault.volume, true, NULL, &checked, &why) != 0)
        fail_msg("%s", why.text);
    found = (struct look){.snapshots = vault.count, .bytes = stats.bytes_packs};
    runtime_vault_release(&vault);
    return found;
}

int layer_of(const char *name, bool mapped, char path[RUNTIME_PATH_MAX_BYTES],
             struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_AUTOFREE struct runtime_image_loaded *loaded = hm_calloc(1, sizeof(*loaded));

    assert_non_null(loaded);
    if (runtime_image_load(images, name, &arena, loaded, error) != 0)
        fail_msg("%s", error->text);
    return runtime_image_layer(images, loaded, 0, mapped, path, error);
}

void drop_layers(const char *aside)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/images/layers", dir);
    if (aside != NULL)
        assert_int_equal(rename(path, aside), 0);
    else
        assert_int_equal(hm_remove_tree(path, NULL), 0);
    assert_int_equal(hm_mkdir_all(path, 0700, NULL), 0);
}

void restored(const char *name)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    struct hm_error error = {0};

    drop_layers(NULL);
    if (layer_of(name, runtime_can_map_users(), path, &error) != 0)
        fail_msg("%s: %s", name, error.text);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(entries_of("tmp"), 0);
}
