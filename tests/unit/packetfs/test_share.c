/* A volume's key split among trustees and joined again, and everything that goes wrong on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "access/packetfs_message.h"
#include "access/packetfs_share.h"
#include "people_world.h"

#define N 5
#define K 3

struct world {
    char dir[40], volume[64], keys[64];
    struct packetfs_identity *owner, *heir, *trustees[N];
    const struct packetfs_contact *contacts[N];
    struct packetfs_sealed shares[N];
    struct packetfs_sealed answers[N]; /* to heir */
};

static void world_split(struct world *world, const char *volume, struct packetfs_sealed *shares,
                        struct packetfs_sealed *answers)
{
    struct packetfs_unlock unlock = {.key_dir = world->keys};
    struct packetfs_error error = {0};

    if (packetfs_key_split(volume, &unlock, world->owner, K, world->contacts, N, shares, &error) !=
        0)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < N; i++) {
        struct packetfs_share_info info;
        assert_int_equal(packetfs_key_answer(world->trustees[i],
                                             (struct packetfs_bytes){shares[i].data, shares[i].len},
                                             &world->heir->contact, &answers[i], &info, NULL),
                         0);
        assert_int_equal(info.index, i + 1);
        assert_int_equal(info.k, K);
        assert_int_equal(info.n, N);
        assert_string_equal(info.by_id, world->owner->contact.id_text);
        assert_string_equal(info.by_name, "Owner");
    }
}

static void world_init(struct world *world)
{
    static const char *const names[N] = {"Ada", "Bob", "Carol", "Dan", "Eve"};
    struct packetfs_unlock unlock = {.key_dir = world->keys};
    struct packetfs_error error = {0};

    memset(world, 0, sizeof(*world));
    (void)snprintf(world->dir, sizeof(world->dir), "/tmp/hm-share-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    (void)snprintf(world->volume, sizeof(world->volume), "%s/v", world->dir);
    (void)snprintf(world->keys, sizeof(world->keys), "%s/k", world->dir);
    if (packetfs_volume_create(world->volume, NULL, &unlock, &error) != 0)
        fail_msg("%s", error.text);
    world->owner = identity_of(100, "Owner");
    world->heir = identity_of(101, "Heir");
    for (size_t i = 0; i < N; i++) {
        world->trustees[i] = identity_of((uint8_t)(i + 1), names[i]);
        world->contacts[i] = &world->trustees[i]->contact;
    }
    world_split(world, world->volume, world->shares, world->answers);
}

static void sealed_free(struct packetfs_sealed *list)
{
    for (size_t i = 0; i < N; i++)
        packetfs_free(list[i].data);
}

static void world_release(struct world *world)
{
    sealed_free(world->shares);
    sealed_free(world->answers);
    for (size_t i = 0; i < N; i++)
        packetfs_identity_close(world->trustees[i]);
    packetfs_identity_close(world->owner);
    packetfs_identity_close(world->heir);
    assert_int_equal(hm_remove_tree(world->dir, NULL), 0);
}

static int join(struct world *world, const char *volume,
                const struct packetfs_sealed *const *answers, size_t count,
                struct packetfs_error *error)
{
    struct packetfs_bytes bytes[N + 1];
    struct packetfs_unlock fresh = {.passphrase = "found again"};

    for (size_t i = 0; i < count; i++)
        bytes[i] = (struct packetfs_bytes){answers[i]->data, answers[i]->len};
    return packetfs_key_join(volume, world->heir, bytes, count, &fresh, error);
}

static int opens(const char *volume, const struct packetfs_unlock *unlock)
{
    struct packetfs_volume *opened = NULL;
    int rc = packetfs_volume_open(volume, unlock, false, &opened, NULL);

    packetfs_volume_close(opened);
    return rc;
}

static void test_lost_and_found(void **state)
{
    struct world world;
    struct packetfs_unlock found = {.passphrase = "found again"}, lost = {.key_dir = world.keys};
    struct packetfs_error error = {0};
    (void)state;

    world_init(&world);
    assert_int_equal(opens(world.volume, &lost), 0);
    assert_int_equal(hm_remove_tree(world.keys, NULL), 0);
    assert_int_equal(opens(world.volume, &lost), PACKETFS_EAUTH);
    assert_int_equal(opens(world.volume, &found), PACKETFS_EAUTH);
    const struct packetfs_sealed *two[] = {&world.answers[4], &world.answers[1]};
    assert_int_equal(join(&world, world.volume, two, 2, &error), PACKETFS_ELIMIT);
    assert_non_null(strstr(error.text, "1 more"));
    assert_int_equal(opens(world.volume, &found), PACKETFS_EAUTH);
    const struct packetfs_sealed *three[] = {&world.answers[4], &world.answers[1],
                                             &world.answers[2]};
    if (join(&world, world.volume, three, 3, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(opens(world.volume, &found), 0);
    const struct packetfs_sealed *four[] = {&world.answers[0], &world.answers[1], &world.answers[2],
                                            &world.answers[3]};
    assert_int_equal(join(&world, world.volume, four, 4, &error), 0); /* more than needed */
    world_release(&world);
}

static void test_wrong_shares(void **state)
{
    struct world world;
    struct packetfs_sealed other_shares[N] = {{0}}, other[N] = {{0}};
    struct packetfs_error error = {0};
    (void)state;

    world_init(&world);
    /* The same one twice, also as two answers of one trustee. */
    const struct packetfs_sealed *twice[] = {&world.answers[0], &world.answers[1],
                                             &world.answers[0]};
    assert_int_equal(join(&world, world.volume, twice, 3, &error), PACKETFS_ECONFLICT);
    assert_non_null(strstr(error.text, "same share, number 1"));
    assert_non_null(strstr(error.text, "answer 1 (of Ada"));
    assert_non_null(strstr(error.text, "answer 3 (of Ada"));
    /* Of another split of the same key. */
    world_split(&world, world.volume, other_shares, other);
    const struct packetfs_sealed *mixed[] = {&world.answers[0], &world.answers[1], &other[2]};
    assert_int_equal(join(&world, world.volume, mixed, 3, &error), PACKETFS_ECONFLICT);
    assert_non_null(strstr(error.text, "of split"));
    assert_non_null(strstr(error.text, "answer 3 (of Carol"));
    /* Whole as it is, the other one does. */
    const struct packetfs_sealed *whole[] = {&other[0], &other[1], &other[2]};
    assert_int_equal(join(&world, world.volume, whole, 3, &error), 0);
    sealed_free(other_shares);
    sealed_free(other);
    /* Of another volume. */
    char second[64];
    struct packetfs_unlock unlock = {.key_dir = world.keys};
    (void)snprintf(second, sizeof(second), "%s/w", world.dir);
    assert_int_equal(packetfs_volume_create(second, NULL, &unlock, NULL), 0);
    world_split(&world, second, other_shares, other);
    const struct packetfs_sealed *foreign[] = {&world.answers[0], &other[1], &world.answers[2]};
    assert_int_equal(join(&world, world.volume, foreign, 3, &error), PACKETFS_ECONFLICT);
    assert_non_null(strstr(error.text, "answer 2 (of Bob"));
    assert_non_null(strstr(error.text, "another volume"));
    sealed_free(other_shares);
    sealed_free(other);
    /* Not sealed to who joins: a share as its trustee got it. */
    const struct packetfs_sealed *unanswered[] = {&world.answers[0], &world.shares[1],
                                                  &world.answers[2]};
    assert_int_equal(join(&world, world.volume, unanswered, 3, &error), PACKETFS_EAUTH);
    assert_non_null(strstr(error.text, "answer 2"));
    /* A message that is no share. */
    struct packetfs_sealed text;
    assert_int_equal(packetfs_message_seal(world.trustees[0], &world.heir->contact,
                                           (struct packetfs_bytes){(const uint8_t *)"hi", 2},
                                           &text.data, &text.len, NULL),
                     0);
    const struct packetfs_sealed *no_share[] = {&world.answers[0], &world.answers[1], &text};
    assert_int_equal(join(&world, world.volume, no_share, 3, &error), PACKETFS_EPARSE);
    assert_non_null(strstr(error.text, "answer 3"));
    packetfs_free(text.data);
    world_release(&world);
}

/* A trustee changes his share and sends it on as it is signed by nobody, or signs it himself. */
static void test_changed_share(void **state)
{
    struct packetfs_identity *owner = identity_of(100, "Owner"), *eve = identity_of(3, "Eve");
    const uint8_t key[PACKETFS_KEY_BYTES] = {42}, volume_id[PACKETFS_VOLUME_ID_BYTES] = {7};
    struct packetfs_share *shares = calloc(N, sizeof(*shares)), forged;
    struct packetfs_share *evil = calloc(N, sizeof(*evil));
    const struct packetfs_share *list[N];
    const char *const names[N] = {"a", "b", "c", "d", "e"};
    uint8_t got[PACKETFS_KEY_BYTES] = {0};
    struct hm_error error;
    (void)state;

    assert_non_null(shares);
    assert_non_null(evil);
    assert_int_equal(
        packetfs_shares_make(key, volume_id, owner, K, N, hm_random_system(), shares, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(packetfs_share_verify(&shares[i], NULL), 0);
        list[i] = &shares[i];
    }
    assert_int_equal(packetfs_shares_join(list, names, K, got, NULL), 0);
    assert_memory_equal(got, key, sizeof(key));
    size_t fields[] = {
        offsetof(struct packetfs_share, split_id), offsetof(struct packetfs_share, volume_id),
        offsetof(struct packetfs_share, k),        offsetof(struct packetfs_share, n),
        offsetof(struct packetfs_share, index),    offsetof(struct packetfs_share, bytes),
        offsetof(struct packetfs_share, promise),  offsetof(struct packetfs_share, signature)};
    for (size_t i = 0; i < HM_COUNT_OF(fields); i++) {
        forged = shares[1];
        ((uint8_t *)&forged)[fields[i]] ^= 1;
        assert_int_equal(packetfs_share_verify(&forged, &error), HM_EAUTH);
    }
    forged = shares[1];
    forged.by = eve->contact;
    assert_int_equal(packetfs_share_verify(&forged, &error), HM_EAUTH);
    /* Eve signs shares of her own with the same numbers: they are of another split. */
    assert_int_equal(
        packetfs_shares_make(key, volume_id, eve, K, N, hm_random_system(), evil, NULL), 0);
    list[1] = &evil[1];
    assert_int_equal(packetfs_shares_join(list, names, K, got, &error), HM_ECONFLICT);
    /* Were one changed in spite of all, the promise shows it, and nothing is given out. */
    forged = shares[1];
    forged.bytes[0] ^= 1;
    list[1] = &forged;
    memset(got, 9, sizeof(got));
    assert_int_equal(packetfs_shares_join(list, names, K, got, &error), HM_EAUTH);
    for (size_t i = 0; i < sizeof(got); i++)
        assert_int_equal(got[i], 9);
    free(shares);
    free(evil);
    packetfs_identity_close(owner);
    packetfs_identity_close(eve);
}

static void test_bytes(void **state)
{
    struct packetfs_identity *owner = identity_of(100, "Owner");
    const uint8_t key[PACKETFS_KEY_BYTES] = {42}, volume_id[PACKETFS_VOLUME_ID_BYTES] = {7};
    struct packetfs_share share, again;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    (void)state;

    assert_int_equal(
        packetfs_shares_make(key, volume_id, owner, 1, 1, hm_random_system(), &share, NULL), 0);
    assert_int_equal(packetfs_share_encode(&share, &bytes), 0);
    assert_int_equal(packetfs_share_decode(hm_buf_slice(&bytes), &again, NULL), 0);
    assert_int_equal(packetfs_share_verify(&again, NULL), 0);
    assert_memory_equal(again.bytes, key, sizeof(key)); /* one of one: the key itself */
    for (size_t len = 0; len < bytes.len; len += 13)
        assert_int_equal(packetfs_share_decode(hm_slice_of(bytes.data, len), &again, NULL),
                         HM_EPARSE);
    const size_t numbers = 8 + 16 + 16;
    const uint8_t wrong[][3] = {{0, 1, 1}, {2, 1, 1}, {1, 1, 0}, {1, 1, 2}};
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        memcpy(bytes.data + numbers, wrong[i], 3);
        assert_int_equal(packetfs_share_decode(hm_buf_slice(&bytes), &again, NULL), HM_EPARSE);
    }
    packetfs_identity_close(owner);
}

static void test_split_refusals(void **state)
{
    struct world world;
    struct packetfs_sealed out[N + 1] = {{0}};
    struct packetfs_unlock unlock = {.key_dir = world.keys}, wrong = {.passphrase = "no"};
    struct packetfs_error error = {0};
    (void)state;

    world_init(&world);
    assert_int_equal(
        packetfs_key_split(world.volume, &unlock, world.owner, 0, world.contacts, N, out, &error),
        PACKETFS_EINVAL);
    assert_int_equal(packetfs_key_split(world.volume, &unlock, world.owner, N + 1, world.contacts,
                                        N, out, &error),
                     PACKETFS_EINVAL);
    assert_int_equal(
        packetfs_key_split(world.volume, &wrong, world.owner, K, world.contacts, N, out, &error),
        PACKETFS_EAUTH);
    assert_int_equal(
        packetfs_key_split(world.dir, &unlock, world.owner, K, world.contacts, N, out, &error),
        PACKETFS_ENOTFOUND);
    world.contacts[3] = world.contacts[1];
    assert_int_equal(
        packetfs_key_split(world.volume, &unlock, world.owner, K, world.contacts, N, out, &error),
        PACKETFS_EINVAL);
    assert_non_null(strstr(error.text, "twice"));
    assert_non_null(strstr(error.text, "Bob"));
    for (size_t i = 0; i <= N; i++)
        assert_null(out[i].data);
    world_release(&world);
}

/* --- rotation --- */

static size_t slots_count(const char *volume)
{
    char path[80];
    size_t count = 0;

    (void)snprintf(path, sizeof(path), "%s/keys", volume);
    DIR *list = opendir(path);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += strstr(entry->d_name, ".slot") != NULL;
    (void)closedir(list);
    return count;
}

static void test_rotation(void **state)
{
    struct world world;
    struct packetfs_unlock by_file = {.key_dir = world.keys}, none = {.key_dir = "/nowhere"};
    struct packetfs_unlock one = {.passphrase = "one"}, two = {.passphrase = "two"};
    struct packetfs_error error = {0};
    char copy[80], now[128], id[33];
    struct packetfs_volume *volume = NULL;
    (void)state;

    world_init(&world);
    assert_int_equal(packetfs_volume_open(world.volume, &by_file, false, &volume, NULL), 0);
    packetfs_volume_id(volume, id);
    packetfs_volume_close(volume);
    (void)snprintf(now, sizeof(now), "%s/%s.key", world.keys, id);
    (void)snprintf(copy, sizeof(copy), "%s/stolen", world.dir);
    assert_int_equal(link(now, copy), 0);
    /* A new key file under the old name; who has a copy of the old one is out. */
    if (packetfs_key_rotate(world.volume, &by_file, &by_file, &error) != 0)
        fail_msg("%s", error.text);
    struct packetfs_unlock stolen = {.key_file = copy};
    assert_int_equal(opens(world.volume, &by_file), 0);
    assert_int_equal(opens(world.volume, &stolen), PACKETFS_EAUTH);
    assert_int_equal(slots_count(world.volume), 1);
    struct packetfs_unlock same = {.key_file = now};
    assert_int_equal(packetfs_key_rotate(world.volume, &by_file, &same, &error), PACKETFS_EINVAL);
    assert_int_equal(opens(world.volume, &by_file), 0);
    /* To a passphrase, to another. */
    assert_int_equal(packetfs_key_rotate(world.volume, &by_file, &one, &error), 0);
    assert_int_equal(opens(world.volume, &one), 0);
    assert_int_equal(opens(world.volume, &by_file), PACKETFS_EAUTH);
    assert_int_equal(packetfs_key_rotate(world.volume, &by_file, &two, &error), PACKETFS_EAUTH);
    assert_int_equal(packetfs_key_rotate(world.volume, &none, &two, &error), PACKETFS_EAUTH);
    assert_int_equal(opens(world.volume, &one), 0);
    assert_int_equal(packetfs_key_rotate(world.volume, &one, &one, &error), PACKETFS_EINVAL);
    assert_int_equal(opens(world.volume, &one), 0);
    assert_int_equal(packetfs_key_rotate(world.volume, &one, &two, &error), 0);
    assert_int_equal(opens(world.volume, &one), PACKETFS_EAUTH);
    assert_int_equal(opens(world.volume, &two), 0);
    assert_int_equal(slots_count(world.volume), 1);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_and_found), cmocka_unit_test(test_wrong_shares),
        cmocka_unit_test(test_changed_share),  cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_split_refusals), cmocka_unit_test(test_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
