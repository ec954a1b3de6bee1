/* Inputs and outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_jobs.h"

static void put_file(const char *path, const char *text)
{
    assert_int_equal(hm_file_replace(path, text, strlen(text), 0644, NULL), 0);
}

void test_input_is_read_only(void **state)
{
    struct fixture_job job;
    char dir[300], path[400];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/input", fixture.dir);
    snprintf(path, sizeof(path), "%s/words", dir);
    assert_int_equal(hm_mkdir_all(dir, 0755, NULL), 0);
    put_file(path, "one two\n");
    fixture_job(&fixture, &job,
                "cat /in/words; echo x > /in/words; touch /in/new; rm /in/words; mount -o "
                "remount,rw /in; touch /in/new; true");
    fixture_job_input(&job, dir);
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_string_equal(job.out, "one two\n");
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/new", dir);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_job_release(&job);
}

static void assert_file(const char *dir, const char *name, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[500];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(hm_file_read(path, 4096, &text, NULL), 0);
    assert_string_equal(hm_buf_cstr(&text), expected);
}

/* The preimage comes with the result, and is what the ledger will hash. */
static void assert_manifest(const struct fixture_job *job, const char *line)
{
    const struct hm_slice manifest = hm_slice_of(job->result.manifest, job->result.manifest_len);
    uint8_t digest[CRYPTO_HASH_BYTES];

    assert_true(job->result.has_result);
    crypto_hash_parts(RUNTIME_RESULT_CONTEXT, &manifest, 1, digest);
    assert_memory_equal(digest, job->result.result, sizeof(digest));
    assert_non_null(memmem(manifest.data, manifest.len, line, strlen(line)));
}

void test_outputs(void **state)
{
    static const char script[] =
        "cd /out; echo result > r; mkdir -p a/b; echo deep > a/b/c; chmod 750 a; "
        "ln -s /etc/passwd link; ln -s a dirlink; chmod 4755 r";
    uint8_t first[CRYPTO_HASH_BYTES];
    struct fixture_job job;
    char path[500], target[64];
    struct stat info;
    ssize_t len;

    (void)state;
    fixture_job(&fixture, &job, script);
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_outcome(&job, FINISHED);
    assert_true(job.result.has_result);
    memcpy(first, job.result.result, sizeof(first));
    assert_file(job.output_dir, "r", "result\n");
    assert_file(job.output_dir, "a/b/c", "deep\n");
    snprintf(path, sizeof(path), "%s/link", job.output_dir);
    len = readlink(path, target, sizeof(target));
    assert_int_equal(len, 11);
    snprintf(path, sizeof(path), "%s/r", job.output_dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_int_equal(info.st_uid, geteuid());
    assert_int_equal(job.result.usage.output_bytes, 7 + 5);
    assert_manifest(&job,
                    "hypermesh job result 1\no /out\nd 0750 /out/a\nd 0755 /out/a/b\nf 0644 5 ");
    assert_manifest(&job, " /out/a/b/c\nl a /out/dirlink\nl /etc/passwd /out/link\nf 0755 7 ");
    fixture_job_release(&job);

    /* The same content has the same digest; other content has not. */
    fixture_job(&fixture, &job, script);
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_memory_equal(job.result.result, first, sizeof(first));
    fixture_job_release(&job);
    fixture_job(&fixture, &job, "echo other > /out/r");
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_memory_not_equal(job.result.result, first, sizeof(first));
    fixture_job_release(&job);
}

void test_outputs_never_escape(void **state)
{
    struct fixture_job job;
    char path[500];

    (void)state;
    /* The job replaces its own output folder's content by a link to a folder of the host. */
    fixture_job(&fixture, &job, "ln -s /etc /out/sub; mkfifo /out/pipe");
    fixture_job_output(&fixture, &job);
    run_ok(&job);
    assert_outcome(&job, FAILED);
    assert_non_null(strstr(job.result.reason, "neither a file, a folder nor a link"));
    assert_false(job.result.has_result);
    fixture_job_release(&job);

    /* A link left in the target by an earlier run is not written through. */
    fixture_job(&fixture, &job, "mkdir /out/sub; echo evil > /out/sub/f");
    fixture_job_output(&fixture, &job);
    assert_int_equal(hm_mkdir_all(job.output_dir, 0755, NULL), 0);
    snprintf(path, sizeof(path), "%s/sub", job.output_dir);
    assert_int_equal(symlink(fixture.dir, path), 0);
    run_ok(&job);
    assert_outcome(&job, FAILED);
    snprintf(path, sizeof(path), "%s/f", fixture.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_job_release(&job);
}
