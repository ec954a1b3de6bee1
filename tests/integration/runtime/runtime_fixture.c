#include "runtime_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const cgroup_folders[] = {"",        "cpu",     "cpuacct", "memory",
                                             "pids",    "blkio",   "cpuset",  "devices",
                                             "freezer", "systemd", "unified"};

static int fixture_image(struct fixture *fixture, struct hm_error *error)
{
    struct runtime_image image;

    return runtime_image_build_base(fixture->images, NULL, &image, error);
}

int fixture_open(struct fixture *fixture, const char *dir)
{
    const char *base = getenv("TMPDIR");
    struct hm_error error = {0};
    char state[300];
    int rc;

    memset(fixture, 0, sizeof(*fixture));
    if (dir != NULL) {
        snprintf(fixture->dir, sizeof(fixture->dir), "%s", dir);
    } else {
        snprintf(fixture->dir, sizeof(fixture->dir), "%s/hm-runtime-XXXXXX",
                 base != NULL && base[0] == '/' ? base : "/tmp");
        if (mkdtemp(fixture->dir) == NULL) {
            printf("cannot make a folder %s\n", fixture->dir);
            return HM_EIO;
        }
    }
    rc = crypto_setup(&error);
    snprintf(state, sizeof(state), "%s/state", fixture->dir);
    if (rc == 0)
        rc = runtime_probe(state, getenv("HM_TEST_OCI"), &fixture->machine, &error);
    if (rc == 0)
        rc = runtime_images_open(fixture->dir, &fixture->images, &error);
    if (rc == 0)
        rc = fixture_image(fixture, &error);
    if (rc != 0)
        printf("%s\n", error.text);
    return rc;
}

void fixture_close(struct fixture *fixture)
{
    runtime_images_close(fixture->images);
    (void)hm_remove_tree(fixture->dir, NULL);
}

void fixture_job(struct fixture *fixture, struct fixture_job *job, const char *script)
{
    memset(job, 0, sizeof(*job));
    hypermesh__job_spec__init(&job->spec);
    hypermesh__sandbox_limits__init(&job->limits);
    snprintf(job->id, sizeof(job->id), "t%dx%u", (int)getpid(),
             __atomic_add_fetch(&fixture->jobs, 1, __ATOMIC_RELAXED));
    snprintf(job->dir, sizeof(job->dir), "%s/jobs/%s", fixture->dir, job->id);
    job->command[0] = (char *)(uintptr_t)("/bin/sh");
    job->command[1] = (char *)(uintptr_t)("-c");
    job->command[2] = (char *)(uintptr_t)script;
    job->spec.image = (char *)(uintptr_t)("busybox");
    job->spec.n_command = 3;
    job->spec.command = job->command;
    job->spec.timeout_ms = 20000;
    job->limits.memory_bytes = UINT64_C(64) << 20;
    job->limits.storage_bytes = UINT64_C(32) << 20;
    job->limits.pids = 64;
    job->request = (struct runtime_job_request){.id = job->id,
                                                .spec = &job->spec,
                                                .limits = &job->limits,
                                                .dir = job->dir,
                                                .cancel_fd = -1};
}

void fixture_job_input(struct fixture_job *job, const char *source)
{
    hypermesh__job_input__init(&job->input);
    job->input.source = (char *)(uintptr_t)source;
    job->input.target = (char *)(uintptr_t)("/in");
    job->inputs[0] = &job->input;
    job->spec.n_inputs = 1;
    job->spec.inputs = job->inputs;
}

void fixture_job_output(struct fixture *fixture, struct fixture_job *job)
{
    snprintf(job->output_dir, sizeof(job->output_dir), "%s/outputs/%s", fixture->dir, job->id);
    hypermesh__job_output__init(&job->output);
    job->output.source = (char *)(uintptr_t)("/out");
    job->output.target = job->output_dir;
    job->outputs[0] = &job->output;
    job->spec.n_outputs = 1;
    job->spec.outputs = job->outputs;
}

static void fixture_read_log(struct fixture_job *job)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct hm_buf streams[2] = {0};
    char path[400];
    size_t at = 0;

    snprintf(path, sizeof(path), "%s/" RUNTIME_LOG_NAME, job->dir);
    assert_int_equal(hm_file_read(path, FIXTURE_LOG_BYTES, &text, NULL), 0);
    while (at < text.len) {
        uint32_t len;

        assert_true(text.len - at >= RUNTIME_LOG_FRAME_HEADER_BYTES);
        len = hm_get_be32(text.data + at + 4);
        assert_true(text.data[at] == 1 || text.data[at] == 2);
        assert_true(text.len - at - RUNTIME_LOG_FRAME_HEADER_BYTES >= len);
        assert_int_equal(hm_buf_append(&streams[text.data[at] - 1],
                                       text.data + at + RUNTIME_LOG_FRAME_HEADER_BYTES, len),
                         0);
        at += RUNTIME_LOG_FRAME_HEADER_BYTES + len;
    }
    job->out = hm_strdup(hm_buf_cstr(&streams[0]));
    job->err = hm_strdup(hm_buf_cstr(&streams[1]));
    hm_buf_release(&streams[0]);
    hm_buf_release(&streams[1]);
}

static void assert_no_process(const char *id)
{
    DIR *proc = opendir("/proc");

    assert_non_null(proc);
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        char path[300];

        snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            hm_file_read(path, (size_t)1 << 20, &text, NULL) != 0)
            continue;
        if (text.len > 0 && memmem(text.data, text.len, id, strlen(id)) != NULL)
            fail_msg("process %s of job %s is still there", entry->d_name, id);
    }
    closedir(proc);
}

void fixture_assert_gone(const char *id)
{
    HM_CLEANUP(hm_buf) struct hm_buf mounts = {0};
    char path[300];

    assert_int_equal(hm_file_read("/proc/self/mountinfo", (size_t)4 << 20, &mounts, NULL), 0);
    assert_null(strstr(hm_buf_cstr(&mounts), id));
    for (size_t i = 0; i < HM_COUNT_OF(cgroup_folders); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/hypermesh/%s", cgroup_folders[i], id);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    snprintf(path, sizeof(path), "/run/hypermesh/%s", id);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_no_process(id);
}

/* Nothing but the log is left in the job's folder. */
static void assert_only_log(const struct fixture_job *job)
{
    DIR *dir = opendir(job->dir);

    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, RUNTIME_LOG_NAME) != 0)
            fail_msg("%s is left in the folder of job %s", entry->d_name, job->id);
    }
    closedir(dir);
}

int fixture_run(struct fixture *fixture, struct fixture_job *job)
{
    int rc = runtime_job_run(fixture->images, &fixture->machine, &job->request, &job->result,
                             &job->error);

    fixture_assert_gone(job->id);
    if (rc == 0) {
        assert_only_log(job);
        fixture_read_log(job);
    }
    return rc;
}

void fixture_job_release(struct fixture_job *job)
{
    hm_free(job->out);
    hm_free(job->err);
    job->out = job->err = NULL;
}

bool fixture_cgroup_file(const struct fixture *fixture, const char *id, const char *v1,
                         const char *v2, char *out, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[300], name[32];

    if (fixture->machine.cgroup == RUNTIME_CGROUP_V2) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/hypermesh/%s/%s", id, v2);
    } else {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(v1, "/"), v1);
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/hypermesh/%s%s", name, id, strchr(v1, '/'));
    }
    if (hm_file_read(path, 4096, &text, NULL) != 0)
        return false;
    snprintf(out, size, "%.*s", (int)strcspn(hm_buf_cstr(&text), "\n"), hm_buf_cstr(&text));
    return true;
}

void fixture_status_field(const char *text, const char *key, char *out, size_t size)
{
    const char *at = strstr(text, key);

    assert_non_null(at);
    at += strlen(key);
    assert_int_equal(*at, ':');
    at += 1 + strspn(at + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
}
