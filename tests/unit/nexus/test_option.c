/* The parser of command lines, on a small grammar and on nexus's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nexus_call.h"

#define ARGS_MAX 12

static const struct nexus_option copy_options[] = {
    {.name = "force", .letter = 'f', .help = "h"},
    {.name = "quick", .letter = 'q', .help = "h"},
    {.name = "size", .letter = 's', .value = "SIZE", .help = "h"},
    {.name = "mode", .value = "MODE", .help = "h", .words = "slow fast"},
    {.name = "env", .letter = 'e', .value = "N=V", .help = "h", .many = true},
};
static const struct nexus_verb verb_copy = {.name = "copy",
                                            .operands = "FROM TO",
                                            .operands_min = 2,
                                            .operands_max = 2,
                                            .summary = "s",
                                            .options = copy_options,
                                            .option_count = HM_COUNT_OF(copy_options)};
static const struct nexus_verb verb_start = {.name = "start",
                                             .operands = "[COMMAND]",
                                             .operands_max = 100,
                                             .command = true,
                                             .summary = "s",
                                             .options = copy_options,
                                             .option_count = HM_COUNT_OF(copy_options)};
static const struct nexus_verb verb_box_open = {
    .group = "box", .name = "open", .alias = "unlock", .summary = "s"};
static const struct nexus_verb *const verbs[] = {&verb_copy, &verb_start, &verb_box_open};
static const struct nexus_group groups[] = {{"box", "s"}};
static const struct nexus_option globals[] = {{.name = "help", .letter = 'h', .help = "h"},
                                              {.name = "version", .help = "h"},
                                              {.name = "data", .value = "DIR", .help = "h"}};
static const struct nexus_grammar grammar = {verbs,   HM_COUNT_OF(verbs),  groups, 1,
                                             globals, HM_COUNT_OF(globals)};

struct fixture {
    struct hm_arena arena;
    struct nexus_line line;
    struct hm_error error;
};

/* Words are separated by one space each. */
static int parse(struct fixture *f, const char *text)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t)("nexus")};
    char *rest = NULL;
    char *copy;
    int argc = 1;

    hm_arena_init(&f->arena, 0);
    f->error = (struct hm_error){0};
    copy = hm_arena_strdup(&f->arena, text);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return nexus_line_parse(&grammar, argc, argv, &f->arena, &f->line, &f->error);
}

static void refuse(const char *text, const char *why)
{
    struct fixture f;

    assert_int_equal(parse(&f, text), HM_EINVAL);
    if (!strstr(f.error.text, why))
        fail_msg("\"%s\" says: %s", text, f.error.text);
    hm_arena_release(&f.arena);
}

static void test_forms_of_options(void **state)
{
    static const char *const same[] = {"copy --force --size 3 a b", "copy a -f b --size=3",
                                       "copy -fs3 a b", "copy -fs 3 a b", "copy -s3 a -f -- b"};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(same); i++) {
        struct fixture f;

        assert_int_equal(parse(&f, same[i]), 0);
        assert_ptr_equal(f.line.verb, &verb_copy);
        assert_true(nexus_line_has(&f.line, &grammar, "force"));
        assert_false(nexus_line_has(&f.line, &grammar, "quick"));
        assert_string_equal(nexus_line_value(&f.line, &grammar, "size"), "3");
        assert_int_equal(f.line.operand_count, 2);
        assert_string_equal(f.line.operands[0], "a");
        assert_string_equal(f.line.operands[1], "b");
        hm_arena_release(&f.arena);
    }
}

static void test_last_value_counts_and_many_are_kept(void **state)
{
    struct fixture f;
    size_t at = 0;

    (void)state;
    assert_int_equal(parse(&f, "copy -s 1 -s 2 -e A=1 -e B=2 x y"), 0);
    assert_string_equal(nexus_line_value(&f.line, &grammar, "size"), "2");
    assert_string_equal(nexus_line_next(&f.line, "env", &at), "A=1");
    assert_string_equal(nexus_line_next(&f.line, "env", &at), "B=2");
    assert_null(nexus_line_next(&f.line, "env", &at));
    hm_arena_release(&f.arena);
}

static void test_globals_stand_anywhere(void **state)
{
    static const char *const lines[] = {"--data /d box open", "box --data /d open",
                                        "box open --data /d", "box unlock --data=/d"};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(lines); i++) {
        struct fixture f;

        assert_int_equal(parse(&f, lines[i]), 0);
        assert_ptr_equal(f.line.verb, &verb_box_open);
        assert_string_equal(nexus_line_value(&f.line, &grammar, "data"), "/d");
        hm_arena_release(&f.arena);
    }
}

static void test_command_keeps_its_own_options(void **state)
{
    static const char *const lines[] = {"start -q sh -c --force", "start -q -- sh -c --force"};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(lines); i++) {
        struct fixture f;

        assert_int_equal(parse(&f, lines[i]), 0);
        assert_true(nexus_line_has(&f.line, &grammar, "quick"));
        assert_false(nexus_line_has(&f.line, &grammar, "force"));
        assert_int_equal(f.line.operand_count, 3);
        assert_string_equal(f.line.operands[2], "--force");
        hm_arena_release(&f.arena);
    }
}

static void test_group_alone(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(parse(&f, "box"), 0);
    assert_null(f.line.verb);
    assert_string_equal(f.line.group->name, "box");
    hm_arena_release(&f.arena);
    assert_int_equal(parse(&f, ""), 0);
    assert_null(f.line.group);
    hm_arena_release(&f.arena);
    assert_int_equal(parse(&f, "copy --help"), 0); /* operands are not counted */
    hm_arena_release(&f.arena);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("cpoy a b", "did you mean copy?");
    refuse("zzz", "there is no verb zzz");
    refuse("box opne", "did you mean box open?");
    refuse("open", "there is no verb open");
    refuse("copy a", "needs more: nexus copy FROM TO");
    refuse("copy a b c", "does not take \"c\"");
    refuse("copy --forse a b", "did you mean --force?");
    refuse("copy --zzz a b", "copy has no option --zzz");
    refuse("copy -z a b", "copy has no option -z");
    refuse("copy a b -s", "--size needs a value");
    refuse("copy a b --size", "--size needs a value");
    refuse("copy --force=1 a b", "--force takes no value");
    refuse("copy --mode fats a b", "must be one of: slow fast");
    refuse("copy --mode fas a b", "must be one of: slow fast");
    refuse("--size 3 copy a b", "there is no option --size before the verb");
}

static void test_too_many_arguments(void **state)
{
    char **argv = hm_calloc(NEXUS_ARGUMENTS_MAX + 1, sizeof(*argv));
    struct fixture f = {0};

    (void)state;
    hm_arena_init(&f.arena, 0);
    assert_int_equal(
        nexus_line_parse(&grammar, NEXUS_ARGUMENTS_MAX + 1, argv, &f.arena, &f.line, &f.error),
        HM_ELIMIT);
    hm_arena_release(&f.arena);
    hm_free(argv);
}

/* What nexus itself promises: no name twice, every option told what it does, values named. */
static void check_options(const struct nexus_option *options, size_t count, const char *where)
{
    const struct nexus_grammar *own = nexus_grammar();

    for (size_t i = 0; i < count; i++) {
        assert_non_null(options[i].help);
        if (options[i].words && !options[i].value)
            fail_msg("%s --%s: words without a value", where, options[i].name);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(options[i].name, options[j].name);
            if (options[i].letter && options[i].letter == options[j].letter)
                fail_msg("%s: -%c twice", where, options[i].letter);
        }
        for (size_t j = 0; options != own->globals && j < own->global_count; j++) {
            assert_string_not_equal(options[i].name, own->globals[j].name);
            if (options[i].letter && options[i].letter == own->globals[j].letter)
                fail_msg("%s: -%c hides a global option", where, options[i].letter);
        }
    }
}

static void test_own_grammar(void **state)
{
    const struct nexus_grammar *own = nexus_grammar();

    (void)state;
    check_options(own->globals, own->global_count, "globals");
    for (size_t i = 0; i < own->verb_count; i++) {
        const struct nexus_verb *verb = own->verbs[i];

        assert_non_null(verb->run);
        assert_non_null(verb->summary);
        assert_true(verb->operands_min <= verb->operands_max);
        assert_true((verb->operands != NULL) == (verb->operands_max > 0));
        check_options(verb->options, verb->option_count, verb->name);
        for (size_t j = 0; j < i; j++) {
            bool same_group = verb->group ? own->verbs[j]->group &&
                                                strcmp(own->verbs[j]->group, verb->group) == 0
                                          : !own->verbs[j]->group;

            assert_false(same_group && strcmp(own->verbs[j]->name, verb->name) == 0);
        }
    }
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"status", "run", "verify", "version", "up"};

    (void)state;
    assert_string_equal(nexus_nearest("stauts", names, 5), "status");
    assert_string_equal(nexus_nearest("rn", names, 5), "run");
    assert_string_equal(nexus_nearest("versoin", names, 5), "version");
    assert_string_equal(nexus_nearest("ver", names, 5), "verify");
    assert_null(nexus_nearest("xyzzy", names, 5));
    assert_null(nexus_nearest("", names, 5));
    assert_null(nexus_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", names, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_options),
        cmocka_unit_test(test_last_value_counts_and_many_are_kept),
        cmocka_unit_test(test_globals_stand_anywhere),
        cmocka_unit_test(test_command_keeps_its_own_options),
        cmocka_unit_test(test_group_alone),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_arguments),
        cmocka_unit_test(test_own_grammar),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests_name("nexus_option", tests, NULL, NULL);
}
