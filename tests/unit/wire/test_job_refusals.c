/* Job specifications that are refused, each with file, line, column and field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

struct refusal {
    const char *text;
    int code;
    const char *says; /* the sentence opens with this */
};

static void assert_refused(struct hm_slice text, int code, const char *says)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec *spec = NULL;
    struct hm_error error = {0};
    int rc = wire_job_spec_parse(text, "job.yaml", &arena, &spec, &error);

    if (rc != code || error.code != code || strncmp(error.text, says, strlen(says)) != 0)
        fail_msg("code %d, \"%s\"; wanted %d, \"%s\"", rc, error.text, code, says);
    assert_null(spec);
    for (size_t i = 0; error.text[i]; i++)
        assert_true((unsigned char)error.text[i] >= 0x20);
}

static void assert_all_refused(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(hm_slice_str(refusals[i].text), refusals[i].code, refusals[i].says);
}

static void test_fields(void **state)
{
    static const struct refusal refusals[] = {
        {"image: a\ncpu: 1\n", HM_EINVAL,
         "job.yaml:2:1: cpu: there is no such field; did you mean cpus?"},
        {"image: a\nmem: 64M\n", HM_EINVAL,
         "job.yaml:2:1: mem: there is no such field; did you mean "
         "memory?"},
        {"imgae: a\n", HM_EINVAL,
         "job.yaml:1:1: imgae: there is no such field; did you mean image?"},
        {"image: a\nreplicas: 3\n", HM_EINVAL,
         "job.yaml:2:1: replicas: there is no such field; a job has image"},
        {"image: a\n\"b\\nc\": 3\n", HM_EINVAL, "job.yaml:2:1: b\\x0ac: there is no such field"},
        {"image: a\ncpus: 1\ncpus: 2\n", HM_EPARSE,
         "job.yaml:3:1: cpus: given twice, first on line 2"},
        {"cpus: 1\n", HM_EINVAL, "job.yaml:1:1: image: is required"},
        {"image:\n", HM_EINVAL, "job.yaml:1:7: image: has no value"},
        {"image: ~\n", HM_EINVAL, "job.yaml:1:8: image: has no value"},
        {"image: \"\"\n", HM_EINVAL, "job.yaml:1:8: image: is required"},
        {"image: [a]\n", HM_EINVAL, "job.yaml:1:8: image: must be a single value, not a list"},
        {"image: {a: b}\n", HM_EINVAL,
         "job.yaml:1:8: image: must be a single value, not a mapping"},
        {"- a\n", HM_EPARSE, "job.yaml:1:1: a job is a mapping of fields"},
        {"hello\n", HM_EPARSE, "job.yaml:1:1: a job is a mapping of fields"},
        {"image: Busybox\n", HM_EINVAL, "job.yaml:1:8: image: \"Busybox\" is not an image name"},
        {"image: a//b\n", HM_EINVAL, "job.yaml:1:8: image: \"a//b\" is not"},
        {"image: ../a\n", HM_EINVAL, "job.yaml:1:8: image: \"../a\" is not"},
        {"image: a:\n", HM_EPARSE, "job.yaml:1:9: not YAML: mapping values are not allowed"},
        {"image: 'a:'\n", HM_EINVAL, "job.yaml:1:8: image: \"a:\" is not"},
        {"image: a:.b\n", HM_EINVAL, "job.yaml:1:8: image: \"a:.b\" is not"},
        {"image: a\nname: Word Count\n", HM_EINVAL,
         "job.yaml:2:7: name: \"Word Count\" may hold only a-z, 0-9 and -"},
        {"image: a\nname: ''\n", HM_EINVAL, "job.yaml:2:7: name: must be 1 to 64 characters"},
        {"image: a\nworkdir: tmp\n", HM_EINVAL,
         "job.yaml:2:10: workdir: \"tmp\" must be an absolute path"},
        {"image: a\nworkdir: /a/../b\n", HM_EINVAL,
         "job.yaml:2:10: workdir: \"/a/../b\" may not hold"},
        {"image: a\nnetwork: yes\n", HM_EINVAL, "job.yaml:2:10: network: must be true or false"},
        {"image: a\nenv: [A=b]\n", HM_EINVAL, "job.yaml:2:6: env: must be a mapping of names"},
        {"image: a\nenv:\n  A: 1\n  2B: 2\n", HM_EINVAL,
         "job.yaml:4:3: env: \"2B\" is not a variable's name"},
        {"image: a\nenv: {A: ~}\n", HM_EINVAL, "job.yaml:2:10: env.A: has no value"},
        {"image: a\nenv: {A: [x]}\n", HM_EINVAL, "job.yaml:2:10: env.A: must be a single value"},
        {"image: a\ncommand: {a: b}\n", HM_EINVAL, "job.yaml:2:10: command: must be a list"},
        {"image: a\ncommand: ''\n", HM_EINVAL, "job.yaml:2:10: command: is empty"},
        {"image: a\ncommand: ['', b]\n", HM_EINVAL,
         "job.yaml:2:10: command: the program's name is empty"},
        {"image: a\ncommand:\n  - ls\n  - [b]\n", HM_EINVAL,
         "job.yaml:4:5: command[1]: must be a single value, not a list"},
    };

    (void)state;
    assert_all_refused(refusals, HM_COUNT_OF(refusals));
}

static void test_numbers(void **state)
{
    static const struct refusal refusals[] = {
        {"image: a\ncpus: two\n", HM_EPARSE, "job.yaml:2:7: cpus: 'two' is not a decimal number"},
        {"image: a\ncpus: 0.001\n", HM_ERANGE,
         "job.yaml:2:7: cpus: 0.001 is out of range, must be 0.01 to 1024"},
        {"image: a\ncpus: 0.0001\n", HM_EPARSE, "job.yaml:2:7: cpus: '0.0001' has more than 3"},
        {"image: a\ncpus: 0\n", HM_ERANGE, "job.yaml:2:7: cpus: 0 is out of range"},
        {"image: a\ncpus: -1\n", HM_EPARSE, "job.yaml:2:7: cpus: "},
        {"image: a\ncpus: 1e3\n", HM_EPARSE, "job.yaml:2:7: cpus: "},
        {"image: a\ncpus: NaN\n", HM_EPARSE, "job.yaml:2:7: cpus: 'NaN' is not a decimal"},
        {"image: a\ncpus: .nan\n", HM_EPARSE, "job.yaml:2:7: cpus: "},
        {"image: a\ncpus: Infinity\n", HM_EPARSE, "job.yaml:2:7: cpus: "},
        {"{\"image\":\"a\",\"cpus\":NaN}", HM_EPARSE, "job.yaml:1:21: cpus: 'NaN' is not"},
        {"{\"image\":\"a\",\"cpus\":-Infinity}", HM_EPARSE, "job.yaml:1:21: cpus: "},
        {"{\"image\":\"a\",\"cpus\":1e999}", HM_EPARSE, "job.yaml:1:21: cpus: "},
        {"{\"image\":\"a\",\"pids\":18446744073709551617}", HM_ERANGE, "job.yaml:1:21: pids: "},
        {"{\"image\":\"a\",\"pids\":-1}", HM_EPARSE, "job.yaml:1:21: pids: "},
        {"{\"image\":\"a\",\"pids\":0x10}", HM_EPARSE, "job.yaml:1:21: pids: "},
        {"{\"image\":\"a\",\"pids\":true}", HM_EPARSE, "job.yaml:1:21: pids: "},
        {"{\"image\":\"a\",\"pids\":{}}", HM_EINVAL, "job.yaml:1:21: pids: "},
        {"image: a\ncpus: .inf\n", HM_EPARSE, "job.yaml:2:7: cpus: "},
        {"image: a\ncpus: 4294967.297\n", HM_ERANGE, "job.yaml:2:7: cpus: 4294967.297 is out"},
        {"image: a\ncpus: 99999999999999999999\n", HM_ERANGE, "job.yaml:2:7: cpus: "},
        {"image: a\ncpus: \"1\\n2\"\n", HM_EPARSE, "job.yaml:2:7: cpus: must be a decimal number"},
        {"image: a\ncpus: \xc2\xbd\n", HM_EPARSE, "job.yaml:2:7: cpus: must be a decimal number"},
        {"image: a\nmemory: lots\n", HM_EPARSE, "job.yaml:2:9: memory: "},
        {"image: a\nmemory: 1M\n", HM_ERANGE,
         "job.yaml:2:9: memory: 1M is out of range, must be 4M to 64T"},
        {"image: a\nmemory: 16384P\n", HM_EPARSE, "job.yaml:2:9: memory: "},
        {"image: a\nmemory: 99999999T\n", HM_ERANGE, "job.yaml:2:9: memory: "},
        {"image: a\nstorage: 0\n", HM_ERANGE, "job.yaml:2:10: storage: 0 is out of range"},
        {"image: a\ngpus: 65\n", HM_ERANGE, "job.yaml:2:7: gpus: 65 is out of range"},
        {"image: a\npids: 0\n", HM_ERANGE,
         "job.yaml:2:7: pids: 0 is out of range, must be 1 to 32768"},
        {"image: a\npids: 40000\n", HM_ERANGE, "job.yaml:2:7: pids: 40000 is out of range"},
        {"image: a\npids: 1.5\n", HM_EPARSE, "job.yaml:2:7: pids: "},
        {"image: a\ntimeout: 30\n", HM_EPARSE, "job.yaml:2:10: timeout: "},
        {"image: a\ntimeout: 999ms\n", HM_ERANGE,
         "job.yaml:2:10: timeout: 999ms is out of range, must be 1s to 1d"},
        {"image: a\ntimeout: 25h\n", HM_ERANGE, "job.yaml:2:10: timeout: "},
        {"image: a\nmax_price: 1000000000.1\n", HM_ERANGE, "job.yaml:2:12: max_price: "},
        {"image: a\nmax_price: 0.0000000001\n", HM_EPARSE, "job.yaml:2:12: max_price: "},
    };

    (void)state;
    assert_all_refused(refusals, HM_COUNT_OF(refusals));
}

static void test_mounts(void **state)
{
    static const struct refusal refusals[] = {
        {"image: a\ninputs: /a:/b\n", HM_EINVAL, "job.yaml:2:9: inputs: must be a list"},
        {"image: a\ninputs: [/a]\n", HM_EINVAL, "job.yaml:2:10: inputs[0]: write it as FOLDER:/"},
        {"image: a\ninputs: ['/a:b']\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0].target: \"b\" must be an absolute path"},
        {"image: a\ninputs: [':/b']\n", HM_EINVAL, "job.yaml:2:10: inputs[0].source: is empty"},
        {"image: a\ninputs: ['/a:/']\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0].target: \"/\" is the whole container"},
        {"image: a\ninputs: ['/a:/b/../c']\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0].target: \"/b/../c\" may not hold"},
        {"image: a\ninputs: ['/a:/./c']\n", HM_EINVAL, "job.yaml:2:10: inputs[0].target: "},
        {"image: a\ninputs: ['/a:/proc']\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0].target: \"/proc\" is the container's own"},
        {"image: a\ninputs: ['/a:/sys/fs']\n", HM_EINVAL, "job.yaml:2:10: inputs[0].target: "},
        {"image: a\ninputs: ['/a://dev//x']\n", HM_EINVAL, "job.yaml:2:10: inputs[0].target: "},
        {"image: a\noutputs: ['/dev/shm:x']\n", HM_EINVAL, "job.yaml:2:11: outputs[0].source: "},
        {"image: a\noutputs: ['/out:']\n", HM_EINVAL, "job.yaml:2:11: outputs[0].target: is empty"},
        {"image: a\noutputs: [\"/out:a\\nb\"]\n", HM_EINVAL,
         "job.yaml:2:11: outputs[0].target: \"a\\x0ab\" holds a control character"},
        {"image: a\ninputs:\n- {source: /a, target: /b}\n- source: /c\n  target: /b/d\n", HM_EINVAL,
         "job.yaml:4:3: inputs[1]: lies in, or holds, the folder of inputs[0]"},
        {"image: a\noutputs: ['/b:o']\ninputs: ['/a:/b']\n", HM_EINVAL,
         "job.yaml:3:10: inputs[0]: lies in, or holds, the folder of outputs[0]"},
        {"image: a\noutputs: ['/a:o', '/b:o/']\n", HM_EINVAL,
         "job.yaml:2:19: outputs[1]: goes to the same folder of the machine as outputs[0]"},
        {"image: a\ninputs: [{source: /a}]\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0]: has no target"},
        {"image: a\ninputs: [{target: /a}]\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0]: has no source"},
        {"image: a\ninputs: [{src: /a, target: /b}]\n", HM_EINVAL,
         "job.yaml:2:11: inputs[0]: unknown field \"src\"; it has source and target"},
        {"image: a\ninputs: [{mode: ro}]\n", HM_EINVAL,
         "job.yaml:2:11: inputs[0]: unknown field \"mode\"; it has source and target"},
        {"image: a\ninputs: [{source: [/a], target: /b}]\n", HM_EINVAL,
         "job.yaml:2:19: inputs[0].source: must be a single value"},
        {"image: a\ninputs: [[/a]]\n", HM_EINVAL,
         "job.yaml:2:10: inputs[0]: must be a single value, not a list"},
    };

    (void)state;
    assert_all_refused(refusals, HM_COUNT_OF(refusals));
}

static void test_yaml(void **state)
{
    static const struct refusal refusals[] = {
        {"", HM_EPARSE, "job.yaml:1:1: is empty"},
        {"# nothing\n", HM_EPARSE, "job.yaml:2:1: is empty"},
        {"---\n", HM_EPARSE, "job.yaml:2:1: a job is a mapping"},
        {"image: a\n---\nimage: b\n", HM_EPARSE, "job.yaml:2:1: a second document"},
        {"{\"image\":\"a\"} {\"image\":\"b\"}", HM_EPARSE, "job.yaml:1:15: "},
        {"{\"image\":\"a\",\"image\":\"b\"}", HM_EPARSE, "job.yaml:1:14: image: given twice"},
        {"{\"image\":\"a\",,}", HM_EPARSE, "job.yaml:1:14: "},
        {"image: &x a\n", HM_EPARSE, "job.yaml:1:8: anchors"},
        {"image: *x\n", HM_EPARSE, "job.yaml:1:8: aliases"},
        {"a: &a [x]\nb: &b [*a,*a]\n", HM_EPARSE, "job.yaml:1:4: anchors"},
        {"image: !!str a\n", HM_EPARSE, "job.yaml:1:8: tags"},
        {"image: !include a\n", HM_EPARSE, "job.yaml:1:8: tags"},
        {"%TAG ! tag:example,2000:\n---\nimage: a\n", HM_EPARSE, "job.yaml:1:1: %TAG directives"},
        {"<<: {image: a}\n", HM_EINVAL, "job.yaml:1:1: <<: there is no such field"},
        {"? [a]\n: b\n", HM_EPARSE, "job.yaml:1:3: a field's name must be text"},
        {"image: a\n  cpus: 1\n", HM_EPARSE, "job.yaml:2:7: not YAML: mapping values are not"},
        {"image: a\n\tcpus: 1\n", HM_EPARSE, "job.yaml:"},
        {"image: [a\n", HM_EPARSE, "job.yaml:2:1: not YAML: "},
        {"image: \"a\\0b\"\n", HM_EPARSE, "job.yaml:1:8: text holds a NUL character"},
        {"image: \"\\u0000\"\n", HM_EPARSE, "job.yaml:1:8: text holds a NUL character"},
        {"image: a\ncpus: \xff\n", HM_EPARSE, "job.yaml:2:7: a character that YAML does not allow"},
        {"image: \x01\n", HM_EPARSE, "job.yaml:1:8: a character that YAML does not allow"},
        {"[[[[[[[[[[[[[[[[", HM_ELIMIT, "job.yaml:1:9: nested too deeply"},
        {"image: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}\n", HM_ELIMIT, "job.yaml:1:"},
    };

    (void)state;
    assert_all_refused(refusals, HM_COUNT_OF(refusals));
    assert_refused(hm_slice_of("image: a\0b\n", 11), HM_EPARSE, "job.yaml:1:9: a character");
    assert_refused(hm_slice_of("\xff\xfei\0m\0a\0g\0e\0:\0 \0a\0", 18), HM_EPARSE,
                   "job.yaml:1:1: ");
}

/* JSON's own escapes: \/ is taken; half characters are not, and the sentence says what to do. */
static void test_json_escapes(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec *spec = NULL;

    (void)state;
    assert_int_equal(
        wire_job_spec_parse(
            hm_slice_str("{\"image\": \"a\", \"command\": [\"\\/bin\\/ls\", \"\\u00e9\"]}"), "body",
            &arena, &spec, NULL),
        0);
    assert_string_equal(spec->command[0], "/bin/ls");
    assert_string_equal(spec->command[1], "\xc3\xa9");
    assert_refused(hm_slice_str("{\"image\": \"a\", \"command\": [\"\\ud83d\\ude00\"]}"), HM_EPARSE,
                   "job.yaml:1:31: not YAML: \\u escape of half a character (a surrogate pair); "
                   "write the character itself in UTF-8");
}

static void repeat(struct hm_buf *text, const char *head, const char *piece, unsigned times,
                   const char *tail)
{
    hm_buf_clear(text);
    assert_int_equal(hm_buf_append_str(text, head), 0);
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(hm_buf_append_str(text, piece), 0);
    assert_int_equal(hm_buf_append_str(text, tail), 0);
}

static void test_sizes(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    repeat(&text, "image: a\nname: ", "x", WIRE_JOB_NAME_MAX_BYTES + 1, "\n");
    assert_refused(hm_buf_slice(&text), HM_EINVAL, "job.yaml:2:7: name: must be 1 to 64");
    repeat(&text, "image: ", "x", WIRE_JOB_IMAGE_MAX_BYTES + 1, "\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:1:8: image: must be at most 255");
    repeat(&text, "image: a\nworkdir: ", "/x", WIRE_JOB_PATH_MAX_BYTES, "\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:10: workdir: the path is longer");
    repeat(&text, "image: a\ncommand: [", "x, ", WIRE_JOB_COMMAND_MAX + 1, "]\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:10: command: more than 256 entries");
    repeat(&text, "image: a\ncommand: [x, ", "xxxxxxxx", WIRE_JOB_COMMAND_MAX_BYTES / 8, "]\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:10: command: longer than 131072");
    repeat(&text, "image: a\nenv: {A: ", "xxxxxxxx", WIRE_JOB_ENV_VALUE_MAX_BYTES / 8 + 1, "}\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:7: env.A: longer than 32768");
    repeat(&text, "image: a\nenv: {", "x", WIRE_JOB_ENV_NAME_MAX_BYTES + 1, ": b}\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:7: env: a variable's name has");
    repeat(&text, "image: a\ninputs: [", "'a:/b', ", WIRE_JOB_MOUNTS_MAX + 1, "]\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:9: inputs: more than 32 entries");
    repeat(&text, "image: a\ncommand: [", "x,", 3000, "]\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:2:");
    repeat(&text, "image: a\n#", "x", (unsigned)WIRE_JOB_SPEC_MAX_BYTES, "\n");
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml: ");
    /* names of a quarter megabyte of control characters do not fill the sentence */
    repeat(&text, "image: a\n\"", "\\n", 400, "\": b\n");
    assert_refused(hm_buf_slice(&text), HM_EINVAL, "job.yaml:2:1: \\x0a");
}

static void test_too_many_variables(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    assert_int_equal(hm_buf_append_str(&text, "image: a\nenv:\n"), 0);
    for (unsigned i = 0; i <= WIRE_JOB_ENV_MAX; i++)
        assert_int_equal(hm_buf_printf(&text, "  V%u: x\n", i), 0);
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:3:3: env: more than 128 entries");
    hm_buf_clear(&text);
    assert_int_equal(hm_buf_append_str(&text, "image: a\nenv:\n"), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hm_buf_printf(&text, "  V%u: ", i), 0);
        for (unsigned j = 0; j < 30000 / 8; j++)
            assert_int_equal(hm_buf_append_str(&text, "xxxxxxxx"), 0);
        assert_int_equal(hm_buf_append_str(&text, "\n"), 0);
    }
    assert_refused(hm_buf_slice(&text), HM_ELIMIT, "job.yaml:3:3: env: longer than 65536");
}

/* Specs that did not come through the parser (from the network) meet the same rules. */
static void test_check_alone(void **state)
{
    Hypermesh__JobInput inputs[2] = {HYPERMESH__JOB_INPUT__INIT, HYPERMESH__JOB_INPUT__INIT};
    Hypermesh__JobInput *list[] = {&inputs[0], &inputs[1]};
    char *command[] = {(char *)"ls", (char *)"\xff"};
    Hypermesh__JobSpec spec = HYPERMESH__JOB_SPEC__INIT;
    struct hm_error error = {0};

    (void)state;
    wire_job_spec_init(&spec);
    assert_int_equal(wire_job_spec_check(&spec, &error), HM_EINVAL);
    spec.name = (char *)"n";
    spec.image = (char *)"busybox";
    assert_int_equal(wire_job_spec_check(&spec, &error), 0);
    spec.cpu_milli = 0;
    assert_int_equal(wire_job_spec_check(&spec, &error), HM_ERANGE);
    assert_string_equal(error.text, "cpus: 0 is out of range, must be 0.01 to 1024");
    spec.cpu_milli = 10;
    inputs[0].source = (char *)"/a";
    inputs[0].target = (char *)"/b";
    inputs[1].source = (char *)"/a";
    inputs[1].target = (char *)"/c/";
    spec.inputs = list;
    spec.n_inputs = 2;
    assert_int_equal(wire_job_spec_check(&spec, &error), HM_EINVAL);
    inputs[1].target = (char *)"/b/c";
    assert_int_equal(wire_job_spec_check(&spec, &error), HM_EINVAL);
    inputs[1].target = (char *)"/c";
    assert_int_equal(wire_job_spec_check(&spec, &error), 0);
    spec.command = command;
    spec.n_command = 2;
    assert_int_equal(wire_job_spec_check(&spec, &error), HM_EINVAL);
    assert_string_equal(error.text, "command[1]: is not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_json_escapes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_too_many_variables),
        cmocka_unit_test(test_check_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
