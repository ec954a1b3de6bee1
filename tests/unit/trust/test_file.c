/* Key files that were swapped, cut, changed or brought from elsewhere. */
#include "trust_fixture.h"

static void make_two(const struct trust_fixture *fixture)
{
    static const char *const names[] = {"alice", "bob"};

    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        struct trust_session made;
        struct trust_entry entry;

        assert_int_equal(trust_identity_create(fixture->keystore, names[i], &entry, NULL), 0);
        struct trust_identity *identity = trust_fixture_identity(fixture, names[i]);
        assert_int_equal(trust_session_begin(identity, 9000, &made, NULL), 0);
        assert_int_equal(trust_session_adopt(identity, NULL), 0);
        trust_identity_free(identity);
    }
}

static void copy(const struct trust_fixture *fixture, const char *from, const char *to)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    trust_fixture_read(fixture, from, &bytes);
    trust_fixture_write(fixture, to, bytes.data, bytes.len);
}

static int open_code(const struct trust_fixture *fixture, const char *name, struct hm_error *error)
{
    struct trust_identity *identity = NULL;
    int rc = trust_identity_open(fixture->keystore, name, &identity, error);

    trust_identity_free(identity);
    return rc;
}

static void swapped_roots_are_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    struct hm_error error = {0};

    make_two(fixture);
    copy(fixture, "alice.root", "bob.root");
    assert_int_equal(open_code(fixture, "bob", &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "bob.root"));
    assert_int_equal(open_code(fixture, "alice", NULL), 0);
    copy(fixture, "alice.session", "alice.root");
    assert_int_equal(open_code(fixture, "alice", NULL), HM_ECORRUPT);
}

static void a_foreign_session_is_left_out(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_session session;
    struct trust_identity *identity;

    make_two(fixture);
    copy(fixture, "bob.session", "alice.session");
    identity = trust_fixture_identity(fixture, "alice");
    assert_int_equal(trust_session_current(identity, 0, 0, &session), HM_ENOTFOUND);
    trust_identity_free(identity);
    identity = trust_fixture_identity(fixture, "bob");
    assert_int_equal(trust_session_current(identity, 0, 0, &session), 0);
    trust_identity_free(identity);
}

static void truncated_and_changed_files_are_refused(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    make_two(fixture);
    trust_fixture_read(fixture, "alice.root", &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        trust_fixture_write(fixture, "alice.root", bytes.data, len);
        assert_int_not_equal(open_code(fixture, "alice", NULL), 0);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 1;
        trust_fixture_write(fixture, "alice.root", bytes.data, bytes.len);
        assert_int_not_equal(open_code(fixture, "alice", NULL), 0);
        bytes.data[i] ^= 1;
    }
    trust_fixture_write(fixture, "alice.root", bytes.data, bytes.len);
    assert_int_equal(open_code(fixture, "alice", NULL), 0);
}

/* A session file that is cut or changed is no session, and no obstacle: the account goes on without one. */
static void a_cut_or_changed_session_is_left_out(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    make_two(fixture);
    trust_fixture_read(fixture, "alice.session", &bytes);
    for (size_t i = 0; i < 2 * bytes.len; i++) {
        size_t at = i / 2;
        struct trust_identity *identity;
        struct trust_session session;

        bytes.data[at] ^= (uint8_t)(1U << at % 8);
        trust_fixture_write(fixture, "alice.session", bytes.data, i % 2 == 0 ? at : bytes.len);
        bytes.data[at] ^= (uint8_t)(1U << at % 8);
        identity = trust_fixture_identity(fixture, "alice");
        assert_int_equal(trust_session_current(identity, 0, 0, &session), HM_ENOTFOUND);
        trust_identity_free(identity);
    }
    trust_fixture_write(fixture, "alice.session", bytes.data, bytes.len);
    {
        struct trust_identity *identity = trust_fixture_identity(fixture, "alice");
        struct trust_session session;

        assert_int_equal(trust_session_current(identity, 0, 0, &session), 0);
        trust_identity_free(identity);
    }
}

static void a_huge_file_is_not_read(void **state)
{
    struct trust_fixture *fixture = *state;
    static const uint8_t huge[TRUST_FILE_MAX_BYTES + 1];

    trust_fixture_write(fixture, "alice.root", huge, sizeof(huge));
    assert_int_equal(open_code(fixture, "alice", NULL), HM_ELIMIT);
}

/* A secret of known bytes as a file's bytes, sealed when key is not NULL. */
static void file_bytes(const uint8_t *key, const char *name, enum trust_kind kind,
                       struct hm_buf *out)
{
    struct trust_keystore keystore = {.dir = (char *)(uintptr_t)(""), .random = hm_random_system()};
    struct trust_secret secret = {.expires_ms = kind == TRUST_SESSION ? 77 : 0};
    char folder[] = "/tmp/trust-file-XXXXXX";

    assert_non_null(mkdtemp(folder));
    keystore.dir = folder;
    keystore.sealed = key != NULL;
    if (key != NULL)
        memcpy(keystore.key, key, sizeof(keystore.key));
    memset(secret.account, 1, sizeof(secret.account));
    memset(secret.ed25519_seed, 2, sizeof(secret.ed25519_seed));
    memset(secret.mldsa65_seed, 3, sizeof(secret.mldsa65_seed));
    assert_int_equal(trust_file_save(&keystore, name, kind, &secret, NULL), 0);
    HM_AUTOFREE char *path = hm_asprintf("%s/%s.%s", folder, name,
                                         kind == TRUST_ROOT ? "root" : "session");
    assert_int_equal(hm_file_read(path, TRUST_FILE_MAX_BYTES, out, NULL), 0);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
}

static void parse_gives_back_what_was_saved(void **state)
{
    static const uint8_t key[CRYPTO_SEAL_KEY_BYTES] = {9};

    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    for (int sealed = 0; sealed < 2; sealed++) {
        for (int kind = TRUST_ROOT; kind <= TRUST_SESSION; kind++) {
            HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
            struct trust_secret secret = {0};
            static const uint8_t zeros[CRYPTO_SEED_BYTES];

            file_bytes(sealed ? key : NULL, "alice", (enum trust_kind)kind, &bytes);
            assert_int_equal(trust_file_parse(hm_buf_slice(&bytes), "alice", (enum trust_kind)kind,
                                              sealed ? key : NULL, &secret, NULL),
                             0);
            assert_int_equal(secret.account[31], 1);
            assert_int_equal(secret.ed25519_seed[31], 2);
            assert_int_equal(secret.expires_ms, kind == TRUST_SESSION ? 77 : 0);
            if (kind == TRUST_SESSION)
                assert_memory_equal(secret.mldsa65_seed, zeros, sizeof(zeros));
            else
                assert_int_equal(secret.mldsa65_seed[31], 3);
        }
    }
}

/* What is refused leaves the output as it was, and says which file. */
static void expect_refused(struct hm_slice bytes, const char *name, enum trust_kind kind,
                           const uint8_t *key, int code)
{
    struct trust_secret secret, before;
    struct hm_error error = {0};

    memset(&secret, 0x5a, sizeof(secret));
    before = secret;
    assert_int_equal(trust_file_parse(bytes, name, kind, key, &secret, &error), code);
    assert_memory_equal(&secret, &before, sizeof(secret));
    assert_non_null(strstr(error.text, name));
    assert_int_equal(trust_file_parse(bytes, name, kind, key, &secret, NULL), code);
}

static void seals_bind_key_name_kind_and_account(void **state)
{
    static const uint8_t key[CRYPTO_SEAL_KEY_BYTES] = {9};
    static const uint8_t other[CRYPTO_SEAL_KEY_BYTES] = {8};
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf open = {0};

    (void)state;
    assert_int_equal(crypto_setup(NULL), 0);
    file_bytes(key, "alice", TRUST_ROOT, &sealed);
    file_bytes(NULL, "alice", TRUST_ROOT, &open);
    expect_refused(hm_buf_slice(&sealed), "alice", TRUST_ROOT, other, HM_EAUTH);
    expect_refused(hm_buf_slice(&sealed), "alice", TRUST_ROOT, NULL, HM_EAUTH);
    expect_refused(hm_buf_slice(&open), "alice", TRUST_ROOT, key, HM_EAUTH); /* planted */
    expect_refused(hm_buf_slice(&sealed), "bob", TRUST_ROOT, key, HM_ECORRUPT);
    expect_refused(hm_buf_slice(&sealed), "alice", TRUST_SESSION, key, HM_ECORRUPT);
    expect_refused(hm_slice_of("\x08\x01", 2), "alice", TRUST_ROOT, key, HM_ECORRUPT);
    expect_refused(hm_slice_of("\xff", 1), "alice", TRUST_ROOT, key, HM_EPARSE);

    /* The name and the account stand in the clear; the seal must notice when they are changed. */
    uint8_t *at = memmem(sealed.data, sealed.len, "alice.root", 10);
    assert_non_null(at);
    at[0] = 'b';
    expect_refused(hm_buf_slice(&sealed), "blice", TRUST_ROOT, key, HM_EAUTH);
    at[0] = 'a';
    at[10 + 2] ^= 1; /* past the tag and length of account */
    expect_refused(hm_buf_slice(&sealed), "alice", TRUST_ROOT, key, HM_EAUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(swapped_roots_are_refused, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_foreign_session_is_left_out, trust_fixture_open,
                                        trust_fixture_free),
        {"truncated_and_changed_files_are_refused (sealed)",
         truncated_and_changed_files_are_refused, trust_fixture_sealed, trust_fixture_free, NULL},
        cmocka_unit_test_setup_teardown(a_cut_or_changed_session_is_left_out, trust_fixture_sealed,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(truncated_and_changed_files_are_refused, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_huge_file_is_not_read, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test(parse_gives_back_what_was_saved),
        cmocka_unit_test(seals_bind_key_name_kind_and_account),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
