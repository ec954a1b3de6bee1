/* Text forms of ids, addresses, and the names of kinds and states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

static void test_id_text(void **state)
{
    static const struct {
        const char *prefix;
        void (*text)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
        int (*parse)(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
    } forms[] = {
        {"hm1", wire_account_text, wire_account_parse},
        {"asset1", wire_asset_text, wire_asset_parse},
        {"lease1", wire_lease_text, wire_lease_parse},
    };
    uint8_t id[WIRE_ID_BYTES];

    (void)state;
    for (unsigned i = 0; i < sizeof(id); i++)
        id[i] = (uint8_t)(i * 37 + 5);
    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        char text[WIRE_ID_TEXT_MAX];
        uint8_t back[WIRE_ID_BYTES] = {0};
        struct hm_error error = {0};

        forms[i].text(id, text);
        assert_int_equal(strncmp(text, forms[i].prefix, strlen(forms[i].prefix)), 0);
        assert_int_equal(strlen(text), strlen(forms[i].prefix) + 52 + 6);
        assert_int_equal(forms[i].parse(text, back, &error), 0);
        assert_memory_equal(back, id, sizeof(id));

        /* one character changed, another form's text, a text cut short */
        text[10] = text[10] == 'q' ? 'p' : 'q';
        memset(back, 0, sizeof(back));
        assert_int_equal(forms[i].parse(text, back, &error), HM_EPARSE);
        assert_int_equal(back[0], 0);
        forms[(i + 1) % HM_COUNT_OF(forms)].text(id, text);
        assert_int_equal(forms[i].parse(text, back, &error), HM_EPARSE);
        forms[i].text(id, text);
        text[strlen(text) - 1] = '\0';
        assert_int_equal(forms[i].parse(text, back, &error), HM_EPARSE);
        assert_int_equal(forms[i].parse("", back, &error), HM_EPARSE);
    }
}

static void test_address(void **state)
{
    uint8_t chain[WIRE_ID_BYTES] = {0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6};
    uint8_t id[WIRE_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const uint8_t expected[16] = {0xfd, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0, 4,
                                         1,    2,    3,    4,    5,    6,    7, 8};
    uint8_t address[16];

    (void)state;
    wire_asset_address(chain, HYPERMESH__ASSET_KIND__GPU, id, address);
    assert_memory_equal(address, expected, sizeof(expected));
}

static void test_asset_kinds(void **state)
{
    const ProtobufCEnumDescriptor *kinds = &hypermesh__asset_kind__descriptor;

    (void)state;
    for (unsigned i = 0; i < kinds->n_values; i++) {
        Hypermesh__AssetKind kind = (Hypermesh__AssetKind)kinds->values[i].value;
        Hypermesh__AssetKind back = HYPERMESH__ASSET_KIND__ASSET_NONE;

        assert_string_not_equal(wire_asset_kind_name(kind), "unknown");
        if (kind == HYPERMESH__ASSET_KIND__ASSET_NONE)
            continue;
        assert_true(wire_asset_kind_unit(kind)[0] != '\0');
        assert_int_equal(wire_asset_kind_parse(wire_asset_kind_name(kind), &back), 0);
        assert_int_equal(back, kind);
    }
    assert_string_equal(wire_asset_kind_name(HYPERMESH__ASSET_KIND__CPU), "cpu");
    assert_string_equal(wire_asset_kind_unit(HYPERMESH__ASSET_KIND__CPU), "millicores");
    assert_string_equal(wire_asset_kind_name((Hypermesh__AssetKind)99), "unknown");
    assert_int_equal(wire_asset_kind_parse("none", &(Hypermesh__AssetKind){0}), HM_EPARSE);
    assert_int_equal(wire_asset_kind_parse("quantum", &(Hypermesh__AssetKind){0}), HM_EPARSE);
}

static void test_privacy(void **state)
{
    Hypermesh__PrivacyLevel level = HYPERMESH__PRIVACY_LEVEL__PRIVACY_NONE;

    (void)state;
    for (unsigned i = 1; i < hypermesh__privacy_level__descriptor.n_values; i++) {
        const char digit[2] = {(char)('0' + i), '\0'};

        assert_int_equal(wire_privacy_parse(wire_privacy_name((Hypermesh__PrivacyLevel)i), &level),
                         0);
        assert_int_equal(level, i);
        level = HYPERMESH__PRIVACY_LEVEL__PRIVACY_NONE;
        assert_int_equal(wire_privacy_parse(digit, &level), 0);
        assert_int_equal(level, i);
    }
    assert_string_equal(wire_privacy_name(HYPERMESH__PRIVACY_LEVEL__PRIVATE_NETWORK),
                        "PrivateNetwork");
    assert_int_equal(wire_privacy_parse("fullpublic", &level), 0);
    assert_int_equal(level, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
    assert_int_equal(wire_privacy_parse("0", &level), HM_EPARSE);
    assert_int_equal(wire_privacy_parse("6", &level), HM_EPARSE);
    assert_int_equal(wire_privacy_parse("none", &level), HM_EPARSE);
    assert_int_equal(wire_privacy_parse("", &level), HM_EPARSE);
}

static void test_states_and_ops(void **state)
{
    (void)state;
    for (unsigned i = 0; i < hypermesh__job_outcome__descriptor.n_values; i++)
        assert_string_not_equal(wire_outcome_name((Hypermesh__JobOutcome)i), "unknown");
    for (unsigned i = 0; i < hypermesh__lease_state__descriptor.n_values; i++)
        assert_string_not_equal(wire_lease_state_name((Hypermesh__LeaseState)i), "unknown");
    assert_string_equal(wire_outcome_name(HYPERMESH__JOB_OUTCOME__TIMED_OUT), "timed-out");
    assert_string_equal(wire_outcome_name((Hypermesh__JobOutcome)-1), "unknown");
    assert_string_equal(wire_lease_state_name(HYPERMESH__LEASE_STATE__LEASE_ACTIVE), "active");
    assert_string_equal(wire_lease_state_name((Hypermesh__LeaseState)77), "unknown");
    assert_string_equal(wire_op_name(0), "expire");
    assert_string_equal(wire_op_name(1), "transfer");
    assert_string_equal(wire_op_name(12), "allocate");
    assert_string_equal(wire_op_name(15), "settle");
    assert_string_equal(wire_op_name(400), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_text),        cmocka_unit_test(test_address),
        cmocka_unit_test(test_asset_kinds),    cmocka_unit_test(test_privacy),
        cmocka_unit_test(test_states_and_ops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
