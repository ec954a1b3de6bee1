/* The container's root file system: overlayfs over the unpacked layers, or a copy of them.
 *
 * As root it is mounted at /run/hypermesh/ID, which container root (an ordinary user of this machine)
 * can reach wherever the node keeps its data. As an ordinary user it is the folder DIR/rootfs. */
#ifndef HM_RUNTIME_ROOTFS_H
#define HM_RUNTIME_ROOTFS_H

#include "runtime.h"
#include "runtime_path.h"

struct runtime_rootfs_plan {
    const char *id;
    const char *dir; /* the job's folder */
    bool rootless, overlay, mapped;
    const char *const *layers; /* folders, lowest first */
    size_t layer_count;
};

/* Takes the job's id for this process: as root the mount point is made, HM_EEXIST when another job of
 * this id has it. Whoever fails here must not clean up. */
int runtime_rootfs_claim(const char *id, bool rootless, struct hm_error *error);
/* Writes the root's path. On failure runtime_rootfs_remove cleans up. */
int runtime_rootfs_make(const struct runtime_rootfs_plan *plan, char path[RUNTIME_PATH_MAX_BYTES],
                        struct hm_error *error);
/* Unmounts and removes; idempotent. */
int runtime_rootfs_remove(const char *id, const char *dir, struct hm_error *error);
/* The folder whose growth is the job's storage: DIR/upper, or DIR/rootfs. */
const char *runtime_rootfs_written(bool overlay);

#endif
