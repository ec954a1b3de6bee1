/* A snapshot's folder: `head` says what it is, `metadata`, and a file for each chunk, named by its number. */
#include "engine_snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>

#define FILES_MAKING     "making"
#define FILES_MODE       0600
#define FILES_DIR_MODE   0700
#define FILES_LEVEL      3 /* zstd's own default */
#define FILES_MAGIC      "HMSNAPF1"
#define FILES_HEAD_BYTES ((size_t)8 + 8 + 4 + CRYPTO_HASH_BYTES)
#define FILES_CHUNKS_MAX ((uint32_t)1 << 20)

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a snapshot");
}

/* --- chunks ------------------------------------------------------------------------------------------------ */

int engine_snapshot_pack(struct hm_slice chunk, struct hm_buf *out, struct hm_error *error)
{
    size_t room = ZSTD_compressBound(chunk.len);

    hm_buf_clear(out);
    if (hm_buf_reserve(out, room) != 0)
        return no_memory(error);
    size_t got = ZSTD_compress(out->data, room, chunk.data, chunk.len, FILES_LEVEL);
    if (ZSTD_isError(got))
        return hm_fail(error, HM_ENOMEM, "a snapshot's chunk cannot be packed: %s",
                       ZSTD_getErrorName(got));
    if (got > ABCI_CHUNK_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT,
                       "a chunk has %zu bytes when packed, the engine hands on %zu at most", got,
                       ABCI_CHUNK_MAX_BYTES);
    out->len = got;
    return 0;
}

int engine_snapshot_unpack(struct hm_slice packed, struct hm_buf *out, struct hm_error *error)
{
    unsigned long long size = packed.len == 0 ? ZSTD_CONTENTSIZE_ERROR
                                              : ZSTD_getFrameContentSize(packed.data, packed.len);

    hm_buf_clear(out);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN ||
        ZSTD_findFrameCompressedSize(packed.data, packed.len) != packed.len)
        return hm_fail(error, HM_EPARSE, "it is not one zstd frame that says its size");
    if (size > LEDGER_SNAPSHOT_CHUNK_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "it would have %llu bytes, a chunk has at most %zu", size,
                       LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
    if (hm_buf_reserve(out, (size_t)size + 1) != 0)
        return no_memory(error);
    size_t got = ZSTD_decompress(out->data, (size_t)size, packed.data, packed.len);
    if (ZSTD_isError(got) || got != size)
        return hm_fail(error, HM_EPARSE, "its zstd frame is damaged");
    out->len = got;
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static int sync_folder(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "%s cannot be made durable", path);
    return 0;
}

static int put_file(const char *dir, const char *name, struct hm_slice bytes,
                    struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" FILES_MAKING "/%s", dir, name);

    return path == NULL ? no_memory(error)
                        : hm_file_replace(path, bytes.data, bytes.len, FILES_MODE, error);
}

int engine_snapshot_file_begin(const char *dir, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" FILES_MAKING, dir);
    int rc = path == NULL ? no_memory(error) : hm_remove_tree(path, error);

    return rc != 0 ? rc : hm_mkdir_all(path, FILES_DIR_MODE, error);
}

int engine_snapshot_file_put(const char *dir, uint32_t index, struct hm_slice packed,
                             struct hm_error *error)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", (unsigned)index);
    return put_file(dir, name, packed, error);
}

static int put_head(const char *dir, uint64_t height, uint32_t chunks, struct hm_slice metadata,
                    struct hm_error *error)
{
    uint8_t head[FILES_HEAD_BYTES];

    memcpy(head, FILES_MAGIC, 8);
    hm_put_be64(head + 8, height);
    hm_put_be32(head + 16, chunks);
    crypto_hash(metadata.data, metadata.len, head + 20);
    return put_file(dir, "head", hm_slice_of(head, sizeof(head)), error);
}

int engine_snapshot_file_end(const char *dir, uint64_t height, uint32_t chunks,
                             struct hm_slice metadata, struct hm_error *error)
{
    HM_AUTOFREE char *from = hm_asprintf("%s/" FILES_MAKING, dir);
    HM_AUTOFREE char *to = hm_asprintf("%s/%llu", dir, (unsigned long long)height);
    int rc = put_file(dir, "metadata", metadata, error);

    if (from == NULL || to == NULL)
        return no_memory(error);
    if (rc == 0)
        rc = put_head(dir, height, chunks, metadata, error);
    if (rc == 0)
        rc = sync_folder(from, error);
    if (rc == 0)
        rc = hm_remove_tree(to, error);
    if (rc == 0 && rename(from, to) != 0)
        rc = hm_fail_errno(error, HM_EIO, "the snapshot %s cannot get its name", to);
    return rc != 0 ? rc : sync_folder(dir, error);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

void engine_snapshot_file_release(struct engine_snapshot_file *file)
{
    hm_buf_release(&file->metadata);
}

static int get_file(const char *dir, uint64_t height, const char *name, size_t limit,
                    struct hm_buf *out, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%llu/%s", dir, (unsigned long long)height, name);

    return path == NULL ? no_memory(error) : hm_file_read(path, limit, out, error);
}

static bool has_chunks(const char *dir, const struct engine_snapshot_file *file)
{
    for (uint32_t i = 0; i < file->chunks; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%llu/%u", dir, (unsigned long long)file->height,
                                             (unsigned)i);

        if (path == NULL || access(path, R_OK) != 0)
            return false;
    }
    return true;
}

static int read_head(struct hm_slice head, uint64_t height, struct engine_snapshot_file *out)
{
    if (head.len != FILES_HEAD_BYTES || memcmp(head.data, FILES_MAGIC, 8) != 0 ||
        hm_get_be64(head.data + 8) != height)
        return HM_ECORRUPT;
    out->height = height;
    out->chunks = hm_get_be32(head.data + 16);
    memcpy(out->hash, head.data + 20, CRYPTO_HASH_BYTES);
    return out->chunks > 0 && out->chunks <= FILES_CHUNKS_MAX ? 0 : HM_ECORRUPT;
}

int engine_snapshot_file_open(const char *dir, uint64_t height, struct engine_snapshot_file *out,
                              struct hm_error *error)
{
    HM_CLEANUP(engine_snapshot_file) struct engine_snapshot_file file = {0};
    HM_CLEANUP(hm_buf) struct hm_buf head = {0};
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc = get_file(dir, height, "head", FILES_HEAD_BYTES, &head, error);

    if (rc == 0)
        rc = read_head(hm_buf_slice(&head), height, &file);
    if (rc == 0)
        rc = get_file(dir, height, "metadata", LEDGER_SNAPSHOT_METADATA_MAX_BYTES, &file.metadata,
                      error);
    if (rc == 0) {
        crypto_hash(file.metadata.data, file.metadata.len, hash);
        if (memcmp(hash, file.hash, sizeof(hash)) != 0 || !has_chunks(dir, &file))
            rc = HM_ECORRUPT;
    }
    if (rc != 0)
        return hm_fail(error, rc == HM_ENOMEM ? rc : HM_ECORRUPT, "snapshot %s/%llu is not whole",
                       dir, (unsigned long long)height);
    *out = file;
    file = (struct engine_snapshot_file){0};
    return 0;
}

int engine_snapshot_file_chunk(const char *dir, uint64_t height, uint32_t index, struct hm_buf *out,
                               struct hm_error *error)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", (unsigned)index);
    return get_file(dir, height, name, ABCI_CHUNK_MAX_BYTES, out, error);
}

void engine_snapshot_file_remove(const char *dir, uint64_t height)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%llu", dir, (unsigned long long)height);
    struct hm_error error = {0};

    if (path != NULL && hm_remove_tree(path, &error) != 0)
        hm_log(HM_LOG_WARN, "engine", "an old snapshot stays: %s", error.text);
}

/* --- at the start ------------------------------------------------------------------------------------------ */

/* The highest so far, in order; what falls out of the list is removed. */
static void keep_height(const char *dir, uint64_t height, uint64_t *heights, size_t room,
                        size_t *count)
{
    size_t at = *count;

    while (at > 0 && heights[at - 1] < height)
        at--;
    if (at == room) {
        engine_snapshot_file_remove(dir, height);
        return;
    }
    if (*count == room)
        engine_snapshot_file_remove(dir, heights[--*count]);
    memmove(heights + at + 1, heights + at, (*count - at) * sizeof(*heights));
    heights[at] = height;
    ++*count;
}

static void look_at(const char *dir, const char *name, uint64_t newest, uint64_t *heights,
                    size_t room, size_t *count)
{
    struct engine_snapshot_file file = {0};
    struct hm_error error = {0};
    uint64_t height;
    char again[24];

    if (hm_u64_parse(name, &height, NULL) != 0)
        return; /* nothing of ours */
    snprintf(again, sizeof(again), "%llu", (unsigned long long)height);
    if (strcmp(again, name) != 0)
        return;
    if (height <= newest && engine_snapshot_file_open(dir, height, &file, &error) == 0) {
        engine_snapshot_file_release(&file);
        keep_height(dir, height, heights, room, count);
        return;
    }
    hm_log(HM_LOG_INFO, "engine", "snapshot of block %s is removed: %s", name,
           height > newest ? "the ledger has not got that block" : error.text);
    engine_snapshot_file_remove(dir, height);
}

int engine_snapshot_files_clean(const char *dir, uint64_t newest, uint64_t *heights, size_t room,
                                size_t *count, struct hm_error *error)
{
    HM_AUTOFREE char *making = hm_asprintf("%s/" FILES_MAKING, dir);
    const struct dirent *entry;
    DIR *folder;
    int rc = making == NULL ? no_memory(error) : hm_mkdir_all(dir, FILES_DIR_MODE, error);

    *count = 0;
    if (rc == 0)
        rc = hm_remove_tree(making, error);
    if (rc != 0)
        return rc;
    folder = opendir(dir);
    if (folder == NULL)
        return hm_fail_errno(error, HM_EIO, "the snapshots in %s cannot be read", dir);
    while ((entry = readdir(folder)) != NULL)
        look_at(dir, entry->d_name, newest, heights, room, count);
    closedir(folder);
    return 0;
}
