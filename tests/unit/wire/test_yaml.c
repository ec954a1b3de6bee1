/* The reader of YAML: what it takes, where it says things stand, and its limits one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

static const struct wire_yaml_limits small = {.bytes = 4096, .depth = 4, .nodes = 20};

static const struct wire_yaml *taken(const char *text, struct hm_arena *arena)
{
    const struct wire_yaml *root = NULL;
    struct hm_error error = {0};

    if (wire_yaml_parse(hm_slice_str(text), "x", &small, arena, &root, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    return root;
}

static void refused(struct hm_slice text, const struct wire_yaml_limits *limits, int code,
                    const char *says)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct wire_yaml *root = NULL;
    struct hm_error error = {0};
    int rc = wire_yaml_parse(text, "x", limits, &arena, &root, &error);

    if (rc != code || error.code != code || strstr(error.text, says) == NULL)
        fail_msg("%d \"%s\", not %d \"%s\"", rc, error.text, code, says);
    assert_null(root);
}

static void test_tree(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct wire_yaml *root = taken("a: 1\nb: [x, 'y', ~]\n\xc3\xa9: {c: \"\"}\n", &arena);
    const struct wire_yaml *list = root->first->next;

    (void)state;
    assert_int_equal(root->kind, WIRE_YAML_MAP);
    assert_int_equal(root->count, 3);
    assert_string_equal(root->first->key->text, "a");
    assert_false(root->first->quoted);
    assert_int_equal(list->kind, WIRE_YAML_LIST);
    assert_int_equal(list->count, 3);
    assert_true(list->first->next->quoted);
    assert_int_equal(list->first->next->line, 2);
    assert_int_equal(list->first->next->column, 8);
    assert_true(wire_yaml_is_null(list->first->next->next));
    assert_false(wire_yaml_is_null(list->next->first)); /* "" is a text */
    assert_int_equal(list->next->column, 4); /* in characters, not bytes */

    assert_int_equal(taken("plain", &arena)->kind, WIRE_YAML_TEXT);
    assert_int_equal(taken("\xef\xbb\xbf{\"a\":\r\n\t1}\r\n", &arena)->count, 1);
    assert_string_equal(taken("a: |\n  x\r\n  y\r\n", &arena)->first->text, "x\ny\n");
}

static void repeat(struct hm_buf *text, const char *piece, unsigned times)
{
    hm_buf_clear(text);
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(hm_buf_append_str(text, piece), 0);
}

static void test_limits(void **state)
{
    static const struct wire_yaml_limits wide = {.bytes = 1 << 20, .depth = 1000, .nodes = 100000};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const struct wire_yaml *root = NULL;
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(taken("[[[x]]]", &arena)->count, 1);
    refused(hm_slice_str("[[[[x]]]]"), &small, HM_ELIMIT, "x:1:5: nested too deeply");
    repeat(&text, "- ", 5);
    refused(hm_buf_slice(&text), &small, HM_ELIMIT, "nested too deeply");
    /* whatever a caller allows, the stack has a bound of its own */
    repeat(&text, "[", WIRE_YAML_MAX_DEPTH + 1);
    refused(hm_buf_slice(&text), &wide, HM_ELIMIT, "nested too deeply");
    repeat(&text, "{a: ", 100000);
    refused(hm_buf_slice(&text), &wide, HM_ELIMIT, "nested too deeply");

    repeat(&text, "- x\n", 19); /* and the list itself */
    assert_int_equal(taken(hm_buf_cstr(&text), &arena)->count, 19);
    repeat(&text, "- x\n", 20);
    refused(hm_buf_slice(&text), &small, HM_ELIMIT, "x:20:3: more values than are taken");

    repeat(&text, "#", 4096);
    refused(hm_buf_slice(&text), &small, HM_EPARSE, "is empty");
    repeat(&text, "#", 4097);
    refused(hm_buf_slice(&text), &small, HM_ELIMIT, "x: 4097 bytes long, at most 4096");

    hm_buf_clear(&text);
    for (unsigned i = 0; i < WIRE_YAML_MAX_MEMBERS; i++)
        assert_int_equal(hm_buf_printf(&text, "f%u: x\n", i), 0);
    if (wire_yaml_parse(hm_buf_slice(&text), "x", &wide, &arena, &root, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(hm_buf_append_str(&text, "one: more\n"), 0);
    refused(hm_buf_slice(&text), &wide, HM_ELIMIT, "a mapping of more than 1024 fields");

    /* an arena that is too small */
    hm_arena_release(&arena);
    hm_arena_init(&arena, 64);
    assert_int_equal(wire_yaml_parse(hm_slice_str("[a, b, c]"), "x", &wide, &arena, &root, NULL),
                     HM_ENOMEM);
}

/* A thousand million lols are never unfolded, because nothing is. */
static void test_bombs(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    (void)state;
    assert_int_equal(hm_buf_append_str(&text, "a0: &a0 [lol, lol]\n"), 0);
    for (int i = 1; i < 9; i++)
        assert_int_equal(
            hm_buf_printf(&text, "a%d: &a%d [*a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1), 0);
    refused(hm_buf_slice(&text), &small, HM_EPARSE, "x:1:5: anchors");
    refused(hm_slice_str("a: *a"), &small, HM_EPARSE, "x:1:4: aliases");
    refused(hm_slice_str("&a [*a]"), &small, HM_EPARSE, "x:1:1: anchors");
    refused(hm_slice_str("&a k: v"), &small, HM_EPARSE, "x:1:1: anchors");
    refused(hm_slice_str("*a : v"), &small, HM_EPARSE, "aliases");
    refused(hm_slice_str("!!python/object:os.system x"), &small, HM_EPARSE, "x:1:1: tags");
    refused(hm_slice_str("a: !!binary aGk="), &small, HM_EPARSE, "x:1:4: tags");
    refused(hm_slice_str("%TAG ! tag:x,1:\n--- a"), &small, HM_EPARSE, "directives");
    refused(hm_slice_str("a\n---\nb"), &small, HM_EPARSE, "x:2:1: a second document");
    refused(hm_slice_str("{a: 1, a: 2}"), &small, HM_EPARSE, "a: given twice, first on line 1");
    refused(hm_slice_str("{\"\\u0061\": 1, a: 2}"), &small, HM_EPARSE, "given twice");
    refused(hm_slice_str("{[a]: 1}"), &small, HM_EPARSE, "a field's name must be text");
    refused(hm_slice_of("a: \0b", 5), &small, HM_EPARSE, "x:1:4: a character");
    refused(hm_slice_str("a: \"\\0\""), &small, HM_EPARSE, "NUL");
    refused(hm_slice_str("a: \"\\x00\""), &small, HM_EPARSE, "NUL");
    refused(hm_slice_str("a: \xc3("), &small, HM_EPARSE, "x:1:5: a character");
    refused(hm_slice_str("a: \xed\xa0\x80"), &small, HM_EPARSE, "a character"); /* a surrogate */
    refused(hm_slice_of("\xfe\xff\0a", 4), &small, HM_EPARSE, "a character"); /* UTF-16 */
    refused(hm_slice_of("a\0:\0 \0b\0", 8), &small, HM_EPARSE, "a character");
}

/* Every cut of a document is refused or read, and never more than the bytes there are. */
static void test_cuts(void **state)
{
    static const char whole[] =
        "a: {b: [\"c\\u00e9\", 'd']}\ne: >-\n  f\n  g\nh: - i\n\"j\": ? k\nl: \"\xe2\x82\xac\"\n";
    size_t refusals = 0;

    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        HM_AUTOFREE char *cut = hm_strndup(whole, len); /* of its own, for a sanitizer */
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        const struct wire_yaml *root = NULL;

        assert_non_null(cut);
        refusals += wire_yaml_parse(hm_slice_of(cut, len), "x", &small, &arena, &root, NULL) != 0;
    }
    assert_true(refusals > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
