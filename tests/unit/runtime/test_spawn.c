/* Helper processes: their output, their end, and what is left of them when they hang. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_oci.h"
#include "runtime_spawn.h"

static int run_shell(const char *script, int timeout_ms, struct hm_buf *output, int *status,
                     struct hm_error *error)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};

    return runtime_child_run(argv, timeout_ms, output, 64, status, error);
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000U;
}

static void test_output_is_bounded(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf output = {0};
    int status = -1;

    (void)state;
    assert_int_equal(run_shell("echo out; echo err >&2; exit 3", 5000, &output, &status, NULL), 0);
    assert_int_equal(runtime_exit_code(status), 3);
    assert_int_equal(output.len, 8);
    hm_buf_clear(&output);
    assert_int_equal(run_shell("yes | head -c 1000000", 5000, &output, &status, NULL), 0);
    assert_int_equal(output.len, 64);
    assert_int_equal(run_shell("kill -9 $$", 5000, NULL, &status, NULL), 0);
    assert_int_equal(runtime_exit_code(status), 128 + SIGKILL);
    /* nothing of ours goes down: environment, descriptors */
    hm_buf_clear(&output);
    assert_int_equal(
        run_shell("echo ${HOME-none} $(ls /proc/self/fd | wc -l)", 5000, &output, &status, NULL),
        0);
    assert_string_equal(hm_buf_cstr(&output), "none 4\n"); /* 0-2 and that of ls itself */
}

/* It hangs, and so does what it started: both are gone soon after the limit. */
static void test_hanging(void **state)
{
    static const char *const scripts[] = {
        "trap '' TERM INT HUP; sleep 1000 & echo $!; exec sleep 1000",
        "sleep 1000 >&- 2>&- & echo $!; exec >&- 2>&-; sleep 1000", /* closes its streams */
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(scripts); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf output = {0};
        struct hm_error error = {0};
        uint64_t start = now_ms();
        uint64_t pid = 0;
        bool gone = false;
        int status = 0;

        assert_int_equal(run_shell(scripts[i], 300, &output, &status, &error), HM_ETIMEOUT);
        assert_non_null(strstr(error.text, "did not end within"));
        assert_true(now_ms() - start < 3000);
        output.data[output.len - 1] = 0;
        assert_int_equal(hm_u64_parse((char *)output.data, &pid, NULL), 0);
        for (int tries = 0; tries < 100 && !gone; tries++) {
            HM_CLEANUP(hm_buf) struct hm_buf line = {0};
            char path[64];

            snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
            gone = hm_file_read(path, 4096, &line, NULL) != 0 ||
                   strstr(hm_buf_cstr(&line), ") Z") != NULL;
            usleep(10000);
        }
        assert_true(gone);
    }
}

static void test_cannot_start(void **state)
{
    const char *argv[] = {"/no/such/program", NULL};
    const char *folder[] = {"/tmp", NULL};
    struct runtime_child child = {.pid = 77};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(runtime_child_start(argv, true, &child, &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "/no/such/program"));
    assert_int_equal(runtime_child_start(folder, false, &child, &error), HM_EUNAVAILABLE);
    assert_int_equal(child.pid, 77);
    child = (struct runtime_child){.pidfd = -1, .out = -1, .err = -1};
    runtime_child_kill(&child); /* nobody */
    runtime_child_release(&child);
}

static void test_messages(void **state)
{
    static const struct {
        const char *log, *says;
    } cases[] = {
        {"", ""},
        {"\n\n", ""},
        {"{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"last\"}", "last"},
        {"{\"level\":\"warning\",\"msg\":\"no\"}\n", ""},
        {"{\"msg\":\"bare\"}\nno json\n[1]\n{\"msg\":2}\n", "bare"},
        {"{\"level\":\"fatal\",\"msg\":\"\\u001b[2J\\u0007x\"}", " [2J x"},
    };
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char out[32];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        runtime_oci_message_parse(hm_slice_str(cases[i].log), out, sizeof(out));
        assert_string_equal(out, cases[i].says);
    }
    assert_int_equal(hm_buf_append_str(&text, "{\"msg\":\""), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(hm_buf_append_str(&text, "\xc3\xa9"), 0);
    assert_int_equal(hm_buf_append_str(&text, "\"}"), 0);
    runtime_oci_message_parse(hm_buf_slice(&text), out, sizeof(out));
    assert_int_equal(strlen(out), 30); /* cut between characters */
    assert_true(hm_utf8_valid(out, strlen(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_is_bounded),
        cmocka_unit_test(test_hanging),
        cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
