/* What the verbs about identities, messages and keys share: files in and out, who we are, who others are. */
#ifndef HM_PACKETFS_CLI_PEOPLE_H
#define HM_PACKETFS_CLI_PEOPLE_H

#include "cli.h"

/* --identity FILE; none: the one in the key folder. */
int cli_identity(struct cli_call *call, struct packetfs_identity **out);
/* The public part in a file. */
int cli_contact(struct cli_call *call, const char *file, struct packetfs_contact **out);
/* file NULL or "-": standard input. PACKETFS_ELIMIT past limit bytes. */
int cli_read(struct cli_call *call, const char *file, size_t limit, struct hm_buf *out);
/* file NULL or "-": standard output, but no bytes to a terminal. A file is new or replaced whole, mode 0600. */
int cli_write(struct cli_call *call, const char *file, bool text, const void *data, size_t len);

/* Whom --for names. */
struct cli_for {
    const char *me; /* our own identity's file, "" for the one in the key folder; NULL: not we */
    struct packetfs_contact *list[PACKETFS_SLOTS_MAX]; /* the others */
    size_t count;
};
int cli_for_read(struct cli_call *call, struct cli_for *out);
void cli_for_release(struct cli_for *people);
/* A slot for each of the others, signed by us; what unlock says opens the volume. */
int cli_for_admit(struct cli_call *call, const char *dir, const struct packetfs_unlock *unlock,
                  const struct cli_for *people);
#define CLI_FOR_OPTION(HELP)                                              \
    {                                                                     \
        .name = "for", .value = "FILE|me", .help = HELP, .words = "@file" \
    }

#define CLI_IDENTITY_OPTION                                                         \
    {                                                                               \
        .name = "identity", .letter = 'i', .value = "FILE",                         \
        .help = "who we are; default: identity in the key folder", .words = "@file" \
    }
#define CLI_OUTPUT_OPTION                                                               \
    {                                                                                   \
        .name = "output", .letter = 'O', .value = "FILE", .help = "write to this file", \
        .words = "@file"                                                                \
    }

#endif
