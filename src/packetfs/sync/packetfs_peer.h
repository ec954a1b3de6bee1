/* STOQ underneath a transfer: an end for each kind of object, with the key that the volume has for it, and the streams that talks run over. */
#ifndef HM_PACKETFS_PEER_H
#define HM_PACKETFS_PEER_H

#include "stoq.h"
#include "sync/packetfs_talk.h"

struct packetfs_peer; /* one end: a socket, its identity */

struct packetfs_peer_options {
    const struct packetfs_keys *keys;
    enum packetfs_kind kind;
    bool server;
    bool
        bulk; /* much will be sent: packets as large as the path takes, which costs probes to find out */
    struct sockaddr_in6 bind; /* of a server */
    /* A handover: keys and kind do not matter, both ends show a certificate made a moment ago, and any one is taken. Who is at the other end is
     * proven by what is said then, bound to packetfs_stream_shown. */
    bool stranger;
};
int packetfs_peer_open(const struct packetfs_peer_options *options, struct packetfs_peer **out,
                       struct hm_error *error);
/* Ends its connections; streams still held stay valid and answer HM_EUNAVAILABLE. NULL is fine. */
void packetfs_peer_close(struct packetfs_peer *peer);
/* Frees it after packetfs_peer_close and after its streams were released. */
void packetfs_peer_free(struct packetfs_peer *peer);
uint16_t packetfs_peer_port(const struct packetfs_peer *peer);
/* UDP payload sent and received so far. */
void packetfs_peer_bytes(struct packetfs_peer *peer, uint64_t *sent, uint64_t *received);

/* One connection with one stream on it. */
struct packetfs_stream;
/* HM_EAUTH: the other end lacks the key. HM_ETIMEOUT, HM_EUNAVAILABLE. */
int packetfs_peer_connect(struct packetfs_peer *peer, const struct sockaddr_in6 *remote,
                          int timeout_ms, struct packetfs_stream **out, struct hm_error *error);
/* HM_ETIMEOUT: nobody came. The stream itself is waited for by packetfs_stream_begin. */
int packetfs_peer_accept(struct packetfs_peer *peer, int timeout_ms, struct packetfs_stream **out,
                         struct hm_error *error);
int packetfs_stream_begin(struct packetfs_stream *stream, int timeout_ms, struct hm_error *error);
struct packetfs_channel packetfs_stream_channel(struct packetfs_stream *stream);
/* Says that nothing more comes, waits a moment until the peer has it all, and hangs up. NULL is fine. */
void packetfs_stream_free(struct packetfs_stream *stream);
void packetfs_stream_address(struct packetfs_stream *stream, char out[STOQ_ADDRESS_TEXT_BYTES]);
/* Of a stranger: what stands for the two certificates of this connection. With somebody in between, the two ends have
 * different ones. After packetfs_peer_connect or packetfs_stream_begin. */
void packetfs_stream_shown(const struct packetfs_stream *stream, uint8_t out[32]);

/* "[::1]:1", "10.0.0.1", "nas.example:4478". passive: to listen at. HM_EINVAL, HM_EUNAVAILABLE: no such name. */
int packetfs_peer_address(const char *text, bool passive, struct sockaddr_in6 *out,
                          struct hm_error *error);

/* The certificate that both ends show, and its key, as PEM; key is to be wiped. */
int packetfs_peer_certificate(const struct packetfs_keys *keys, enum packetfs_kind kind,
                              struct hm_buf *certificate, struct hm_buf *key,
                              struct hm_error *error);
/* Does this certificate (DER, from outside) hold that key? Pure. */
bool packetfs_peer_is_ours(struct hm_slice certificate, const uint8_t public_key[32]);

#endif
