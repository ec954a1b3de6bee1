/* CDI folders and edits against what is on this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_cdi.h"

static struct hm_arena arena;
static struct runtime_cdi_edits edits;
static char dir[64], folders[256];

static void edits_clear(void)
{
    memset(&edits, 0, sizeof(edits));
    edits.arena = &arena;
}

static int setup(void **state)
{
    char path[128];

    (void)state;
    hm_arena_init(&arena, 0);
    edits_clear();
    snprintf(dir, sizeof(dir), "/tmp/hm-cdi-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/etc", dir);
    if (mkdir(path, 0755) != 0)
        return 1;
    snprintf(path, sizeof(path), "%s/run", dir);
    snprintf(folders, sizeof(folders), "%s/none:%s/etc:%s/run", dir, dir, dir);
    return mkdir(path, 0755);
}

static int teardown(void **state)
{
    (void)state;
    hm_arena_release(&arena);
    return hm_remove_tree(dir, NULL);
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(hm_file_replace(path, text, strlen(text), mode, NULL), 0);
}

/* A file with one device that sets FROM. */
static void put_device(const char *name, const char *device, const char *from)
{
    HM_AUTOFREE char *text = hm_asprintf("cdiVersion: 0.6.0\nkind: v.com/gpu\ndevices:\n"
                                         "- name: \"%s\"\n  containerEdits:\n    env: [FROM=%s]\n"
                                         "containerEdits:\n  env: [ALL=%s]\n",
                                         device, from, from);

    put(name, text, 0644);
}

static int find(const char *name, struct hm_error *error)
{
    char *names[] = {(char *)(uintptr_t)name};

    return runtime_cdi_find(folders, names, 1, &edits, error);
}

static void test_later_folder_wins(void **state)
{
    (void)state;
    put_device("etc/a.yaml", "0", "etc");
    put_device("etc/b.yml", "1", "etcb");
    put_device("run/z.yaml", "0", "run");
    put("run/readme.txt", "no specification", 0644);
    assert_int_equal(find("v.com/gpu=0", NULL), 0);
    assert_int_equal(edits.env_count, 2);
    assert_string_equal(edits.env[0], "ALL=run");
    assert_string_equal(edits.env[1], "FROM=run");
    edits_clear();
    assert_int_equal(find("v.com/gpu=1", NULL), 0);
    assert_string_equal(edits.env[1], "FROM=etcb");
    put("etc/c.json",
        "{\"cdiVersion\":\"0.6.0\",\"kind\":\"v.com/gpu\",\"devices\":[{\"name\":\"1\"}]}", 0644);
    assert_int_equal(find("v.com/gpu=1", NULL), HM_ECONFLICT);
}

static void test_missing(void **state)
{
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(find("nvidia.com/gpu=GPU-1", &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "nvidia-ctk cdi generate"));
    assert_non_null(strstr(error.text, "--output=/etc/cdi/nvidia.yaml"));
    assert_int_equal(find("amd.com/gpu=0", &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "amd-ctk"));
    assert_int_equal(find("other.com/gpu=0", &error), HM_EUNAVAILABLE);
    assert_int_equal(find("gpu0", &error), HM_EINVAL);
    /* A broken file matters when something is missing, and only then. */
    put("etc/broken.yaml", "a: [", 0644);
    put_device("run/good.yaml", "0", "run");
    assert_int_equal(find("v.com/gpu=0", &error), 0);
    assert_int_equal(find("v.com/gpu=1", &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "broken.yaml"));
}

static void test_writable_by_others(void **state)
{
    struct hm_error error = {0};
    char path[128];

    (void)state;
    put_device("etc/a.yaml", "0", "etc");
    snprintf(path, sizeof(path), "%s/etc/a.yaml", dir);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(find("v.com/gpu=0", &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "others than root"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(find("v.com/gpu=0", &error), 0);
    snprintf(path, sizeof(path), "%s/etc", dir);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(find("v.com/gpu=0", &error), HM_EUNAVAILABLE);
}

static struct runtime_cdi_node *node(const char *path, const char *host)
{
    struct runtime_cdi_node *made = &edits.nodes[edits.node_count++];

    *made = (struct runtime_cdi_node){
        .path = path, .host_path = host, .mode = -1, .read = true, .write = true};
    return made;
}

static int prepare(bool rootless, bool mapped, struct hm_error *error)
{
    struct runtime_machine machine = {.rootless = rootless, .mapped = mapped};
    char nodes[128];
    struct runtime_cdi_host host = {.machine = &machine, .uid = 5, .gid = 6, .node_dir = nodes};

    snprintf(nodes, sizeof(nodes), "%s/nodes", dir);
    return runtime_cdi_prepare(&edits, &host, error);
}

static void test_nodes(void **state)
{
    struct hm_error error = {0};
    struct runtime_cdi_node *one = node("/dev/x", "/dev/zero");

    (void)state;
    edits.gids[0] = 44;
    edits.gid_count = 1;
    assert_int_equal(prepare(false, false, &error), 0);
    assert_null(one->bind);
    assert_true(one->type == 'c' && one->device_major == 1 && one->device_minor == 5);
    assert_true(one->mode == 0666 && one->uid == 5 && one->gid == 6);
    assert_int_equal(edits.gid_count, 1);
    assert_int_equal(prepare(true, false, &error), 0);
    assert_string_equal(one->bind, "/dev/zero");
    assert_int_equal(edits.gid_count, 0);
    assert_int_equal(prepare(false, true, &error), 0);
    assert_string_equal(one->bind, "/dev/zero");
    one->numbered = true;
    one->device_minor = 99;
    assert_int_equal(prepare(false, false, &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "another device"));
    edits_clear();
    node("/dev/x", "/dev/no-such-node");
    assert_int_equal(prepare(false, false, &error), HM_EUNAVAILABLE);
    edits_clear();
    node("/dev/x", "/etc/passwd");
    assert_int_equal(prepare(false, false, &error), HM_EUNAVAILABLE);
}

/* A node that only root may open becomes one of the job's own. */
static void test_private_node(void **state)
{
    struct hm_error error = {0};
    struct runtime_cdi_node *one;
    struct stat info;
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/locked", dir);
    if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) != 0) {
        print_message("no device nodes can be made here\n");
        skip();
    }
    assert_int_equal(chmod(path, 0600), 0);
    one = node("/dev/x", path);
    if (prepare(false, true, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(stat(one->bind, &info), 0);
    assert_true(S_ISCHR(info.st_mode) && (info.st_mode & 0777) == 0600);
    assert_int_equal(info.st_rdev, makedev(1, 5));
    assert_int_equal(info.st_uid, 0x70000005);
    assert_int_equal(info.st_gid, 0x70000006);
}

static void test_hooks(void **state)
{
    struct hm_error error = {0};
    char path[128];

    (void)state;
    edits.hooks[0] = (struct runtime_cdi_hook){.stage = "createContainer", .path = "/bin/sh"};
    edits.hook_count = 1;
    if (prepare(false, false, &error) != 0)
        fail_msg("%s", error.text);
    assert_null(strstr(edits.hooks[0].path, "//"));
    put("hook", "#!/bin/sh\n", 0755);
    snprintf(path, sizeof(path), "%s/hook", dir);
    edits.hooks[0].path =
        path; /* /tmp is open to everybody, so the file could be another tomorrow */
    assert_int_equal(prepare(false, false, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "others than root may change"));
    edits.hooks[0].path = "/etc/passwd";
    assert_int_equal(prepare(false, false, &error), HM_EPERM);
    edits.hooks[0].path = "/usr/bin/no-such-hook";
    assert_int_equal(prepare(false, false, &error), HM_EUNAVAILABLE);
    edits.hook_count = 0;
    edits.mounts[0] = (struct runtime_cdi_mount){.host_path = "/no/such/file", .path = "/x"};
    edits.mount_count = 1;
    assert_int_equal(prepare(false, false, &error), HM_EUNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_later_folder_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writable_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_private_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
    };

    return cmocka_run_group_tests_name("runtime cdi host", tests, NULL, NULL);
}
