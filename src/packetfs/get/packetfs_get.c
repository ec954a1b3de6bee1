#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "get/packetfs_look.h"
#include "get/packetfs_restore.h"

static int target_open(const char *target, struct hm_error *error)
{
    if (target == NULL || target[0] == '\0')
        return hm_fail(error, HM_EINVAL, "where to? The target folder is missing");
    int result = hm_mkdir_all(target, 0777, error);
    if (result != 0)
        return result;
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : hm_fail_errno(error, HM_EIO, "cannot enter %s", target);
}

static int outcome(const struct packetfs_restore *restore, struct hm_error *error)
{
    uint64_t failed = atomic_load(&restore->failed);

    if (failed == 0)
        return 0;
    int code = atomic_load(&restore->failed_corrupt) > 0        ? HM_ECORRUPT
               : atomic_load(&restore->failed_exists) == failed ? HM_EEXIST
                                                                : HM_EIO;
    return hm_fail(error, code, "%llu could not be restored as they were: %s",
                   (unsigned long long)failed,
                   code == HM_ECORRUPT ? "the volume is damaged (run check)"
                   : code == HM_EEXIST ? "something else is in their place"
                                       : "each was named");
}

/* entries_max 0: it is our own. */
static int get(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
               const struct packetfs_get_options *options, uint64_t entries_max,
               const struct packetfs_watch *watch, struct packetfs_get_result *result_out,
               struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct packetfs_entry entry = {.type = 0};
    struct hm_slice path = packetfs_path_trim(options->path);
    int result = 0;

    struct packetfs_restore *restore = hm_calloc(1, sizeof(*restore));
    if (restore == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to restore files");
    restore->objects = packetfs_store_objects(volume->store);
    restore->store = volume->store;
    restore->keys = &volume->keys;
    restore->overwrite = options->overwrite;
    restore->no_sparse = options->no_sparse;
    restore->rules.owners = options->keep_owner;
    restore->rules.root = geteuid() == 0;
    restore->rules.strange = entries_max != 0;
    restore->entries_max = entries_max;
    packetfs_report_init(&restore->report, watch, "restore");
    (void)pthread_mutex_init(&restore->lock, NULL);
    if (path.len > 0)
        result = packetfs_tree_find(&restore->objects, &snapshot->root, path, &entry, &keep, error);
    else {
        atomic_store(&restore->report.files_total, snapshot->files);
        atomic_store(&restore->report.bytes_total, snapshot->bytes);
    }
    if (result == 0)
        result = packetfs_pool_new(options->threads, &restore->pool, error);
    int target = result == 0 ? target_open(options->target, error) : -1;
    if (result == 0 && target < 0)
        result = target;
    if (result == 0)
        result = packetfs_restore_run(restore, path.len > 0 ? NULL : &snapshot->root,
                                      path.len > 0 ? &entry : NULL, target, error);
    if (target >= 0)
        (void)close(target);
    packetfs_pool_free(restore->pool);
    packetfs_report_end(&restore->report);
    if (result == 0) {
        *result_out = (struct packetfs_get_result){
            .files = atomic_load(&restore->files),
            .folders = atomic_load(&restore->folders),
            .bytes = atomic_load(&restore->bytes),
            .files_same = atomic_load(&restore->same),
            .files_failed = atomic_load(&restore->failed),
        };
        result = outcome(restore, error);
    }
    packetfs_report_release(&restore->report);
    (void)pthread_mutex_destroy(&restore->lock);
    hm_free(restore);
    return result;
}

int packetfs_get(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                 const struct packetfs_get_options *options, const struct packetfs_watch *watch,
                 struct packetfs_get_result *result, struct packetfs_error *error)
{
    return get(volume, snapshot, options, 0, watch, result, packetfs_error_own(error));
}

int packetfs_get_strange(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                         const struct packetfs_get_options *options, uint64_t entries_max,
                         const struct packetfs_watch *watch, struct packetfs_get_result *result,
                         struct packetfs_error *error)
{
    return get(volume, snapshot, options, entries_max, watch, result, packetfs_error_own(error));
}

/* --- one file to a descriptor -------------------------------------------------------------------------------------------------- */
static int hole_pass(int fd, uint64_t len, struct hm_error *error)
{
    static const uint8_t zeros[65536];
    int result = 0;

    while (result == 0 && len > 0) {
        size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);
        result = hm_write_all(fd, zeros, n, error);
        len -= n;
    }
    return result;
}

static int pieces_pass(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, int fd,
                       struct packetfs_report *report, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct packetfs_list_cursor *cursor = NULL;
    struct packetfs_piece piece;
    int result = packetfs_list_open(objects, content, &cursor, error);

    while (result == 0 && (result = packetfs_list_next(cursor, &piece, error)) == 0) {
        if (piece.hole) {
            result = hole_pass(fd, piece.len, error);
        } else {
            hm_buf_clear(&buf);
            result = objects->get(objects->ctx, PACKETFS_PATTERN, &piece.id, &buf, error);
            if (result == 0 && buf.len != piece.len)
                result = hm_fail(error, HM_ECORRUPT,
                                 "the piece at byte %llu is not as long as the list says",
                                 (unsigned long long)piece.offset);
            if (result == HM_ENOTFOUND)
                result = hm_fail(error, HM_ECORRUPT, "the piece at byte %llu is missing",
                                 (unsigned long long)piece.offset);
            if (result == 0)
                result = hm_write_all(fd, buf.data, buf.len, error);
        }
        atomic_fetch_add(&report->bytes_done, piece.len);
        if (result == 0 && !packetfs_report_tick(report))
            result = hm_fail(error, HM_ECANCELLED, "stopped on request");
    }
    packetfs_list_close(cursor);
    return result == HM_ENOTFOUND ? 0 : result;
}

int packetfs_get_stream(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                        const char *path, int fd, const struct packetfs_watch *watch,
                        struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    struct packetfs_objects objects = packetfs_store_objects(volume->store);
    HM_CLEANUP(hm_buf) struct hm_buf keep = {0};
    struct packetfs_entry entry;
    struct packetfs_report report;
    int result = packetfs_look_find_file(&objects, &snapshot->root, path, &entry, &keep, error);

    if (result != 0)
        return result;
    packetfs_report_init(&report, watch, "restore");
    atomic_store(&report.files_total, 1);
    atomic_store(&report.bytes_total, entry.content.bytes);
    result = pieces_pass(&objects, &entry.content, fd, &report, error);
    if (result == 0)
        packetfs_report_end(&report);
    packetfs_report_release(&report);
    return result;
}
