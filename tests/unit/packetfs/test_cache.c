/* The cache of file states: what it remembers, what makes it forget. */
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

#include "put/packetfs_cache.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/pfs-cache.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return setenv("XDG_CACHE_HOME", folder, 1);
}

static int teardown(void **state)
{
    (void)state;
    return hm_remove_tree(folder, NULL);
}

static void keys_make(struct packetfs_keys *keys)
{
    static const uint8_t volume_key[PACKETFS_KEY_BYTES] = {1},
                         volume_id[PACKETFS_VOLUME_ID_BYTES] = {2};

    packetfs_keys_derive(volume_key, volume_id, keys);
}

static const struct stat looks = {.st_size = 1000,
                                  .st_ino = 77,
                                  .st_dev = 8,
                                  .st_mtim = {.tv_sec = 100, .tv_nsec = 5},
                                  .st_ctim = {.tv_sec = 200, .tv_nsec = 6}};
static const struct packetfs_content holds = {
    .kind = PACKETFS_CONTENT_PATTERN, .id = {.bytes = {9}}, .bytes = 1000};

static void what_was_added_is_found(void **state)
{
    struct packetfs_cache *cache = NULL;
    struct packetfs_cache_seen seen;
    struct packetfs_keys keys;
    uint8_t key[PACKETFS_CACHE_KEY_BYTES], other[PACKETFS_CACHE_KEY_BYTES];

    (void)state;
    keys_make(&keys);
    packetfs_cache_key(&keys, "/home/a", "b", key);
    packetfs_cache_key(&keys, "/home", "a/b", other);
    assert_memory_not_equal(key, other, sizeof(key));
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    assert_false(packetfs_cache_find(cache, key, &looks, &seen));
    packetfs_cache_add(cache, key, &looks, &holds);
    packetfs_cache_finish(cache);
    packetfs_cache_close(cache);
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    assert_true(packetfs_cache_find(cache, key, &looks, &seen));
    assert_true(seen.same);
    assert_true(packetfs_id_equal(&seen.content.id, &holds.id));
    assert_int_equal(seen.content.bytes, 1000);
    assert_false(packetfs_cache_find(cache, other, &looks, &seen));
    packetfs_cache_close(cache);
}

static void any_change_of_what_stat_says_is_a_change(void **state)
{
    struct packetfs_cache *cache = NULL;
    struct packetfs_cache_seen seen;
    struct packetfs_keys keys;
    uint8_t key[PACKETFS_CACHE_KEY_BYTES];
    struct stat changed[7];

    (void)state;
    keys_make(&keys);
    packetfs_cache_key(&keys, "/", "x", key);
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    packetfs_cache_add(cache, key, &looks, &holds);
    packetfs_cache_finish(cache);
    for (size_t i = 0; i < HM_COUNT_OF(changed); i++)
        changed[i] = looks;
    changed[0].st_size++;
    changed[1].st_ino++;
    changed[2].st_dev++;
    changed[3].st_mtim.tv_sec++;
    changed[4].st_mtim.tv_nsec++;
    changed[5].st_ctim.tv_sec++;
    changed[6].st_ctim.tv_nsec++;
    for (size_t i = 0; i < HM_COUNT_OF(changed); i++) {
        assert_true(packetfs_cache_find(cache, key, &changed[i], &seen));
        assert_false(seen.same);
    }
    packetfs_cache_close(cache);
}

static void many_are_written_before_the_end_and_two_handles_share(void **state)
{
    struct packetfs_cache *cache = NULL, *again = NULL;
    struct packetfs_cache_seen seen;
    struct packetfs_keys keys;
    uint8_t key[PACKETFS_CACHE_KEY_BYTES];

    (void)state;
    keys_make(&keys);
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) { /* more than is held back */
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        packetfs_cache_key(&keys, "/", name, key);
        packetfs_cache_add(cache, key, &looks, &holds);
    }
    packetfs_cache_key(&keys, "/", "1", key);
    /* A second handle in one process, as two puts at once have. */
    assert_int_equal(packetfs_cache_open(&keys, &again, NULL), 0);
    assert_true(packetfs_cache_find(again, key, &looks, &seen));
    assert_true(seen.same);
    packetfs_cache_close(again);
    packetfs_cache_close(cache);
}

static void a_damaged_cache_is_made_again(void **state)
{
    struct packetfs_cache *cache = NULL;
    struct packetfs_keys keys;
    char path[256], hex[33];
    static const uint8_t junk[65536] = {1, 2, 3};

    (void)state;
    keys_make(&keys);
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    packetfs_cache_close(cache);
    hm_hex_encode(keys.volume_id, sizeof(keys.volume_id), hex);
    (void)snprintf(path, sizeof(path), "%s/packetfs/%s/data.mdb", folder, hex);
    assert_int_equal(hm_file_replace(path, junk, sizeof(junk), 0600, NULL), 0);
    assert_int_equal(packetfs_cache_open(&keys, &cache, NULL), 0);
    packetfs_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(any_change_of_what_stat_says_is_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_written_before_the_end_and_two_handles_share,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_cache_is_made_again, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
