/* Which stream sends next, and how fast a connection may. Pure data. */
#ifndef STOQ_SCHED_H
#define STOQ_SCHED_H

#include "stoq_internal.h"

/* Streams with something to send, by class; within a class deficit round robin (Shreedhar and Varghese, 1995) with
 * weights. A node is embedded in its stream. */
#define STOQ_SCHED_QUANTUM_BYTES 256 /* of weight 1 */
struct stoq_sched_node {
    struct stoq_sched_node *before, *after; /* NULL when not queued */
    uint16_t weight;
    uint8_t priority;
    bool queued;
    int64_t deficit; /* bytes it may still send in its turn */
};
struct stoq_sched {
    struct stoq_sched_node
        *heads[STOQ_PRIORITY_CLASSES]; /* circular; the head is whose turn it is */
    uint32_t classes; /* bit n: heads[n] is not empty */
};
void stoq_sched_init(struct stoq_sched *sched);
void stoq_sched_node_init(struct stoq_sched_node *node, uint8_t priority, uint16_t weight);
void stoq_sched_add(struct stoq_sched *sched,
                    struct stoq_sched_node *node); /* at the end of its class; twice is once */
void stoq_sched_remove(struct stoq_sched *sched, struct stoq_sched_node *node);
void stoq_sched_set(struct stoq_sched *sched, struct stoq_sched_node *node, uint8_t priority,
                    uint16_t weight);
struct stoq_sched_node *stoq_sched_next(
    struct stoq_sched *sched); /* whose turn it is; NULL: nobody's */
void stoq_sched_spent(struct stoq_sched *sched, struct stoq_sched_node *node,
                      size_t bytes); /* may end its turn */

/* Token bucket in bits over nanoseconds, without rounding drift (remainders are kept). rate 0: no limit. */
struct stoq_bucket {
    uint64_t rate_bits; /* per second */
    uint64_t burst_bytes;
    int64_t bytes; /* may go below 0 by one train */
    uint64_t remainder; /* of bits * ns not yet worth a byte */
    uint64_t then_ns;
};
void stoq_bucket_init(struct stoq_bucket *bucket, uint64_t rate_bits, uint64_t burst_bytes,
                      uint64_t now_ns);
void stoq_bucket_set_rate(struct stoq_bucket *bucket, uint64_t rate_bits, uint64_t burst_bytes,
                          uint64_t now_ns);
/* Bytes that may be sent now; SIZE_MAX without a limit. */
size_t stoq_bucket_room(struct stoq_bucket *bucket, uint64_t now_ns);
void stoq_bucket_spend(struct stoq_bucket *bucket, size_t bytes);
uint64_t stoq_bucket_ready_ns(const struct stoq_bucket *bucket,
                              size_t bytes); /* when that many may go (<= burst) */

#endif
