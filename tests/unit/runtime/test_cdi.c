/* CDI specifications: what is read, what is refused, and what becomes of it in a configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "runtime_cdi.h"
#include "runtime_json.h"
#include "runtime_yaml.h"

#define HEAD "\"cdiVersion\":\"0.6.0\",\"kind\":\"v.com/gpu\""

static struct hm_arena arena;
static struct runtime_cdi_edits edits;

static int setup(void **state)
{
    (void)state;
    hm_arena_init(&arena, 0);
    memset(&edits, 0, sizeof(edits));
    edits.arena = &arena;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hm_arena_release(&arena);
    return 0;
}

static int parse(const char *text, enum runtime_cdi_format format, struct runtime_cdi_spec *out)
{
    return runtime_cdi_spec_parse(hm_slice_str(text), format, "spec", out, NULL);
}

static int add(const char *text, struct hm_error *error)
{
    RUNTIME_JSON *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    return runtime_cdi_edits_add(&edits, json, error);
}

static void test_yaml(void **state)
{
    static const char *const bad[] = {
        "",           "- a",        "a: &x 1\nb: 2", "a: *x",
        "a: !!str 1", "a: 1\na: 2", "? [a]\n: 1",    "a: 1\n---\nb: 2",
        "a: [",       "a: \"\\0\"", "a: \xff",       "&k a: 1"};
    RUNTIME_JSON *json = NULL;
    struct hm_error error = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    json_t *made = NULL;

    (void)state;
    assert_int_equal(runtime_yaml_parse(hm_slice_str("---\na: 0666\nb: \"0\"\nc: 0.5.0\nd: true\n"
                                                     "e:\n- x\n- -7\nf: {g: 0x1f, h: ~, i: 0o17}\n"
                                                     "j: 08\nk: 99999999999999999999\n"),
                                        "x", &made, &error),
                     0);
    json = made;
    assert_int_equal(runtime_json_write(json, &text, NULL), 0);
    assert_string_equal(hm_buf_cstr(&text),
                        "{\"a\":438,\"b\":\"0\",\"c\":\"0.5.0\",\"d\":true,\"e\":[\"x\",-7],"
                        "\"f\":{\"g\":31,\"h\":null,\"i\":15},\"j\":\"08\","
                        "\"k\":\"99999999999999999999\"}");
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        made = NULL;
        if (runtime_yaml_parse(hm_slice_str(bad[i]), "x", &made, &error) != HM_EPARSE)
            fail_msg("taken: %s", bad[i]);
        assert_null(made);
    }
    hm_buf_clear(&text);
    assert_int_equal(hm_buf_append_str(&text, "a: "), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(hm_buf_append_str(&text, "["), 0);
    assert_int_equal(runtime_yaml_parse(hm_buf_slice(&text), "x", &made, &error), HM_ELIMIT);
    assert_string_equal(error.text, "x:1:19: nested too deeply");
}

static void test_names(void **state)
{
    static const char *const bad[] = {
        "",         "gpu=0",   "v/gpu",     "v/gpu=",   "/gpu=0",   "v/=0",
        "-v/gpu=0", "v/g/u=0", "v/gpu=a=b", "v/gpu=.a", "v/gpu=a b"};

    (void)state;
    assert_int_equal(runtime_cdi_name_check("nvidia.com/gpu=GPU-12-34"), 14);
    assert_int_equal(runtime_cdi_name_check("nvidia.com/gpu=0:1"), 14);
    assert_int_equal(runtime_cdi_name_check("intel.com/gpu=0000-03-00.0-0x56a6"), 13);
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(runtime_cdi_name_check(bad[i]), 0);
}

static void test_spec(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"cdiVersion\":\"0.2.0\",\"kind\":\"v/c\",\"devices\":[{\"name\":\"a\"}]}",
        "{\"cdiVersion\":\"2.0.0\",\"kind\":\"v/c\",\"devices\":[{\"name\":\"a\"}]}",
        "{\"cdiVersion\":\"0.6.0\",\"kind\":\"vc\",\"devices\":[{\"name\":\"a\"}]}",
        "{" HEAD ",\"devices\":[]}",
        "{" HEAD ",\"devices\":{}}",
        "{" HEAD ",\"devices\":[{}]}",
        "{" HEAD ",\"devices\":[{\"name\":0}]}",
        "{" HEAD ",\"devices\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
        "[]"};
    HM_CLEANUP(runtime_cdi_spec) struct runtime_cdi_spec spec = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        assert_true(parse(bad[i], RUNTIME_CDI_JSON, &spec) < 0);
        assert_null(spec.json);
    }
    assert_int_equal(
        parse("cdiVersion: 1.1.0\nkind: v.com/gpu\ndevices: [{name: \"0\"}, {name: b}]",
              RUNTIME_CDI_YAML, &spec),
        0);
    assert_string_equal(spec.kind, "v.com/gpu");
    assert_non_null(runtime_cdi_spec_device(&spec, "0"));
    assert_null(runtime_cdi_spec_device(&spec, "1"));
}

static void test_edits_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        add("{\"containerEdits\":{\"env\":[\"A=1\",\"B=x=y\",\"A=2\"],"
            "\"deviceNodes\":[{\"path\":\"/dev/x\",\"hostPath\":\"/dev/y\",\"type\":\"u\","
            "\"major\":195,\"fileMode\":432,\"permissions\":\"rm\",\"uid\":7},"
            "{\"path\":\"/dev/z\"}],"
            "\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/"
            "b\",\"options\":[\"rw\",\"bind\"]},"
            "{\"hostPath\":\"/a\",\"containerPath\":\"/dev/dri/by-path\"}],"
            "\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/bin/"
            "h\",\"args\":[\"h\",\"x\"]}],"
            "\"additionalGids\":[0,44,44]}}",
            NULL),
        0);
    assert_int_equal(edits.env_count, 2);
    assert_string_equal(edits.env[0], "A=2");
    assert_string_equal(edits.env[1], "B=x=y");
    assert_int_equal(edits.node_count, 2);
    assert_string_equal(edits.nodes[0].host_path, "/dev/y");
    assert_int_equal(edits.nodes[0].type, 'c');
    assert_true(edits.nodes[0].numbered && edits.nodes[0].device_minor == 0);
    assert_int_equal(edits.nodes[0].mode, 0660);
    assert_true(edits.nodes[0].read && !edits.nodes[0].write && edits.nodes[0].has_uid);
    assert_string_equal(edits.nodes[1].host_path, "/dev/z");
    assert_true(edits.nodes[1].read && edits.nodes[1].write && !edits.nodes[1].numbered);
    assert_int_equal(edits.mount_count, 2);
    assert_int_equal(edits.mounts[0].options.count, 3); /* rw, bind, nosuid */
    assert_string_equal(edits.mounts[1].options.texts[1], "ro");
    assert_int_equal(edits.hook_count, 1);
    assert_int_equal(edits.hooks[0].timeout_s, RUNTIME_CDI_HOOK_TIMEOUT_S);
    assert_int_equal(edits.gid_count, 1);
    /* The same node again is one node, another under its path a conflict. */
    assert_int_equal(add("{\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/z\"}]}}", NULL),
                     0);
    assert_int_equal(edits.node_count, 2);
    assert_int_equal(add("{\"containerEdits\":{\"env\":[\"C=1\"],\"deviceNodes\":[{\"path\":\"/dev/"
                         "z\",\"hostPath\":\"/dev/q\"}]}}",
                         NULL),
                     HM_ECONFLICT);
    assert_int_equal(edits.env_count, 2); /* nothing of what failed stays */
}

static void test_edits_refused(void **state)
{
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        {HM_EPARSE, "[]"},
        {HM_EUNSUPPORTED, "{\"intelRdt\":{}}"},
        {HM_EUNSUPPORTED, "{\"netDevices\":[]}"},
        {HM_EPARSE, "{\"env\":[\"A\"]}"},
        {HM_EPARSE, "{\"env\":[1]}"},
        {HM_EPARSE, "{\"env\":{}}"},
        {HM_EPARSE, "{\"deviceNodes\":[{}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"dev/x\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/dev/../x\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/dev/null\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"//dev/./pts/0\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/proc/x\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"type\":\"q\"}]}"},
        {HM_EUNSUPPORTED, "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"type\":\"p\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"permissions\":\"rx\"}]}"},
        {HM_EPARSE, "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"major\":-1}]}"},
        {HM_EUNSUPPORTED, "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"new\":1}]}"},
        {HM_EPARSE, "{\"mounts\":[{\"hostPath\":\"/a\"}]}"},
        {HM_EPARSE, "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/\"}]}"},
        {HM_EPARSE, "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/dev\"}]}"},
        {HM_EPARSE, "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/sys/x\"}]}"},
        {HM_EUNSUPPORTED,
         "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/b\",\"type\":\"tmpfs\"}]}"},
        {HM_EUNSUPPORTED,
         "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/b\",\"options\":[\"rshared\"]}]}"},
        {HM_EUNSUPPORTED,
         "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/b\",\"options\":[\"suid\"]}]}"},
        {HM_EUNSUPPORTED, "{\"hooks\":[{\"hookName\":\"startContainer\",\"path\":\"/x\"}]}"},
        {HM_EPARSE, "{\"hooks\":[{\"hookName\":\"never\",\"path\":\"/x\"}]}"},
        {HM_EPARSE, "{\"hooks\":[{\"hookName\":\"poststop\",\"path\":\"x\"}]}"},
        {HM_EPARSE, "{\"hooks\":[{\"hookName\":\"poststop\",\"path\":\"/x\",\"timeout\":0}]}"},
        {HM_EPARSE, "{\"additionalGids\":[-1]}"},
        {HM_EPARSE, "{\"additionalGids\":[\"44\"]}"}};
    static const struct runtime_cdi_edits none;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_AUTOFREE char *text = hm_asprintf("{\"containerEdits\":%s}", cases[i].text);
        struct hm_error error = {0};

        if (add(text, &error) != cases[i].code)
            fail_msg("%s: %d %s", cases[i].text, error.code, error.text);
    }
    edits.arena = NULL;
    assert_memory_equal(&edits, &none, sizeof(none));
}

static void test_limits(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    assert_int_equal(hm_buf_append_str(&text, "{\"containerEdits\":{\"env\":[\"A=0\""), 0);
    for (int i = 0; i < RUNTIME_CDI_MAX_ENV; i++)
        assert_int_equal(hm_buf_printf(&text, ",\"A%d=0\"", i), 0);
    assert_int_equal(hm_buf_append_str(&text, "]}}"), 0);
    assert_int_equal(add(hm_buf_cstr(&text), NULL), HM_ELIMIT);
    for (int i = 0; i < RUNTIME_CDI_MAX_ENV; i++) {
        char one[64];

        snprintf(one, sizeof(one), "{\"containerEdits\":{\"env\":[\"A%d=0\"]}}", i);
        assert_int_equal(add(one, NULL), 0);
    }
    assert_int_equal(add("{\"containerEdits\":{\"env\":[\"A=0\"]}}", NULL), HM_ELIMIT);
    assert_int_equal(add("{\"containerEdits\":{\"env\":[\"A3=1\"]}}", NULL), 0);
}

static void test_apply(void **state)
{
    RUNTIME_JSON *config = json_loads(
        "{\"process\":{\"env\":[\"A=0\",\"Z=1\"],\"user\":{}},\"mounts\":[],\"linux\":{"
        "\"resources\":{\"devices\":[{\"allow\":false}]}}}",
        0, NULL);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    assert_int_equal(
        add("{\"containerEdits\":{\"env\":[\"A=1\"],\"deviceNodes\":[{\"path\":\"/dev/x\",\"type\":"
            "\"c\",\"major\":1,\"minor\":5,\"fileMode\":432,\"permissions\":\"r\"},{\"path\":\"/"
            "dev/"
            "y\",\"type\":\"b\",\"major\":2,\"minor\":6,\"permissions\":\"none\"}],\"hooks\":[{"
            "\"hookName\":\"poststop\",\"path\":\"/h\",\"args\":[\"h\"],\"timeout\":3}],"
            "\"additionalGids\":[44]}}",
            NULL),
        0);
    edits.nodes[1].bind = "/host/y";
    assert_int_equal(runtime_cdi_apply(&edits, config, NULL), 0);
    assert_int_equal(runtime_json_write(config, &text, NULL), 0);
    assert_string_equal(
        hm_buf_cstr(&text),
        "{\"hooks\":{\"poststop\":[{\"args\":[\"h\"],\"env\":[],\"path\":\"/h\",\"timeout\":3}]},"
        "\"linux\":{\"devices\":[{\"fileMode\":432,\"gid\":0,\"major\":1,\"minor\":5,\"path\":\"/"
        "dev/"
        "x\",\"type\":\"c\",\"uid\":0}],\"resources\":{\"devices\":[{\"allow\":false},{\"access\":"
        "\"r\",\"allow\":true,\"major\":1,\"minor\":5,\"type\":\"c\"}]}},\"mounts\":[{"
        "\"destination\":\"/dev/y\",\"options\":[\"bind\",\"nosuid\",\"noexec\",\"rprivate\"],"
        "\"source\":\"/host/"
        "y\",\"type\":\"bind\"}],\"process\":{\"env\":[\"Z=1\",\"A=1\"],\"user\":{"
        "\"additionalGids\":[44]}}}");
    json_object_del(config, "process");
    assert_int_equal(runtime_cdi_apply(&edits, config, NULL), HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_yaml, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
    };

    return cmocka_run_group_tests_name("runtime cdi", tests, NULL, NULL);
}
