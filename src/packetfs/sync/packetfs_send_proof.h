/* How the two ends of a handover show each other that they are meant: by a code that both know, or by their identities. All of it is bound to
 * the certificates of the connection, so that nobody stands in between. Ends with the offer at the receiver. */
#ifndef HM_PACKETFS_SEND_PROOF_H
#define HM_PACKETFS_SEND_PROOF_H

#include <pthread.h>

#include "access/packetfs_identity.h"
#include "sync/packetfs_send_wire.h"
#include "sync/packetfs_talk.h"

#define PACKETFS_SHOWN_BYTES 32 /* packetfs_stream_shown */

/* What the sender asks of whoever comes. The threads of several that come share it. */
struct packetfs_gate {
    const char *code; /* or both of the next */
    const struct packetfs_identity *identity;
    const struct packetfs_contact *to;
    const struct packetfs_offer *offer;
    pthread_mutex_t lock; /* over the next */
    unsigned wrong_guesses;
};
/* The sender's part. 0: he is who is meant, and has the offer. HM_EAUTH: he is not; by code that was a guess, and after
 * PACKETFS_SEND_GUESSES_MAX of them nobody is let in. */
int packetfs_gate_open(struct packetfs_gate *gate, const uint8_t shown[PACKETFS_SHOWN_BYTES],
                       struct packetfs_talk *talk, struct hm_error *error);
unsigned packetfs_gate_wrong(struct packetfs_gate *gate);

/* The receiver's part. */
struct packetfs_claim {
    const char *code; /* or both of the next */
    const struct packetfs_identity *identity;
    const struct packetfs_contact *from;
};
/* bytes: what the offer borrows of; the caller wipes both. HM_EAUTH: the sender has another code or is another, or somebody is in between. */
int packetfs_claim_make(const struct packetfs_claim *claim,
                        const uint8_t shown[PACKETFS_SHOWN_BYTES], struct packetfs_talk *talk,
                        struct hm_buf *bytes, struct packetfs_offer *offer, struct hm_error *error);

#endif
