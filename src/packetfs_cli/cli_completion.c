/* Completion scripts, made from the tables. One function per question serves bash and zsh: which words, which options, which
 * values an option has. */
#include "cli.h"

static const char driver[] =
    "_packetfs() {\n"
    "    local verb='' word previous=\"${COMP_WORDS[COMP_CWORD-1]}\" "
    "current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
    "    local i=1 values words\n"
    "    COMPREPLY=()\n"
    "    while [ $i -lt $COMP_CWORD ]; do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        case \"$word\" in\n"
    "        -*) [ -z \"$(_packetfs_values \"$verb\" \"$word\")\" ] || i=$((i + 1)) ;;\n"
    "        *) case \" $(_packetfs_words \"$verb\") \" in\n"
    "            *\" $word \"*) ! _packetfs_more \"$verb\" || verb=\"${verb:+$verb }$word\" ;;\n"
    "            esac ;;\n"
    "        esac\n"
    "        i=$((i + 1))\n"
    "    done\n"
    "    values=\n"
    "    case \"$previous\" in -*) values=$(_packetfs_values \"$verb\" \"$previous\") ;; esac\n"
    "    if [ -n \"$values\" ]; then words=$values\n"
    "    elif [ \"${current#-}\" != \"$current\" ]; then words=$(_packetfs_options \"$verb\")\n"
    "    else words=$(_packetfs_words \"$verb\")\n"
    "    fi\n"
    "    case \"$words\" in\n"
    "    @file) compopt -o default ;;\n"
    "    @folder) compopt -o dirnames ;;\n"
    "    @any) ;;\n"
    "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _packetfs packetfs\n";

static size_t first_word(const struct cli_verb *verb)
{
    return strcspn(verb->name, " ");
}

/* First words, each once. */
static void put_first_words(FILE *to)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        size_t len = first_word(cli_verbs[i]);
        bool seen = false;

        for (size_t j = 0; j < i && !seen; j++)
            seen = first_word(cli_verbs[j]) == len &&
                   memcmp(cli_verbs[j]->name, cli_verbs[i]->name, len) == 0;
        if (!seen)
            (void)fprintf(to, "%.*s ", (int)len, cli_verbs[i]->name);
    }
}

static void put_words(FILE *to)
{
    (void)fputs("_packetfs_words() {\n    case \"$1\" in\n    '') echo '", to);
    put_first_words(to);
    (void)fputs("' ;;\n", to);
    for (size_t i = 0; i < cli_verb_count; i++)
        (void)fprintf(to, "    '%s') echo '%s' ;;\n", cli_verbs[i]->name,
                      cli_verbs[i]->words != NULL ? cli_verbs[i]->words : "");
    (void)fputs("    *) case \"$1\" in\n", to);
    for (size_t i = 0; i < cli_verb_count; i++) {
        size_t len = first_word(cli_verbs[i]);

        if (cli_verbs[i]->name[len] == ' ')
            (void)fprintf(to, "        '%.*s') printf '%%s ' '%s' ;;&\n", (int)len,
                          cli_verbs[i]->name, cli_verbs[i]->name + len + 1);
    }
    (void)fputs("        esac ;;\n    esac\n}\n", to);
}

/* Does a word of the verb still follow? */
static void put_more(FILE *to)
{
    (void)fputs("_packetfs_more() {\n    case \"$1\" in\n    ''", to);
    for (size_t i = 0; i < cli_verb_count; i++) {
        size_t len = first_word(cli_verbs[i]);

        if (cli_verbs[i]->name[len] == ' ')
            (void)fprintf(to, "|'%.*s'", (int)len, cli_verbs[i]->name);
    }
    (void)fputs(") return 0 ;;\n    esac\n    return 1\n}\n", to);
}

static void put_options(FILE *to)
{
    (void)fputs("_packetfs_options() {\n    echo '", to);
    for (size_t i = 0; i < cli_global_count; i++)
        (void)fprintf(to, "--%s ", cli_globals[i].name);
    (void)fputs("'\n    case \"$1\" in\n", to);
    for (size_t i = 0; i < cli_verb_count; i++) {
        (void)fprintf(to, "    '%s') echo '", cli_verbs[i]->name);
        for (size_t j = 0; j < cli_verbs[i]->option_count; j++)
            (void)fprintf(to, "--%s ", cli_verbs[i]->options[j].name);
        (void)fputs("' ;;\n", to);
    }
    (void)fputs("    esac\n}\n", to);
}

static void put_values(const char *verb, const struct cli_option *options, size_t count, FILE *to)
{
    for (size_t i = 0; i < count; i++) {
        if (options[i].value == NULL)
            continue;
        (void)fprintf(to, "    '%s --%s'", verb, options[i].name);
        if (options[i].letter != 0)
            (void)fprintf(to, "|'%s -%c'", verb, options[i].letter);
        (void)fprintf(to, ") echo '%s' ;;\n", options[i].words != NULL ? options[i].words : "@any");
    }
}

static void put_bash(FILE *to)
{
    (void)fputs("# completion for packetfs\n", to);
    put_words(to);
    put_more(to);
    put_options(to);
    (void)fputs("_packetfs_values() {\n    case \"$1 $2\" in\n", to);
    for (size_t i = 0; i < cli_verb_count; i++)
        put_values(cli_verbs[i]->name, cli_verbs[i]->options, cli_verbs[i]->option_count, to);
    (void)fputs("    *) case \" $2\" in\n", to);
    put_values("", cli_globals, cli_global_count, to);
    (void)fputs("    esac ;;\n    esac\n}\n", to);
    (void)fputs(driver, to);
}

static void quoted(const char *text, FILE *to)
{
    (void)fputc('\'', to);
    for (; *text != '\0'; text++)
        if (*text == '\'' || *text == '\\')
            (void)fprintf(to, "\\%c", *text);
        else
            (void)fputc(*text, to);
    (void)fputc('\'', to);
}

static void fish_options(const char *condition, const struct cli_option *options, size_t count,
                         FILE *to)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(to, "complete -c packetfs %s -l %s", condition, options[i].name);
        if (options[i].letter != 0)
            (void)fprintf(to, " -s %c", options[i].letter);
        if (options[i].value != NULL)
            (void)fputs(options[i].words != NULL && options[i].words[0] == '@' ? " -rF" : " -x",
                        to);
        if (options[i].words != NULL && options[i].words[0] != '@')
            (void)fprintf(to, " -a '%s'", options[i].words);
        (void)fputs(" -d ", to);
        quoted(options[i].help, to);
        (void)fputc('\n', to);
    }
}

static void put_fish(FILE *to)
{
    (void)fputs("# completion for packetfs\n", to);
    fish_options("", cli_globals, cli_global_count, to);
    for (size_t i = 0; i < cli_verb_count; i++) {
        const struct cli_verb *verb = cli_verbs[i];
        size_t len = first_word(verb);
        char seen[128];

        if (verb->name[len] == ' ') {
            (void)fprintf(to, "complete -c packetfs -f -n __fish_use_subcommand -a %.*s\n",
                          (int)len, verb->name);
            (void)fprintf(to,
                          "complete -c packetfs -f -n '__fish_seen_subcommand_from %.*s' -a %s "
                          "-d ",
                          (int)len, verb->name, verb->name + len + 1);
            (void)snprintf(seen, sizeof(seen),
                           "-n '__fish_seen_subcommand_from %.*s; and "
                           "__fish_seen_subcommand_from %s'",
                           (int)len, verb->name, verb->name + len + 1);
        } else {
            (void)fprintf(to, "complete -c packetfs -f -n __fish_use_subcommand -a %s -d ",
                          verb->name);
            (void)snprintf(seen, sizeof(seen), "-n '__fish_seen_subcommand_from %s'", verb->name);
        }
        quoted(verb->summary, to);
        (void)fputc('\n', to);
        if (verb->words != NULL)
            (void)fprintf(to, "complete -c packetfs %s %s%s%s\n", seen,
                          verb->words[0] == '@' ? "-F" : "-f -a '",
                          verb->words[0] == '@' ? "" : verb->words,
                          verb->words[0] == '@' ? "" : "'");
        fish_options(seen, verb->options, verb->option_count, to);
    }
}

bool cli_completion(const char *shell, FILE *to)
{
    if (strcmp(shell, "zsh") == 0)
        (void)fputs("autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n", to);
    if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0)
        put_bash(to);
    else if (strcmp(shell, "fish") == 0)
        put_fish(to);
    else
        return false;
    return true;
}
