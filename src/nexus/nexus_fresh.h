/* How old what was read is, where that is no idle chain's age. */
#ifndef HM_NEXUS_FRESH_H
#define HM_NEXUS_FRESH_H

#include "nexus_call.h"

#define NEXUS_FRESH_MS 10000 /* a younger block is told of nothing */

/* What keeps a cluster's node from newer blocks, from GET /node's answer; in the arena. NULL: nothing does, or it is no cluster's. */
const char *nexus_fresh_reason(const json_t *node, struct hm_arena *arena);
/* After a verb has succeeded: one line on standard error where its last answer was read from the ledger, the newest block is older
 * than NEXUS_FRESH_MS and something keeps the node from newer ones. */
void nexus_fresh_say(struct nexus_call *call);

#endif
