/* stoq: QUIC version 1 (RFC 9000, 9001, 9002, 9221) with TLS 1.3, certificates on both sides and post-quantum key
 * exchange. Streams, datagrams, migration, resumption; over UDP and IPv6 (IPv4 as mapped addresses).
 *
 * Three layers, each usable without the ones above it:
 *   stoq_endpoint   the core. No socket, clock or thread: it is given datagrams, the time and a source of
 *                   randomness, and gives datagrams, a deadline and callbacks. One thread at a time.
 *   stoq_host       drives endpoints over UDP: one worker thread with a socket and an endpoint each.
 *   stoq_link, stoq_pipe, stoq_pool   blocking calls for simple programs, from any thread.
 *
 * Never: decides whom to trust (a callback does), buffers without a limit, keeps state of the process.
 * Start reading with examples/stoq-echo.c, then struct stoq_handlers.
 *
 * Threads: whatever belongs to an endpoint (its connections, their streams) is used only in the thread that drives
 * it: inside callbacks, or in a function given to stoq_host_post. What may be called from any thread says so.
 * Errors: int functions return 0 or a negative STOQ_E code; outputs are untouched on failure; a nullable last
 * parameter receives a sentence for a person. Sizes are bytes, times nanoseconds of a monotonic clock, rates
 * bits a second, unless the name says otherwise. */
#ifndef STOQ_H
#define STOQ_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Errors and limits ------------------------------------------------------------------------------------ */

enum stoq_code {
    STOQ_OK = 0,
    STOQ_EINVAL = -1, /* an argument is wrong */
    STOQ_ENOMEM = -2,
    STOQ_EIO = -3, /* a system call failed */
    STOQ_ENOTFOUND = -4,
    STOQ_EPERM = -6, /* refused by a callback or by the peer's permission */
    STOQ_EAUTH = -7, /* a certificate was refused, by us or by the peer */
    STOQ_EPARSE = -8, /* malformed PEM, session or packet */
    STOQ_ELIMIT = -9, /* over a limit of this header or of the configuration */
    STOQ_EBUSY = -16, /* no credit or no room now: wait for the callback that says so */
    STOQ_ETIMEOUT = -17, /* no answer within the handshake or idle time */
    STOQ_EUNSUPPORTED = -19,
    STOQ_ECLOSED = -20, /* the connection or stream has ended */
    STOQ_EINTERNAL = -23,
};

#define STOQ_ERROR_TEXT_BYTES 384
struct stoq_error {
    int code;
    char text[STOQ_ERROR_TEXT_BYTES]; /* one sentence, NUL-terminated, printable */
};

#define STOQ_UDP_PAYLOAD_MIN        1200 /* RFC 9000 section 14 */
#define STOQ_UDP_PAYLOAD_DEFAULT    1452 /* IPv6 over Ethernet: 1500 - 40 - 8 */
#define STOQ_UDP_PAYLOAD_MAX        65487 /* the largest that Linux carries over IPv6: 65535 - 40 - 8 */
#define STOQ_ALPN_BYTES_MAX         64
#define STOQ_NAME_BYTES_MAX         255
#define STOQ_TAG_BYTES_MAX          255
#define STOQ_REASON_BYTES_MAX       128
#define STOQ_SESSION_BYTES_MAX      16384
#define STOQ_CHAIN_CERTIFICATES_MAX 8
#define STOQ_PRIORITY_CLASSES       8
#define STOQ_WEIGHT_MAX             256
#define STOQ_CONNECTIONS_MAX        1000000 /* per endpoint */
#define STOQ_WORKERS_MAX            64
#define STOQ_CID_BYTES              16 /* connection ids we issue; the first byte names the worker */
#define STOQ_TRAIN_BYTES_MAX        65535 /* what one send gives at most: a train of packets of one size */

/* Codes that STOQ itself puts into RESET_STREAM, STOP_SENDING and application CONNECTION_CLOSE; applications use
 * codes below. */
#define STOQ_APP_CODE_BASE    0x53544f5100ULL
#define STOQ_APP_DENIED       (STOQ_APP_CODE_BASE + 1) /* the stream's tag was refused */
#define STOQ_APP_BAD_PREAMBLE (STOQ_APP_CODE_BASE + 2) /* the stream does not begin with a tag */
#define STOQ_APP_REFUSED \
    (STOQ_APP_CODE_BASE + 3) /* the connection was refused by the accept callback */
#define STOQ_APP_SHUTDOWN (STOQ_APP_CODE_BASE + 4) /* the endpoint drains and goes */

struct stoq_bytes {
    const uint8_t *data;
    size_t len;
};

const char *stoq_version(void); /* "0.1.0"; any thread */
const char *stoq_code_name(int code); /* "STOQ_EBUSY"; "STOQ_E?" for an unknown one; any thread */

/* --- Who we are, whom we trust ---------------------------------------------------------------------------- */

/* Our certificate chain (leaf first) and its private key. Immutable once made; reference-counted, any thread. The
 * key is wiped when the last reference goes. */
struct stoq_identity;
/* chain_pem, key_pem: PEM text, copied. STOQ_EPARSE, STOQ_EINVAL (key does not belong to the leaf), STOQ_ENOMEM. */
int stoq_identity_new(struct stoq_identity **out, struct stoq_bytes chain_pem,
                      struct stoq_bytes key_pem, struct stoq_error *error);
/* A new Ed25519 key and a certificate for it that signs itself, valid from now_seconds (UNIX time) for days
 * (1-3650). name: a DNS name or address literal in subjectAltName. For tests, tools and systems that check the key
 * itself. */
int stoq_identity_self_signed(struct stoq_identity **out, const char *name, uint64_t now_seconds,
                              unsigned days, struct stoq_error *error);
struct stoq_identity *stoq_identity_ref(struct stoq_identity *identity);
void stoq_identity_unref(struct stoq_identity *identity); /* NULL is fine */
/* The leaf's DER bytes, borrowed for as long as the identity lives. */
struct stoq_bytes stoq_identity_leaf(const struct stoq_identity *identity);

/* What a peer showed in its handshake; valid during the verify callback only. */
struct stoq_peer {
    const struct stoq_bytes *chain; /* DER, leaf first; possession of the leaf's key is proven */
    size_t count; /* 1 .. STOQ_CHAIN_CERTIFICATES_MAX; 0 when a client showed none */
    const char *expected_name; /* the server name that connect asked for; NULL in a server */
    uint64_t wall_seconds; /* now, UNIX time */
};
/* Returns 0 to accept, or a negative code (STOQ_EAUTH) with a sentence: the handshake then fails with a TLS alert
 * (bad_certificate, or what `*alert` was set to) and connect's `closed` callback has the sentence. Asked again, with the
 * same chain, whenever the peer resumes (for at most 12 hours after the last full handshake): a refusal then means a full handshake.
 * Runs in the endpoint's thread; must not block. */
typedef int (*stoq_verify_fn)(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                              struct stoq_error *error);

/* A ready-made verifier: chains must end in one of these authorities, be valid now, not revoked, and name the
 * expected server (servers: the client purpose). Immutable, reference-counted, any thread. */
struct stoq_trust;
/* authorities_pem: one certificate or more. revoked_pem: certificate revocation lists, may be empty; when given,
 * a certificate without a current list of its issuer is refused. */
int stoq_trust_new(struct stoq_trust **out, struct stoq_bytes authorities_pem,
                   struct stoq_bytes revoked_pem, struct stoq_error *error);
struct stoq_trust *stoq_trust_ref(struct stoq_trust *trust);
void stoq_trust_unref(struct stoq_trust *trust);
int stoq_trust_verify(void *trust, const struct stoq_peer *peer, uint8_t *alert,
                      struct stoq_error *error);
/* Accepts exactly one certificate: ctx is the struct stoq_identity whose leaf the peer must show. */
int stoq_verify_same(void *identity, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error);

/* --- Configuration ---------------------------------------------------------------------------------------- */

enum stoq_groups {
    STOQ_GROUPS_HYBRID_FIRST = 0, /* X25519MLKEM768, then X25519 */
    STOQ_GROUPS_HYBRID_ONLY = 1, /* X25519MLKEM768 or no connection */
};
enum stoq_ciphers {
    STOQ_CIPHERS_DEFAULT =
        0, /* AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305; the last first without AES hardware */
    STOQ_CIPHERS_256 = 1, /* AES-256-GCM, ChaCha20-Poly1305 */
};
enum stoq_congestion {
    STOQ_CONGESTION_CUBIC = 0, /* RFC 9438 */
    STOQ_CONGESTION_BBR = 1,
    STOQ_CONGESTION_RENO = 2, /* RFC 9002 */
};
/* What one connection may send; kept by a token bucket over UDP payload bytes, within 3 %. */
enum stoq_rate {
    STOQ_RATE_UNLIMITED = 0, /* congestion control alone decides */
    STOQ_RATE_100M = 1,
    STOQ_RATE_1G = 2,
    STOQ_RATE_2500M = 3,
    STOQ_RATE_ADAPTIVE =
        4, /* follows 1.25 times the rate that the peer acknowledged lately, never below 1 Mb/s */
    STOQ_RATE_CUSTOM = 5, /* rate_bits a second, 64,000 .. 10^12 */
};

struct stoq_config {
    /* Who: needed by servers, and by clients whose server asks. Referenced by the endpoint. */
    struct stoq_identity *identity;
    stoq_verify_fn verify; /* must be set */
    void *verify_ctx;
    bool server; /* accepts connections; an endpoint may both accept and connect */
    /* server: accept clients that show none (count 0 in stoq_peer) */
    bool client_certificates_optional;
    const char *alpn; /* one name, 1 .. STOQ_ALPN_BYTES_MAX; copied */
    enum stoq_groups groups;
    enum stoq_ciphers ciphers;
    /* 0-RTT: send it (client), take it once per ticket (server). Used tickets are remembered with the identity object:
     * endpoints that share it, as a host's workers do, share them; processes with the same secret do not, and must not
     * have this on together. */
    bool early_data;
    /* streams begin with a permission tag (see stoq_stream_options); off: plain QUIC streams */
    bool stream_tags;

    /* World. NULL functions: clock and random source of this system. */
    uint64_t (*wall_seconds)(void *ctx);
    int (*random)(void *ctx, void *out,
                  size_t len); /* 0, or negative: the endpoint then refuses new connections */
    void *world_ctx;
    /* 32 bytes from which tokens, stateless resets and tickets of all workers (and of a restarted server) are made;
     * all zero: drawn at random by the endpoint. Wiped on release. */
    uint8_t secret[32];

    /* Sizes and times. */
    /* what path MTU discovery tries first, from 1200 on; 1200 .. STOQ_UDP_PAYLOAD_MAX */
    size_t udp_payload;
    /* and goes up to this; >= udp_payload; equal: no discovery, packets are that large at once */
    size_t udp_payload_max;
    uint64_t idle_timeout_ns; /* both ends' minimum holds; 0: none */
    uint64_t keep_alive_ns; /* 0: none */
    uint64_t handshake_timeout_ns;
    enum stoq_congestion congestion;
    enum stoq_rate rate;
    uint64_t rate_bits; /* of STOQ_RATE_CUSTOM */

    /* Limits, each enforced and counted. */
    /* of the endpoint, with those that ended a moment ago; handshakes: a quarter of it */
    size_t connections_max;
    uint32_t handshakes_per_second; /* accepted; those above are dropped and counted; 0: no limit */
    /* with more unfinished handshakes than this, new ones must pass Retry; 0: all */
    uint32_t handshakes_before_retry;
    uint64_t streams_bidi; /* that the peer may have open at a time */
    uint64_t streams_uni;
    /* bytes a peer may have on its way on one stream before we have read them */
    uint64_t stream_window;
    uint64_t connection_window; /* on all streams of a connection */
    size_t send_queue; /* bytes that one stream holds of us until acknowledged */
    size_t datagram_queue; /* bytes of datagrams that wait to be sent, per connection */
    size_t datagram_max; /* largest datagram taken; 0: datagrams off */
    /* bytes taken by `received` give the peer no new credit until stoq_stream_credit; a stream's last bytes want it too,
     * for they count against the connection's window */
    bool manual_credit;
    /* a file of qlog (JSON-SEQ) per connection; NULL: none. Only stoq_host writes it */
    const char *qlog_folder;
    /* Set by stoq_host: which first bytes of connection ids are ours. */
    uint8_t worker_index, worker_count;
};
/* Sets every field to its default: tags on, 1452 bytes, discovery to STOQ_UDP_PAYLOAD_MAX, 30 s idle, 10 s
 * handshake, CUBIC, no rate limit, 100,000 connections, 128 streams each way, windows of 16 MiB and 24 MiB. */
void stoq_config_default(struct stoq_config *config);

/* --- Callbacks -------------------------------------------------------------------------------------------- */

struct stoq_endpoint;
struct stoq_conn;
struct stoq_stream;

enum stoq_close_kind {
    STOQ_CLOSE_LOCAL = 0, /* we closed it */
    STOQ_CLOSE_PEER_APPLICATION = 1, /* the peer's application did, with code */
    STOQ_CLOSE_PEER_TRANSPORT = 2, /* the peer's QUIC found an error (RFC 9000 section 20.1) */
    STOQ_CLOSE_TRANSPORT = 3, /* ours did */
    STOQ_CLOSE_IDLE = 4,
    STOQ_CLOSE_HANDSHAKE_TIMEOUT = 5,
    STOQ_CLOSE_RESET = 6, /* the peer lost its state: stateless reset */
    STOQ_CLOSE_VERSION = 7, /* no version in common */
    STOQ_CLOSE_TLS = 8, /* handshake failed; code is the alert + 0x100 */
    STOQ_CLOSE_DROPPED = 9, /* the endpoint was freed, or memory ran out */
};
struct stoq_close {
    enum stoq_close_kind kind;
    uint64_t code;
    const char
        *text; /* a sentence: the peer's reason, or ours; printable, valid during the callback */
};

/* All nullable. ctx of the table comes first everywhere. Inside a callback every function of this header may be
 * called on the same endpoint but stoq_endpoint_receive, _send, _expire and _free; a connection or stream given to
 * a callback stays valid until its `closed` callback has returned. */
struct stoq_handlers {
    void *ctx;
    /* A client's handshake is complete and its certificate verified; or its first 0-RTT data is here, and the ticket
     * tells who it is (info.handshake_done is false then). Non-zero refuses it. */
    int (*accepted)(void *ctx, struct stoq_conn *conn);
    /* Our connect succeeded. */
    void (*connected)(void *ctx, struct stoq_conn *conn);
    /* Called once for each connection that connect returned or `accepted` took, after `stream_closed` of each of its
     * streams; afterwards conn is gone. */
    void (*closed)(void *ctx, struct stoq_conn *conn, const struct stoq_close *why);
    /* A session to resume with: at most STOQ_SESSION_BYTES_MAX, opaque, secret; copy it. */
    void (*session)(void *ctx, struct stoq_conn *conn, struct stoq_bytes session);
    /* The peer may be sent more streams of this kind: a stoq_conn_open that was refused with STOQ_EBUSY may work. */
    void (*streams_available)(void *ctx, struct stoq_conn *conn, bool bidirectional);
    /* Whether the peer may use a stream with this tag; before any byte of it is delivered. Non-zero: the stream is
     * reset with STOQ_APP_DENIED. Without this callback every tag is allowed. */
    int (*permit)(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional);
    /* The peer opened a stream (after permit). */
    void (*stream_opened)(void *ctx, struct stoq_stream *stream);
    /* Bytes in order. Returns how many were taken (0 .. len); the rest stays in the stream for stoq_stream_read and
     * is not offered again: while some of it waits there, what comes later waits behind it, and the call has len 0.
     * data is valid during the call. fin: nothing follows. NULL: everything stays. */
    size_t (*received)(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                       bool fin);
    /* There is room again after a write that was refused or cut short. */
    void (*writable)(void *ctx, struct stoq_stream *stream);
    /* The peer gave up sending (RESET_STREAM), or asks us to stop (STOP_SENDING; our sending side is reset then). */
    void (*stream_reset)(void *ctx, struct stoq_stream *stream, uint64_t code);
    void (*stream_stopped)(void *ctx, struct stoq_stream *stream, uint64_t code);
    /* Both directions have ended, all is acknowledged and all that came was read (or stopped), or the connection went;
     * afterwards stream is gone. */
    void (*stream_closed)(void *ctx, struct stoq_stream *stream);
    /* Datagrams of one step of the endpoint, at most 64 a call; data valid during the call. */
    void (*datagrams)(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                      size_t count);
    /* There is room again after a stoq_conn_datagrams that the queue's limit cut short. */
    void (*datagrams_writable)(void *ctx, struct stoq_conn *conn);
    /* The peer's address changed and was validated (server), or ours did (client). */
    void (*path_changed)(void *ctx, struct stoq_conn *conn);
    /* Text of qlog for stoq_host or a test to store; only when qlog was asked for with stoq_conn_qlog. */
    void (*qlog)(void *ctx, struct stoq_conn *conn, struct stoq_bytes text, bool last);
};

/* --- Endpoint: the core ------------------------------------------------------------------------------------ */

/* Addresses are IPv6; IPv4 is written as ::ffff:a.b.c.d. A local address of all zero bits means unknown. */
struct stoq_path {
    struct sockaddr_in6 local;
    struct sockaddr_in6 remote;
};
/* One or more datagrams of one size from one peer, as GRO gives them: each `segment` bytes but the last, which may be
 * shorter. data may be written to: packets are opened in place. */
struct stoq_packet {
    struct stoq_path path;
    uint8_t *data;
    size_t len;
    size_t segment; /* 1 .. len */
    uint8_t ecn; /* RFC 3168, two bits */
};
/* What to send next: as above, for GSO. */
struct stoq_train {
    struct stoq_path path;
    size_t len;
    size_t segment;
    uint8_t ecn;
};

/* handlers and what config points at (but identity) are copied; ctx pointers must outlive the endpoint. STOQ_EINVAL with
 * the field's name, STOQ_ENOMEM. */
int stoq_endpoint_new(struct stoq_endpoint **out, const struct stoq_config *config,
                      const struct stoq_handlers *handlers, struct stoq_error *error);
/* Ends every connection at once, without a word to the peers (close them before, and send); NULL is fine. */
void stoq_endpoint_free(struct stoq_endpoint *endpoint);

/* Takes datagrams. What is malformed, unknown or above a limit is dropped and counted, never an error. */
void stoq_endpoint_receive(struct stoq_endpoint *endpoint, const struct stoq_packet *packets,
                           size_t count, uint64_t now_ns);
/* Writes the next train into buffer (capacity >= STOQ_TRAIN_BYTES_MAX is best, >= udp_payload_max needed) and
 * returns its length; 0 when there is nothing to send now. Call until 0 after receive, expire and after acting. */
size_t stoq_endpoint_send(struct stoq_endpoint *endpoint, uint8_t *buffer, size_t capacity,
                          struct stoq_train *train, uint64_t now_ns);
/* When expire must be called next; UINT64_MAX: never. */
uint64_t stoq_endpoint_deadline(const struct stoq_endpoint *endpoint);
void stoq_endpoint_expire(struct stoq_endpoint *endpoint, uint64_t now_ns);

struct stoq_target {
    struct stoq_path path;
    const char *name; /* the server's name for SNI and verify, 1 .. STOQ_NAME_BYTES_MAX */
    struct stoq_bytes
        session; /* from the `session` callback of an earlier connection to it; empty: full handshake */
    void *user;
};
/* Starts a connection; `connected` or `closed` follows. STOQ_ELIMIT, STOQ_EINVAL, STOQ_ENOMEM; a session that is
 * malformed or too old is ignored. */
int stoq_endpoint_connect(struct stoq_endpoint *endpoint, const struct stoq_target *target,
                          uint64_t now_ns, struct stoq_conn **out, struct stoq_error *error);
/* No new connections from now on; those there are get STOQ_APP_SHUTDOWN when their last stream has ended, or at
 * deadline_ns. stoq_endpoint_connections tells when it is done. */
void stoq_endpoint_drain(struct stoq_endpoint *endpoint, uint64_t now_ns, uint64_t deadline_ns);
size_t stoq_endpoint_connections(const struct stoq_endpoint *endpoint);

/* --- Connections ------------------------------------------------------------------------------------------- */

struct stoq_conn_info {
    struct stoq_path path;
    bool server, handshake_done, early_accepted, resumed;
    bool handshake_confirmed; /* RFC 9001 section 4.1.2: only now paths and keys may change */
    const char *group,
        *cipher; /* "X25519MLKEM768", "TLS_AES_128_GCM_SHA256"; "" before the handshake; static */
    size_t udp_payload; /* what the path carries now */
    uint64_t rtt_ns, rtt_min_ns, rtt_variation_ns;
    uint64_t congestion_window, in_flight;
    uint64_t bytes_sent, bytes_received; /* UDP payload */
    uint64_t packets_sent, packets_received, packets_lost;
    uint64_t stream_bytes_sent, stream_bytes_received; /* of applications, first transmissions */
    uint64_t datagrams_sent, datagrams_received, datagrams_dropped;
    uint64_t streams_opened, streams_open, key_updates, migrations;
    size_t memory; /* what the connection holds of ours, about */
};
void stoq_conn_get_info(const struct stoq_conn *conn, struct stoq_conn_info *out);
struct stoq_endpoint *stoq_conn_endpoint(struct stoq_conn *conn);
void *stoq_conn_user(const struct stoq_conn *conn);
void stoq_conn_set_user(struct stoq_conn *conn, void *user);
/* The peer's leaf certificate, DER, borrowed until `closed`; empty when it showed none. */
struct stoq_bytes stoq_conn_peer_leaf(const struct stoq_conn *conn);

/* Says goodbye with an application code (< STOQ_APP_CODE_BASE; one that QUIC cannot carry, of 2^62 or more,
 * becomes STOQ_APP_CODE_BASE - 1; so for streams) and a reason (cut at STOQ_REASON_BYTES_MAX; NULL:
 * none). `closed` follows from a later step. Closing twice does nothing. */
void stoq_conn_close(struct stoq_conn *conn, uint64_t code, const char *reason);
/* Changes the rate from now on. STOQ_EINVAL. */
int stoq_conn_set_rate(struct stoq_conn *conn, enum stoq_rate rate, uint64_t rate_bits);
/* New keys (RFC 9001 section 6). STOQ_EBUSY while an update is under way, and before the handshake is
 * confirmed and something sent with the present keys was acknowledged. */
int stoq_conn_update_keys(struct stoq_conn *conn, uint64_t now_ns);
/* Client: goes on from another local address, after validating the path (probe) or at once. STOQ_EBUSY, STOQ_EINVAL. */
int stoq_conn_migrate(struct stoq_conn *conn, const struct sockaddr_in6 *local, bool probe,
                      uint64_t now_ns, struct stoq_error *error);
void stoq_conn_keep_alive(struct stoq_conn *conn, uint64_t every_ns); /* 0: off */
int stoq_conn_qlog(
    struct stoq_conn *conn); /* before the first step of a connect; STOQ_EINVAL later */

/* Queues datagrams (copied), each 1 .. stoq_conn_datagram_size; returns how many were taken, in order. What stays too
 * long unsent is not dropped: the queue's limit pushes back, and `datagrams_writable` follows when there is room. They
 * never travel as 0-RTT data: they wait for the handshake. */
size_t stoq_conn_datagrams(struct stoq_conn *conn, const struct stoq_bytes *list, size_t count);
size_t stoq_conn_datagram_size(const struct stoq_conn *conn); /* 0: the peer takes none */

/* --- Streams ------------------------------------------------------------------------------------------------ */

struct stoq_stream_options {
    bool unidirectional;
    /* class 0 (first) .. STOQ_PRIORITY_CLASSES - 1; a class waits while one before it can send */
    uint8_t priority;
    uint16_t weight; /* share within the class, 1 .. STOQ_WEIGHT_MAX; 0 means 16 */
    /* may travel as 0-RTT data, which an attacker can send again once the ticket is gone elsewhere */
    bool replay_safe;
    struct stoq_bytes tag; /* what the peer's permit callback sees; 0 .. STOQ_TAG_BYTES_MAX bytes */
    void *user;
};
/* options NULL: bidirectional, class 3, weight 16, no tag. STOQ_EBUSY: the peer's limit of streams (wait for
 * streams_available), STOQ_ECLOSED, STOQ_ENOMEM, STOQ_EINVAL. A stream that is not replay-safe waits for the handshake. */
int stoq_conn_open(struct stoq_conn *conn, const struct stoq_stream_options *options,
                   struct stoq_stream **out, struct stoq_error *error);
struct stoq_conn *stoq_stream_conn(struct stoq_stream *stream);
uint64_t stoq_stream_id(const struct stoq_stream *stream);
bool stoq_stream_is_early(
    const struct stoq_stream *stream); /* some of what was received came as 0-RTT data */
struct stoq_bytes stoq_stream_tag(const struct stoq_stream *stream); /* borrowed */
void *stoq_stream_user(const struct stoq_stream *stream);
void stoq_stream_set_user(struct stoq_stream *stream, void *user);
int stoq_stream_set_priority(struct stoq_stream *stream, uint8_t priority, uint16_t weight);

/* Copies up to len bytes in and returns how many, 0 .. len (less than len: wait for `writable`), or STOQ_ECLOSED,
 * STOQ_ENOMEM. fin ends our side if all was taken. */
int64_t stoq_stream_send(struct stoq_stream *stream, const void *data, size_t len, bool fin);
/* Without a copy: data must stay as it is until release(cookie) is called, which happens exactly once if this
 * returns 0: when all of it is acknowledged, or the stream or connection ends. STOQ_EBUSY: the queue is full, wait
 * for `writable`; STOQ_ECLOSED, STOQ_ENOMEM. All of it is taken or none; one piece may be larger than send_queue
 * when the queue is empty. */
int stoq_stream_write(struct stoq_stream *stream, const void *data, size_t len, bool fin,
                      void (*release)(void *cookie), void *cookie);
int stoq_stream_finish(struct stoq_stream *stream); /* nothing more follows; STOQ_ECLOSED */
/* Copies out what waits; 0 .. len. *fin is set when the last byte was read. Gives credit, unless manual_credit. */
size_t stoq_stream_read(struct stoq_stream *stream, void *out, size_t len, bool *fin);
void stoq_stream_credit(struct stoq_stream *stream,
                        uint64_t bytes); /* with manual_credit; at most what was taken */
void stoq_stream_reset(struct stoq_stream *stream, uint64_t code); /* gives up sending */
void stoq_stream_stop(struct stoq_stream *stream,
                      uint64_t code); /* asks the peer to stop; what waits is dropped */
size_t stoq_stream_unsent(const struct stoq_stream *stream); /* queued and not yet acknowledged */

/* --- What was dropped, and why ------------------------------------------------------------------------------- */

/* name, Prometheus name without prefix, help */
#define STOQ_COUNTER_TABLE(X)                                                                \
    X(PACKETS_RECEIVED, "packets_received_total", "UDP datagrams taken")                     \
    X(BYTES_RECEIVED, "bytes_received_total", "Bytes of UDP payload taken")                  \
    X(PACKETS_SENT, "packets_sent_total", "QUIC packets given to the network")               \
    X(BYTES_SENT, "bytes_sent_total", "Bytes of UDP payload given to the network")           \
    X(TRAINS_SENT, "trains_sent_total", "Sends, each one or more packets of one size")       \
    X(ACCEPTED, "connections_accepted_total", "Client handshakes completed")                 \
    X(CONNECTED, "connections_made_total", "Own handshakes completed")                       \
    X(CLOSED, "connections_closed_total", "Connections ended")                               \
    X(HANDSHAKES_FAILED, "handshakes_failed_total", "Handshakes that did not complete")      \
    X(RESUMED, "connections_resumed_total", "Handshakes that resumed a session")             \
    X(EARLY_ACCEPTED, "early_data_accepted_total", "Connections whose 0-RTT data was taken") \
    X(EARLY_REFUSED, "early_data_refused_total",                                             \
      "Connections whose 0-RTT data was refused: replayed or unknown")                       \
    X(RETRIES_SENT, "retries_sent_total", "Retry packets sent to validate an address")       \
    X(VERSIONS_SENT, "version_negotiations_sent_total", "Version negotiation packets sent")  \
    X(RESETS_SENT, "stateless_resets_sent_total", "Stateless resets sent")                   \
    X(DROP_MALFORMED, "dropped_malformed_total", "Datagrams that are no QUIC packet")        \
    X(DROP_SMALL_INITIAL, "dropped_small_initial_total",                                     \
      "Initial packets in datagrams below 1200 bytes")                                       \
    X(DROP_UNKNOWN, "dropped_unknown_connection_total",                                      \
      "Packets for connections that are not here")                                           \
    X(DROP_TOKEN, "dropped_bad_token_total",                                                 \
      "Initial packets with a token that is forged, stale or another's")                     \
    X(DROP_CONNECTIONS, "dropped_connection_limit_total",                                    \
      "Initial packets above the limit of connections")                                      \
    X(DROP_HANDSHAKE_RATE, "dropped_handshake_rate_total",                                   \
      "Initial packets above the rate of handshakes")                                        \
    X(DROP_MEMORY, "dropped_memory_total", "Packets dropped because memory ran out")         \
    X(DROP_DRAINING, "dropped_draining_total", "Initial packets while the endpoint drains")  \
    X(RESET_RATE, "stateless_resets_withheld_total",                                         \
      "Stateless resets withheld by their rate limit")                                       \
    X(STREAMS_DENIED, "streams_denied_total", "Streams whose tag was refused")               \
    X(DATAGRAMS_DROPPED, "datagrams_dropped_total",                                          \
      "Datagrams received with nobody to take them, or as 0-RTT data")                       \
    X(PATH_CHANGES, "path_changes_total", "Validated changes of a peer's address")           \
    X(KEY_UPDATES, "key_updates_total", "Key updates done")                                  \
    X(DROP_STRAY, "dropped_stray_total", "Packets whose connection id names another worker")

enum stoq_counter {
#define STOQ_X(name, text, help) STOQ_COUNT_##name,
    STOQ_COUNTER_TABLE(STOQ_X)
#undef STOQ_X
        STOQ_COUNTERS
};
/* The endpoint's counters since it was made. From any thread: each figure is whole, the set may be of two moments. */
void stoq_endpoint_counters(const struct stoq_endpoint *endpoint, uint64_t out[STOQ_COUNTERS]);
/* Prometheus's text of counters, with prefix "stoq_" and labels ("" or "worker=\"0\""). Returns the length it needs
 * without the NUL; writes at most capacity bytes, always NUL-terminated when capacity > 0. */
size_t stoq_counters_text(const uint64_t counters[STOQ_COUNTERS], const char *labels, char *out,
                          size_t capacity);

/* --- Host: endpoints over UDP -------------------------------------------------------------------------------- */

struct stoq_host;
struct stoq_host_config {
    struct stoq_config endpoint; /* worker_* are set by the host */
    struct stoq_handlers
        handlers; /* run in the workers' threads; of one connection always in the same */
    struct sockaddr_in6
        bind; /* port 0: a free one. All zero: the wildcard address, IPv6 and IPv4 */
    /* 1 .. STOQ_WORKERS_MAX; each its own thread, socket (SO_REUSEPORT) and endpoint */
    unsigned workers;
    /* SO_RCVBUF and SO_SNDBUF asked for; 0: 7 MiB. Less than asked for is not an error */
    size_t socket_buffer;
    const char *interface; /* SO_BINDTODEVICE; NULL: none */
};
void stoq_host_config_default(struct stoq_host_config *config);
/* Opens sockets, starts the workers. STOQ_EIO with the system's reason, and as stoq_endpoint_new. */
int stoq_host_open(struct stoq_host **out, const struct stoq_host_config *config,
                   struct stoq_error *error);
/* Drains for at most drain_ns, then ends the threads. Not from a handler or another act of a worker, which would wait
 * for itself: there it does nothing. NULL is fine. */
void stoq_host_close(struct stoq_host *host, uint64_t drain_ns);
uint16_t stoq_host_port(const struct stoq_host *host); /* any thread */
unsigned stoq_host_workers(const struct stoq_host *host);
/* Runs act(arg, endpoint, now_ns) in a worker's thread, in order of posting. Any thread. STOQ_ELIMIT when 65,536 wait
 * already, STOQ_ECLOSED when the host is closing, STOQ_EINVAL for an unknown worker. */
int stoq_host_post(struct stoq_host *host, unsigned worker,
                   void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                   void *arg);
/* Moves a client host to a new socket on another local address and lets its connections migrate there; any thread.
 * STOQ_EINVAL of a server, which stays where it is (RFC 9000 section 9); STOQ_EUNSUPPORTED with more than one worker. */
int stoq_host_rebind(struct stoq_host *host, const struct sockaddr_in6 *bind,
                     struct stoq_error *error);
/* Sums of the workers' endpoints; any thread. */
void stoq_host_counters(struct stoq_host *host, uint64_t out[STOQ_COUNTERS]);
/* As stoq_counters_text, of all workers; any thread. */
size_t stoq_host_metrics(struct stoq_host *host, char *out, size_t capacity);
/* "[::1]:4433", "10.0.0.1:4433", "::1" with default_port. Numbers only, no name lookup. STOQ_EPARSE. */
int stoq_address_parse(const char *text, uint16_t default_port, struct sockaddr_in6 *out,
                       struct stoq_error *error);
#define STOQ_ADDRESS_TEXT_BYTES 64
void stoq_address_text(const struct sockaddr_in6 *address, char out[STOQ_ADDRESS_TEXT_BYTES]);

/* --- Blocking layer ------------------------------------------------------------------------------------------- */

/* A caller of its own: makes a host with handlers of its own. All of it from any thread; a pipe is read by one
 * thread and written by one at a time. Timeouts in milliseconds; -1 waits for ever. */
struct stoq_caller;
struct stoq_link; /* a connection */
struct stoq_pipe; /* a stream */

/* handlers of config are ignored (but permit). A server caller accepts links, up to 1,024 waiting. */
int stoq_caller_open(struct stoq_caller **out, const struct stoq_host_config *config,
                     struct stoq_error *error);
/* Ends all its links and pipes; pipes and links still held answer STOQ_ECLOSED and must still be released. Not from the
 * permit handler: there it does nothing. */
void stoq_caller_close(struct stoq_caller *caller);
struct stoq_host *stoq_caller_host(struct stoq_caller *caller);

int stoq_link_connect(struct stoq_caller *caller, const struct sockaddr_in6 *remote,
                      const char *name, int timeout_ms, struct stoq_link **out,
                      struct stoq_error *error);
int stoq_link_accept(struct stoq_caller *caller, int timeout_ms, struct stoq_link **out,
                     struct stoq_error *error);
void stoq_link_release(
    struct stoq_link *link); /* the last holder's release closes the connection */
int stoq_link_info(struct stoq_link *link, struct stoq_conn_info *out);

int stoq_pipe_open(struct stoq_link *link, const struct stoq_stream_options *options,
                   int timeout_ms, struct stoq_pipe **out, struct stoq_error *error);
int stoq_pipe_accept(struct stoq_link *link, int timeout_ms, struct stoq_pipe **out,
                     struct stoq_error *error);
/* Up to len bytes, at least one; 0 at the end of the stream; STOQ_ECLOSED after a reset, STOQ_ETIMEOUT. */
int64_t stoq_pipe_read(struct stoq_pipe *pipe, void *out, size_t len, int timeout_ms);
int64_t stoq_pipe_write(struct stoq_pipe *pipe, const void *data, size_t len,
                        int timeout_ms); /* all, or an error */
/* Ends our side; with timeout_ms != 0 waits until the peer has acknowledged everything. */
int stoq_pipe_finish(struct stoq_pipe *pipe, int timeout_ms);
struct stoq_bytes stoq_pipe_tag(const struct stoq_pipe *pipe);
void stoq_pipe_release(struct stoq_pipe *pipe); /* resets what was not finished */

/* A pool: one live link a peer, made when first asked for, shared, remade when it has ended; sessions are kept and
 * resumed. At most links_max; those longest unused are closed first. Any thread. */
struct stoq_pool;
int stoq_pool_new(struct stoq_pool **out, struct stoq_caller *caller, size_t links_max,
                  struct stoq_error *error);
void stoq_pool_free(struct stoq_pool *pool);
/* The link is the caller's to release. Callers that ask at the same time for the same peer share one handshake. */
int stoq_pool_get(struct stoq_pool *pool, const struct sockaddr_in6 *remote, const char *name,
                  int timeout_ms, struct stoq_link **out, struct stoq_error *error);

#ifdef __cplusplus
}
#endif
#endif
