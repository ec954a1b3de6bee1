/* A peer that lies: a plain ngtcp2 connection over OpenSSL, client or server, whose packets are rewritten just before
 * they are sealed, so that what it sends is wrong and well encrypted. Being written without the library under test, it
 * also is another implementation to talk to. */
#ifndef TEST_CORE_HOSTILE_H
#define TEST_CORE_HOSTILE_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "test_core_pki.h"
#include "test_core_world.h"

#define HOSTILE_FRAMES_MAX 1000
#define HOSTILE_SCID_BYTES 16

enum hostile_level { HOSTILE_INITIAL, HOSTILE_HANDSHAKE, HOSTILE_SHORT };

struct hostile {
    struct world *world;
    unsigned node, peer; /* nodes of the net */
    bool server;
    ngtcp2_conn *conn; /* a server's: from the first Initial packet on */
    SSL_CTX *tls;
    SSL *ssl;
    ngtcp2_crypto_ossl_ctx *ossl;
    ngtcp2_crypto_conn_ref ref;
    struct sockaddr_in6 local, remote;
    uint8_t scid[HOSTILE_SCID_BYTES];
    bool complete, over; /* the handshake; the connection */
    bool application; /* how it ended: */
    uint64_t code;
    uint64_t taken; /* bytes of streams received */
    /* The next packet of this level carries these frames, then PADDING, in place of its own. */
    bool armed;
    enum hostile_level level;
    uint8_t frames[HOSTILE_FRAMES_MAX];
    size_t frames_len;
    uint8_t header_bits; /* flipped in that packet's first byte */
    uint8_t header_mask; /* those still to be applied to the header itself */
    /* Changes what every packet carries. */
    void (*mutate)(struct hostile *hostile, enum hostile_level level, uint8_t *plain, size_t len);
    unsigned variant, spoiled; /* for mutate: what to do, how often it was done */
    int64_t stream;
};

/* A client on a node of its own that connects to `to`, or a server there that waits. */
void hostile_init(struct hostile *hostile, struct world *world, bool server, unsigned to,
                  struct pki *pki);
void hostile_start(struct hostile *hostile); /* a client's first packet */
void hostile_release(struct hostile *hostile);
/* Sends a packet with these frames now. 1-RTT only after the handshake; `armed` stays when the peer lets nothing out. */
void hostile_send(struct hostile *hostile, enum hostile_level level, const uint8_t *frames,
                  size_t len);
/* Opens a stream and sends text and its end as a well-behaved peer. */
void hostile_say(struct hostile *hostile, const void *data, size_t len);
/* Lets the two meet: a hostile client's first packet, or a connection of the client's to a hostile server. */
bool hostile_meet(struct hostile *hostile);
/* What it did is over; the victim's other connection, which kept's two ends are of, works. Releases the world, too. */
void hostile_part(struct hostile *hostile, unsigned victim, struct stoq_conn *const kept[2]);
bool hostile_complete(void *ctx);
bool hostile_over(void *ctx);

#endif
