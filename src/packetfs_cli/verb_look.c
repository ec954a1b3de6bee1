/* ls, diff, log. */
#include "cli.h"

#include <inttypes.h>

/* --- ls -------------------------------------------------------------------------------------------------------------- */
static const struct cli_option ls_options[] = {
    {.name = "deep", .letter = 'r', .help = "all below it, too"},
    {.name = "long", .letter = 'l', .help = "mode, owner, size and time as well"},
};

static const char *const type_names[] = {
    [PACKETFS_FILE] = "file",
    [PACKETFS_FOLDER] = "folder",
    [PACKETFS_SYMLINK] = "symlink",
    [PACKETFS_FIFO] = "fifo",
    [PACKETFS_SOCKET] = "socket",
    [PACKETFS_CHARACTER_DEVICE] = "character device",
    [PACKETFS_BLOCK_DEVICE] = "block device",
};

static void json_item(const struct packetfs_item *item)
{
    cli_json_open('{');
    cli_json_bytes("path", item->path.data, item->path.len);
    cli_json_key("type");
    cli_json_text(type_names[item->type]);
    cli_json_pair("mode", item->mode);
    cli_json_pair("uid", item->uid);
    cli_json_pair("gid", item->gid);
    cli_json_bytes("user", item->user.data, item->user.len);
    cli_json_bytes("group", item->group.data, item->group.len);
    cli_json_key("mtime");
    cli_json_signed(item->mtime_s);
    cli_json_pair("mtime_ns", item->mtime_ns);
    if (item->type == PACKETFS_FILE)
        cli_json_pair("bytes", item->bytes);
    if (item->hard_link != 0)
        cli_json_pair("hard_link", item->hard_link);
    if (item->type == PACKETFS_SYMLINK)
        cli_json_bytes("target", item->target.data, item->target.len);
    if (item->type == PACKETFS_CHARACTER_DEVICE || item->type == PACKETFS_BLOCK_DEVICE) {
        cli_json_pair("major", item->device >> 32);
        cli_json_pair("minor", item->device & 0xffffffffu);
    }
    cli_json_close();
}

static void mode_text(const struct packetfs_item *item, char out[11])
{
    static const char types[] = "?-dlpscb";

    out[0] = types[item->type];
    for (unsigned i = 0; i < 9; i++)
        out[i + 1] = (item->mode >> (8 - i) & 1) != 0 ? "rwx"[i % 3] : '-';
    if ((item->mode & 04000) != 0)
        out[3] = out[3] == 'x' ? 's' : 'S';
    if ((item->mode & 02000) != 0)
        out[6] = out[6] == 'x' ? 's' : 'S';
    if ((item->mode & 01000) != 0)
        out[9] = out[9] == 'x' ? 't' : 'T';
    out[10] = '\0';
}

static void put_owner(struct packetfs_bytes name, uint32_t id)
{
    if (name.len > 0)
        (void)printf(" %-8.*s", (int)name.len, (const char *)name.data);
    else
        (void)printf(" %-8" PRIu32, id);
}

static int show_item(void *ctx, const struct packetfs_item *item)
{
    const struct cli_call *call = ctx;
    char mode[11], size[CLI_SHOW_BYTES], time[CLI_SHOW_BYTES];

    if (call->json) {
        json_item(item);
        return 0;
    }
    if (cli_has(call, "long")) {
        mode_text(item, mode);
        (void)fputs(mode, stdout);
        put_owner(item->user, item->uid);
        put_owner(item->group, item->gid);
        (void)printf(" %10s  %s  ",
                     item->type == PACKETFS_FILE ? cli_show_size(item->bytes, size) : "-",
                     cli_show_time(item->mtime_s, time));
    }
    if (call->color && item->type == PACKETFS_FOLDER)
        (void)fputs("\033[1;34m", stdout);
    cli_put_name(item->path.data, item->path.len);
    if (call->color && item->type == PACKETFS_FOLDER)
        (void)fputs("\033[0m", stdout);
    if (item->type == PACKETFS_FOLDER)
        (void)fputc('/', stdout);
    if (item->type == PACKETFS_SYMLINK && cli_has(call, "long")) {
        (void)fputs(" -> ", stdout);
        cli_put_name(item->target.data, item->target.len);
    }
    (void)fputc('\n', stdout);
    return ferror(stdout) ? PACKETFS_EIO : 0;
}

static int run_ls(struct cli_call *call)
{
    const char *name = cli_operand(call, 0), *path;
    struct packetfs_snapshot snapshot;
    int rc = cli_volume(call, true);

    if (rc == 0)
        rc = cli_snapshot(call, name != NULL ? name : "latest", &snapshot, &path);
    if (rc != 0)
        return rc;
    if (call->json)
        cli_json_open('[');
    rc = packetfs_list(call->volume, &snapshot, path, cli_has(call, "deep"), show_item, call,
                       &call->error);
    if (call->json)
        cli_json_close();
    return rc;
}

const struct cli_verb verb_ls = {.name = "ls",
                                 .operands = "[SNAPSHOT[:PATH]]",
                                 .operands_max = 1,
                                 .words = "latest",
                                 .summary = "List what is in a snapshot",
                                 .text = "Without a name: in the newest one.",
                                 .options = ls_options,
                                 .option_count = HM_COUNT_OF(ls_options),
                                 .run = run_ls};

/* --- diff ------------------------------------------------------------------------------------------------------------ */
static int show_change(void *ctx, char change, const struct packetfs_item *before,
                       const struct packetfs_item *after)
{
    const struct cli_call *call = ctx;
    const struct packetfs_item *item = after != NULL ? after : before;
    const char letter[2] = {change, '\0'};

    if (!call->json) {
        if (call->color)
            (void)fputs(change == 'A'   ? "\033[32m"
                        : change == 'D' ? "\033[31m"
                                        : "\033[33m",
                        stdout);
        (void)printf("%c ", change);
        cli_put_name(item->path.data, item->path.len);
        if (item->type == PACKETFS_FOLDER)
            (void)fputc('/', stdout);
        (void)fputs(call->color ? "\033[0m\n" : "\n", stdout);
        return ferror(stdout) ? PACKETFS_EIO : 0;
    }
    cli_json_open('{');
    cli_json_key("change");
    cli_json_text(letter);
    if (before != NULL) {
        cli_json_key("before");
        json_item(before);
    }
    if (after != NULL) {
        cli_json_key("after");
        json_item(after);
    }
    cli_json_close();
    return 0;
}

static int run_diff(struct cli_call *call)
{
    const char *second = cli_operand(call, 1);
    struct packetfs_snapshot before, after;
    int rc = cli_volume(call, true);

    if (rc == 0)
        rc = cli_snapshot(call, cli_operand(call, 0), &before, NULL);
    if (rc == 0)
        rc = cli_snapshot(call, second != NULL ? second : "latest", &after, NULL);
    if (rc != 0)
        return rc;
    if (call->json)
        cli_json_open('[');
    rc = packetfs_diff(call->volume, &before, &after, show_change, call, &call->error);
    if (call->json)
        cli_json_close();
    return rc;
}

const struct cli_verb verb_diff = {
    .name = "diff",
    .operands = "SNAPSHOT [SNAPSHOT]",
    .operands_min = 1,
    .operands_max = 2,
    .words = "latest",
    .summary = "Show what changed between two snapshots",
    .text =
        "A added, D removed, M content, U attributes, T type. Without a second name: up to the\n"
        "newest one.",
    .run = run_diff};

/* --- log ------------------------------------------------------------------------------------------------------------- */
static const struct cli_option log_options[] = {
    {.name = "label", .letter = 'l', .value = "LABEL", .help = "only those called so"},
};

static void text_snapshot(const struct packetfs_snapshot *s)
{
    char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1], time[CLI_SHOW_BYTES], size[CLI_SHOW_BYTES];

    (void)printf("%.12s  %s  %10s  %8llu files  ",
                 cli_show_id(s->id, PACKETFS_SNAPSHOT_ID_BYTES, id),
                 cli_show_time((int64_t)(s->time_ns / 1000000000u), time),
                 cli_show_size(s->bytes, size), (unsigned long long)s->files);
    cli_put_name((const uint8_t *)s->label, strlen(s->label));
    (void)fputc('\n', stdout);
}

static int run_log(struct cli_call *call)
{
    const char *label = cli_value(call, "label");
    struct packetfs_snapshot *all = NULL;
    size_t count = 0;
    int rc = cli_volume(call, true);

    if (rc == 0)
        rc = packetfs_log(call->volume, &all, &count, &call->error);
    if (rc != 0)
        return rc;
    if (call->json)
        cli_json_open('[');
    for (size_t i = 0; i < count; i++) {
        if (label != NULL && strcmp(label, all[i].label) != 0)
            continue;
        if (call->json)
            cli_json_snapshot(&all[i]);
        else
            text_snapshot(&all[i]);
    }
    if (call->json)
        cli_json_close();
    packetfs_free(all);
    return 0;
}

const struct cli_verb verb_log = {.name = "log",
                                  .summary = "List the snapshots, oldest first",
                                  .text = "Times are UTC.",
                                  .options = log_options,
                                  .option_count = HM_COUNT_OF(log_options),
                                  .run = run_log};
