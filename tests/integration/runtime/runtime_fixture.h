/* What every test of running jobs needs: a machine that was probed, the busybox image, one job's run. */
#ifndef HM_RUNTIME_FIXTURE_H
#define HM_RUNTIME_FIXTURE_H

#include "runtime.h"

#define FIXTURE_LOG_BYTES ((size_t)4 << 20)

struct fixture {
    char dir[256];
    struct runtime_machine machine;
    struct runtime_images *images;
    unsigned jobs; /* for ids */
};

/* One job: filled by fixture_job, changed by the test, run by fixture_run. */
struct fixture_job {
    char id[40];
    char dir[320];
    char *command[4]; /* /bin/sh -c SCRIPT */
    Hypermesh__JobSpec spec;
    Hypermesh__SandboxLimits limits;
    Hypermesh__JobInput input;
    Hypermesh__JobInput *inputs[1];
    Hypermesh__JobOutput output;
    Hypermesh__JobOutput *outputs[1];
    char output_dir[320];
    struct runtime_job_request request;
    struct runtime_job_result result;
    struct hm_error error;
    char *out, *err; /* what the job wrote, NUL-terminated; freed by fixture_job_release */
};

/* dir NULL: a new one below TMPDIR or /tmp. 0; HM_EUNAVAILABLE when no container can be run here, said
 * on stdout. */
int fixture_open(struct fixture *fixture, const char *dir);
void fixture_close(struct fixture *fixture);

void fixture_job(struct fixture *fixture, struct fixture_job *job, const char *script);
void fixture_job_input(struct fixture_job *job, const char *source); /* at /in */
void fixture_job_output(struct fixture *fixture, struct fixture_job *job); /* from /out */
/* Runs it, reads its log, and asserts that nothing is left of it. */
int fixture_run(struct fixture *fixture, struct fixture_job *job);
void fixture_job_release(struct fixture_job *job);
/* No mount, cgroup, process or folder of that job: asserts. */
void fixture_assert_gone(const char *id);
/* The value of a file below /sys/fs/cgroup/CONTROLLER/hypermesh/ID (v1), or of v2's twin. */
bool fixture_cgroup_file(const struct fixture *fixture, const char *id, const char *v1,
                         const char *v2, char *out, size_t size);
/* "key:\tvalue" out of /proc/PID/status text. */
void fixture_status_field(const char *text, const char *key, char *out, size_t size);

#endif
