/* Property: the JSON of any valid spec parses back to an equal spec. Seeded; a failure names its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

#define SPECS 2000

/* Texts that JSON or YAML would like to read as something else. */
static const char *const awkward[] = {
    "",
    " ",
    "  a  ",
    "\n",
    "a\nb\n",
    "\t",
    "\"",
    "\\",
    "\\n",
    "'",
    "# no",
    ": ",
    "- a",
    "~",
    "null",
    "true",
    "0x10",
    "1e3",
    "\r\n",
    "\x01\x1f",
    "\x7f",
    "&a",
    "*a",
    "!t",
    "<<",
    "\xc2\x85x",
    "\xc2\x9f",
    "\xe2\x80\xa8x",
    "\xe2\x80\xa9",
    "\xef\xbb\xbf",
    "\xef\xbf\xbf",
    "\xf0\x9f\x98\x80",
    "gr\xc3\xbc\xc3\x9f",
    "{}",
    "[]",
    "%a",
    "@a",
    "`a",
    "---",
    "...",
    "/\\/",
};

static uint64_t pick(const struct hm_random *random, uint64_t count)
{
    return hm_random_u64(random) % count;
}

static char *pick_text(const struct hm_random *random, struct hm_arena *arena)
{
    uint64_t pieces = pick(random, 4);
    char *text = hm_arena_strdup(arena, "");

    for (uint64_t i = 0; i < pieces; i++)
        text = hm_arena_printf(arena, "%s%s", text, awkward[pick(random, HM_COUNT_OF(awkward))]);
    return text;
}

static void set(Hypermesh__JobSpec *spec, const char *field, const char *text,
                struct hm_arena *arena)
{
    struct hm_error error = {0};

    if (wire_job_spec_set(spec, field, text, arena, &error))
        fail_msg("%s", error.text);
}

static void pick_lists(const struct hm_random *random, struct hm_arena *arena,
                       Hypermesh__JobSpec *spec)
{
    uint64_t count = pick(random, 6);

    for (uint64_t i = 0; i < count; i++)
        set(spec, "command",
            hm_arena_printf(arena, "%s%s", i == 0 ? "x" : "", pick_text(random, arena)), arena);
    count = pick(random, 6);
    for (uint64_t i = 0; i < count; i++)
        set(spec, "env",
            hm_arena_printf(arena, "V%llu=%s", (unsigned long long)i, pick_text(random, arena)),
            arena);
    count = pick(random, 4);
    for (uint64_t i = 0; i < count; i++)
        set(spec, "inputs",
            hm_arena_printf(arena, "./a: \"%llu\\:/in%llu", (unsigned long long)pick(random, 9),
                            (unsigned long long)i),
            arena);
    count = pick(random, 4);
    for (uint64_t i = 0; i < count; i++)
        set(spec, "outputs",
            hm_arena_printf(arena, "/out%llu:\xf0\x9f\x98\x80 #%llu", (unsigned long long)i,
                            (unsigned long long)i),
            arena);
}

static void pick_spec(const struct hm_random *random, struct hm_arena *arena,
                      Hypermesh__JobSpec *spec)
{
    static const char *const images[] = {"busybox", "a/b-c.d:1.0_x", "null", "0", "true"};
    static const char *const folders[] = {"/", "/a b", "/\xc3\xbc", "/a/b"};

    wire_job_spec_init(spec);
    set(spec, "image", images[pick(random, HM_COUNT_OF(images))], arena);
    if (pick(random, 2))
        set(spec, "name", images[pick(random, 1)], arena);
    if (pick(random, 2))
        set(spec, "workdir", folders[pick(random, HM_COUNT_OF(folders))], arena);
    spec->cpu_milli = (uint32_t)(10 + pick(random, 1024000 - 9));
    spec->memory_bytes = (4 << 20) + pick(random, (uint64_t)1 << (10 + pick(random, 35)));
    spec->storage_bytes = (1 << 20) + pick(random, (uint64_t)1 << (10 + pick(random, 35)));
    spec->gpu_milli = (uint32_t)pick(random, 64001);
    spec->pids = (uint32_t)(1 + pick(random, 32768));
    spec->timeout_ms = 1000 + pick(random, 86400000 - 999);
    spec->network = (protobuf_c_boolean)pick(random, 2);
    spec->max_price = pick(random, 3) ? pick(random, WIRE_JOB_MAX_PRICE + 1) : 0;
    pick_lists(random, arena, spec);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPECS; seed++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        HM_CLEANUP(hm_buf) struct hm_buf json = {0};
        HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
        HM_CLEANUP(hm_buf) struct hm_buf packed_again = {0};
        struct hm_random_seeded twister;
        struct hm_random random = hm_random_seeded_source(&twister, seed);
        Hypermesh__JobSpec spec;
        Hypermesh__JobSpec *again = NULL;
        struct hm_error error = {0};

        pick_spec(&random, &arena, &spec);
        assert_int_equal(wire_job_spec_complete(&spec, &arena, &error), 0);
        assert_int_equal(wire_job_spec_json(&spec, &json), 0);
        if (wire_job_spec_parse(hm_buf_slice(&json), "json", &arena, &again, &error))
            fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, error.text, hm_buf_cstr(&json));
        assert_int_equal(wire_pack(&spec.base, &packed), 0);
        assert_int_equal(wire_pack(&again->base, &packed_again), 0);
        if (!hm_slice_equal(hm_buf_slice(&packed), hm_buf_slice(&packed_again)))
            fail_msg("seed %llu: differs\n%s", (unsigned long long)seed, hm_buf_cstr(&json));
    }
}

static void test_exact(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    Hypermesh__JobSpec *spec = NULL;

    (void)state;
    assert_int_equal(
        wire_job_spec_parse(hm_slice_str("image: busybox\ncommand: echo hi\ncpus: 0.5\n"
                                         "env: {A: \"b\\n\"}\noutputs: ['/o:p']\n"),
                            "j", &arena, &spec, NULL),
        0);
    assert_int_equal(wire_job_spec_json(spec, &json), 0);
    assert_string_equal(
        hm_buf_cstr(&json),
        "{\"name\": \"busybox\", \"image\": \"busybox\", \"command\": [\"sh\", \"-c\", \"echo "
        "hi\"], "
        "\"env\": {\"A\": \"b\\n\"}, \"cpus\": 0.5, \"memory\": \"256M\", \"storage\": \"1G\", "
        "\"gpus\": 0, \"pids\": 256, \"timeout\": \"10m\", \"network\": false, "
        "\"outputs\": [{\"source\": \"/o\", \"target\": \"p\"}], \"max_price\": \"0\"}");
}

static void test_refused(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    char *command[] = {(char *)"\xff"};
    Hypermesh__JobSpec spec;

    (void)state;
    wire_job_spec_init(&spec);
    spec.image = (char *)"busybox";
    spec.command = command;
    spec.n_command = 1;
    assert_int_equal(hm_buf_append_str(&json, "kept"), 0);
    assert_int_equal(wire_job_spec_json(&spec, &json), HM_EINVAL);
    assert_string_equal(hm_buf_cstr(&json), "kept");
}

/* What would not be read back for its length is not written. */
static void test_too_long(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    size_t len = 100 * 1024;
    char *bells = hm_arena_alloc(&arena, len + 1);
    Hypermesh__JobSpec spec;

    (void)state;
    memset(bells, 7, len); /* six characters each in JSON */
    wire_job_spec_init(&spec);
    set(&spec, "image", "busybox", &arena);
    set(&spec, "command", "echo", &arena);
    set(&spec, "command", bells, &arena);
    assert_int_equal(wire_job_spec_complete(&spec, &arena, NULL), 0);
    assert_int_equal(wire_job_spec_json(&spec, &json), HM_ELIMIT);
    assert_int_equal(json.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
