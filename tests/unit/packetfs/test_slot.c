/* Slots of a volume: several people open one volume with their own identity. Who may, who no longer, what somebody who can write to the folder
 * achieves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/packetfs_message.h"
#include "access/packetfs_slot_folder.h"
#include "access/packetfs_slot_identity.h"
#include "access/packetfs_volume_file.h"
#include "people_world.h"

static const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 3};
static const uint8_t other_id[PACKETFS_VOLUME_ID_BYTES] = {1, 2, 4};
static const uint8_t volume_key[PACKETFS_KEY_BYTES] = {9, 8, 7};

/* --- one slot's bytes ---------------------------------------------------------------------------------------------------- */

static void a_slot_opens_for_its_identity_alone(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada"), *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint8_t out[PACKETFS_KEY_BYTES] = {0};
    static const uint8_t zeros[PACKETFS_KEY_BYTES];
    struct packetfs_slot_label label;
    struct packetfs_contact from;
    struct packetfs_slot slot;

    (void)state;
    assert_int_equal(hm_buf_append_str(&file, "> "), 0);
    assert_int_equal(packetfs_slot_seal_identity(volume_key, volume_id, "one", ada, &bob->contact,
                                                 77, hm_random_system(), &file, NULL),
                     0);
    struct hm_slice bytes = hm_slice_of(file.data + 2, file.len - 2);
    assert_true(bytes.len <= PACKETFS_SLOT_FILE_MAX_BYTES);
    assert_int_equal(packetfs_slot_parse(bytes, &slot, NULL), 0);
    assert_int_equal(slot.kind, PACKETFS_SLOT_IDENTITY);
    assert_int_equal(slot.bound.len + slot.label.len + slot.sealed.len, bytes.len);
    /* Neither who it is for nor who made it stands there for others to read. */
    assert_null(memmem(bytes.data, bytes.len, bob->contact.id, sizeof(bob->contact.id)));
    assert_null(memmem(bytes.data, bytes.len, ada->contact.id, sizeof(ada->contact.id)));
    assert_null(memmem(bytes.data, bytes.len, "Bob", 3));

    assert_int_equal(packetfs_slot_open_identity(bytes, volume_id, "one", ada, out, NULL, NULL),
                     HM_EAUTH);
    assert_int_equal(packetfs_slot_open_identity(bytes, other_id, "one", bob, out, NULL, NULL),
                     HM_EAUTH);
    assert_int_equal(packetfs_slot_open_identity(bytes, volume_id, "two", bob, out, NULL, NULL),
                     HM_ECORRUPT);
    assert_int_equal(packetfs_slot_open_key(bytes, volume_id, volume_key, out, NULL), HM_EAUTH);
    assert_memory_equal(out, zeros, sizeof(out));
    assert_int_equal(packetfs_slot_open_identity(bytes, volume_id, "one", bob, out, &from, NULL),
                     0);
    assert_memory_equal(out, volume_key, sizeof(out));
    assert_string_equal(from.id_text, ada->contact.id_text);

    assert_int_equal(packetfs_slot_label_open(&slot, "one", zeros, &label, NULL), HM_EAUTH);
    assert_int_equal(packetfs_slot_label_open(&slot, "two", volume_key, &label, NULL), HM_EAUTH);
    assert_int_equal(packetfs_slot_label_open(&slot, "one", volume_key, &label, NULL), 0);
    assert_string_equal(label.who, "Bob");
    assert_memory_equal(label.id, bob->contact.id, sizeof(label.id));
    assert_memory_equal(label.by, ada->contact.id, sizeof(label.by));
    assert_int_equal(label.time_ns, 77);
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
}

/* Every byte of the front, each behind it by steps: what is behind it is one sealed message. */
static void every_changed_byte_and_every_cut_is_refused(void **state)
{
    struct packetfs_identity *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint8_t out[PACKETFS_KEY_BYTES];

    (void)state;
    assert_int_equal(packetfs_slot_seal_identity(volume_key, volume_id, "one", bob, &bob->contact,
                                                 77, hm_random_system(), &file, NULL),
                     0);
    for (size_t i = 0; i < file.len; i += i < 300 ? 1 : 97) {
        file.data[i] ^= 1;
        assert_int_not_equal(packetfs_slot_open_identity(hm_buf_slice(&file), volume_id, "one", bob,
                                                         out, NULL, NULL),
                             0);
        file.data[i] ^= 1;
        assert_int_not_equal(packetfs_slot_open_identity(hm_slice_of(file.data, i), volume_id,
                                                         "one", bob, out, NULL, NULL),
                             0);
    }
    assert_int_equal(
        packetfs_slot_open_identity(hm_buf_slice(&file), volume_id, "one", bob, out, NULL, NULL),
        0);
    packetfs_identity_close(bob);
}

/* The message of one slot behind the front of another: both are right, together they are not. A message that somebody sent is no slot, a slot no message. */
static void parts_of_slots_do_not_mix(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada"), *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf one = {0};
    HM_CLEANUP(hm_buf) struct hm_buf two = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint8_t out[PACKETFS_KEY_BYTES];
    struct packetfs_message message;
    struct hm_error error = {0};
    struct packetfs_slot slot;

    (void)state;
    assert_int_equal(packetfs_slot_seal_identity(volume_key, volume_id, "one", ada, &bob->contact,
                                                 1, hm_random_system(), &one, NULL),
                     0);
    assert_int_equal(packetfs_slot_seal_identity(volume_key, other_id, "one", ada, &bob->contact, 1,
                                                 hm_random_system(), &two, NULL),
                     0);
    assert_int_equal(packetfs_slot_parse(hm_buf_slice(&one), &slot, NULL), 0);
    assert_int_equal(one.len, two.len);
    size_t front = slot.bound.len + slot.label.len;
    memcpy(two.data, one.data, front);
    assert_int_equal(
        packetfs_slot_open_identity(hm_buf_slice(&two), volume_id, "one", bob, out, NULL, &error),
        HM_ECORRUPT);
    assert_non_null(strstr(error.text, "changed after it was signed"));
    assert_int_equal(
        packetfs_message_open(bob, (struct packetfs_bytes){one.data + front, one.len - front},
                              &message, NULL),
        PACKETFS_EPARSE);
    assert_int_equal(packetfs_message_write(ada, &bob->contact, PACKETFS_MESSAGE_TEXT, 1,
                                            hm_slice_str("hello"), hm_random_system(), &text, NULL),
                     0);
    one.len = front;
    assert_int_equal(hm_buf_append(&one, text.data, text.len), 0);
    assert_int_equal(
        packetfs_slot_open_identity(hm_buf_slice(&one), volume_id, "one", bob, out, NULL, NULL),
        HM_EPARSE);
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
}

static void names_are_short_and_plain(void **state)
{
    static const char *const wrong[] = {"",   "A",   "a/b",
                                        "..", "a.b", "a23456789012345678901234567890123"};
    struct packetfs_identity *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    struct packetfs_slot slot;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(packetfs_slot_seal_identity(volume_key, volume_id, wrong[i], bob,
                                                     &bob->contact, 1, hm_random_system(), &file,
                                                     NULL),
                         HM_EINVAL);
    assert_int_equal(file.len, 0);
    assert_int_equal(packetfs_slot_seal_identity(volume_key, volume_id,
                                                 "a2345678901234567890123456789-12", bob,
                                                 &bob->contact, 1, hm_random_system(), &file, NULL),
                     0);
    assert_int_equal(packetfs_slot_parse(hm_buf_slice(&file), &slot, NULL), 0);
    assert_string_equal(slot.name, "a2345678901234567890123456789-12");
    packetfs_identity_close(bob);
}

static void no_memory_makes_no_half_slot(void **state)
{
    struct packetfs_identity *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    uint8_t out[PACKETFS_KEY_BYTES];
    int rc = HM_ENOMEM;

    (void)state;
    for (unsigned long nth = 1; rc != 0; nth++) {
        assert_true(nth < 200);
        hm_alloc_fail_at(nth);
        rc = packetfs_slot_seal_identity(volume_key, volume_id, "one", bob, &bob->contact, 1,
                                         hm_random_system(), &file, NULL);
        hm_alloc_fail_at(0);
        assert_true((file.len == 0) == (rc != 0));
    }
    rc = HM_ENOMEM;
    for (unsigned long nth = 1; rc != 0; nth++) {
        assert_true(nth < 200);
        hm_alloc_fail_at(nth);
        rc = packetfs_slot_open_identity(hm_buf_slice(&file), volume_id, "one", bob, out, NULL,
                                         NULL);
        hm_alloc_fail_at(0);
    }
    packetfs_identity_close(bob);
}

/* --- a volume and its people ---------------------------------------------------------------------------------------------- */

enum person { ADA, BOB, CAROL, PEOPLE };
static const char *const names[PEOPLE] = {"Ada", "Bob", "Carol"};

struct world {
    char dir[40], volume[64];
    char files[PEOPLE][80], folders[PEOPLE][64]; /* each has a key folder of his own */
    struct packetfs_identity *who[PEOPLE];
    struct packetfs_unlock unlock[PEOPLE];
};

static void must(int rc, const struct packetfs_error *error)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, error->text);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct packetfs_error error = {0};

    assert_non_null(world);
    (void)snprintf(world->dir, sizeof(world->dir), "/tmp/hm-slot-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    (void)snprintf(world->volume, sizeof(world->volume), "%s/v", world->dir);
    for (int i = 0; i < PEOPLE; i++) {
        (void)snprintf(world->folders[i], sizeof(world->folders[i]), "%s/%s", world->dir, names[i]);
        (void)snprintf(world->files[i], sizeof(world->files[i]), "%s/identity", world->folders[i]);
        assert_int_equal(mkdir(world->folders[i], 0700), 0);
        must(packetfs_identity_create(world->files[i], names[i], &error), &error);
        must(packetfs_identity_open(world->files[i], &world->who[i], &error), &error);
        world->unlock[i] = (struct packetfs_unlock){.identity_file = "",
                                                    .key_dir = world->folders[i]};
    }
    must(packetfs_volume_create(world->volume, NULL, &world->unlock[ADA], &error), &error);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < PEOPLE; i++)
        packetfs_identity_close(world->who[i]);
    assert_int_equal(hm_remove_tree(world->dir, NULL), 0);
    free(world);
    return 0;
}

static int opens_by(const struct world *world, const struct packetfs_unlock *unlock,
                    struct packetfs_error *error)
{
    struct packetfs_volume *volume = NULL;
    int rc = packetfs_volume_open(world->volume, unlock, true, &volume, error);

    if (rc == 0)
        assert_string_equal(packetfs_volume_key_file(volume), "");
    packetfs_volume_close(volume);
    return rc;
}

static int opens(const struct world *world, enum person person)
{
    return opens_by(world, &world->unlock[person], NULL);
}

static void admit(const struct world *world, enum person by, enum person to)
{
    struct packetfs_error error = {0};

    must(packetfs_key_admit(world->volume, &world->unlock[by], world->who[by],
                            packetfs_identity_contact(world->who[to]), &error),
         &error);
}

struct listed {
    struct packetfs_slot_info slots[PACKETFS_SLOTS_MAX];
    size_t count;
};

static int list_one(void *ctx, const struct packetfs_slot_info *slot)
{
    struct listed *listed = ctx;

    assert_true(listed->count < PACKETFS_SLOTS_MAX);
    listed->slots[listed->count++] = *slot;
    return 0;
}

static void list(const struct world *world, enum person person, struct listed *out)
{
    struct packetfs_error error = {0};

    memset(out, 0, sizeof(*out));
    must(packetfs_key_list(world->volume, &world->unlock[person], list_one, out, &error), &error);
}

static const struct packetfs_slot_info *slot_of(const struct world *world,
                                                const struct listed *listed, enum person person)
{
    for (size_t i = 0; i < listed->count; i++)
        if (strcmp(listed->slots[i].id, world->who[person]->contact.id_text) == 0)
            return &listed->slots[i];
    return NULL;
}

static void slot_path(const struct world *world, const char *name, char out[160])
{
    (void)snprintf(out, 160, "%s/keys/%s.slot", world->volume, name);
}

static void people_come_and_go(void **state)
{
    struct world *world = *state;
    struct packetfs_error error = {0};
    struct listed listed;

    assert_int_equal(opens(world, ADA), 0);
    assert_int_equal(opens(world, BOB), PACKETFS_EAUTH);
    admit(world, ADA, BOB);
    assert_int_equal(packetfs_key_admit(world->volume, &world->unlock[ADA], world->who[ADA],
                                        packetfs_identity_contact(world->who[BOB]), &error),
                     PACKETFS_EEXIST);
    assert_int_equal(opens(world, BOB), 0);
    admit(world, BOB, CAROL); /* who is in may let others in */
    assert_int_equal(opens(world, CAROL), 0);
    list(world, CAROL, &listed);
    assert_int_equal(listed.count, 3);
    const struct packetfs_slot_info *carol = slot_of(world, &listed, CAROL);
    assert_non_null(carol);
    assert_int_equal(carol->kind, PACKETFS_SLOT_IDENTITY);
    assert_string_equal(carol->who, "Carol");
    assert_string_equal(carol->by_id, world->who[BOB]->contact.id_text);
    assert_true(carol->time_ns > 0);
    assert_int_equal(packetfs_key_list(world->volume, &(struct packetfs_unlock){.passphrase = "x"},
                                       list_one, &listed, &error),
                     PACKETFS_EAUTH);

    must(packetfs_key_remove(world->volume, &world->unlock[ADA],
                             slot_of(world, &listed, CAROL)->name, &error),
         &error);
    assert_int_equal(opens(world, CAROL), PACKETFS_EAUTH);
    must(packetfs_key_remove(world->volume, &world->unlock[ADA], world->who[BOB]->contact.id_text,
                             &error),
         &error);
    assert_int_equal(opens(world, BOB), PACKETFS_EAUTH);
    assert_int_equal(packetfs_key_remove(world->volume, &world->unlock[ADA], "nobody", &error),
                     PACKETFS_ENOTFOUND);
    assert_int_equal(packetfs_key_remove(world->volume, &world->unlock[ADA], "", &error),
                     PACKETFS_ENOTFOUND);
    assert_int_equal(packetfs_key_remove(world->volume, &world->unlock[ADA], "first", &error),
                     PACKETFS_ECONFLICT);
    assert_non_null(strstr(error.text, "first is the last slot"));
    assert_int_equal(opens(world, ADA), 0);
}

/* A slot that opens nothing does not count as one that is left. */
static void the_last_that_opens_anything_stays(void **state)
{
    struct world *world = *state;
    struct packetfs_error error = {0};
    struct listed listed;
    char path[160];

    slot_path(world, "junk", path);
    assert_int_equal(hm_file_replace(path, "no slot", 7, 0600, NULL), 0);
    slot_path(world, "NOT-ONE", path);
    assert_int_equal(hm_file_replace(path, "no slot", 7, 0600, NULL), 0);
    assert_int_equal(opens(world, ADA), 0);
    list(world, ADA, &listed);
    assert_int_equal(listed.count, 2);
    assert_int_equal(listed.slots[1].kind, 0);
    assert_int_equal(packetfs_key_remove(world->volume, &world->unlock[ADA], "first", &error),
                     PACKETFS_ECONFLICT);
    must(packetfs_key_remove(world->volume, &world->unlock[ADA], "junk", &error), &error);
    /* A slot that was renamed counts as little: it opens nothing under that name. */
    admit(world, ADA, BOB);
    list(world, ADA, &listed);
    char from[160];
    slot_path(world, slot_of(world, &listed, BOB)->name, from);
    slot_path(world, "renamed", path);
    assert_int_equal(rename(from, path), 0);
    assert_int_equal(opens_by(world, &world->unlock[BOB], &error), PACKETFS_ECORRUPT);
    assert_non_null(strstr(error.text, "somebody renamed it"));
    assert_int_equal(packetfs_key_remove(world->volume, &world->unlock[ADA], "first", &error),
                     PACKETFS_ECONFLICT);
}

static void keys_of_every_kind_open_one_volume(void **state)
{
    struct world *world = *state;
    struct packetfs_unlock words = {.passphrase = "correct horse"}, file = {.key_file = NULL};
    struct packetfs_unlock both = {.passphrase = "x", .identity_file = ""};
    struct packetfs_unlock found = {.key_dir = world->folders[ADA]};
    struct packetfs_error error = {0};
    struct packetfs_volume *volume = NULL;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/machine.key", world->dir);
    file.key_file = path;
    must(packetfs_key_add(world->volume, &world->unlock[ADA], &words, &error), &error);
    must(packetfs_key_add(world->volume, &words, &file, &error), &error);
    must(packetfs_key_add(world->volume, &file, &world->unlock[BOB], &error), &error);
    assert_int_equal(packetfs_key_add(world->volume, &file, &words, &error), PACKETFS_EEXIST);
    assert_int_equal(packetfs_key_add(world->volume, &file, &file, &error), PACKETFS_EEXIST);
    assert_int_equal(packetfs_key_add(world->volume, &file, &world->unlock[BOB], &error),
                     PACKETFS_EEXIST);
    assert_int_equal(packetfs_key_add(world->volume, &file, &both, &error), PACKETFS_EINVAL);
    assert_int_equal(opens_by(world, &both, &error), PACKETFS_EINVAL);
    assert_int_equal(opens_by(world, &words, &error), 0);
    assert_int_equal(opens(world, ADA), 0);
    assert_int_equal(opens(world, BOB), 0);
    must(packetfs_volume_open(world->volume, &file, true, &volume, &error), &error);
    assert_string_equal(packetfs_volume_key_file(volume), path);
    packetfs_volume_close(volume);
    assert_int_equal(opens_by(world, &found, &error), 0); /* the identity of the key folder */
    found.key_dir = world->folders[CAROL];
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_EAUTH);
    found.key_dir = "/nonexistent-folder";
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_EAUTH);
    found.identity_file = "/nonexistent-folder/identity";
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_ENOTFOUND);
    assert_int_equal(chmod(world->files[ADA], 0640), 0);
    assert_int_equal(opens(world, ADA), PACKETFS_EPERM);
    words.passphrase = "correct horses";
    assert_int_equal(opens_by(world, &words, &error), PACKETFS_EAUTH);
    assert_string_equal(error.text, "the passphrase does not open this volume");
}

static void rotation_leaves_the_one_that_is_named(void **state)
{
    struct world *world = *state;
    struct packetfs_error error = {0};
    struct listed listed;

    admit(world, ADA, BOB);
    admit(world, ADA, CAROL);
    must(packetfs_key_rotate(world->volume, &world->unlock[BOB], &world->unlock[BOB], &error),
         &error);
    assert_int_equal(opens(world, ADA), PACKETFS_EAUTH);
    assert_int_equal(opens(world, CAROL), PACKETFS_EAUTH);
    assert_int_equal(opens(world, BOB), 0);
    list(world, BOB, &listed);
    assert_int_equal(listed.count, 1);
    assert_string_equal(listed.slots[0].by_id, world->who[BOB]->contact.id_text);
}

static void there_is_a_limit(void **state)
{
    struct world *world = *state;
    struct packetfs_error error = {0};
    struct packetfs_identity *who;
    struct listed listed;
    char path[160];

    for (unsigned i = 1; i < PACKETFS_SLOTS_MAX; i++) {
        who = identity_of((uint8_t)(100 + i), "somebody");
        must(packetfs_key_admit(world->volume, &world->unlock[ADA], world->who[ADA],
                                packetfs_identity_contact(who), &error),
             &error);
        packetfs_identity_close(who);
    }
    assert_int_equal(packetfs_key_admit(world->volume, &world->unlock[ADA], world->who[ADA],
                                        packetfs_identity_contact(world->who[BOB]), &error),
                     PACKETFS_ELIMIT);
    assert_non_null(strstr(error.text, "32"));
    assert_int_equal(packetfs_key_add(world->volume, &world->unlock[ADA],
                                      &(struct packetfs_unlock){.passphrase = "x"}, &error),
                     PACKETFS_ELIMIT);
    assert_int_equal(opens(world, ADA), 0);
    list(world, ADA, &listed);
    assert_int_equal(listed.count, PACKETFS_SLOTS_MAX);
    /* What a rotation that was killed leaves behind: one more than there may be, and half a file. */
    slot_path(world, "zzzz", path);
    assert_int_equal(hm_file_replace(path, "cut", 3, 0600, NULL), 0);
    assert_int_equal(opens(world, ADA), 0);
    (void)snprintf(path, sizeof(path), "%s/keys/abcd.slot.tmp", world->volume);
    assert_int_equal(hm_file_replace(path, "cut", 3, 0600, NULL), 0);
    must(packetfs_key_rotate(world->volume, &world->unlock[ADA], &world->unlock[ADA], &error),
         &error);
    assert_int_not_equal(access(path, F_OK), 0);
    list(world, ADA, &listed);
    assert_int_equal(listed.count, 1);
}

/* --- who can write to the folder ------------------------------------------------------------------------------------------ */

/* A volume of the same id under a key that mallory knows, with a slot for somebody; or only that slot, in the volume as it is. */
static void exchange(const struct world *world, enum person victim, bool all)
{
    struct packetfs_identity *mallory = identity_of(66, "Ada");
    static const uint8_t his_key[PACKETFS_KEY_BYTES] = {6, 6, 6};
    HM_CLEANUP(hm_buf) struct hm_buf was = {0};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    struct packetfs_parameters parameters;
    uint8_t id[PACKETFS_VOLUME_ID_BYTES];
    struct packetfs_volume *volume;
    struct packetfs_keys keys;
    char path[160];

    assert_int_equal(packetfs_volume_open(world->volume, &world->unlock[ADA], true, &volume, NULL),
                     0);
    packetfs_volume_parameters(volume, &parameters);
    packetfs_volume_close(volume);
    (void)snprintf(path, sizeof(path), "%s/volume", world->volume);
    assert_int_equal(hm_file_read(path, 4096, &was, NULL), 0);
    assert_int_equal(packetfs_volume_file_id(hm_buf_slice(&was), id, NULL), 0);
    packetfs_keys_derive(his_key, id, &keys);
    assert_int_equal(
        packetfs_volume_file_write(&keys, &parameters, hm_random_system(), &file, NULL), 0);
    assert_int_equal(packetfs_slot_seal_identity(his_key, id, "evil", mallory,
                                                 packetfs_identity_contact(world->who[victim]), 1,
                                                 hm_random_system(), &slot, NULL),
                     0);
    if (all) {
        assert_int_equal(hm_file_replace(path, file.data, file.len, 0600, NULL), 0);
        (void)snprintf(path, sizeof(path), "%s/keys", world->volume);
        assert_int_equal(hm_remove_tree(path, NULL), 0);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    slot_path(world, "evil", path);
    assert_int_equal(hm_file_replace(path, slot.data, slot.len, 0600, NULL), 0);
    packetfs_identity_close(mallory);
}

static void an_exchanged_volume_is_known(void **state)
{
    struct world *world = *state;
    struct packetfs_unlock found = {.key_dir = world->folders[BOB]};
    struct packetfs_error error = {0};
    char path[160];

    admit(world, ADA, BOB);
    assert_int_equal(opens(world, BOB), 0); /* notes the key */
    assert_int_equal(opens(world, BOB), 0);
    exchange(world, BOB, true);
    assert_int_equal(opens_by(world, &world->unlock[BOB], &error), PACKETFS_ECORRUPT);
    assert_non_null(strstr(error.text, "another key"));
    assert_non_null(strstr(error.text, ".pin"));
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_ECORRUPT);
    (void)snprintf(path, sizeof(path), "%s", strstr(error.text, "/tmp/"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_EAUTH);
    assert_int_equal(opens(world, BOB), 0); /* as he says */
}

static void who_made_it_knows_its_key(void **state)
{
    struct world *world = *state;
    struct packetfs_unlock found = {.key_dir = world->folders[ADA]};

    exchange(world, ADA, true);
    assert_int_equal(opens(world, ADA), PACKETFS_ECORRUPT);
    assert_int_equal(opens_by(world, &found, NULL), PACKETFS_ECORRUPT);
}

/* A slot with another key than the volume's opens nothing, and its key is not what is noted. */
static void a_foreign_slot_is_not_noted(void **state)
{
    struct world *world = *state;
    struct listed listed;
    char path[160];

    exchange(world, BOB, false);
    assert_int_equal(opens(world, BOB), PACKETFS_ECORRUPT);
    assert_int_equal(opens(world, ADA), 0);
    slot_path(world, "evil", path);
    assert_int_equal(unlink(path), 0);
    admit(world, ADA, BOB);
    assert_int_equal(opens(world, BOB), 0);
    list(world, ADA, &listed);
    assert_int_equal(listed.count, 2);
}

/* Who never used his identity here must not get into somebody's volume with it unasked: think of a volume that his key file opened, exchanged. */
static void the_first_time_is_said(void **state)
{
    struct world *world = *state;
    struct packetfs_unlock found = {.key_dir = world->folders[BOB]};
    struct packetfs_error error = {0};

    admit(world, ADA, BOB);
    assert_int_equal(opens_by(world, &found, &error), PACKETFS_EAUTH);
    assert_non_null(strstr(error.text, world->who[ADA]->contact.id_text));
    assert_non_null(strstr(error.text, "the first time"));
    assert_int_equal(opens(world, BOB), 0);
    assert_int_equal(opens_by(world, &found, &error), 0);
}

/* The same four bytes twice, then others. */
static int draw_again(void *ctx, void *out, size_t len)
{
    unsigned *turn = ctx;

    memset(out, (*turn)++ < 2 ? 0xab : 0xcd, len);
    return 0;
}

static void a_name_that_is_taken_is_drawn_again(void **state)
{
    unsigned turn = 0;
    const struct hm_random random = {draw_again, &turn};
    struct packetfs_slot_file slots[1] = {{.name = ""}};
    struct packetfs_slot_folder folder = {.slots = slots};
    char name[PACKETFS_SLOT_NAME_MAX + 1];

    (void)state;
    assert_int_equal(packetfs_slot_folder_draw(&folder, &random, name, NULL), 0);
    assert_string_equal(name, "abababab");
    (void)snprintf(slots[0].name, sizeof(slots[0].name), "%s", name);
    folder.count = 1;
    assert_int_equal(packetfs_slot_folder_draw(&folder, &random, name, NULL), 0);
    assert_string_equal(name, "cdcdcdcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_opens_for_its_identity_alone),
        cmocka_unit_test(every_changed_byte_and_every_cut_is_refused),
        cmocka_unit_test(parts_of_slots_do_not_mix),
        cmocka_unit_test(names_are_short_and_plain),
        cmocka_unit_test(no_memory_makes_no_half_slot),
        cmocka_unit_test(a_name_that_is_taken_is_drawn_again),
        cmocka_unit_test_setup_teardown(people_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_that_opens_anything_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_every_kind_open_one_volume, setup, teardown),
        cmocka_unit_test_setup_teardown(rotation_leaves_the_one_that_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(an_exchanged_volume_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(who_made_it_knows_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_slot_is_not_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_time_is_said, setup, teardown),
    };

    return cmocka_run_group_tests_name("packetfs_slot", tests, NULL, NULL);
}
