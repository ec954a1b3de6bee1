/* Whether the data file is as long as it has to be. Private to this room. */
#ifndef HM_STORE_LMDB_CHECK_H
#define HM_STORE_LMDB_CHECK_H

#include <lmdb.h>
#include <stdbool.h>

#include "base.h"

/* A file that lost its end would end the process with SIGBUS at the first touch of a lost page. But a
 * file may also be shorter than its page count and whole: pages that were taken and freed in one
 * transaction are never written. Told apart by the list of free pages, and then made long enough, so
 * that a reader, who cannot do that, may take a short file for damaged. HM_ECORRUPT, HM_EIO. */
int store_lmdb_check_length(MDB_env *env, bool read_only, const char *path, struct hm_error *error);
/* Makes the file as long as its page count, before a clean close. Best effort. */
void store_lmdb_pad(MDB_env *env);

#endif
