/* What stoq_host needs of the core besides include/stoq.h. */
#ifndef STOQ_ENDPOINT_H
#define STOQ_ENDPOINT_H

#include "stoq_internal.h"

/* Every client connection goes on from `local` at once; those that cannot (handshake not confirmed) are left. */
void stoq_endpoint_migrate(struct stoq_endpoint *endpoint, const struct sockaddr_in6 *local,
                           uint64_t now_ns);
/* qlog of every connection made later; the text goes to write, and to handlers.qlog when there is one. */
void stoq_endpoint_qlog_to(struct stoq_endpoint *endpoint,
                           void (*write)(void *ctx, struct stoq_conn *conn, struct stoq_bytes text,
                                         bool last),
                           void *ctx);
/* acked is called once for a stream when the peer has acknowledged all the bytes that we sent on it and their end; in the
 * endpoint's thread, from within a step: it may take a lock and signal, and call nothing of stoq.h. */
void stoq_endpoint_fins_to(struct stoq_endpoint *endpoint,
                           void (*acked)(struct stoq_stream *stream));
/* The destination connection id of the client's first Initial packet, the same on both sides; returns its length. */
size_t stoq_conn_trace_id(const struct stoq_conn *conn, uint8_t out[20]);

#endif
