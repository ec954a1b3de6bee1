/* The core's objects: endpoint, connection, stream, and what its files do for one another. An object is freed only at
 * the top of stoq_endpoint_receive, _send, _expire and _free, never while ngtcp2 or a callback has it on the stack:
 * what happens inside those marks the object, and stoq_conn_settle acts on the marks. */
#ifndef STOQ_CORE_H
#define STOQ_CORE_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "stoq_endpoint.h"
#include "stoq_internal.h"
#include "stoq_queue.h"
#include "stoq_sched.h"
#include "stoq_table.h"
#include "stoq_tls.h"

#define STOQ_REPLIES_MAX     64 /* packets outside connections that wait to be sent */
#define STOQ_REPLY_BYTES_MAX 320
#define STOQ_BATCH_DATAGRAMS 64 /* received datagrams handed over in one callback */
#define STOQ_BATCH_BYTES     131072
#define STOQ_OPENED_BYTES    65536
#define STOQ_RESETS_PER_S    1000
#define STOQ_CIDS_PER_CONN   64 /* ids of ours that one connection has at a time, retired ones too */
#define STOQ_TOKENS_PER_CONN 4 /* reset tokens that are listened to */
#define STOQ_CIDS_RETIRED    4
#define STOQ_CIDS_ASKED      6 /* that the peer may give us at a time */
#define STOQ_CIDS_BORNE      8 /* that ngtcp2 bears */
#define STOQ_ORPHANS_MAX \
    65536 /* see on_stream_reset; some 20 MB of ngtcp2's, less than a connection's window */
#define STOQ_REMNANTS_FAILED_MAX 256
#define STOQ_TOKEN_BYTES_MAX     512
#define STOQ_PREAMBLE_MAX        (2 + STOQ_TAG_BYTES_MAX)
#define STOQ_CLOSE_BYTES_MAX     1200
#define STOQ_REMNANT_NS_MIN      STOQ_NS_PER_S
#define STOQ_REMNANT_NS_MAX      (3 * STOQ_NS_PER_S)

/* A packet that belongs to no connection: Retry, version negotiation, stateless reset, early refusal. */
struct stoq_reply {
    struct stoq_path path;
    uint16_t len;
    uint8_t bytes[STOQ_REPLY_BYTES_MAX];
};

struct stoq_endpoint {
    struct stoq_config config;
    struct stoq_handlers handlers;
    char alpn[STOQ_ALPN_BYTES_MAX + 1];
    struct stoq_tls *tls;
    struct stoq_table table; /* our connection ids, and clients' first ones */
    struct stoq_table tokens; /* stateless reset tokens of the peers' ids in use */
    struct stoq_timers timers;
    struct stoq_bucket handshake_bucket, reset_bucket; /* a byte is one event */
    struct stoq_conn *all; /* connections and remnants */
    struct stoq_conn *ready_first, *ready_last;
    size_t connections, handshakes; /* handshakes: accepted, not complete */
    size_t remnants, remnants_failed; /* failed: of handshakes of clients not known to be there */
    uint64_t now_ns; /* never goes back: the caller's clock plus back_ns */
    uint64_t clock_ns,
        back_ns; /* what the caller said last; by how much its clock has jumped back so far */
    uint64_t drain_ns; /* STOQ_NEVER: not draining, or all were told */
    bool draining;
    ngtcp2_callbacks callbacks;
    ngtcp2_encrypt encrypt; /* as stoq_protect_install set it */
    ngtcp2_decrypt decrypt;
    struct stoq_reply *replies;
    size_t reply_first, reply_count;
    uint8_t *batch; /* STOQ_BATCH_BYTES, made when the first datagram comes */
    struct stoq_bytes batch_list[STOQ_BATCH_DATAGRAMS];
    size_t batch_count, batch_bytes;
    uint8_t *opened; /* STOQ_OPENED_BYTES: where ngtcp2 decrypts, for all connections */
    struct evp_cipher_ctx_st *token_cipher; /* see stoq_token.c */
    bool ngtcp2_known; /* this ngtcp2 is 1.22, whose inside was looked at */
    struct stoq_conn *batch_conn;
    void (*qlog_to)(void *ctx, struct stoq_conn *conn, struct stoq_bytes text, bool last);
    void *qlog_to_ctx;
    void (*fins_to)(struct stoq_stream *stream); /* see stoq_endpoint_fins_to */
    uint64_t counters[STOQ_COUNTERS]; /* read from any thread */
};

struct stoq_datagram {
    struct stoq_datagram *after;
    size_t len;
    uint8_t data[];
};

/* How a connection's rate is kept. */
struct stoq_rate_state {
    struct stoq_bucket bucket;
    enum stoq_rate kind;
    uint64_t bits; /* what the bucket holds to; 0: nothing */
    uint64_t sampled_ns, sampled_bytes; /* adaptive: when and at how many delivered bytes */
};

/* The keys that are sent with. */
struct stoq_phase {
    bool begun, one; /* one: the phase bit */
    bool acked; /* something sent with them was */
    uint8_t first_bits;
    uint32_t first; /* number of the first packet, its lowest first_bits */
};

struct stoq_conn {
    struct stoq_endpoint *endpoint;
    struct stoq_conn *before, *after; /* of all */
    struct stoq_conn *ready_before, *ready_after;
    struct stoq_timer timer;
    ngtcp2_mem mem;
    ngtcp2_conn *quic; /* NULL: a remnant that only answers late packets */
    struct stoq_tls_session *tls;
    ngtcp2_crypto_conn_ref ref;
    void *user;
    struct stoq_path path; /* validated */
    struct stoq_phase phase;
    struct sockaddr_in6 read_local;
    size_t memory; /* that ngtcp2 holds for it */

    bool server, ready, inside; /* inside: ngtcp2 is on the stack */
    bool announced; /* closed is owed */
    bool handshake_done, confirmed, early_offered, early_refused, early_taken;
    bool ending, silent; /* ending: no more work; silent: without a word to the peer */
    bool finished; /* closed was called */
    bool local_unknown; /* the caller does not tell its own address: read_local is taken */
    bool validating; /* ngtcp2 sends over a path that is not validated yet */
    bool past_handshake; /* a client: ngtcp2 knows of no 0-RTT any more; see write_packet */
    bool path_asked; /* a client: a PATH_RESPONSE has just left; see stoq_conn_lively */
    bool answered; /* a client: as path_asked, and it is where it was */
    bool train_apart; /* what it holds goes over another path than what follows */
    bool shuts_late; /* a stream is to be shut */
    bool want_keys, want_migrate, migrate_probe, path_told;
    bool qlog_on, qlog_closed_for_asking;

    struct stoq_sched sched;
    struct stoq_stream *streams, *streams_last, *attention;
    size_t streams_open;
    uint32_t orphans;
    struct stoq_datagram *datagrams, *datagrams_last;
    size_t datagram_bytes;
    bool streams_first; /* in the next packet; they take turns with datagrams */
    bool datagrams_refused; /* the application waits for room */
    size_t burst_bytes; /* sent, and pacing not told of it yet */
    struct stoq_rate_state rate;
    struct sockaddr_in6 migrate_to;
    uint64_t keep_alive_ns;
    uint64_t lively_until_ns; /* see stoq_conn_migrate; 0: not */
    uint64_t full_since_ns, full_bytes; /* see stoq_conn_full_due; 0: its window has room */
    uint64_t blocked_until_ns; /* a client that waits for credit, as seen last; 0: it does not */

    ngtcp2_cid
        first_dcid; /* client's choice, routed until the handshake is done; datalen 0: none */
    ngtcp2_cid trace_id; /* destination of the client's very first packet */
    uint8_t *token; /* NEW_TOKEN of the server */
    size_t token_len;
    uint8_t *qlog_head;
    size_t qlog_head_len;

    enum stoq_close_kind close_kind;
    bool close_application;
    uint64_t close_code;
    char *close_text; /* NULL: none, or no memory for it */

    uint8_t *last_packet; /* remnant: CONNECTION_CLOSE to say again */
    size_t last_len;
    uint32_t remnant_heard;
    bool remnant, remnant_answer, remnant_failed;

    /* Ids in the endpoint's table that are ours; one more than ngtcp2 knows when it failed in the middle. */
    ngtcp2_cid *cids;
    size_t cid_count, cid_capacity;
    /* Those that the peer retired last are still listened to, so that a late packet is not taken for one of a lost
     * connection and answered with a reset that ends this one. */
    ngtcp2_cid retired[STOQ_CIDS_RETIRED];
    unsigned retired_next;
    uint8_t tokens[STOQ_TOKENS_PER_CONN][NGTCP2_STATELESS_RESET_TOKENLEN]; /* in endpoint's */
    uint8_t token_count;

    /* A server: see stoq_conn_path_in. */
    struct stoq_path left, alias; /* the path before this one; the path that has an alias */
    uint64_t left_until_ns;
    uint64_t validating_ns; /* since when, if it is validating */
    in_port_t alias_port; /* network order; 0: none */
    uint16_t alias_made;
    bool alias_stale;
    bool moved_tried; /* the packet at hand is from a path that is to get an id of its own */
    struct stoq_path moved_shared; /* that one did not */
    uint8_t heard_id[STOQ_CID_BYTES]; /* where the last packet over the path in use went to */

    uint64_t key_updates, migrations, streams_total;
    uint64_t stream_bytes_sent, stream_bytes_received;
    uint64_t datagrams_sent, datagrams_received, datagrams_dropped;
    uint64_t bytes_sent, bytes_received;
};

enum stoq_attention {
    STOQ_ATTENTION_STOPPED = 1, /* tell stream_stopped */
    STOQ_ATTENTION_WRITABLE = 2,
    STOQ_ATTENTION_END = 4, /* it may be over */
};

struct stoq_stream {
    struct stoq_sched_node node; /* first: a node is its stream */
    struct stoq_conn *conn;
    struct stoq_stream *before, *after;
    struct stoq_stream *attention_after;
    int64_t id;
    void *user;
    struct stoq_sendq out;
    struct stoq_recvq in;
    uint8_t *tag; /* or what came of the preamble so far */
    uint16_t preamble_have, preamble_need; /* need 0: length not known yet */
    uint8_t tag_len, preamble_head[2];
    uint8_t attention; /* enum stoq_attention */
    bool in_list; /* of attention */
    bool local, uni;
    bool announced, preamble_done;
    bool replay_safe, early;
    bool fin_sent, fin_acked; /* acked: all bytes are, and the end is or is being repeated */
    bool fin_alone; /* the end left in a frame of its own: its acknowledgement is told apart */
    bool fin_told; /* to fins_to */
    bool out_over; /* reset by us or stopped by the peer */
    bool
        reset_asked; /* stoq_stream_reset, _stop or a refusal: the RESET_STREAM that leaves is our own */
    bool late_write, late_read; /* to be shut later: see stoq_stream_shut */
    bool stop_told, discard; /* discard: what comes in is nobody's */
    bool in_fin, fin_read, in_reset;
    bool gone; /* ngtcp2 has forgotten it */
    bool orphan; /* ngtcp2 never will: see on_stream_reset */
    bool any_in; /* something came in */
    bool delivering; /* within `received` */
    bool closed; /* stream_closed is being called */
    size_t want_room; /* a write was refused: tell when there is that much */
    uint64_t stop_code, read_code;
    uint64_t uncredited; /* taken, and no credit given for it yet */
    uint64_t offered, credit_ahead; /* given within `received`, before it was taken */
};

/* --- endpoint --- */
static inline void stoq_count(struct stoq_endpoint *endpoint, enum stoq_counter counter,
                              uint64_t by)
{
    __atomic_store_n(&endpoint->counters[counter], endpoint->counters[counter] + by,
                     __ATOMIC_RELAXED);
}
/* The time of a step. The other is for what an application calls between steps, perhaps with an older time: time
 * stands still then. */
void stoq_endpoint_clock(struct stoq_endpoint *endpoint, uint64_t now_ns);
void stoq_endpoint_clock_later(struct stoq_endpoint *endpoint, uint64_t now_ns);
int stoq_endpoint_random(struct stoq_endpoint *endpoint, void *out, size_t len);
uint64_t stoq_endpoint_wall_ns(struct stoq_endpoint *endpoint);
/* The stateless reset token of an id of ours (STOQ_CID_BYTES). Only STOQ_EINTERNAL. */
int stoq_endpoint_tokens_init(struct stoq_endpoint *endpoint); /* of its configuration's secret */
void stoq_endpoint_tokens_release(struct stoq_endpoint *endpoint);
int stoq_endpoint_token(struct stoq_endpoint *endpoint, const uint8_t *id, uint8_t *out);
/* A new connection id of ours, not in use. STOQ_EIO without randomness. */
int stoq_endpoint_cid(struct stoq_endpoint *endpoint, ngtcp2_cid *out);
/* Makes packets to this id the connection's. STOQ_ENOMEM, STOQ_ELIMIT. */
int stoq_conn_cid_add(struct stoq_conn *conn, const ngtcp2_cid *cid);
void stoq_conn_cid_remove(struct stoq_conn *conn, const ngtcp2_cid *cid);
/* What does not fit is not listened to: such a connection ends by its idle time instead. */
void stoq_conn_token_add(struct stoq_conn *conn, const uint8_t *token);
void stoq_conn_token_remove(struct stoq_conn *conn, const uint8_t *token);
void stoq_conn_ready(struct stoq_conn *conn); /* it may have something to send */
void stoq_conn_unready(struct stoq_conn *conn);
void stoq_endpoint_link(struct stoq_endpoint *endpoint, struct stoq_conn *conn);
void stoq_endpoint_unlink(struct stoq_conn *conn);

/* --- packets outside connections --- */
/* A place to write a reply to path, or NULL when too many wait. Counts only once reply->len is set by _commit. */
struct stoq_reply *stoq_reply_open(struct stoq_endpoint *endpoint, const struct stoq_path *path);
void stoq_reply_commit(struct stoq_endpoint *endpoint, struct stoq_reply *reply, ngtcp2_ssize len,
                       enum stoq_counter counter);
size_t stoq_reply_take(struct stoq_endpoint *endpoint, uint8_t *buffer, size_t capacity,
                       struct stoq_train *train);
void stoq_reply_reset(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                      const uint8_t *data, size_t len);
void stoq_reply_versions(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                         const ngtcp2_version_cid *ids);
int stoq_reply_retry(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                     const ngtcp2_pkt_hd *head);
/* The first packet of a connection that is not here yet: NULL when it was dropped, refused or answered. */
struct stoq_conn *stoq_accept(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                              const uint8_t *data, size_t len);
int stoq_conn_submit_token(struct stoq_conn *conn); /* NEW_TOKEN */

/* --- connection --- */
/* What a server connection is made of. */
struct stoq_conn_first {
    ngtcp2_pkt_hd head;
    ngtcp2_cid original; /* destination before Retry */
    bool retried;
    const uint8_t *token; /* valid, or NULL */
    size_t token_len;
    ngtcp2_token_type token_type;
};
int stoq_conn_new_server(struct stoq_conn **out, struct stoq_endpoint *endpoint,
                         const struct stoq_path *path, const struct stoq_conn_first *first);
void stoq_conn_callbacks(ngtcp2_callbacks *callbacks); /* all but packet protection */
void stoq_conn_callbacks_streams(ngtcp2_callbacks *callbacks); /* its part of them */
void stoq_conn_free(struct stoq_conn *conn); /* no callback */
void stoq_conn_read(struct stoq_conn *conn, const struct stoq_path *path, uint8_t ecn,
                    const uint8_t *data, size_t len, uint64_t now_ns);
size_t stoq_conn_write(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                       struct stoq_train *train, uint64_t now_ns);
void stoq_conn_expire(struct stoq_conn *conn, uint64_t now_ns);
/* Acts on what callbacks left to do. False: conn is gone. Top level only. */
bool stoq_conn_settle(struct stoq_conn *conn, uint64_t now_ns);
/* The application is told of the connection, now that it may use it. Inside ngtcp2. */
void stoq_conn_announce(struct stoq_conn *conn);
/* Ends it: the first reason stays. text may be NULL. */
void stoq_conn_end(struct stoq_conn *conn, enum stoq_close_kind kind, uint64_t code, bool silent,
                   const char *text);
void stoq_conn_end_library(struct stoq_conn *conn, int error); /* an NGTCP2_ERR of read or write */
void stoq_conn_end_application(struct stoq_conn *conn, uint64_t code, const char *text);
uint64_t stoq_code_cut(uint64_t code); /* an application's code, as QUIC can carry it */
/* Tells the application and frees, or keeps a remnant for late packets. Top level only. */
void stoq_conn_finish(struct stoq_conn *conn, uint64_t now_ns);
size_t stoq_conn_write_close(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                             struct stoq_train *train, uint64_t now_ns);
size_t stoq_remnant_write(struct stoq_conn *conn, uint8_t *buffer, size_t capacity,
                          struct stoq_train *train);
void stoq_conn_path_validating(
    struct stoq_conn *conn); /* the path that is sent over, from now on */
void stoq_conn_path_settle(struct stoq_conn *conn); /* tells of a new path once it is validated */
void stoq_conn_keep_alive_set(struct stoq_conn *conn, uint64_t now_ns); /* as its three times say */
void stoq_conn_lively(struct stoq_conn *conn, uint64_t now_ns); /* keeps sending for a while */
void stoq_conn_keep_alive_due(struct stoq_conn *conn, uint64_t now_ns); /* when they are over */
uint64_t stoq_conn_full_due(struct stoq_conn *conn,
                            uint64_t now_ns); /* when _end is to be called */
void stoq_conn_full_end(struct stoq_conn *conn, uint64_t now_ns);
void stoq_conn_blocked(struct stoq_conn *conn, uint64_t now_ns); /* it lacks credit to send */
void stoq_conn_arm(struct stoq_conn *conn, uint64_t now_ns); /* its timer */
void stoq_conn_path(const struct stoq_path *path, ngtcp2_path *out); /* borrows */
/* The path of a packet that came, as ngtcp2 is to see it; path_from undoes it. id: where it went to, NULL for one with a
 * long header. _read: ngtcp2 has seen it, as shown. */
void stoq_conn_path_in(struct stoq_conn *conn, struct stoq_path *path, const uint8_t *id,
                       uint64_t now_ns);
void stoq_conn_path_read(struct stoq_conn *conn, const struct stoq_path *path,
                         const struct stoq_path *shown, const uint8_t *id);
void stoq_conn_path_from(const struct stoq_conn *conn, struct stoq_path *out,
                         const ngtcp2_path *path);
void stoq_conn_session(void *conn, struct stoq_bytes ticket); /* struct stoq_tls_events */
void stoq_conn_drained(struct stoq_conn *conn); /* shutdown, when its last stream has ended */

/* --- streams --- */
int stoq_stream_new(struct stoq_stream **out, struct stoq_conn *conn, int64_t id, bool local);
void stoq_stream_kick(struct stoq_stream *stream); /* it has something to send, if it may */
void stoq_stream_attend(struct stoq_stream *stream, enum stoq_attention what);
int stoq_stream_deliver(struct stoq_stream *stream, const uint8_t *data, size_t len, bool fin);
void stoq_stream_discard(struct stoq_stream *stream); /* drops what waits, gives its credit back */
void stoq_stream_refuse(struct stoq_stream *stream, uint64_t code); /* both directions */
void stoq_stream_acked(struct stoq_stream *stream, uint64_t from, uint64_t len);
void stoq_stream_stopped(struct stoq_stream *stream, uint64_t code); /* by the peer */
void stoq_stream_attentions(struct stoq_conn *conn);
void stoq_stream_end(struct stoq_stream *stream); /* stream_closed, and frees */
/* RESET_STREAM for the direction out, STOP_SENDING for the direction in. */
void stoq_stream_shut(struct stoq_stream *stream, bool write, bool read, uint64_t code);
void stoq_streams_shut_late(struct stoq_conn *conn); /* what had to wait. Top level only */
void stoq_streams_reopen(struct stoq_conn *conn); /* 0-RTT was refused */

/* --- datagrams, rate, qlog, frames --- */
void stoq_datagram_drop(struct stoq_conn *conn); /* counts one that came and is nobody's */
int stoq_datagram_received(struct stoq_conn *conn, const uint8_t *data, size_t len);
void stoq_datagram_flush(struct stoq_endpoint *endpoint);
void stoq_datagram_pop(struct stoq_conn *conn);
void stoq_datagram_room(
    struct stoq_conn *conn); /* tells who waits for it, if there is enough. Top level only */
void stoq_rate_init(struct stoq_conn *conn, uint64_t now_ns);
size_t stoq_rate_room(struct stoq_conn *conn, uint64_t now_ns); /* bytes; SIZE_MAX: no limit */
void stoq_qlog_write(void *conn, uint32_t flags, const void *data, size_t len);
void stoq_qlog_end(struct stoq_conn *conn);
/* ngtcp2 has no callback for STOP_SENDING: it answers with RESET_STREAM, which is seen in the packet as it is sealed.
 * Every call that may seal packets of conn stands between these two; reading does so too, for the tag of Retry.
 * They nest (a callback may drive another endpoint): what begin returns is for end. */
struct stoq_conn *stoq_frames_begin(struct stoq_conn *conn);
void stoq_frames_end(struct stoq_conn *before);
int stoq_frames_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *context, const uint8_t *plain, size_t len,
                        const uint8_t *nonce, size_t nonce_len, const uint8_t *header,
                        size_t header_len);
int stoq_frames_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *context, const uint8_t *sealed, size_t len,
                        const uint8_t *nonce, size_t nonce_len, const uint8_t *header,
                        size_t header_len);
/* What is told of a packet's payload: RESET_STREAM frames, STREAM frames with bytes and the stream's end, and
 * PATH_RESPONSE. */
struct stoq_frames_found {
    void (*reset)(void *ctx, uint64_t id, uint64_t code); /* nullable, all */
    void (*fin)(void *ctx, uint64_t id);
    void (*path_response)(void *ctx);
    void (*acked)(void *ctx, uint64_t largest); /* and PADDING does not end the packet */
};
/* Stops at what it does not know. */
void stoq_frames_look(const uint8_t *data, size_t len, const struct stoq_frames_found *found,
                      void *ctx);
void stoq_frames_resets(const uint8_t *data, size_t len,
                        void (*found)(void *ctx, uint64_t id, uint64_t code), void *ctx);

#endif
