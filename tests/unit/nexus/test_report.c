/* The report on a job, from what a node answered (job.json) and from less; and what nexus then ends with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "nexus.h"
#include "nexus_follow.h"
#include "nexus_json.h"
#include "nexus_report.h"

#define FILE_MAX_BYTES ((size_t)64 << 10)

static void read_file(const char *name, struct hm_buf *out)
{
    const char *source = getenv("HM_SOURCE");
    char path[4096];
    struct hm_error error;

    snprintf(path, sizeof(path), "%s/tests/unit/nexus/%s", source ? source : ".", name);
    if (hm_file_read(path, FILE_MAX_BYTES, out, &error) != 0)
        fail_msg("%s", error.text);
}

static json_t *read_record(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    json_t *record;

    read_file("job.json", &text);
    record = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(record);
    return record;
}

static json_t *accounts_of(const json_t *record)
{
    return json_pack("[{s:s, s:s}, {s:n, s:s}]", "name", "user", "id",
                     nexus_json_text(record, "consumer"), "name", "id",
                     nexus_json_text(record, "provider"));
}

static void test_whole_report(void **state)
{
    NEXUS_AUTOJSON json_t *record = read_record();
    NEXUS_AUTOJSON json_t *accounts = accounts_of(record);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf report = {0};
    HM_CLEANUP(hm_buf) struct hm_buf expected = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    read_file("job.txt", &expected);
    assert_int_equal(nexus_report(record, accounts, false, &arena, &report), 0);
    assert_string_equal(hm_buf_cstr(&report), hm_buf_cstr(&expected));
}

static void expect_report(const char *json, const char *text)
{
    NEXUS_AUTOJSON json_t *record = json_loads(json, 0, NULL);
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf report = {0};

    hm_arena_init(&arena, 0);
    assert_non_null(record);
    assert_int_equal(nexus_report(record, NULL, false, &arena, &report), 0);
    assert_string_equal(hm_buf_cstr(&report), text);
}

static void test_without_a_lease(void **state)
{
    (void)state;
    expect_report("{\"id\": \"j1\", \"spec\": {\"name\": \"n\"}, \"state\": \"done\", \"outcome\": "
                  "\"failed\", \"exit_code\": -1, \"reason\": \"no provider has 99 cores\", "
                  "\"lease\": null, \"receipts\": {}}",
                  "job      j1 n: failed\n"
                  "reason   no provider has 99 cores\n");
    expect_report("{\"id\": \"j1\", \"spec\": {\"name\": \"n\"}, \"state\": \"queued\"}",
                  "job      j1 n: queued\n");
    expect_report("{}", "job       : \n");
}

static void test_running_job_has_paid_nothing(void **state)
{
    (void)state;
    expect_report("{\"id\": \"j1\", \"spec\": {\"name\": \"n\"}, \"state\": \"running\", "
                  "\"lease\": {\"id\": \"lease1qqqqqqqqqqqq\", \"state\": \"active\", "
                  "\"escrow\": \"2.5\", \"consumer\": \"hm1aaaaaaaaaaaa\", \"start_ms\": 1000, "
                  "\"expires_ms\": 31000, \"items\": []}}",
                  "job      j1 n: running\n"
                  "lease    lease1qqqqqqqqqq for at most 30.0 s\n"
                  "         ASSET  KIND  SHARE  PRICE OF ALL OF IT\n"
                  "paid     nothing yet: 2.5 HYPER of hm1aaaaaaaaaa held until the lease ends\n");
}

static void test_refused_proof_is_loud(void **state)
{
    (void)state;
    expect_report("{\"id\": \"j1\", \"spec\": {\"name\": \"n\"}, \"state\": \"done\", \"outcome\": "
                  "\"failed\", \"exit_code\": -1, \"proofs\": [{\"name\": \"work\", \"valid\": "
                  "false, \"shows\": \"\", \"fault\": \"3 bits of 9\", \"check_ns\": 900}]}",
                  "job      j1 n: failed\n"
                  "proofs   work  REFUSED  900 ns  3 bits of 9\n");
}

static void test_memory_out(void **state)
{
    NEXUS_AUTOJSON json_t *record = read_record();
    unsigned long nth = 0;
    size_t whole = 0;
    int rc;

    (void)state;
    {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        HM_CLEANUP(hm_buf) struct hm_buf report = {0};

        hm_arena_init(&arena, 0);
        assert_int_equal(nexus_report(record, NULL, true, &arena, &report), 0);
        whole = report.len;
    }
    do {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        HM_CLEANUP(hm_buf) struct hm_buf report = {0};

        assert_true(++nth < 2000);
        hm_arena_init(&arena, 0);
        hm_alloc_fail_at(nth);
        rc = nexus_report(record, NULL, true, &arena, &report);
        hm_alloc_fail_at(0);
        if (rc)
            assert_int_equal(rc, HM_ENOMEM);
        else
            assert_int_equal(report.len, whole);
    } while (rc);
    assert_true(nth > 20);
}

static void expect_status(const char *outcome, int exit_code, int status)
{
    NEXUS_AUTOJSON json_t *record = json_pack("{s:s, s:i}", "outcome", outcome, "exit_code",
                                              exit_code);

    assert_int_equal(nexus_job_status(record), status);
}

static void test_status(void **state)
{
    (void)state;
    expect_status("finished", 0, 0);
    expect_status("finished", 3, 3);
    expect_status("failed", 7, 7);
    expect_status("failed", 139, 139);
    expect_status("failed", -1, NEXUS_EXIT_JOB_NOT_RUN);
    expect_status("failed", 0, NEXUS_EXIT_JOB_NOT_RUN);
    expect_status("finished", 300, NEXUS_EXIT_JOB_NOT_RUN);
    expect_status("timed-out", 137, NEXUS_EXIT_JOB_TIMED_OUT);
    expect_status("expired", -1, NEXUS_EXIT_JOB_TIMED_OUT);
    expect_status("cancelled", 137, NEXUS_EXIT_INTERRUPTED);
    expect_status("none", 0, NEXUS_EXIT_JOB_NOT_RUN);
}

static void test_amounts_add_up(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_string_equal(nexus_amount_add("0.1", "0.2", &arena), "0.3");
    assert_string_equal(nexus_amount_add("0.000000001", "1", &arena), "1.000000001");
    assert_string_equal(nexus_amount_add("1.5", "", &arena), "1.5");
    assert_string_equal(nexus_amount_add("", "1.5", &arena), "1.5");
    assert_string_equal(nexus_amount_add("", "", &arena), "");
    assert_string_equal(nexus_amount_add("18446744073", "18446744073", &arena), "18446744073");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_report),
        cmocka_unit_test(test_without_a_lease),
        cmocka_unit_test(test_running_job_has_paid_nothing),
        cmocka_unit_test(test_refused_proof_is_loud),
        cmocka_unit_test(test_memory_out),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_amounts_add_up),
    };

    return cmocka_run_group_tests_name("nexus_report", tests, NULL, NULL);
}
