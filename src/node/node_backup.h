/* What a backup of a node holds (docs/formats-backup.md). */
#ifndef HM_NODE_BACKUP_H
#define HM_NODE_BACKUP_H

#include "node_private.h"

#define NODE_BACKUP_LEDGER "ledger/data.mdb"
#define NODE_BACKUP_JOBS   "jobs.store/data.mdb"
#define NODE_BACKUP_KEYS   "keys/" /* + file */

#define NODE_BACKUP_PASSPHRASE_MAX_BYTES 1024

/* struct api_backend's. */
int node_backup_create(void *node, const char *path, struct hm_slice passphrase,
                       struct hm_arena *arena, struct api_backup *out, struct hm_error *error);

#endif
