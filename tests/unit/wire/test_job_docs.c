/* What the documents and examples say about jobs is what the parser does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>

#include "wire.h"

static const char *source_folder(void)
{
    const char *folder = getenv("HM_SOURCE");

    return folder ? folder : ".";
}

static void read_file(const char *name, struct hm_buf *out)
{
    struct hm_error error = {0};
    char *path HM_AUTOFREE = hm_asprintf("%s/%s", source_folder(), name);

    if (hm_file_read(path, WIRE_JOB_SPEC_MAX_BYTES, out, &error))
        fail_msg("%s", error.text);
}

static void test_table(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf document = {0};
    HM_CLEANUP(hm_buf) struct hm_buf table = {0};

    (void)state;
    read_file("docs/job-spec.md", &document);
    assert_int_equal(wire_job_spec_table(&table), 0);
    if (!strstr(hm_buf_cstr(&document), hm_buf_cstr(&table)))
        fail_msg("docs/job-spec.md does not hold this table:\n%s", hm_buf_cstr(&table));
}

/* Each ```yaml and ```json block of the document is a job. */
static void test_blocks(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf document = {0};
    const char *at;
    unsigned blocks = 0;

    (void)state;
    read_file("docs/job-spec.md", &document);
    at = hm_buf_cstr(&document);
    while ((at = strstr(at, "\n```")) != NULL) {
        const char *body = strchr(at + 4, '\n');
        const char *end = body ? strstr(body, "\n```") : NULL;
        Hypermesh__JobSpec *spec = NULL;
        struct hm_error error = {0};

        assert_non_null(end);
        if (strncmp(at + 4, "yaml", 4) == 0 || strncmp(at + 4, "json", 4) == 0) {
            if (wire_job_spec_parse(hm_slice_of(body + 1, (size_t)(end - body)), "block", &arena,
                                    &spec, &error))
                fail_msg("block %u: %s", blocks, error.text);
            blocks++;
        }
        at = end + 4;
    }
    assert_true(blocks >= 2);
}

static void test_examples(void **state)
{
    char *path HM_AUTOFREE = hm_asprintf("%s/examples", source_folder());
    DIR *folder = opendir(path);
    unsigned examples = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        char *name HM_AUTOFREE = hm_asprintf("examples/%s", entry->d_name);
        Hypermesh__JobSpec *spec = NULL;
        struct hm_error error = {0};

        if (!strstr(name, ".yaml"))
            continue;
        read_file(name, &text);
        if (wire_job_spec_parse(hm_buf_slice(&text), name, &arena, &spec, &error))
            fail_msg("%s", error.text);
        examples++;
    }
    closedir(folder);
    assert_true(examples >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_examples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
