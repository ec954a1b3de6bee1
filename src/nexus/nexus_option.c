#include "nexus_option.h"

#include <stdlib.h>

#define NAMES_MAX 128

struct parser {
    const struct nexus_grammar *grammar;
    char **argv;
    int argc;
    int at; /* the next argument */
    struct nexus_line *line;
    struct hm_error *error;
    bool asks; /* --help or --version */
};

static const struct nexus_option *option_in(const struct nexus_option *options, size_t count,
                                            const char *name, size_t len, char letter)
{
    for (size_t i = 0; i < count; i++) {
        if (letter ? options[i].letter == letter
                   : strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

static const struct nexus_option *option_find(const struct parser *p, const char *name, size_t len,
                                              char letter)
{
    const struct nexus_option *found = NULL;

    if (p->line->verb)
        found = option_in(p->line->verb->options, p->line->verb->option_count, name, len, letter);
    return found ? found
                 : option_in(p->grammar->globals, p->grammar->global_count, name, len, letter);
}

static int option_unknown(const struct parser *p, const char *shown, const char *name)
{
    const char *names[NAMES_MAX] = {0};
    const struct nexus_verb *verb = p->line->verb;
    const char *nearest;
    size_t count = 0;

    for (size_t i = 0; verb && i < verb->option_count && count < NAMES_MAX; i++)
        names[count++] = verb->options[i].name;
    for (size_t i = 0; i < p->grammar->global_count && count < NAMES_MAX; i++)
        names[count++] = p->grammar->globals[i].name;
    nearest = name ? nexus_nearest(name, names, count) : NULL;
    if (nearest)
        return hm_fail(p->error, HM_EINVAL, "there is no option %s; did you mean --%s?", shown,
                       nearest);
    if (!verb)
        return hm_fail(p->error, HM_EINVAL, "there is no option %s before the verb", shown);
    return hm_fail(p->error, HM_EINVAL, "%s%s%s has no option %s", verb->group ? verb->group : "",
                   verb->group ? " " : "", verb->name, shown);
}

/* A value must be one of the words, where the table lists them. */
static bool word_listed(const char *words, const char *value)
{
    size_t len = strlen(value);

    while (*words) {
        size_t word = strcspn(words, " ");

        if (word == len && memcmp(words, value, len) == 0)
            return true;
        words += word;
        words += strspn(words, " ");
    }
    return false;
}

static int option_add(struct parser *p, const struct nexus_option *option, const char *value)
{
    struct nexus_line *line = p->line;

    if (value && option->words && option->words[0] != '@' && !word_listed(option->words, value))
        return hm_fail(p->error, HM_EINVAL, "--%s %s: must be one of: %s", option->name, value,
                       option->words);
    if (strcmp(option->name, "help") == 0 || strcmp(option->name, "version") == 0)
        p->asks = true;
    line->given[line->given_count++] = (struct nexus_given){option, value};
    return 0;
}

/* The value of an option that needs one is the next argument, whatever it looks like. */
static int option_take_next(struct parser *p, const struct nexus_option *option)
{
    if (p->at >= p->argc)
        return hm_fail(p->error, HM_EINVAL, "--%s needs a value: --%s %s", option->name,
                       option->name, option->value);
    return option_add(p, option, p->argv[p->at++]);
}

static int parse_long(struct parser *p, const char *text)
{
    size_t len = strcspn(text, "=");
    const struct nexus_option *option = option_find(p, text, len, 0);
    char name[64];

    if (!option) {
        char shown[80];

        snprintf(name, sizeof(name), "%.*s", (int)(len > 60 ? 60 : len), text);
        snprintf(shown, sizeof(shown), "--%s", name);
        return option_unknown(p, shown, name);
    }
    if (text[len] == '=') {
        if (!option->value)
            return hm_fail(p->error, HM_EINVAL, "--%s takes no value", option->name);
        return option_add(p, option, text + len + 1);
    }
    return option->value ? option_take_next(p, option) : option_add(p, option, NULL);
}

/* "-f", "-fFILE", "-f FILE", and switches together: "-qf FILE". */
static int parse_short(struct parser *p, const char *text)
{
    for (; *text; text++) {
        const struct nexus_option *option = option_find(p, NULL, 0, *text);
        int rc;

        if (!option) {
            const char shown[3] = {'-', *text, '\0'};

            return option_unknown(p, shown, NULL);
        }
        if (option->value)
            return text[1] ? option_add(p, option, text + 1) : option_take_next(p, option);
        rc = option_add(p, option, NULL);
        if (rc)
            return rc;
    }
    return 0;
}

static int verb_unknown(struct parser *p, const char *name)
{
    const char *names[NAMES_MAX] = {0};
    const char *nearest;
    const struct nexus_group *group = p->line->group;
    size_t count = 0;

    for (size_t i = 0; i < p->grammar->verb_count && count < NAMES_MAX; i++) {
        const struct nexus_verb *verb = p->grammar->verbs[i];

        if (group ? verb->group && strcmp(verb->group, group->name) == 0 : !verb->group)
            names[count++] = verb->name;
    }
    for (size_t i = 0; !group && i < p->grammar->group_count && count < NAMES_MAX; i++)
        names[count++] = p->grammar->groups[i].name;
    nearest = nexus_nearest(name, names, count);
    if (nearest)
        return hm_fail(p->error, HM_EINVAL, "there is no verb %s%s%s; did you mean %s%s%s?",
                       group ? group->name : "", group ? " " : "", name, group ? group->name : "",
                       group ? " " : "", nearest);
    return hm_fail(p->error, HM_EINVAL, "there is no verb %s%s%s", group ? group->name : "",
                   group ? " " : "", name);
}

static int parse_verb(struct parser *p, const char *name)
{
    struct nexus_line *line = p->line;

    for (size_t i = 0; i < p->grammar->verb_count; i++) {
        const struct nexus_verb *verb = p->grammar->verbs[i];
        bool here = line->group ? verb->group && strcmp(verb->group, line->group->name) == 0
                                : !verb->group;

        if (here &&
            (strcmp(verb->name, name) == 0 || (verb->alias && strcmp(verb->alias, name) == 0))) {
            line->verb = verb;
            return 0;
        }
    }
    for (size_t i = 0; !line->group && i < p->grammar->group_count; i++) {
        if (strcmp(p->grammar->groups[i].name, name) == 0) {
            line->group = &p->grammar->groups[i];
            return 0;
        }
    }
    return verb_unknown(p, name);
}

static int check_operands(const struct parser *p)
{
    const struct nexus_line *line = p->line;
    const struct nexus_verb *verb = line->verb;
    const char *group = verb->group ? verb->group : "";
    const char *space = verb->group ? " " : "";

    if (line->operand_count < verb->operands_min)
        return hm_fail(p->error, HM_EINVAL, "%s%s%s needs more: nexus %s%s%s %s", group, space,
                       verb->name, group, space, verb->name, verb->operands);
    if (line->operand_count > verb->operands_max)
        return hm_fail(p->error, HM_EINVAL, "%s%s%s does not take \"%s\": nexus %s%s%s%s%s", group,
                       space, verb->name, line->operands[verb->operands_max], group, space,
                       verb->name, verb->operands ? " " : "", verb->operands ? verb->operands : "");
    return 0;
}

static int parse_arguments(struct parser *p)
{
    bool only_operands = false;

    while (p->at < p->argc) {
        const char *text = p->argv[p->at++];
        int rc = 0;

        if (!only_operands && strcmp(text, "--") == 0)
            only_operands = true;
        else if (!only_operands && text[0] == '-' && text[1] == '-')
            rc = parse_long(p, text + 2);
        else if (!only_operands && text[0] == '-' && text[1] != '\0')
            rc = parse_short(p, text + 1);
        else if (!p->line->verb)
            rc = parse_verb(p, text);
        else {
            p->line->operands[p->line->operand_count++] = text;
            only_operands = only_operands || p->line->verb->command;
        }
        if (rc)
            return rc;
    }
    return 0;
}

int nexus_line_parse(const struct nexus_grammar *grammar, int argc, char **argv,
                     struct hm_arena *arena, struct nexus_line *out, struct hm_error *error)
{
    struct parser p = {
        .grammar = grammar, .argv = argv, .argc = argc, .at = 1, .line = out, .error = error};
    size_t slots;
    int rc;

    *out = (struct nexus_line){0};
    if (argc > NEXUS_ARGUMENTS_MAX)
        return hm_fail(error, HM_ELIMIT, "more than %d arguments", NEXUS_ARGUMENTS_MAX);
    /* An argument is at most as many switches as it has letters: "-qf". */
    slots = (size_t)argc + 1;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-' && argv[i][1] != '-')
            slots += strlen(argv[i]);
    out->given = hm_arena_alloc(arena, slots * sizeof(*out->given));
    out->operands = hm_arena_alloc(arena, ((size_t)argc + 1) * sizeof(*out->operands));
    if (!out->given || !out->operands)
        return hm_fail(error, HM_ENOMEM, "no memory to read the command line");
    rc = parse_arguments(&p);
    if (!rc && out->verb && !p.asks)
        rc = check_operands(&p);
    return rc;
}

/* Asking for an option that the verb does not have is a mistake in a verb's file: tests see it. */
static void must_be_in_table(const struct nexus_line *line, const struct nexus_grammar *grammar,
                             const char *name)
{
    size_t len = strlen(name);

    if ((line->verb &&
         option_in(line->verb->options, line->verb->option_count, name, len, 0) != NULL) ||
        option_in(grammar->globals, grammar->global_count, name, len, 0) != NULL)
        return;
    fprintf(stderr, "nexus: the option --%s is asked for but in no table\n", name);
    abort();
}

const char *nexus_line_value(const struct nexus_line *line, const struct nexus_grammar *grammar,
                             const char *name)
{
    must_be_in_table(line, grammar, name);
    for (size_t i = line->given_count; i > 0; i--)
        if (strcmp(line->given[i - 1].option->name, name) == 0)
            return line->given[i - 1].value;
    return NULL;
}

bool nexus_line_has(const struct nexus_line *line, const struct nexus_grammar *grammar,
                    const char *name)
{
    must_be_in_table(line, grammar, name);
    for (size_t i = 0; i < line->given_count; i++)
        if (strcmp(line->given[i].option->name, name) == 0)
            return true;
    return false;
}

const char *nexus_line_next(const struct nexus_line *line, const char *name, size_t *at)
{
    while (*at < line->given_count) {
        const struct nexus_given *given = &line->given[(*at)++];

        if (strcmp(given->option->name, name) == 0)
            return given->value;
    }
    return NULL;
}
