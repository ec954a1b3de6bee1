/* What push, pull and sync have in common. */
#ifndef HM_PACKETFS_CLI_TRANSFER_H
#define HM_PACKETFS_CLI_TRANSFER_H

#include "cli.h"

typedef int (*cli_transfer_call)(struct packetfs_volume *volume,
                                 const struct packetfs_transfer_options *options,
                                 const struct packetfs_watch *watch,
                                 struct packetfs_transfer_result *result,
                                 struct packetfs_error *error);

/* Reads the options that the verbs share, runs it, shows the result. receives: it has --accept-rollback, too. */
int cli_transfer(struct cli_call *call, cli_transfer_call how, bool receives);

/* clang-format off */
#define CLI_TRANSFER_OPTIONS                                                                                  \
    {.name = "label", .letter = 'l', .value = "LABEL", .help = "only snapshots with this label"},             \
    {.name = "newest", .letter = 'n', .help = "only the newest snapshot of each label"},                      \
    {.name = "timeout", .value = "SECONDS", .help = "how long the peer may be silent; default: 60"}
/* clang-format on */

#endif
