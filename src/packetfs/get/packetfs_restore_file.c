/* Writing one file: is it there already? Else its pieces, each checked against its id as it is read, its attributes, its name. */
#include "get/packetfs_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Pieces of a large file, for one thread. */
struct part {
    struct packetfs_job job;
    struct packetfs_restore *restore;
    int fd;
    struct packetfs_piece pieces[PACKETFS_RESTORE_PART_PIECES];
    uint64_t positions[PACKETFS_RESTORE_PART_PIECES];
    size_t count;
    int result;
    struct hm_error error;
    _Atomic bool done;
};

struct writer {
    struct packetfs_restore *restore;
    int fd;
    struct part *ring[PACKETFS_RESTORE_PARTS];
    size_t first, count;
};

/* --- pieces ---------------------------------------------------------------------------------------------------------------- */
static int write_error(struct hm_error *error)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EROFS;

    return hm_fail_errno(error, full ? HM_ELIMIT : HM_EIO, "cannot write%s",
                         full ? ": the disk is full" : "");
}

static int write_at(int fd, const uint8_t *data, size_t len, uint64_t at, struct hm_error *error)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_error(error);
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int piece_write(struct packetfs_restore *restore, int fd, const struct packetfs_piece *piece,
                       struct hm_buf *buf, struct hm_error *error)
{
    hm_buf_clear(buf);
    int result = restore->objects.get(restore->objects.ctx, PACKETFS_PATTERN, &piece->id, buf,
                                      error);
    if (result != 0)
        return hm_error_prefix(error, result, "bytes %llu to %llu cannot be read",
                               (unsigned long long)piece->offset,
                               (unsigned long long)(piece->offset + piece->len));
    if (buf->len != piece->len)
        return hm_fail(error, HM_ECORRUPT,
                       "the piece at byte %llu has %zu bytes where the list says %llu",
                       (unsigned long long)piece->offset, buf->len, (unsigned long long)piece->len);
    result = write_at(fd, buf->data, buf->len, piece->offset, error);
    if (result == 0)
        atomic_fetch_add_explicit(&restore->report.bytes_done, piece->len, memory_order_relaxed);
    return result;
}

static void part_order(struct part *part)
{
    /* Few and nearly in order: insertion is enough. */
    for (size_t i = 1; i < part->count; i++) {
        struct packetfs_piece piece = part->pieces[i];
        uint64_t position = part->positions[i];
        size_t at = i;
        for (; at > 0 && part->positions[at - 1] > position; at--) {
            part->pieces[at] = part->pieces[at - 1];
            part->positions[at] = part->positions[at - 1];
        }
        part->pieces[at] = piece;
        part->positions[at] = position;
    }
}

static void part_run(struct packetfs_job *job, unsigned worker)
{
    struct part *part = (struct part *)(void *)job;
    struct packetfs_restore *restore = part->restore;
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    (void)worker;
    for (size_t i = 0; i < part->count; i++)
        part->positions[i] = restore->store == NULL
                                 ? 0
                                 : packetfs_store_position(restore->store, PACKETFS_PATTERN,
                                                           &part->pieces[i].id);
    part_order(part);
    for (size_t i = 0; i < part->count && part->result == 0 && !atomic_load(&restore->stop); i++)
        part->result = piece_write(restore, part->fd, &part->pieces[i], &buf, &part->error);
    atomic_store_explicit(&part->done, true, memory_order_release);
}

static int ring_collect(struct writer *writer, size_t most, struct hm_error *error)
{
    int result = 0;

    while (writer->count > 0) {
        struct part *part = writer->ring[writer->first];
        if (!atomic_load_explicit(&part->done, memory_order_acquire)) {
            if (writer->count <= most)
                break;
            packetfs_pool_wait(writer->restore->pool, true, &part->done);
        }
        writer->first = (writer->first + 1) % PACKETFS_RESTORE_PARTS;
        writer->count--;
        if (result == 0 && part->result != 0) {
            result = part->result;
            if (error != NULL)
                *error = part->error;
        }
        hm_free(part);
    }
    return result;
}

static int part_pass(struct writer *writer, struct part **part, struct hm_error *error)
{
    int result = 0;

    if (writer->count == PACKETFS_RESTORE_PARTS)
        result = ring_collect(writer, PACKETFS_RESTORE_PARTS - 1, error);
    if (result != 0)
        return result;
    struct part *full = HM_TAKE(*part);
    full->job.run = part_run;
    writer->ring[(writer->first + writer->count++) % PACKETFS_RESTORE_PARTS] = full;
    if (packetfs_pool_idle(writer->restore->pool))
        packetfs_pool_add_urgent(writer->restore->pool, &full->job);
    else
        part_run(&full->job, 0);
    return ring_collect(writer, PACKETFS_RESTORE_PARTS, error);
}

static int zeros_write(int fd, uint64_t at, uint64_t len, struct hm_error *error)
{
    static const uint8_t zeros[65536];
    int result = 0;

    while (result == 0 && len > 0) {
        size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);
        result = write_at(fd, zeros, n, at, error);
        at += n;
        len -= n;
    }
    return result;
}

static int list_write(struct packetfs_restore *restore, int fd,
                      const struct packetfs_content *content, struct hm_error *error)
{
    struct writer writer = {.restore = restore, .fd = fd};
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    struct part *part = NULL;
    int result = packetfs_list_open(&restore->objects, content, &cursor, error);

    while (result == 0) {
        result = packetfs_list_next(cursor, &piece, error);
        if (result == HM_ENOTFOUND) {
            result = 0;
            break;
        }
        if (result == 0 && (!packetfs_report_tick(&restore->report) || atomic_load(&restore->stop)))
            result = hm_fail(error, HM_ECANCELLED, "stopped on request");
        if (result != 0)
            break;
        if (piece.hole) {
            if (restore->no_sparse)
                result = zeros_write(fd, piece.offset, piece.len, error);
            continue;
        }
        if (part == NULL) {
            part = hm_calloc(1, sizeof(*part));
            if (part == NULL) {
                result = hm_fail(error, HM_ENOMEM, "no memory to write a file");
                break;
            }
            part->restore = restore;
            part->fd = fd;
        }
        part->pieces[part->count++] = piece;
        if (part->count == PACKETFS_RESTORE_PART_PIECES)
            result = part_pass(&writer, &part, error);
    }
    if (result == 0 && part != NULL)
        result = part_pass(&writer, &part, error);
    hm_free(part);
    int rest = ring_collect(&writer, 0, result == 0 ? error : NULL);
    packetfs_list_close(cursor);
    return result != 0 ? result : rest;
}

static int content_write(struct packetfs_restore *restore, int fd,
                         const struct packetfs_content *content, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    int result = 0;

    if (content->kind == PACKETFS_CONTENT_PATTERN) {
        struct packetfs_piece piece = {.id = content->id, .len = content->bytes};
        return piece_write(restore, fd, &piece, &buf, error);
    }
    if (content->kind == PACKETFS_CONTENT_LIST) {
        result = list_write(restore, fd, content, error);
        /* A hole at the end has no bytes that would make the file as long as it is. */
        if (result == 0 && ftruncate(fd, (off_t)content->bytes) != 0)
            result = write_error(error);
    }
    return result;
}

/* --- is it there already? ---------------------------------------------------------------------------------------------------- */
static bool is_zero(const uint8_t *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

static bool bytes_same(struct packetfs_restore *restore, int fd, const struct packetfs_piece *piece,
                       struct hm_buf *buf)
{
    uint64_t left = piece->len, at = piece->offset;
    struct packetfs_id id;

    while (left > 0) {
        size_t want = left < PACKETFS_OBJECT_MAX_BYTES ? (size_t)left : PACKETFS_OBJECT_MAX_BYTES;
        hm_buf_clear(buf);
        if (hm_buf_reserve(buf, want) != 0 ||
            pread(fd, buf->data, want, (off_t)at) != (ssize_t)want)
            return false;
        if (piece->hole) {
            if (!is_zero(buf->data, want))
                return false;
        } else {
            if (want != piece->len)
                return false;
            packetfs_keys_object_id(restore->keys, PACKETFS_PATTERN, hm_slice_of(buf->data, want),
                                    &id);
            if (!packetfs_id_equal(&id, &piece->id))
                return false;
        }
        at += want;
        left -= want;
    }
    return true;
}

/* Reads what is there and compares ids: the volume's objects are not touched. */
static bool content_same(struct packetfs_restore *restore, int fd,
                         const struct packetfs_content *content)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != content->bytes)
        return false;
    if (content->kind == PACKETFS_CONTENT_EMPTY)
        return true;
    if (content->kind == PACKETFS_CONTENT_PATTERN) {
        piece = (struct packetfs_piece){.id = content->id, .len = content->bytes};
        return bytes_same(restore, fd, &piece, &buf);
    }
    int result = packetfs_list_open(&restore->objects, content, &cursor, NULL);
    bool same = result == 0;
    while (same && (result = packetfs_list_next(cursor, &piece, NULL)) == 0)
        same = packetfs_report_tick(&restore->report) && bytes_same(restore, fd, &piece, &buf);
    packetfs_list_close(cursor);
    return same && result == HM_ENOTFOUND;
}

/* true: it is there with these bytes, and its attributes are as they should be now. */
static bool file_is_there(struct packetfs_restore *restore, struct packetfs_restore_node *node)
{
    struct hm_error error;
    HM_AUTOCLOSE int fd = openat(node->folder->fd, node->name,
                                 O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || !content_same(restore, fd, &node->entry.content))
        return false;
    if (!packetfs_restore_attributes_same(node->folder->fd, node->name, &node->entry,
                                          &restore->rules)) {
        int result = packetfs_meta_apply_fd(fd, &node->entry, &restore->rules, &error);
        if (result != 0)
            packetfs_restore_failed(restore, node->folder, node->name, result, &error);
    }
    return true;
}

/* --- one file ---------------------------------------------------------------------------------------------------------------- */
static int file_open_new(int folder, const char *name)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* What a run that was cut off left behind, or what another run is writing: that one holds a lock. */
static int file_create(int folder, const char *name, struct hm_error *error)
{
    int fd = file_open_new(folder, name);

    if (fd < 0 && errno == EEXIST) {
        HM_AUTOCLOSE int old = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (old >= 0 && flock(old, LOCK_EX | LOCK_NB) != 0)
            return hm_fail(error, HM_EBUSY, "another get is writing it");
        if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
            fd = file_open_new(folder, name);
    }
    if (fd < 0)
        return write_error(error);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return hm_fail(error, HM_EBUSY, "another get is writing it");
    }
    return fd;
}

/* Under the temporary name there is still what we wrote. */
static bool is_ours(int folder, const char *name, int fd)
{
    struct stat named, held;

    return fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &held) == 0 &&
           named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

static int file_make(struct packetfs_restore *restore, struct packetfs_restore_node *node,
                     bool replaces, struct hm_error *error)
{
    char temporary[PACKETFS_TEMPORARY_BYTES];
    int folder = node->folder->fd;
    struct hm_error attributes;

    packetfs_restore_temporary(restore, node->name, temporary);
    HM_AUTOCLOSE int fd = file_create(folder, temporary, error);
    if (fd < 0)
        return fd;
    int result = content_write(restore, fd, &node->entry.content, error);
    int described = 0;
    if (result == 0) {
        described = packetfs_meta_apply_fd(fd, &node->entry, &restore->rules, &attributes);
        /* A power cut must not leave less than what was there before. */
        if (replaces && fdatasync(fd) != 0)
            result = write_error(error);
    }
    bool ours = is_ours(folder, temporary, fd);
    if (result == 0 && !ours)
        result = hm_fail(error, HM_EBUSY, "another get took its place");
    if (result == 0)
        result = packetfs_restore_rename(restore, folder, temporary, node->name, error);
    if (result != 0 && ours)
        (void)unlinkat(folder, temporary, 0);
    if (result != 0)
        return result;
    if (described != 0)
        packetfs_restore_failed(restore, node->folder, node->name, described, &attributes);
    return 0;
}

void packetfs_restore_file(struct packetfs_restore *restore, struct packetfs_restore_node *node)
{
    struct hm_error error = {.code = 0};
    struct stat st;
    int result = 0;
    bool there = false, exists = false;

    if (atomic_load(&restore->stop)) {
        node->failed = true;
        return;
    }
    exists = fstatat(node->folder->fd, node->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists) {
        there = S_ISREG(st.st_mode) && file_is_there(restore, node);
        if (!there && !restore->overwrite)
            result = hm_fail(&error, HM_EEXIST,
                             "is there and differs; overwrite, or choose another target");
    }
    if (result == 0 && !there)
        result = file_make(restore, node, exists, &error);
    if (result != 0) {
        node->failed = true;
        packetfs_restore_failed(restore, node->folder, node->name, result, &error);
        return;
    }
    atomic_fetch_add_explicit(there ? &restore->same : &restore->files, 1, memory_order_relaxed);
    if (there)
        atomic_fetch_add_explicit(&restore->report.bytes_done, node->entry.content.bytes,
                                  memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&restore->bytes, node->entry.content.bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&restore->report.files_done, 1, memory_order_relaxed);
}
