/* The engine of a cluster, as GET /node and /metrics tell of it. */
#ifndef HM_API_CLUSTER_H
#define HM_API_CLUSTER_H

#include <pthread.h>

#include "base.h"

struct api_call;

/* What a block says of the votes for the one before it. */
struct api_votes {
    uint64_t height; /* of the block that says it; 0: nothing is known */
    uint32_t round; /* in which the other was decided; 0: the first */
    unsigned absent, nil; /* validators without a vote; with one for no block */
};

/* Of the last block that was asked for: reading one takes its results along. */
struct api_votes_kept {
    pthread_mutex_t lock;
    struct api_votes votes;
};
void api_votes_init(struct api_votes_kept *kept);
void api_votes_release(struct api_votes_kept *kept);
/* All zero where no engine ordered the block, or it is not here. Thread-safe. */
void api_votes_read(struct api_call *call, uint64_t height, struct api_votes *out);

/* Appends Prometheus lines; nothing where the chain is this node's alone. HM_ENOMEM. */
int api_cluster_metrics(struct api_call *call, struct hm_buf *out);

#endif
