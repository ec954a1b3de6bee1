#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/packetfs_key_file.h"
#include "access/packetfs_slot.h"
#include "crypto.h"

static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 3};
static const uint8_t other_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 4};
static const uint8_t volume_key[PACKETFS_KEY_BYTES] = {9, 8, 7};

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/packetfs-keys-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unsetenv("PACKETFS_KEY_DIR");
    return hm_remove_tree(folder, NULL);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(hm_file_replace(path, text, strlen(text), mode, NULL), 0);
}

/* --- derivation ----------------------------------------------------------------------------------------------------- */

static void test_purposes_share_no_key(void **state)
{
    struct packetfs_keys keys;
    struct packetfs_keys again;
    const uint8_t *all[] = {keys.id[0],   keys.id[1],   keys.seal[0],  keys.seal[1],
                            keys.link[0], keys.link[1], keys.snapshot, keys.volume,
                            keys.chunk,   keys.node,    keys.path,     volume_key};
    static const struct packetfs_keys wiped;

    (void)state;
    memset(&keys, 0, sizeof(keys));
    memset(&again, 0, sizeof(again));
    packetfs_keys_derive(volume_key, volume_id, &keys);
    packetfs_keys_derive(volume_key, volume_id, &again);
    assert_memory_equal(&keys, &again, sizeof(keys));
    assert_memory_equal(keys.volume_id, volume_id, sizeof(volume_id));
    for (size_t i = 0; i < HM_COUNT_OF(all); i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(all[i], all[j], PACKETFS_KEY_BYTES);
    packetfs_keys_derive(volume_key, other_id, &again);
    assert_memory_not_equal(keys.id[0], again.id[0], PACKETFS_KEY_BYTES);
    packetfs_keys_release(&keys);
    assert_memory_equal(&keys, &wiped, sizeof(keys));
    packetfs_keys_release(NULL);
}

/* What the formats' document says: derived so, and hashed so. Changing either orphans every volume there is. */
static void test_derivation_is_as_written(void **state)
{
    struct packetfs_keys keys;
    struct packetfs_id id;
    uint8_t expected[32];

    (void)state;
    packetfs_keys_derive(volume_key, volume_id, &keys);
    crypto_hash_parts("hypermesh packetfs 1 id reference",
                      (struct hm_slice[]){{.data = volume_key, .len = sizeof(volume_key)},
                                          {.data = volume_id, .len = sizeof(volume_id)}},
                      2, expected);
    assert_memory_equal(keys.id[PACKETFS_REFERENCE], expected, 32);
    packetfs_keys_object_id(&keys, PACKETFS_REFERENCE, hm_slice_str("pattern"), &id);
    crypto_hash_keyed(expected, "pattern", 7, expected);
    assert_memory_equal(id.bytes, expected, 32);
    packetfs_keys_object_id(&keys, PACKETFS_PATTERN, hm_slice_str("pattern"), &id);
    assert_memory_not_equal(id.bytes, expected, 32);
}

/* --- slots ------------------------------------------------------------------------------------------------------------ */

static void test_slot_of_a_file_key(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    uint8_t file_key[32] = {5};
    uint8_t out[32] = {0};
    static const uint8_t zeros[32];
    struct packetfs_slot parsed;

    (void)state;
    assert_int_equal(hm_buf_append_str(&slot, "> "), 0);
    assert_int_equal(
        packetfs_slot_seal_file(volume_key, volume_id, file_key, hm_random_system(), &slot, NULL),
        0);
    struct hm_slice file = hm_slice_of(slot.data + 2, slot.len - 2);
    assert_true(file.len <= PACKETFS_SLOT_FILE_MAX_BYTES);
    assert_int_equal(packetfs_slot_parse(file, &parsed, NULL), 0);
    assert_int_equal(parsed.kind, PACKETFS_SLOT_FILE);
    assert_memory_equal(parsed.volume_id, volume_id, sizeof(volume_id));
    for (size_t i = 0; i < file.len; i++) {
        assert_int_not_equal(
            packetfs_slot_open_key(hm_slice_of(file.data, i), volume_id, file_key, out, NULL), 0);
        slot.data[2 + i] ^= 1;
        assert_int_not_equal(packetfs_slot_open_key(file, volume_id, file_key, out, NULL), 0);
        slot.data[2 + i] ^= 1;
    }
    assert_int_equal(packetfs_slot_open_key(file, other_id, file_key, out, NULL), HM_EAUTH);
    file_key[31] = 1;
    assert_int_equal(packetfs_slot_open_key(file, volume_id, file_key, out, NULL), HM_EAUTH);
    file_key[31] = 0;
    assert_memory_equal(out, zeros, sizeof(out));
    assert_int_equal(packetfs_slot_open_key(file, volume_id, file_key, out, NULL), 0);
    assert_memory_equal(out, volume_key, sizeof(out));
}

static void test_slot_of_a_passphrase(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    struct packetfs_unlock unlock = {.passphrase = "correct horse"};
    struct hm_error error = {0};
    uint8_t out[32] = {0};

    (void)state;
    assert_int_equal(
        packetfs_slot_seal_passphrase(volume_key, volume_id, "", hm_random_system(), &slot, NULL),
        HM_EINVAL);
    assert_int_equal(packetfs_slot_seal_passphrase(volume_key, volume_id, "correct horse",
                                                   hm_random_system(), &slot, NULL),
                     0);
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, NULL), 0);
    assert_memory_equal(out, volume_key, sizeof(out));
    unlock.passphrase = "correct horses";
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EAUTH);
    assert_string_equal(error.text, "the passphrase does not open this volume");
    unlock.passphrase = NULL;
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EAUTH);
    assert_int_equal(packetfs_slot_open_key(hm_buf_slice(&slot), volume_id, volume_key, out, NULL),
                     HM_EAUTH);
}

static void test_later_slots_are_named(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    struct packetfs_slot parsed;
    uint8_t file_key[32] = {5};

    (void)state;
    assert_int_equal(
        packetfs_slot_seal_file(volume_key, volume_id, file_key, hm_random_system(), &slot, NULL),
        0);
    slot.data[7] = '2';
    assert_int_equal(packetfs_slot_parse(hm_buf_slice(&slot), &parsed, NULL), HM_EUNSUPPORTED);
    slot.data[7] = '1';
    slot.data[8] = PACKETFS_SLOT_IDENTITY + 1;
    assert_int_equal(packetfs_slot_parse(hm_buf_slice(&slot), &parsed, NULL), HM_EUNSUPPORTED);
    slot.data[0] = 'p';
    assert_int_equal(packetfs_slot_parse(hm_buf_slice(&slot), &parsed, NULL), HM_EPARSE);
}

static void test_no_memory_and_no_randomness(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    uint8_t file_key[32] = {5};
    uint8_t out[32];
    int rc = HM_ENOMEM;

    (void)state;
    for (unsigned long nth = 1; rc != 0; nth++) {
        assert_true(nth < 10);
        hm_alloc_fail_at(nth);
        rc = packetfs_slot_seal_file(volume_key, volume_id, file_key, hm_random_system(), &slot,
                                     NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        assert_true((slot.len == 0) == (rc != 0));
    }
    hm_alloc_fail_at(1);
    assert_int_equal(packetfs_slot_open_key(hm_buf_slice(&slot), volume_id, file_key, out, NULL),
                     HM_ENOMEM);
    hm_alloc_fail_at(0);
}

/* --- key files --------------------------------------------------------------------------------------------------------- */

static void test_key_file(void **state)
{
    char path[128];
    uint8_t made[32];
    uint8_t read_back[32];
    struct stat about;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/a.key", folder);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), HM_ENOTFOUND);
    assert_int_equal(packetfs_key_file_create(path, hm_random_system(), made, NULL), 0);
    assert_int_equal(packetfs_key_file_create(path, hm_random_system(), made, NULL), HM_EEXIST);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(about.st_size, 65);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), 0);
    assert_memory_equal(made, read_back, 32);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), HM_EPERM);
    write_file(path, "0123\n", 0600);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), HM_EPARSE);
    write_file(path, "zz23456789012345678901234567890123456789012345678901234567890123\n", 0600);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), HM_EPARSE);
    write_file(path, "0023456789012345678901234567890123456789012345678901234567890123\n\n", 0600);
    assert_int_equal(packetfs_key_file_read(path, read_back, NULL), HM_EPARSE);
    assert_int_equal(packetfs_key_file_read(folder, read_back, NULL), HM_EPARSE);
}

static void test_the_key_folder_is_searched(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf named = {0};
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    struct packetfs_unlock unlock = {.key_dir = folder};
    struct hm_error error = {0};
    char path[160];
    uint8_t file_key[32];
    uint8_t out[32];

    (void)state;
    assert_int_equal(packetfs_key_file_path(folder, volume_id, &named, NULL), 0);
    assert_string_equal(hm_buf_cstr(&named) + strlen(folder),
                        "/01020300000000000000000000000000.key");
    (void)snprintf(path, sizeof(path), "%s/other.key", folder);
    assert_int_equal(packetfs_key_file_create(path, hm_random_system(), file_key, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/notes.txt", folder);
    write_file(path, "not a key", 0644);
    (void)snprintf(path, sizeof(path), "%s/mine.key", folder);
    assert_int_equal(packetfs_key_file_create(path, hm_random_system(), file_key, NULL), 0);
    assert_int_equal(
        packetfs_slot_seal_file(volume_key, volume_id, file_key, hm_random_system(), &slot, NULL),
        0);
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, NULL), 0);
    assert_memory_equal(out, volume_key, sizeof(out));
    /* by the environment */
    assert_int_equal(setenv("PACKETFS_KEY_DIR", folder, 1), 0);
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, NULL, out, NULL), 0);
    /* by name */
    unlock.key_file = path;
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_ENOTFOUND);
    unlock.key_file = NULL;
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EAUTH);
    assert_non_null(strstr(error.text, "none of the"));
    unlock.passphrase = "guess";
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EAUTH);
    unlock = (struct packetfs_unlock){.key_dir = "/nonexistent-folder"};
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EAUTH);
    /* the volume's own file, open to others, is said and not passed over */
    write_file(hm_buf_cstr(&named),
               "0023456789012345678901234567890123456789012345678901234567890123\n", 0644);
    unlock.key_dir = folder;
    assert_int_equal(packetfs_slot_open(hm_buf_slice(&slot), volume_id, &unlock, out, &error),
                     HM_EPERM);
}

static void test_where_keys_are_kept(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf path = {0};

    (void)state;
    (void)unsetenv("PACKETFS_KEY_DIR");
    assert_int_equal(setenv("XDG_CONFIG_HOME", "/x", 1), 0);
    assert_int_equal(packetfs_key_dir_path(NULL, &path, NULL), 0);
    assert_string_equal(hm_buf_cstr(&path), "/x/packetfs/keys");
    hm_buf_clear(&path);
    assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
    assert_int_equal(setenv("HOME", "/h", 1), 0);
    assert_int_equal(packetfs_key_dir_path(NULL, &path, NULL), 0);
    assert_string_equal(hm_buf_cstr(&path), "/h/.config/packetfs/keys");
    assert_int_equal(setenv("HOME", "", 1), 0);
    assert_int_equal(packetfs_key_dir_path(NULL, &path, NULL), HM_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_purposes_share_no_key),
        cmocka_unit_test(test_derivation_is_as_written),
        cmocka_unit_test(test_slot_of_a_file_key),
        cmocka_unit_test(test_slot_of_a_passphrase),
        cmocka_unit_test(test_later_slots_are_named),
        cmocka_unit_test(test_no_memory_and_no_randomness),
        cmocka_unit_test_setup_teardown(test_key_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_the_key_folder_is_searched, make_folder,
                                        remove_folder),
        cmocka_unit_test(test_where_keys_are_kept),
    };

    return cmocka_run_group_tests_name("packetfs_keys", tests, NULL, NULL);
}
