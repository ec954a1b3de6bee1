#include "trust_fixture.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void create_list_open(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_entry user, operator, again;
    struct trust_entry *entries;
    size_t count;

    assert_false(trust_keystore_sealed(fixture->keystore));
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &user, NULL), 0);
    assert_int_equal(trust_identity_create(fixture->keystore, "operator", &operator, NULL), 0);
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &again, NULL), HM_EEXIST);
    assert_memory_not_equal(user.account, operator.account, WIRE_ID_BYTES);

    trust_fixture_reopen(fixture, NULL);
    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_string_equal(entries[0].name, "operator");
    assert_string_equal(entries[1].name, "user");
    assert_memory_equal(entries[0].account, operator.account, WIRE_ID_BYTES);
    assert_memory_equal(entries[1].account, user.account, WIRE_ID_BYTES);
    hm_free(entries);

    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    assert_string_equal(trust_identity_name(identity), "user");
    assert_memory_equal(trust_identity_account(identity), user.account, WIRE_ID_BYTES);
    trust_identity_free(identity);
}

static void an_empty_keystore_lists_nothing(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_entry *entries;
    size_t count = 7;

    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), 0);
    assert_int_equal(count, 0);
    hm_free(entries);
}

static void what_is_missing_is_named(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_identity *identity = NULL;
    struct hm_error error = {0};

    assert_int_equal(trust_identity_open(fixture->keystore, "nobody", &identity, &error),
                     HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "'nobody'"));
    assert_null(identity);
}

static void names_keep_the_rules(void **state)
{
    static const char *const bad[] = {
        "",         "1a",
        "-a",       "A",
        "a b",      "a/b",
        "..",       "../x",
        "a.b",      "a_b",
        "\xc3\xa9", "aB",
        "a\n",      "abcdefghijklmnopqrstuvwxyz0123456", /* 33 */
    };
    static const char *const good[] = {"a", "a-", "a1", "abcdefghijklmnopqrstuvwxyz012345"};
    struct trust_fixture *fixture = *state;
    struct trust_identity *identity;
    struct trust_entry entry;
    struct trust_entry *entries;
    size_t count;

    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        assert_int_equal(trust_identity_create(fixture->keystore, bad[i], &entry, NULL), HM_EINVAL);
        assert_int_equal(trust_identity_open(fixture->keystore, bad[i], &identity, NULL),
                         HM_EINVAL);
    }
    for (size_t i = 0; i < HM_COUNT_OF(good); i++)
        assert_int_equal(trust_identity_create(fixture->keystore, good[i], &entry, NULL), 0);
    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), 0);
    assert_int_equal(count, HM_COUNT_OF(good));
    hm_free(entries);
}

static void root_signatures_verify(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__RootAuth auth = HYPERMESH__ROOT_AUTH__INIT;
    struct crypto_root_public keys;
    struct crypto_root_signature signature;
    struct trust_entry entry;
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint8_t id[CRYPTO_HASH_BYTES];

    hm_arena_init(&arena, 0);
    crypto_hash("what is signed", 14, digest);
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_identity_sign_root(identity, digest, &arena, &auth, NULL), 0);
    trust_identity_free(identity);

    assert_int_equal(auth.ed25519_public.len, sizeof(keys.ed25519));
    assert_int_equal(auth.mldsa65_public.len, sizeof(keys.mldsa65));
    assert_int_equal(auth.ed25519_signature.len, sizeof(signature.ed25519));
    assert_int_equal(auth.mldsa65_signature.len, sizeof(signature.mldsa65));
    memcpy(keys.ed25519, auth.ed25519_public.data, sizeof(keys.ed25519));
    memcpy(keys.mldsa65, auth.mldsa65_public.data, sizeof(keys.mldsa65));
    memcpy(signature.ed25519, auth.ed25519_signature.data, sizeof(signature.ed25519));
    memcpy(signature.mldsa65, auth.mldsa65_signature.data, sizeof(signature.mldsa65));
    assert_int_equal(crypto_root_verify(&keys, digest, sizeof(digest), &signature, NULL), 0);
    crypto_root_id(&keys, id);
    assert_memory_equal(id, entry.account, sizeof(id));
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void only_the_owner_may_look(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_AUTOFREE char *root = trust_fixture_path(fixture, "user.root");
    HM_AUTOFREE char *session = trust_fixture_path(fixture, "user.session");
    struct trust_session made;
    struct trust_entry entry;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_session_begin(identity, 5000, &made, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    trust_identity_free(identity);
    assert_int_equal(mode_of(fixture->dir), 0700);
    assert_int_equal(mode_of(root), 0600);
    assert_int_equal(mode_of(session), 0600);

    assert_int_equal(chmod(fixture->dir, 0755), 0); /* closed again by the next open */
    trust_fixture_reopen(fixture, NULL);
    assert_int_equal(mode_of(fixture->dir), 0700);
}

static void a_file_open_to_others_is_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_AUTOFREE char *root = trust_fixture_path(fixture, "user.root");
    struct trust_identity *identity = NULL;
    struct trust_entry *entries = NULL;
    struct hm_error error = {0};
    struct trust_entry entry;
    size_t count;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    assert_int_equal(chmod(root, 0640), 0);
    assert_int_equal(trust_identity_open(fixture->keystore, "user", &identity, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), HM_EPERM);
    assert_null(entries);
    assert_int_equal(chmod(root, 0600), 0);
    trust_identity_free(trust_fixture_identity(fixture, "user"));
}

static void somebody_elses_files_are_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_AUTOFREE char *root = NULL;
    struct trust_identity *identity = NULL;
    struct trust_keystore *keystore = NULL;
    struct hm_error error = {0};
    struct trust_entry entry;

    if (geteuid() != 0) {
        print_message("only root can give files away\n");
        skip(); /* jumps past clean-up, so nothing is held yet */
    }
    root = trust_fixture_path(fixture, "user.root");
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    assert_int_equal(chown(root, 65534, 65534), 0);
    assert_int_equal(trust_identity_open(fixture->keystore, "user", &identity, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "65534"));
    assert_int_equal(chown(fixture->dir, 65534, 65534), 0);
    assert_int_equal(trust_keystore_open(fixture->dir, NULL, hm_random_system(), &keystore, &error),
                     HM_EPERM);
    assert_null(keystore);
    assert_int_equal(chown(fixture->dir, 0, 0), 0);
}

static void links_and_folders_are_no_key_files(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_AUTOFREE char *root = trust_fixture_path(fixture, "user.root");
    HM_AUTOFREE char *aside = trust_fixture_path(fixture, "aside");
    struct trust_identity *identity;
    struct trust_entry entry;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    assert_int_equal(rename(root, aside), 0);
    assert_int_equal(symlink("aside", root), 0);
    assert_int_equal(trust_identity_open(fixture->keystore, "user", &identity, NULL), HM_ECORRUPT);
    assert_int_equal(unlink(root), 0);
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(trust_identity_open(fixture->keystore, "user", &identity, NULL), HM_ECORRUPT);
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), HM_EEXIST);
}

static void the_number_of_accounts_is_limited(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_entry entry;
    struct trust_entry *entries;
    size_t count;

    for (int i = 0; i < TRUST_IDENTITIES_MAX; i++) {
        HM_AUTOFREE char *file = hm_asprintf("n%d.root", i);
        HM_AUTOFREE char *path = trust_fixture_path(fixture, file);
        FILE *made = fopen(path, "w");

        assert_non_null(made);
        assert_int_equal(fclose(made), 0);
    }
    assert_int_equal(trust_identity_create(fixture->keystore, "more", &entry, NULL), HM_ELIMIT);
    assert_false(trust_fixture_has(fixture, "more.root"));
    trust_fixture_write(fixture, "more.root", "", 0);
    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), HM_ELIMIT);
}

static void sealed_needs_the_passphrase(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_keystore *keystore = NULL;
    struct trust_identity *identity;
    struct hm_error error = {0};
    struct trust_entry entry;

    assert_true(trust_keystore_sealed(fixture->keystore));
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    trust_fixture_close(fixture);
    assert_int_equal(trust_keystore_open(fixture->dir, NULL, hm_random_system(), &keystore, &error),
                     HM_EAUTH);
    assert_non_null(strstr(error.text, "passphrase"));
    assert_int_equal(
        trust_keystore_open(fixture->dir, "wrong one", hm_random_system(), &keystore, &error),
        HM_EAUTH);
    assert_null(strstr(error.text, "wrong one")); /* what was typed is shown nowhere */
    assert_int_equal(trust_keystore_open(fixture->dir, "", hm_random_system(), &keystore, NULL),
                     HM_EINVAL);
    assert_null(keystore);

    trust_fixture_reopen(fixture, TRUST_TEST_PASSPHRASE);
    assert_true(trust_keystore_sealed(fixture->keystore));
    identity = trust_fixture_identity(fixture, "user");
    assert_memory_equal(trust_identity_account(identity), entry.account, WIRE_ID_BYTES);
    trust_identity_free(identity);
}

static void keys_without_a_seal_are_not_sealed_later(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_keystore *keystore = NULL;
    struct trust_entry entry;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    trust_fixture_close(fixture);
    assert_int_equal(trust_keystore_open(fixture->dir, TRUST_TEST_PASSPHRASE, hm_random_system(),
                                         &keystore, NULL),
                     HM_EUNSUPPORTED);
    assert_null(keystore);
    assert_false(trust_fixture_has(fixture, "SEAL"));
}

static void a_damaged_seal_is_told_from_a_wrong_passphrase(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_keystore *keystore = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf seal = {0};
    int rc;

    trust_fixture_read(fixture, "SEAL", &seal);
    trust_fixture_close(fixture);
    for (size_t len = 1; len < seal.len; len++) {
        trust_fixture_write(fixture, "SEAL", seal.data, len);
        rc = trust_keystore_open(fixture->dir, TRUST_TEST_PASSPHRASE, hm_random_system(), &keystore,
                                 NULL);
        assert_true(rc == HM_EPARSE || rc == HM_ECORRUPT || rc == HM_EAUTH);
    }
    for (size_t at = 0; at < seal.len; at += 23) {
        seal.data[at] ^= 0x10;
        trust_fixture_write(fixture, "SEAL", seal.data, seal.len);
        seal.data[at] ^= 0x10;
        rc = trust_keystore_open(fixture->dir, TRUST_TEST_PASSPHRASE, hm_random_system(), &keystore,
                                 NULL);
        assert_true(rc == HM_EPARSE || rc == HM_ECORRUPT || rc == HM_EAUTH);
    }
    trust_fixture_write(fixture, "SEAL", seal.data, seal.len / 2);
    rc = trust_keystore_open(fixture->dir, TRUST_TEST_PASSPHRASE, hm_random_system(), &keystore,
                             NULL);
    assert_true(rc == HM_EPARSE || rc == HM_ECORRUPT);
    trust_fixture_write(fixture, "SEAL", "", 0);
    assert_int_equal(trust_keystore_open(fixture->dir, TRUST_TEST_PASSPHRASE, hm_random_system(),
                                         &keystore, NULL),
                     HM_ECORRUPT);
    assert_null(keystore);
}

/* A second node on the same folder: told so, and it changes nothing. */
static void a_second_opener_is_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    const char *passphrase = trust_keystore_sealed(fixture->keystore) ? TRUST_TEST_PASSPHRASE
                                                                      : NULL;
    struct trust_keystore *second = NULL;
    struct hm_error error = {0};
    struct trust_entry entry;

    assert_int_equal(
        trust_keystore_open(fixture->dir, passphrase, hm_random_system(), &second, &error),
        HM_EBUSY);
    assert_null(second);
    assert_non_null(strstr(error.text, "another node"));
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    trust_fixture_close(fixture);
    assert_int_equal(
        trust_keystore_open(fixture->dir, passphrase, hm_random_system(), &second, &error), 0);
    trust_keystore_close(second);
}

/* A folder that cannot be written any more still opens, lists and signs; what would change it says why. */
static void a_read_only_folder_still_signs(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_entry entry;
    struct trust_entry *entries;
    struct trust_session made;
    size_t count;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    trust_fixture_close(fixture);
    if (geteuid() != 0 || mount(fixture->dir, fixture->dir, NULL, MS_BIND, NULL) != 0) {
        print_message("needs root to mount the folder read-only\n");
        skip();
    }
    assert_int_equal(mount(NULL, fixture->dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    trust_fixture_reopen(fixture, NULL);
    assert_int_equal(trust_keystore_list(fixture->keystore, &entries, &count, NULL), 0);
    assert_int_equal(count, 1);
    hm_free(entries);
    assert_int_not_equal(trust_identity_create(fixture->keystore, "more", &entry, NULL), 0);

    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    static const uint8_t digest[CRYPTO_HASH_BYTES];
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__RootAuth auth = HYPERMESH__ROOT_AUTH__INIT;
    int signed_root = trust_identity_sign_root(identity, digest, &arena, &auth, NULL);
    int begun = trust_session_begin(identity, 1000, &made, NULL);
    int adopted = trust_session_adopt(identity, NULL);

    trust_identity_free(identity);
    trust_fixture_close(fixture);
    assert_int_equal(umount(fixture->dir), 0); /* first: or clean-up could not remove it */
    assert_int_equal(signed_root, 0);
    assert_int_equal(begun, 0);
    assert_int_not_equal(adopted, 0);
    trust_fixture_reopen(fixture, NULL);
    assert_int_equal(trust_identity_create(fixture->keystore, "more", &entry, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_opener_is_refused, trust_fixture_open,
                                        trust_fixture_free),
        {"a_second_opener_is_refused (sealed)", a_second_opener_is_refused, trust_fixture_sealed,
         trust_fixture_free, NULL},
        cmocka_unit_test_setup_teardown(a_read_only_folder_still_signs, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(create_list_open, trust_fixture_open, trust_fixture_free),
        cmocka_unit_test_setup_teardown(an_empty_keystore_lists_nothing, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(what_is_missing_is_named, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(names_keep_the_rules, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(root_signatures_verify, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(only_the_owner_may_look, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_file_open_to_others_is_refused, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(somebody_elses_files_are_refused, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(links_and_folders_are_no_key_files, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(the_number_of_accounts_is_limited, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(sealed_needs_the_passphrase, trust_fixture_sealed,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(keys_without_a_seal_are_not_sealed_later,
                                        trust_fixture_open, trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_damaged_seal_is_told_from_a_wrong_passphrase,
                                        trust_fixture_sealed, trust_fixture_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
