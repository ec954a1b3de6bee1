/* Options and verbs as tables: the parser, the help, the completion scripts and the test of the man pages
 * all read the same rows. */
#ifndef HM_NEXUS_OPTION_H
#define HM_NEXUS_OPTION_H

#include "base.h"

struct nexus_call;

struct nexus_option {
    const char *name; /* long form without the dashes */
    char letter; /* short form, or 0 */
    const char *value; /* how the value is called: "SIZE"; NULL: a switch */
    const char *help; /* what it does, one line */
    const char *words; /* values there are, separated by spaces; "@file", "@folder"; NULL: any */
    bool many; /* may be given more than once; otherwise the last one counts */
};

struct nexus_verb {
    const char *group; /* "asset", or NULL for a verb of its own */
    const char *name; /* "ls" */
    const char *alias; /* another name, or NULL */
    const char *operands; /* as usage shows them: "ASSET TO"; NULL: none */
    size_t operands_min, operands_max;
    bool command; /* what follows the first operand belongs to another program */
    bool
        job_status; /* ends with a job's exit code, and with NEXUS_EXIT_JOB_NOT_RUN when it fails itself */
    const char *words; /* completion of operands, as in nexus_option */
    const char *summary; /* one line, no full stop */
    const char *text; /* more, or NULL */
    const struct nexus_option *options;
    size_t option_count;
    /* 0; a negative code with call->error filled in; or a positive exit code, said already. */
    int (*run)(struct nexus_call *call);
};

struct nexus_group {
    const char *name;
    const char *summary;
};

struct nexus_grammar {
    const struct nexus_verb *const *verbs; /* verbs of a group stand together */
    size_t verb_count;
    const struct nexus_group *groups;
    size_t group_count;
    const struct nexus_option *globals;
    size_t global_count;
};

/* The command line as it was understood. Everything points into argv, the tables or the arena. */
struct nexus_given {
    const struct nexus_option *option;
    const char *value; /* NULL for a switch */
};

struct nexus_line {
    const struct nexus_verb *verb; /* NULL: none was named */
    const struct nexus_group *group; /* named, whether or not a verb followed */
    struct nexus_given *given;
    size_t given_count;
    const char **operands;
    size_t operand_count;
};

#define NEXUS_ARGUMENTS_MAX 4096

/* Checks everything that the tables say; HM_EINVAL with a sentence that names the nearest thing there is.
 * With --help or --version among the options, operands are not counted. */
int nexus_line_parse(const struct nexus_grammar *grammar, int argc, char **argv,
                     struct hm_arena *arena, struct nexus_line *out, struct hm_error *error);

/* The last value of an option: NULL when it was not given. Names that are not in the table end the
 * program: a mistake of ours. */
const char *nexus_line_value(const struct nexus_line *line, const struct nexus_grammar *grammar,
                             const char *name);
bool nexus_line_has(const struct nexus_line *line, const struct nexus_grammar *grammar,
                    const char *name);
/* Values of an option in order: start with *at = 0; NULL when there are no more. */
const char *nexus_line_next(const struct nexus_line *line, const char *name, size_t *at);

/* Of the names, the one that was most likely meant, or NULL when none is near. */
const char *nexus_nearest(const char *text, const char *const *names, size_t count);

#endif
