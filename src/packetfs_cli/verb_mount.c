#include "verb_mount.h"

#include "cli.h"

static int run(struct cli_call *call)
{
    struct mount_options options = {
        .point = cli_operand(call, 0),
        .snapshot = cli_operand(call, 1),
        .foreground = cli_has(call, "foreground"),
        .allow_other = cli_has(call, "allow-other"),
    };
    int rc = cli_volume(call, true);

    if (rc != 0)
        return rc;
    options.dir = cli_volume_dir(call);
    options.unlock = call->unlock;
    call->hint = "without /dev/fuse, packetfs get restores what you need";
    rc = mount_run(&options, HM_TAKE(call->volume), &call->error);
    if (rc != PACKETFS_EUNAVAILABLE)
        call->hint = NULL;
    return rc;
}

static const struct cli_option options[] = {
    {.name = "foreground", .letter = 'f', .help = "stay here until it is unmounted"},
    {.name = "allow-other", .help = "other users may look, as modes and owners allow"},
};

const struct cli_verb verb_mount = {
    .name = "mount",
    .operands = "FOLDER [SNAPSHOT]",
    .operands_min = 1,
    .operands_max = 2,
    .words = "@folder",
    .summary = "Look at snapshots as files, read-only",
    .text = "Without SNAPSHOT, FOLDER shows all: LABEL/TIME/..., LABEL/latest and latest. Data is "
            "read when it is looked "
            "at. It ends with fusermount3 -u FOLDER, or, in the foreground, with Ctrl-C.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run,
};
