#include "nexus_help.h"

static const struct nexus_column two_columns[] = {{0}, {0}};

static bool in_group(const struct nexus_verb *verb, const char *group)
{
    return group ? verb->group && strcmp(verb->group, group) == 0 : !verb->group;
}

static void add_verbs(struct nexus_table *table, const struct nexus_grammar *grammar,
                      const char *group, struct hm_arena *arena)
{
    for (size_t i = 0; i < grammar->verb_count; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];

        if (!in_group(verb, group))
            continue;
        if (group)
            NEXUS_TABLE_ROW(table,
                            hm_arena_printf(arena, "%s%s%s", verb->name, verb->operands ? " " : "",
                                            verb->operands ? verb->operands : ""),
                            verb->summary);
        else
            NEXUS_TABLE_ROW(table, verb->name, verb->summary);
    }
}

static void add_options(struct nexus_table *table, const struct nexus_option *options, size_t count,
                        struct hm_arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        const struct nexus_option *option = &options[i];
        const char *comma = option->letter ? ", " : "  ";
        char dash[3] = {option->letter ? '-' : ' ', option->letter ? option->letter : ' ', '\0'};
        const char *left = hm_arena_printf(arena, "%s%s--%s%s%s", dash, comma, option->name,
                                           option->value ? " " : "",
                                           option->value ? option->value : "");
        bool words = option->words && option->words[0] != '@';

        NEXUS_TABLE_ROW(table, left,
                        hm_arena_printf(arena, "%s%s%s%s%s", option->help, words ? " (" : "",
                                        words ? option->words : "", words ? ")" : "",
                                        option->many ? "; may be repeated" : ""));
    }
}

static int put_options(const char *title, const struct nexus_option *options, size_t count,
                       struct hm_arena *arena, struct hm_buf *out)
{
    struct nexus_table table;
    int rc;

    if (count == 0)
        return 0;
    NEXUS_TABLE_INIT(&table, two_columns, arena);
    add_options(&table, options, count, arena);
    rc = hm_buf_printf(out, "\n%s:\n", title);
    return rc ? rc : nexus_table_render(&table, 2, false, out);
}

int nexus_help_all(const struct nexus_grammar *grammar, struct hm_arena *arena, struct hm_buf *out)
{
    struct nexus_table verbs;
    struct nexus_table groups;
    int rc;

    NEXUS_TABLE_INIT(&verbs, two_columns, arena);
    add_verbs(&verbs, grammar, NULL, arena);
    NEXUS_TABLE_INIT(&groups, two_columns, arena);
    for (size_t i = 0; i < grammar->group_count; i++)
        NEXUS_TABLE_ROW(&groups, grammar->groups[i].name, grammar->groups[i].summary);
    rc = hm_buf_append_str(out, "usage: nexus [OPTIONS] VERB ...\n\nVerbs:\n");
    if (!rc)
        rc = nexus_table_render(&verbs, 2, false, out);
    if (!rc)
        rc = hm_buf_append_str(out, "\nGroups of verbs:\n");
    if (!rc)
        rc = nexus_table_render(&groups, 2, false, out);
    if (!rc)
        rc = put_options("Options of every verb", grammar->globals, grammar->global_count, arena,
                         out);
    return rc ? rc
              : hm_buf_append_str(out,
                                  "\n`nexus help VERB` says more about one. First steps: nexus "
                                  "up, nexus asset ls, nexus run --image busybox -- uname -a\n");
}

int nexus_help_group(const struct nexus_grammar *grammar, const struct nexus_group *group,
                     struct hm_arena *arena, struct hm_buf *out)
{
    struct nexus_table verbs;
    int rc = hm_buf_printf(out, "usage: nexus %s VERB ...\n\n%s.\n\n", group->name, group->summary);

    NEXUS_TABLE_INIT(&verbs, two_columns, arena);
    add_verbs(&verbs, grammar, group->name, arena);
    if (!rc)
        rc = nexus_table_render(&verbs, 2, false, out);
    return rc ? rc
              : hm_buf_printf(out, "\n`nexus help %s VERB` says more about one.\n", group->name);
}

int nexus_help_verb(const struct nexus_grammar *grammar, const struct nexus_verb *verb,
                    struct hm_arena *arena, struct hm_buf *out)
{
    const char *space = verb->group ? " " : "";
    int rc = hm_buf_printf(out, "usage: nexus %s%s%s%s%s%s\n\n%s.\n",
                           verb->group ? verb->group : "", space, verb->name,
                           verb->option_count ? " [OPTIONS]" : "", verb->operands ? " " : "",
                           verb->operands ? verb->operands : "", verb->summary);

    if (!rc && verb->alias)
        rc = hm_buf_printf(out, "Also called %s.\n", verb->alias);
    if (!rc && verb->text)
        rc = hm_buf_printf(out, "\n%s\n", verb->text);
    if (!rc)
        rc = put_options("Options", verb->options, verb->option_count, arena, out);
    return rc ? rc
              : put_options("Options of every verb", grammar->globals, grammar->global_count, arena,
                            out);
}

int nexus_help_print(struct nexus_call *call, FILE *to)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    const struct nexus_line *line = call->line;
    int rc;

    if (line->verb)
        rc = nexus_help_verb(call->grammar, line->verb, call->arena, &text);
    else if (line->group)
        rc = nexus_help_group(call->grammar, line->group, call->arena, &text);
    else
        rc = nexus_help_all(call->grammar, call->arena, &text);
    if (rc)
        return nexus_no_memory(call);
    fputs(hm_buf_cstr(&text), to);
    return 0;
}

const char *nexus_help_hint(const struct nexus_line *line, struct hm_arena *arena)
{
    const struct nexus_verb *verb = line->verb;

    if (verb)
        return hm_arena_printf(arena, "nexus help %s%s%s", verb->group ? verb->group : "",
                               verb->group ? " " : "", verb->name);
    if (line->group)
        return hm_arena_printf(arena, "nexus help %s", line->group->name);
    return "nexus help";
}
