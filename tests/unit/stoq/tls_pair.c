/* A client and a server of QUIC in memory. */
#include "tls_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/rand.h>

static struct sockaddr_in6 addresses[2] = {
    {.sin6_family = AF_INET6, .sin6_port = 1, .sin6_addr = IN6ADDR_LOOPBACK_INIT},
    {.sin6_family = AF_INET6, .sin6_port = 2, .sin6_addr = IN6ADDR_LOOPBACK_INIT},
};

static ngtcp2_path path_of(bool server)
{
    return (ngtcp2_path){
        .local = {(ngtcp2_sockaddr *)&addresses[server ? 1 : 0], sizeof(addresses[0])},
        .remote = {(ngtcp2_sockaddr *)&addresses[server ? 0 : 1], sizeof(addresses[0])},
    };
}

static ngtcp2_conn *side_conn(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct tls_side *)ref->user_data)->conn;
}

static void fill(uint8_t *out, size_t len, const ngtcp2_rand_ctx *ctx)
{
    (void)ctx;
    RAND_bytes(out, (int)len);
}

static int new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user)
{
    (void)conn;
    (void)user;
    cid->datalen = len;
    RAND_bytes(cid->data, (int)len);
    RAND_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN);
    return 0;
}

static int on_crypto(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                     const uint8_t *data, size_t len, void *user)
{
    struct tls_side *side = user;
    (void)offset;
    return stoq_tls_crypto_data(side->session, conn, level, data, len);
}

static int on_completed(ngtcp2_conn *conn, void *user)
{
    struct tls_side *side = user;
    side->completed = true;
    if (!ngtcp2_conn_is_server(conn) &&
        stoq_tls_early_status(side->session) == STOQ_TLS_EARLY_REFUSED)
        return ngtcp2_conn_tls_early_data_rejected(conn);
    return 0;
}

static int on_confirmed(ngtcp2_conn *conn, void *user)
{
    struct tls_side *side = user;
    (void)conn;
    side->confirmed = true;
    stoq_tls_confirmed(side->session);
    return 0;
}

static int on_stream(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                     const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct tls_side *side = user;
    (void)conn;
    (void)id;
    (void)offset;
    (void)data;
    (void)stream_user;
    side->bytes += (int)len;
    if (flags & NGTCP2_STREAM_DATA_FLAG_0RTT)
        side->early_bytes += (int)len;
    return 0;
}

static void on_ticket(void *ctx, struct stoq_bytes ticket)
{
    struct tls_side *side = ctx;
    uint8_t parameters[256];
    uint8_t *packed = NULL;
    size_t packed_len = 0;
    ngtcp2_ssize len = ngtcp2_conn_encode_0rtt_transport_params(side->conn, parameters,
                                                                sizeof(parameters));
    assert_true(len > 0);
    struct stoq_session session = {.ticket = ticket, .parameters = {parameters, (size_t)len}};
    if (stoq_session_pack(&session, &packed, &packed_len) != 0)
        return; /* out of memory, on purpose */
    hm_buf_clear(&side->ticket);
    (void)hm_buf_append(&side->ticket, packed, packed_len); /* as above */
    hm_free(packed);
}

static ngtcp2_callbacks callbacks_of(bool server)
{
    ngtcp2_callbacks callbacks = {
        .recv_crypto_data = on_crypto,
        .handshake_completed = on_completed,
        .handshake_confirmed = on_confirmed,
        .recv_stream_data = on_stream,
        .rand = fill,
        .get_new_connection_id = new_cid,
        .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
        .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
    };
    if (server) {
        callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
        /* A server's handshake is confirmed as soon as it is complete; ngtcp2 tells clients only. */
    } else {
        callbacks.client_initial = ngtcp2_crypto_client_initial_cb;
        callbacks.recv_retry = ngtcp2_crypto_recv_retry_cb;
    }
    stoq_protect_install(&callbacks);
    return callbacks;
}

static ngtcp2_transport_params parameters_of(void)
{
    ngtcp2_transport_params params;
    ngtcp2_transport_params_default(&params);
    params.initial_max_streams_bidi = 10;
    params.initial_max_data = 100000;
    params.initial_max_stream_data_bidi_local = 50000;
    params.initial_max_stream_data_bidi_remote = 50000;
    params.active_connection_id_limit = 2;
    return params;
}

static void side_prepare(struct tls_side *side)
{
    side->ref.get_conn = side_conn;
    side->ref.user_data = side;
}

static void open_client(struct tls_pair *pair, struct stoq_tls *tls, struct stoq_bytes resume,
                        bool early)
{
    struct tls_side *side = &pair->client;
    struct stoq_tls_events events = {side, on_ticket};
    struct stoq_session session = {0};
    ngtcp2_callbacks callbacks = callbacks_of(false);
    ngtcp2_transport_params params = parameters_of();
    ngtcp2_settings settings;
    ngtcp2_path path = path_of(false);
    ngtcp2_cid dcid = {.datalen = 16};
    ngtcp2_cid scid = {.datalen = 16};

    RAND_bytes(dcid.data, 16);
    RAND_bytes(scid.data, 16);
    ngtcp2_settings_default(&settings);
    settings.initial_ts = pair->now_ns;
    if (resume.len > 0)
        assert_int_equal(stoq_session_parse(resume, &session), 0);
    side_prepare(side);
    assert_int_equal(stoq_tls_session_new(&side->session, tls, false, "server.test", session.ticket,
                                          &side->ref, &events, NULL),
                     0);
    assert_int_equal(ngtcp2_conn_client_new(&side->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
                                            &callbacks, &settings, &params, NULL, side),
                     0);
    ngtcp2_conn_set_tls_native_handle(side->conn, stoq_tls_native(side->session));
    pair->early_tried = early && stoq_tls_early_possible(side->session);
    if (pair->early_tried)
        assert_int_equal(ngtcp2_conn_decode_and_set_0rtt_transport_params(
                             side->conn, session.parameters.data, session.parameters.len),
                         0);
    else
        stoq_tls_early_withdraw(side->session);
}

static void open_server(struct tls_pair *pair, struct stoq_tls *tls, const uint8_t *data,
                        size_t len)
{
    struct tls_side *side = &pair->server;
    ngtcp2_callbacks callbacks = callbacks_of(true);
    ngtcp2_transport_params params = parameters_of();
    ngtcp2_settings settings;
    ngtcp2_path path = path_of(true);
    ngtcp2_cid scid = {.datalen = 16};
    ngtcp2_pkt_hd head;

    assert_int_equal(ngtcp2_accept(&head, data, len), 0);
    RAND_bytes(scid.data, 16);
    ngtcp2_settings_default(&settings);
    settings.initial_ts = pair->now_ns;
    params.original_dcid = head.dcid;
    params.original_dcid_present = 1;
    side_prepare(side);
    assert_int_equal(stoq_tls_session_new(&side->session, tls, true, NULL,
                                          (struct stoq_bytes){NULL, 0}, &side->ref, NULL, NULL),
                     0);
    assert_int_equal(ngtcp2_conn_server_new(&side->conn, &head.scid, &scid, &path, head.version,
                                            &callbacks, &settings, &params, NULL, side),
                     0);
    ngtcp2_conn_set_tls_native_handle(side->conn, stoq_tls_native(side->session));
}

static size_t side_write(struct tls_pair *pair, bool server, uint8_t *out, size_t capacity)
{
    struct tls_side *side = server ? &pair->server : &pair->client;
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    ngtcp2_path_storage_zero(&path);
    pair->now_ns += 1000;
    ngtcp2_ssize len = ngtcp2_conn_write_pkt(side->conn, &path.path, &info, out, capacity,
                                             pair->now_ns);
    if (len < 0) {
        side->close_code = len == NGTCP2_ERR_CRYPTO
                               ? NGTCP2_CRYPTO_ERROR | ngtcp2_conn_get_tls_alert(side->conn)
                               : 1;
        return 0;
    }
    return (size_t)len;
}

static int side_read(struct tls_pair *pair, bool server, const uint8_t *data, size_t len)
{
    struct tls_side *side = server ? &pair->server : &pair->client;
    ngtcp2_path path = path_of(server);
    ngtcp2_pkt_info info = {0};
    pair->now_ns += 1000;
    int rc = ngtcp2_conn_read_pkt(side->conn, &path, &info, data, len, pair->now_ns);
    if (rc != 0)
        side->close_code = rc == NGTCP2_ERR_CRYPTO
                               ? NGTCP2_CRYPTO_ERROR | ngtcp2_conn_get_tls_alert(side->conn)
                               : 1;
    if (rc == 0 && server && side->completed && !side->confirmed) {
        side->confirmed = true;
        stoq_tls_confirmed(side->session);
    }
    return rc;
}

/* The first flight with five bytes of a stream behind it. */
static size_t early_write(struct tls_pair *pair, uint8_t *out, size_t capacity)
{
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    int64_t id = 0;
    ngtcp2_ssize taken = -1;
    ngtcp2_vec vec = {(uint8_t *)(uintptr_t) "early", 5};
    ngtcp2_path_storage_zero(&path);
    pair->now_ns += 1000;
    (void)ngtcp2_conn_open_bidi_stream(pair->client.conn, &id, NULL);
    ngtcp2_ssize len = ngtcp2_conn_writev_stream(pair->client.conn, &path.path, &info, out,
                                                 capacity, &taken, NGTCP2_WRITE_STREAM_FLAG_FIN, 0,
                                                 &vec, 1, pair->now_ns);
    if (taken == 5)
        pair->early_tried = false; /* sent */
    return len < 0 ? 0 : (size_t)len;
}

static size_t client_write(struct tls_pair *pair, uint8_t *out, size_t capacity)
{
    size_t len = pair->early_tried ? early_write(pair, out, capacity)
                                   : side_write(pair, false, out, capacity);
    if (len > 0 && !pair->heard && pair->flight_count < TLS_FLIGHT_MAX) {
        memcpy(pair->flight[pair->flight_count], out, len);
        pair->flight_len[pair->flight_count++] = len;
    }
    return len;
}

void tls_pair_replay(struct tls_pair *copy, const struct tls_pair *original,
                     struct stoq_tls *server)
{
    *copy = (struct tls_pair){.now_ns = original->now_ns};
    open_server(copy, server, original->flight[0], original->flight_len[0]);
    for (size_t i = 0; i < original->flight_count; i++)
        assert_int_equal(side_read(copy, true, original->flight[i], original->flight_len[i]), 0);
}

void tls_pair_open(struct tls_pair *pair, struct stoq_tls *client, struct stoq_tls *server,
                   struct stoq_bytes resume, bool early)
{
    uint8_t packet[TLS_DATAGRAM_BYTES];
    *pair = (struct tls_pair){.now_ns = 1000000000};
    open_client(pair, client, resume, early);
    size_t len = client_write(pair, packet, sizeof(packet));
    assert_true(len >= 1200);
    open_server(pair, server, packet, len);
    (void)side_read(pair, true, packet, len);
}

void tls_pair_run(struct tls_pair *pair)
{
    uint8_t packet[TLS_DATAGRAM_BYTES];
    for (int idle = 0, steps = 0; idle < 2 && steps < 200; steps++) {
        bool server = steps % 2 == 1;
        if (pair->client.close_code != 0 || pair->server.close_code != 0)
            return;
        idle++;
        for (int burst = 0; burst < 20; burst++) {
            size_t len = server ? side_write(pair, true, packet, sizeof(packet))
                                : client_write(pair, packet, sizeof(packet));
            if (len == 0)
                break;
            idle = 0;
            pair->heard = pair->heard || server;
            if (side_read(pair, !server, packet, len) != 0)
                return;
        }
    }
}

void tls_pair_release(struct tls_pair *pair)
{
    /* One session before its connection and one after: both orders are promised. */
    stoq_tls_session_free(pair->client.session);
    ngtcp2_conn_del(pair->client.conn);
    ngtcp2_conn_del(pair->server.conn);
    stoq_tls_session_free(pair->server.session);
    hm_buf_release(&pair->client.ticket);
    hm_buf_release(&pair->server.ticket);
    *pair = (struct tls_pair){0};
}

uint64_t tls_wall(void *wall)
{
    return *(uint64_t *)wall;
}

struct stoq_config tls_config(bool server, struct stoq_identity *identity, stoq_verify_fn verify,
                              void *verify_ctx, uint64_t *wall)
{
    struct stoq_config config = {0};
    config.server = server;
    config.identity = identity;
    config.verify = verify;
    config.verify_ctx = verify_ctx;
    config.alpn = "stoq-test";
    config.early_data = true;
    config.wall_seconds = tls_wall;
    config.world_ctx = wall;
    memset(config.secret, 7, sizeof(config.secret));
    return config;
}
