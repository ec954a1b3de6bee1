#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runtime_digest.h"
#include "runtime_limits.h"
#include "runtime_path.h"

static void test_job_id(void **state)
{
    (void)state;
    assert_int_equal(runtime_job_id_check("j0123456789ab", NULL), 0);
    assert_int_equal(runtime_job_id_check("01234567890123456789012345678901", NULL), 0);
    assert_int_equal(runtime_job_id_check("012345678901234567890123456789012", NULL), HM_EINVAL);
    assert_int_equal(runtime_job_id_check("", NULL), HM_EINVAL);
    assert_int_equal(runtime_job_id_check(NULL, NULL), HM_EINVAL);
    assert_int_equal(runtime_job_id_check("..", NULL), HM_EINVAL);
    assert_int_equal(runtime_job_id_check("a/b", NULL), HM_EINVAL);
    assert_int_equal(runtime_job_id_check("J1", NULL), HM_EINVAL);
}

static void test_image_name(void **state)
{
    static const char *const bad[] = {"",     ":tag",   "-x",   "a:",   "a:b:c", "A",  "a b",
                                      "../x", "a/../b", "a//b", "a:.x", "a:b/c", "a\n"};
    char name[RUNTIME_IMAGE_NAME_MAX];
    char longest[200];

    (void)state;
    assert_int_equal(runtime_image_name_parse("busybox", name, NULL), 0);
    assert_string_equal(name, "busybox:latest");
    assert_int_equal(runtime_image_name_parse("lib/x.y_z-1:V1.2", name, NULL), 0);
    assert_string_equal(name, "lib/x.y_z-1:V1.2");
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        if (runtime_image_name_parse(bad[i], name, NULL) != HM_EINVAL)
            fail_msg("\"%s\" was taken as %s", bad[i], name);
    }
    assert_string_equal(name, "lib/x.y_z-1:V1.2"); /* untouched */
    memset(longest, 'a', sizeof(longest));
    longest[129] = 0;
    assert_int_equal(runtime_image_name_parse(longest, name, NULL), HM_EINVAL);
    longest[128] = 0;
    assert_int_equal(runtime_image_name_parse(longest, name, NULL), 0);
}

static void assert_normal(const char *in, const char *expected)
{
    char out[RUNTIME_PATH_MAX_BYTES];

    assert_int_equal(runtime_path_normal(in, out, NULL), 0);
    assert_string_equal(out, expected);
}

static void test_normal(void **state)
{
    char out[RUNTIME_PATH_MAX_BYTES];
    char deep[1024] = "";

    (void)state;
    assert_normal("a/b", "a/b");
    assert_normal("/a//b/./c/", "a/b/c");
    assert_normal("./", "");
    assert_normal("/", "");
    assert_normal("..a/b..", "..a/b..");
    assert_int_equal(runtime_path_normal("..", out, NULL), HM_EPARSE);
    assert_int_equal(runtime_path_normal("a/../b", out, NULL), HM_EPARSE);
    assert_int_equal(runtime_path_normal("a/..", out, NULL), HM_EPARSE);
    for (size_t i = 0; i < 2 * RUNTIME_PATH_MAX_DEPTH; i++)
        memcpy(deep + 2 * i, "d/", 3);
    assert_int_equal(runtime_path_normal(deep, out, NULL), HM_ELIMIT);
    memset(deep, 'n', 300);
    deep[300] = 0;
    assert_int_equal(runtime_path_normal(deep, out, NULL), HM_ELIMIT);
}

static void test_resolve(void **state)
{
    char out[RUNTIME_PATH_MAX_BYTES];

    (void)state;
    assert_int_equal(runtime_path_resolve("a/layer.tar", "../b/layer.tar", out, NULL), 0);
    assert_string_equal(out, "b/layer.tar");
    assert_int_equal(runtime_path_resolve("a", "b", out, NULL), 0);
    assert_string_equal(out, "b");
    assert_int_equal(runtime_path_resolve("x/a", "/b/c", out, NULL), 0);
    assert_string_equal(out, "b/c");
    assert_int_equal(runtime_path_resolve("a/b", "../../c", out, NULL), HM_EPARSE);
    assert_int_equal(runtime_path_resolve("a", "..", out, NULL), HM_EPARSE);
}

static void test_mount_points(void **state)
{
    (void)state;
    assert_int_equal(runtime_mount_point_check("/in", "x", NULL), 0);
    assert_int_equal(runtime_mount_point_check("/process", "x", NULL), 0);
    assert_int_equal(runtime_mount_point_check("/", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("//.", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("/proc", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("/./dev//x", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("/a/../b", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("in", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check("/a\nb", "x", NULL), HM_EINVAL);
    assert_int_equal(runtime_mount_point_check(NULL, "x", NULL), HM_EINVAL);
}

static void test_digest(void **state)
{
    static const char good[] =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct runtime_digest digest, empty;

    (void)state;
    assert_int_equal(runtime_digest_parse(good, &digest, NULL), 0);
    assert_int_equal(runtime_digest_of_bytes(hm_slice_of(NULL, 0), &empty, NULL), 0);
    assert_true(runtime_digest_equal(&digest, &empty));
    assert_string_equal(runtime_digest_hex(&digest), good + 7);
    assert_int_equal(runtime_digest_parse(NULL, &digest, NULL), HM_EPARSE);
    assert_int_equal(runtime_digest_parse("sha256:", &digest, NULL), HM_EPARSE);
    assert_int_equal(runtime_digest_parse("sha512:e3", &digest, NULL), HM_EPARSE);
    assert_int_equal(
        runtime_digest_parse(
            "sha256:../../../../../../../../../../../../../../../../../../../../../../", &digest,
            NULL),
        HM_EPARSE);
    assert_int_equal(runtime_digest_parse(
                         "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                         &digest, NULL),
                     HM_EPARSE);
}

static void test_limits(void **state)
{
    Hypermesh__JobSpec spec = HYPERMESH__JOB_SPEC__INIT;
    Hypermesh__SandboxLimits lease = HYPERMESH__SANDBOX_LIMITS__INIT;
    struct runtime_limits limits;

    (void)state;
    assert_int_equal(runtime_limits_of(&spec, NULL, &limits, NULL), 0);
    assert_int_equal(limits.cpu_quota_us, 100000);
    assert_int_equal(limits.memory_bytes, RUNTIME_MEMORY_DEFAULT_BYTES);
    assert_int_equal(limits.pids, RUNTIME_PIDS_DEFAULT);
    spec.cpu_milli = 500;
    spec.memory_bytes = UINT64_C(64) << 20;
    lease.memory_bytes = UINT64_C(32) << 20;
    lease.cpuset = (char *)(uintptr_t)("0-1,3");
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), 0);
    assert_int_equal(limits.cpu_quota_us, 50000);
    assert_int_equal(limits.memory_bytes, UINT64_C(32) << 20); /* the lease's word counts */
    assert_string_equal(limits.cpuset, "0-1,3");
    spec.pids = 20;
    lease.pids = 512;
    lease.memory_bytes = UINT64_C(96) << 20;
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), 0);
    assert_int_equal(limits.pids,
                     20); /* less than the lease allows, because the job asks for less */
    assert_int_equal(limits.memory_bytes, UINT64_C(64) << 20);
    spec.pids = 1000;
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), 0);
    assert_int_equal(limits.pids, 512);
    lease.cpuset = (char *)(uintptr_t)("0\n1");
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), HM_EINVAL);
    lease.cpuset = (char *)(uintptr_t)("");
    lease.memory_bytes = 4096;
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), HM_EINVAL);
    spec.memory_bytes = 0;
    lease.memory_bytes = UINT64_MAX;
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), HM_EINVAL);
    lease.memory_bytes = 0;
    lease.gpu_milli = 100; /* of no GPU */
    assert_int_equal(runtime_limits_of(&spec, &lease, &limits, NULL), HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_id),       cmocka_unit_test(test_image_name),
        cmocka_unit_test(test_normal),       cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_mount_points), cmocka_unit_test(test_digest),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
