#include "verb_transfer.h"

static int sync_run(struct cli_call *call)
{
    return cli_transfer(call, packetfs_sync, true);
}

static const struct cli_option sync_options[] = {
    CLI_TRANSFER_OPTIONS,
    {.name = "accept-rollback",
     .help = "take a peer whose newest snapshots are gone since the last time"},
};

const struct cli_verb verb_sync = {
    .name = "sync",
    .operands = "HOST[:PORT]",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Pull, then push: both folders end with all snapshots of both",
    .text = "Snapshots that were removed on one side come back from the other.",
    .options = sync_options,
    .option_count = HM_COUNT_OF(sync_options),
    .run = sync_run,
};
