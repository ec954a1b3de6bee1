/* The library's calls as a program, for the tests of this folder; one JSON object a call on standard output, findings on standard
 * error. Exit status: 0, or the error's code without its sign.
 *
 *   driver create DIR [fast] [ZSTD-LEVEL]
 *   driver put DIR LABEL [-j THREADS] [-c] [-a] [-x PATTERN]... PATH...     -c: contents of, -a: read all
 *   driver get DIR SNAPSHOT TARGET [-j THREADS] [-f] [-p PATH]               -f: overwrite
 *   driver prune DIR [PERCENT] | check DIR [full] | repair DIR | rm DIR SNAPSHOT | ls DIR SNAPSHOT | log DIR
 *   driver cat DIR SNAPSHOT PATH | pipe DIR NAME
 *   driver sizes DIR SNAPSHOT     reads every file at random places and compares with a stream */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "packetfs.h"

#define ARGS_MAX 64

struct args {
    const char *paths[ARGS_MAX], *excludes[ARGS_MAX];
    size_t path_count, exclude_count;
    unsigned threads;
    bool contents, all, overwrite;
    const char *within;
};

static void finding(void *ctx, const char *sentence)
{
    (void)ctx;
    fprintf(stderr, "finding: %s\n", sentence);
}

static const struct packetfs_watch watch = {.finding = finding};

static int told(int result, const struct packetfs_error *error)
{
    if (result != 0)
        fprintf(stderr, "error %d: %s\n", result, error->text);
    return result < 0 ? -result : result;
}

static void args_read(int argc, char **argv, struct args *out)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-j") == 0 && i + 1 < argc)
            out->threads = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-x") == 0 && i + 1 < argc && out->exclude_count < ARGS_MAX)
            out->excludes[out->exclude_count++] = argv[++i];
        else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc)
            out->within = argv[++i];
        else if (strcmp(argv[i], "-c") == 0)
            out->contents = true;
        else if (strcmp(argv[i], "-a") == 0)
            out->all = true;
        else if (strcmp(argv[i], "-f") == 0)
            out->overwrite = true;
        else if (out->path_count < ARGS_MAX)
            out->paths[out->path_count++] = argv[i];
    }
}

static void hex_print(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
}

static void result_print(const struct packetfs_put_result *r)
{
    printf("{\"snapshot\":\"");
    hex_print(r->snapshot.id, sizeof(r->snapshot.id));
    printf("\",\"root\":\"");
    hex_print(r->snapshot.root.bytes, sizeof(r->snapshot.root.bytes));
    printf("\",\"files\":%" PRIu64 ",\"folders\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"unchanged\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"read\":%" PRIu64 ",\"new\":%" PRIu64
           ",\"stored\":%" PRIu64 ",\"ns\":{\"read\":%" PRIu64 ",\"chunk\":%" PRIu64
           ",\"hash\":%" PRIu64 ",\"compress\":%" PRIu64 ",\"seal\":%" PRIu64 ",\"write\":%" PRIu64
           ",\"index\":%" PRIu64 "}}\n",
           r->snapshot.files, r->snapshot.folders, r->snapshot.bytes, r->files_unchanged,
           r->files_failed, r->bytes_read, r->bytes_new, r->bytes_stored, r->ns_read, r->ns_chunk,
           r->ns_hash, r->ns_compress, r->ns_seal, r->ns_write, r->ns_index);
}

static int put(struct packetfs_volume *volume, int argc, char **argv, struct packetfs_error *error)
{
    struct args args = {.threads = 0};
    struct packetfs_put_result result = {.files_failed = 0};

    args_read(argc - 1, argv + 1, &args);
    struct packetfs_put_options options = {.paths = args.paths,
                                           .path_count = args.path_count,
                                           .label = argv[0],
                                           .excludes = args.excludes,
                                           .exclude_count = args.exclude_count,
                                           .contents_of = args.contents,
                                           .read_all = args.all,
                                           .threads = args.threads};
    int code = packetfs_put(volume, &options, &watch, &result, error);
    if (code == 0 || result.files_failed > 0)
        result_print(&result);
    return code;
}

static int get(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot, int argc,
               char **argv, struct packetfs_error *error)
{
    struct args args = {.threads = 0};
    struct packetfs_get_result result = {.files = 0};

    args_read(argc, argv, &args);
    struct packetfs_get_options options = {.target = args.paths[0],
                                           .path = args.within,
                                           .overwrite = args.overwrite,
                                           .threads = args.threads};
    int code = packetfs_get(volume, snapshot, &options, &watch, &result, error);
    printf("{\"files\":%" PRIu64 ",\"folders\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"same\":%" PRIu64
           ",\"failed\":%" PRIu64 "}\n",
           result.files, result.folders, result.bytes, result.files_same, result.files_failed);
    return code;
}

static int show(void *ctx, const struct packetfs_item *item)
{
    (void)ctx;
    printf("%d %04o %" PRIu64 " %.*s\n", (int)item->type, item->mode, item->bytes,
           (int)item->path.len, (const char *)item->path.data);
    return 0;
}

struct reading {
    struct packetfs_volume *volume;
    const struct packetfs_snapshot *snapshot;
    uint64_t bytes;
};

/* Every file from its end to its beginning, in steps that fit no piece. */
static int read_all(void *ctx, const struct packetfs_item *item)
{
    struct reading *reading = ctx;
    static uint8_t data[70001];
    struct packetfs_file *file = NULL;
    char *path = calloc(1, item->path.len + 1); /* not strndup: item->path has no end of its own */
    int result = 0;

    if (path == NULL)
        return PACKETFS_ENOMEM;
    memcpy(path, item->path.data, item->path.len);
    if (item->type == PACKETFS_FILE && item->bytes < UINT64_C(1) << 28) {
        result = packetfs_file_open(reading->volume, reading->snapshot, path, &file, NULL);
        for (uint64_t end = item->bytes; result == 0 && end > 0;) {
            size_t len = end < sizeof(data) ? (size_t)end : sizeof(data);
            end -= len;
            if (packetfs_file_read(file, end, data, len, NULL) != (int64_t)len)
                result = PACKETFS_EIO;
            reading->bytes += len;
        }
        packetfs_file_close(file);
    }
    free(path);
    return result;
}

static int with_snapshot(const char *verb, struct packetfs_volume *volume, int argc, char **argv,
                         struct packetfs_error *error)
{
    struct packetfs_snapshot snapshot;
    int result = packetfs_find(volume, argv[0], &snapshot, error);

    if (result != 0)
        return result;
    if (strcmp(verb, "get") == 0)
        return get(volume, &snapshot, argc - 1, argv + 1, error);
    if (strcmp(verb, "rm") == 0)
        return packetfs_remove(volume, snapshot.id, error);
    if (strcmp(verb, "ls") == 0)
        return packetfs_list(volume, &snapshot, argc > 1 ? argv[1] : "", true, show, NULL, error);
    if (strcmp(verb, "cat") == 0)
        return packetfs_get_stream(volume, &snapshot, argv[1], STDOUT_FILENO, &watch, error);
    if (strcmp(verb, "sizes") == 0) {
        struct reading reading = {.volume = volume, .snapshot = &snapshot};
        result = packetfs_list(volume, &snapshot, "", true, read_all, &reading, error);
        printf("{\"bytes\":%" PRIu64 "}\n", reading.bytes);
        return result;
    }
    return PACKETFS_EINVAL;
}

static int care(const char *verb, struct packetfs_volume *volume, int argc, char **argv,
                struct packetfs_error *error)
{
    struct packetfs_check_result checked = {.findings = 0};
    int result;

    if (strcmp(verb, "prune") == 0) {
        struct packetfs_prune_options options = {
            .unused_percent = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 0};
        struct packetfs_prune_result pruned = {.bytes_freed = 0};
        result = packetfs_prune(volume, &options, &watch, &pruned, error);
        printf("{\"live\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"packs\":%" PRIu64
               ",\"waiting\":%" PRIu64 ",\"freed\":%" PRIu64 ",\"rewritten\":%" PRIu64 "}\n",
               pruned.objects_live, pruned.objects_removed, pruned.packs_removed,
               pruned.packs_waiting, pruned.bytes_freed, pruned.bytes_rewritten);
        return result;
    }
    result = strcmp(verb, "check") == 0
                 ? packetfs_check(volume, argc > 0 && strcmp(argv[0], "full") == 0, &watch,
                                  &checked, error)
                 : packetfs_repair(volume, &watch, &checked, error);
    printf("{\"snapshots\":%" PRIu64 ",\"objects\":%" PRIu64 ",\"packs\":%" PRIu64
           ",\"read\":%" PRIu64 ",\"findings\":%" PRIu64 "}\n",
           checked.snapshots, checked.objects, checked.packs, checked.bytes_read, checked.findings);
    return result;
}

static int run(int argc, char **argv, struct packetfs_error *error)
{
    const char *verb = argv[1], *dir = argv[2];
    struct packetfs_volume *volume = NULL;
    int result = 0;

    if (strcmp(verb, "create") == 0) {
        struct packetfs_parameters parameters = {.chunker = 0};
        for (int i = 3; i < argc; i++) {
            if (strcmp(argv[i], "fast") == 0)
                parameters.chunker = PACKETFS_CHUNKER_FAST;
            else
                parameters.zstd_level = (int)strtol(argv[i], NULL, 10);
        }
        return packetfs_volume_create(dir, &parameters, NULL, error);
    }
    bool reads = strcmp(verb, "get") == 0 || strcmp(verb, "ls") == 0 || strcmp(verb, "log") == 0 ||
                 strcmp(verb, "cat") == 0 || strcmp(verb, "sizes") == 0;
    result = packetfs_volume_open(dir, NULL, reads, &volume, error);
    if (result != 0)
        return result;
    if (strcmp(verb, "put") == 0 && argc > 4) {
        result = put(volume, argc - 3, argv + 3, error);
    } else if (strcmp(verb, "pipe") == 0 && argc > 3) {
        struct packetfs_put_result piped = {.files_failed = 0};
        result = packetfs_put_stream(volume, STDIN_FILENO, argv[3], NULL, &watch, &piped, error);
        if (result == 0)
            result_print(&piped);
    } else if (strcmp(verb, "log") == 0) {
        struct packetfs_snapshot *list = NULL;
        size_t count = 0;
        result = packetfs_log(volume, &list, &count, error);
        for (size_t i = 0; i < count; i++) {
            hex_print(list[i].id, sizeof(list[i].id));
            printf(" %s\n", list[i].label);
        }
        packetfs_free(list);
    } else if (strcmp(verb, "prune") == 0 || strcmp(verb, "check") == 0 ||
               strcmp(verb, "repair") == 0) {
        result = care(verb, volume, argc - 3, argv + 3, error);
    } else if (argc > 3) {
        result = with_snapshot(verb, volume, argc - 3, argv + 3, error);
    } else {
        result = PACKETFS_EINVAL;
    }
    packetfs_volume_close(volume);
    return result;
}

int main(int argc, char **argv)
{
    struct packetfs_error error = {.code = 0};

    if (argc < 3) {
        fputs("usage: see the head of driver.c\n", stderr);
        return 2;
    }
    return told(run(argc, argv, &error), &error);
}
