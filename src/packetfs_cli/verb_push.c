#include "verb_transfer.h"

static int push_run(struct cli_call *call)
{
    return cli_transfer(call, packetfs_push, false);
}

static const struct cli_option push_options[] = {CLI_TRANSFER_OPTIONS};

const struct cli_verb verb_push = {
    .name = "push",
    .operands = "HOST[:PORT]",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Bring this volume's snapshots to a folder of it that is served elsewhere",
    .text = "What is there already is not sent; a changed piece goes as its difference to the one "
            "before. Both ends\n"
            "need the volume's key. What was interrupted goes on where it was.",
    .options = push_options,
    .option_count = HM_COUNT_OF(push_options),
    .run = push_run,
};
