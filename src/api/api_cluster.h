/* The engine of a cluster, as GET /node and /metrics tell of it. */
#ifndef HM_API_CLUSTER_H
#define HM_API_CLUSTER_H

#include "api_core.h"

/* What a block says of the votes for the one before it. */
struct api_votes {
    uint32_t round; /* in which that was decided; 0: the first */
    unsigned absent, nil; /* validators without a vote; with one for no block */
};
/* All zero where no engine ordered the block, or it is not here. */
void api_votes_read(struct api_call *call, uint64_t height, struct api_votes *out);
/* Appends Prometheus lines; nothing where the chain is this node's alone. HM_ENOMEM. */
int api_cluster_metrics(struct api_call *call, struct hm_buf *out);

#endif
