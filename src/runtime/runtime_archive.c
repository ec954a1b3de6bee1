#include "runtime_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>

#include "runtime_digest.h"

#define ARCHIVE_STEP_BYTES ((size_t)64 << 10)

/* Two readers, one behind the other: `raw` undoes the compression, and `tar` pulls from it through
 * archive_pull, where the uncompressed bytes are counted and hashed. */
struct archive_chain {
    struct archive *raw;
    struct archive *tar;
    struct crypto_sha256 *sha256; /* NULL: not wanted */
    uint64_t plain_bytes;
    uint64_t plain_limit;
    bool over_limit;
    uint8_t step[ARCHIVE_STEP_BYTES];
};

static void archive_chain_release(struct archive_chain **slot)
{
    struct archive_chain *chain = *slot;

    if (chain == NULL)
        return;
    archive_read_free(chain->tar);
    archive_read_free(chain->raw);
    crypto_sha256_free(chain->sha256);
    hm_free(chain);
}

static bool archive_ratio_bad(const struct archive_chain *chain)
{
    int64_t in = archive_filter_bytes(chain->raw, -1);

    return chain->plain_bytes > RUNTIME_ARCHIVE_RATIO_FREE_BYTES && in > 0 &&
           chain->plain_bytes / RUNTIME_ARCHIVE_RATIO_MAX > (uint64_t)in;
}

static la_ssize_t archive_pull(struct archive *tar, void *ctx, const void **data)
{
    struct archive_chain *chain = ctx;
    la_ssize_t got = archive_read_data(chain->raw, chain->step, sizeof(chain->step));

    if (got < 0) {
        archive_set_error(tar, archive_errno(chain->raw), "%s", archive_error_string(chain->raw));
        return ARCHIVE_FATAL;
    }
    chain->plain_bytes += (uint64_t)got;
    if (chain->plain_bytes > chain->plain_limit || archive_ratio_bad(chain)) {
        chain->over_limit = true;
        archive_set_error(tar, -1, "unpacks to too much");
        return ARCHIVE_FATAL;
    }
    if (chain->sha256 != NULL)
        crypto_sha256_update(chain->sha256, chain->step, (size_t)got);
    *data = chain->step;
    return got;
}

static int archive_fault(const struct archive_chain *chain, struct archive *which,
                         struct hm_error *error)
{
    const char *text = archive_error_string(which);

    if (chain->over_limit)
        return hm_fail(error, HM_ELIMIT,
                       "the archive unpacks to too many bytes, or to more than %d "
                       "times its size",
                       RUNTIME_ARCHIVE_RATIO_MAX);
    if (archive_errno(which) == ENOMEM)
        return hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    return hm_fail(error, HM_EPARSE, "the archive is damaged or of an unknown kind (%s)",
                   text != NULL ? text : "no details");
}

static int archive_chain_open(struct archive_chain *chain,
                              const struct runtime_archive_source *source, struct hm_error *error)
{
    struct archive_entry *ignored;
    int rc;

    chain->raw = archive_read_new();
    chain->tar = archive_read_new();
    if (chain->raw == NULL || chain->tar == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    archive_read_support_filter_gzip(chain->raw);
    archive_read_support_filter_zstd(chain->raw);
    archive_read_support_format_raw(chain->raw);
    archive_read_support_format_empty(chain->raw);
    archive_read_support_format_tar(chain->tar);
    if (source->fd >= 0)
        rc = archive_read_open_fd(chain->raw, source->fd, ARCHIVE_STEP_BYTES);
    else
        rc = archive_read_open_memory(chain->raw, source->memory.data, source->memory.len);
    if (rc != ARCHIVE_OK || archive_read_next_header(chain->raw, &ignored) != ARCHIVE_OK)
        return archive_fault(chain, chain->raw, error);
    if (archive_read_open(chain->tar, chain, NULL, archive_pull, NULL) != ARCHIVE_OK)
        return archive_fault(chain, chain->tar, error);
    return 0;
}

/* Text that may stand in an error sentence and in a path: no control characters. */
static bool archive_text_ok(const char *text)
{
    if (text == NULL || strlen(text) >= RUNTIME_PATH_MAX_BYTES)
        return false;
    for (; *text != 0; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

struct archive_names {
    char path[RUNTIME_PATH_MAX_BYTES];
    char link[RUNTIME_PATH_MAX_BYTES];
};

/* libarchive gives NULL for a name that the process's locale cannot hold; UTF-8 is what tar means. */
static const char *archive_path_of(struct archive_entry *from)
{
    const char *text = archive_entry_pathname(from);

    return text != NULL ? text : archive_entry_pathname_utf8(from);
}

static const char *archive_hardlink_of(struct archive_entry *from)
{
    const char *text = archive_entry_hardlink(from);

    return text != NULL ? text : archive_entry_hardlink_utf8(from);
}

static const char *archive_symlink_of(struct archive_entry *from)
{
    const char *text = archive_entry_symlink(from);

    return text != NULL ? text : archive_entry_symlink_utf8(from);
}

static int archive_entry_type(struct archive_entry *from, const char *path,
                              enum runtime_entry_type *out, struct hm_error *error)
{
    if (archive_hardlink_of(from) != NULL) {
        *out = RUNTIME_ENTRY_HARDLINK;
        return 0;
    }
    switch (archive_entry_filetype(from)) {
    case AE_IFREG:
        *out = RUNTIME_ENTRY_FILE;
        return 0;
    case AE_IFDIR:
        *out = RUNTIME_ENTRY_DIR;
        return 0;
    case AE_IFLNK:
        *out = RUNTIME_ENTRY_SYMLINK;
        return 0;
    default:
        return hm_fail(error, HM_EPARSE, "\"%s\" in the archive is a device, fifo or socket", path);
    }
}

static int archive_names_read(struct archive_entry *from, struct runtime_entry *entry,
                              struct archive_names *names, struct hm_error *error)
{
    const char *path = archive_path_of(from);
    const char *link = "";
    int rc;

    if (!archive_text_ok(path))
        return hm_fail(error, HM_EPARSE, "a path in the archive is too long or not a plain text");
    rc = runtime_path_normal(path, names->path, error);
    if (rc == 0)
        rc = archive_entry_type(from, names->path, &entry->type, error);
    if (rc != 0)
        return rc;
    if (entry->type == RUNTIME_ENTRY_HARDLINK)
        link = archive_hardlink_of(from);
    else if (entry->type == RUNTIME_ENTRY_SYMLINK)
        link = archive_symlink_of(from);
    if (!archive_text_ok(link))
        return hm_fail(error, HM_EPARSE, "the link \"%s\" is too long or not a plain text",
                       names->path);
    if (entry->type == RUNTIME_ENTRY_HARDLINK)
        rc = runtime_path_normal(link, names->link, error);
    else
        memcpy(names->link, link, strlen(link) + 1);
    if (rc == 0 && entry->type != RUNTIME_ENTRY_FILE && entry->type != RUNTIME_ENTRY_DIR &&
        names->link[0] == 0)
        rc = hm_fail(error, HM_EPARSE, "the link \"%s\" points nowhere", names->path);
    if (rc == 0 && entry->type != RUNTIME_ENTRY_DIR && names->path[0] == 0)
        rc = hm_fail(error, HM_EPARSE, "the archive replaces its own root");
    entry->path = names->path;
    entry->link = names->link;
    return rc;
}

static int archive_entry_read(struct archive_entry *from, struct runtime_entry *entry,
                              struct archive_names *names, struct hm_error *error)
{
    int64_t uid = archive_entry_uid(from);
    int64_t gid = archive_entry_gid(from);
    int64_t size = archive_entry_size(from);
    int rc = archive_names_read(from, entry, names, error);

    if (rc != 0)
        return rc;
    if (uid < 0 || uid > RUNTIME_ARCHIVE_MAX_ID || gid < 0 || gid > RUNTIME_ARCHIVE_MAX_ID)
        return hm_fail(error, HM_EUNSUPPORTED, "\"%s\" belongs to a user or group above %d",
                       entry->path, RUNTIME_ARCHIVE_MAX_ID);
    if (entry->type == RUNTIME_ENTRY_FILE && size < 0)
        return hm_fail(error, HM_EPARSE, "\"%s\" has no size", entry->path);
    entry->uid = (uint32_t)uid;
    entry->gid = (uint32_t)gid;
    entry->size = entry->type == RUNTIME_ENTRY_FILE ? (uint64_t)size : 0;
    entry->mode = (unsigned)archive_entry_perm(from) &
                  (entry->type == RUNTIME_ENTRY_DIR ? 01777U : 0777U);
    entry->mtime_s = archive_entry_mtime_is_set(from) ? archive_entry_mtime(from) : 0;
    return 0;
}

static int archive_budget_take(struct runtime_archive_budget *budget,
                               const struct runtime_entry *entry, struct hm_error *error)
{
    if (budget->files == 0)
        return hm_fail(error, HM_ELIMIT, "the image has too many files");
    if (entry->size > budget->bytes)
        return hm_fail(error, HM_ELIMIT, "the image is too large: no room for \"%s\"", entry->path);
    budget->files--;
    budget->bytes -= entry->size;
    return 0;
}

static int archive_file_copy(struct archive_chain *chain, const struct runtime_entry *entry,
                             const struct runtime_archive_visitor *visitor, struct hm_error *error)
{
    for (;;) {
        const void *data;
        size_t len;
        la_int64_t offset;
        int rc = archive_read_data_block(chain->tar, &data, &len, &offset);

        if (rc == ARCHIVE_EOF)
            return visitor->end(visitor->ctx, error);
        if (rc != ARCHIVE_OK)
            return archive_fault(chain, chain->tar, error);
        if (offset < 0 || len > entry->size || (uint64_t)offset > entry->size - len)
            return hm_fail(error, HM_EPARSE, "\"%s\" has data past its size", entry->path);
        rc = len > 0 ? visitor->data(visitor->ctx, data, len, (uint64_t)offset, error) : 0;
        if (rc != 0)
            return rc;
    }
}

static int archive_entries(struct archive_chain *chain,
                           const struct runtime_archive_visitor *visitor,
                           struct runtime_archive_budget *budget, struct hm_error *error)
{
    struct archive_names names;

    for (;;) {
        struct runtime_entry entry = {0};
        struct archive_entry *from;
        int rc = archive_read_next_header(chain->tar, &from);

        if (rc == ARCHIVE_EOF)
            return 0;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return archive_fault(chain, chain->tar, error);
        rc = archive_entry_read(from, &entry, &names, error);
        if (rc == 0)
            rc = archive_budget_take(budget, &entry, error);
        if (rc == 0)
            rc = visitor->entry(visitor->ctx, &entry, error);
        if (rc == 0 && entry.type == RUNTIME_ENTRY_FILE)
            rc = archive_file_copy(chain, &entry, visitor, error);
        if (rc != 0)
            return rc;
    }
}

/* What follows the end-of-archive mark belongs to the diff id too. */
static int archive_drain(struct archive_chain *chain, struct hm_error *error)
{
    const void *data;
    la_ssize_t got;

    do
        got = archive_pull(chain->tar, chain, &data);
    while (got > 0);
    return got == 0 ? 0 : archive_fault(chain, chain->tar, error);
}

int runtime_archive_walk(const struct runtime_archive_source *source,
                         const struct runtime_archive_visitor *visitor,
                         struct runtime_archive_budget *budget, uint8_t sha256[CRYPTO_SHA256_BYTES],
                         struct hm_error *error)
{
    __attribute__((cleanup(archive_chain_release))) struct archive_chain *chain = hm_calloc(
        1, sizeof(*chain));
    int rc;

    if (chain == NULL || (sha256 != NULL && crypto_sha256_new(&chain->sha256) != 0))
        return hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    /* Headers and padding come on top of what the files hold. */
    chain->plain_limit = budget->bytes + budget->files * 4096 + ((uint64_t)1 << 20);
    rc = archive_chain_open(chain, source, error);
    if (rc == 0)
        rc = archive_entries(chain, visitor, budget, error);
    if (rc == 0)
        rc = archive_drain(chain, error);
    if (rc == 0 && sha256 != NULL)
        crypto_sha256_final(chain->sha256, sha256);
    return rc;
}
