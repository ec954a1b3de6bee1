#include "runtime_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WHITEOUT_PREFIX     ".wh."
#define WHITEOUT_PREFIX_LEN 4
#define WHITEOUT_OPAQUE     ".wh..wh..opq"

struct layer_sink {
    int root;
    struct runtime_owner owner;
    bool staging; /* transport archive: no whiteouts, links resolved */
    int file; /* being written, or -1 */
    uint64_t written;
    struct runtime_entry now;
};

/* Makes room for a new entry that is not a folder; whatever lies there must not be a folder. */
static int sink_clear(int dir, const char *leaf, struct hm_error *error)
{
    if (unlinkat(dir, leaf, 0) == 0 || errno == ENOENT)
        return 0;
    return hm_fail_errno(error, HM_EPARSE, "\"%s\" comes twice in the archive, once as a folder",
                         leaf);
}

static int sink_dir(struct layer_sink *sink, const struct runtime_entry *entry,
                    struct hm_error *error)
{
    HM_AUTOCLOSE int dir = -1;
    int rc = runtime_tree_open(sink->root, entry->path, &sink->owner, &dir, error);

    if (rc != 0)
        return rc;
    if (sink->owner.set &&
        fchown(dir, sink->owner.base + entry->uid, sink->owner.base + entry->gid) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of \"%s\"", entry->path);
    /* The unpacker itself must be able to go on inside. */
    if (fchmod(dir, entry->mode | (geteuid() == 0 ? 0 : 0700)) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the mode of \"%s\"", entry->path);
    return 0;
}

static int sink_file(struct layer_sink *sink, int dir, const char *leaf,
                     const struct runtime_entry *entry, struct hm_error *error)
{
    sink->file = openat(dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (sink->file < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make \"%s\"", entry->path);
    sink->now = *entry;
    sink->now.path = sink->now.link = ""; /* borrowed by the walk only until the next entry */
    return 0;
}

static int sink_hardlink(struct layer_sink *sink, int dir, const char *leaf, const char *target,
                         struct hm_error *error)
{
    HM_AUTOCLOSE int from = -1;
    const char *from_leaf;
    struct stat info;
    int rc = runtime_tree_open_parent(sink->root, target, NULL, &from, &from_leaf, error);

    if (rc != 0)
        return rc;
    if (fstatat(from, from_leaf, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
        return hm_fail(error, HM_EPARSE, "the link \"%s\" names no file that comes before it",
                       leaf);
    rc = sink_clear(dir, leaf, error);
    if (rc != 0)
        return rc;
    if (linkat(from, from_leaf, dir, leaf, 0) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot link \"%s\"", leaf);
    return 0;
}

static int sink_symlink(struct layer_sink *sink, int dir, const char *leaf,
                        const struct runtime_entry *entry, struct hm_error *error)
{
    char target[RUNTIME_PATH_MAX_BYTES];
    int rc;

    if (sink->staging) {
        rc = runtime_path_resolve(entry->path, entry->link, target, error);
        return rc != 0 ? rc : sink_hardlink(sink, dir, leaf, target, error);
    }
    rc = sink_clear(dir, leaf, error);
    if (rc != 0)
        return rc;
    if (symlinkat(entry->link, dir, leaf) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make the link \"%s\"", entry->path);
    return runtime_tree_chown(dir, leaf, &sink->owner, entry->uid, entry->gid, error);
}

static int sink_whiteout(struct layer_sink *sink, int dir, const char *leaf, struct hm_error *error)
{
    const char *hidden = leaf + WHITEOUT_PREFIX_LEN;
    int rc;

    if (strcmp(leaf, WHITEOUT_OPAQUE) == 0) {
        const char *name = sink->owner.set || geteuid() == 0 ? "trusted.overlay.opaque"
                                                             : "user.overlay.opaque";

        if (fsetxattr(dir, name, "y", 1, 0) != 0)
            return hm_fail_errno(error, HM_EIO, "cannot mark a folder as opaque");
        return 0;
    }
    if (hidden[0] == 0 || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0 ||
        strncmp(hidden, WHITEOUT_PREFIX, WHITEOUT_PREFIX_LEN) == 0)
        return hm_fail(error, HM_EPARSE, "\"%s\" is not a whiteout this version knows", leaf);
    rc = sink_clear(dir, hidden, error);
    if (rc != 0)
        return rc;
    if (mknodat(dir, hidden, S_IFCHR, 0) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a whiteout for \"%s\"", hidden);
    return 0;
}

static int sink_entry(void *ctx, const struct runtime_entry *entry, struct hm_error *error)
{
    struct layer_sink *sink = ctx;
    HM_AUTOCLOSE int dir = -1;
    const char *leaf;
    int rc;

    if (entry->type == RUNTIME_ENTRY_DIR)
        return sink_dir(sink, entry, error);
    rc = runtime_tree_open_parent(sink->root, entry->path, &sink->owner, &dir, &leaf, error);
    if (rc != 0)
        return rc;
    if (!sink->staging && strncmp(leaf, WHITEOUT_PREFIX, WHITEOUT_PREFIX_LEN) == 0) {
        if (entry->type != RUNTIME_ENTRY_FILE || entry->size != 0)
            return hm_fail(error, HM_EPARSE, "\"%s\" is a whiteout with content", entry->path);
        return sink_whiteout(sink, dir, leaf, error);
    }
    if (entry->type == RUNTIME_ENTRY_SYMLINK)
        return sink_symlink(sink, dir, leaf, entry, error);
    if (entry->type == RUNTIME_ENTRY_HARDLINK)
        return sink_hardlink(sink, dir, leaf, entry->link, error);
    rc = sink_clear(dir, leaf, error);
    return rc != 0 ? rc : sink_file(sink, dir, leaf, entry, error);
}

static int sink_data(void *ctx, const void *data, size_t len, uint64_t offset,
                     struct hm_error *error)
{
    struct layer_sink *sink = ctx;
    const uint8_t *at = data;

    while (len > 0 && sink->file >= 0) {
        ssize_t done = pwrite(sink->file, at, len, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return hm_fail_errno(error, HM_EIO, "cannot write an unpacked file");
        at += done;
        offset += (uint64_t)done;
        len -= (size_t)done;
    }
    return 0;
}

static int sink_end(void *ctx, struct hm_error *error)
{
    struct layer_sink *sink = ctx;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = sink->now.mtime_s}};
    HM_AUTOCLOSE int file = HM_TAKE_FD(sink->file);

    if (file < 0) /* a whiteout */
        return 0;
    if (ftruncate(file, (off_t)sink->now.size) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot set the size of an unpacked file");
    if (sink->owner.set &&
        fchown(file, sink->owner.base + sink->now.uid, sink->owner.base + sink->now.gid) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of an unpacked file");
    /* As an ordinary user the copy for a job must be able to read it. */
    if (fchmod(file, sink->now.mode | (geteuid() == 0 ? 0 : 0400)) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the mode of an unpacked file");
    (void)futimens(file, times);
    return 0;
}

static int sink_walk(struct layer_sink *sink, const struct runtime_archive_source *source,
                     struct runtime_archive_budget *budget, uint8_t *sha256, struct hm_error *error)
{
    const struct runtime_archive_visitor visitor = {
        .entry = sink_entry, .data = sink_data, .end = sink_end, .ctx = sink};
    int rc;

    sink->owner.folders = &budget->files;
    rc = runtime_archive_walk(source, &visitor, budget, sha256, error);
    hm_fd_release(&sink->file);
    return rc;
}

int runtime_layer_unpack(const struct runtime_archive_source *source, int root,
                         const struct runtime_owner *owner, struct runtime_archive_budget *budget,
                         uint8_t sha256[CRYPTO_SHA256_BYTES], struct hm_error *error)
{
    struct layer_sink sink = {.root = root, .owner = *owner, .file = -1};

    if (owner->set && fchown(root, owner->base, owner->base) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the owner of a layer's folder");
    if (fchmod(root, 0755) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot change the mode of a layer's folder");
    return sink_walk(&sink, source, budget, sha256, error);
}

int runtime_stage_unpack(const struct runtime_archive_source *source, int root,
                         struct runtime_archive_budget *budget, struct hm_error *error)
{
    struct layer_sink sink = {.root = root, .staging = true, .file = -1};

    return sink_walk(&sink, source, budget, NULL, error);
}
