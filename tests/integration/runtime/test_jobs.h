/* The tests of running jobs, in several files of one program. */
#ifndef HM_TEST_JOBS_H
#define HM_TEST_JOBS_H

#include "runtime_fixture.h"

extern struct fixture fixture;

#define assert_outcome(job, word)                                                             \
    do {                                                                                      \
        if ((job)->result.outcome != HYPERMESH__JOB_OUTCOME__##word)                          \
            fail_msg("outcome %d, not " #word ": %s; stderr: %s", (int)(job)->result.outcome, \
                     (job)->result.reason, (job)->err);                                       \
    } while (0)

/* fixture_run that fails the test with the error's text. */
void run_ok(struct fixture_job *job);

void test_exit_code(void **state);
void test_output_order(void **state);
void test_what_a_job_sees(void **state);
void test_rights(void **state);
void test_no_network(void **state);
void test_timeout(void **state);
void test_cancel(void **state);
void test_memory_limit(void **state);
void test_pids_limit(void **state);
void test_kernel_holds_limits(void **state);
void test_storage_limit(void **state);
void test_usage(void **state);
void test_io_limit(void **state);
void test_cpu_set(void **state);
void test_input_is_read_only(void **state);
void test_outputs(void **state);
void test_outputs_never_escape(void **state);
void test_never_started(void **state);
void test_hostile_requests(void **state);
void test_gpu_is_handed_over(void **state);
void test_gpu_without_user_namespace(void **state);
void test_gpu_other_devices_stay_shut(void **state);
void test_gpu_hooks(void **state);
void test_gpu_refusals(void **state);
void test_runtime_missing(void **state);
void test_runtime_garbage(void **state);
void test_runtime_names_a_stranger(void **state);
void test_runtime_hangs_at_start(void **state);
void test_runtime_leaves_nobody(void **state);
void test_runtime_refuses_to_delete(void **state);
void test_runtime_killed(void **state);
void test_full_disk(void **state);
void test_no_descriptors(void **state);
void test_killed_probe(void **state);
void test_cgroup_stays(void **state);
void test_hostile_output_name(void **state);

#endif
