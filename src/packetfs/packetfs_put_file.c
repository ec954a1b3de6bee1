/* Reading and cutting one file. Bytes are read, not mapped: a file that shrinks under a mapping kills its reader. */
#include "packetfs_put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

struct reader {
    struct packetfs_put *put;
    struct packetfs_guess *guess; /* NULL: none */
    struct packetfs_list_builder *list; /* from the second piece on */
    struct packetfs_id first;
    uint64_t first_len;
    bool first_hole;
    size_t pieces;
    uint64_t bytes;
    struct packetfs_put_part *ring[PACKETFS_PUT_PARTS];
    size_t ring_first, ring_count;
};

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

/* --- parts ---------------------------------------------------------------------------------------------------------------- */
static void part_free(struct packetfs_put_part *part)
{
    if (part == NULL)
        return;
    hm_free(part->data);
    hm_free(part->lens);
    hm_free(part->ids);
    hm_free(part->known);
    hm_free(part);
}

static struct packetfs_put_part *part_new(struct packetfs_put *put)
{
    struct packetfs_put_part *part = hm_calloc(1, sizeof(*part));
    size_t max = packetfs_cutter_max(put->cutter);
    size_t cuts = (PACKETFS_PUT_READ + max) / 256 + 2; /* no chunk but the last is shorter */

    if (part == NULL)
        return NULL;
    part->put = put;
    part->data = hm_malloc(PACKETFS_PUT_READ + max);
    part->lens = hm_malloc(cuts * sizeof(*part->lens));
    part->ids = hm_malloc(cuts * sizeof(*part->ids));
    part->known = hm_malloc(cuts * sizeof(*part->known));
    if (part->data != NULL && part->lens != NULL && part->ids != NULL && part->known != NULL)
        return part;
    part_free(part);
    return NULL;
}

static struct packetfs_put_part *part_take(struct packetfs_put *put)
{
    (void)pthread_mutex_lock(&put->lock);
    struct packetfs_put_part *part = put->parts;
    if (part != NULL)
        put->parts = part->next;
    (void)pthread_mutex_unlock(&put->lock);
    if (part == NULL)
        part = part_new(put);
    if (part != NULL) {
        part->count = 0;
        part->result = 0;
        atomic_store_explicit(&part->done, false, memory_order_relaxed);
    }
    return part;
}

static void part_give(struct packetfs_put *put, struct packetfs_put_part *part)
{
    if (part == NULL)
        return;
    (void)pthread_mutex_lock(&put->lock);
    part->next = put->parts;
    put->parts = part;
    (void)pthread_mutex_unlock(&put->lock);
}

void packetfs_put_parts_free(struct packetfs_put *put)
{
    while (put->parts != NULL) {
        struct packetfs_put_part *part = put->parts;
        put->parts = part->next;
        part_free(part);
    }
}

static void part_store(struct packetfs_put_part *part)
{
    struct packetfs_put *put = part->put;
    const uint8_t *at = part->data;

    for (size_t i = 0; i < part->count && part->result == 0; i++) {
        if (!part->known[i])
            part->result = put->objects.put(put->objects.ctx, PACKETFS_PATTERN,
                                            hm_slice_of(at, part->lens[i]), &part->ids[i],
                                            &part->error);
        at += part->lens[i];
    }
    if (part->result != 0)
        packetfs_put_fatal(put, part->result, &part->error);
    atomic_fetch_add_explicit(&put->report.bytes_done, (uint64_t)(at - part->data),
                              memory_order_relaxed);
}

static void part_run(struct packetfs_job *job, unsigned worker)
{
    struct packetfs_put_part *part = (struct packetfs_put_part *)(void *)job;

    (void)worker;
    part_store(part);
    atomic_store_explicit(&part->done, true, memory_order_release);
}

/* --- pieces in order ------------------------------------------------------------------------------------------------------ */
static int piece_add(struct reader *reader, const struct packetfs_id *id, uint64_t len,
                     struct hm_error *error)
{
    struct packetfs_put *put = reader->put;
    int result = 0;

    reader->bytes += len;
    if (reader->pieces++ == 0) {
        reader->first_hole = id == NULL;
        reader->first_len = len;
        if (id != NULL)
            reader->first = *id;
        return 0;
    }
    if (reader->list == NULL) {
        result = packetfs_list_new(&put->objects, put->node_key, &reader->list, error);
        if (result == 0)
            result = packetfs_list_add(reader->list, reader->first_hole ? NULL : &reader->first,
                                       reader->first_len, error);
    }
    return result == 0 ? packetfs_list_add(reader->list, id, len, error) : result;
}

static int part_collect(struct reader *reader, struct packetfs_put_part *part,
                        struct hm_error *error)
{
    int result = part->result;

    if (result != 0 && error != NULL)
        *error = part->error;
    for (size_t i = 0; result == 0 && i < part->count; i++)
        result = piece_add(reader, &part->ids[i], part->lens[i], error);
    part_give(reader->put, part);
    return result;
}

/* Until at most that many parts are with other threads. */
static int ring_collect(struct reader *reader, size_t most, struct hm_error *error)
{
    int result = 0;

    while (reader->ring_count > 0) {
        struct packetfs_put_part *part = reader->ring[reader->ring_first];
        if (!atomic_load_explicit(&part->done, memory_order_acquire)) {
            if (reader->ring_count <= most)
                break;
            packetfs_pool_wait(reader->put->pool, true, &part->done);
        }
        reader->ring_first = (reader->ring_first + 1) % PACKETFS_PUT_PARTS;
        reader->ring_count--;
        int one = part_collect(reader, part, result == 0 ? error : NULL);
        if (result == 0)
            result = one;
    }
    return result;
}

static int reader_finish(struct reader *reader, struct packetfs_content *out,
                         struct hm_error *error)
{
    int result = ring_collect(reader, 0, error);

    if (result != 0)
        return result;
    if (reader->list != NULL)
        return packetfs_list_finish(reader->list, out, error);
    if (reader->pieces == 0) {
        *out = (struct packetfs_content){.kind = PACKETFS_CONTENT_EMPTY};
        return 0;
    }
    if (!reader->first_hole) {
        *out = (struct packetfs_content){
            .kind = PACKETFS_CONTENT_PATTERN, .id = reader->first, .bytes = reader->first_len};
        return 0;
    }
    result = packetfs_list_new(&reader->put->objects, reader->put->node_key, &reader->list, error);
    if (result == 0)
        result = packetfs_list_add(reader->list, NULL, reader->first_len, error);
    return result == 0 ? packetfs_list_finish(reader->list, out, error) : result;
}

static void reader_release(struct reader *reader)
{
    (void)ring_collect(reader, 0, NULL);
    packetfs_list_free(reader->list);
    packetfs_guess_free(reader->guess);
    reader->list = NULL;
    reader->guess = NULL;
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

/* Where the old cuts still hold; the length of what they cut. */
static size_t part_guess(struct reader *reader, struct packetfs_put_part *part, size_t at,
                         size_t have, bool last)
{
    uint64_t began = packetfs_now_ns();
    size_t len;

    while (at < have && (len = packetfs_guess_take(reader->guess, part->data + at, have - at, last,
                                                   &part->ids[part->count])) > 0) {
        part->known[part->count] = true;
        part->lens[part->count++] = (uint32_t)len;
        at += len;
    }
    atomic_fetch_add_explicit(&reader->put->ns_hash, packetfs_now_ns() - began,
                              memory_order_relaxed);
    return at;
}

/* Cuts what is in the part; the length of what was cut. */
static size_t part_cut(struct reader *reader, struct packetfs_put_part *part, size_t have,
                       bool last)
{
    struct packetfs_put *put = reader->put;
    size_t max = packetfs_cutter_max(put->cutter), at = 0;
    uint64_t began = packetfs_now_ns(), guessed = 0;

    /* Without the most a chunk can have at hand the cutter would look in vain, and look again. */
    while (at < have && (last || have - at >= max)) {
        if (reader->guess != NULL) {
            uint64_t before = packetfs_now_ns();
            at = part_guess(reader, part, at, have, last);
            guessed += packetfs_now_ns() - before;
            if (at == have || (!last && have - at < max))
                break;
        }
        size_t len = packetfs_cutter_next(put->cutter, part->data + at, have - at, last);
        part->known[part->count] = reader->guess != NULL &&
                                   packetfs_guess_again(reader->guess, part->data + at, len,
                                                        &part->ids[part->count]);
        part->lens[part->count++] = (uint32_t)len;
        at += len;
    }
    atomic_fetch_add_explicit(&put->ns_chunk, packetfs_now_ns() - began - guessed,
                              memory_order_relaxed);
    return at;
}

/* Stores the part here or in another thread; *part is then one with the bytes that were not cut in front. */
static int part_pass(struct reader *reader, struct packetfs_put_part **part, size_t cut,
                     size_t have, struct hm_error *error)
{
    struct packetfs_put *put = reader->put;
    struct packetfs_put_part *full = *part;
    bool over = packetfs_pool_idle(put->pool);
    int result = 0;

    if (!over && reader->ring_count == 0) {
        part_store(full);
        result = full->result;
        if (result != 0 && error != NULL)
            *error = full->error;
        for (size_t i = 0; result == 0 && i < full->count; i++)
            result = piece_add(reader, &full->ids[i], full->lens[i], error);
        memmove(full->data, full->data + cut, have - cut);
        full->count = 0;
        return result;
    }
    if (reader->ring_count == PACKETFS_PUT_PARTS)
        result = ring_collect(reader, PACKETFS_PUT_PARTS - 1, error);
    struct packetfs_put_part *next = result == 0 ? part_take(put) : NULL;
    if (next == NULL)
        return result != 0 ? result : hm_fail(error, HM_ENOMEM, "no memory to read a file");
    memcpy(next->data, full->data + cut, have - cut);
    full->job.run = part_run;
    reader->ring[(reader->ring_first + reader->ring_count++) % PACKETFS_PUT_PARTS] = full;
    if (over)
        packetfs_pool_add_urgent(put->pool, &full->job);
    else
        part_run(&full->job, 0);
    *part = next;
    return ring_collect(reader, PACKETFS_PUT_PARTS, error);
}

/* 0, HM_EIO with *read_failed: reading (errno), or a failure of the store. */
static int source_cut(struct reader *reader, struct source *source, bool *read_failed,
                      struct hm_error *error)
{
    struct packetfs_put *put = reader->put;
    size_t room = PACKETFS_PUT_READ + packetfs_cutter_max(put->cutter), have = 0;
    struct packetfs_put_part *part = part_take(put);
    bool last = false;
    int result = part != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory to read a file");

    while (result == 0 && !last) {
        size_t want = room - have;
        if (!source->pipe && source->end - source->at < want)
            want = (size_t)(source->end - source->at);
        ssize_t got = source_read(put, source, part->data + have, want);
        if (got < 0) {
            *read_failed = true;
            result = HM_EIO;
            break;
        }
        have += (size_t)got;
        /* Fewer than asked for: the end came earlier than stat said, and the file is looked at again. */
        last = (size_t)got < want || (!source->pipe && source->at == source->end);
        size_t cut = part_cut(reader, part, have, last);
        result = part_pass(reader, &part, cut, have, error);
        have -= cut;
        if (result == 0 && (!packetfs_report_tick(&put->report) || atomic_load(&put->stop)))
            result = hm_fail(error, HM_ECANCELLED, "stopped on request");
    }
    part_give(put, part);
    return result;
}

/* The stretches with data, and the holes between. */
static int file_cut(struct reader *reader, int fd, const struct stat *st, bool *read_failed,
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
        if (begin > at) {
            result = ring_collect(reader, 0, error);
            if (result == 0)
                result = piece_add(reader, NULL, begin - at, error);
        }
        if (result == 0 && begin < end) {
            struct source source = {.fd = fd, .at = begin, .end = end};
            if (reader->guess != NULL)
                packetfs_guess_begin(reader->guess, begin);
            result = source_cut(reader, &source, read_failed, error);
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
    struct reader reader = {.put = put};
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
        reader.guess = packetfs_guess_new(&put->objects, put->keys, &node->before);
    int result = file_cut(&reader, fd, &node->st, &read_failed, error);
    if (read_failed)
        (void)hm_fail_errno(error, HM_EIO, "cannot read");
    if (result == 0)
        result = reader_finish(&reader, &node->content, error);
    uint64_t bytes = reader.bytes;
    reader_release(&reader);
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
    struct reader reader = {.put = put};
    struct source source = {.fd = fd, .pipe = true};
    bool read_failed = false;
    int result = source_cut(&reader, &source, &read_failed, error);

    if (read_failed)
        result = hm_fail_errno(error, HM_EIO, "cannot read what is to be put");
    if (result == 0)
        result = reader_finish(&reader, out, error);
    reader_release(&reader);
    return result;
}
