/* Time and place, and the chain of delays, as the API tells of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_test.h"

static void test_doubts_have_names(void **state)
{
    struct api_test *test = *state;
    json_t *view, *node;

    assert_int_equal(api_test_ask(test, "GET", "/cluster/witness", NULL, NULL), 200);
    assert_true(test->response.fresh);
    view = api_test_parse(test);
    assert_int_equal(json_integer_value(json_object_get(view, "height")), 3);
    assert_int_equal(json_integer_value(json_object_get(view, "voters")), 3);
    assert_int_equal(json_array_size(json_object_get(view, "nodes")), 2);
    node = json_array_get(json_object_get(view, "nodes"), 0);
    assert_string_equal(json_string_value(json_object_get(node, "node")),
                        "0101010101010101010101010101010101010101");
    assert_int_equal(json_integer_value(json_object_get(node, "rtt_us")), 251);
    assert_int_equal(json_array_size(json_object_get(node, "doubts")), 0);
    node = json_array_get(json_object_get(view, "nodes"), 1);
    assert_int_equal(json_integer_value(json_object_get(node, "clock_ms")), -2000);
    assert_int_equal(json_array_size(json_object_get(node, "doubts")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(node, "doubts"), 0)),
                        "clock");
    assert_string_equal(json_string_value(json_array_get(json_object_get(node, "doubts"), 1)),
                        "distance");
    json_decref(view);
}

static void test_newest_link(void **state)
{
    struct api_test *test = *state;
    json_t *link;

    assert_int_equal(api_test_ask(test, "GET", "/cluster/vdf", NULL, NULL), 200);
    assert_true(test->response.fresh);
    link = api_test_parse(test);
    assert_int_equal(json_integer_value(json_object_get(link, "index")), 4);
    assert_int_equal(json_integer_value(json_object_get(link, "steps")), 1048576);
    assert_int_equal(json_string_length(json_object_get(link, "input")), 64);
    json_decref(link);
}

/* Nothing yet is told apart from a node that is of no cluster. */
static void test_where_there_is_none(void **state)
{
    static const char *const paths[] = {"/cluster/witness", "/cluster/vdf"};
    struct api_test *test = *state;

    for (size_t i = 0; i < HM_COUNT_OF(paths); i++) {
        test->fake.no_links = true;
        assert_int_equal(api_test_ask(test, "GET", paths[i], NULL, NULL), 404);
        test->fake.no_light = true;
        assert_int_equal(api_test_ask(test, "GET", paths[i], NULL, NULL), 501);
        test->fake.no_light = test->fake.no_links = false;
        assert_int_equal(api_test_ask(test, "POST", paths[i], "application/json", "{}"), 405);
        test->fake.backend.witness = NULL;
        test->fake.backend.vdf = NULL;
        assert_int_equal(api_test_ask(test, "GET", paths[i], NULL, NULL), 501);
        fake_release(&test->fake);
        fake_init(&test->fake);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_doubts_have_names, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_newest_link, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_where_there_is_none, api_test_setup,
                                        api_test_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
