/* verify --remote, apart from the replay. */
#ifndef HM_NEXUS_VERIFY_H
#define HM_NEXUS_VERIFY_H

#include "nexus_call.h"

int nexus_verify_remote(struct nexus_call *call); /* as nexus_verb.run */

/* "HOST:PORT", "http://HOST:PORT" or a socket's path, as a place. HM_EINVAL, HM_ELIMIT. */
int nexus_verify_place(struct nexus_call *call, const char *address, struct nexus_place *out);

#endif
