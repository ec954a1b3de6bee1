#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "base.h"

static void test_slices_compare(void **state)
{
    (void)state;
    assert_true(hm_slice_equal(hm_slice_str(""), (struct hm_slice){0}));
    assert_false(hm_slice_equal(hm_slice_str("ab"), hm_slice_str("ac")));
    assert_true(hm_slice_compare(hm_slice_str("ab"), hm_slice_str("abc")) < 0);
    assert_true(hm_slice_compare(hm_slice_str("b"), hm_slice_str("abc")) > 0);
    assert_true(hm_slice_compare(hm_slice_of("\xff", 1), hm_slice_of("\x01", 1)) > 0);
    assert_int_equal(hm_slice_compare((struct hm_slice){0}, (struct hm_slice){0}), 0);
}

static void test_buffer_grows(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    (void)state;
    assert_string_equal(hm_buf_cstr(&buf), "");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(hm_buf_printf(&buf, "%d,", i % 10), 0);
    assert_int_equal(buf.len, 2000);
    assert_memory_equal(buf.data + 1990, "5,6,7,8,9,", 10);
    assert_int_equal(hm_buf_append(&buf, NULL, 0), 0);
    hm_buf_clear(&buf);
    assert_int_equal(hm_buf_append_str(&buf, "fresh"), 0);
    assert_string_equal(hm_buf_cstr(&buf), "fresh");
    assert_int_equal(hm_buf_reserve(&buf, SIZE_MAX), HM_ENOMEM);
    assert_int_equal(buf.len, 5);
    hm_buf_release(&buf);
    hm_buf_release(&buf);
    hm_buf_release(NULL);
}

static void test_secrets(void **state)
{
    char secret[] = "secret";

    (void)state;
    assert_true(hm_equal_ct("same", "same", 4));
    assert_false(hm_equal_ct("same", "sane", 4));
    assert_true(hm_equal_ct("a", "b", 0));
    hm_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(secret[i], 0);
    hm_wipe(NULL, 0);
}

static void test_strings(void **state)
{
    HM_AUTOFREE char *text = hm_strndup("hello", 3);
    HM_AUTOFREE char *made = hm_asprintf("%s-%d", text, 7);
    char *taken = HM_TAKE(made);

    (void)state;
    assert_string_equal(text, "hel");
    assert_null(made);
    assert_string_equal(taken, "hel-7");
    hm_free(taken);
    hm_free(NULL);
}

static void test_descriptor_cleanup_keeps_errno(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int taken;

    (void)state;
    assert_true(fd >= 0);
    errno = ERANGE;
    hm_fd_release(&fd);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    taken = HM_TAKE_FD(fd);
    assert_int_equal(fd, -1);
    assert_true(taken >= 0);
    hm_fd_release(&fd);
}

static void test_big_endian(void **state)
{
    uint8_t bytes[8];

    (void)state;
    hm_put_be64(bytes, UINT64_C(0x0102030405060708));
    assert_memory_equal(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(hm_get_be64(bytes) == UINT64_C(0x0102030405060708));
    hm_put_be32(bytes, 0xfffefdfc);
    assert_true(hm_get_be32(bytes) == 0xfffefdfc);
}

/* Every function that allocates, once through, with the nth allocation failing. Returns whether all
 * succeeded. Whatever fails must leave what was there as it was. */
static bool allocate_everything(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    HM_AUTOFREE char *text = hm_strdup("x");
    HM_AUTOFREE char *made = hm_asprintf("%d", 1);
    struct hm_arena arena;
    bool good = text != NULL && made != NULL;
    size_t before;

    hm_arena_init(&arena, 0);
    good = hm_buf_append_str(&buf, "prefix") == 0 && good;
    before = buf.len;
    if (hm_base64_encode("some longer text so that the buffer has to grow again", 53, &buf) != 0) {
        assert_int_equal(buf.len, before);
        good = false;
    }
    good = hm_buf_reserve(&buf, 4096) == 0 && good;
    good = hm_arena_alloc(&arena, 100) != NULL && good;
    good = hm_arena_alloc(&arena, 1 << 20) != NULL && good;
    good = hm_arena_alloc(&arena, 65000) != NULL && good;
    good = hm_arena_printf(&arena, "%d", 5) != NULL && good;
    hm_arena_release(&arena);
    return good;
}

static void test_every_allocation_may_fail(void **state)
{
    unsigned long nth = 0;
    bool good;

    (void)state;
    do {
        hm_alloc_fail_at(++nth);
        good = allocate_everything();
        hm_alloc_fail_at(0);
        assert_true(nth < 50);
    } while (!good);
    assert_true(nth > 6); /* as many allocations were failed, one at a time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_compare),
        cmocka_unit_test(test_buffer_grows),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_descriptor_cleanup_keeps_errno),
        cmocka_unit_test(test_big_endian),
        cmocka_unit_test(test_every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("base_bytes", tests, NULL, NULL);
}
