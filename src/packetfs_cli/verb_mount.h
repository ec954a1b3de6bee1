/* The mount: snapshots of a volume as a read-only file system, read as they are looked at.
 *
 * With all snapshots: /LABEL/2026-11-21T11:33:47Z/…, /LABEL/latest and /latest. With one: its top folder is the root. */
#ifndef HM_PACKETFS_VERB_MOUNT_H
#define HM_PACKETFS_VERB_MOUNT_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base.h"
#include "packetfs.h"

#define MOUNT_NAME_MAX_BYTES 300 /* a label made fit, and its NUL */
#define MOUNT_LOOK_AGAIN_S   2 /* how old the list of snapshots may be */

/* --- which snapshot a path is in (verb_mount_place.c) --------------------------------------------------------------- */
struct mount_name {
    char label[MOUNT_NAME_MAX_BYTES]; /* as the folder is called */
    char time[64];
    struct packetfs_snapshot snapshot;
};

struct mount_names { /* ordered by label, then oldest first */
    struct mount_name *names;
    size_t count;
};

/* Names for snapshots, each different. Pure. PACKETFS_ENOMEM. */
int mount_names_make(const struct packetfs_snapshot *snapshots, size_t count,
                     struct mount_names *out);
void mount_names_release(struct mount_names *names);
size_t mount_names_label(const struct mount_names *names, const char *label,
                         size_t *count); /* first of the label, and how many */
const struct mount_name *mount_names_newest(const struct mount_names *names);

/* --- how many names a file has (verb_mount_links.c) -------------------------------------------------------------------- */
struct mount_links; /* by snapshot, found out when first asked: all of it is read then */
struct mount_links *mount_links_new(void); /* NULL: memory */
void mount_links_free(struct mount_links *links);
/* At least 1; 2 where it cannot be found out. */
uint32_t mount_links_count(struct mount_links *links, struct packetfs_volume *volume,
                           const struct packetfs_snapshot *snapshot, uint64_t hard_link);

/* --- the file system (verb_mount_fs.c) --------------------------------------------------------------------------------- */
struct mount_world {
    struct packetfs_volume *volume;
    bool one; /* only the snapshot `only` */
    struct packetfs_snapshot only;
    bool background; /* complaints go to the system's log */
    pthread_rwlock_t lock; /* over names */
    struct mount_names names;
    uint64_t looked_s; /* when names were made; monotonic */
    struct mount_links *links;
    pthread_mutex_t handles_lock;
    struct mount_handle *
        handles; /* files that are open: the kernel need not have said that they are not, when the mount ends */
    uid_t uid;
    gid_t gid;
};

/* 0, or a negative PACKETFS_E*. */
int mount_world_init(struct mount_world *world, struct packetfs_volume *volume,
                     const struct packetfs_snapshot *only, struct packetfs_error *error);
void mount_world_release(struct mount_world *world);
/* Makes the list of snapshots anew when it is old. */
void mount_world_refresh(struct mount_world *world, bool now);

enum mount_place_kind { MOUNT_ROOT, MOUNT_LABEL, MOUNT_LATEST, MOUNT_ENTRY };
struct mount_place {
    enum mount_place_kind kind;
    char label[MOUNT_NAME_MAX_BYTES]; /* of a label's folder, and of its link */
    char target[2 * MOUNT_NAME_MAX_BYTES]; /* of a link */
    struct packetfs_snapshot snapshot; /* of an entry; of a label the newest */
    const char *path; /* of an entry, within the snapshot: points into the path asked for */
};
/* false: there is no such thing above the snapshots. */
bool mount_place_find(struct mount_world *world, const char *path, struct mount_place *out);

/* Files that are still open; before the volume is closed, and when nothing serves any more. */
void mount_handles_close(struct mount_world *world);

struct fuse_operations;
const struct fuse_operations *mount_operations(void);

/* --- the whole (verb_mount_run.c) ------------------------------------------------------------------------------------------- */
struct mount_options {
    const char *dir; /* of the volume */
    struct packetfs_unlock unlock; /* opens it a second time, when the background is reached */
    const char *point; /* a folder that is there */
    const char *snapshot; /* as packetfs_find has it; NULL: all */
    bool foreground;
    bool allow_other; /* other users may look, within what modes and owners allow */
};
/* volume is taken over, also on failure. In the foreground it returns when the mount has ended; else the caller goes on in the background then, and
 * the process that was started has ended with status 0 when the mount was there. 0, or a negative PACKETFS_E*. */
int mount_run(const struct mount_options *options, struct packetfs_volume *volume,
              struct packetfs_error *error);

#endif
