/* Going on after a failure without a person: a cluster's node whose ledger has come to another state than the others', or is
 * damaged, or whose disk was full. */
#ifndef HM_NODE_ANEW_H
#define HM_NODE_ANEW_H

#include "node_private.h"

#define NODE_ANEW_NAME \
    "begin-anew" /* DATA/begin-anew: what is in the way is set aside at the next start */
#define NODE_ANEW_KEPT    "wrong-" /* DATA/wrong-HEIGHT: where to */
#define NODE_ANEW_DAMAGED "damaged" /* DATA/wrong-damaged: what could not be read has no height */

/* More than two thirds of the power have decided a block that does not follow from this node's state at `height` (why). Writes down
 * in DATA that it begins anew, or that it does not, and gives the sentence for people. It does once, and only where the others can
 * give it the whole chain, and not where it is this node's genesis that differs. */
void node_anew_mark(const char *data_dir, uint64_t height, const char *why,
                    char sentence[HM_ERROR_TEXT_BYTES]);
/* The same where the ledger or the block log cannot be read (why); CometBFT's blocks stay where they begin with the first. */
void node_anew_mark_damaged(const char *data_dir, const char *why,
                            char sentence[HM_ERROR_TEXT_BYTES]);
/* Does what was written down: ledger, block log, snapshots and CometBFT's data move to DATA/wrong-HEIGHT (or -damaged); keys and
 * the record of what was signed stay. Whoever calls holds the ledger's lock, or has been told HM_ECORRUPT under it, and opens it
 * again. *moved: something was written down. HM_EIO; what was cut off is finished by the next call. */
int node_anew_do(const char *data_dir, bool *moved, struct hm_error *error);

#endif
