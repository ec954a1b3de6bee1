/* Reading: a chunk is read, opened, unpacked, and only then looked into. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include "backup_format.h"

struct backup_reader {
    int fd;
    char *path;
    bool last; /* the chunk at hand is the last one */
    uint64_t number; /* of the next chunk */
    uint8_t head[BACKUP_HEAD_BYTES];
    uint8_t key[CRYPTO_SEAL_KEY_BYTES];
    struct hm_buf sealed, packed, plain;
    struct hm_slice rest; /* of plain, not looked into yet */
    struct hm_slice piece; /* of the present file, not given out yet; part of plain */
    struct backup_parser parser;
    bool file_open;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to read a backup");
}

/* len bytes, or fewer only at the end of the file. */
static int fill(struct backup_reader *reader, uint8_t *out, size_t len, size_t *got,
                struct hm_error *error)
{
    *got = 0;
    while (*got < len) {
        ssize_t step = read(reader->fd, out + *got, len - *got);

        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read %s", reader->path);
        if (step == 0)
            break;
        *got += (size_t)step;
    }
    return 0;
}

static int cut_off(const struct backup_reader *reader, struct hm_error *error)
{
    return hm_fail(error, HM_EAUTH, "%s was cut off: chunk %llu is not whole", reader->path,
                   (unsigned long long)reader->number);
}

static int chunk_read(struct backup_reader *reader, struct hm_error *error)
{
    uint8_t len[4];
    size_t got;
    size_t want;
    int rc = fill(reader, len, sizeof(len), &got, error);

    if (rc)
        return rc;
    if (got < sizeof(len))
        return cut_off(reader, error);
    want = hm_get_be32(len);
    if (want > BACKUP_SEALED_MAX_BYTES || want <= CRYPTO_SEAL_OVERHEAD_BYTES)
        return hm_fail(error, HM_EPARSE, "%s has a chunk of %zu bytes", reader->path, want);
    hm_buf_clear(&reader->sealed);
    if (hm_buf_reserve(&reader->sealed, want))
        return no_memory(error);
    rc = fill(reader, reader->sealed.data, want, &got, error);
    if (rc)
        return rc;
    if (got < want)
        return cut_off(reader, error);
    reader->sealed.len = want;
    return 0;
}

/* Whether a chunk is the last one is in what its tag covers, so that nothing can be cut off at a chunk's
 * border: it is tried as one of the middle, then as the last. */
static int chunk_open(struct backup_reader *reader, struct hm_error *error)
{
    uint8_t about[BACKUP_ABOUT_BYTES];
    int rc = HM_EAUTH;

    for (int last = 0; rc == HM_EAUTH && last < 2; last++) {
        hm_buf_clear(&reader->packed);
        rc = crypto_open(reader->key, backup_about(reader->head, reader->number, last == 1, about),
                         hm_buf_slice(&reader->sealed), &reader->packed, NULL);
        reader->last = last == 1;
    }
    if (rc == HM_EAUTH)
        return hm_fail(error, rc,
                       reader->number == 0
                           ? "%s does not open: the passphrase is wrong, or the file was changed"
                           : "%s was changed, or a part of it is missing or moved",
                       reader->path);
    return rc ? no_memory(error) : 0;
}

static int chunk_unpack(struct backup_reader *reader, struct hm_error *error)
{
    const uint8_t *packed = reader->packed.data;
    size_t len = reader->packed.len;
    size_t got;

    if (len == 0 || packed[0] > 1)
        return hm_fail(error, HM_EPARSE, "%s has a chunk of unknown form", reader->path);
    hm_buf_clear(&reader->plain);
    if (hm_buf_reserve(&reader->plain, BACKUP_CHUNK_MAX_BYTES))
        return no_memory(error);
    if (packed[0] == 1) {
        got = ZSTD_decompress(reader->plain.data, BACKUP_CHUNK_MAX_BYTES, packed + 1, len - 1);
        if (ZSTD_isError(got))
            return hm_fail(error, HM_EPARSE, "%s has a chunk that does not unpack: %s",
                           reader->path, ZSTD_getErrorName(got));
    } else {
        got = len - 1;
        if (got > BACKUP_CHUNK_MAX_BYTES)
            return hm_fail(error, HM_EPARSE, "%s has a chunk that is too long", reader->path);
        memcpy(reader->plain.data, packed + 1, got);
    }
    reader->plain.len = got;
    reader->rest = hm_buf_slice(&reader->plain);
    return 0;
}

static int chunk_next(struct backup_reader *reader, struct hm_error *error)
{
    int rc;

    if (reader->last)
        return hm_fail(error, HM_EPARSE, "%s ends in the middle of a record", reader->path);
    rc = chunk_read(reader, error);
    if (rc == 0)
        rc = chunk_open(reader, error);
    if (rc == 0)
        rc = chunk_unpack(reader, error);
    if (rc == 0)
        reader->number++;
    return rc;
}

/* Behind the last record of the last chunk there is nothing. */
static int check_end(struct backup_reader *reader, struct hm_error *error)
{
    uint8_t byte;
    size_t got;
    int rc;

    if (!reader->last || reader->rest.len > 0)
        return hm_fail(error, HM_EPARSE, "%s goes on behind its end", reader->path);
    rc = fill(reader, &byte, 1, &got, error);
    if (rc == 0 && got > 0)
        rc = hm_fail(error, HM_EAUTH, "%s has bytes behind its end", reader->path);
    return rc;
}

/* --- the public face -------------------------------------------------------------------------- */

static int head_read(struct backup_reader *reader, struct hm_error *error)
{
    uint32_t version;
    size_t got;
    int rc = fill(reader, reader->head, sizeof(reader->head), &got, error);

    if (rc)
        return rc;
    if (got < sizeof(reader->head) || memcmp(reader->head, BACKUP_MAGIC, BACKUP_MAGIC_BYTES) != 0)
        return hm_fail(error, HM_EPARSE, "%s is not a backup of HyperMesh", reader->path);
    version = hm_get_be32(reader->head + BACKUP_MAGIC_BYTES);
    if (version != BACKUP_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED, "%s is a backup of version %u; this is version %d",
                       reader->path, version, BACKUP_VERSION);
    return 0;
}

int backup_reader_open(const char *path, const char *passphrase, struct backup_reader **out,
                       struct hm_error *error)
{
    struct backup_reader *reader = hm_calloc(1, sizeof(*reader));
    int rc = 0;

    if (!reader)
        return no_memory(error);
    backup_parser_init(&reader->parser);
    reader->path = hm_strdup(path);
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!reader->path)
        rc = no_memory(error);
    else if (reader->fd < 0)
        rc = hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO, "cannot read %s", path);
    if (rc == 0)
        rc = head_read(reader, error);
    if (rc == 0)
        rc = crypto_passphrase_key(passphrase, reader->head + BACKUP_MAGIC_BYTES + 4, reader->key,
                                   error);
    if (rc == 0)
        rc = chunk_next(reader, error);
    if (rc) {
        backup_reader_close(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

static int step(struct backup_reader *reader, enum backup_found *found, struct hm_error *error)
{
    for (;;) {
        int rc = backup_parser_step(&reader->parser, &reader->rest, found, &reader->piece, error);

        if (rc || *found != BACKUP_FOUND_MORE)
            return rc ? hm_error_prefix(error, rc, "%s", reader->path) : 0;
        rc = chunk_next(reader, error);
        if (rc)
            return rc;
    }
}

int backup_reader_next(struct backup_reader *reader, const char **name, struct hm_error *error)
{
    enum backup_found found;
    int rc;

    reader->piece = hm_slice_of(NULL, 0);
    do {
        rc = step(reader, &found, error);
    } while (rc == 0 && (found == BACKUP_FOUND_DATA || found == BACKUP_FOUND_DONE));
    if (rc)
        return rc;
    reader->piece = hm_slice_of(NULL, 0);
    reader->file_open = found == BACKUP_FOUND_FILE;
    if (found == BACKUP_FOUND_END) {
        rc = check_end(reader, error);
        if (rc)
            return rc;
    }
    *name = reader->file_open ? reader->parser.name : NULL;
    return 0;
}

int backup_reader_read(struct backup_reader *reader, uint8_t *out, size_t size, size_t *got,
                       struct hm_error *error)
{
    size_t take;

    *got = 0;
    while (reader->file_open && reader->piece.len == 0) {
        enum backup_found found;
        int rc = step(reader, &found, error);

        if (rc)
            return rc;
        if (found == BACKUP_FOUND_DONE)
            reader->file_open = false;
    }
    take = reader->piece.len < size ? reader->piece.len : size;
    if (take > 0)
        memcpy(out, reader->piece.data, take);
    reader->piece.data += take;
    reader->piece.len -= take;
    *got = take;
    return 0;
}

void backup_reader_close(struct backup_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    hm_wipe(reader->key, sizeof(reader->key));
    if (reader->plain.data)
        hm_wipe(reader->plain.data, reader->plain.cap);
    if (reader->packed.data)
        hm_wipe(reader->packed.data, reader->packed.cap);
    hm_buf_release(&reader->sealed);
    hm_buf_release(&reader->packed);
    hm_buf_release(&reader->plain);
    hm_free(reader->path);
    hm_free(reader);
}
