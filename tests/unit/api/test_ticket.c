/* Join tickets, as the API takes and tells of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_test.h"

#define JSON "application/json"
#define ID   "01000000000000000000000000000000"

static void test_what_is_asked_for_is_issued(void **state)
{
    struct api_test *test = *state;
    json_t *ticket;

    assert_int_equal(
        api_test_ask(test, "POST", "/cluster/tickets", JSON,
                     "{\"role\":\"validator\",\"fund\":true,\"bond\":\"2000\",\"expires\":\"2h\","
                     "\"addresses\":[\"192.0.2.7:1\",\"[fd00::1]:2\"]}"),
        201);
    ticket = api_test_parse(test);
    assert_string_equal(json_string_value(json_object_get(ticket, "id")), ID);
    assert_string_equal(json_string_value(json_object_get(ticket, "ticket")), "hmjoin1text");
    assert_string_equal(json_string_value(json_object_get(ticket, "role")), "validator");
    assert_string_equal(json_string_value(json_object_get(ticket, "bond")), "2000");
    assert_true(json_is_true(json_object_get(ticket, "funded")));
    assert_int_equal(json_integer_value(json_object_get(ticket, "expires_ms")),
                     1700000000000 + 7200000);
    assert_int_equal(json_array_size(json_object_get(ticket, "addresses")), 2);
    assert_true(json_is_null(json_object_get(ticket, "used_by")));
    json_decref(ticket);
}

/* The secret is told once. */
static void test_a_list_has_no_secrets(void **state)
{
    struct api_test *test = *state;
    json_t *list, *items;

    assert_int_equal(api_test_ask(test, "GET", "/cluster/tickets", NULL, NULL), 200);
    list = api_test_parse(test);
    items = json_object_get(list, "items");
    assert_int_equal(json_array_size(items), 2);
    for (size_t i = 0; i < 2; i++)
        assert_null(json_object_get(json_array_get(items, i), "ticket"));
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 1), "used_by")),
                        "0a0b");
    json_decref(list);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *method, *path, *body;
        unsigned status;
    } cases[] = {
        {"POST", "/cluster/tickets", "{\"role\":\"king\"}", 400},
        {"POST", "/cluster/tickets", "{\"bond\":\"5\"}", 400},
        {"POST", "/cluster/tickets", "{\"bond\":\"5\",\"fund\":true}", 400},
        {"POST", "/cluster/tickets", "{\"bond\":\"5\",\"role\":\"validator\"}", 400},
        {"POST", "/cluster/tickets", "{\"secret\":\"mine\"}", 400},
        {"DELETE", "/cluster/tickets/" ID, NULL, 200},
        {"DELETE", "/cluster/tickets/02000000000000000000000000000000", NULL, 404},
        {"DELETE", "/cluster/tickets/01", NULL, 400},
        {"DELETE", "/cluster/tickets/zz000000000000000000000000000000", NULL, 400},
    };
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(cases); i++)
        assert_int_equal(api_test_ask(test, cases[i].method, cases[i].path,
                                      cases[i].body ? JSON : NULL, cases[i].body),
                         cases[i].status);
    test->fake.backend.ticket_create = NULL;
    test->fake.backend.tickets = NULL;
    test->fake.backend.ticket_revoke = NULL;
    assert_int_equal(api_test_ask(test, "POST", "/cluster/tickets", JSON, "{}"), 501);
    assert_int_equal(api_test_ask(test, "GET", "/cluster/tickets", NULL, NULL), 501);
    assert_int_equal(api_test_ask(test, "DELETE", "/cluster/tickets/" ID, NULL, NULL), 501);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_asked_for_is_issued, api_test_setup,
                                        api_test_teardown),
        cmocka_unit_test_setup_teardown(test_a_list_has_no_secrets, api_test_setup,
                                        api_test_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, api_test_setup, api_test_teardown),
    };

    return cmocka_run_group_tests_name("api_ticket", tests, NULL, NULL);
}
