#include "cli.h"

static void options(const char *title, const struct cli_option *rows, size_t count, FILE *to)
{
    if (count > 0)
        (void)fprintf(to, "\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        char left[64];
        bool words = rows[i].words != NULL && rows[i].words[0] != '@';

        (void)snprintf(left, sizeof(left), "%c%c%c --%s%s%s", rows[i].letter != 0 ? '-' : ' ',
                       rows[i].letter != 0 ? rows[i].letter : ' ', rows[i].letter != 0 ? ',' : ' ',
                       rows[i].name, rows[i].value != NULL ? " " : "",
                       rows[i].value != NULL ? rows[i].value : "");
        (void)fprintf(to, "  %-28s  %s%s%s%s\n", left, rows[i].help, words ? " (" : "",
                      words ? rows[i].words : "", words ? ")" : "");
    }
}

void cli_help_all(FILE *to)
{
    (void)fputs("usage: packetfs [OPTIONS] VERB ...\n\nVerbs:\n", to);
    for (size_t i = 0; i < cli_verb_count; i++)
        (void)fprintf(to, "  %-15s  %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
    options("Options of every verb", cli_globals, cli_global_count, to);
    (void)fputs("\n`packetfs help VERB` says more about one. First steps: packetfs -V DIR init, "
                "packetfs -V DIR put PATH,\npacketfs -V DIR log, packetfs -V DIR get latest -t "
                "TARGET\n",
                to);
}

void cli_help_verb(const struct cli_verb *verb, FILE *to)
{
    (void)fprintf(to, "usage: packetfs %s%s%s%s\n\n%s.\n", verb->name,
                  verb->option_count > 0 ? " [OPTIONS]" : "", verb->operands != NULL ? " " : "",
                  verb->operands != NULL ? verb->operands : "", verb->summary);
    if (verb->text != NULL)
        (void)fprintf(to, "\n%s\n", verb->text);
    options("Options", verb->options, verb->option_count, to);
    options("Options of every verb", cli_globals, cli_global_count, to);
}
