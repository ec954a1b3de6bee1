#include "cli.h"

#include <unistd.h>

#define EXCLUDES_MAX 1000
#define THREADS_MAX  256

static const struct cli_option options[] = {
    {.name = "label",
     .letter = 'l',
     .value = "LABEL",
     .help = "what the snapshot is called; default: the last name of the first path"},
    {.name = "name",
     .value = "NAME",
     .help = "with -: the file's name in the snapshot; default: stdin"},
    {.name = "exclude",
     .letter = 'x',
     .value = "PATTERN",
     .help = "leave out names or paths that fit (shell pattern); may be repeated"},
    {.name = "contents", .help = "of one folder: its entries become the snapshot's top"},
    {.name = "one-file-system", .help = "do not go into other file systems"},
    {.name = "read-all", .help = "read every file, also those that look unchanged"},
    {.name = "threads", .letter = 'j', .value = "N", .help = "default: as many as processors"},
};

static void show_text(const struct packetfs_put_result *r)
{
    char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1], read[CLI_SHOW_BYTES], fresh[CLI_SHOW_BYTES],
        stored[CLI_SHOW_BYTES], all[CLI_SHOW_BYTES];

    (void)printf("snapshot %.12s  %s\n",
                 cli_show_id(r->snapshot.id, PACKETFS_SNAPSHOT_ID_BYTES, id), r->snapshot.label);
    (void)printf("%llu files, %s in all; %llu unchanged; %s read, %s new, %s stored\n",
                 (unsigned long long)r->snapshot.files, cli_show_size(r->snapshot.bytes, all),
                 (unsigned long long)r->files_unchanged, cli_show_size(r->bytes_read, read),
                 cli_show_size(r->bytes_new, fresh), cli_show_size(r->bytes_stored, stored));
    if (r->files_failed > 0)
        (void)printf("%llu files are not in it\n", (unsigned long long)r->files_failed);
}

static void show_json(const struct cli_call *call, const struct packetfs_put_result *r)
{
    cli_json_open('{');
    cli_json_key("snapshot");
    cli_json_snapshot(&r->snapshot);
    cli_json_pair("files_unchanged", r->files_unchanged);
    cli_json_pair("files_failed", r->files_failed);
    cli_json_pair("bytes_read", r->bytes_read);
    cli_json_pair("bytes_new", r->bytes_new);
    cli_json_pair("bytes_stored", r->bytes_stored);
    cli_json_key("processor_ns");
    cli_json_open('{');
    cli_json_pair("read", r->ns_read);
    cli_json_pair("chunk", r->ns_chunk);
    cli_json_pair("hash", r->ns_hash);
    cli_json_pair("compress", r->ns_compress);
    cli_json_pair("seal", r->ns_seal);
    cli_json_pair("write", r->ns_write);
    cli_json_pair("index", r->ns_index);
    cli_json_close();
    cli_json_findings(call);
    cli_json_close();
}

static int put_stream(struct cli_call *call, struct packetfs_put_result *result)
{
    const char *name = cli_value(call, "name");
    int rc;

    if (call->operand_count != 1)
        return cli_fail(call, PACKETFS_EINVAL, "- (standard input) stands alone");
    rc = packetfs_put_stream(call->volume, STDIN_FILENO, name != NULL ? name : "stdin",
                             cli_value(call, "label"), cli_watch(call), result, &call->error);
    cli_watch_end(call);
    return rc;
}

static int put_paths(struct cli_call *call, struct packetfs_put_result *result)
{
    const char *excludes[EXCLUDES_MAX];
    struct packetfs_put_options o = {.paths = call->operands,
                                     .path_count = call->operand_count,
                                     .label = cli_value(call, "label"),
                                     .excludes = excludes,
                                     .contents_of = cli_has(call, "contents"),
                                     .one_file_system = cli_has(call, "one-file-system"),
                                     .read_all = cli_has(call, "read-all")};
    uint64_t threads = 0;
    size_t at = 0;
    const char *pattern;
    int rc = cli_number(call, "threads", THREADS_MAX, &threads);

    if (rc != 0)
        return rc;
    if (cli_has(call, "name"))
        return cli_fail(call, PACKETFS_EINVAL, "--name goes with -, standard input");
    while ((pattern = cli_next(call, "exclude", &at)) != NULL) {
        if (o.exclude_count == EXCLUDES_MAX)
            return cli_fail(call, PACKETFS_ELIMIT, "more than %d patterns", EXCLUDES_MAX);
        excludes[o.exclude_count++] = pattern;
    }
    o.threads = (unsigned)threads;
    rc = packetfs_put(call->volume, &o, cli_watch(call), result, &call->error);
    cli_watch_end(call);
    return rc;
}

static int run(struct cli_call *call)
{
    struct packetfs_put_result result = {0};
    int rc = cli_volume(call, false);
    bool incomplete;

    if (rc != 0)
        return rc;
    rc = strcmp(cli_operand(call, 0), "-") == 0 ? put_stream(call, &result)
                                                : put_paths(call, &result);
    incomplete = rc == PACKETFS_EIO && result.files_failed > 0;
    if (rc != 0 && !incomplete) {
        if (rc == PACKETFS_ECANCELLED)
            call->hint = "what is stored already is not stored again: the same command goes on";
        return rc;
    }
    if (call->json)
        show_json(call, &result);
    else
        show_text(&result);
    return incomplete ? CLI_EXIT_INCOMPLETE : 0;
}

const struct cli_verb verb_put = {
    .name = "put",
    .operands = "PATH... | -",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .words = "@file",
    .summary = "Store files and folders as a snapshot",
    .text =
        "What the volume holds already is not stored again. Files that look as they did last time\n"
        "(size, times, inode) are not read. `-` stores standard input as one file.\n"
        "Ends with 7 when some files could not be read; each is named.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
