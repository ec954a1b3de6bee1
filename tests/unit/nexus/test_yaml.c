/* YAML output, read back by a parser of its own: the same values under the YAML 1.1 and the core schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <yaml.h>

#include "nexus_json.h"
#include "nexus_yaml.h"

static void expect(const char *json, const char *yaml)
{
    NEXUS_AUTOJSON json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_non_null(value);
    assert_int_equal(nexus_yaml_write(value, &out, NULL), 0);
    assert_string_equal(hm_buf_cstr(&out), yaml);
}

static void test_forms(void **state)
{
    (void)state;
    expect("{\"a\": 1, \"b\": [true, null, \"x\"], \"c\": {}, \"d\": [], \"e\": -1.5}",
           "a: 1\nb:\n- true\n- null\n- x\nc: {}\nd: []\ne: -1.5\n");
    expect("\"0.5\"", "\"0.5\"\n");
    expect("{\"price\": \"1.50\", \"ok\": \"yes\", \"none\": \"null\", \"d\": \"2026-01-02\"}",
           "price: \"1.50\"\nok: \"yes\"\nnone: \"null\"\nd: \"2026-01-02\"\n");
    expect("1e20", "1.0e+20\n");
}

/* Does either schema take this plain text for something that is no text? */
static bool is_plain_text(const char *text)
{
    static const char *const words[] = {
        "~",  "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y",
        "Y",  "yes",  "Yes",  "YES",  "n",    "N",    "no",   "No",    "NO",    "on",    "On",
        "ON", "off",  "Off",  "OFF",  ".nan", ".NaN", ".inf", ".Inf",  "=",     "<<",    ""};

    for (size_t i = 0; i < HM_COUNT_OF(words); i++)
        if (strcmp(text, words[i]) == 0)
            return false;
    /* All forms of numbers and dates begin with a digit, a sign or a point. */
    return strchr("0123456789+-.", text[0]) == NULL;
}

static void test_texts_stay_texts(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        " a ",
        "a b",
        "a: b",
        "- a",
        "# a",
        "a #b",
        "yes",
        "NO",
        "On",
        "y",
        "null",
        "~",
        "0x10",
        "1e3",
        "1_000",
        "010",
        "+1",
        ".5",
        "-",
        "--- a",
        "...",
        "2026-01-02",
        "12:30",
        ".inf",
        "NaN",
        "a\nb",
        "a\n",
        "\n",
        "\t",
        "\x01",
        "\"q\"",
        "'q'",
        "\\n",
        "&a",
        "*a",
        "!t",
        "[a",
        "{a",
        "a]",
        "a, b",
        "%a",
        "@a",
        "`a",
        "<<",
        "=",
        "?",
        ": ",
        ":a",
        "|",
        ">",
        "µ 日本",
        "\xf0\x9f\x98\x80",
        "true",
        "inf",
        "nan",
        "http://127.0.0.1:7470",
        "hm1qq",
        "sha256:00",
        "a/b.c-d_e",
        "00e1",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\xef\xbb\xbf",
        "\xc2\xa0",
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(texts); i++) {
        NEXUS_AUTOJSON json_t *value = json_pack("{s:s}", "k", texts[i]);
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        yaml_parser_t parser;
        yaml_document_t document;
        yaml_node_t *node;

        assert_int_equal(nexus_yaml_write(value, &out, NULL), 0);
        assert_true(yaml_parser_initialize(&parser));
        yaml_parser_set_input_string(&parser, out.data, out.len);
        if (!yaml_parser_load(&parser, &document))
            fail_msg("text %zu does not parse: %s", i, hm_buf_cstr(&out));
        node = yaml_document_get_node(&document, 3); /* mapping, key, value */
        assert_non_null(node);
        assert_int_equal(node->type, YAML_SCALAR_NODE);
        assert_int_equal(node->data.scalar.length, strlen(texts[i]));
        assert_memory_equal(node->data.scalar.value, texts[i], strlen(texts[i]));
        if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_plain_text(texts[i]))
            fail_msg("\"%s\" stands without quotes", texts[i]);
        yaml_document_delete(&document);
        yaml_parser_delete(&parser);
    }
}

static void test_nesting_has_a_limit(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error = {0};
    json_t *value = json_array();

    (void)state;
    for (int i = 0; i < NEXUS_YAML_NESTING_MAX + 1; i++) {
        json_t *outer = json_array();

        json_array_append_new(outer, value);
        value = outer;
    }
    assert_int_equal(nexus_yaml_write(value, &out, &error), HM_ELIMIT);
    assert_int_equal(out.len, 0);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_texts_stay_texts),
        cmocka_unit_test(test_nesting_has_a_limit),
    };

    return cmocka_run_group_tests_name("nexus_yaml", tests, NULL, NULL);
}
