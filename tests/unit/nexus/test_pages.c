/* The man pages say what the tables say: every verb, operand and option, and none that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdlib.h>

#include "nexus_call.h"
#include "nexus_help.h"

#define PAGE_MAX_BYTES ((size_t)256 << 10)

/* All pages of nexus, one after the other. */
static void read_pages(struct hm_buf *out)
{
    const char *source = getenv("HM_SOURCE");
    char pattern[4096];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/docs/man/nexus*.scd", source ? source : ".");
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        assert_int_equal(hm_file_read(found.gl_pathv[i], PAGE_MAX_BYTES, out, NULL), 0);
        assert_int_equal(hm_buf_append_str(out, "\n"), 0);
    }
    globfree(&found);
}

/* The part of the pages under "## TITLE", up to the next heading; NULL when there is none. In the arena. */
static char *section(struct hm_buf *pages, const char *title, struct hm_arena *arena)
{
    const char *heading = hm_arena_printf(arena, "\n## %s\n", title);
    const char *begin = strstr(hm_buf_cstr(pages), heading);
    const char *end;

    if (!begin)
        return NULL;
    begin += strlen(heading);
    end = strstr(begin, "\n#");
    return hm_arena_printf(arena, "%.*s", end ? (int)(end - begin) + 1 : (int)strlen(begin), begin);
}

static void check_options(char *text, const char *title, const struct nexus_option *options,
                          size_t count, struct hm_arena *arena)
{
    size_t told = 0;

    for (size_t i = 0; i < count; i++) {
        const char *line = options[i].letter ? hm_arena_printf(arena, "*-%c*, *--%s*",
                                                               options[i].letter, options[i].name)
                                             : hm_arena_printf(arena, "*--%s*", options[i].name);

        if (options[i].value)
            line = hm_arena_printf(arena, "%s _%s_", line, options[i].value);
        line = hm_arena_printf(arena, "\n%s\n\t", line);
        if (!strstr(text, line))
            fail_msg("%s does not tell of:%s", title, line);
    }
    for (const char *at = text; (at = strstr(at, "\n*-")) != NULL; at++)
        told++;
    if (told != count)
        fail_msg("%s tells of %zu options, there are %zu", title, told, count);
}

static void test_every_verb(void **state)
{
    const struct nexus_grammar *grammar = nexus_grammar();
    HM_CLEANUP(hm_buf) struct hm_buf pages = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    size_t headings = 0;

    (void)state;
    hm_arena_init(&arena, 0);
    read_pages(&pages);
    for (size_t i = 0; i < grammar->verb_count; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];
        char *title = hm_arena_printf(
            &arena, "nexus %s%s%s%s%s%s", verb->group ? verb->group : "", verb->group ? " " : "",
            verb->name, verb->option_count ? " [OPTIONS]" : "", verb->operands ? " " : "",
            verb->operands ? verb->operands : "");
        char *text = section(&pages, title, &arena);

        if (!text)
            fail_msg("no man page has: ## %s", title);
        check_options(text, title, verb->options, verb->option_count, &arena);
    }
    for (const char *at = hm_buf_cstr(&pages); (at = strstr(at, "\n## nexus ")) != NULL; at++)
        headings++;
    assert_int_equal(headings, grammar->verb_count);
}

static void test_global_options(void **state)
{
    const struct nexus_grammar *grammar = nexus_grammar();
    HM_CLEANUP(hm_buf) struct hm_buf pages = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char *text;

    (void)state;
    hm_arena_init(&arena, 0);
    read_pages(&pages);
    text = section(&pages, "Options of every verb", &arena);
    assert_non_null(text);
    check_options(text, "nexus.1", grammar->globals, grammar->global_count, &arena);
}

/* Help is made from the tables; what must be there is that nothing is left out or cut. */
static void test_help(void **state)
{
    const struct nexus_grammar *grammar = nexus_grammar();
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf all = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(nexus_help_all(grammar, &arena, &all), 0);
    for (size_t i = 0; i < grammar->group_count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};

        assert_non_null(strstr(hm_buf_cstr(&all), grammar->groups[i].summary));
        assert_int_equal(nexus_help_group(grammar, &grammar->groups[i], &arena, &text), 0);
        for (size_t j = 0; j < grammar->verb_count; j++)
            if (grammar->verbs[j]->group &&
                strcmp(grammar->verbs[j]->group, grammar->groups[i].name) == 0)
                assert_non_null(strstr(hm_buf_cstr(&text), grammar->verbs[j]->summary));
    }
    for (size_t i = 0; i < grammar->verb_count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};
        const struct nexus_verb *verb = grammar->verbs[i];

        if (!verb->group)
            assert_non_null(strstr(hm_buf_cstr(&all), verb->summary));
        assert_int_equal(nexus_help_verb(grammar, verb, &arena, &text), 0);
        for (size_t j = 0; j < verb->option_count; j++)
            assert_non_null(strstr(hm_buf_cstr(&text), verb->options[j].help));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_verb),
        cmocka_unit_test(test_global_options),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests_name("nexus_pages", tests, NULL, NULL);
}
