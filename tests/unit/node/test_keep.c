/* What follows an end of a daemon that is kept. */
#include "node_keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EXITED(code)   ((code) << 8) /* as waitpid has it */
#define KILLED(number) (number)
#define QUICK_MS       UINT64_C(1000)
#define LONG_MS        NODE_KEEP_SETTLED_MS

static void test_an_end_in_order_is_the_end(void **state)
{
    struct node_keep keep = {0};

    (void)state;
    assert_int_equal(node_keep_ended(&keep, EXITED(0), QUICK_MS), NODE_KEEP_DONE);
    assert_int_equal(node_keep_ended(&keep, KILLED(9), QUICK_MS), NODE_KEEP_AGAIN);
    assert_int_equal(node_keep_ended(&keep, EXITED(0), LONG_MS), NODE_KEEP_DONE);
}

static void test_pauses_double_and_begin_anew_after_a_long_life(void **state)
{
    struct node_keep keep = {0};
    uint64_t wanted_ms = NODE_KEEP_PAUSE_MIN_MS;

    (void)state;
    for (unsigned i = 0; i + 1 < NODE_KEEP_QUICK_MAX; i++) {
        assert_int_equal(node_keep_ended(&keep, KILLED(11), QUICK_MS), NODE_KEEP_AGAIN);
        assert_int_equal(keep.pause_ms, wanted_ms);
        wanted_ms = 2 * wanted_ms < NODE_KEEP_PAUSE_MAX_MS ? 2 * wanted_ms : NODE_KEEP_PAUSE_MAX_MS;
    }
    assert_int_equal(wanted_ms, NODE_KEEP_PAUSE_MAX_MS);
    assert_int_equal(node_keep_ended(&keep, KILLED(11), LONG_MS), NODE_KEEP_AGAIN);
    assert_int_equal(keep.pause_ms, NODE_KEEP_PAUSE_MIN_MS);
    assert_int_equal(keep.quick, 0);
}

static void test_many_quick_ends_are_given_up(void **state)
{
    struct node_keep keep = {0};

    (void)state;
    for (unsigned i = 0; i + 1 < NODE_KEEP_QUICK_MAX; i++)
        assert_int_equal(node_keep_ended(&keep, i % 2 == 0 ? KILLED(6) : EXITED(1), QUICK_MS),
                         NODE_KEEP_AGAIN);
    assert_int_equal(node_keep_ended(&keep, KILLED(6), QUICK_MS), NODE_KEEP_GIVES_UP);
    assert_int_equal(keep.quick, NODE_KEEP_QUICK_MAX);
}

/* A wrong passphrase, a port in use, a damaged store: it says so, and a person is to hear it at once. */
static void test_a_first_start_that_fails_is_not_repeated(void **state)
{
    struct node_keep keep = {0}, ran = {0};

    (void)state;
    assert_int_equal(node_keep_ended(&keep, EXITED(1), QUICK_MS), NODE_KEEP_GIVES_UP);
    assert_int_equal(node_keep_ended(&ran, EXITED(1), LONG_MS), NODE_KEEP_AGAIN);
    assert_int_equal(node_keep_ended(&ran, EXITED(1), QUICK_MS), NODE_KEEP_AGAIN);
    assert_int_equal(node_keep_ended(&ran, EXITED(NODE_KEEP_EXIT_USAGE), QUICK_MS),
                     NODE_KEEP_GIVES_UP);
}

static void test_how_it_ended_is_said(void **state)
{
    char how[NODE_KEEP_HOW_BYTES];

    (void)state;
    node_keep_how(KILLED(9), how);
    assert_string_equal(how, "signal 9");
    node_keep_how(EXITED(1), how);
    assert_string_equal(how, "exit status 1");
    assert_non_null(strstr(node_keep_why(KILLED(7)), "its disk fails"));
    assert_non_null(strstr(node_keep_why(KILLED(11)), "a damaged file"));
    assert_non_null(strstr(node_keep_why(KILLED(9)), "want of memory"));
    assert_string_equal(node_keep_why(KILLED(6)), "");
    assert_string_equal(node_keep_why(EXITED(7)), ""); /* it says so by itself */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_end_in_order_is_the_end),
        cmocka_unit_test(test_pauses_double_and_begin_anew_after_a_long_life),
        cmocka_unit_test(test_many_quick_ends_are_given_up),
        cmocka_unit_test(test_a_first_start_that_fails_is_not_repeated),
        cmocka_unit_test(test_how_it_ended_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
