/* The manifest of what a job left: its exact form, its bound, and that its hash is the result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime_outputs.h"

#define MANY 3000

static char dir[64];

static void put(const char *name, const char *text, mode_t mode)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (text == NULL)
        assert_int_equal(mkdir(path, 0700), 0);
    else
        assert_int_equal(hm_file_replace(path, text, strlen(text), 0600, NULL), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/hm-result-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    return hm_remove_tree(dir, NULL);
}

static struct runtime_outputs *copy(const char *source, const char *name)
{
    struct runtime_outputs *outputs = hm_malloc(sizeof(*outputs));
    struct hm_error error = {0};
    char from[128], to[128];

    assert_non_null(outputs);
    runtime_outputs_init(outputs, (uint64_t)1 << 30);
    snprintf(from, sizeof(from), "%s/%s", dir, name);
    snprintf(to, sizeof(to), "%s/copied", dir);
    if (runtime_outputs_copy(outputs, source, from, to, &error) != 0)
        fail_msg("%s", error.text);
    return outputs;
}

static void assert_digest(const struct runtime_result *result,
                          const uint8_t digest[CRYPTO_HASH_BYTES])
{
    const struct hm_slice whole = hm_slice_of(result->text, result->len);
    uint8_t again[CRYPTO_HASH_BYTES];

    crypto_hash_parts("hypermesh 1 job result", &whole, 1, again);
    assert_memory_equal(again, digest, sizeof(again));
}

static void test_form(void **state)
{
    HM_AUTOFREE struct runtime_outputs *outputs = NULL;
    uint8_t digest[CRYPTO_HASH_BYTES], content[CRYPTO_HASH_BYTES];
    char hash[2 * CRYPTO_HASH_BYTES + 1], expected[1024], path[256];

    (void)state;
    put("out", NULL, 0755);
    put("out/b", NULL, 0750);
    put("out/b/in side", "content", 0640);
    put("out/b.c", "", 04755); /* the set-id bit is not kept */
    put("out/\xff%\n", "", 0600);
    snprintf(path, sizeof(path), "%s/out/link", dir);
    assert_int_equal(symlink("../to me", path), 0);
    outputs = copy("/out", "out");
    runtime_result_final(&outputs->result, digest);
    crypto_hash("content", 7, content);
    hm_hex_encode(content, sizeof(content), hash);
    snprintf(expected, sizeof(expected),
             "hypermesh job result 1\n"
             "o /out\n"
             "d 0750 /out/b\n"
             "f 0640 7 %s /out/b/in%%20side\n"
             "f 0755 0 af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262 /out/b.c\n"
             "l ../to%%20me /out/link\n"
             "f 0600 0 af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262 "
             "/out/%%FF%%25%%0A\n",
             hash);
    assert_int_equal(outputs->result.len, strlen(expected));
    assert_memory_equal(outputs->result.text, expected, outputs->result.len);
    assert_digest(&outputs->result, digest);
}

static void test_nothing_left(void **state)
{
    struct runtime_result *result = hm_malloc(sizeof(*result));
    uint8_t none[CRYPTO_HASH_BYTES], empty[CRYPTO_HASH_BYTES];

    (void)state;
    assert_non_null(result);
    runtime_result_init(result);
    runtime_result_final(result, none);
    assert_int_equal(result->len, 23);
    assert_digest(result, none);
    runtime_result_init(result);
    runtime_result_output(result, "/");
    runtime_result_folder(result, "/", "a", 0755);
    runtime_result_final(result, empty);
    assert_memory_equal(result->text + 23, "o /\nd 0755 /a\n", 14); /* no "//a" */
    assert_memory_not_equal(none, empty, sizeof(none));
    hm_free(result);
}

/* More lines than fit: those that fit, then one line with the hash of the rest. */
static void test_tail(void **state)
{
    struct runtime_result *result = hm_malloc(sizeof(*result));
    HM_CLEANUP(hm_buf) struct hm_buf all = {0};
    uint8_t digest[CRYPTO_HASH_BYTES], other[CRYPTO_HASH_BYTES], content[CRYPTO_HASH_BYTES] = {0};
    char hash[2 * CRYPTO_HASH_BYTES + 1], name[64], last[256];
    size_t kept = 0, lines = 0;
    struct hm_slice rest;

    (void)state;
    assert_non_null(result);
    for (unsigned round = 0; round < 2; round++) {
        hm_buf_clear(&all);
        assert_int_equal(hm_buf_append_str(&all, "hypermesh job result 1\no /out\n"), 0);
        runtime_result_init(result);
        runtime_result_output(result, "/out");
        hm_hex_encode(content, sizeof(content), hash);
        for (unsigned i = 0; i < MANY; i++) {
            snprintf(name, sizeof(name), i % 2 == 0 ? "a-rather-long-name-%06u" : "%u", i);
            runtime_result_file(result, "/out", name, 0644, i,
                                round == 1 && i + 1 == MANY ? digest : content);
            assert_int_equal(hm_buf_printf(&all, "f 0644 %u %s /out/%s\n", i, hash, name), 0);
        }
        runtime_result_final(result, round == 0 ? digest : other);
        assert_true(result->len <= RUNTIME_MANIFEST_MAX_BYTES);
    }
    assert_digest(result, other);
    assert_memory_not_equal(digest, other, sizeof(digest)); /* the last file's content differs */

    runtime_result_init(result);
    runtime_result_output(result, "/out");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), i % 2 == 0 ? "a-rather-long-name-%06u" : "%u", i);
        runtime_result_file(result, "/out", name, 0644, i, content);
    }
    runtime_result_final(result, other);
    assert_memory_equal(digest, other, sizeof(digest));

    /* No shorter line slips in behind the first that did not fit. */
    while (kept < result->len && result->text[kept] == (char)all.data[kept])
        kept++;
    while (kept > 0 && result->text[kept - 1] != '\n')
        kept--;
    assert_true(kept + 88 + 128 > RUNTIME_MANIFEST_MAX_BYTES);
    rest = hm_slice_of(all.data + kept, all.len - kept);
    for (size_t i = 0; i < rest.len; i++)
        lines += rest.data[i] == '\n';
    crypto_hash_parts("hypermesh 1 job result tail", &rest, 1, content);
    hm_hex_encode(content, sizeof(content), hash);
    snprintf(last, sizeof(last), "+ %zu %s\n", lines, hash);
    assert_int_equal(result->len - kept, strlen(last));
    assert_memory_equal(result->text + kept, last, strlen(last));
    hm_free(result);
}

/* The longest names there can be: nothing is written past the line. */
static void test_longest_line(void **state)
{
    struct runtime_result *result = hm_malloc(sizeof(*result));
    uint8_t digest[CRYPTO_HASH_BYTES];
    char path[RUNTIME_PATH_MAX_BYTES];

    (void)state;
    assert_non_null(result);
    memset(path, '\xff', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    runtime_result_init(result);
    runtime_result_link(result, path, path, path);
    runtime_result_file(result, path, path, 0777, UINT64_MAX, (const uint8_t *)path);
    runtime_result_final(result, digest);
    assert_digest(result, digest);
    assert_true(result->len > 23 + 3 * 3 * (sizeof(path) - 1));
    hm_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_form, setup, teardown),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_longest_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
