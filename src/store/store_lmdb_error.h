/* What LMDB's return values mean: our code, and the sentence for a person. Private to this room. */
#ifndef HM_STORE_LMDB_ERROR_H
#define HM_STORE_LMDB_ERROR_H

#include "base.h"

int store_lmdb_code(int rc); /* MDB_* or errno -> HM_E* */
/* The sentence for what went wrong while doing `what` in the store at path. rc is not 0. */
int store_lmdb_fail(struct hm_error *error, int rc, const char *what, const char *path);

#endif
