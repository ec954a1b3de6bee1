/* Reading and cutting one file. Bytes are read, not mapped: a file that shrinks under a mapping kills its reader. */
#include "put/packetfs_put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

void packetfs_put_fatal(struct packetfs_put *put, int code, const struct hm_error *error)
{
    (void)pthread_mutex_lock(&put->lock);
    if (put->fatal == 0) {
        put->fatal = code;
        put->fatal_error = *error;
    }
    (void)pthread_mutex_unlock(&put->lock);
    atomic_store(&put->stop, true);
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */
/* Where bytes come from: a place in a file, or what a pipe gives next. */
struct source {
    int fd;
    bool pipe;
    uint64_t at, end; /* end is not known of a pipe */
};

/* Fills up to want bytes; fewer only at the end. -1: errno. */
static ssize_t source_read(struct packetfs_put *put, struct source *source, uint8_t *out,
                           size_t want)
{
    uint64_t began = packetfs_now_ns();
    size_t got = 0;

    while (got < want) {
        ssize_t n = source->pipe ? read(source->fd, out + got, want - got)
                                 : pread(source->fd, out + got, want - got, (off_t)source->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
        source->at += (uint64_t)n;
    }
    atomic_fetch_add_explicit(&put->ns_read, packetfs_now_ns() - began, memory_order_relaxed);
    atomic_fetch_add_explicit(&put->bytes_read, got, memory_order_relaxed);
    return (ssize_t)got;
}

/* 0, HM_EIO with *read_failed: reading (errno), or a failure of the store. */
static int source_cut(struct packetfs_put_cut *cut, struct source *source, bool *read_failed,
                      struct hm_error *error)
{
    struct packetfs_put *put = cut->put;
    bool last = false;
    int result = 0;

    while (result == 0 && !last) {
        uint8_t *at = NULL;
        size_t want = 0;
        result = packetfs_put_cut_room(cut, &at, &want, error);
        if (result != 0)
            break;
        if (!source->pipe && source->end - source->at < want)
            want = (size_t)(source->end - source->at);
        ssize_t got = source_read(put, source, at, want);
        if (got < 0) {
            *read_failed = true;
            return HM_EIO;
        }
        /* Fewer than asked for: the end came earlier than stat said, and the file is looked at again. */
        last = (size_t)got < want || (!source->pipe && source->at == source->end);
        result = packetfs_put_cut_filled(cut, (size_t)got, last, error);
        if (result == 0 && (!packetfs_report_tick(&put->report) || atomic_load(&put->stop)))
            result = hm_fail(error, HM_ECANCELLED, "stopped on request");
    }
    return result;
}

/* The stretches with data, and the holes between. */
static int file_cut(struct packetfs_put_cut *cut, int fd, const struct stat *st, bool *read_failed,
                    struct hm_error *error)
{
    uint64_t size = (uint64_t)st->st_size, at = 0;
    bool sparse = (uint64_t)st->st_blocks * 512 < size;
    int result = 0;

    if (size > PACKETFS_PUT_READ)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    while (result == 0 && at < size) {
        uint64_t begin = at, end = size;
        if (sparse) {
            off_t data = lseek(fd, (off_t)at, SEEK_DATA);
            if (data < 0 && errno == ENXIO)
                begin = size;
            else if (data < 0)
                sparse = false; /* the file system does not know: all is data */
            else
                begin = (uint64_t)data < size ? (uint64_t)data : size;
            off_t hole = sparse && begin < size ? lseek(fd, (off_t)begin, SEEK_HOLE) : -1;
            if (hole > 0 && (uint64_t)hole < size)
                end = (uint64_t)hole;
        }
        if (begin > at)
            result = packetfs_put_cut_hole(cut, begin - at, error);
        if (result == 0 && begin < end) {
            struct source source = {.fd = fd, .at = begin, .end = end};
            if (cut->guess != NULL)
                packetfs_guess_begin(cut->guess, begin);
            result = source_cut(cut, &source, read_failed, error);
            if (result == 0 && source.at < end)
                return 0; /* it shrank */
        }
        at = end;
    }
    return result;
}

/* --- one file ---------------------------------------------------------------------------------------------------------------- */
enum outcome { READ, AGAIN, FAILED, FATAL };

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static int file_open(const struct packetfs_put_node *node)
{
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = openat(node->folder->fd, node->name, flags | O_NOATIME);

    if (fd < 0 && errno == EPERM) /* another's file */
        fd = openat(node->folder->fd, node->name, flags);
    return fd;
}

static bool settled(const struct stat *st, const struct timespec *began)
{
    int64_t ns = (began->tv_sec - st->st_ctim.tv_sec) * 1000000000LL +
                 (began->tv_nsec - st->st_ctim.tv_nsec);

    return ns > PACKETFS_CACHE_SETTLED_NS;
}

static enum outcome file_try(struct packetfs_put *put, struct packetfs_put_node *node,
                             struct hm_error *error)
{
    struct packetfs_put_cut cut = {.put = put};
    struct timespec began;
    struct stat after;
    bool read_failed = false;

    (void)clock_gettime(CLOCK_REALTIME, &began);
    HM_AUTOCLOSE int fd = file_open(node);
    if (fd < 0 || fstat(fd, &node->st) != 0) {
        node->vanished = errno == ENOENT && node->st.st_nlink == 1;
        (void)hm_fail_errno(error, HM_EIO, "cannot open");
        return FAILED;
    }
    if (!S_ISREG(node->st.st_mode)) {
        (void)hm_fail(error, HM_EIO, "it became something else while it was read:");
        return FAILED;
    }
    if (packetfs_xattrs_read_fd(fd, &node->xattrs, error) != 0)
        return FAILED;
    /* One piece that changed is not worth hashing for nothing. */
    if (node->had_before && (node->before.kind == PACKETFS_CONTENT_LIST ||
                             node->before.bytes == (uint64_t)node->st.st_size))
        cut.guess = packetfs_guess_new(&put->objects, put->keys, &node->before);
    int result = file_cut(&cut, fd, &node->st, &read_failed, error);
    if (read_failed)
        (void)hm_fail_errno(error, HM_EIO, "cannot read");
    if (result == 0)
        result = packetfs_put_cut_finish(&cut, &node->content, error);
    uint64_t bytes = cut.bytes;
    packetfs_put_cut_release(&cut);
    if (result != 0)
        return read_failed ? FAILED : FATAL;
    if (fstat(fd, &after) != 0 || after.st_size != node->st.st_size ||
        bytes != (uint64_t)after.st_size || !same_time(&after.st_mtim, &node->st.st_mtim) ||
        !same_time(&after.st_ctim, &node->st.st_ctim))
        return AGAIN;
    node->cacheable = settled(&node->st, &began);
    return READ;
}

void packetfs_put_file(struct packetfs_put *put, struct packetfs_put_node *node)
{
    struct hm_error error = {.code = 0};
    enum outcome outcome = FATAL;

    for (unsigned i = 0; i < PACKETFS_PUT_ATTEMPTS && !atomic_load(&put->stop); i++) {
        outcome = file_try(put, node, &error);
        if (outcome != AGAIN)
            break;
    }
    if (outcome == AGAIN)
        (void)hm_fail(&error, HM_EIO, "it kept changing while it was read:");
    node->failed = outcome != READ;
    if ((outcome == FAILED && !node->vanished) || outcome == AGAIN) {
        atomic_fetch_add(&put->failed, 1);
        packetfs_report_finding(&put->report, "%s %s/%s; it is left out", error.text,
                                node->folder->place, node->name);
    } else if (outcome == FATAL && error.code != 0) {
        packetfs_put_fatal(put, error.code, &error);
    }
    packetfs_scan_folder_drop(node->folder);
    node->folder = NULL;
    atomic_fetch_add_explicit(&put->report.files_done, 1, memory_order_relaxed);
    atomic_store_explicit(&node->done, true, memory_order_release);
}

int packetfs_put_pipe(struct packetfs_put *put, int fd, struct packetfs_content *out,
                      struct hm_error *error)
{
    struct packetfs_put_cut cut = {.put = put};
    struct source source = {.fd = fd, .pipe = true};
    bool read_failed = false;
    int result = source_cut(&cut, &source, &read_failed, error);

    if (read_failed)
        result = hm_fail_errno(error, HM_EIO, "cannot read what is to be put");
    if (result == 0)
        result = packetfs_put_cut_finish(&cut, out, error);
    packetfs_put_cut_release(&cut);
    return result;
}
