/* A pipe's two halves: its holder's (stoq_pipe.c) and its worker's (stoq_pipe_worker.c). */
#ifndef STOQ_PIPE_H
#define STOQ_PIPE_H

#include "stoq_link.h"

#define STOQ_PIPE_OPENING      1 /* of stoq_pipe.opened */
#define STOQ_PIPE_SLAB_MIN     512 /* small writes share a slab of this size */
#define STOQ_PIPE_CREDIT_BYTES 131072 /* the peer is told of what was read when it is this much */

/* Bytes written and on their way: kept until the peer has acknowledged them. */
struct stoq_slab {
    struct stoq_slab *after;
    struct stoq_pipe *pipe;
    size_t len, capacity;
    uint8_t bytes[];
};
static inline size_t stoq_slab_cost(const struct stoq_slab *slab)
{
    return sizeof(*slab) + slab->capacity;
}
void stoq_slab_free_list(struct stoq_slab *slab);

/* Acts for the worker; arg is the pipe, whose reference they give back. */
void stoq_pipe_unopen_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_pipe_open_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_pipe_credit_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_pipe_pump_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_pipe_fetch_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_pipe_release_act(void *pipe, struct stoq_endpoint *endpoint, uint64_t now_ns);

#endif
