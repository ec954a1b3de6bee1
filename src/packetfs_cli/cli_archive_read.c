/* Tar archives through libarchive: two readers, one behind the other. `raw` undoes the compression; `tar` pulls from it through
 * pull(), which counts, and which puts marks behind the end of what came: a tar ends with its own end mark, and a reader that meets ours instead has
 * an archive that was cut off, even between two entries. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>

#include "cli_archive.h"

#define STEP_BYTES       ((size_t)64 << 10)
#define GZIP_TAIL_BYTES  8
#define MARKS_MAX_BYTES  ((uint64_t)64 << 20)
#define MARK_NAME        "packetfs:the-archive-is-cut-off"
#define ATTRIBUTES_MAX   4096
#define OWNER_NAME_BYTES 256

struct cli_archive {
    struct archive *raw, *tar;
    struct archive_entry *entry; /* of libarchive */
    uint64_t plain, plain_max, entries;
    bool any_ratio, over_limit, ended; /* ended: all that came was pulled */
    uint64_t marks; /* bytes of marks given */
    uint64_t data_end; /* of the file at hand: behind the last byte given */
    int fd;
    uint8_t tail[GZIP_TAIL_BYTES]; /* the last of them */
    uint32_t crc; /* of all that was unpacked, when it was gzip */
    uint8_t input[STEP_BYTES], step[STEP_BYTES];
    uint8_t mark[CLI_TAR_BLOCK_BYTES];
    struct packetfs_attribute *attributes;
    size_t count;
    struct hm_buf names; /* what attributes point to, when it is not libarchive's */
    uint8_t acls[2][CLI_ACL_MAX_BYTES];
    char warning[256];
    char last[201]; /* the name of the entry at hand, for sentences */
};

/* --- the stream --------------------------------------------------------------------------------------------------------------- */
static void mark_make(uint8_t out[CLI_TAR_BLOCK_BYTES])
{
    unsigned sum = 0;

    memset(out, 0, CLI_TAR_BLOCK_BYTES);
    memcpy(out, MARK_NAME, sizeof(MARK_NAME));
    memcpy(out + 100, "0000644", 8);
    memcpy(out + 108, "0000000", 8);
    memcpy(out + 116, "0000000", 8);
    memcpy(out + 124, "00000000000", 12);
    memcpy(out + 136, "00000000000", 12);
    memset(out + 148, ' ', 8);
    out[156] = '0';
    memcpy(out + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < CLI_TAR_BLOCK_BYTES; i++)
        sum += out[i];
    (void)snprintf((char *)out + 148, 8, "%06o", sum);
}

static bool too_much(const struct cli_archive *archive)
{
    int64_t in = archive_filter_bytes(archive->raw, -1);

    if (archive->plain > archive->plain_max)
        return true;
    return !archive->any_ratio && archive->plain > CLI_ARCHIVE_RATIO_FREE_BYTES && in > 0 &&
           archive->plain / CLI_ARCHIVE_RATIO_MAX > (uint64_t)in;
}

static la_ssize_t take(struct archive *raw, void *ctx, const void **data)
{
    struct cli_archive *archive = ctx;
    ssize_t got;

    do
        got = read(archive->fd, archive->input, sizeof(archive->input));
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        archive_set_error(raw, errno, "cannot read it: %s", strerror(errno));
        return ARCHIVE_FATAL;
    }
    size_t len = (size_t)got, keep = len < GZIP_TAIL_BYTES ? GZIP_TAIL_BYTES - len : 0;
    memmove(archive->tail, archive->tail + GZIP_TAIL_BYTES - keep, keep);
    memcpy(archive->tail + keep, archive->input + len - (GZIP_TAIL_BYTES - keep),
           GZIP_TAIL_BYTES - keep);
    *data = archive->input;
    return got;
}

static bool is_gzip(const struct cli_archive *archive)
{
    return archive_filter_count(archive->raw) == 2 &&
           archive_filter_code(archive->raw, 0) == ARCHIVE_FILTER_GZIP;
}

static uint32_t le_get(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* libarchive passes over the checksum at the end of gzip (RFC 1952). It is of the last of several streams, so it says something
 * only when the length beside it is that of all that came. */
static bool gzip_wrong(const struct cli_archive *archive)
{
    return is_gzip(archive) && le_get(archive->tail + 4) == (uint32_t)archive->plain &&
           le_get(archive->tail) != archive->crc;
}

static la_ssize_t pull(struct archive *tar, void *ctx, const void **data)
{
    struct cli_archive *archive = ctx;
    la_ssize_t got = archive->ended
                         ? 0
                         : archive_read_data(archive->raw, archive->step, sizeof(archive->step));

    if (got < 0) {
        archive_set_error(tar, archive_errno(archive->raw), "%s",
                          archive_error_string(archive->raw));
        return ARCHIVE_FATAL;
    }
    if (got == 0) {
        archive->ended = true;
        archive->marks += CLI_TAR_BLOCK_BYTES;
        if (archive->marks > MARKS_MAX_BYTES) {
            archive_set_error(tar, -1, "it is cut off");
            return ARCHIVE_FATAL;
        }
        *data = archive->mark;
        return CLI_TAR_BLOCK_BYTES;
    }
    archive->plain += (uint64_t)got;
    if (is_gzip(archive))
        archive->crc = (uint32_t)crc32(archive->crc, archive->step, (uInt)got);
    if (too_much(archive)) {
        archive->over_limit = true;
        archive_set_error(tar, -1, "it unpacks to too much");
        return ARCHIVE_FATAL;
    }
    *data = archive->step;
    return got;
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static const char *path_of(struct archive_entry *entry)
{
    const char *text = archive_entry_pathname(entry);

    /* NULL: a name that the locale cannot hold. */
    return text != NULL ? text : archive_entry_pathname_utf8(entry);
}

static int fault(const struct cli_archive *archive, struct archive *which, struct hm_error *error)
{
    const char *last = archive->last[0] != '\0' ? archive->last : NULL;

    if (archive->over_limit && !archive->any_ratio)
        return hm_fail(error, HM_ELIMIT,
                       "the archive unpacks to more than %llu TiB, or to more than %d times its "
                       "size, at \"%.200s\"",
                       (unsigned long long)(archive->plain_max >> 40), CLI_ARCHIVE_RATIO_MAX,
                       text_or(last, "its first entry"));
    if (archive->over_limit)
        return hm_fail(error, HM_ELIMIT,
                       "the archive unpacks to more than %llu bytes, at \"%.200s\"",
                       (unsigned long long)archive->plain_max, text_or(last, "its first entry"));
    if (archive_errno(which) == ENOMEM)
        return hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    return hm_fail(error, HM_EPARSE,
                   "the archive is damaged, cut off, or no tar, %s \"%.200s\": %s",
                   last != NULL ? "in or behind" : "at", text_or(last, "its first entry"),
                   text_or(archive_error_string(which), "no details"));
}

static int cut_off(const struct cli_archive *archive, struct hm_error *error)
{
    return hm_fail(error, HM_EPARSE,
                   "the archive is cut off behind \"%.200s\": its end mark is missing",
                   archive->last[0] != '\0' ? archive->last : "its beginning");
}

int cli_archive_open(int fd, uint64_t plain_max, struct cli_archive **out, struct hm_error *error)
{
    struct cli_archive *archive = hm_calloc(1, sizeof(*archive));
    struct archive_entry *ignored;

    if (archive == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    archive->plain_max = plain_max != 0 ? plain_max : CLI_ARCHIVE_PLAIN_MAX_BYTES;
    archive->any_ratio = plain_max != 0;
    archive->fd = fd;
    mark_make(archive->mark);
    archive->attributes = hm_calloc(ATTRIBUTES_MAX, sizeof(*archive->attributes));
    archive->raw = archive_read_new();
    archive->tar = archive_read_new();
    int result = archive->attributes != NULL && archive->raw != NULL && archive->tar != NULL
                     ? 0
                     : hm_fail(error, HM_ENOMEM, "no memory to read an archive");
    if (result == 0) {
        /* By name: "all" would run programs of this machine for some. */
        (void)archive_read_support_filter_gzip(archive->raw);
        (void)archive_read_support_filter_bzip2(archive->raw);
        (void)archive_read_support_filter_xz(archive->raw);
        (void)archive_read_support_filter_zstd(archive->raw);
        (void)archive_read_support_filter_compress(archive->raw);
        (void)archive_read_support_format_raw(archive->raw);
        (void)archive_read_support_format_empty(archive->raw);
        (void)archive_read_support_format_tar(archive->tar);
        int rc = archive_read_open(archive->raw, archive, NULL, take, NULL);
        if (rc == ARCHIVE_OK)
            rc = archive_read_next_header(archive->raw, &ignored);
        if (rc == ARCHIVE_EOF)
            result = hm_fail(error, HM_EPARSE,
                             "the archive is empty: not even its end mark is there");
        else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            result = fault(archive, archive->raw, error);
    }
    if (result == 0 && archive_read_open(archive->tar, archive, NULL, pull, NULL) != ARCHIVE_OK)
        result = fault(archive, archive->tar, error);
    if (result != 0) {
        cli_archive_close(archive);
        return result;
    }
    *out = archive;
    return 0;
}

void cli_archive_close(struct cli_archive *archive)
{
    if (archive == NULL)
        return;
    (void)archive_read_free(archive->tar);
    (void)archive_read_free(archive->raw);
    hm_buf_release(&archive->names);
    hm_free(archive->attributes);
    hm_free(archive);
}

/* --- attributes -------------------------------------------------------------------------------------------------------------------- */
static void attribute_set(struct cli_archive *archive, struct packetfs_bytes name,
                          struct packetfs_bytes value)
{
    for (size_t i = 0; i < archive->count; i++) {
        struct packetfs_attribute *one = &archive->attributes[i];
        if (one->name.len == name.len && memcmp(one->name.data, name.data, name.len) == 0) {
            one->value = value;
            return;
        }
    }
    archive->attributes[archive->count++] = (struct packetfs_attribute){name, value};
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* %3D and %25, as GNU tar writes '=' and '%' in keys. */
static int key_plain(const char *key, struct hm_buf *out)
{
    for (; *key != '\0'; key++) {
        char c = *key;
        if (c == '%' && (strncmp(key, "%3D", 3) == 0 || strncmp(key, "%25", 3) == 0)) {
            c = (char)(hex_digit(key[1]) * 16 + hex_digit(key[2]));
            key += 2;
        }
        if (hm_buf_append(out, &c, 1) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

static int xattrs_read(struct cli_archive *archive, const char *path, struct hm_error *error)
{
    const char *key;
    const void *value;
    size_t len, bytes = 0;
    int count = archive_entry_xattr_reset(archive->entry);

    archive->count = 0;
    hm_buf_clear(&archive->names);
    if (count < 0 || count > ATTRIBUTES_MAX - 2)
        return hm_fail(error, HM_ELIMIT, "\"%.200s\" has more than %d extended attributes", path,
                       ATTRIBUTES_MAX - 2);
    /* Room for all names at once: they are pointed to. */
    while (archive_entry_xattr_next(archive->entry, &key, &value, &len) == ARCHIVE_OK)
        bytes += strlen(key);
    if (hm_buf_reserve(&archive->names, bytes + 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
    (void)archive_entry_xattr_reset(archive->entry);
    while (archive_entry_xattr_next(archive->entry, &key, &value, &len) == ARCHIVE_OK) {
        size_t at = archive->names.len;
        if (key_plain(key, &archive->names) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for extended attributes");
        attribute_set(archive,
                      (struct packetfs_bytes){archive->names.data + at, archive->names.len - at},
                      (struct packetfs_bytes){value, len});
    }
    return 0;
}

/* mask: of an access ACL, its mask, which is what the mode's group bits then are. */
static void acl_set(struct cli_archive *archive, bool access, uint8_t *out, int *mask)
{
    const char *name = access ? "system.posix_acl_access" : "system.posix_acl_default",
               *lost = NULL;
    size_t len = cli_acl_read(archive->entry, access, out, mask, &lost);

    if (lost != NULL)
        (void)snprintf(archive->warning, sizeof(archive->warning),
                       "a line of its ACL (%.60s) says nothing here and is left out", lost);
    if (len > 0)
        attribute_set(archive, (struct packetfs_bytes){(const uint8_t *)name, strlen(name)},
                      (struct packetfs_bytes){out, len});
}

/* --- entries ------------------------------------------------------------------------------------------------------------------------ */
static struct packetfs_bytes bytes_of(const char *text)
{
    return (struct packetfs_bytes){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

static int type_of(mode_t type, enum packetfs_entry_type *out)
{
    switch (type) {
    case AE_IFREG:
        *out = PACKETFS_FILE;
        return 0;
    case AE_IFDIR:
        *out = PACKETFS_FOLDER;
        return 0;
    case AE_IFLNK:
        *out = PACKETFS_SYMLINK;
        return 0;
    case AE_IFIFO:
        *out = PACKETFS_FIFO;
        return 0;
    case AE_IFSOCK:
        *out = PACKETFS_SOCKET;
        return 0;
    case AE_IFCHR:
        *out = PACKETFS_CHARACTER_DEVICE;
        return 0;
    case AE_IFBLK:
        *out = PACKETFS_BLOCK_DEVICE;
        return 0;
    default:
        return HM_EPARSE;
    }
}

/* libarchive takes a time before 1970 apart as sign and fraction: -1.5 comes as -1 s and 0.5 s. */
static void time_read(struct archive_entry *entry, struct packetfs_item *item)
{
    item->mtime_s = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : 0;
    item->mtime_ns = archive_entry_mtime_is_set(entry) ? (uint32_t)archive_entry_mtime_nsec(entry)
                                                       : 0;
    if (item->mtime_s < 0 && item->mtime_ns > 0 && item->mtime_s > INT64_MIN) {
        item->mtime_s--;
        item->mtime_ns = 1000000000u - item->mtime_ns;
    }
}

static int owners_read(struct archive_entry *entry, const char *path, struct packetfs_item *item,
                       struct hm_error *error)
{
    int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
    const char *user = archive_entry_uname(entry), *group = archive_entry_gname(entry);

    if (uid < 0 || uid > (int64_t)UINT32_MAX || gid < 0 || gid > (int64_t)UINT32_MAX)
        return hm_fail(error, HM_EPARSE,
                       "\"%.200s\" belongs to user %lld, group %lld: no such can be", path,
                       (long long)uid, (long long)gid);
    item->uid = (uint32_t)uid;
    item->gid = (uint32_t)gid;
    item->user = bytes_of(user != NULL ? user : archive_entry_uname_utf8(entry));
    item->group = bytes_of(group != NULL ? group : archive_entry_gname_utf8(entry));
    if (item->user.len >= OWNER_NAME_BYTES || item->group.len >= OWNER_NAME_BYTES)
        return hm_fail(error, HM_ELIMIT, "\"%.200s\" has an owner or group with too long a name",
                       path);
    return 0;
}

static int entry_read(struct cli_archive *archive, struct cli_archive_entry *out,
                      struct hm_error *error)
{
    struct archive_entry *entry = archive->entry;
    struct packetfs_item *item = &out->item;
    const char *path = path_of(entry), *link = archive_entry_hardlink(entry);
    const char *target = archive_entry_symlink(entry);
    int mask = -1;

    if (path == NULL || strlen(path) > CLI_ARCHIVE_NAME_MAX_BYTES)
        return hm_fail(error, HM_EPARSE,
                       "entry %llu of the archive has no name, or one of over %zu bytes",
                       (unsigned long long)archive->entries, CLI_ARCHIVE_NAME_MAX_BYTES);
    if (link == NULL)
        link = archive_entry_hardlink_utf8(entry);
    if (target == NULL)
        target = archive_entry_symlink_utf8(entry);
    *out = (struct cli_archive_entry){.is_link = link != NULL, .link = bytes_of(link)};
    item->path = bytes_of(path);
    if (out->is_link)
        return 0;
    if (type_of(archive_entry_filetype(entry), &item->type) != 0)
        return hm_fail(error, HM_EPARSE, "\"%.200s\" is of no type that is known", path);
    int result = owners_read(entry, path, item, error);
    if (result == 0)
        result = xattrs_read(archive, path, error);
    if (result != 0)
        return result;
    item->mode = (uint32_t)archive_entry_perm(entry) & 07777;
    acl_set(archive, true, archive->acls[0], &mask);
    acl_set(archive, false, archive->acls[1], NULL);
    if (mask >= 0) /* libarchive puts the group's own line there */
        item->mode = (item->mode & ~070u) | (uint32_t)mask << 3;
    time_read(entry, item);
    item->bytes = archive_entry_size(entry) > 0 ? (uint64_t)archive_entry_size(entry) : 0;
    if (item->type == PACKETFS_CHARACTER_DEVICE || item->type == PACKETFS_BLOCK_DEVICE)
        item->device = (uint64_t)archive_entry_rdevmajor(entry) << 32 |
                       ((uint64_t)archive_entry_rdevminor(entry) & UINT32_MAX);
    item->target = item->type == PACKETFS_SYMLINK ? bytes_of(target) : (struct packetfs_bytes){0};
    out->attributes = archive->attributes;
    out->count = archive->count;
    return 0;
}

/* What stands behind the end mark must still unpack: checksums of compressed streams come last. */
static int drain(struct cli_archive *archive, struct hm_error *error)
{
    const void *data;

    while (!archive->ended)
        if (pull(archive->tar, archive, &data) < 0)
            return fault(archive, archive->tar, error);
    if (gzip_wrong(archive))
        return hm_fail(error, HM_EPARSE,
                       "the archive is damaged: the checksum at its end is another");
    return HM_ENOTFOUND;
}

int cli_archive_next(struct cli_archive *archive, struct cli_archive_entry *out,
                     struct hm_error *error)
{
    archive->warning[0] = '\0';
    archive->data_end = 0;
    int rc = archive_read_next_header(archive->tar, &archive->entry);
    if (rc == ARCHIVE_EOF)
        return drain(archive, error);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return fault(archive, archive->tar, error);
    if (archive->ended && strcmp(text_or(path_of(archive->entry), ""), MARK_NAME) == 0)
        return cut_off(archive, error);
    (void)snprintf(archive->last, sizeof(archive->last), "%s",
                   text_or(path_of(archive->entry), ""));
    if (++archive->entries > CLI_ARCHIVE_ENTRIES_MAX)
        return hm_fail(error, HM_ELIMIT, "the archive has more than %llu entries",
                       (unsigned long long)CLI_ARCHIVE_ENTRIES_MAX);
    int result = entry_read(archive, out, error);
    /* That a name is not of the locale's characters is nothing: its bytes are kept. */
    const char *why = rc == ARCHIVE_WARN ? text_or(archive_error_string(archive->tar), "") : "";
    if (archive->warning[0] == '\0' && why[0] != '\0' && strstr(why, "be converted") == NULL)
        (void)snprintf(archive->warning, sizeof(archive->warning), "%s", why);
    out->warning = archive->warning[0] != '\0' ? archive->warning : NULL;
    return result;
}

int cli_archive_data(struct cli_archive *archive, const void **data, size_t *len, uint64_t *offset,
                     struct hm_error *error)
{
    la_int64_t at = 0;
    int rc = archive_read_data_block(archive->tar, data, len, &at);

    if (rc == ARCHIVE_EOF)
        return HM_ENOTFOUND;
    if (rc != ARCHIVE_OK)
        return fault(archive, archive->tar, error);
    if (at < 0 || (uint64_t)at < archive->data_end || *len > INT64_MAX - (uint64_t)at)
        return hm_fail(error, HM_EPARSE, "the pieces of \"%.200s\" overlap or are out of order",
                       text_or(path_of(archive->entry), "?"));
    *offset = (uint64_t)at;
    archive->data_end = (uint64_t)at + *len;
    return 0;
}
