/* A client and a server of QUIC, one connection, in memory and without loss: enough to drive TLS. */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include "stoq_tls.h"
#include "tls_certificates.h"

struct tls_side {
    struct stoq_tls_session *session;
    ngtcp2_conn *conn;
    ngtcp2_crypto_conn_ref ref;
    uint64_t close_code; /* of what it would close with; 0: nothing went wrong */
    int early_bytes; /* of stream data that came before the handshake was complete */
    int bytes;
    bool completed;
    bool confirmed;
    struct hm_buf ticket; /* client: the last that came, packed with the transport parameters */
};

#define TLS_FLIGHT_MAX     8
#define TLS_DATAGRAM_BYTES 1500

struct tls_pair {
    struct tls_side client;
    struct tls_side server;
    uint64_t now_ns;
    bool early_tried;
    uint8_t flight[TLS_FLIGHT_MAX]
                  [TLS_DATAGRAM_BYTES]; /* what the client sent before it heard anything */
    size_t flight_len[TLS_FLIGHT_MAX];
    size_t flight_count;
    bool heard;
};

/* Makes both ends. resume: a packed session, or empty. early: with it, the client sends 5 bytes at once. */
void tls_pair_open(struct tls_pair *pair, struct stoq_tls *client, struct stoq_tls *server,
                   struct stoq_bytes resume, bool early);
/* Carries datagrams until neither end has more to say, or an end has failed. */
void tls_pair_run(struct tls_pair *pair);
void tls_pair_release(struct tls_pair *pair);
/* Gives the first flight of original to another connection of a server; copy has no client. */
void tls_pair_replay(struct tls_pair *copy, const struct tls_pair *original,
                     struct stoq_tls *server);

uint64_t tls_wall(void *wall); /* *(uint64_t *)wall, for config.wall_seconds */
struct stoq_config tls_config(bool server, struct stoq_identity *identity, stoq_verify_fn verify,
                              void *verify_ctx, uint64_t *wall);

#endif
