/* The parts of a running restore. The thread that called walks the snapshot and makes folders, links and special files
 * (packetfs_restore.c); jobs write files (packetfs_restore_file.c). Everything is made by handles of folders, under a name of its own first, and renamed:
 * nothing is written through a symbolic link, nothing half written has a real name. A folder gets its owner, mode and
 * times when all in it is done. */
#ifndef HM_PACKETFS_RESTORE_H
#define HM_PACKETFS_RESTORE_H

#include "packetfs_pool.h"
#include "packetfs_report.h"
#include "store/packetfs_volume.h"
#include "tree/packetfs_meta.h"

#define PACKETFS_RESTORE_FOLDERS_OPEN 256
#define PACKETFS_RESTORE_QUEUE        4096 /* files with jobs or waiting for one */
#define PACKETFS_RESTORE_JOB_FILES    64
#define PACKETFS_RESTORE_JOB_BYTES    ((uint64_t)4 << 20)
#define PACKETFS_RESTORE_PART_PIECES  64 /* of a large file, read in the order of the disk */
#define PACKETFS_RESTORE_PARTS        8
#define PACKETFS_TEMPORARY_BYTES      48

struct packetfs_restore;

struct packetfs_restore_folder {
    struct packetfs_restore *restore;
    int fd;
    _Atomic unsigned refs;
    dev_t device;
    ino_t inode;
    char *path; /* below the target, "" at the top; for sentences and links */
    bool described; /* entry says what it shall be */
    bool was_opened; /* it was there, and we took ourselves the right to write to it; before: */
    mode_t mode_before;
    struct packetfs_entry entry;
    struct hm_buf keep; /* what entry points to */
};

/* One file to be written. */
struct packetfs_restore_node {
    struct packetfs_restore_node *next;
    struct packetfs_restore_folder *folder;
    struct packetfs_entry entry;
    struct hm_buf keep;
    uint64_t position; /* of its first piece on the disk */
    _Atomic bool done;
    bool failed;
    _Atomic unsigned refs;
    char name[PACKETFS_NAME_MAX_BYTES + 1];
};

struct packetfs_restore_link {
    uint64_t number; /* 0: free */
    char *path; /* of its first name's folder */
    struct packetfs_restore_node *node;
    char name[PACKETFS_NAME_MAX_BYTES + 1];
};

struct packetfs_restore {
    struct packetfs_objects objects;
    struct packetfs_store *store; /* for positions; NULL: any order */
    const struct packetfs_keys *keys;
    struct packetfs_pool *pool;
    struct packetfs_report report;
    struct packetfs_meta_rules rules;
    bool overwrite, no_sparse;
    uint64_t entries_max; /* names of every kind; 0: as many as there are */

    /* of the calling thread */
    struct packetfs_restore_node *batch, *batch_last;
    size_t batch_count;
    uint64_t batch_bytes;
    uint64_t entries;
    struct packetfs_restore_link *links;
    size_t link_count, link_capacity;

    /* of all threads */
    _Atomic unsigned folders_open, pending;
    _Atomic uint64_t files, folders, bytes, same, failed, failed_exists, failed_corrupt;
    pthread_mutex_t lock; /* the following */
    int fatal;
    struct hm_error fatal_error;
    _Atomic bool stop;
};

/* --- packetfs_restore_file.c -------------------------------------------------------------------------------------------- */
void packetfs_restore_file(struct packetfs_restore *restore, struct packetfs_restore_node *node);

/* --- packetfs_restore_place.c: names and folders ------------------------------------------------------------------------- */
/* Tells and counts a failure of one entry; what ends everything (a full disk) ends it. */
void packetfs_restore_failed(struct packetfs_restore *restore,
                             const struct packetfs_restore_folder *folder, const char *name,
                             int code, const struct hm_error *error);
void packetfs_restore_folder_hold(struct packetfs_restore_folder *folder);
/* The last one finishes it. */
void packetfs_restore_folder_drop(struct packetfs_restore_folder *folder);
/* Takes fd. entry NULL: as it is. */
int packetfs_restore_folder_new(struct packetfs_restore *restore, int fd, const char *path,
                                const struct packetfs_entry *entry,
                                struct packetfs_restore_folder **out, struct hm_error *error);
/* The name under which NAME is made. */
void packetfs_restore_temporary(const struct packetfs_restore *restore, const char *name,
                                char out[PACKETFS_TEMPORARY_BYTES]);
/* Gives what was made its real name. HM_EEXIST: something is there, and nothing may be overwritten. */
int packetfs_restore_rename(const struct packetfs_restore *restore, int folder, const char *from,
                            const char *to, struct hm_error *error);
bool packetfs_restore_attributes_same(int folder, const char *name,
                                      const struct packetfs_entry *entry,
                                      const struct packetfs_meta_rules *rules);

/* --- packetfs_restore.c -------------------------------------------------------------------------------------------------- */
/* Everything in root, or the entry alone (root NULL), into the open folder target, which stays the caller's. */
int packetfs_restore_run(struct packetfs_restore *restore, const struct packetfs_id *root,
                         const struct packetfs_entry *entry, int target, struct hm_error *error);

/* --- packetfs_get.c -------------------------------------------------------------------------------------------------------- */
/* packetfs_get of what somebody else made. HM_ELIMIT: more than entries_max names. */
int packetfs_get_strange(struct packetfs_volume *volume, const struct packetfs_snapshot *snapshot,
                         const struct packetfs_get_options *options, uint64_t entries_max,
                         const struct packetfs_watch *watch, struct packetfs_get_result *result,
                         struct packetfs_error *error);

#endif
