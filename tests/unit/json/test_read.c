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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
