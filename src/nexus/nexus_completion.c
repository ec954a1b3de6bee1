#include "nexus_completion.h"

/* Words for a shell's single-quoted text: ours hold no quotes but apostrophes in help texts. */
static int put_quoted(struct hm_buf *out, const char *text, const char *escaped_quote)
{
    int rc = hm_buf_append_str(out, "'");

    for (; *text && !rc; text++)
        rc = *text == '\'' ? hm_buf_append_str(out, escaped_quote) : hm_buf_append(out, text, 1);
    return rc ? rc : hm_buf_append_str(out, "'");
}

static int put_verb_names(const struct nexus_grammar *grammar, const char *group,
                          struct hm_buf *out)
{
    int rc = 0;

    for (size_t i = 0; i < grammar->verb_count && !rc; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];

        if (group ? !verb->group || strcmp(verb->group, group) != 0 : verb->group != NULL)
            continue;
        rc = hm_buf_printf(out, "%s ", verb->name);
        if (!rc && verb->alias)
            rc = hm_buf_printf(out, "%s ", verb->alias);
    }
    for (size_t i = 0; !group && i < grammar->group_count && !rc; i++)
        rc = hm_buf_printf(out, "%s ", grammar->groups[i].name);
    return rc;
}

/* "key)": the verb as "asset ls", with its alias. */
static int put_case(const struct nexus_verb *verb, struct hm_buf *out)
{
    const char *group = verb->group ? verb->group : "";
    const char *space = verb->group ? " " : "";
    int rc = hm_buf_printf(out, "    '%s%s%s'", group, space, verb->name);

    if (!rc && verb->alias)
        rc = hm_buf_printf(out, "|'%s%s%s'", group, space, verb->alias);
    return rc ? rc : hm_buf_append_str(out, ") ");
}

static int put_option_names(const struct nexus_option *options, size_t count, struct hm_buf *out)
{
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++)
        rc = hm_buf_printf(out, "--%s ", options[i].name);
    return rc;
}

/* What may follow an option: its words, files, folders, or anything. */
static int put_option_values(const char *prefix, const struct nexus_option *options, size_t count,
                             struct hm_buf *out)
{
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++) {
        if (!options[i].value)
            continue;
        rc = hm_buf_printf(out, "    '%s--%s'", prefix, options[i].name);
        if (!rc && options[i].letter)
            rc = hm_buf_printf(out, "|'%s-%c'", prefix, options[i].letter);
        if (!rc)
            rc = hm_buf_printf(out, ") echo '%s' ;;\n",
                               options[i].words ? options[i].words : "@any");
    }
    return rc;
}

/* One function serves bash and zsh: from the words so far it prints the candidates, or "@file", "@folder". */
static int put_candidates(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "_nexus_verb_words() {\n    case \"$1\" in\n    '') echo '");

    if (!rc)
        rc = put_verb_names(grammar, NULL, out);
    if (!rc)
        rc = hm_buf_append_str(out, "' ;;\n");
    for (size_t i = 0; i < grammar->group_count && !rc; i++) {
        rc = hm_buf_printf(out, "    '%s') echo '", grammar->groups[i].name);
        if (!rc)
            rc = put_verb_names(grammar, grammar->groups[i].name, out);
        if (!rc)
            rc = hm_buf_append_str(out, "' ;;\n");
    }
    for (size_t i = 0; i < grammar->verb_count && !rc; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];

        rc = put_case(verb, out);
        if (!rc)
            rc = hm_buf_printf(out, "echo '%s' ;;\n", verb->words ? verb->words : "");
    }
    return rc ? rc : hm_buf_append_str(out, "    esac\n}\n");
}

static int put_options_of(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "_nexus_options() {\n    echo '");

    if (!rc)
        rc = put_option_names(grammar->globals, grammar->global_count, out);
    if (!rc)
        rc = hm_buf_append_str(out, "'\n    case \"$1\" in\n");
    for (size_t i = 0; i < grammar->verb_count && !rc; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];

        if (verb->option_count == 0)
            continue;
        rc = put_case(verb, out);
        if (!rc)
            rc = hm_buf_append_str(out, "echo '");
        if (!rc)
            rc = put_option_names(verb->options, verb->option_count, out);
        if (!rc)
            rc = hm_buf_append_str(out, "' ;;\n");
    }
    return rc ? rc : hm_buf_append_str(out, "    esac\n}\n");
}

static int put_values_of(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "_nexus_values() {\n    case \"$1 $2\" in\n");

    for (size_t i = 0; i < grammar->verb_count && !rc; i++) {
        const struct nexus_verb *verb = grammar->verbs[i];
        char prefix[64];

        snprintf(prefix, sizeof(prefix), "%s%s%s ", verb->group ? verb->group : "",
                 verb->group ? " " : "", verb->name);
        rc = put_option_values(prefix, verb->options, verb->option_count, out);
        if (!rc && verb->alias) {
            snprintf(prefix, sizeof(prefix), "%s%s%s ", verb->group ? verb->group : "",
                     verb->group ? " " : "", verb->alias);
            rc = put_option_values(prefix, verb->options, verb->option_count, out);
        }
    }
    if (!rc)
        rc = hm_buf_append_str(out, "    *) case \"$2\" in\n");
    if (!rc)
        rc = put_option_values("", grammar->globals, grammar->global_count, out);
    return rc ? rc : hm_buf_append_str(out, "    esac ;;\n    esac\n}\n");
}

static const char bash_driver[] =
    "_nexus() {\n"
    "    local verb='' word previous=\"${COMP_WORDS[COMP_CWORD-1]}\" "
    "current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
    "    local i=1 values words\n"
    "    COMPREPLY=()\n"
    "    while [ $i -lt $COMP_CWORD ]; do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        case \"$word\" in\n"
    "        --) compopt -o default; return ;;\n"
    "        -*) [ -z \"$(_nexus_values \"$verb\" \"$word\")\" ] || i=$((i + 1)) ;;\n"
    "        *) case \" $(_nexus_verb_words \"$verb\") \" in\n"
    "            *\" $word \"*) [ \"$verb\" = help ] || verb=\"${verb:+$verb }$word\" ;;\n"
    "            esac ;;\n"
    "        esac\n"
    "        i=$((i + 1))\n"
    "    done\n"
    "    values=\n"
    "    case \"$previous\" in -*) values=$(_nexus_values \"$verb\" \"$previous\") ;; esac\n"
    "    if [ -n \"$values\" ]; then words=$values\n"
    "    elif [ \"${current#-}\" != \"$current\" ]; then words=$(_nexus_options \"$verb\")\n"
    "    else words=$(_nexus_verb_words \"$verb\")\n"
    "    fi\n"
    "    case \"$words\" in\n"
    "    @file) compopt -o default ;;\n"
    "    @folder) compopt -o dirnames ;;\n"
    "    @verb) COMPREPLY=($(compgen -W \"$(_nexus_verb_words '')\" -- \"$current\")) ;;\n"
    "    @any) ;;\n"
    "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _nexus nexus\n";

int nexus_completion_bash(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "# bash completion for nexus\n");

    if (!rc)
        rc = put_candidates(grammar, out);
    if (!rc)
        rc = put_options_of(grammar, out);
    if (!rc)
        rc = put_values_of(grammar, out);
    return rc ? rc : hm_buf_append_str(out, bash_driver);
}

/* zsh runs bash's functions through its bashcompinit. */
int nexus_completion_zsh(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "# zsh completion for nexus, through zsh's bashcompinit\n"
                                    "autoload -Uz compinit bashcompinit\n"
                                    "compinit\nbashcompinit\n");

    return rc ? rc : nexus_completion_bash(grammar, out);
}

static int fish_line(const char *condition, const struct nexus_option *option, struct hm_buf *out)
{
    int rc = hm_buf_printf(out, "complete -c nexus %s -l %s", condition, option->name);

    if (!rc && option->letter)
        rc = hm_buf_printf(out, " -s %c", option->letter);
    if (!rc && option->value)
        rc = hm_buf_append_str(out, option->words && option->words[0] == '@' ? " -rF" : " -x");
    if (!rc && option->words && option->words[0] != '@')
        rc = hm_buf_printf(out, " -a '%s'", option->words);
    if (!rc)
        rc = hm_buf_append_str(out, " -d ");
    if (!rc)
        rc = put_quoted(out, option->help, "\\'");
    return rc ? rc : hm_buf_append_str(out, "\n");
}

static int fish_verb(const struct nexus_verb *verb, struct hm_buf *out)
{
    char seen[160];
    char open[160];
    int rc;

    if (verb->group) {
        snprintf(open, sizeof(open), "-n '__nexus_group %s'", verb->group);
        snprintf(seen, sizeof(seen), "-n '__nexus_verb %s %s'", verb->group, verb->name);
    } else {
        snprintf(open, sizeof(open), "-n __fish_use_subcommand");
        snprintf(seen, sizeof(seen), "-n '__fish_seen_subcommand_from %s'", verb->name);
    }
    rc = hm_buf_printf(out, "complete -c nexus -f %s -a %s -d ", open, verb->name);
    if (!rc)
        rc = put_quoted(out, verb->summary, "\\'");
    if (!rc)
        rc = hm_buf_append_str(out, "\n");
    if (!rc && verb->words && verb->words[0] != '@')
        rc = hm_buf_printf(out, "complete -c nexus -f %s -a '%s'\n", seen, verb->words);
    if (!rc && verb->words && strcmp(verb->words, "@file") == 0)
        rc = hm_buf_printf(out, "complete -c nexus -F %s\n", seen);
    for (size_t i = 0; i < verb->option_count && !rc; i++)
        rc = fish_line(seen, &verb->options[i], out);
    return rc;
}

int nexus_completion_fish(const struct nexus_grammar *grammar, struct hm_buf *out)
{
    int rc = hm_buf_append_str(
        out, "# fish completion for nexus\n"
             "function __nexus_group\n"
             "    set -l words (commandline -opc)\n"
             "    test (count $words) -eq 2; and test $words[2] = $argv[1]\n"
             "end\n"
             "function __nexus_verb\n"
             "    set -l words (commandline -opc)\n"
             "    test (count $words) -ge 3; and test $words[2] = $argv[1]; and test $words[3] = "
             "$argv[2]\n"
             "end\n");

    for (size_t i = 0; i < grammar->group_count && !rc; i++) {
        rc = hm_buf_printf(out, "complete -c nexus -f -n __fish_use_subcommand -a %s -d ",
                           grammar->groups[i].name);
        if (!rc)
            rc = put_quoted(out, grammar->groups[i].summary, "\\'");
        if (!rc)
            rc = hm_buf_append_str(out, "\n");
    }
    for (size_t i = 0; i < grammar->global_count && !rc; i++)
        rc = fish_line("", &grammar->globals[i], out);
    for (size_t i = 0; i < grammar->verb_count && !rc; i++)
        rc = fish_verb(grammar->verbs[i], out);
    return rc;
}
