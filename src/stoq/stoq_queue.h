/* The two queues of a stream. Pure data: no clock, no QUIC. */
#ifndef STOQ_QUEUE_H
#define STOQ_QUEUE_H

#include "stoq_internal.h"

/* --- What is to be sent, until it is acknowledged -----------------------------------------------------------------
 * A list of pieces, each the caller's (released by callback) or a copy of ours. Offsets count from the first byte
 * ever queued. [acked, sent) is on its way: its bytes stay where they are. [sent, end) waits. */
struct stoq_sendq {
    struct stoq_piece *first, *last, *next; /* next: the piece that holds offset `sent`, or NULL */
    uint64_t acked, sent,
        end; /* acked: everything below is; ngtcp2 reports acknowledgements in order */
    size_t limit; /* bytes between acked and end that are taken */
    bool fin; /* nothing may follow `end` */
    bool dropped; /* pieces were released without having been acknowledged */
};
void stoq_sendq_init(struct stoq_sendq *queue, size_t limit);
void stoq_sendq_release(struct stoq_sendq *queue); /* releases every piece */
size_t stoq_sendq_room(const struct stoq_sendq *queue);
/* Copies up to the room; returns bytes taken or STOQ_ENOMEM when none could be. Small writes share a piece. */
int64_t stoq_sendq_copy(struct stoq_sendq *queue, const void *data, size_t len);
/* Holds the caller's bytes. STOQ_EBUSY, STOQ_ENOMEM. len 0: release is called before it returns. */
int stoq_sendq_hold(struct stoq_sendq *queue, const void *data, size_t len,
                    void (*release)(void *cookie), void *cookie);
/* The unsent bytes, at most count vectors; returns how many were filled. */
size_t stoq_sendq_peek(const struct stoq_sendq *queue, struct stoq_bytes *vectors, size_t count);
void stoq_sendq_sent(struct stoq_sendq *queue,
                     size_t bytes); /* they went into a packet: keep, move on */
void stoq_sendq_acked(struct stoq_sendq *queue,
                      uint64_t below); /* everything below is acknowledged; releases pieces */
/* 0-RTT was refused: everything is unsent again (nothing was acknowledged). */
void stoq_sendq_rewind(struct stoq_sendq *queue);
void stoq_sendq_drop(struct stoq_sendq *queue); /* reset: releases everything, end = sent */

/* --- What was received and not taken yet: bounded by the credit the peer was given --------------------------------- */
struct stoq_recvq {
    struct stoq_chunk *first, *last;
    size_t bytes;
};
void stoq_recvq_init(struct stoq_recvq *queue);
void stoq_recvq_release(struct stoq_recvq *queue);
int stoq_recvq_push(struct stoq_recvq *queue, const uint8_t *data,
                    size_t len); /* copies; STOQ_ENOMEM: nothing taken */
size_t stoq_recvq_read(struct stoq_recvq *queue, void *out, size_t len);

#endif
