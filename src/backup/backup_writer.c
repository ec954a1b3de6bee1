/* Writing: records gather in a chunk; a full chunk is compressed, sealed, written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>

#include "backup_format.h"

#define COMPRESSION_LEVEL 3

struct backup_writer {
    char *path, *partial;
    int fd;
    bool made; /* the partial file is ours and still there */
    bool failed, in_file, finished;
    const struct hm_random *random;
    uint8_t head[BACKUP_HEAD_BYTES];
    uint8_t key[CRYPTO_SEAL_KEY_BYTES];
    uint64_t number; /* of the next chunk */
    uint64_t written;
    uint32_t files;
    struct hm_buf chunk, packed, sealed;
    struct crypto_hasher hasher;
    ZSTD_CCtx *zstd;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a backup");
}

static int put(struct backup_writer *writer, const void *data, size_t len, struct hm_error *error)
{
    int rc = hm_write_all(writer->fd, data, len, error);

    if (rc)
        return hm_error_prefix(error, rc, "%s", writer->partial);
    writer->written += len;
    return 0;
}

/* First byte 1: zstd; 0: as it is, where compressing would not make it shorter. */
static int chunk_pack(struct backup_writer *writer, struct hm_error *error)
{
    size_t got;

    hm_buf_clear(&writer->packed);
    if (hm_buf_reserve(&writer->packed, BACKUP_CHUNK_MAX_BYTES + 1))
        return no_memory(error);
    got = ZSTD_compressCCtx(writer->zstd, writer->packed.data + 1, BACKUP_CHUNK_MAX_BYTES,
                            writer->chunk.data, writer->chunk.len, COMPRESSION_LEVEL);
    writer->packed.data[0] = 1;
    if (ZSTD_isError(got) || got >= writer->chunk.len) {
        writer->packed.data[0] = 0;
        memcpy(writer->packed.data + 1, writer->chunk.data, writer->chunk.len);
        got = writer->chunk.len;
    }
    writer->packed.len = got + 1;
    return 0;
}

static int chunk_flush(struct backup_writer *writer, bool last, struct hm_error *error)
{
    uint8_t about[BACKUP_ABOUT_BYTES];
    uint8_t len[4];
    int rc = chunk_pack(writer, error);

    if (rc)
        return rc;
    hm_buf_clear(&writer->sealed);
    rc = crypto_seal(writer->key, backup_about(writer->head, writer->number, last, about),
                     hm_buf_slice(&writer->packed), writer->random, &writer->sealed, error);
    if (rc)
        return rc;
    hm_put_be32(len, (uint32_t)writer->sealed.len);
    rc = put(writer, len, sizeof(len), error);
    if (rc == 0)
        rc = put(writer, writer->sealed.data, writer->sealed.len, error);
    writer->number++;
    hm_buf_clear(&writer->chunk);
    return rc;
}

/* Into the stream; a chunk that is full goes out. */
static int stream(struct backup_writer *writer, const void *data, size_t len,
                  struct hm_error *error)
{
    const uint8_t *at = data;

    while (len > 0) {
        size_t room = BACKUP_CHUNK_MAX_BYTES - writer->chunk.len;
        size_t take = len < room ? len : room;

        if (take == 0) {
            int rc = chunk_flush(writer, false, error);

            if (rc)
                return rc;
            continue;
        }
        if (hm_buf_append(&writer->chunk, at, take))
            return no_memory(error);
        at += take;
        len -= take;
    }
    return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int head_make(struct backup_writer *writer, struct hm_error *error)
{
    uint8_t *salt = writer->head + BACKUP_MAGIC_BYTES + 4;

    memcpy(writer->head, BACKUP_MAGIC, BACKUP_MAGIC_BYTES);
    hm_put_be32(writer->head + BACKUP_MAGIC_BYTES, BACKUP_VERSION);
    if (writer->random->fill(writer->random->ctx, salt, BACKUP_SALT_BYTES))
        return hm_fail(error, HM_EIO, "no random bytes for a backup");
    return 0;
}

static int file_make(struct backup_writer *writer, struct hm_error *error)
{
    if (access(writer->path, F_OK) == 0)
        return hm_fail(error, HM_EEXIST, "%s is there already; name another file", writer->path);
    writer->fd = open(writer->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->fd < 0 && errno == EEXIST)
        return hm_fail(error, HM_EEXIST,
                       "%s is there: another backup is being written, or one was cut off; remove "
                       "it in the second case",
                       writer->partial);
    if (writer->fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot write %s", writer->partial);
    writer->made = true;
    return 0;
}

int backup_writer_open(const char *path, const char *passphrase, const struct hm_random *random,
                       struct backup_writer **out, struct hm_error *error)
{
    struct backup_writer *writer;
    int rc;

    if (passphrase[0] == '\0')
        return hm_fail(error, HM_EINVAL, "the backup's passphrase is empty");
    writer = hm_calloc(1, sizeof(*writer));
    if (!writer)
        return no_memory(error);
    writer->fd = -1;
    writer->random = random;
    writer->path = hm_strdup(path);
    writer->partial = hm_asprintf("%s.partial", path);
    writer->zstd = ZSTD_createCCtx();
    rc = writer->path && writer->partial && writer->zstd ? 0 : no_memory(error);
    if (rc == 0)
        rc = head_make(writer, error);
    if (rc == 0)
        rc = crypto_passphrase_key(passphrase, writer->head + BACKUP_MAGIC_BYTES + 4, writer->key,
                                   error);
    if (rc == 0)
        rc = file_make(writer, error);
    if (rc == 0)
        rc = put(writer, writer->head, sizeof(writer->head), error);
    if (rc) {
        backup_writer_free(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

/* May the call be made now? Otherwise the failure of before goes on. */
static int usable(const struct backup_writer *writer, bool in_file, struct hm_error *error)
{
    if (writer->failed || writer->finished)
        return hm_fail(error, HM_ECONFLICT, "the backup has failed or is finished");
    if (writer->in_file != in_file)
        return hm_fail(error, HM_ECONFLICT,
                       in_file ? "no file was begun in the backup"
                               : "a file of the backup is not ended");
    return 0;
}

static int done(struct backup_writer *writer, int rc)
{
    writer->failed = writer->failed || rc != 0;
    return rc;
}

int backup_writer_begin(struct backup_writer *writer, const char *name, struct hm_error *error)
{
    uint8_t head[3];
    size_t len = strlen(name);
    int rc = usable(writer, false, error);

    if (rc)
        return rc;
    if (!backup_name_ok(name))
        return hm_fail(error, HM_EINVAL, "a file in a backup can't be called '%s'", name);
    if (writer->files == BACKUP_FILES_MAX)
        return hm_fail(error, HM_ELIMIT, "a backup holds at most %d files", BACKUP_FILES_MAX);
    head[0] = BACKUP_RECORD_FILE;
    head[1] = (uint8_t)(len >> 8);
    head[2] = (uint8_t)len;
    rc = stream(writer, head, sizeof(head), error);
    if (rc == 0)
        rc = stream(writer, name, len, error);
    crypto_hasher_init(&writer->hasher);
    writer->in_file = true;
    writer->files++;
    return done(writer, rc);
}

int backup_writer_data(struct backup_writer *writer, struct hm_slice bytes, struct hm_error *error)
{
    int rc = usable(writer, true, error);

    if (rc)
        return rc;
    while (rc == 0 && bytes.len > 0) {
        size_t take = bytes.len < BACKUP_CHUNK_MAX_BYTES ? bytes.len : BACKUP_CHUNK_MAX_BYTES;
        uint8_t head[5] = {BACKUP_RECORD_DATA};

        hm_put_be32(head + 1, (uint32_t)take);
        crypto_hasher_update(&writer->hasher, bytes.data, take);
        rc = stream(writer, head, sizeof(head), error);
        if (rc == 0)
            rc = stream(writer, bytes.data, take, error);
        bytes.data += take;
        bytes.len -= take;
    }
    return done(writer, rc);
}

int backup_writer_end(struct backup_writer *writer, struct hm_error *error)
{
    uint8_t record[1 + CRYPTO_HASH_BYTES] = {BACKUP_RECORD_DONE};
    int rc = usable(writer, true, error);

    if (rc)
        return rc;
    crypto_hasher_final(&writer->hasher, record + 1);
    writer->in_file = false;
    return done(writer, stream(writer, record, sizeof(record), error));
}

/* --- the end ---------------------------------------------------------------------------------- */

static int folder_sync(const char *path, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');
    HM_AUTOFREE char *folder = slash && slash > path ? hm_strndup(path, (size_t)(slash - path))
                                                     : hm_strdup(slash ? "/" : ".");
    HM_AUTOCLOSE int fd = -1;

    if (!folder)
        return no_memory(error);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? 0 : hm_fail_errno(error, HM_EIO, "cannot sync %s", folder);
}

/* Under its name only when it is whole and on the disk, and never over another file. */
static int publish(struct backup_writer *writer, struct hm_error *error)
{
    if (fsync(writer->fd) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot sync %s", writer->partial);
    if (renameat2(AT_FDCWD, writer->partial, AT_FDCWD, writer->path, RENAME_NOREPLACE) != 0)
        return errno == EEXIST
                   ? hm_fail(error, HM_EEXIST, "%s was made by another meanwhile", writer->path)
                   : hm_fail_errno(error, HM_EIO, "cannot name %s", writer->path);
    writer->made = false;
    return folder_sync(writer->path, error);
}

int backup_writer_finish(struct backup_writer *writer, uint64_t *bytes, struct hm_error *error)
{
    uint8_t record[5] = {BACKUP_RECORD_END};
    int rc = usable(writer, false, error);

    if (rc)
        return rc;
    hm_put_be32(record + 1, writer->files);
    rc = stream(writer, record, sizeof(record), error);
    if (rc == 0)
        rc = chunk_flush(writer, true, error);
    if (rc == 0)
        rc = publish(writer, error);
    writer->finished = rc == 0;
    if (rc == 0 && bytes)
        *bytes = writer->written;
    return done(writer, rc);
}

void backup_writer_free(struct backup_writer *writer)
{
    if (!writer)
        return;
    hm_fd_release(&writer->fd);
    if (writer->made)
        (void)unlink(writer->partial);
    ZSTD_freeCCtx(writer->zstd);
    hm_wipe(writer->key, sizeof(writer->key));
    if (writer->chunk.data)
        hm_wipe(writer->chunk.data, writer->chunk.cap);
    if (writer->packed.data)
        hm_wipe(writer->packed.data, writer->packed.cap);
    hm_buf_release(&writer->chunk);
    hm_buf_release(&writer->packed);
    hm_buf_release(&writer->sealed);
    hm_free(writer->path);
    hm_free(writer->partial);
    hm_free(writer);
}
