/* A conversation: messages over a channel of bytes, which is a STOQ stream or, in tests, anything. One thread at a time. */
#ifndef HM_PACKETFS_TALK_H
#define HM_PACKETFS_TALK_H

#include "sync/packetfs_wire.h"

#define PACKETFS_TALK_SEND_BYTES ((size_t)65536) /* what is gathered before it leaves */

struct packetfs_channel {
    void *ctx;
    /* Up to len bytes, at least one; 0 at the end; HM_ETIMEOUT (nothing yet) or another negative code. */
    int64_t (*read)(void *ctx, void *out, size_t len, int timeout_ms);
    /* All, or a negative code; HM_ETIMEOUT: the peer takes nothing. */
    int64_t (*write)(void *ctx, const void *data, size_t len, int timeout_ms);
    /* Why it ended, a sentence, or NULL when nobody knows; may be NULL itself. */
    const char *(*reason)(void *ctx);
};

struct packetfs_talk {
    struct packetfs_channel channel;
    /* Whether somebody wants this to end; asked some five times a second while waiting. NULL: nobody does. */
    bool (*stopped)(void *ctx);
    void *stopped_ctx;
    int patience_ms; /* of silence, then HM_ETIMEOUT */
    struct hm_buf in, out;
    size_t in_at; /* what was taken of in */
    uint64_t round_trips; /* times it had to wait for an answer */
    bool said; /* something left since the last wait */
    bool peer_failed; /* its FAIL came: it need not be told of ours */
};

void packetfs_talk_init(struct packetfs_talk *talk, struct packetfs_channel channel,
                        int patience_ms);
void packetfs_talk_release(struct packetfs_talk *talk); /* not the channel */
/* Gathers; leaves when there is enough, or with packetfs_talk_flush or before a wait. */
int packetfs_talk_send(struct packetfs_talk *talk, enum packetfs_wire_type type,
                       struct hm_slice body, struct hm_error *error);
int packetfs_talk_flush(struct packetfs_talk *talk, struct hm_error *error);
/* The next message; body is valid until the next call. A FAIL of the peer is returned as an error. HM_EUNAVAILABLE: the
 * channel has ended; HM_ETIMEOUT; HM_ECANCELLED: stopped. */
int packetfs_talk_receive(struct packetfs_talk *talk, enum packetfs_wire_type *type,
                          struct hm_slice *body, struct hm_error *error);
/* The same, and the message must be of this type. */
int packetfs_talk_expect(struct packetfs_talk *talk, enum packetfs_wire_type type,
                         struct hm_slice *body, struct hm_error *error);
/* Tells the peer why it ends, as well as that goes. Nothing when the peer has said so itself. */
void packetfs_talk_fail(struct packetfs_talk *talk, const struct hm_error *why);

#endif
