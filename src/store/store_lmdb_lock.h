/* Who may open a store's folder: one process that writes, or any number that only read. Private. */
#ifndef HM_STORE_LMDB_LOCK_H
#define HM_STORE_LMDB_LOCK_H

#include <stdbool.h>

#include "base.h"

/* Creates the folder (0700) unless read_only, and takes the lock on its file LOCK: exclusive to
 * write, shared to read. The lock lasts until *fd is closed and dies with the process.
 * HM_EBUSY when another has it, HM_ENOTFOUND when there is nothing to read. */
int store_lmdb_lock(const char *path, bool read_only, int *fd, struct hm_error *error);
/* Makes the folder's entries, and its own entry in its parent, survive a power cut. */
int store_lmdb_sync_folder(const char *path, struct hm_error *error);

#endif
