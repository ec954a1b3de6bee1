/* A lease's GPUs by CDI. The device is /dev/zero under another name: what a job sees of it is what it
 * would see of a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

#define LOOK                                                                                      \
    "echo gpu=$FAKE_GPU all=$FAKE_ALL milli=$HYPERMESH_GPU_MILLI; head -c 4 /dev/fake0 | wc -c; " \
    "cat /opt/fake/lib; echo x > /opt/fake/lib && echo BAD write; true"

static char cdi_dir[300];
static char *gpu_names[1] = {(char *)(uintptr_t)("fake.example/gpu=0")};

/* A specification whose one device is `node` at /dev/fake0, and whose library is a file of ours. */
static void write_spec(const char *node, const char *more)
{
    HM_AUTOFREE char *text = NULL;
    char path[340], library[340];

    snprintf(cdi_dir, sizeof(cdi_dir), "%s/cdi", fixture.dir);
    assert_int_equal(hm_mkdir_all(cdi_dir, 0755, NULL), 0);
    snprintf(library, sizeof(library), "%s/library", cdi_dir);
    assert_int_equal(hm_file_replace(library, "library\n", 8, 0644, NULL), 0);
    text = hm_asprintf("cdiVersion: 0.6.0\n"
                       "kind: fake.example/gpu\n"
                       "devices:\n"
                       "- name: \"0\"\n"
                       "  containerEdits:\n"
                       "    env:\n"
                       "    - FAKE_GPU=yes\n"
                       "    deviceNodes:\n"
                       "    - path: /dev/fake0\n"
                       "      hostPath: %s\n"
                       "      permissions: rw\n"
                       "containerEdits:\n"
                       "  env:\n"
                       "  - FAKE_ALL=all\n"
                       "  mounts:\n"
                       "  - hostPath: %s\n"
                       "    containerPath: /opt/fake/lib\n"
                       "    options: [ro, nosuid, nodev, bind]\n%s",
                       node, library, more);
    assert_non_null(text);
    snprintf(path, sizeof(path), "%s/fake.yaml", cdi_dir);
    assert_int_equal(hm_file_replace(path, text, strlen(text), 0644, NULL), 0);
}

static void gpu_job(struct fixture_job *job, const char *script, unsigned milli)
{
    fixture_job(&fixture, job, script);
    job->request.cdi_folders = cdi_dir;
    job->limits.n_gpu_devices = 1;
    job->limits.gpu_devices = gpu_names;
    job->limits.gpu_milli = milli;
}

static bool has_warning(const struct fixture_job *job, const char *words)
{
    for (size_t i = 0; i < job->result.warning_count; i++) {
        if (strstr(job->result.warnings[i], words) != NULL)
            return true;
    }
    return false;
}

static void assert_sees_gpu(struct fixture_job *job)
{
    run_ok(job);
    assert_outcome(job, FINISHED);
    if (strcmp(job->out, "gpu=yes all=all milli=1000\n4\nlibrary\n") != 0)
        fail_msg("out: %s err: %s", job->out, job->err);
}

void test_gpu_is_handed_over(void **state)
{
    struct fixture_job job;

    (void)state;
    write_spec("/dev/zero", "");
    gpu_job(&job, LOOK, 1000);
    assert_sees_gpu(&job);
    assert_false(has_warning(&job, "thousandths"));
    fixture_job_release(&job);

    gpu_job(&job, "echo $HYPERMESH_GPU_MILLI", 250);
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_string_equal(job.out, "250\n");
    assert_true(has_warning(&job, "250 thousandths of a GPU are accounted, not enforced"));
    fixture_job_release(&job);

    /* The same folders without the lease. */
    fixture_job(
        &fixture, &job,
        "ls /dev/fake0 /opt/fake && echo BAD; echo \"$FAKE_GPU$FAKE_ALL$HYPERMESH_GPU_MILLI\"");
    job.request.cdi_folders = cdi_dir;
    run_ok(&job);
    assert_string_equal(job.out, "\n");
    fixture_job_release(&job);
}

/* With this machine's own users the OCI runtime makes the node instead of binding it. */
void test_gpu_without_user_namespace(void **state)
{
    struct runtime_machine before = fixture.machine;
    struct fixture_job job;

    (void)state;
    if (before.rootless || !before.mapped) {
        print_message("jobs here have no mapped users to go without\n");
        skip();
    }
    fixture.machine.mapped = false;
    fixture_job(&fixture, &job, "true"); /* crun needs rights for v2's device programs here */
    if (fixture_run(&fixture, &job) != 0) {
        fixture.machine = before;
        print_message("no job without a user namespace: %s\n", job.error.text);
        skip();
    }
    fixture_job_release(&job);
    write_spec("/dev/zero", "  additionalGids: [44]\n");
    gpu_job(&job, LOOK "; mknod /tmp/f c 1 5; id -G", 1000);
    if (fixture_run(&fixture, &job) != 0) {
        fixture.machine = before;
        fail_msg("%s", job.error.text);
    }
    fixture.machine = before;
    assert_outcome(&job, FINISHED);
    assert_string_equal(job.out, "gpu=yes all=all milli=1000\n4\nlibrary\n0 44\n");
    fixture_job_release(&job);
}

/* A node that only root may open, and that no container has by itself: the job gets it. Another device's
 * node, open to everybody and lying in a mount that allows devices, stays shut. Which devices these are
 * (fuse, autofs) is all one, opening them does nothing. */
void test_gpu_other_devices_stay_shut(void **state)
{
    HM_AUTOFREE char *more = NULL;
    struct fixture_job job;
    char data[300], node[320], other[320];

    (void)state;
    snprintf(data, sizeof(data), "%s/nodes", fixture.dir);
    snprintf(node, sizeof(node), "%s/gpu", data);
    snprintf(other, sizeof(other), "%s/other", data);
    assert_int_equal(hm_mkdir_all(data, 0755, NULL), 0);
    /* With v2 the runtimes go on where the kernel does not take their device program. */
    if (fixture.machine.rootless || fixture.machine.cgroup != RUNTIME_CGROUP_V1 ||
        mknod(node, S_IFCHR | 0600, makedev(10, 229)) != 0 ||
        mknod(other, S_IFCHR | 0600, makedev(10, 235)) != 0 || chmod(other, 0666) != 0) {
        assert_int_equal(hm_remove_tree(data, NULL), 0);
        print_message("no device nodes can be made, or no cgroup v1 holds devices here\n");
        skip();
    }
    more = hm_asprintf("  - {hostPath: %s, containerPath: /opt/nodes, options: [bind, ro]}\n",
                       data);
    write_spec(node, more);
    gpu_job(&job, "true 3</dev/fake0; true 3</opt/nodes/other", 1000);
    run_ok(&job);
    assert_null(strstr(job.err, "fake0: Operation not permitted"));
    assert_null(strstr(job.err, "fake0: Permission denied"));
    if (strstr(job.err, "other: Operation not permitted") == NULL)
        fail_msg("stderr: %s", job.err);
    fixture_job_release(&job);
    assert_int_equal(hm_remove_tree(data, NULL), 0);
}

/* Hooks run on the machine: root's own program does, one that others may change stops the job. */
void test_gpu_hooks(void **state)
{
    struct fixture_job job;
    char path[320], mark[320];
    HM_AUTOFREE char *more = NULL;
    HM_AUTOFREE char *own = NULL;

    (void)state;
    snprintf(mark, sizeof(mark), "%s/hook-ran", fixture.dir);
    /* A hook that leaves its stdin unread may meet a crun that dies of SIGPIPE while writing to it. */
    more = hm_asprintf("  hooks:\n  - hookName: createRuntime\n    path: /bin/sh\n"
                       "    args: [sh, -c, 'cat > /dev/null; touch %s']\n",
                       mark);
    write_spec("/dev/zero", more);
    gpu_job(&job, LOOK, 1000);
    assert_sees_gpu(&job);
    fixture_job_release(&job);
    assert_int_equal(unlink(mark), 0);

    snprintf(path, sizeof(path), "%s/hook", fixture.dir);
    assert_int_equal(hm_file_replace(path, "#!/bin/sh\n", 10, 0777, NULL), 0);
    own = hm_asprintf("  hooks:\n  - hookName: createContainer\n    path: %s\n", path);
    write_spec("/dev/zero", own);
    gpu_job(&job, LOOK, 1000);
    assert_int_equal(fixture_run(&fixture, &job), HM_EPERM);
    assert_non_null(strstr(job.error.text, "others than root may change"));
    assert_int_not_equal(access(job.dir, F_OK), 0);
}

void test_gpu_refusals(void **state)
{
    struct fixture_job job;
    char *missing[] = {(char *)(uintptr_t)("nvidia.com/gpu=GPU-none")};

    (void)state;
    write_spec("/dev/zero", "");
    gpu_job(&job, LOOK, 1000);
    job.limits.gpu_devices = missing;
    assert_int_equal(fixture_run(&fixture, &job), HM_EUNAVAILABLE);
    assert_non_null(strstr(job.error.text, "nvidia-ctk cdi generate"));
    assert_int_not_equal(access(job.dir, F_OK), 0);

    write_spec("/dev/no-such-gpu", "");
    gpu_job(&job, LOOK, 1000);
    assert_int_equal(fixture_run(&fixture, &job), HM_EUNAVAILABLE);
    assert_int_not_equal(access(job.dir, F_OK), 0);

    gpu_job(&job, LOOK, 1001);
    assert_int_equal(fixture_run(&fixture, &job), HM_EINVAL);
    if (fixture.machine.rootless && access("/dev/kmsg", R_OK | W_OK) != 0) {
        write_spec("/dev/kmsg", "");
        gpu_job(&job, LOOK, 1000);
        assert_int_equal(fixture_run(&fixture, &job), HM_EPERM);
    }
}
