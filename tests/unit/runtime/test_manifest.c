#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runtime_bundle.h"
#include "runtime_json.h"
#include "runtime_manifest.h"
#include "runtime_oci.h"
#include "runtime_seccomp.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void test_json_bounds(void **state)
{
    RUNTIME_JSON *json = NULL;
    char deep[256];

    (void)state;
    memset(deep, '[', sizeof(deep));
    assert_int_equal(
        runtime_json_parse(hm_slice_of(deep, sizeof(deep)), "x", JSON_ARRAY, &json, NULL),
        HM_ELIMIT);
    assert_int_equal(
        runtime_json_parse(hm_slice_str("{\"a\":\"[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"),
                           "x", JSON_OBJECT, &json, NULL),
        0);
    json_decref(json);
    json = NULL;
    assert_int_equal(
        runtime_json_parse(hm_slice_str("{\"a\":1,\"a\":2}"), "x", JSON_OBJECT, &json, NULL),
        HM_EPARSE);
    assert_int_equal(runtime_json_parse(hm_slice_str("[1]"), "x", JSON_OBJECT, &json, NULL),
                     HM_EPARSE);
    assert_int_equal(runtime_json_parse(hm_slice_str("{} x"), "x", JSON_OBJECT, &json, NULL),
                     HM_EPARSE);
    assert_int_equal(runtime_json_parse(hm_slice_of(deep, RUNTIME_JSON_MAX_BYTES + 1), "x",
                                        JSON_OBJECT, &json, NULL),
                     HM_ELIMIT);
    assert_null(json);
}

static void test_manifest(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"config\":{},\"layers\":[]}",
        "{\"config\":{\"digest\":\"" DIGEST_A "\",\"size\":-1},\"layers\":[]}",
        "{\"config\":{\"digest\":\"" DIGEST_A
        "\",\"size\":1},\"layers\":[{\"digest\":\"x\",\"size\":1}]}",
        "{\"config\":{\"digest\":\"" DIGEST_A "\",\"size\":99999999999999},\"layers\":[]}",
        "{\"config\":{\"digest\":\"" DIGEST_A "\",\"size\":1},\"layers\":{}}"};
    HM_CLEANUP(hm_buf) struct hm_buf many = {0};
    struct runtime_manifest manifest = {0};

    (void)state;
    assert_int_equal(
        runtime_manifest_parse(hm_slice_str("{\"config\":{\"digest\":\"" DIGEST_A
                                            "\",\"size\":5},\"layers\":["
                                            "{\"digest\":\"" DIGEST_B "\",\"size\":7}]}"),
                               &manifest, NULL),
        0);
    assert_int_equal(manifest.layer_count, 1);
    assert_string_equal(manifest.layers[0].digest.text, DIGEST_B);
    assert_int_equal(manifest.layers[0].bytes, 7);
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(runtime_manifest_parse(hm_slice_str(bad[i]), &manifest, NULL), HM_EPARSE);
    assert_int_equal(manifest.layer_count, 1); /* untouched */
    assert_int_equal(hm_buf_append_str(&many, "{\"config\":{\"digest\":\"" DIGEST_A
                                              "\",\"size\":5},\"layers\":["),
                     0);
    for (int i = 0; i <= RUNTIME_IMAGE_MAX_LAYERS; i++)
        assert_int_equal(
            hm_buf_printf(&many, "%s{\"digest\":\"" DIGEST_B "\",\"size\":7}", i > 0 ? "," : ""),
            0);
    assert_int_equal(hm_buf_append_str(&many, "]}"), 0);
    assert_int_equal(runtime_manifest_parse(hm_buf_slice(&many), &manifest, NULL), HM_ELIMIT);
}

static void test_config(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_image_config config = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(
        runtime_config_parse(
            hm_slice_str("{\"config\":{\"Entrypoint\":[\"a\",\"b\"],\"Cmd\":null,\"Env\":[\"X=y\"],"
                         "\"User\":\"www\"},\"rootfs\":{\"diff_ids\":[\"" DIGEST_A "\"]}}"),
            &arena, &config, NULL),
        0);
    assert_int_equal(config.entrypoint_count, 2);
    assert_string_equal(config.entrypoint[1], "b");
    assert_int_equal(config.command_count, 0);
    assert_string_equal(config.user, "www");
    assert_string_equal(config.workdir, "");
    assert_int_equal(runtime_config_parse(hm_slice_str("{\"rootfs\":{\"diff_ids\":[1]}}"), &arena,
                                          &config, NULL),
                     HM_EPARSE);
    assert_int_equal(runtime_config_parse(hm_slice_str("{\"rootfs\":{}}"), &arena, &config, NULL),
                     HM_EPARSE);
    assert_int_equal(runtime_config_parse(
                         hm_slice_str("{\"config\":{\"Cmd\":\"sh\"},\"rootfs\":{\"diff_ids\":[]}}"),
                         &arena, &config, NULL),
                     HM_EPARSE);
    assert_int_equal(
        runtime_config_parse(
            hm_slice_str("{\"config\":{\"Cmd\":[\"a\\u0000b\"]},\"rootfs\":{\"diff_ids\":[]}}"),
            &arena, &config, NULL),
        HM_EPARSE);
    assert_int_equal(runtime_config_parse(
                         hm_slice_str("{\"architecture\":\"vax\",\"rootfs\":{\"diff_ids\":[]}}"),
                         &arena, &config, NULL),
                     HM_EUNSUPPORTED);
}

static void test_index(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_index_choice choice = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(
        runtime_index_parse(
            hm_slice_str("{\"manifests\":[{\"digest\":\"" DIGEST_A "\",\"size\":1,\"platform\":"
                         "{\"os\":\"linux\",\"architecture\":\"arm64\"}},{\"digest\":\"" DIGEST_B
                         "\",\"size\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
                         "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}"),
            "amd64", &arena, &choice, NULL),
        0);
    assert_string_equal(choice.digest.text, DIGEST_B);
    assert_true(choice.is_index);
    assert_null(choice.name);
    assert_int_equal(
        runtime_index_parse(hm_slice_str("{\"manifests\":[]}"), "amd64", &arena, &choice, NULL),
        HM_EPARSE);
    assert_int_equal(runtime_index_parse(hm_slice_str("{\"manifests\":[{\"digest\":\"" DIGEST_A
                                                      "\",\"size\":1},{\"digest\":\"" DIGEST_B
                                                      "\",\"size\":1}]}"),
                                         "amd64", &arena, &choice, NULL),
                     HM_EUNSUPPORTED);
}

static void test_docker_manifest(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct runtime_docker_archive archive = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(
        runtime_docker_manifest_parse(
            hm_slice_str(
                "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l/layer.tar\"]}]"),
            &arena, &archive, NULL),
        0);
    assert_string_equal(archive.config_path, "c.json");
    assert_string_equal(archive.name, "a:1");
    assert_string_equal(archive.layer_paths[0], "l/layer.tar");
    assert_int_equal(runtime_docker_manifest_parse(hm_slice_str("[]"), &arena, &archive, NULL),
                     HM_EUNSUPPORTED);
    assert_int_equal(runtime_docker_manifest_parse(hm_slice_str("[{}]"), &arena, &archive, NULL),
                     HM_EPARSE);
    assert_int_equal(runtime_docker_manifest_parse(hm_slice_str("{}"), &arena, &archive, NULL),
                     HM_EPARSE);
}

static bool namespace_in(const json_t *config, const char *type)
{
    const json_t *list = json_object_get(json_object_get(config, "linux"), "namespaces");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(runtime_json_text(json_array_get(list, i), "type"), type) == 0)
            return true;
    }
    return false;
}

/* Whatever else changes, these must stand in every configuration. */
static void assert_locked_down(const json_t *config)
{
    const json_t *process = json_object_get(config, "process");
    const json_t *caps = json_object_get(process, "capabilities");
    const json_t *mounts = json_object_get(config, "mounts");
    const char *key;
    const json_t *value;

    assert_true(json_is_true(json_object_get(process, "noNewPrivileges")));
    assert_int_equal(json_object_size(caps), 5);
    json_object_foreach((json_t *)(uintptr_t)caps, key, value)
        assert_int_equal(json_array_size(value), 0);
    assert_non_null(json_object_get(json_object_get(config, "linux"), "seccomp"));
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const json_t *options = json_object_get(json_array_get(mounts, i), "options");
        bool nosuid = false;

        for (size_t j = 0; j < json_array_size(options); j++)
            nosuid |= strcmp(json_string_value(json_array_get(options, j)), "nosuid") == 0;
        assert_true(nosuid);
    }
    assert_true(namespace_in(config, "pid") && namespace_in(config, "mount") &&
                namespace_in(config, "ipc") && namespace_in(config, "uts"));
}

static void test_bundle(void **state)
{
    static const char *const argv[] = {"true"};
    static const char *const env[] = {"A=b"};
    static const char *const broken[] = {"\xff\xfe"};
    struct runtime_limits limits = {.storage_bytes = 1 << 20,
                                    .memory_bytes = 1 << 20,
                                    .pids = 5,
                                    .cpu_quota_us = 50000,
                                    .cpu_period_us = 100000};
    struct runtime_bundle_mount mounts[] = {{"/host/in", "/in", false},
                                            {"/host/out", "/out", true}};
    struct runtime_bundle bundle = {.rootfs = "/r",
                                    .argv = argv,
                                    .argc = 1,
                                    .env = env,
                                    .envc = 1,
                                    .workdir = "/",
                                    .hostname = "h",
                                    .limits = &limits,
                                    .mapped = true,
                                    .cgroup = "/hypermesh/x/c",
                                    .mounts = mounts,
                                    .mount_count = 2,
                                    .rlimit_pids = true,
                                    .rlimit_cpu = true,
                                    .timeout_ms = 10000};
    RUNTIME_JSON *json = runtime_bundle_json(&bundle);
    const json_t *linux_part = json_object_get(json, "linux");

    (void)state;
    assert_non_null(json);
    assert_locked_down(json);
    assert_true(namespace_in(json, "network") && namespace_in(json, "user"));
    assert_string_equal(runtime_json_text(linux_part, "cgroupsPath"), "/hypermesh/x/c");
    assert_int_equal(json_array_size(json_object_get(linux_part, "uidMappings")), 1);
    bundle.mapped = false;
    bundle.network = true;
    bundle.cgroup = NULL;
    json_decref(json);
    json = runtime_bundle_json(&bundle);
    assert_locked_down(json);
    assert_false(namespace_in(json, "network") || namespace_in(json, "user"));
    assert_null(json_object_get(json_object_get(json, "linux"), "cgroupsPath"));
    bundle.argv = broken;
    assert_null(runtime_bundle_json(&bundle));
}

static void test_seccomp(void **state)
{
    static const char *const never[] = {"mount",
                                        "umount2",
                                        "ptrace",
                                        "bpf",
                                        "keyctl",
                                        "add_key",
                                        "unshare",
                                        "setns",
                                        "kexec_load",
                                        "init_module",
                                        "pivot_root",
                                        "perf_event_open",
                                        "userfaultfd",
                                        "open_by_handle_at",
                                        "io_uring_setup",
                                        "fsopen",
                                        "move_mount",
                                        "mount_setattr",
                                        "process_vm_writev",
                                        "reboot"};
    RUNTIME_JSON *json = runtime_seccomp_profile();
    const json_t *rules = json_object_get(json, "syscalls");

    (void)state;
    assert_string_equal(runtime_json_text(json, "defaultAction"), "SCMP_ACT_ERRNO");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *names = json_object_get(json_array_get(rules, i), "names");

        for (size_t j = 0; j < json_array_size(names); j++) {
            for (size_t k = 0; k < HM_COUNT_OF(never); k++)
                assert_string_not_equal(json_string_value(json_array_get(names, j)), never[k]);
        }
    }
}

static void test_command_fault(void **state)
{
    (void)state;
    assert_true(
        runtime_oci_is_command_fault("exec: \"nothere\": executable file not found in $PATH"));
    assert_false(runtime_oci_is_command_fault("error mounting \"proc\" to rootfs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_bounds),     cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_config),          cmocka_unit_test(test_index),
        cmocka_unit_test(test_docker_manifest), cmocka_unit_test(test_bundle),
        cmocka_unit_test(test_seccomp),         cmocka_unit_test(test_command_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
