/* Users and groups as an image's own files name them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime_sandbox.h"

static void test_fields(void **state)
{
    static const struct {
        const char *file, *name;
        unsigned want;
        int id; /* -1: none */
    } cases[] = {
        {"root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:\n", "www", 2, 33},
        {"root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:\n", "www", 3, 34},
        {"root:x:0:0\nwww:x:33:34", "www", 3, 34}, /* no newline at the end */
        {"www:x:65535:0", "www", 2, 65535},
        {"www:x:65536:0", "www", 2, -1},
        {"www:x:-1:0", "www", 2, -1},
        {"www:x::0", "www", 2, -1},
        {"www:x", "www", 2, -1}, /* the next line is not its continuation */
        {"www:x\n:5:5:5\n", "www", 2, -1},
        {"wwww:x:1:1\nww:x:2:2\n", "www", 2, -1},
        {"x:www:1:1\n", "www", 2, -1},
        {"www:x:1:1\nwww:x:2:2\n", "www", 2, 1}, /* the first one counts */
        {"www:x:00000000000000000000033:0", "www", 2, -1}, /* not cut to something else */
        {"", "www", 2, -1},
        {"\n\n", "", 0, -1},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        uint32_t id = 4711;
        bool found = runtime_user_field(hm_slice_str(cases[i].file), cases[i].name, cases[i].want,
                                        &id);

        if (found != (cases[i].id >= 0) || (found ? (int)id != cases[i].id : id != 4711))
            fail_msg("case %zu: %d, %u", i, found, id);
    }
    assert_false(runtime_user_field(hm_slice_of("www:x:1\0002:0", 11), "www", 2, &(uint32_t){0}));
    assert_false(runtime_user_field((struct hm_slice){0}, "www", 2, &(uint32_t){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
