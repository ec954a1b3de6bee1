/* What passes through nexus may be a secret: a join ticket, a passphrase, a token. No copy of it is left behind in memory that was
 * given back. */
#ifndef HM_NEXUS_WIPE_H
#define HM_NEXUS_WIPE_H

#include "base.h"

/* The answers and requests that hold a secret are shorter: with so much room from the beginning their buffer does not grow, which
 * could leave a copy. */
#define NEXUS_WIPE_ROOM_BYTES ((size_t)16 << 10)

/* free, for libraries that were told to use it: what it was. */
void nexus_wipe_free(void *ptr);
void nexus_wipe_release(struct hm_buf *buf); /* HM_CLEANUP(nexus_wipe); leaves it empty */

#endif
