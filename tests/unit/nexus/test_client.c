/* What stands before and behind a request: where the node is, escaping, refusals, exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "nexus.h"
#include "nexus_client.h"
#include "nexus_fresh.h"

static void test_escape(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_string_equal(nexus_escape("aZ09-._~", &arena), "aZ09-._~");
    assert_string_equal(nexus_escape("../a b?c=d&e#f%", &arena), "..%2Fa%20b%3Fc%3Dd%26e%23f%25");
    assert_string_equal(nexus_escape("\xc2\xb5\n", &arena), "%C2%B5%0A");
    assert_string_equal(nexus_escape("", &arena), "");
}

static void expect_problem(long status, const char *body, int code, const char *text)
{
    struct hm_error error = {0};

    assert_int_equal(nexus_problem_read(status, hm_slice_str(body), &error), code);
    assert_string_equal(error.text, text);
}

static void test_problem(void **state)
{
    (void)state;
    expect_problem(402,
                   "{\"code\": \"HM_EFUNDS\", \"title\": \"Not enough funds\", \"detail\": \"has "
                   "1, needs 2\"}",
                   HM_EFUNDS, "has 1, needs 2");
    expect_problem(404, "{\"title\": \"Not found\"}", HM_ENOTFOUND, "Not found");
    expect_problem(403, "{\"code\": \"HM_NEW\", \"detail\": \"a\\nb\"}", HM_EPERM, "a b");
    expect_problem(503, "<html>", HM_EBUSY, "the node answered with HTTP status 503 and no reason");
    expect_problem(500, "", HM_EIO, "the node answered with HTTP status 500 and no reason");
    expect_problem(302, "[1]", HM_EIO, "the node answered with HTTP status 302 and no reason");
}

/* A refusal that could not be read for want of memory is not taken for another one. */
static void test_problem_without_memory(void **state)
{
    static const char body[] = "{\"code\": \"HM_ECONFLICT\", \"detail\": \"a sentence that is "
                               "longer than what the reader takes at "
                               "once, so that its buffer grows\"}";
    unsigned long nth = 1;
    int code = HM_ENOMEM;

    (void)state;
    for (; code == HM_ENOMEM && nth < 1000; nth++) {
        struct hm_error error = {0};

        hm_alloc_fail_at(nth);
        code = nexus_problem_read(409, hm_slice_str(body), &error);
        hm_alloc_fail_at(0);
        assert_non_null(strstr(error.text, code == HM_ENOMEM ? "no memory" : "its buffer grows"));
    }
    assert_int_equal(code, HM_ECONFLICT);
    assert_in_range(nth, 8, 999);
}

static void test_exit_codes(void **state)
{
    static const int refused[] = {HM_EPERM,        HM_EAUTH,       HM_EFUNDS,
                                  HM_ECONFLICT,    HM_EEXIST,      HM_EPROOF_SPACE,
                                  HM_EPROOF_STAKE, HM_EPROOF_WORK, HM_EPROOF_TIME};

    (void)state;
    assert_int_equal(nexus_exit_of(0), 0);
    assert_int_equal(nexus_exit_of(HM_EINVAL), 2);
    assert_int_equal(nexus_exit_of(NEXUS_EUNREACHABLE), 3);
    assert_int_equal(nexus_exit_of(HM_ENOTFOUND), 4);
    for (size_t i = 0; i < HM_COUNT_OF(refused); i++)
        assert_int_equal(nexus_exit_of(refused[i]), 5);
    assert_int_equal(nexus_exit_of(HM_EIO), 1);
    assert_int_equal(nexus_exit_of(-9999), 1);
}

static void test_where_the_node_is(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_place place;

    (void)state;
    hm_arena_init(&arena, 0);
    setenv("HYPERMESH_DATA", "/env/data", 1);
    assert_int_equal(nexus_place_find(NULL, NULL, NULL, &arena, &place, NULL), 0);
    assert_string_equal(place.socket_path, "/env/data/api.sock");
    assert_int_equal(nexus_place_find("/d", "http://127.0.0.1:7470/", NULL, &arena, &place, NULL),
                     0);
    assert_string_equal(place.url, "http://127.0.0.1:7470");
    assert_string_equal(place.token_path, "/d/api.token");
    assert_int_equal(nexus_place_find("/d", NULL, "/t", &arena, &place, NULL), 0);
    assert_null(place.url);
    assert_string_equal(place.token_path, "/t");
    unsetenv("HYPERMESH_DATA");
    setenv("XDG_DATA_HOME", "/xdg", 1);
    assert_int_equal(nexus_place_find(NULL, NULL, NULL, &arena, &place, NULL), 0);
    assert_string_equal(place.data_dir, geteuid() == 0 ? "/var/lib/hypermesh" : "/xdg/hypermesh");
}

static void test_places_that_cannot_be(void **state)
{
    static const char *const urls[] = {"127.0.0.1:7470", "http://",    "ftp://127.0.0.1",
                                       "http://a/b",     "http://a?b", "http://u@a",
                                       "http://a b",     "http://a#b", ""};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_place place = {0};
    char deep[200];

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(urls); i++)
        assert_int_equal(nexus_place_find("/d", urls[i], NULL, &arena, &place, NULL), HM_EINVAL);
    assert_int_equal(nexus_place_find("/d", "https://a", NULL, &arena, &place, NULL),
                     HM_EUNSUPPORTED);
    memset(deep, 'x', sizeof(deep));
    deep[0] = '/';
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(nexus_place_find(deep, NULL, NULL, &arena, &place, NULL), HM_ELIMIT);
    assert_int_equal(nexus_place_find("", NULL, NULL, &arena, &place, NULL), HM_EINVAL);
    assert_null(place.data_dir); /* untouched */
}

static void test_absolute_paths(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const char *path = NULL;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(chdir("/usr/bin"), 0);
    assert_int_equal(nexus_path_absolute("/a/b", &arena, &path, NULL), 0);
    assert_string_equal(path, "/a/b");
    assert_int_equal(nexus_path_absolute("a", &arena, &path, NULL), 0);
    assert_string_equal(path, "/usr/bin/a");
    assert_int_equal(nexus_path_absolute("././/a", &arena, &path, NULL), 0);
    assert_string_equal(path, "/usr/bin/a");
    assert_int_equal(nexus_path_absolute(".", &arena, &path, NULL), 0);
    assert_string_equal(path, "/usr/bin");
    assert_int_equal(nexus_path_absolute("./", &arena, &path, NULL), 0);
    assert_string_equal(path, "/usr/bin");
    assert_int_equal(nexus_path_absolute("../x", &arena, &path, NULL), 0);
    assert_string_equal(path, "/usr/bin/../x");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(nexus_path_absolute("a", &arena, &path, NULL), 0);
    assert_string_equal(path, "/a");
    assert_int_equal(nexus_path_absolute("", &arena, &path, NULL), HM_EINVAL);
}

static void expect_reason(const char *node, const char *words)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    json_t *json = json_loads(node, 0, NULL);
    const char *reason;

    assert_non_null(json);
    hm_arena_init(&arena, 0);
    reason = nexus_fresh_reason(json, &arena);
    if (words ? !reason || !strstr(reason, words) : reason != NULL)
        fail_msg("%s: %s", node, reason ? reason : "nothing");
    json_decref(json);
}

/* An idle chain's newest block is old, too. */
static void test_why_there_is_no_newer_block(void **state)
{
    (void)state;
    expect_reason("{\"cluster\":null}", NULL);
    expect_reason(
        "{\"cluster\":{\"reachable\":true,\"catching_up\":false,\"validators\":4,\"peers\":3,"
        "\"pending\":0}}",
        NULL);
    expect_reason(
        "{\"cluster\":{\"reachable\":true,\"catching_up\":false,\"validators\":4,\"peers\":2,"
        "\"pending\":0}}",
        NULL);
    expect_reason(
        "{\"cluster\":{\"reachable\":true,\"catching_up\":false,\"validators\":4,\"peers\":1,"
        "\"pending\":0}}",
        "no quorum, 1 of 3 other nodes");
    expect_reason(
        "{\"cluster\":{\"reachable\":true,\"catching_up\":false,\"validators\":1,\"peers\":0,"
        "\"pending\":7}}",
        "7 transactions wait");
    expect_reason(
        "{\"cluster\":{\"reachable\":true,\"catching_up\":true,\"validators\":1,\"peers\":1,"
        "\"pending\":0}}",
        "catching up");
    expect_reason("{\"cluster\":{\"reachable\":false,\"validators\":4,\"peers\":3}}",
                  "engine does not answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_problem),
        cmocka_unit_test(test_problem_without_memory),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_where_the_node_is),
        cmocka_unit_test(test_places_that_cannot_be),
        cmocka_unit_test(test_absolute_paths),
        cmocka_unit_test(test_why_there_is_no_newer_block),
    };

    return cmocka_run_group_tests_name("nexus_client", tests, NULL, NULL);
}
