/* Volumes: their file, parameters, keys; made whole or not at all. */
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

#include "access/packetfs_volume_file.h"
#include "chunk/packetfs_chunk.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/pfs-volume.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return setenv("PACKETFS_KEY_DIR", folder, 1);
}

static int teardown(void **state)
{
    (void)state;
    return hm_remove_tree(folder, NULL);
}

static const char *in(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void keys_of(struct packetfs_keys *keys, uint8_t seed)
{
    uint8_t volume_key[PACKETFS_KEY_BYTES], volume_id[PACKETFS_VOLUME_ID_BYTES];

    memset(volume_key, seed, sizeof(volume_key));
    memset(volume_id, 5, sizeof(volume_id));
    packetfs_keys_derive(volume_key, volume_id, keys);
}

static const struct packetfs_parameters sample = {.chunker = PACKETFS_CHUNKER_FAST,
                                                  .chunk_min_bytes = 4096,
                                                  .chunk_average_bytes = 16384,
                                                  .chunk_max_bytes = 65536,
                                                  .suite = PACKETFS_SUITE_CHACHA20_POLY1305,
                                                  .zstd_level = 100,
                                                  .no_padding = true};

static void the_file_says_what_was_written(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    struct packetfs_parameters read;
    struct packetfs_keys keys;
    uint8_t id[PACKETFS_VOLUME_ID_BYTES];

    (void)state;
    keys_of(&keys, 1);
    assert_int_equal(packetfs_volume_file_write(&keys, &sample, hm_random_system(), &file, NULL),
                     0);
    assert_int_equal(file.len, 80);
    assert_int_equal(packetfs_volume_file_id(hm_buf_slice(&file), id, NULL), 0);
    assert_memory_equal(id, keys.volume_id, sizeof(id));
    assert_int_equal(packetfs_volume_file_read(hm_buf_slice(&file), &keys, &read, NULL), 0);
    assert_int_equal(read.chunker, sample.chunker);
    assert_int_equal(read.chunk_min_bytes, 4096);
    assert_int_equal(read.chunk_average_bytes, 16384);
    assert_int_equal(read.chunk_max_bytes, 65536);
    assert_int_equal(read.suite, sample.suite);
    assert_int_equal(read.zstd_level, 100);
    assert_true(read.no_padding);
    assert_false(read.no_dictionaries);
    /* What programs from before there were dictionaries wrote, and alone can read: a zero in that place. */
    struct packetfs_parameters without = sample;
    without.no_dictionaries = true;
    hm_buf_clear(&file);
    assert_int_equal(packetfs_volume_file_write(&keys, &without, hm_random_system(), &file, NULL),
                     0);
    assert_int_equal(packetfs_volume_file_read(hm_buf_slice(&file), &keys, &read, NULL), 0);
    assert_true(read.no_dictionaries);
}

static void every_changed_bit_and_every_cut_is_refused(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    struct packetfs_parameters read;
    struct packetfs_keys keys, others;

    (void)state;
    keys_of(&keys, 1);
    keys_of(&others, 2);
    assert_int_equal(packetfs_volume_file_write(&keys, &sample, hm_random_system(), &file, NULL),
                     0);
    for (size_t i = 0; i < file.len * 8; i++) {
        file.data[i / 8] ^= (uint8_t)(1U << i % 8);
        int result = packetfs_volume_file_read(hm_buf_slice(&file), &keys, &read, NULL);
        assert_true(result == HM_EPARSE || result == HM_EUNSUPPORTED || result == HM_ECORRUPT);
        file.data[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    for (size_t len = 0; len < file.len; len++)
        assert_int_equal(packetfs_volume_file_read(hm_slice_of(file.data, len), &keys, &read, NULL),
                         HM_EPARSE);
    assert_int_equal(packetfs_volume_file_read(hm_buf_slice(&file), &others, &read, NULL),
                     HM_ECORRUPT);
    hm_put_be32(file.data + 8, 2);
    assert_int_equal(packetfs_volume_file_read(hm_buf_slice(&file), &keys, &read, NULL),
                     HM_EUNSUPPORTED);
}

static void defaults_are_filled_in_and_kept(void **state)
{
    struct packetfs_volume *volume = NULL;
    struct packetfs_parameters read;
    char id[33];

    (void)state;
    assert_int_equal(packetfs_volume_create(in("v"), NULL, NULL, NULL), 0);
    assert_int_equal(packetfs_volume_open(in("v"), NULL, false, &volume, NULL), 0);
    packetfs_volume_parameters(volume, &read);
    assert_int_equal(read.chunker, PACKETFS_CHUNKER_KEYED);
    assert_int_equal(read.chunk_average_bytes, packetfs_chunk_limits_default.average_bytes);
    assert_int_equal(read.zstd_level, 1);
    assert_false(read.no_padding);
    assert_false(read.no_dictionaries);
    packetfs_volume_id(volume, id);
    assert_int_equal(strlen(id), 32);
    assert_non_null(strstr(packetfs_volume_key_file(volume), id));
    packetfs_volume_close(volume);
    assert_int_equal(packetfs_volume_create(in("v"), NULL, NULL, NULL), PACKETFS_EEXIST);
}

static void wrong_parameters_make_nothing(void **state)
{
    struct packetfs_parameters wrong = {.chunk_average_bytes = 5000};
    struct packetfs_error error;

    (void)state;
    assert_int_equal(packetfs_volume_create(in("wrong"), &wrong, NULL, &error), PACKETFS_EINVAL);
    wrong = (struct packetfs_parameters){.zstd_level = 20};
    assert_int_equal(packetfs_volume_create(in("wrong"), &wrong, NULL, &error), PACKETFS_EINVAL);
    assert_int_not_equal(access(in("wrong"), F_OK), 0);
}

static void passphrases_and_key_files_open_what_they_made(void **state)
{
    struct packetfs_volume *volume = NULL;
    struct packetfs_unlock right = {.passphrase = "correct horse"};
    struct packetfs_unlock wrong = {.passphrase = "incorrect horse"};
    char key_path[256];

    (void)state;
    assert_int_equal(packetfs_volume_create(in("p"), NULL, &right, NULL), 0);
    assert_int_equal(packetfs_volume_open(in("p"), &wrong, false, &volume, NULL), PACKETFS_EAUTH);
    assert_int_equal(packetfs_volume_open(in("p"), NULL, false, &volume, NULL), PACKETFS_EAUTH);
    assert_int_equal(packetfs_volume_open(in("p"), &right, false, &volume, NULL), 0);
    assert_string_equal(packetfs_volume_key_file(volume), "");
    packetfs_volume_close(volume);
    (void)snprintf(key_path, sizeof(key_path), "%s", in("mine"));
    struct packetfs_unlock file = {.key_file = key_path};
    assert_int_equal(packetfs_volume_create(in("f"), NULL, &file, NULL), 0);
    assert_int_equal(packetfs_volume_open(in("f"), &file, false, &volume, NULL), 0);
    assert_string_equal(packetfs_volume_key_file(volume), key_path);
    packetfs_volume_close(volume);
    /* A second volume with the same key file: it is not overwritten. */
    assert_int_equal(packetfs_volume_create(in("g"), NULL, &file, NULL), 0);
    assert_int_equal(packetfs_volume_open(in("f"), &file, false, &volume, NULL), 0);
    packetfs_volume_close(volume);
    struct packetfs_unlock both = {.passphrase = "x", .key_file = key_path};
    assert_int_equal(packetfs_volume_open(in("f"), &both, false, &volume, NULL), PACKETFS_EINVAL);
}

static void a_folder_without_a_volume_is_not_found(void **state)
{
    struct packetfs_volume *volume = NULL;
    struct packetfs_error error;

    (void)state;
    (void)mkdir(in("bare"), 0700);
    assert_int_equal(packetfs_volume_open(in("bare"), NULL, false, &volume, &error),
                     PACKETFS_ENOTFOUND);
    assert_non_null(strstr(error.text, "init"));
    assert_null(volume);
}

static void no_failing_allocation_leaves_half_a_volume(void **state)
{
    struct stat st;
    int result = HM_ENOMEM;

    (void)state;
    for (unsigned long nth = 1; result != 0 && nth < 2000; nth++) {
        hm_alloc_fail_at(nth);
        result = packetfs_volume_create(in("m"), NULL, NULL, NULL);
        hm_alloc_fail_at(0);
        if (result != 0) {
            assert_int_equal(result, HM_ENOMEM);
            assert_int_not_equal(stat(in("m"), &st), 0);
        }
    }
    assert_int_equal(result, 0);
    struct packetfs_volume *volume = NULL;
    result = HM_ENOMEM;
    for (unsigned long nth = 1; result != 0 && nth < 2000; nth++) {
        hm_alloc_fail_at(nth);
        result = packetfs_volume_open(in("m"), NULL, false, &volume, NULL);
        hm_alloc_fail_at(0);
        assert_true(result == 0 || volume == NULL);
    }
    assert_int_equal(result, 0);
    packetfs_volume_close(volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_says_what_was_written),
        cmocka_unit_test(every_changed_bit_and_every_cut_is_refused),
        cmocka_unit_test_setup_teardown(defaults_are_filled_in_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_parameters_make_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(passphrases_and_key_files_open_what_they_made, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_folder_without_a_volume_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(no_failing_allocation_leaves_half_a_volume, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
