/* A passphrase from the user: out of a file, or typed at a terminal that does not show it. */
#ifndef HM_NEXUS_SECRET_H
#define HM_NEXUS_SECRET_H

#include "nexus_call.h"

#define NEXUS_SECRET_MAX_BYTES 1024

/* From the file of option --passphrase-file when it was given (a line end at its end is not part of it), else
 * asked for; `twice`: typed again to be sure. HM_EINVAL when there is neither file nor terminal, or it is
 * empty, or the two differ. */
int nexus_secret_read(struct nexus_call *call, bool twice, struct hm_buf *out);
/* Wipes and frees: HM_CLEANUP(nexus_secret) struct hm_buf secret = {0}; */
void nexus_secret_release(struct hm_buf *secret);

/* clang-format off */
#define NEXUS_SECRET_OPTION                                                      \
    {.name = "passphrase-file", .value = "FILE",                                 \
     .help = "read the passphrase from here; default: ask for it", .words = "@file"}
/* clang-format on */

#endif
