#include "trust_fixture.h"

static struct trust_identity *make_user(const struct trust_fixture *fixture)
{
    struct trust_entry entry;

    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    return trust_fixture_identity(fixture, "user");
}

static void expect_signs_with(const struct trust_identity *identity, const uint8_t *public_key)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    crypto_hash("everyday", 8, digest);
    assert_int_equal(trust_session_sign(identity, digest, signature, NULL), 0);
    assert_int_equal(crypto_ed25519_verify(public_key, digest, sizeof(digest), signature), 0);
}

static void begun_is_not_in_use(void **state)
{
    struct trust_identity *identity = make_user(*state);
    struct trust_session session, current;
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    static const uint8_t digest[CRYPTO_HASH_BYTES];
    struct hm_error error = {0};

    assert_int_equal(trust_session_current(identity, 0, 0, &current), HM_ENOTFOUND);
    assert_int_equal(trust_session_sign(identity, digest, signature, &error), HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "'user'"));
    assert_int_equal(trust_session_adopt(identity, &error), HM_EINVAL);
    assert_int_equal(trust_session_begin(identity, 1000, &session, NULL), 0);
    assert_int_equal(session.expires_ms, 1000);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), HM_ENOTFOUND);
    assert_int_equal(trust_session_sign(identity, digest, signature, NULL), HM_ENOTFOUND);
    assert_false(trust_fixture_has(*state, "user.session"));
    trust_identity_free(identity);
}

static void adopted_outlives_a_restart(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_identity *identity = make_user(fixture);
    const char *passphrase = trust_keystore_sealed(fixture->keystore) ? TRUST_TEST_PASSPHRASE
                                                                      : NULL;
    struct trust_session session, current;

    assert_int_equal(trust_session_begin(identity, 1000, &session, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), HM_EINVAL); /* once */
    expect_signs_with(identity, session.public_key);
    trust_identity_free(identity);

    trust_fixture_reopen(fixture, passphrase);
    identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_session_current(identity, 0, 0, &current), 0);
    assert_memory_equal(current.public_key, session.public_key, sizeof(current.public_key));
    assert_int_equal(current.expires_ms, 1000);
    expect_signs_with(identity, session.public_key);
    trust_identity_free(identity);
}

static void expires_by_the_callers_clock(void **state)
{
    struct trust_identity *identity = make_user(*state);
    struct trust_session session;

    assert_int_equal(trust_session_begin(identity, 1000, &session, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    assert_int_equal(trust_session_current(identity, 999, 0, &session), 0);
    assert_int_equal(trust_session_current(identity, 1000, 0, &session), HM_ENOTFOUND);
    assert_int_equal(trust_session_current(identity, 899, 100, &session), 0);
    assert_int_equal(trust_session_current(identity, 900, 100, &session), HM_ENOTFOUND);
    assert_int_equal(trust_session_current(identity, 5, UINT64_MAX, &session), HM_ENOTFOUND);
    assert_int_equal(trust_session_current(identity, UINT64_MAX, UINT64_MAX, &session),
                     HM_ENOTFOUND);
    trust_identity_free(identity);
}

static void a_second_begin_replaces_the_first(void **state)
{
    struct trust_identity *identity = make_user(*state);
    struct trust_session first, second, third, current;

    assert_int_equal(trust_session_begin(identity, 1000, &first, NULL), 0);
    assert_int_equal(trust_session_begin(identity, 2000, &second, NULL), 0);
    assert_memory_not_equal(first.public_key, second.public_key, sizeof(first.public_key));
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    expect_signs_with(identity, second.public_key);

    assert_int_equal(trust_session_begin(identity, 3000, &third, NULL), 0);
    expect_signs_with(identity, second.public_key); /* until the third is adopted */
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), 0);
    assert_memory_equal(current.public_key, third.public_key, sizeof(third.public_key));
    assert_int_equal(current.expires_ms, 3000);
    trust_identity_free(identity);
}

static void dropped_is_gone_from_disk_too(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_identity *identity = make_user(fixture);
    struct trust_session session;

    assert_int_equal(trust_session_drop(identity, NULL), 0); /* nothing there is fine */
    assert_int_equal(trust_session_begin(identity, 1000, &session, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    assert_true(trust_fixture_has(fixture, "user.session"));
    assert_int_equal(trust_session_drop(identity, NULL), 0);
    assert_int_equal(trust_session_current(identity, 0, 0, &session), HM_ENOTFOUND);
    assert_false(trust_fixture_has(fixture, "user.session"));
    trust_identity_free(identity);
    identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_session_current(identity, 0, 0, &session), HM_ENOTFOUND);
    trust_identity_free(identity);
}

static void a_damaged_session_is_replaced(void **state)
{
    struct trust_fixture *fixture = *state;
    struct trust_identity *identity = make_user(fixture);
    struct trust_session session;

    trust_identity_free(identity);
    trust_fixture_write(fixture, "user.session", "\xff\xff", 2);
    identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_session_current(identity, 0, 0, &session), HM_ENOTFOUND);
    assert_int_equal(trust_session_begin(identity, 1000, &session, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    trust_identity_free(identity);
    identity = trust_fixture_identity(fixture, "user");
    expect_signs_with(identity, session.public_key);
    trust_identity_free(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(begun_is_not_in_use, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(adopted_outlives_a_restart, trust_fixture_open,
                                        trust_fixture_free),
        {"adopted_outlives_a_restart (sealed)", adopted_outlives_a_restart, trust_fixture_sealed,
         trust_fixture_free, NULL},
        cmocka_unit_test_setup_teardown(expires_by_the_callers_clock, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_second_begin_replaces_the_first, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(dropped_is_gone_from_disk_too, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(a_damaged_session_is_replaced, trust_fixture_open,
                                        trust_fixture_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
