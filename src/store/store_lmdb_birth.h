/* The first moment of a store on disk. Private to this room. */
#ifndef HM_STORE_LMDB_BIRTH_H
#define HM_STORE_LMDB_BIRTH_H

#include <stdbool.h>

#include "base.h"

/* Puts an empty data.mdb into the folder path, unless it has one. LMDB writes the first pages of a new file
 * in place, so a power cut there would leave a file it refuses for ever; here it is made under another name,
 * synced, and renamed into place. The caller holds the folder's lock. */
int store_lmdb_birth(const char *path, bool scratch, struct hm_error *error);

#endif
