#include "engine_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAGIC       "HMBLOCKS"
#define FILE_MAGIC_BYTES 8
#define FILE_AT_ID       8
#define FILE_AT_DIGEST   (FILE_AT_ID + ENGINE_LOG_ID_BYTES)
#define FILE_MADE        ".new"
#define RECORD_AT_HEIGHT 16
#define ZEROS_BYTES      ((size_t)1 << 20)
#define LOG_PATH_BYTES   4096

static int pwrite_all(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t done = pwrite(fd, data, len, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = EIO;
        if (done <= 0)
            return HM_EIO;
        data += done;
        at += (uint64_t)done;
        len -= (size_t)done;
    }
    return 0;
}

static int log_failed(const struct engine_log_file *file, const char *what, struct hm_error *error)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return hm_fail(error, HM_EIO, "no space left on the disk of the block log %s: free some",
                       file->name);
    return hm_fail_errno(error, HM_EIO, "the block log %s cannot be %s", file->name, what);
}

/* --- making and opening files ------------------------------------------------------------------------ */

/* Zeros to the new length, on the disk: later writes there change no length and no map of blocks, so that a sync
 * writes the data and nothing else. */
static int file_lay_out(struct engine_log_file *file, uint64_t bytes, struct hm_error *error)
{
    HM_AUTOFREE uint8_t *zeros = hm_calloc(1, ZEROS_BYTES);
    uint64_t at = file->laid_out;

    if (zeros == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the block log");
    errno = posix_fallocate(file->fd, (off_t)at, (off_t)(bytes - at));
    if (errno != 0 && errno != EOPNOTSUPP && errno != EINVAL) /* some file systems cannot */
        return log_failed(file, "made longer", error);
    for (; at < bytes; at += ZEROS_BYTES) {
        size_t len = bytes - at < ZEROS_BYTES ? (size_t)(bytes - at) : ZEROS_BYTES;

        if (pwrite_all(file->fd, zeros, len, at) != 0)
            return log_failed(file, "made longer", error);
    }
    if (fdatasync(file->fd) != 0)
        return log_failed(file, "made longer", error);
    file->laid_out = bytes;
    return 0;
}

static int folder_sync(const char *name, struct hm_error *error)
{
    char folder[LOG_PATH_BYTES];
    const char *slash = strrchr(name, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - name) + 1 : 1,
             slash ? name : ".");
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        return hm_fail_errno(error, HM_EIO, "cannot write the folder of the block log %s to disk",
                             name);
    return 0;
}

static void head_digest(const uint8_t head[FILE_AT_DIGEST], uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hash(head, FILE_AT_DIGEST, out);
}

/* Whole under another name first, so that a file of that name always has its head. */
static int file_make(struct engine_log_file *file, size_t step_bytes, struct hm_error *error)
{
    HM_AUTOFREE char *made = hm_asprintf("%s" FILE_MADE, file->name);
    uint8_t head[FILE_AT_DIGEST + CRYPTO_HASH_BYTES];
    const struct hm_random *random = hm_random_system();

    if (made == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the block log");
    memcpy(head, FILE_MAGIC, FILE_MAGIC_BYTES);
    if (random->fill(random->ctx, head + FILE_AT_ID, ENGINE_LOG_ID_BYTES) != 0)
        return hm_fail(error, HM_EIO, "the system has no random bytes for the block log");
    head_digest(head, head + FILE_AT_DIGEST);
    file->fd = open(made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file->fd < 0)
        return log_failed(file, "made", error);
    int rc = file_lay_out(file, ENGINE_LOG_PAGE_BYTES + step_bytes, error);
    if (rc != 0)
        return rc;
    if (pwrite_all(file->fd, head, sizeof(head), 0) != 0 || fdatasync(file->fd) != 0 ||
        rename(made, file->name) != 0)
        return log_failed(file, "made", error);
    memcpy(file->id, head + FILE_AT_ID, sizeof(file->id));
    return folder_sync(file->name, error);
}

static int file_missing(const struct engine_log_file *file, struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT,
                   "the block log's file %s is missing, and the node was not stopped cleanly: the "
                   "last blocks that were answered are only there; put the file back, or restore "
                   "the node from a backup",
                   file->name);
}

static int file_open(struct engine_log_file *file, size_t step_bytes, bool expected,
                     struct hm_error *error)
{
    uint8_t head[FILE_AT_DIGEST + CRYPTO_HASH_BYTES];
    uint8_t digest[CRYPTO_HASH_BYTES];
    struct stat info;

    file->end = ENGINE_LOG_PAGE_BYTES;
    file->fd = open(file->name, O_RDWR | O_CLOEXEC);
    if (file->fd < 0 && errno == ENOENT)
        return expected ? file_missing(file, error) : file_make(file, step_bytes, error);
    if (file->fd < 0)
        return log_failed(file, "opened", error);
    if (fstat(file->fd, &info) != 0)
        return log_failed(file, "read", error);
    ssize_t got = pread(file->fd, head, sizeof(head), 0);
    if (got < 0)
        return log_failed(file, "read", error);
    head_digest(head, digest);
    if (got != (ssize_t)sizeof(head) || memcmp(head, FILE_MAGIC, FILE_MAGIC_BYTES) != 0 ||
        memcmp(head + FILE_AT_DIGEST, digest, sizeof(digest)) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "%s is no block log, or its head is damaged: blocks that only it holds are "
                       "lost; restore the node from a backup",
                       file->name);
    memcpy(file->id, head + FILE_AT_ID, sizeof(file->id));
    file->laid_out = (uint64_t)info.st_size;
    return 0;
}

void engine_log_mark(const struct engine_log *log, uint8_t out[ENGINE_LOG_MARK_BYTES])
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    struct crypto_hasher hasher;

    crypto_hasher_init(&hasher);
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        crypto_hasher_update(&hasher, log->files[i].id, ENGINE_LOG_ID_BYTES);
    crypto_hasher_final(&hasher, digest);
    memcpy(out, digest, ENGINE_LOG_MARK_BYTES);
}

static int log_check_mark(const struct engine_log *log, const char *path, const uint8_t *expected,
                          struct hm_error *error)
{
    uint8_t mark[ENGINE_LOG_MARK_BYTES];

    engine_log_mark(log, mark);
    if (expected == NULL || memcmp(mark, expected, sizeof(mark)) == 0)
        return 0;
    return hm_fail(error, HM_ECORRUPT,
                   "the block log %s.0 and .1 is not the one that this ledger was kept with, and "
                   "the node was not stopped cleanly: the last blocks that were answered are only "
                   "in that one; put its files back, or restore the node from a backup",
                   path);
}

int engine_log_open(const char *path, size_t step_bytes, size_t limit_bytes,
                    const uint8_t *expected, struct engine_log **out, struct hm_error *error)
{
    struct engine_log *log = hm_calloc(1, sizeof(*log));
    int rc = 0;

    if (log == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the block log");
    log->step_bytes = step_bytes;
    log->limit_bytes = limit_bytes;
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        log->files[i].fd = -1;
    for (unsigned i = 0; rc == 0 && i < ENGINE_LOG_FILES; i++) {
        log->files[i].name = hm_asprintf("%s.%u", path, i);
        if (log->files[i].name == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for the block log");
        else if (strlen(log->files[i].name) >= LOG_PATH_BYTES)
            rc = hm_fail(error, HM_ELIMIT, "the path of the block log is too long");
        else
            rc = file_open(&log->files[i], step_bytes, expected != NULL, error);
    }
    if (rc == 0)
        rc = log_check_mark(log, path, expected, error);
    if (rc != 0) {
        engine_log_close(log);
        return rc;
    }
    *out = log;
    return 0;
}

void engine_log_close(struct engine_log *log)
{
    if (log == NULL)
        return;
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++) {
        hm_fd_release(&log->files[i].fd);
        hm_free(log->files[i].name);
    }
    hm_buf_release(&log->record);
    hm_free(log);
}

/* --- appending ------------------------------------------------------------------------------------------ */

size_t engine_log_used(const struct engine_log *log)
{
    return (size_t)log->files[log->current].end - ENGINE_LOG_PAGE_BYTES;
}

void engine_log_turn(struct engine_log *log)
{
    log->current = !log->current;
    log->files[log->current].end = ENGINE_LOG_PAGE_BYTES;
}

void engine_log_restart(struct engine_log *log)
{
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        log->files[i].end = ENGINE_LOG_PAGE_BYTES;
    log->current = 0;
}

int engine_log_append(struct engine_log *log, const struct engine_log_block *block,
                      struct hm_error *error)
{
    struct engine_log_file *file = &log->files[log->current];
    int rc = engine_log_pack(file->id, block, &log->record);

    if (rc != 0)
        return hm_fail(error, rc, "block %llu does not fit the block log, or memory",
                       (unsigned long long)block->proposal.height);
    uint64_t end = file->end + log->record.len;
    if (end > file->laid_out) {
        uint64_t longer = file->laid_out + log->step_bytes;

        rc = file_lay_out(file, longer > end ? longer : end, error);
        if (rc != 0)
            return rc;
    }
    if (pwrite_all(file->fd, log->record.data, log->record.len, file->end) != 0 ||
        fdatasync(file->fd) != 0)
        return log_failed(file, "written", error);
    file->end = end;
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------- */

struct reading {
    struct engine_log *log;
    struct hm_slice bytes[ENGINE_LOG_FILES]; /* the whole files, mapped */
    struct hm_slice *items;
    uint64_t first[ENGINE_LOG_FILES]; /* heights of each file's blocks; 0: it has none */
    uint64_t last[ENGINE_LOG_FILES];
    uint64_t end[ENGINE_LOG_FILES]; /* where they end */
};

static void reading_release(struct reading *reading)
{
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++)
        if (reading->bytes[i].data != NULL)
            munmap((void *)(uintptr_t)reading->bytes[i].data, reading->bytes[i].len);
    hm_free(reading->items);
}

static int reading_map(struct reading *reading, struct engine_log *log, struct hm_error *error)
{
    reading->log = log;
    reading->items = hm_calloc(LEDGER_BLOCK_MAX_ITEMS, sizeof(*reading->items));
    if (reading->items == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read the block log");
    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++) {
        const struct engine_log_file *file = &log->files[i];
        void *bytes = mmap(NULL, (size_t)file->laid_out, PROT_READ, MAP_PRIVATE, file->fd, 0);

        if (bytes == MAP_FAILED)
            return log_failed(file, "read", error);
        reading->bytes[i] = hm_slice_of(bytes, (size_t)file->laid_out);
    }
    return 0;
}

/* The record at `at`; false: none, or torn. */
static bool record_at(const struct reading *reading, unsigned file, uint64_t at,
                      struct engine_log_block *block, size_t *record_bytes)
{
    struct hm_slice bytes = reading->bytes[file];

    if (at >= bytes.len)
        return false;
    return engine_log_unpack(reading->log->files[file].id,
                             hm_slice_of(bytes.data + at, bytes.len - (size_t)at), block,
                             reading->items, record_bytes) == 0;
}

/* A file's blocks are those that follow each other from its start: behind them lie older ones, of an earlier round,
 * or one that was being written. */
static void file_walk(struct reading *reading, unsigned file)
{
    struct engine_log_block block;
    size_t record_bytes = 0;
    uint64_t at = ENGINE_LOG_PAGE_BYTES;

    while (record_at(reading, file, at, &block, &record_bytes) &&
           (reading->first[file] == 0 || block.proposal.height == reading->last[file] + 1)) {
        if (reading->first[file] == 0)
            reading->first[file] = block.proposal.height;
        reading->last[file] = block.proposal.height;
        at += record_bytes;
    }
    reading->end[file] = at;
}

/* A block is written only when the one before it is durable. So a sound one behind the end, newer than all in front
 * of it, shows that a block which counted is damaged. */
static int file_check_rest(const struct reading *reading, unsigned file, uint64_t newest,
                           struct hm_error *error)
{
    struct hm_slice bytes = reading->bytes[file];
    struct engine_log_block block;
    size_t record_bytes;

    for (uint64_t at = reading->end[file]; at + RECORD_AT_HEIGHT + 8 <= bytes.len;
         at += ENGINE_LOG_PAGE_BYTES)
        if (hm_get_be64(bytes.data + at + RECORD_AT_HEIGHT) > newest &&
            record_at(reading, file, at, &block, &record_bytes))
            return hm_fail(
                error, HM_ECORRUPT,
                "the block log %s is damaged: block %llu is there and the one before it is "
                "not; restore the node from a backup",
                reading->log->files[file].name, (unsigned long long)block.proposal.height);
    return 0;
}

static int file_visit(const struct reading *reading, unsigned file, uint64_t *next,
                      int (*visit)(void *ctx, const struct engine_log_block *block,
                                   struct hm_error *error),
                      void *ctx, struct hm_error *error)
{
    struct engine_log_block block;
    size_t record_bytes = 0;
    int rc = 0;

    for (uint64_t at = ENGINE_LOG_PAGE_BYTES; rc == 0 && at < reading->end[file];
         at += record_bytes) {
        if (!record_at(reading, file, at, &block, &record_bytes))
            return hm_fail(error, HM_EIO, "the block log %s changes while it is read",
                           reading->log->files[file].name);
        if (block.proposal.height < *next)
            continue;
        if (block.proposal.height > *next)
            return hm_fail(
                error, HM_ECORRUPT,
                "the block log %s goes on with block %llu, but the ledger ends at block %llu: the "
                "two do not belong together, or a file of the log is damaged; restore the node "
                "from a backup",
                reading->log->files[file].name, (unsigned long long)block.proposal.height,
                (unsigned long long)*next - 1);
        rc = visit(ctx, &block, error);
        *next += rc == 0;
    }
    return rc;
}

static int reading_run(struct reading *reading, uint64_t after,
                       int (*visit)(void *ctx, const struct engine_log_block *block,
                                    struct hm_error *error),
                       void *ctx, struct hm_error *error)
{
    uint64_t next = after + 1;
    uint64_t newest = after;
    int rc = 0;

    for (unsigned i = 0; i < ENGINE_LOG_FILES; i++) {
        file_walk(reading, i);
        if (reading->last[i] > newest)
            newest = reading->last[i];
    }
    for (unsigned i = 0; rc == 0 && i < ENGINE_LOG_FILES; i++)
        rc = file_check_rest(reading, i, newest, error);
    unsigned older = reading->last[1] < reading->last[0] ? 1 : 0;
    if (rc == 0)
        rc = file_visit(reading, older, &next, visit, ctx, error);
    return rc != 0 ? rc : file_visit(reading, !older, &next, visit, ctx, error);
}

int engine_log_read(struct engine_log *log, uint64_t after,
                    int (*visit)(void *ctx, const struct engine_log_block *block,
                                 struct hm_error *error),
                    void *ctx, struct hm_error *error)
{
    struct reading reading = {0};
    int rc = reading_map(&reading, log, error);

    if (rc == 0)
        rc = reading_run(&reading, after, visit, ctx, error);
    reading_release(&reading);
    return rc;
}
