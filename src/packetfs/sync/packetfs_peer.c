#include "sync/packetfs_peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "crypto.h"

#define PEER_KEEP_ALIVE_NS    10000000000ULL
#define PEER_IDLE_NS          30000000000ULL
#define PEER_STREAM_WINDOW    ((uint64_t)8 << 20)
#define PEER_CONNECTIONS_MAX  256
#define PEER_RETRY_HANDSHAKES 32
#define PEER_LAST_WORD_MS     2000
#define PEER_REASON_MS        200 /* the reason of an end comes a moment after the end */
#define PEER_SMALL_PAYLOAD    1232 /* every path of IPv6 carries that: nothing to find out */

struct packetfs_peer {
    struct stoq_identity *identity;
    struct stoq_caller *caller;
    uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint8_t shown[CRYPTO_HASH_BYTES]; /* of a stranger: hash of our certificate */
    uint8_t seen[CRYPTO_HASH_BYTES]; /* of a stranger who calls: hash of the one he was shown */
};

struct packetfs_stream {
    struct stoq_link *link;
    struct stoq_pipe *pipe;
    bool broken;
    struct stoq_error why;
    uint8_t shown[CRYPTO_HASH_BYTES]; /* of strangers: both certificates */
};

static int from_stoq(int code, const struct stoq_error *why, const char *what,
                     struct hm_error *error)
{
    switch (code) {
    case STOQ_EAUTH:
    case STOQ_EPERM:
        return hm_fail(error, HM_EAUTH,
                       "%s: the peer does not have this volume's key, or we not its", what);
    case STOQ_ETIMEOUT:
        return hm_fail(error, HM_ETIMEOUT, "%s: %s", what, why->text);
    case STOQ_ENOMEM:
        return hm_fail(error, HM_ENOMEM, "%s: no memory", what);
    case STOQ_EIO:
        return hm_fail(error, HM_EIO, "%s: %s", what, why->text);
    case STOQ_EINVAL:
    case STOQ_EPARSE:
        return hm_fail(error, HM_EINVAL, "%s: %s", what, why->text);
    default:
        return hm_fail(error, HM_EUNAVAILABLE, "%s: %s", what, why->text);
    }
}

/* --- an end ----------------------------------------------------------------------------------------------------------- */

static int peer_verify(void *ctx, const struct stoq_peer *shown, uint8_t *alert,
                       struct stoq_error *error)
{
    const struct packetfs_peer *peer = ctx;

    (void)alert;
    if (shown->count == 1 &&
        packetfs_peer_is_ours(hm_slice_of(shown->chain[0].data, shown->chain[0].len),
                              peer->public_key))
        return 0;
    error->code = STOQ_EAUTH;
    (void)snprintf(error->text, sizeof(error->text), "the peer does not have this volume's key");
    return STOQ_EAUTH;
}

static int peer_identity(struct packetfs_peer *peer, const struct packetfs_peer_options *options,
                         struct hm_error *error)
{
    struct crypto_ed25519_key link;
    HM_CLEANUP(hm_buf) struct hm_buf certificate = {0};
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    struct stoq_error why = {0};
    int rc = packetfs_peer_certificate(options->keys, options->kind, &certificate, &key, error);

    crypto_ed25519_from_seed(&link, options->keys->link[options->kind]);
    memcpy(peer->public_key, link.public_key, sizeof(peer->public_key));
    crypto_ed25519_wipe(&link);
    if (rc == 0) {
        rc = stoq_identity_new(&peer->identity,
                               (struct stoq_bytes){certificate.data, certificate.len},
                               (struct stoq_bytes){key.data, key.len}, &why);
        if (rc != 0)
            rc = from_stoq(rc, &why, "the volume's certificate", error);
    }
    if (rc == 0) {
        struct stoq_bytes leaf = stoq_identity_leaf(peer->identity);
        crypto_hash(leaf.data, leaf.len, peer->shown);
    }
    if (key.data != NULL)
        hm_wipe(key.data, key.cap);
    return rc;
}

/* --- strangers: a connection is known by the certificates of its two ends ----------------------------------------------- */

static int stranger_verify(void *ctx, const struct stoq_peer *shown, uint8_t *alert,
                           struct stoq_error *error)
{
    struct packetfs_peer *peer = ctx;

    (void)alert;
    if (shown->count != 1) {
        error->code = STOQ_EAUTH;
        (void)snprintf(error->text, sizeof(error->text), "the peer shows %zu certificates",
                       shown->count);
        return STOQ_EAUTH;
    }
    if (shown->expected_name != NULL) /* we called: one connection */
        crypto_hash(shown->chain[0].data, shown->chain[0].len, peer->seen);
    return 0;
}

/* Who calls says the hash of his certificate with the stream; here it is compared with what he showed on the stream's connection. */
static int stranger_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag,
                           bool bidirectional)
{
    struct stoq_bytes leaf = stoq_conn_peer_leaf(conn);
    uint8_t hash[CRYPTO_HASH_BYTES];

    (void)ctx;
    crypto_hash(leaf.data, leaf.len, hash);
    return bidirectional && leaf.len > 0 && tag.len == sizeof(hash) &&
                   memcmp(tag.data, hash, sizeof(hash)) == 0
               ? 0
               : STOQ_EPERM;
}

static void stranger_shown(struct packetfs_stream *stream, const uint8_t *caller,
                           const uint8_t *called)
{
    const struct hm_slice both[] = {{caller, CRYPTO_HASH_BYTES}, {called, CRYPTO_HASH_BYTES}};

    crypto_hash_parts("hypermesh packetfs 1 handover channel", both, HM_COUNT_OF(both),
                      stream->shown);
}

static int stranger_keys(struct packetfs_keys *keys, struct hm_error *error)
{
    *keys = (struct packetfs_keys){0};
    return hm_random_system()->fill(NULL, keys->link[PACKETFS_REFERENCE], PACKETFS_KEY_BYTES) != 0
               ? hm_fail(error, HM_EIO, "the source of random bytes failed")
               : 0;
}

static void peer_configure(struct stoq_host_config *config, struct packetfs_peer *peer,
                           const struct packetfs_peer_options *options)
{
    stoq_host_config_default(config);
    config->endpoint.identity = peer->identity;
    config->endpoint.verify = peer_verify;
    config->endpoint.verify_ctx = peer;
    config->endpoint.server = options->server;
    config->endpoint.alpn = options->kind == PACKETFS_REFERENCE ? "packetfs-r/1" : "packetfs-p/1";
    config->endpoint.stream_tags = false;
    config->endpoint.datagram_max = 0;
    config->endpoint.streams_bidi = 1;
    config->endpoint.streams_uni = 0;
    config->endpoint.idle_timeout_ns = PEER_IDLE_NS;
    config->endpoint.keep_alive_ns = PEER_KEEP_ALIVE_NS;
    config->endpoint.stream_window = PEER_STREAM_WINDOW;
    config->endpoint.connection_window = PEER_STREAM_WINDOW;
    config->endpoint.connections_max = PEER_CONNECTIONS_MAX;
    config->endpoint.handshakes_before_retry = PEER_RETRY_HANDSHAKES;
    if (!options->bulk)
        config->endpoint.udp_payload = config->endpoint.udp_payload_max = PEER_SMALL_PAYLOAD;
    config->bind = options->bind;
    if (options->stranger) {
        config->endpoint.verify = stranger_verify;
        config->endpoint.alpn = "packetfs-h/1";
        config->endpoint.stream_tags = true;
        config->handlers.permit = stranger_permit;
        config->handlers.ctx = peer;
    }
}

static int peer_open(const struct packetfs_peer_options *options, struct packetfs_peer **out,
                     struct hm_error *error)
{
    struct packetfs_peer *peer = hm_calloc(1, sizeof(*peer));
    struct stoq_host_config config;
    struct stoq_error why = {0};
    int rc;

    if (peer == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a connection");
    rc = peer_identity(peer, options, error);
    if (rc == 0) {
        peer_configure(&config, peer, options);
        rc = stoq_caller_open(&peer->caller, &config, &why);
        if (rc != 0)
            rc = from_stoq(rc, &why, options->server ? "cannot listen" : "cannot connect", error);
    }
    if (rc != 0) {
        packetfs_peer_free(peer);
        return rc;
    }
    *out = peer;
    return 0;
}

int packetfs_peer_open(const struct packetfs_peer_options *options, struct packetfs_peer **out,
                       struct hm_error *error)
{
    struct packetfs_peer_options own = *options;
    struct packetfs_keys keys;
    int rc;

    if (!options->stranger)
        return peer_open(options, out, error);
    own.keys = &keys;
    own.kind = PACKETFS_REFERENCE;
    rc = stranger_keys(&keys, error);
    if (rc == 0)
        rc = peer_open(&own, out, error);
    packetfs_keys_release(&keys);
    return rc;
}

void packetfs_peer_close(struct packetfs_peer *peer)
{
    if (peer == NULL || peer->caller == NULL)
        return;
    stoq_caller_close(peer->caller);
    peer->caller = NULL;
}

void packetfs_peer_free(struct packetfs_peer *peer)
{
    if (peer == NULL)
        return;
    packetfs_peer_close(peer);
    stoq_identity_unref(peer->identity);
    hm_free(peer);
}

uint16_t packetfs_peer_port(const struct packetfs_peer *peer)
{
    return stoq_host_port(stoq_caller_host(peer->caller));
}

void packetfs_peer_bytes(struct packetfs_peer *peer, uint64_t *sent, uint64_t *received)
{
    uint64_t counters[STOQ_COUNTERS];

    if (peer == NULL || peer->caller == NULL)
        return;
    stoq_host_counters(stoq_caller_host(peer->caller), counters);
    *sent += counters[STOQ_COUNT_BYTES_SENT];
    *received += counters[STOQ_COUNT_BYTES_RECEIVED];
}

/* --- streams ------------------------------------------------------------------------------------------------------------- */

/* A refusal that came after our own handshake was complete ends a stream without words; the link has them. */
static int64_t stream_broke(struct packetfs_stream *stream, int64_t code)
{
    struct stoq_pipe *other = NULL;

    stream->broken = true;
    if (code == STOQ_ECLOSED) {
        code = stoq_pipe_accept(stream->link, PEER_REASON_MS, &other, &stream->why);
        stoq_pipe_release(other);
    }
    return code == STOQ_EAUTH || code == STOQ_EPERM ? HM_EAUTH : HM_EUNAVAILABLE;
}

static int64_t stream_read(void *ctx, void *out, size_t len, int timeout_ms)
{
    struct packetfs_stream *stream = ctx;
    int64_t got = stoq_pipe_read(stream->pipe, out, len, timeout_ms);

    if (got >= 0 || got == STOQ_ETIMEOUT || got == STOQ_ENOMEM)
        return got == STOQ_ETIMEOUT ? HM_ETIMEOUT : got == STOQ_ENOMEM ? HM_ENOMEM : got;
    return stream_broke(stream, got);
}

static int64_t stream_write(void *ctx, const void *data, size_t len, int timeout_ms)
{
    struct packetfs_stream *stream = ctx;
    int64_t sent = stoq_pipe_write(stream->pipe, data, len, timeout_ms);

    if (sent >= 0)
        return sent;
    if (sent != STOQ_ETIMEOUT && sent != STOQ_ENOMEM)
        return stream_broke(stream, sent);
    stream->broken = true;
    return sent == STOQ_ETIMEOUT ? HM_ETIMEOUT : HM_ENOMEM;
}

static const char *stream_reason(void *ctx)
{
    const struct packetfs_stream *stream = ctx;

    return stream->why.text[0] != '\0' ? stream->why.text : NULL;
}

struct packetfs_channel packetfs_stream_channel(struct packetfs_stream *stream)
{
    return (struct packetfs_channel){stream, stream_read, stream_write, stream_reason};
}

static int stream_new(struct stoq_link *link, struct packetfs_stream **out, struct hm_error *error)
{
    struct packetfs_stream *stream = hm_calloc(1, sizeof(*stream));

    if (stream == NULL) {
        stoq_link_release(link);
        return hm_fail(error, HM_ENOMEM, "no memory for a connection");
    }
    stream->link = link;
    *out = stream;
    return 0;
}

int packetfs_peer_connect(struct packetfs_peer *peer, const struct sockaddr_in6 *remote,
                          int timeout_ms, struct packetfs_stream **out, struct hm_error *error)
{
    struct packetfs_stream *stream = NULL;
    struct stoq_link *link = NULL;
    struct stoq_error why = {0};
    /* Sent between strangers alone: otherwise streams have no tags. */
    const struct stoq_stream_options tagged = {
        .priority = 3, .weight = 16, .tag = {peer->shown, sizeof(peer->shown)}};
    /* A literal: no name goes over the wire, and none is asked for. */
    int rc = stoq_link_connect(peer->caller, remote, "::1", timeout_ms, &link, &why);

    if (rc != 0)
        return from_stoq(rc, &why, "no connection", error);
    rc = stream_new(link, &stream, error);
    if (rc != 0)
        return rc;
    rc = stoq_pipe_open(link, &tagged, timeout_ms, &stream->pipe, &why);
    if (rc != 0) {
        packetfs_stream_free(stream);
        return from_stoq(rc, &why, "no connection", error);
    }
    stranger_shown(stream, peer->shown, peer->seen);
    *out = stream;
    return 0;
}

int packetfs_peer_accept(struct packetfs_peer *peer, int timeout_ms, struct packetfs_stream **out,
                         struct hm_error *error)
{
    struct stoq_link *link = NULL;
    struct stoq_error why = {0};
    int rc = stoq_link_accept(peer->caller, timeout_ms, &link, &why);

    if (rc != 0)
        return from_stoq(rc, &why, "cannot listen", error);
    rc = stream_new(link, out, error);
    if (rc == 0)
        memcpy((*out)->shown, peer->shown, sizeof(peer->shown)); /* until the stream is there */
    return rc;
}

int packetfs_stream_begin(struct packetfs_stream *stream, int timeout_ms, struct hm_error *error)
{
    struct stoq_error why = {0};
    int rc = stoq_pipe_accept(stream->link, timeout_ms, &stream->pipe, &why);
    uint8_t called[CRYPTO_HASH_BYTES];
    struct stoq_bytes tag;

    if (rc != 0)
        return from_stoq(rc, &why, "the peer", error);
    tag = stoq_pipe_tag(stream->pipe);
    memcpy(called, stream->shown, sizeof(called));
    if (tag.len == CRYPTO_HASH_BYTES)
        stranger_shown(stream, tag.data, called);
    return 0;
}

void packetfs_stream_shown(const struct packetfs_stream *stream, uint8_t out[32])
{
    memcpy(out, stream->shown, sizeof(stream->shown));
}

void packetfs_stream_free(struct packetfs_stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->pipe != NULL && !stream->broken)
        (void)stoq_pipe_finish(stream->pipe, PEER_LAST_WORD_MS);
    stoq_pipe_release(stream->pipe);
    stoq_link_release(stream->link);
    hm_free(stream);
}

void packetfs_stream_address(struct packetfs_stream *stream, char out[STOQ_ADDRESS_TEXT_BYTES])
{
    struct stoq_conn_info info;

    if (stoq_link_info(stream->link, &info) == 0)
        stoq_address_text(&info.path.remote, out);
    else
        (void)snprintf(out, STOQ_ADDRESS_TEXT_BYTES, "a peer");
}

/* --- addresses ------------------------------------------------------------------------------------------------------------- */

/* HOST:PORT, HOST; host by name. */
static int resolve(const char *text, struct sockaddr_in6 *out, struct hm_error *error)
{
    const struct addrinfo hints = {
        .ai_family = AF_INET6, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    HM_AUTOFREE char *host = hm_strndup(text, len);
    char port[8];
    struct addrinfo *found = NULL;
    int rc;

    if (host == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an address");
    (void)snprintf(port, sizeof(port), "%.6s", colon != NULL ? colon + 1 : "4478");
    if (len == 0 || port[0] == '\0' || strspn(port, "0123456789") != strlen(port))
        return hm_fail(error, HM_EINVAL, "\"%.100s\" is no address: write HOST or HOST:PORT", text);
    rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0 || found == NULL || found->ai_addrlen != sizeof(*out))
        rc = hm_fail(error, HM_EUNAVAILABLE, "%.100s is not found: %s", host,
                     rc != 0 ? gai_strerror(rc) : "no address");
    else
        memcpy(out, found->ai_addr, sizeof(*out));
    if (found != NULL)
        freeaddrinfo(found);
    return rc;
}

int packetfs_peer_address(const char *text, bool passive, struct sockaddr_in6 *out,
                          struct hm_error *error)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons(PACKETFS_PORT_DEFAULT)};
    struct stoq_error why = {0};
    int rc = 0;

    if (text == NULL && !passive)
        return hm_fail(error, HM_EINVAL, "no address of a peer was given");
    if (text != NULL && stoq_address_parse(text, PACKETFS_PORT_DEFAULT, &address, &why) != 0) {
        if (passive)
            return hm_fail(error, HM_EINVAL, "cannot listen at \"%.100s\": %s", text, why.text);
        rc = resolve(text, &address, error);
    }
    if (rc == 0)
        *out = address;
    return rc;
}
