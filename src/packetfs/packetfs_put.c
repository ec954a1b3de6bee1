#include "packetfs_put.h"

#include <errno.h>
#include <pwd.h>
#include <stdatomic.h>

/* --- who and where -------------------------------------------------------------------------------------------------------- */
static void text_copy(char *out, size_t room, const char *text)
{
    (void)snprintf(out, room, "%s", text);
    hm_text_clean(out);
}

static void origin_fill(struct packetfs_snapshot *snapshot)
{
    char host[PACKETFS_HOST_MAX_BYTES + 1] = "", lookup[4096];
    struct passwd record, *found = NULL;
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    snapshot->time_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    if (gethostname(host, sizeof(host) - 1) == 0)
        text_copy(snapshot->host, sizeof(snapshot->host), host);
    if (getpwuid_r(geteuid(), &record, lookup, sizeof(lookup), &found) == 0 && found != NULL)
        text_copy(snapshot->user, sizeof(snapshot->user), found->pw_name);
    else
        (void)snprintf(snapshot->user, sizeof(snapshot->user), "%u", (unsigned)geteuid());
}

static int label_fill(struct packetfs_snapshot *snapshot, const char *label, const char *path,
                      struct hm_error *error)
{
    if (label != NULL) {
        size_t len = strlen(label);
        if (len == 0 || len > PACKETFS_LABEL_MAX_BYTES || !hm_utf8_valid(label, len))
            return hm_fail(error, HM_EINVAL, "a label is 1 to %d bytes of UTF-8",
                           PACKETFS_LABEL_MAX_BYTES);
        text_copy(snapshot->label, sizeof(snapshot->label), label);
        return 0;
    }
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    HM_AUTOFREE char *trimmed = hm_strndup(path, len);
    if (trimmed == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a label");
    const char *last = strrchr(trimmed, '/');
    const char *name = last != NULL && last[1] != '\0' ? last + 1 : trimmed;
    HM_AUTOFREE char *real = name[0] == '.' ? realpath(path, NULL) : NULL;
    if (real != NULL && strrchr(real, '/') != NULL && strrchr(real, '/')[1] != '\0')
        name = strrchr(real, '/') + 1;
    text_copy(snapshot->label, sizeof(snapshot->label), name);
    return 0;
}

/* The newest of the same label. */
static int parent_find(struct packetfs_volume *volume, struct packetfs_snapshot *snapshot,
                       struct hm_error *error)
{
    struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int result = packetfs_snapshot_list(volume->store, &list, &count, error);

    for (size_t i = count; result == 0 && i-- > 0;) {
        if (strcmp(list[i].label, snapshot->label) == 0) {
            memcpy(snapshot->parent, list[i].id, sizeof(snapshot->parent));
            break;
        }
    }
    hm_free(list);
    return result;
}

/* --- a session -------------------------------------------------------------------------------------------------------------- */
struct session {
    struct packetfs_put put;
    struct packetfs_volume *volume;
    struct packetfs_writer *writer;
    struct packetfs_snapshot snapshot;
};

static void session_close(struct session *session)
{
    struct packetfs_put *put = &session->put;

    packetfs_put_tree_free(put);
    packetfs_pool_free(put->pool);
    packetfs_put_parts_free(put);
    packetfs_cache_close(put->cache);
    packetfs_names_free(put->names);
    packetfs_writer_close(session->writer);
    packetfs_report_release(&put->report);
    (void)pthread_mutex_destroy(&put->lock);
}

static int session_open(struct session *session, struct packetfs_volume *volume, unsigned threads,
                        const struct packetfs_watch *watch, struct hm_error *error)
{
    struct packetfs_put *put = &session->put;
    const struct hm_random *source = hm_random_system();
    int result = 0;

    session->volume = volume;
    packetfs_report_init(&put->report, watch, "store");
    (void)pthread_mutex_init(&put->lock, NULL);
    put->keys = &volume->keys;
    put->node_key = volume->keys.node;
    put->cutter = volume->cutter;
    if (volume->read_only)
        result = hm_fail(error, HM_EPERM, "the volume was opened for reading only");
    if (result == 0)
        result = packetfs_writer_open(volume->store, &session->writer, error);
    if (result == 0)
        put->objects = packetfs_writer_objects(session->writer);
    if (result == 0)
        result = parent_find(volume, &session->snapshot, error);
    if (result == 0)
        result = packetfs_names_new(&put->names, error);
    if (result == 0)
        result = packetfs_pool_new(threads, &put->pool, error);
    put->queue = result == 0 ? hm_calloc(PACKETFS_PUT_QUEUE, sizeof(struct packetfs_put_node *))
                             : NULL;
    if (result == 0 && put->queue == NULL)
        result = hm_fail(error, HM_ENOMEM, "no memory to put files");
    if (result == 0)
        (void)source->fill(source->ctx, &put->random, sizeof(put->random));
    return result;
}

/* Durable, and a snapshot. */
static int session_finish(struct session *session, struct hm_error *error)
{
    struct packetfs_put *put = &session->put;

    session->snapshot.root = put->root;
    session->snapshot.files = put->files;
    session->snapshot.folders = put->folders;
    session->snapshot.bytes = put->bytes;
    int result = packetfs_writer_flush(session->writer, error);
    if (result == 0)
        result = packetfs_snapshot_add(session->volume->store, &session->snapshot, error);
    if (result == 0 && put->cache != NULL)
        packetfs_cache_finish(put->cache);
    packetfs_report_end(&put->report);
    return result;
}

static void result_fill(struct session *session, struct packetfs_put_result *out)
{
    struct packetfs_put *put = &session->put;
    struct packetfs_writer_counts counts;

    packetfs_writer_counts(session->writer, &counts);
    *out = (struct packetfs_put_result){
        .snapshot = session->snapshot,
        .files_unchanged = put->unchanged,
        .files_failed = atomic_load(&put->failed),
        .bytes_read = atomic_load(&put->bytes_read),
        .bytes_new = counts.bytes_new[PACKETFS_PATTERN],
        .bytes_stored = counts.bytes_packs,
        .ns_read = atomic_load(&put->ns_read),
        .ns_chunk = atomic_load(&put->ns_chunk),
        .ns_hash = counts.ns_hash + atomic_load(&put->ns_hash),
        .ns_compress = counts.ns_compress,
        .ns_seal = counts.ns_seal,
        .ns_write = counts.ns_write,
        .ns_index = counts.ns_index,
    };
}

/* --- put --------------------------------------------------------------------------------------------------------------------- */
static int scan_all(struct session *session, const struct packetfs_put_options *options,
                    struct hm_error *error)
{
    struct packetfs_put *put = &session->put;
    struct packetfs_scan_visitor visitor = packetfs_put_visitor(put);
    struct packetfs_scan_options scan = {
        .paths = options->paths,
        .path_count = options->path_count,
        .excludes = options->excludes,
        .exclude_count = options->exclude_count,
        .contents_of = options->contents_of,
        .one_file_system = options->one_file_system,
    };
    struct stat own;

    /* A volume is not put into itself: it would grow while it is read. */
    if (stat(session->volume->dir, &own) == 0) {
        scan.skip_device = own.st_dev;
        scan.skip_inode = own.st_ino;
    }
    /* Without a cache everything is read: slower, and nothing else. */
    struct hm_error why;
    if (packetfs_cache_open(put->keys, &put->cache, &why) != 0)
        put->cache = NULL;
    put->read_all = options->read_all;
    int result = packetfs_put_top(put, error);
    if (result == 0)
        result = packetfs_scan(&scan, &visitor, error);
    if (result == 0)
        result = packetfs_put_top_finish(put, error);
    return result;
}

int packetfs_put(struct packetfs_volume *volume, const struct packetfs_put_options *options,
                 const struct packetfs_watch *watch, struct packetfs_put_result *result_out,
                 struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);

    if (options->path_count == 0)
        return hm_fail(error, HM_EINVAL, "there is nothing to put: name files or folders");
    struct session *session = hm_calloc(1, sizeof(*session));
    if (session == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to put files");
    origin_fill(&session->snapshot);
    int result = label_fill(&session->snapshot, options->label, options->paths[0], error);
    if (result != 0) {
        hm_free(session);
        return result;
    }
    result = session_open(session, volume, options->threads, watch, error);
    if (result == 0)
        result = scan_all(session, options, error);
    if (result == 0)
        result = session_finish(session, error);
    if (result == 0) {
        result_fill(session, result_out);
        if (result_out->files_failed > 0)
            result = hm_fail(error, HM_EIO,
                             "%llu could not be read and are not in the snapshot, which was made",
                             (unsigned long long)result_out->files_failed);
    }
    session_close(session);
    hm_free(session);
    return result;
}

int packetfs_put_stream(struct packetfs_volume *volume, int fd, const char *name, const char *label,
                        const struct packetfs_watch *watch, struct packetfs_put_result *result_out,
                        struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_entry entry = {.type = PACKETFS_FILE, .mode = 0600};
    size_t len = name != NULL ? strlen(name) : 0;

    if (len == 0 || len > PACKETFS_NAME_MAX_BYTES || strchr(name, '/') != NULL ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return hm_fail(error, HM_EINVAL, "a stream needs a file's name, without '/'");
    struct session *session = hm_calloc(1, sizeof(*session));
    if (session == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to put a stream");
    struct packetfs_put *put = &session->put;
    origin_fill(&session->snapshot);
    int result = label_fill(&session->snapshot, label, name, error);
    if (result != 0) {
        hm_free(session);
        return result;
    }
    result = session_open(session, volume, 0, watch, error);
    if (result == 0)
        result = packetfs_put_pipe(put, fd, &entry.content, error);
    if (result == 0)
        result = packetfs_put_top(put, error);
    if (result == 0) {
        entry.name = hm_slice_str(name);
        entry.uid = (uint32_t)geteuid();
        entry.gid = (uint32_t)getegid();
        entry.user = packetfs_names_user(put->names, entry.uid);
        entry.group = packetfs_names_group(put->names, entry.gid);
        entry.mtime_s = (int64_t)(session->snapshot.time_ns / 1000000000U);
        entry.mtime_ns = (uint32_t)(session->snapshot.time_ns % 1000000000U);
        result = packetfs_folder_add(put->levels[0].folder, &entry, error);
    }
    if (result == 0)
        result = packetfs_put_top_finish(put, error);
    put->files = 1;
    put->bytes = entry.content.bytes;
    if (result == 0)
        result = session_finish(session, error);
    if (result == 0)
        result_fill(session, result_out);
    session_close(session);
    hm_free(session);
    return result;
}
