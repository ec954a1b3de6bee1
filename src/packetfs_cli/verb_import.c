/* A tar archive becomes a snapshot, without being unpacked anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <locale.h>
#include <unistd.h>

#include "cli.h"
#include "cli_archive.h"

#define EXCLUDES_MAX 1000
#define THREADS_MAX  256

static const struct cli_option options[] = {
    {.name = "label",
     .letter = 'l',
     .value = "LABEL",
     .help = "what the snapshot is called; default: the file's name without .tar.*"},
    {.name = "name", .value = "NAME", .help = "with -: the name to take the label from"},
    {.name = "exclude",
     .letter = 'x',
     .value = "PATTERN",
     .help = "leave out names or paths that fit (shell pattern); may be repeated"},
    {.name = "relative", .help = "take names that begin with / without it"},
    {.name = "limit",
     .value = "SIZE",
     .help = "how much it may unpack to; default: 16 TiB, and 1000 times its size past 1 GiB"},
    {.name = "threads", .letter = 'j', .value = "N", .help = "default: as many as processors"},
};

struct import {
    struct cli_call *call;
    const struct packetfs_watch *watch;
    struct cli_archive *archive;
    struct packetfs_builder *builder;
    const char *excludes[EXCLUDES_MAX];
    size_t exclude_count;
    bool relative;
    uint64_t warned;
};

/* --- which entries ------------------------------------------------------------------------------------------------------------- */
/* Patterns with a '/' are of whole paths; others of names. As with put. */
static bool excluded_one(const struct import *import, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < import->exclude_count; i++) {
        const char *pattern = import->excludes[i];
        bool whole = strchr(pattern, '/') != NULL;
        pattern += pattern[0] == '/';
        if (fnmatch(pattern, whole ? path : name, whole ? FNM_PATHNAME : 0) == 0)
            return true;
    }
    return false;
}

/* It, or a folder that it lies in: *out. PACKETFS_ENOMEM: what nobody wanted must not be stored for that. */
static int excluded(const struct import *import, struct packetfs_bytes path, bool *out)
{
    *out = false;
    if (import->exclude_count == 0)
        return 0;
    while (path.len > 1 && path.data[0] == '.' && path.data[1] == '/')
        path = (struct packetfs_bytes){path.data + 2, path.len - 2};
    HM_AUTOFREE char *text = hm_strndup((const char *)path.data, path.len);
    if (text == NULL)
        return cli_no_memory(import->call);
    for (size_t i = 1; !*out && i <= path.len; i++) {
        char keep = text[i];
        if (keep != '/' && keep != '\0')
            continue;
        text[i] = '\0';
        *out = text[i - 1] != '/' && excluded_one(import, text);
        text[i] = keep;
    }
    return 0;
}

static void strip_root(struct packetfs_bytes *path)
{
    while (path->len > 0 && path->data[0] == '/') {
        path->data++;
        path->len--;
    }
}

/* --- one entry ------------------------------------------------------------------------------------------------------------------ */
static int failed(struct import *import, const struct hm_error *why)
{
    return cli_fail(import->call, why->code, "%s", why->text);
}

/* What a snapshot cannot hold is the archive's fault, not the command line's. */
static int refused(struct import *import, int code)
{
    struct packetfs_error *error = &import->call->error;

    if (code == PACKETFS_EINVAL)
        code = error->code = PACKETFS_EPERM;
    else if (code == PACKETFS_ENOTFOUND)
        code = error->code = PACKETFS_EPARSE;
    if (code == PACKETFS_EPERM && strstr(error->text, "begins with '/'") != NULL)
        import->call->hint = "--relative takes such names without their '/'";
    return code;
}

static int content_copy(struct import *import, const struct packetfs_item *item)
{
    struct packetfs_error *error = &import->call->error;
    uint64_t at = 0;

    for (;;) {
        struct hm_error why = {0};
        const void *data = NULL;
        size_t len = 0;
        uint64_t offset = 0;
        int rc = cli_archive_data(import->archive, &data, &len, &offset, &why);
        if (rc == HM_ENOTFOUND)
            break;
        if (rc != 0)
            return failed(import, &why);
        if (len == 0)
            continue;
        if (offset + len > item->bytes)
            return cli_fail(import->call, PACKETFS_EPARSE, "\"%.200s\" has data past its size",
                            (const char *)item->path.data);
        if (offset > at)
            rc = packetfs_builder_hole(import->builder, offset - at, error);
        if (rc == 0)
            rc = packetfs_builder_write(import->builder, data, len, error);
        if (rc != 0)
            return rc;
        at = offset + len;
    }
    return at < item->bytes ? packetfs_builder_hole(import->builder, item->bytes - at, error) : 0;
}

static void warn(struct import *import, const struct cli_archive_entry *entry, const char *warning)
{
    char sentence[512];

    (void)snprintf(sentence, sizeof(sentence), "%.200s: %.250s",
                   (const char *)entry->item.path.data, warning);
    hm_text_clean(sentence);
    import->warned++;
    import->watch->finding(import->watch->ctx, sentence);
}

static int link_take(struct import *import, const struct cli_archive_entry *entry)
{
    bool out = false;
    int rc = excluded(import, entry->link, &out);

    if (rc != 0)
        return rc;
    if (out) { /* its bytes came with that name */
        char why[256];
        (void)snprintf(why, sizeof(why),
                       "is another name of %.150s, which is excluded: it is left out as well",
                       (const char *)entry->link.data);
        warn(import, entry, why);
        return 0;
    }
    return refused(import, packetfs_builder_link(import->builder, entry->item.path, entry->link,
                                                 &import->call->error));
}

static int entry_take(struct import *import, struct cli_archive_entry *entry)
{
    struct packetfs_error *error = &import->call->error;
    bool out = false;
    int rc;

    if (import->relative) {
        strip_root(&entry->item.path);
        strip_root(&entry->link);
    }
    rc = excluded(import, entry->item.path, &out);
    if (rc != 0 || out)
        return rc;
    if (entry->warning != NULL)
        warn(import, entry, entry->warning);
    if (entry->is_link)
        return link_take(import, entry);
    rc = packetfs_builder_entry(import->builder, &entry->item, entry->attributes, entry->count,
                                error);
    if (rc != 0)
        return refused(import, rc);
    return entry->item.type == PACKETFS_FILE ? content_copy(import, &entry->item) : 0;
}

static int entries_take(struct import *import)
{
    for (;;) {
        struct cli_archive_entry entry;
        struct hm_error why = {0};
        int rc = cli_archive_next(import->archive, &entry, &why);
        if (rc == HM_ENOTFOUND)
            return 0;
        if (rc != 0)
            return failed(import, &why);
        rc = entry_take(import, &entry);
        if (rc != 0)
            return rc;
    }
}

/* --- the verb ---------------------------------------------------------------------------------------------------------------------- */
/* "backup" of "/mnt/backup.tar.zst". */
static int label_of(struct cli_call *call, const char *file, char out[PACKETFS_LABEL_MAX_BYTES + 1])
{
    const char *given = cli_value(call, "label"), *name = cli_value(call, "name");
    bool stream = strcmp(file, "-") == 0;
    char *dot;

    if (name != NULL && !stream)
        return cli_fail(call, PACKETFS_EINVAL, "--name goes with -, standard input");
    if (given != NULL) {
        (void)snprintf(out, PACKETFS_LABEL_MAX_BYTES + 1, "%s", given);
        return strlen(given) <= PACKETFS_LABEL_MAX_BYTES
                   ? 0
                   : cli_fail(call, PACKETFS_EINVAL, "a label has at most %d bytes",
                              PACKETFS_LABEL_MAX_BYTES);
    }
    if (name == NULL)
        name = stream ? "stdin" : strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    (void)snprintf(out, PACKETFS_LABEL_MAX_BYTES + 1, "%s", name);
    hm_text_clean(out);
    if ((dot = strstr(out, ".tar")) != NULL && dot != out && (dot[4] == '\0' || dot[4] == '.'))
        *dot = '\0';
    else if ((dot = strrchr(out, '.')) != NULL && dot != out &&
             (strcmp(dot, ".tgz") == 0 || strcmp(dot, ".txz") == 0 || strcmp(dot, ".tzst") == 0))
        *dot = '\0';
    return 0;
}

static int excludes_read(struct import *import)
{
    const char *pattern;
    size_t at = 0;

    while ((pattern = cli_next(import->call, "exclude", &at)) != NULL) {
        if (import->exclude_count == EXCLUDES_MAX)
            return cli_fail(import->call, PACKETFS_ELIMIT, "more than %d patterns", EXCLUDES_MAX);
        import->excludes[import->exclude_count++] = pattern;
    }
    return 0;
}

static void show(const struct cli_call *call, const struct packetfs_put_result *r)
{
    char id[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1], fresh[CLI_SHOW_BYTES], stored[CLI_SHOW_BYTES],
        all[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("snapshot %.12s  %s\n",
                     cli_show_id(r->snapshot.id, PACKETFS_SNAPSHOT_ID_BYTES, id),
                     r->snapshot.label);
        (void)printf("%llu files, %s in all; %s new, %s stored\n",
                     (unsigned long long)r->snapshot.files, cli_show_size(r->snapshot.bytes, all),
                     cli_show_size(r->bytes_new, fresh), cli_show_size(r->bytes_stored, stored));
        return;
    }
    cli_json_open('{');
    cli_json_key("snapshot");
    cli_json_snapshot(&r->snapshot);
    cli_json_pair("bytes_read", r->bytes_read);
    cli_json_pair("bytes_new", r->bytes_new);
    cli_json_pair("bytes_stored", r->bytes_stored);
    cli_json_findings(call);
    cli_json_close();
}

static int import_run(struct import *import, int fd, uint64_t limit,
                      const struct packetfs_builder_options *o, struct packetfs_put_result *result)
{
    struct cli_call *call = import->call;
    struct hm_error why = {0};
    int rc = cli_archive_open(fd, limit, &import->archive, &why);

    if (rc != 0)
        return failed(import, &why);
    import->watch = cli_watch(call);
    rc = packetfs_builder_open(call->volume, o, import->watch, &import->builder, &call->error);
    if (rc == 0)
        rc = entries_take(import);
    if (rc == 0)
        rc = packetfs_builder_finish(import->builder, result, &call->error);
    packetfs_builder_close(import->builder);
    cli_archive_close(import->archive);
    cli_watch_end(call);
    return rc;
}

static int run(struct cli_call *call)
{
    const char *file = cli_operand(call, 0);
    char label[PACKETFS_LABEL_MAX_BYTES + 1];
    struct packetfs_put_result result = {0};
    uint64_t threads = 0, limit = 0;
    struct import *import;
    int rc = label_of(call, file, label);

    if (rc == 0)
        rc = cli_number(call, "threads", THREADS_MAX, &threads);
    if (rc == 0)
        rc = cli_size(call, "limit", INT64_MAX, &limit);
    if (rc == 0)
        rc = cli_volume(call, false);
    if (rc != 0)
        return rc;
    HM_AUTOCLOSE int opened = strcmp(file, "-") == 0 ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    if (opened < 0 && strcmp(file, "-") != 0)
        return cli_fail(call, errno == ENOENT ? PACKETFS_ENOTFOUND : PACKETFS_EIO,
                        "cannot open %.200s: %s", file, strerror(errno));
    /* So that libarchive leaves names in UTF-8 as they are. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "");
    import = hm_calloc(1, sizeof(*import));
    if (import == NULL)
        return cli_no_memory(call);
    import->call = call;
    import->relative = cli_has(call, "relative");
    rc = excludes_read(import);
    if (rc == 0)
        rc = import_run(
            import, opened >= 0 ? opened : STDIN_FILENO, limit,
            &(struct packetfs_builder_options){.label = label, .threads = (unsigned)threads},
            &result);
    bool incomplete = import->warned > 0;
    hm_free(import);
    if (rc == PACKETFS_ELIMIT && strstr(call->error.text, "unpacks to") != NULL)
        call->hint = "--limit SIZE says how much it may unpack to";
    if (rc == PACKETFS_ECANCELLED)
        call->hint = "what is stored already is not stored again";
    if (rc != 0)
        return rc;
    show(call, &result);
    return incomplete ? CLI_EXIT_INCOMPLETE : 0;
}

const struct cli_verb verb_import = {
    .name = "import",
    .operands = "FILE | -",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Store a tar archive as a snapshot",
    .text =
        "Any tar (ustar, GNU, pax), also compressed with gzip, bzip2, xz or zstd. The snapshot is "
        "the one\n"
        "that `put --contents` of its files would make; nothing is unpacked, owners need no root.\n"
        "When anything in the archive is wrong, it is named, and there is no snapshot.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
