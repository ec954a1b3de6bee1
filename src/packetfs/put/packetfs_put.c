#include "put/packetfs_put_session.h"

#include <stdatomic.h>

/* --- put --------------------------------------------------------------------------------------------------------------------- */
static int scan_all(struct packetfs_put_session *session,
                    const struct packetfs_put_options *options, struct hm_error *error)
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
    if (options->no_cache || packetfs_cache_open(put->keys, &put->cache, &why) != 0)
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
    struct packetfs_put_session *session = NULL;
    int result = packetfs_put_session_new(volume, options->label, options->paths[0],
                                          options->threads, watch, &session, error);
    if (result == 0)
        result = scan_all(session, options, error);
    unsigned long long failed = result == 0 ? atomic_load(&session->put.failed) : 0;
    if (options->whole && failed > 0)
        result = hm_fail(error, HM_EIO, "%llu could not be read, so nothing was put", failed);
    if (result == 0)
        result = packetfs_put_session_finish(session, error);
    if (result == 0) {
        packetfs_put_session_result(session, result_out);
        if (result_out->files_failed > 0)
            result = hm_fail(error, HM_EIO,
                             "%llu could not be read and are not in the snapshot, which was made",
                             (unsigned long long)result_out->files_failed);
    }
    packetfs_put_session_free(session);
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
    struct packetfs_put_session *session = NULL;
    int result = packetfs_put_session_new(volume, label, name, 0, watch, &session, error);
    if (result != 0)
        return result;
    struct packetfs_put *put = &session->put;
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
        result = packetfs_put_session_finish(session, error);
    if (result == 0)
        packetfs_put_session_result(session, result_out);
    packetfs_put_session_free(session);
    return result;
}
