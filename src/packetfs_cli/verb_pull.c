#include "verb_transfer.h"

static int pull_run(struct cli_call *call)
{
    return cli_transfer(call, packetfs_pull, true);
}

static const struct cli_option pull_options[] = {
    CLI_TRANSFER_OPTIONS,
    {.name = "accept-rollback",
     .help = "take a peer whose newest snapshots are gone since the last time"},
};

const struct cli_verb verb_pull = {
    .name = "pull",
    .operands = "HOST[:PORT]",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take over the snapshots of a folder of this volume that is served elsewhere",
    .text = "A new folder of a volume begins as a copy of DIR/volume and DIR/keys. Every object is "
            "checked against its\n"
            "id; a snapshot is added when all of it is here.",
    .options = pull_options,
    .option_count = HM_COUNT_OF(pull_options),
    .run = pull_run,
};
