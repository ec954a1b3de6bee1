/* Job specifications that are taken, and what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

static Hypermesh__JobSpec *parsed(struct hm_arena *arena, const char *text)
{
    Hypermesh__JobSpec *spec = NULL;
    struct hm_error error = {0};

    if (wire_job_spec_parse(hm_slice_str(text), "job.yaml", arena, &spec, &error))
        fail_msg("refused: %s", error.text);
    return spec;
}

static void test_whole(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const Hypermesh__JobSpec *spec = parsed(&arena, "name: count-words\n"
                                                    "image: tools/busybox:1.36\n"
                                                    "command: [sh, -c, 'wc -w /in/*', 5]\n"
                                                    "env: {LANG: C.UTF-8, EMPTY: \"\", N: 0x10}\n"
                                                    "workdir: /in//\n"
                                                    "cpus: 0.5\n"
                                                    "memory: 64M\n"
                                                    "storage: 2G\n"
                                                    "gpus: 1\n"
                                                    "pids: 20\n"
                                                    "timeout: 1m30s\n"
                                                    "network: true\n"
                                                    "inputs:\n"
                                                    "  - source: ./texts\n"
                                                    "    target: /in/\n"
                                                    "  - /a:b:/in2\n"
                                                    "outputs:\n"
                                                    "  - /out:results:today\n"
                                                    "max_price: 1.000000001\n");

    (void)state;
    assert_string_equal(spec->name, "count-words");
    assert_string_equal(spec->image, "tools/busybox:1.36");
    assert_int_equal(spec->n_command, 4);
    assert_string_equal(spec->command[2], "wc -w /in/*");
    assert_string_equal(spec->command[3], "5");
    assert_int_equal(spec->n_env, 3);
    assert_string_equal(spec->env[1]->name, "EMPTY");
    assert_string_equal(spec->env[1]->value, "");
    assert_string_equal(spec->env[2]->value, "0x10");
    assert_string_equal(spec->workdir, "/in");
    assert_int_equal(spec->cpu_milli, 500);
    assert_int_equal(spec->memory_bytes, 64 << 20);
    assert_int_equal(spec->storage_bytes, (uint64_t)2 << 30);
    assert_int_equal(spec->gpu_milli, 1000);
    assert_int_equal(spec->pids, 20);
    assert_int_equal(spec->timeout_ms, 90000);
    assert_true(spec->network);
    assert_int_equal(spec->n_inputs, 2);
    assert_string_equal(spec->inputs[0]->source, "./texts");
    assert_string_equal(spec->inputs[0]->target, "/in");
    assert_string_equal(spec->inputs[1]->source, "/a:b");
    assert_string_equal(spec->inputs[1]->target, "/in2");
    assert_int_equal(spec->n_outputs, 1);
    assert_string_equal(spec->outputs[0]->source, "/out");
    assert_string_equal(spec->outputs[0]->target, "results:today");
    assert_int_equal(spec->max_price, 1000000001);
}

static void test_defaults(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const Hypermesh__JobSpec *spec = parsed(&arena, "image: tools/word_count.x:2");

    (void)state;
    assert_string_equal(spec->name, "word-count-x");
    assert_int_equal(spec->n_command, 0);
    assert_int_equal(spec->n_env, 0);
    assert_string_equal(spec->workdir, "");
    assert_int_equal(spec->cpu_milli, 1000);
    assert_int_equal(spec->memory_bytes, 256 << 20);
    assert_int_equal(spec->storage_bytes, 1 << 30);
    assert_int_equal(spec->gpu_milli, 0);
    assert_int_equal(spec->pids, 256);
    assert_int_equal(spec->timeout_ms, 600000);
    assert_false(spec->network);
    assert_int_equal(spec->n_inputs + spec->n_outputs, 0);
    assert_int_equal(spec->max_price, 0);
}

static void test_spellings(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const Hypermesh__JobSpec *spec;

    (void)state;
    /* one text is a line for the shell, folded and literal blocks included */
    spec = parsed(&arena, "image: busybox\ncommand: |\n  echo a\n  echo b\n");
    assert_int_equal(spec->n_command, 3);
    assert_string_equal(spec->command[0], "sh");
    assert_string_equal(spec->command[1], "-c");
    assert_string_equal(spec->command[2], "echo a\necho b\n");
    /* explicit document marks, comments, a byte order mark, CRLF */
    spec = parsed(&arena,
                  "\xef\xbb\xbf%YAML 1.1\n---\r\n# job\r\nimage: busybox # here\r\n...\r\n");
    assert_string_equal(spec->image, "busybox");
    /* JSON, numbers as numbers or texts */
    spec = parsed(&arena,
                  "{\"image\":\"busybox\",\"cpus\":2,\"memory\":8388608,\n\t\"pids\":\"7\","
                  "\"network\":false,\"timeout\":\"1s\",\"command\":[],\"env\":{},"
                  "\"inputs\":[{\"source\":\"/a\",\"target\":\"/b\"}],\"max_price\":\"2\"}");
    assert_int_equal(spec->cpu_milli, 2000);
    assert_int_equal(spec->memory_bytes, 8388608);
    assert_int_equal(spec->pids, 7);
    assert_int_equal(spec->timeout_ms, 1000);
    assert_int_equal(spec->n_command, 0);
    assert_string_equal(spec->inputs[0]->target, "/b");
    assert_int_equal(spec->max_price, 2000000000);
    /* limits themselves are inside */
    spec = parsed(&arena, "{image: a, cpus: 0.01, memory: 4M, storage: 1M, pids: 1, timeout: 1s}");
    assert_int_equal(spec->cpu_milli, 10);
    spec = parsed(&arena, "{image: a, cpus: 1024, memory: 64T, gpus: 64, pids: 32768, timeout: 24h,"
                          " storage: 1024T, max_price: 1000000000}");
    assert_int_equal(spec->cpu_milli, 1024000);
    assert_true(spec->max_price == WIRE_JOB_MAX_PRICE);
}

/* Flags: the same fields one at a time, over defaults or over what a file gave. */
static void test_set(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec spec;
    struct hm_error error = {0};

    (void)state;
    wire_job_spec_init(&spec);
    assert_int_equal(wire_job_spec_set(&spec, "image", "busybox", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "cpus", "0.25", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "network", "true", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "input", "/x:/in", &arena, &error), HM_EINVAL);
    assert_string_equal(error.text, "input: there is no such field; did you mean inputs?");
    assert_int_equal(wire_job_spec_set(&spec, "inputs", "/x:/in", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "inputs", "/y:/in2", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "inputs", "/y:/in2/z", &arena, &error), HM_EINVAL);
    assert_string_equal(error.text, "inputs[2]: lies in, or holds, the folder of inputs[1] in the "
                                    "container; keep them apart");
    assert_int_equal(wire_job_spec_set(&spec, "inputs", "/y", &arena, &error), HM_EINVAL);
    assert_int_equal(wire_job_spec_set(&spec, "outputs", "/out:o", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "env", "A=b=c", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "env", "A=again", &arena, &error), HM_EINVAL);
    assert_int_equal(wire_job_spec_set(&spec, "env", "A", &arena, &error), HM_EINVAL);
    assert_int_equal(wire_job_spec_set(&spec, "env", "B=\xff", &arena, &error), HM_EINVAL);
    assert_string_equal(error.text, "env: is not UTF-8");
    assert_int_equal(wire_job_spec_set(&spec, "command", "echo", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "command", "a b", &arena, &error), 0);
    assert_int_equal(wire_job_spec_set(&spec, "memory", "1M", &arena, &error), HM_ERANGE);
    assert_string_equal(error.text, "memory: 1M is out of range, must be 4M to 64T");
    assert_int_equal(wire_job_spec_complete(&spec, &arena, &error), 0);
    assert_string_equal(spec.name, "busybox");
    assert_int_equal(spec.cpu_milli, 250);
    assert_int_equal(spec.memory_bytes, 256 << 20);
    assert_int_equal(spec.n_inputs, 2);
    assert_int_equal(spec.n_env, 1);
    assert_string_equal(spec.env[0]->value, "b=c");
    assert_int_equal(spec.n_command, 2);
    assert_string_equal(spec.command[1], "a b");
}

static void test_complete_needs_image(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec spec;
    struct hm_error error = {0};

    (void)state;
    wire_job_spec_init(&spec);
    assert_int_equal(wire_job_spec_complete(&spec, &arena, &error), HM_EINVAL);
    assert_string_equal(error.text,
                        "image: is required: the name of an imported image, such as busybox");
}

static void test_no_memory(void **state)
{
    unsigned long nth = 1;
    int rc;

    (void)state;
    do {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        Hypermesh__JobSpec *spec = NULL;

        hm_alloc_fail_at(nth++);
        rc = wire_job_spec_parse(hm_slice_str("image: busybox\ncommand: ls\nenv: {A: b}\n"), "j",
                                 &arena, &spec, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || (rc == HM_ENOMEM && !spec));
    } while (rc);
    assert_true(nth > 2);
}

/* The arena's limit, at every size up to enough, is a refusal and nothing else. */
static void test_small_arena(void **state)
{
    unsigned refused = 0;

    (void)state;
    for (size_t limit = 16; limit < 8192; limit += 16) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        Hypermesh__JobSpec *spec = NULL;
        int rc;

        hm_arena_init(&arena, limit);
        rc = wire_job_spec_parse(hm_slice_str("image: busybox\ncommand: [ls, /]\nenv: {A: b}\n"
                                              "inputs: ['a:/b']\noutputs: ['/c:d']\nworkdir: /e\n"),
                                 "j", &arena, &spec, NULL);
        assert_true(rc == 0 || (rc == HM_ENOMEM && !spec));
        refused += rc != 0;
    }
    assert_in_range(refused, 50, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_spellings),   cmocka_unit_test(test_set),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_complete_needs_image),
        cmocka_unit_test(test_small_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
