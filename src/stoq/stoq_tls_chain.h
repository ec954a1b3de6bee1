/* A peer's certificates as bytes, and what a ticket carries beside TLS's own: enough to verify the peer anew whenever it
 * resumes, and to take early data once. */
#ifndef STOQ_TLS_CHAIN_H
#define STOQ_TLS_CHAIN_H

#include <openssl/x509.h>

#include "stoq_internal.h"
#include "stoq_tls_replay.h"

/* Zero-initialised is empty and valid. */
struct stoq_chain {
    uint8_t *data; /* all certificates, one after the other; hm_malloc'ed */
    struct stoq_bytes list[STOQ_CHAIN_CERTIFICATES_MAX]; /* into data, leaf first */
    size_t count;
};
void stoq_chain_release(struct stoq_chain *chain);
/* Replaces *chain. leaf may be NULL (then nothing follows: an empty chain); rest, nullable, begins with the leaf
 * or goes on after it. STOQ_ELIMIT past STOQ_CHAIN_CERTIFICATES_MAX, STOQ_ENOMEM, STOQ_EINTERNAL. */
int stoq_chain_of_x509(struct stoq_chain *chain, X509 *leaf, STACK_OF(X509) * rest);
/* Replaces *chain by copies. */
int stoq_chain_of_bytes(struct stoq_chain *chain, const struct stoq_bytes *list, size_t count);

#define STOQ_TICKET_CONTEXT_BYTES 8
#define STOQ_TICKET_DATA_BYTES_MAX \
    6144 /* with it a ticket stays below half of STOQ_SESSION_BYTES_MAX */

struct stoq_ticket_data {
    uint64_t issued_seconds; /* UNIX time */
    uint64_t proven_seconds; /* of the last full handshake: what the ticket's life counts from */
    uint8_t id[STOQ_REPLAY_ID_BYTES]; /* of early data */
    uint8_t context
        [STOQ_TICKET_CONTEXT_BYTES]; /* of the server's limits: 0-RTT only while they are the same */
    struct stoq_bytes rest[STOQ_CHAIN_CERTIFICATES_MAX - 1]; /* the chain after the leaf */
    size_t rest_count;
};
/* Writes at most capacity bytes and returns how many, or 0: they do not fit. */
size_t stoq_ticket_data_write(const struct stoq_ticket_data *ticket, uint8_t *out, size_t capacity);
int stoq_ticket_data_parse(struct stoq_bytes bytes,
                           struct stoq_ticket_data *out); /* borrows; STOQ_EPARSE */

#endif
