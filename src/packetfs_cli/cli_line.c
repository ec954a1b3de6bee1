#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int cli_fail(struct cli_call *call, int code, const char *format, ...)
{
    va_list args;

    call->error.code = code;
    va_start(args, format);
    (void)vsnprintf(call->error.text, sizeof(call->error.text), format, args);
    va_end(args);
    return code;
}

int cli_no_memory(struct cli_call *call)
{
    return cli_fail(call, PACKETFS_ENOMEM, "no memory");
}

/* --- what was meant (edit distance, neighbours exchanged counted as one) ------------------------------------------- */
#define NEAR_CHARS_MAX 32

static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NEAR_CHARS_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > NEAR_CHARS_MAX || lb > NEAR_CHARS_MAX)
        return NEAR_CHARS_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                rows[(i - 2) % 3][j - 2] + 1 < best)
                best = rows[(i - 2) % 3][j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[la % 3][lb];
}

static void nearer(const char *text, const char *name, unsigned *best, const char **nearest)
{
    unsigned d = distance(text, name);

    if (d < *best && d * 2 <= strlen(name)) {
        *best = d;
        *nearest = name;
    }
}

/* --- options -------------------------------------------------------------------------------------------------------- */
static const struct cli_option *option_in(const struct cli_option *options, size_t count,
                                          const char *name, size_t len, char letter)
{
    for (size_t i = 0; i < count; i++)
        if (letter != 0 ? options[i].letter == letter
                        : strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static const struct cli_option *option_find(const struct cli_call *call, const char *name,
                                            size_t len, char letter)
{
    const struct cli_option *found = NULL;

    if (call->verb != NULL)
        found = option_in(call->verb->options, call->verb->option_count, name, len, letter);
    return found != NULL ? found : option_in(cli_globals, cli_global_count, name, len, letter);
}

static int option_unknown(struct cli_call *call, const char *shown, const char *name)
{
    unsigned best = 3;
    const char *nearest = NULL;

    for (size_t i = 0; name != NULL && call->verb != NULL && i < call->verb->option_count; i++)
        nearer(name, call->verb->options[i].name, &best, &nearest);
    for (size_t i = 0; name != NULL && i < cli_global_count; i++)
        nearer(name, cli_globals[i].name, &best, &nearest);
    if (nearest != NULL)
        return cli_fail(call, PACKETFS_EINVAL, "there is no option %.40s; did you mean --%s?",
                        shown, nearest);
    if (call->verb == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "there is no option %.40s before the verb", shown);
    return cli_fail(call, PACKETFS_EINVAL, "%s has no option %.40s", call->verb->name, shown);
}

static bool word_listed(const char *words, const char *value)
{
    size_t len = strlen(value);

    while (*words != '\0') {
        size_t word = strcspn(words, " ");

        if (word == len && memcmp(words, value, len) == 0)
            return true;
        words += word;
        words += strspn(words, " ");
    }
    return false;
}

static int option_add(struct cli_call *call, const struct cli_option *option, const char *value)
{
    if (value != NULL && option->words != NULL && option->words[0] != '@' &&
        !word_listed(option->words, value))
        return cli_fail(call, PACKETFS_EINVAL, "--%s %.60s: must be one of: %s", option->name,
                        value, option->words);
    call->given[call->given_count++] = (struct cli_given){option, value};
    return 0;
}

struct arguments {
    char **argv;
    int argc, at;
};

/* The value of an option that needs one is the next argument, whatever it looks like. */
static int option_take(struct cli_call *call, const struct cli_option *option,
                       struct arguments *arguments)
{
    if (option->value == NULL)
        return option_add(call, option, NULL);
    if (arguments->at >= arguments->argc)
        return cli_fail(call, PACKETFS_EINVAL, "--%s needs a value: --%s %s", option->name,
                        option->name, option->value);
    return option_add(call, option, arguments->argv[arguments->at++]);
}

static int parse_long(struct cli_call *call, const char *text, struct arguments *arguments)
{
    size_t len = strcspn(text + 2, "=");
    const struct cli_option *option = option_find(call, text + 2, len, 0);

    if (option == NULL)
        return option_unknown(call, text, text + 2);
    if (text[2 + len] != '=')
        return option_take(call, option, arguments);
    if (option->value == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "--%s takes no value", option->name);
    return option_add(call, option, text + 2 + len + 1);
}

/* "-f", "-fFILE", "-f FILE", and switches together: "-rl". */
static int parse_short(struct cli_call *call, const char *text, struct arguments *arguments)
{
    for (text++; *text != '\0'; text++) {
        const struct cli_option *option = option_find(call, NULL, 0, *text);
        const char shown[3] = {'-', *text, '\0'};
        int rc;

        if (option == NULL)
            return option_unknown(call, shown, NULL);
        if (option->value != NULL && text[1] != '\0')
            return option_add(call, option, text + 1);
        rc = option_take(call, option, arguments);
        if (rc != 0 || option->value != NULL)
            return rc;
    }
    return 0;
}

/* --- the verb -------------------------------------------------------------------------------------------------------- */
const struct cli_verb *cli_verb_find(const char *first, const char *second)
{
    size_t len = strlen(first);

    for (size_t i = 0; i < cli_verb_count; i++) {
        const char *name = cli_verbs[i]->name;

        if (strcmp(name, first) == 0)
            return cli_verbs[i];
        if (second != NULL && strncmp(name, first, len) == 0 && name[len] == ' ' &&
            strcmp(name + len + 1, second) == 0)
            return cli_verbs[i];
    }
    return NULL;
}

/* Does a verb of two words begin so? */
static bool is_first_word(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < cli_verb_count; i++)
        if (strncmp(cli_verbs[i]->name, word, len) == 0 && cli_verbs[i]->name[len] == ' ')
            return true;
    return false;
}

static int parse_verb(struct cli_call *call, const char *first, struct arguments *arguments)
{
    const char *second = arguments->at < arguments->argc ? arguments->argv[arguments->at] : NULL;
    const char *nearest = NULL;
    unsigned best = 3;

    call->verb = cli_verb_find(first, second);
    if (call->verb != NULL) {
        arguments->at += strchr(call->verb->name, ' ') != NULL;
        return 0;
    }
    if (is_first_word(first))
        return cli_fail(call, PACKETFS_EINVAL, "%s what? `packetfs help` lists its verbs", first);
    for (size_t i = 0; i < cli_verb_count; i++)
        nearer(first, cli_verbs[i]->name, &best, &nearest);
    if (nearest != NULL)
        return cli_fail(call, PACKETFS_EINVAL, "there is no verb %.40s; did you mean %s?", first,
                        nearest);
    return cli_fail(call, PACKETFS_EINVAL, "there is no verb %.40s", first);
}

static int check_operands(struct cli_call *call)
{
    const struct cli_verb *verb = call->verb;

    if (verb == NULL || cli_has(call, "help") || cli_has(call, "version"))
        return 0;
    if (call->operand_count < verb->operands_min)
        return cli_fail(call, PACKETFS_EINVAL, "%s needs more: packetfs %s %s", verb->name,
                        verb->name, verb->operands);
    if (call->operand_count > verb->operands_max)
        return cli_fail(call, PACKETFS_EINVAL, "%s does not take \"%.60s\": packetfs %s%s%s",
                        verb->name, call->operands[verb->operands_max], verb->name,
                        verb->operands != NULL ? " " : "",
                        verb->operands != NULL ? verb->operands : "");
    return 0;
}

int cli_line_parse(struct cli_call *call, int argc, char **argv)
{
    struct arguments arguments = {argv, argc, 1};
    size_t slots = (size_t)argc + 1;
    bool only_operands = false;

    if (argc > CLI_ARGUMENTS_MAX)
        return cli_fail(call, PACKETFS_ELIMIT, "more than %d arguments", CLI_ARGUMENTS_MAX);
    for (int i = 1; i < argc; i++) /* an argument is at most as many switches as it has letters */
        slots += argv[i][0] == '-' && argv[i][1] != '-' ? strlen(argv[i]) : 0;
    call->given = hm_calloc(slots, sizeof(*call->given));
    call->operands = hm_calloc((size_t)argc + 1, sizeof(*call->operands));
    if (call->given == NULL || call->operands == NULL)
        return cli_no_memory(call);
    while (arguments.at < argc) {
        const char *text = argv[arguments.at++];
        int rc = 0;

        if (!only_operands && strcmp(text, "--") == 0)
            only_operands = true;
        else if (!only_operands && text[0] == '-' && text[1] == '-')
            rc = parse_long(call, text, &arguments);
        else if (!only_operands && text[0] == '-' && text[1] != '\0')
            rc = parse_short(call, text, &arguments);
        else if (call->verb == NULL)
            rc = parse_verb(call, text, &arguments);
        else
            call->operands[call->operand_count++] = text;
        if (rc != 0)
            return rc;
    }
    return check_operands(call);
}

/* --- asking for options ------------------------------------------------------------------------------------------------ */
static void must_be_in_table(const struct cli_call *call, const char *name)
{
    if (option_find(call, name, strlen(name), 0) != NULL)
        return;
    (void)fprintf(stderr, "packetfs: the option --%s is asked for but in no table\n", name);
    abort();
}

const char *cli_value(const struct cli_call *call, const char *name)
{
    must_be_in_table(call, name);
    for (size_t i = call->given_count; i > 0; i--)
        if (strcmp(call->given[i - 1].option->name, name) == 0)
            return call->given[i - 1].value;
    return NULL;
}

bool cli_has(const struct cli_call *call, const char *name)
{
    must_be_in_table(call, name);
    for (size_t i = 0; i < call->given_count; i++)
        if (strcmp(call->given[i].option->name, name) == 0)
            return true;
    return false;
}

const char *cli_next(const struct cli_call *call, const char *name, size_t *at)
{
    while (*at < call->given_count) {
        const struct cli_given *given = &call->given[(*at)++];

        if (strcmp(given->option->name, name) == 0)
            return given->value;
    }
    return NULL;
}

const char *cli_operand(const struct cli_call *call, size_t index)
{
    return index < call->operand_count ? call->operands[index] : NULL;
}

/* Digits, then nothing, or K, M, G, T (powers of 1024; an "iB" or "B" may follow) where units are allowed. */
static int number_of(struct cli_call *call, const char *name, bool units, uint64_t most,
                     uint64_t *out)
{
    static const char letters[] = "KMGT";
    const char *text = cli_value(call, name), *letter;
    uint64_t value = 0;
    size_t i = 0;
    unsigned shift = 0;

    if (text == NULL)
        return 0;
    for (; isdigit((unsigned char)text[i]) && i < 19; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    letter = units && text[i] != '\0' ? strchr(letters, toupper((unsigned char)text[i])) : NULL;
    if (i > 0 && letter != NULL) {
        shift = 10 * (unsigned)(letter - letters + 1);
        text += i + 1;
        text += strcmp(text, "iB") == 0 ? 2 : strcmp(text, "B") == 0 ? 1 : 0;
        i = 0;
    } else if (i == 0) {
        text = "?";
    }
    if (text[i] != '\0')
        return cli_fail(call, PACKETFS_EINVAL, "--%s %.40s: not a %s", name, cli_value(call, name),
                        units ? "size such as 4096, 64K or 1G" : "whole number");
    if (value > most >> shift)
        return cli_fail(call, PACKETFS_EINVAL, "--%s %.40s: the most is %llu", name,
                        cli_value(call, name), (unsigned long long)most);
    *out = value << shift;
    return 0;
}

int cli_number(struct cli_call *call, const char *name, uint64_t most, uint64_t *out)
{
    return number_of(call, name, false, most, out);
}

int cli_size(struct cli_call *call, const char *name, uint64_t most, uint64_t *out)
{
    return number_of(call, name, true, most, out);
}
