/* What a backup of a node holds (docs/formats-backup.md). */
#ifndef HM_NODE_BACKUP_H
#define HM_NODE_BACKUP_H

#include "node_private.h"

#define NODE_BACKUP_LEDGER "ledger/data.mdb"
#define NODE_BACKUP_JOBS   "jobs.store/data.mdb"
#define NODE_BACKUP_KEYS   "keys/" /* + file */
/* Of a cluster's node; never what its validator has signed, which is old the moment it is copied. */
#define NODE_BACKUP_GENESIS   "engine/config/genesis.json"
#define NODE_BACKUP_VALIDATOR "validator/" ENGINE_VALIDATOR_KEY_NAME
#define NODE_BACKUP_NODE_KEY  "validator/" ENGINE_NODE_KEY_NAME
/* In the engine's folder of a restored node: it has no blocks, and none can be made for the ledger that is there. */
#define NODE_BACKUP_RESTORED "engine/restored"

#define NODE_BACKUP_PASSPHRASE_MAX_BYTES 1024

/* struct api_backend's. */
int node_backup_create(void *node, const char *path, struct hm_slice passphrase,
                       struct hm_arena *arena, struct api_backup *out, struct hm_error *error);

/* HM_ECONFLICT: the folder is a restored one of a cluster's node, whose engine has no beginning yet. */
int node_restore_started(const char *data_dir, struct hm_error *error);

#endif
