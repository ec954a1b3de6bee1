/* A snapshot becomes a tar archive, for whoever has no packetfs. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli_archive.h"
#include "cli_people.h"

#define OUT_BYTES   ((size_t)1 << 20)
#define TICK_NS     UINT64_C(100000000)
#define LINKS_FIRST 256

static const struct cli_option options[] = {
    CLI_OUTPUT_OPTION,
};

struct known_link {
    uint64_t number; /* 0: free */
    char *path; /* the first name */
    size_t len;
};

struct export
{
    struct cli_call *call;
    const struct packetfs_watch *watch;
    struct hm_error error;
    int fd;
    uint8_t *out; /* OUT_BYTES */
    size_t have;
    uint64_t written; /* have counted */
    struct hm_buf header;
    struct known_link *links;
    size_t link_count, link_capacity;
    struct packetfs_progress progress;
    uint64_t next_ns;
    uint64_t left_out;
};

/* --- bytes out --------------------------------------------------------------------------------------------------------------------- */
static int flush(struct export *export)
{
    size_t have = export->have;

    export->have = 0;
    return have > 0 ? hm_write_all(export->fd, export->out, have, &export->error) : 0;
}

static int emit(struct export *export, const void *data, size_t len)
{
    const uint8_t *from = data;
    int rc = 0;

    export->written += len;
    while (len > 0 && rc == 0) {
        size_t n = OUT_BYTES - export->have < len ? OUT_BYTES - export->have : len;
        memcpy(export->out + export->have, from, n);
        export->have += n;
        from += n;
        len -= n;
        if (export->have == OUT_BYTES)
            rc = flush(export);
    }
    return rc;
}

static int pad(struct export *export, size_t to)
{
    static const uint8_t zeros[CLI_TAR_RECORD_BYTES];
    size_t over = (size_t)(export->written % to);

    return over > 0 ? emit(export, zeros, to - over) : 0;
}

/* False: the user wants no more. */
static int tick(struct export *export)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t now = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
    if (now < export->next_ns)
        return 0;
    export->next_ns = now + TICK_NS;
    return export->watch->progress(export->watch->ctx, &export->progress)
               ? 0
               : hm_fail(&export->error, HM_ECANCELLED, "stopped on request");
}

/* --- files with several names ------------------------------------------------------------------------------------------------------ */
static struct known_link *link_slot(struct known_link *links, size_t capacity, uint64_t number)
{
    size_t at = (size_t)((number * 0x9e3779b97f4a7c15U) >> 20) & (capacity - 1);

    while (links[at].number != 0 && links[at].number != number)
        at = (at + 1) & (capacity - 1);
    return &links[at];
}

static int links_grow(struct export *export)
{
    size_t capacity = export->link_capacity == 0 ? LINKS_FIRST : export->link_capacity * 2;
    struct known_link *grown = hm_calloc(capacity, sizeof(*grown));

    if (grown == NULL)
        return hm_fail(&export->error, HM_ENOMEM, "no memory for files with several names");
    for (size_t i = 0; i < export->link_capacity; i++)
        if (export->links[i].number != 0)
            *link_slot(grown, capacity, export->links[i].number) = export->links[i];
    hm_free(export->links);
    export->links = grown;
    export->link_capacity = capacity;
    return 0;
}

/* *first: the name it was shown under before, or empty. */
static int link_note(struct export *export, const struct packetfs_item *item,
                     struct packetfs_bytes *first)
{
    *first = (struct packetfs_bytes){0};
    if (item->hard_link == 0)
        return 0;
    if (export->link_count * 2 >= export->link_capacity && links_grow(export) != 0)
        return export->error.code;
    struct known_link *slot = link_slot(export->links, export->link_capacity, item->hard_link);
    if (slot->number != 0) {
        /* The same name twice, when paths that were asked for overlap, is no link to itself. */
        if (slot->len != item->path.len || memcmp(slot->path, item->path.data, slot->len) != 0)
            *first = (struct packetfs_bytes){(const uint8_t *)slot->path, slot->len};
        return 0;
    }
    char *path = hm_strndup((const char *)item->path.data, item->path.len);
    if (path == NULL)
        return hm_fail(&export->error, HM_ENOMEM, "no memory for files with several names");
    *slot = (struct known_link){item->hard_link, path, item->path.len};
    export->link_count++;
    return 0;
}

/* --- a file's bytes ------------------------------------------------------------------------------------------------------------------ */
struct map {
    uint64_t count, data; /* stretches, and bytes in them */
    uint64_t text; /* bytes of the map as GNU.sparse 1.0 writes it, without the line of the count */
    bool holes;
};

static unsigned digits(uint64_t value)
{
    unsigned n = 1;

    for (; value >= 10; value /= 10)
        n++;
    return n;
}

static struct packetfs_error *theirs(struct export *export)
{
    return (struct packetfs_error *)(void *)&export->error;
}

/* Calls each for every stretch of data; a last one of no length where the file ends in a hole. */
static int stretches(struct export *export, struct packetfs_file *file, uint64_t bytes,
                     int (*each)(struct export *export, void *ctx, uint64_t begin, uint64_t len),
                     void *ctx)
{
    uint64_t at = 0;
    int rc = 0;

    while (rc == 0 && at < bytes) {
        uint64_t begin = 0, len = 0;
        rc = packetfs_file_extent(file, at, &begin, &len, theirs(export));
        if (rc == 0)
            rc = each(export, ctx, len > 0 ? begin : bytes, len);
        at = begin + len;
    }
    return rc;
}

static int map_count(struct export *export, void *ctx, uint64_t begin, uint64_t len)
{
    struct map *map = ctx;

    (void)export;
    map->holes = map->holes || begin != map->data;
    map->count++;
    map->data += len;
    map->text += digits(begin) + digits(len) + 2;
    return 0;
}

static int map_line(struct export *export, void *ctx, uint64_t begin, uint64_t len)
{
    char text[64];

    (void)ctx;
    int n = snprintf(text, sizeof(text), "%llu\n%llu\n", (unsigned long long)begin,
                     (unsigned long long)len);
    return emit(export, text, (size_t)n);
}

static int copy(struct export *export, void *ctx, uint64_t begin, uint64_t len)
{
    struct packetfs_file *file = ctx;

    while (len > 0) {
        size_t room = OUT_BYTES - export->have;
        int64_t got = packetfs_file_read(file, begin, export->out + export->have,
                                         room < len ? room : (size_t)len, theirs(export));
        if (got <= 0)
            return got < 0 ? (int)got
                           : hm_fail(&export->error, HM_ECORRUPT, "a file ends before its size");
        export->have += (size_t)got;
        export->written += (uint64_t)got;
        export->progress.bytes_done += (uint64_t)got;
        begin += (uint64_t)got;
        len -= (uint64_t)got;
        int rc = export->have == OUT_BYTES ? flush(export) : 0;
        if (rc == 0)
            rc = tick(export);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int header(struct export *export, const struct cli_pax *pax)
{
    hm_buf_clear(&export->header);
    int rc = cli_pax_header(pax, &export->header, &export->error);

    return rc == 0 ? emit(export, export->header.data, export->header.len) : rc;
}

static int file_write(struct export *export, struct cli_pax *pax, struct packetfs_file *file)
{
    uint64_t bytes = pax->item->bytes;
    struct map map = {0};
    int rc = stretches(export, file, bytes, map_count, &map);

    if (rc != 0)
        return rc;
    pax->sparse = map.holes;
    pax->stored = bytes;
    if (map.holes) {
        uint64_t text = map.text + digits(map.count) + 1;
        pax->stored = (text + CLI_TAR_BLOCK_BYTES - 1) / CLI_TAR_BLOCK_BYTES * CLI_TAR_BLOCK_BYTES +
                      map.data;
    }
    rc = header(export, pax);
    if (rc == 0 && map.holes) {
        char line[32];
        int n = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)map.count);
        rc = emit(export, line, (size_t)n);
        if (rc == 0)
            rc = stretches(export, file, bytes, map_line, NULL);
        if (rc == 0)
            rc = pad(export, CLI_TAR_BLOCK_BYTES);
    }
    if (rc == 0)
        rc = stretches(export, file, bytes, copy, file);
    export->progress.bytes_done += bytes - map.data;
    return rc == 0 ? pad(export, CLI_TAR_BLOCK_BYTES) : rc;
}

/* --- entries ----------------------------------------------------------------------------------------------------------------------- */
static int show(void *ctx, const struct packetfs_item *item,
                const struct packetfs_attribute *attributes, size_t count,
                struct packetfs_file *file)
{
    struct export *export = ctx;
    struct cli_pax pax = {.item = item, .attributes = attributes, .count = count};
    int rc;

    if (item->type == PACKETFS_SOCKET) {
        char sentence[512];
        (void)snprintf(
            sentence, sizeof(sentence), "%.*s is a socket, which tar does not have; it is left out",
            (int)(item->path.len < 300 ? item->path.len : 300), (const char *)item->path.data);
        hm_text_clean(sentence);
        export->left_out++;
        export->watch->finding(export->watch->ctx, sentence);
        return 0;
    }
    rc = link_note(export, item, &pax.link);
    if (rc == 0)
        rc = item->type == PACKETFS_FILE && pax.link.len == 0 ? file_write(export, &pax, file)
                                                              : header(export, &pax);
    if (rc == 0 && pax.link.len > 0 && item->type == PACKETFS_FILE)
        export->progress.bytes_done += item->bytes;
    export->progress.files_done += item->type != PACKETFS_FOLDER;
    return rc == 0 ? tick(export) : rc;
}

static int archive_write(struct export *export, const struct packetfs_snapshot *snapshot,
                         const char *path)
{
    static const uint8_t end[2 * CLI_TAR_BLOCK_BYTES];
    struct cli_call *call = export->call;
    bool whole = path[0] == '\0' && call->operand_count == 1;
    int rc = 0;

    export->progress.stage = "export";
    export->progress.bytes_total = whole ? snapshot->bytes : 0;
    export->progress.files_total = whole ? snapshot->files : 0;
    if (whole || path[0] != '\0')
        rc = packetfs_walk(call->volume, snapshot, path, show, export, theirs(export));
    for (size_t i = 1; rc == 0 && i < call->operand_count; i++)
        rc = packetfs_walk(call->volume, snapshot, cli_operand(call, i), show, export,
                           theirs(export));
    if (rc == 0)
        rc = emit(export, end, sizeof(end));
    if (rc == 0)
        rc = pad(export, CLI_TAR_RECORD_BYTES);
    return rc == 0 ? flush(export) : rc;
}

/* --- where to ------------------------------------------------------------------------------------------------------------------------ */
/* A file gets its name when all of it is there; into anything else (a tape, a pipe) it is written as it comes. */
struct place {
    const char *name; /* NULL: standard output */
    char *draft; /* NULL: none */
    int fd;
};

static int place_open(struct cli_call *call, struct place *place)
{
    struct stat st;
    bool there;

    place->name = cli_value(call, "output");
    place->fd = STDOUT_FILENO;
    if (place->name != NULL && strcmp(place->name, "-") == 0)
        place->name = NULL;
    if (place->name == NULL)
        return isatty(STDOUT_FILENO)
                   ? cli_fail(call, PACKETFS_EINVAL,
                              "an archive is nothing for a terminal; -O FILE, or a pipe")
                   : 0;
    there = stat(place->name, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) {
        place->fd = open(place->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else {
        place->draft = hm_asprintf("%s.%ld.part", place->name, (long)getpid());
        if (place->draft == NULL)
            return cli_no_memory(call);
        place->fd = open(place->draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (place->fd >= 0)
        return 0;
    int rc = cli_fail(call, errno == ENOENT ? PACKETFS_ENOTFOUND : PACKETFS_EIO,
                      "cannot write %.200s: %s", place->name, strerror(errno));
    hm_free(place->draft);
    place->draft = NULL;
    return rc;
}

/* rc: how the writing went. */
static int place_close(struct cli_call *call, struct place *place, int rc)
{
    if (place->name == NULL)
        return rc;
    if (rc == 0 && place->draft != NULL && fsync(place->fd) != 0)
        rc = cli_fail(call, PACKETFS_EIO, "cannot write %.200s: %s", place->name, strerror(errno));
    if (close(place->fd) != 0 && rc == 0)
        rc = cli_fail(call, PACKETFS_EIO, "cannot write %.200s: %s", place->name, strerror(errno));
    if (rc == 0 && place->draft != NULL && rename(place->draft, place->name) != 0)
        rc = cli_fail(call, PACKETFS_EIO, "cannot rename to %.200s: %s", place->name,
                      strerror(errno));
    if (rc != 0 && place->draft != NULL)
        (void)unlink(place->draft);
    hm_free(place->draft);
    return rc;
}

static void say(const struct cli_call *call, const struct export *export)
{
    char size[CLI_SHOW_BYTES];

    if (call->json) {
        cli_json_open('{');
        cli_json_pair("files", export->progress.files_done);
        cli_json_pair("bytes", export->written);
        cli_json_pair("left_out", export->left_out);
        cli_json_findings(call);
        cli_json_close();
        return;
    }
    (void)printf("%llu files, an archive of %s\n", (unsigned long long)export->progress.files_done,
                 cli_show_size(export->written, size));
}

static void export_release(struct export *export)
{
    for (size_t i = 0; i < export->link_capacity; i++)
        hm_free(export->links[i].path);
    hm_free(export->links);
    hm_free(export->out);
    hm_buf_release(&export->header);
}

static int run(struct cli_call *call)
{
    struct export export = {.call = call};
    struct packetfs_snapshot snapshot;
    struct place place = {0};
    const char *path;
    int rc = cli_volume(call, true);

    if (rc == 0)
        rc = cli_snapshot(call, cli_operand(call, 0), &snapshot, &path);
    if (rc == 0)
        rc = place_open(call, &place);
    if (rc != 0)
        return rc;
    export.fd = place.fd;
    export.out = hm_malloc(OUT_BYTES);
    if (export.out == NULL) {
        rc = cli_no_memory(call);
    } else {
        export.watch = cli_watch(call);
        rc = archive_write(&export, &snapshot, path);
        cli_watch_end(call);
        if (rc != 0)
            (void)cli_fail(call, rc, "%s", export.error.text);
    }
    rc = place_close(call, &place, rc);
    if (rc == 0 && place.name != NULL)
        say(call, &export);
    bool incomplete = export.left_out > 0;
    export_release(&export);
    return rc != 0 ? rc : incomplete ? CLI_EXIT_INCOMPLETE : 0;
}

const struct cli_verb verb_export = {
    .name = "export",
    .operands = "SNAPSHOT[:PATH] [PATH...]",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Write a snapshot, or parts of it, as a tar archive",
    .text = "A POSIX pax archive on standard output, unless -O names a file: tar, bsdtar and "
            "others unpack it. It\n"
            "holds all that the snapshot does but sockets (ends with 7 when there are some; each "
            "is named).\n"
            "Owners, ACLs and attributes: tar --acls --xattrs --xattrs-include='*' -xpf. Every "
            "byte is checked.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
