/* The packetfs command: one verb, one row of cli_verbs.c, one run function in verb_NAME.c.
 *
 * Never: sees more of a volume than packetfs.h shows; puts a passphrase on a command line or into the environment.
 * Start reading with cli_main, then verb_put.c. */
#ifndef HM_PACKETFS_CLI_H
#define HM_PACKETFS_CLI_H

#include "base.h"
#include "packetfs.h"

/* What packetfs ends with; docs/man/packetfs.1.scd says the same. */
enum cli_exit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1,
    CLI_EXIT_USAGE = 2, /* a command line or a value that makes no sense */
    CLI_EXIT_UNREACHABLE = 3, /* a peer does not answer, or too late */
    CLI_EXIT_NOT_FOUND = 4,
    CLI_EXIT_REFUSED = 5, /* a wrong key, no permission, or the present state */
    CLI_EXIT_DAMAGED = 6, /* stored data is damaged or missing */
    CLI_EXIT_INCOMPLETE = 7, /* done but for some files; each was named */
    CLI_EXIT_INTERRUPTED = 130,
};
enum cli_exit cli_exit_of(int error_code);

struct cli_call;

struct cli_option {
    const char *name; /* long form without the dashes */
    char letter; /* short form, or 0 */
    const char *value; /* how the value is called: "SIZE"; NULL: a switch */
    const char *help; /* one line */
    const char
        *words; /* the values there are, separated by spaces; "@file", "@folder"; NULL: any */
};

struct cli_verb {
    const char *name; /* "put"; of two words where several belong together: "key split" */
    const char *operands; /* as usage shows them: "PATH..."; NULL: none */
    size_t operands_min, operands_max; /* max SIZE_MAX: any number */
    const char *words; /* completion of operands: as in cli_option */
    const char *summary; /* one line, no full stop */
    const char *text; /* more, or NULL */
    const struct cli_option *options; /* besides those of every verb */
    size_t option_count;
    /* 0; a negative PACKETFS_E* with call->error filled in; or an exit code, said already. */
    int (*run)(struct cli_call *call);
};

extern const struct cli_verb *const cli_verbs[];
extern const size_t cli_verb_count;
extern const struct cli_option cli_globals[]; /* of every verb */
extern const size_t cli_global_count;

struct cli_given {
    const struct cli_option *option;
    const char *value; /* NULL for a switch */
};

/* The command line as it was understood, and what the verb is given to work with. */
struct cli_call {
    const struct cli_verb *verb; /* NULL: none was named */
    struct cli_given *given;
    size_t given_count;
    const char **operands;
    size_t operand_count;
    bool json, color;
    struct packetfs_error error;
    const char *hint; /* what to do about it: static text, or NULL */
    struct packetfs_unlock unlock; /* filled by cli_unlock */
    struct hm_buf passphrase; /* wiped at the end */
    struct packetfs_volume *volume; /* closed at the end */
    struct hm_buf findings; /* sentences, each with its NUL */
    size_t finding_count;
};

int cli_main(int argc, char **argv);

/* --- the command line (cli_line.c) ------------------------------------------------------------------------------- */
#define CLI_ARGUMENTS_MAX 65536
/* Checks all that the tables say; PACKETFS_EINVAL with a sentence that names what was nearest. */
int cli_line_parse(struct cli_call *call, int argc, char **argv);
/* The last value of an option, or NULL. An option in no table ends the program: a mistake of ours. */
const char *cli_value(const struct cli_call *call, const char *name);
bool cli_has(const struct cli_call *call, const char *name);
/* Values of an option in order: start with *at = 0; NULL when there are no more. */
const char *cli_next(const struct cli_call *call, const char *name, size_t *at);
const char *cli_operand(const struct cli_call *call, size_t index); /* NULL: not given */
/* A whole number, or a size ("64K", "1.5 GiB" is "1536M"), of an option; *out stays where it was not given. PACKETFS_EINVAL. */
int cli_number(struct cli_call *call, const char *name, uint64_t most, uint64_t *out);
int cli_size(struct cli_call *call, const char *name, uint64_t most, uint64_t *out);

/* Fills call->error and returns code. */
int cli_fail(struct cli_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int cli_no_memory(struct cli_call *call);
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* to standard error */

/* --- the volume (cli_volume.c) ------------------------------------------------------------------------------------ */
/* -V DIR, else PACKETFS_VOLUME; NULL and call->error: neither. */
const char *cli_volume_dir(struct cli_call *call);
/* What --passphrase-file, --passphrase, --key-file, --identity and --key-dir say, as call->unlock; twice: a typed passphrase is asked for
 * twice. Beside a passphrase or a key file --identity says only who we are. */
int cli_unlock(struct cli_call *call, bool twice);
/* Where --identity says who we are first of all: should it not open the volume, work is tried again with the keys of the key folder. */
int cli_unlocked(struct cli_call *call, int (*work)(struct cli_call *call, void *ctx), void *ctx);
/* Opens it as call->volume. With no option about keys the key files are tried, then, at a terminal, a passphrase. */
int cli_volume(struct cli_call *call, bool read_only);
/* "SNAPSHOT" or "SNAPSHOT:PATH"; path may be NULL: then no path may stand there. *path points into text, "" for none. */
int cli_snapshot(struct cli_call *call, const char *text, struct packetfs_snapshot *out,
                 const char **path);
#define CLI_PASSPHRASE_MAX_BYTES 1024

/* --- long calls (cli_watch.c) ------------------------------------------------------------------------------------- */
/* Shows progress on a terminal, from the first second on, keeps and says findings, and ends the call on Ctrl-C or SIGTERM
 * (PACKETFS_ECANCELLED). One at a time; cli_watch_end after the call takes the line away. */
const struct packetfs_watch *cli_watch(struct cli_call *call);
void cli_watch_end(struct cli_call *call);
/* One line without its end, at most width bytes. Pure. elapsed_ns > 0. */
void cli_progress_line(const struct packetfs_progress *progress, uint64_t elapsed_ns, size_t width,
                       char *out, size_t room);

/* --- what is shown (cli_show.c) -------------------------------------------------------------------------------------- */
#define CLI_SHOW_BYTES 48
const char *cli_show_size(uint64_t bytes, char out[CLI_SHOW_BYTES]); /* "64.0 MiB" */
const char *cli_show_span(uint64_t seconds,
                          char out[CLI_SHOW_BYTES]); /* "12 s", "3m20s", "2h05m" */
const char *cli_show_time(int64_t seconds,
                          char out[CLI_SHOW_BYTES]); /* "2026-01-02 03:04:05", UTC */
const char *cli_show_id(const uint8_t *id, size_t len, char *out); /* hex, 2 * len + 1 bytes */
/* Names in any bytes; to a terminal, control bytes and what is not UTF-8 are written \xNN. */
void cli_put_name(const uint8_t *name, size_t len);

/* JSON to standard output, one value after the other; commas come by themselves. */
void cli_json_open(char bracket); /* '{' or '[' */
void cli_json_close(void); /* the newest that is open; a newline after the last */
void cli_json_key(const char *name);
void cli_json_number(uint64_t value);
void cli_json_signed(int64_t value);
void cli_json_bool(bool value);
void cli_json_text(const char *text);
/* Bytes that need not be UTF-8: "name": with U+FFFD for what is not, and then "name_hex" beside it. */
void cli_json_bytes(const char *name, const uint8_t *bytes, size_t len);
void cli_json_pair(const char *name, uint64_t value);
void cli_json_snapshot(const struct packetfs_snapshot *snapshot); /* an object */
void cli_json_findings(const struct cli_call *call); /* "findings": [...] */

/* --- help and completion (cli_help.c, cli_completion.c) ---------------------------------------------------------------- */
#include <stdio.h>
void cli_help_all(FILE *to);
void cli_help_verb(const struct cli_verb *verb, FILE *to);
const struct cli_verb *cli_verb_find(const char *first, const char *second); /* NULL: none */
/* "bash", "zsh", "fish"; false: no such shell. */
bool cli_completion(const char *shell, FILE *to);

#endif
