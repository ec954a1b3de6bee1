/* Whole small files and paths: read, replace atomically, create privately. */
#ifndef HM_BASE_FILE_H
#define HM_BASE_FILE_H

#include <sys/types.h>

#include "base_bytes.h"

/* Appends the file's content to out. HM_ENOTFOUND, HM_ELIMIT past limit bytes, HM_EIO. Works on
 * /proc and /sys files, whose size is not known before reading. */
int hm_file_read(const char *path, size_t limit, struct hm_buf *out, struct hm_error *error);
/* Writes path.tmp beside it, fsync, rename, fsync of the folder: whole or not at all. One writer per
 * path at a time: two would share path.tmp. mode is set as given, whatever the umask. */
int hm_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct hm_error *error);
/* mkdir -p; existing folders are fine, anything else in the way is HM_EEXIST. */
int hm_mkdir_all(const char *path, mode_t mode, struct hm_error *error);
/* Removes a tree without following links, staying on one file system (HM_EBUSY where another is
 * mounted in it); missing is fine. Folders that their owner locked are opened up, any depth works. */
int hm_remove_tree(const char *path, struct hm_error *error);
/* Whole write to a descriptor, EINTR and short writes handled. */
int hm_write_all(int fd, const void *data, size_t len, struct hm_error *error);

#endif
