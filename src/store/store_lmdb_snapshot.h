/* A copy of a whole LMDB environment, as a stream. Private to this room. */
#ifndef HM_STORE_LMDB_SNAPSHOT_H
#define HM_STORE_LMDB_SNAPSHOT_H

#include <lmdb.h>

#include "base.h"

/* See store_snapshot. */
int store_lmdb_snapshot(MDB_env *env, const char *path,
                        int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                        void *ctx, struct hm_error *error);

#endif
