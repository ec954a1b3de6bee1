/* A request's body leaves no copy of itself in memory that was given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api_body.h"
#include "freed_memory.h"

/* Every byte of the body is this one. */
#define SECRET_BYTE 0xc7
#define SECRET_RUN  16 /* so many of them in a row in freed memory are a copy */

static void look(void)
{
    static uint8_t secret[SECRET_RUN];

    memset(secret, SECRET_BYTE, sizeof(secret));
    freed_look_for(secret, sizeof(secret));
}

static void fill(struct hm_buf *body, size_t part, size_t times,
                 int (*append)(struct hm_buf *body, const void *data, size_t len))
{
    uint8_t bytes[3000];

    assert_true(part <= sizeof(bytes));
    memset(bytes, SECRET_BYTE, sizeof(bytes));
    for (size_t i = 0; i < times; i++)
        assert_int_equal(append(body, bytes, part), 0);
    assert_int_equal(body->len, part * times);
    for (size_t i = 0; i < body->len; i++)
        assert_int_equal(body->data[i], SECRET_BYTE);
}

static void test_no_copy_is_left(void **state)
{
    static const struct {
        size_t part, times;
    } cases[] = {{1, 1}, {20, 1}, {3000, 1}, {3000, 40}, {7, 3000}};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_buf body = {0};

        look();
        fill(&body, cases[i].part, cases[i].times, api_body_append);
        api_body_release(&body);
        assert_int_equal(freed_found(), 0);
        assert_null(body.data);
    }
}

/* The test sees what it looks for. */
static void test_the_test_looks(void **state)
{
    struct hm_buf body = {0};

    (void)state;
    if (!freed_can_look())
        skip();
    look();
    fill(&body, 3000, 40, hm_buf_append);
    hm_buf_release(&body);
    assert_true(freed_found() > 0);
}

static void test_memory_that_runs_out(void **state)
{
    struct hm_buf body = {0};
    uint8_t *bytes;
    size_t room;

    (void)state;
    fill(&body, 3000, 1, api_body_append);
    room = body.cap - body.len;
    bytes = hm_calloc(1, room + 1);
    hm_alloc_fail_at(1);
    assert_int_equal(api_body_append(&body, bytes, room + 1), HM_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(body.len, 3000);
    hm_free(bytes);
    assert_int_equal(api_body_append(&body, "", SIZE_MAX / 2), HM_ENOMEM);
    api_body_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_copy_is_left),
        cmocka_unit_test(test_the_test_looks),
        cmocka_unit_test(test_memory_that_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
