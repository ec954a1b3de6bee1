/* Names and the stream of records, however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backup_format.h"

static void test_names(void **state)
{
    static const char *const good[] = {"a",  "keys/user.root", "ledger/data.mdb", "a/b/c", "..a",
                                       "a.."};
    static const char *const bad[] = {"",     "/a",    "a/",  "a//b", ".",        "..",   "../a",
                                      "a/..", "a/./b", "a b", "a\n",  "\xc3\xa4", "a\\b", "a:b"};
    char longest[BACKUP_NAME_MAX_BYTES + 2];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(good); i++)
        assert_true(backup_name_ok(good[i]));
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_false(backup_name_ok(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[BACKUP_NAME_MAX_BYTES + 1] = '\0';
    assert_false(backup_name_ok(longest));
    longest[BACKUP_NAME_MAX_BYTES] = '\0';
    assert_true(backup_name_ok(longest));
}

static void put_name(struct hm_buf *out, const char *name)
{
    size_t len = strlen(name);

    assert_int_equal(hm_buf_append(out, (uint8_t[]){1, (uint8_t)(len >> 8), (uint8_t)len}, 3), 0);
    assert_int_equal(hm_buf_append_str(out, name), 0);
}

static void put_data(struct hm_buf *out, const char *text)
{
    assert_int_equal(hm_buf_append(out, (uint8_t[]){2, 0, 0, 0, (uint8_t)strlen(text)}, 5), 0);
    assert_int_equal(hm_buf_append_str(out, text), 0);
}

static void put_done(struct hm_buf *out, const char *whole)
{
    uint8_t record[1 + CRYPTO_HASH_BYTES] = {3};

    crypto_hash(whole, strlen(whole), record + 1);
    assert_int_equal(hm_buf_append(out, record, sizeof(record)), 0);
}

static void put_end(struct hm_buf *out, uint8_t files)
{
    assert_int_equal(hm_buf_append(out, (uint8_t[]){4, 0, 0, 0, files}, 5), 0);
}

/* What the parser tells: "name[data]" for each file, "." at the end. */
static int parse(const struct hm_buf *stream, size_t step, struct hm_buf *told)
{
    struct backup_parser parser;

    backup_parser_init(&parser);
    for (size_t at = 0; at < stream->len; at += step) {
        struct hm_slice bytes = hm_slice_of(stream->data + at,
                                            stream->len - at < step ? stream->len - at : step);

        while (bytes.len > 0) {
            enum backup_found found;
            struct hm_slice data;
            int rc = backup_parser_step(&parser, &bytes, &found, &data, NULL);

            if (rc)
                return rc;
            if (found == BACKUP_FOUND_FILE)
                assert_int_equal(hm_buf_printf(told, "%s[", parser.name), 0);
            if (found == BACKUP_FOUND_DATA)
                assert_int_equal(hm_buf_append(told, data.data, data.len), 0);
            if (found == BACKUP_FOUND_DONE)
                assert_int_equal(hm_buf_append_str(told, "]"), 0);
            if (found == BACKUP_FOUND_END)
                assert_int_equal(hm_buf_append_str(told, "."), 0);
        }
    }
    return 0;
}

static void test_any_cut(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf stream = {0};

    (void)state;
    put_name(&stream, "a/b");
    put_data(&stream, "hello ");
    put_data(&stream, "world");
    put_done(&stream, "hello world");
    put_name(&stream, "empty");
    put_done(&stream, "");
    put_end(&stream, 2);
    for (size_t step = 1; step <= stream.len; step++) {
        HM_CLEANUP(hm_buf) struct hm_buf told = {0};

        assert_int_equal(parse(&stream, step, &told), 0);
        assert_string_equal(hm_buf_cstr(&told), "a/b[hello world]empty[].");
    }
}

static void check_refused(struct hm_buf *stream, int code)
{
    HM_CLEANUP(hm_buf) struct hm_buf told = {0};

    assert_int_equal(parse(stream, stream->len, &told), code);
    hm_buf_release(stream);
}

static void test_refused(void **state)
{
    struct hm_buf stream = {0};

    (void)state;
    put_name(&stream, "../a");
    check_refused(&stream, HM_EPARSE);
    put_data(&stream, "outside of a file");
    check_refused(&stream, HM_EPARSE);
    put_name(&stream, "a");
    put_name(&stream, "b");
    check_refused(&stream, HM_EPARSE);
    put_name(&stream, "a");
    put_data(&stream, "x");
    put_done(&stream, "y");
    check_refused(&stream, HM_EPARSE);
    put_name(&stream, "a");
    put_end(&stream, 1);
    check_refused(&stream, HM_EPARSE);
    put_end(&stream, 1);
    check_refused(&stream, HM_EPARSE);
    put_end(&stream, 0);
    put_name(&stream, "a");
    check_refused(&stream, HM_EPARSE);
    put_name(&stream, "a");
    assert_int_equal(hm_buf_append(&stream, (uint8_t[]){2, 0, 0, 0, 0}, 5), 0);
    check_refused(&stream, HM_EPARSE);
    put_name(&stream, "a");
    assert_int_equal(hm_buf_append(&stream, (uint8_t[]){2, 0xff, 0, 0, 0}, 5), 0);
    check_refused(&stream, HM_EPARSE);
    assert_int_equal(hm_buf_append(&stream, (uint8_t[]){1, 0xff, 0xff}, 3), 0);
    check_refused(&stream, HM_ELIMIT);
    assert_int_equal(hm_buf_append(&stream, (uint8_t[]){9}, 1), 0);
    check_refused(&stream, HM_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("backup: stream", tests, NULL, NULL);
}
