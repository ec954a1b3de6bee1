/* Walks folders depth first, the entries of each in the order of their bytes, by handles of folders: nobody who moves things meanwhile leads
 * the walk elsewhere, and symbolic links are entries like others. Any names, any depth. One thread; who is told may
 * keep a folder's handle for as long as something in it is not finished.
 *
 * Memory: the names of the folders on the way down. Open files: PACKETFS_SCAN_FOLDERS_OPEN at most, and those of who is told. */
#ifndef HM_PACKETFS_SCAN_H
#define HM_PACKETFS_SCAN_H

#include <sys/stat.h>

#include "tree/packetfs_tree.h"

#define PACKETFS_SCAN_FOLDERS_OPEN 256
#define PACKETFS_SCAN_DEPTH_MAX    (PACKETFS_FOLDER_DEPTH_MAX - 1)

struct packetfs_scan_folder {
    int fd;
    _Atomic unsigned refs;
    _Atomic unsigned *open_count;
    dev_t device;
    ino_t inode;
    char *path; /* within the snapshot, "" at its top; no '/' at either end */
    char *place; /* in the file system, absolute */
};
void packetfs_scan_folder_hold(struct packetfs_scan_folder *folder);
void packetfs_scan_folder_drop(struct packetfs_scan_folder *folder); /* any thread */

struct packetfs_scan_options {
    const char *const *paths;
    size_t path_count;
    const char *const *
        excludes; /* with '/': of whole paths within the snapshot, '*' stops at '/'; else of names */
    size_t exclude_count;
    bool contents_of, one_file_system;
    dev_t skip_device; /* a folder that is left out: the volume itself */
    ino_t skip_inode;
};

/* Non-zero answers end the walk and are returned. */
struct packetfs_scan_visitor {
    void *ctx;
    /* A folder, open; then its entries; then leave. */
    int (*enter)(void *ctx, struct packetfs_scan_folder *folder, const char *name,
                 const struct stat *st, struct hm_error *error);
    int (*leave)(void *ctx, struct hm_error *error);
    /* Anything else. */
    int (*entry)(void *ctx, struct packetfs_scan_folder *folder, const char *name,
                 const struct stat *st, struct hm_error *error);
    /* Something could not be read and is left out. */
    int (*fault)(void *ctx, const char *sentence, struct hm_error *error);
    /* Finishes what is pending, so that no folder is held. */
    int (*drain)(void *ctx, struct hm_error *error);
};

/* HM_ENOTFOUND, HM_EPERM: one of the paths itself; HM_ECONFLICT: two have one last name. The top folder of the
 * snapshot is neither entered nor left. */
int packetfs_scan(const struct packetfs_scan_options *options,
                  const struct packetfs_scan_visitor *visitor, struct hm_error *error);

#endif
