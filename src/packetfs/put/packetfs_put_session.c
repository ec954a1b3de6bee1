#include "put/packetfs_put_session.h"

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
void packetfs_put_session_free(struct packetfs_put_session *session)
{
    if (session == NULL)
        return;
    struct packetfs_put *put = &session->put;

    packetfs_put_tree_free(put);
    packetfs_pool_free(put->pool);
    packetfs_put_parts_free(put);
    packetfs_cache_close(put->cache);
    packetfs_names_free(put->names);
    packetfs_writer_close(session->writer);
    packetfs_report_release(&put->report);
    (void)pthread_mutex_destroy(&put->lock);
    hm_free(session);
}

static int session_open(struct packetfs_put_session *session, struct packetfs_volume *volume,
                        unsigned threads, const struct packetfs_watch *watch,
                        struct hm_error *error)
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

int packetfs_put_session_new(struct packetfs_volume *volume, const char *label, const char *path,
                             unsigned threads, const struct packetfs_watch *watch,
                             struct packetfs_put_session **out, struct hm_error *error)
{
    struct packetfs_put_session *session = hm_calloc(1, sizeof(*session));

    if (session == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to put files");
    origin_fill(&session->snapshot);
    int result = label_fill(&session->snapshot, label, path, error);
    if (result != 0) {
        hm_free(session);
        return result;
    }
    result = session_open(session, volume, threads, watch, error);
    if (result != 0) {
        packetfs_put_session_free(session);
        return result;
    }
    *out = session;
    return 0;
}

int packetfs_put_session_finish(struct packetfs_put_session *session, struct hm_error *error)
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

void packetfs_put_session_result(struct packetfs_put_session *session,
                                 struct packetfs_put_result *out)
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
