#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base.h"

static int pipe_ends[2];

static int open_pipe(void **state)
{
    (void)state;
    return pipe2(pipe_ends, O_CLOEXEC);
}

static int close_pipe(void **state)
{
    (void)state;
    hm_log_setup(2, HM_LOG_INFO, 0);
    return close(pipe_ends[0]) + close(pipe_ends[1]);
}

/* What was logged since the last call; waits for nothing when nothing came. */
static const char *logged(char *out, size_t size)
{
    ssize_t got;

    (void)fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
    got = read(pipe_ends[0], out, size - 1);
    out[got > 0 ? got : 0] = '\0';
    return out;
}

static void test_text_line(void **state)
{
    char line[PIPE_BUF + 1];

    (void)state;
    hm_log_setup(pipe_ends[1], HM_LOG_INFO, 0);
    hm_log(HM_LOG_DEBUG, "base", "not wanted");
    assert_string_equal(logged(line, sizeof(line)), "");
    hm_log(HM_LOG_WARN, "base", "disk=%s free=%d", "a\nb\x1b[2J", 5);
    (void)logged(line, sizeof(line));
    assert_int_equal(strspn(line, "0123456789-:.TZ"), 24);
    assert_string_equal(line + 24, " warn  base: disk=a\\nb\\u{1b}[2J free=5\n");
    hm_log(HM_LOG_ERROR, "base", "bad \xff\xc2\x9b byte, good \xc3\xa9");
    (void)logged(line, sizeof(line));
    assert_string_equal(line + 24, " error base: bad \\xff\\u{9b} byte, good \xc3\xa9\n");
}

static void test_json_line(void **state)
{
    char line[PIPE_BUF + 1];

    (void)state;
    hm_log_setup(pipe_ends[1], HM_LOG_DEBUG, 1);
    hm_log(HM_LOG_DEBUG, "node", "say \"hi\" \\ \t\x01\xff");
    (void)logged(line, sizeof(line));
    assert_int_equal(strncmp(line, "{\"time\":\"", 9), 0);
    assert_string_equal(line + 9 + 24, "\",\"level\":\"debug\",\"room\":\"node\",\"message\":"
                                       "\"say \\\"hi\\\" \\\\ \\t\\u0001\\ufffd\"}\n");
}

static void test_long_line_is_cut_and_closed(void **state)
{
    char text[HM_LOG_LINE_BYTES * 2];
    char line[2 * PIPE_BUF + 1];
    size_t len;

    (void)state;
    for (int control = 0; control < 2; control++) {
        memset(text, control ? '\x01' : 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        hm_log_setup(pipe_ends[1], HM_LOG_INFO, 1);
        hm_log(HM_LOG_INFO, "node", "%s", text);
        len = strlen(logged(line, sizeof(line)));
        assert_true(len > HM_LOG_LINE_BYTES && len <= PIPE_BUF);
        assert_string_equal(line + len - 6, "...\"}\n");
    }
}

static void test_levels(void **state)
{
    enum hm_log_level level = HM_LOG_WARN;

    (void)state;
    assert_int_equal(hm_log_level_parse("loud", &level), HM_EPARSE);
    assert_int_equal(level, HM_LOG_WARN);
    assert_int_equal(hm_log_level_parse("debug", &level), 0);
    assert_int_equal(level, HM_LOG_DEBUG);
}

static void *log_from_thread(void *argument)
{
    for (int i = 0; i < 50; i++)
        hm_log(HM_LOG_INFO, "base", "thread=%s line=%d end", (const char *)argument, i);
    return NULL;
}

static void test_threads_do_not_mix_lines(void **state)
{
    char out[1 << 16];
    pthread_t threads[4];
    char names[4][2] = {"a", "b", "c", "d"};
    size_t lines = 0;
    char *rest = NULL;

    (void)state;
    hm_log_setup(pipe_ends[1], HM_LOG_INFO, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread, names[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)logged(out, sizeof(out));
    for (char *line = strtok_r(out, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        assert_int_equal(strncmp(line + 24, " info  base: thread=", 20), 0);
        assert_string_equal(line + strlen(line) - 4, " end");
        lines++;
    }
    assert_int_equal(lines, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_line, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(test_json_line, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut_and_closed, open_pipe, close_pipe),
        cmocka_unit_test(test_levels),
        cmocka_unit_test_setup_teardown(test_threads_do_not_mix_lines, open_pipe, close_pipe),
    };

    return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
