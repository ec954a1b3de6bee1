/* JSON of outsiders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json.h"

static void check(const char *text, unsigned depth, int expected, const char *says)
{
    HM_CLEANUP(json) json_t *value = NULL;
    struct hm_error error = {0};

    assert_int_equal(json_read(hm_slice_str(text), depth, "the line", &value, &error), expected);
    if (expected == 0) {
        assert_non_null(value);
        return;
    }
    assert_null(value);
    assert_non_null(strstr(error.text, says));
}

static void test_reads(void **state)
{
    (void)state;
    check("{}", 1, 0, NULL);
    check("{\"a\":[1,{\"b\":\"]]]}}\\\"{{{\"}]}", 3, 0, NULL);
    check("", 4, HM_EPARSE, "the line is not valid JSON");
    check("{\"a\":1", 4, HM_EPARSE, "line 1");
    check("{\"a\":1,\"a\":2}", 4, HM_EPARSE, "duplicate");
    check("{\"a\":[[1]]}", 2, HM_EPARSE, "deeper than 2");
    check("[]", 4, HM_EINVAL, "must be a JSON object");
    check("{\"a\":NaN}", 4, HM_EPARSE, "not valid");
    check("{\"a\":1e999}", 4, HM_EPARSE, "not valid");
    check("{\"a\":99999999999999999999}", 4, HM_EPARSE, "not valid");
    check("{\"a\":\"\xff\"}", 4, HM_EPARSE, "not valid");
    check("{} x", 4, HM_EPARSE, "not valid");
}

/* Texts longer than the reader's buffer, so that it grows while memory is short. */
static const char long_object[] =
    "{\"name\":\"a text that is longer than what is taken at once, and than the first buffer for "
    "it\","
    "\"list\":[1,-2,2.5,true,false,null,{\"a\":\"\\u00e4\\n\",\"b\":[],\"c\":{}}]}";

/* At whichever allocation memory runs out, for once or for good: nothing that is not there is read. */
static void sweep(void (*lose)(unsigned long nth))
{
    json_t *whole = NULL;
    unsigned long nth = 1;
    int rc = HM_ENOMEM;

    assert_int_equal(json_read(hm_slice_str(long_object), 4, "it", &whole, NULL), 0);
    for (; rc == HM_ENOMEM && nth < 1000; nth++) {
        HM_CLEANUP(json) json_t *value = NULL;
        struct hm_error error = {0};

        lose(nth);
        rc = json_read(hm_slice_str(long_object), 4, "it", &value, &error);
        lose(0);
        if (rc == 0) {
            assert_true(json_equal(value, whole));
        } else {
            assert_int_equal(rc, HM_ENOMEM);
            assert_null(value);
            assert_string_equal(error.text, "no memory to read it");
        }
    }
    assert_int_equal(rc, 0);
    assert_in_range(nth, 20, 999); /* what it takes was seen to fail */
    json_decref(whole);
}

static void test_memory_that_runs_out(void **state)
{
    (void)state;
    sweep(hm_alloc_fail_at);
    sweep(hm_alloc_fail_from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_memory_that_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
