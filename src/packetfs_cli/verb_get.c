#include "cli.h"

#include <unistd.h>

#define THREADS_MAX 256

static const struct cli_option options[] = {
    {.name = "target",
     .letter = 't',
     .value = "DIR",
     .help = "where to put it; made when missing",
     .words = "@folder"},
    {.name = "overwrite", .letter = 'f', .help = "replace what is there and differs"},
    {.name = "keep-owner", .help = "set owners also when not root, as far as allowed"},
    {.name = "no-sparse", .help = "write zeros where there were holes"},
    {.name = "threads", .letter = 'j', .value = "N", .help = "default: as many as processors"},
};

static void show(const struct cli_call *call, const struct packetfs_get_result *r)
{
    char bytes[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("%llu files and %llu folders, %s; %llu were there already\n",
                     (unsigned long long)r->files, (unsigned long long)r->folders,
                     cli_show_size(r->bytes, bytes), (unsigned long long)r->files_same);
        if (r->files_failed > 0)
            (void)printf("%llu files are missing\n", (unsigned long long)r->files_failed);
        return;
    }
    cli_json_open('{');
    cli_json_pair("files", r->files);
    cli_json_pair("folders", r->folders);
    cli_json_pair("bytes", r->bytes);
    cli_json_pair("files_same", r->files_same);
    cli_json_pair("files_failed", r->files_failed);
    cli_json_findings(call);
    cli_json_close();
}

static int to_stdout(struct cli_call *call, const struct packetfs_snapshot *snapshot,
                     const char *path)
{
    int rc;

    if (cli_has(call, "target"))
        return cli_fail(call, PACKETFS_EINVAL, "- (standard output) or --target, not both");
    if (path[0] == '\0')
        return cli_fail(call, PACKETFS_EINVAL, "- (standard output) takes one file: SNAPSHOT:PATH");
    rc = packetfs_get_stream(call->volume, snapshot, path, STDOUT_FILENO, cli_watch(call),
                             &call->error);
    cli_watch_end(call);
    return rc;
}

static int to_folder(struct cli_call *call, const struct packetfs_snapshot *snapshot,
                     const char *path, struct packetfs_get_result *result)
{
    struct packetfs_get_options o = {.path = path,
                                     .target = cli_value(call, "target"),
                                     .overwrite = cli_has(call, "overwrite"),
                                     .keep_owner = cli_has(call, "keep-owner"),
                                     .no_sparse = cli_has(call, "no-sparse")};
    uint64_t threads = 0;
    int rc = cli_number(call, "threads", THREADS_MAX, &threads);

    if (rc != 0)
        return rc;
    o.threads = (unsigned)threads;
    rc = packetfs_get(call->volume, snapshot, &o, cli_watch(call), result, &call->error);
    cli_watch_end(call);
    if (rc == PACKETFS_EEXIST)
        call->hint = "--overwrite replaces what is there and differs";
    return rc;
}

static int run(struct cli_call *call)
{
    struct packetfs_get_result result = {0};
    struct packetfs_snapshot snapshot;
    const char *second = cli_operand(call, 1), *path;
    int rc;

    if (second != NULL && strcmp(second, "-") != 0)
        return cli_fail(call, PACKETFS_EINVAL,
                        "get does not take \"%.60s\"; -t DIR says where to put it", second);
    if (second == NULL && cli_value(call, "target") == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "where to? -t DIR, or - for standard output");
    rc = cli_volume(call, true);
    if (rc == 0)
        rc = cli_snapshot(call, cli_operand(call, 0), &snapshot, &path);
    if (rc != 0)
        return rc;
    if (second != NULL)
        return to_stdout(call, &snapshot, path);
    rc = to_folder(call, &snapshot, path, &result);
    if (rc != 0 && result.files_failed == 0)
        return rc;
    if (rc != 0)
        cli_say("%s", call->error.text);
    show(call, &result);
    return rc == PACKETFS_ECORRUPT ? CLI_EXIT_DAMAGED : rc != 0 ? CLI_EXIT_INCOMPLETE : 0;
}

const struct cli_verb verb_get = {
    .name = "get",
    .operands = "SNAPSHOT[:PATH] [-]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "Restore a snapshot, or a part of it",
    .text = "SNAPSHOT: 4 or more digits of its id, a label (its newest snapshot), or \"latest\".\n"
            "What is there and equal is left as it is. With - one file goes to standard output.\n"
            "Every byte is checked before it is written.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
