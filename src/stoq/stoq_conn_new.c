/* How a connection is made: settings and transport parameters for ngtcp2, its TLS session, its ids. */
#include <malloc.h>

#include "stoq_core.h"

/* Path MTUs met in the world: Ethernet, FDDI, jumbo frames, loopback, the largest of IPv6. */
static const uint16_t probe_sizes[] = {
    1232, 1372, 1400, 1452, 4000, 8952, 16000, 32000, STOQ_UDP_PAYLOAD_MAX};
#define PROBES_MAX (HM_COUNT_OF(probe_sizes) + 2)

/* --- memory of ngtcp2, counted per connection ------------------------------------------------------------------- */

static void memory_gone(void *ptr, struct stoq_conn *conn)
{
    if (ptr != NULL)
        conn->memory -= malloc_usable_size(ptr);
}

static void *memory_come(void *ptr, struct stoq_conn *conn)
{
    if (ptr != NULL)
        conn->memory += malloc_usable_size(ptr);
    return ptr;
}

static void *memory_malloc(size_t size, void *conn)
{
    return memory_come(hm_malloc(size), conn);
}

static void memory_free(void *ptr, void *conn)
{
    if (ptr != NULL && ptr == ((struct stoq_conn *)conn)->endpoint->opened)
        return;
    memory_gone(ptr, conn);
    hm_free(ptr);
}

static void *memory_calloc(size_t count, size_t size, void *conn)
{
    return memory_come(hm_calloc(count, size), conn);
}

/* The one thing that ngtcp2 makes by realloc of nothing with 2,048 bytes or more is the buffer that a packet is
 * decrypted into: it grows to the largest packet, is never given back, and holds nothing between packets. All
 * connections of an endpoint share one; 10,000 of them would have 640 MB otherwise, and none of it in a cache. Only
 * with a version of ngtcp2 that was looked at (ngtcp2_known). */
static uint8_t *opened_share(struct stoq_endpoint *endpoint, const void *ptr, size_t size)
{
    bool first = ptr == NULL && size >= 2048;
    bool again = ptr != NULL && ptr == endpoint->opened;

    if (!endpoint->ngtcp2_known || !(first || again) || size > STOQ_OPENED_BYTES)
        return NULL;
    if (endpoint->opened == NULL)
        endpoint->opened = hm_malloc(STOQ_OPENED_BYTES);
    return endpoint->opened;
}

static void *memory_realloc(void *ptr, size_t size, void *conn)
{
    struct stoq_endpoint *endpoint = ((struct stoq_conn *)conn)->endpoint;
    uint8_t *shared = opened_share(endpoint, ptr, size);

    if (shared != NULL)
        return shared;
    if (ptr != NULL && ptr == endpoint->opened) /* larger than any packet */
        return NULL;
    size_t before = ptr != NULL ? malloc_usable_size(ptr) : 0;
    void *after = hm_realloc(ptr, size);

    if (after != NULL) {
        struct stoq_conn *owner = conn;
        owner->memory -= before;
        (void)memory_come(after, owner);
    }
    return after;
}

/* --- settings --------------------------------------------------------------------------------------------------- */

static size_t probes_fill(const struct stoq_config *config, uint16_t out[PROBES_MAX])
{
    size_t count = 0;
    size_t first = config->udp_payload > STOQ_UDP_PAYLOAD_MIN ? config->udp_payload : 0;

    if (first != 0)
        out[count++] = (uint16_t)first;
    for (size_t i = 0; i < HM_COUNT_OF(probe_sizes); i++) {
        if (probe_sizes[i] > STOQ_UDP_PAYLOAD_MIN && probe_sizes[i] != first &&
            probe_sizes[i] < config->udp_payload_max)
            out[count++] = probe_sizes[i];
    }
    if (config->udp_payload_max > STOQ_UDP_PAYLOAD_MIN && config->udp_payload_max != first)
        out[count++] = (uint16_t)config->udp_payload_max;
    return count;
}

static void settings_fill(struct stoq_conn *conn, ngtcp2_settings *settings,
                          uint16_t probes[PROBES_MAX])
{
    static const ngtcp2_cc_algo algorithms[] = {NGTCP2_CC_ALGO_CUBIC, NGTCP2_CC_ALGO_BBR,
                                                NGTCP2_CC_ALGO_RENO};
    const struct stoq_config *config = &conn->endpoint->config;

    ngtcp2_settings_default(settings);
    settings->cc_algo = algorithms[config->congestion];
    settings->initial_ts = conn->endpoint->now_ns;
    settings->max_tx_udp_payload_size = config->udp_payload_max;
    settings->handshake_timeout = config->handshake_timeout_ns;
    settings->rand_ctx.native_handle = conn->endpoint;
    /* Windows are fixed: what the configuration says is what may be on its way. */
    settings->max_window = 0;
    settings->max_stream_window = 0;
    /* A batch is read before an answer is written, so that one acknowledgement serves many packets anyway; asking for
     * one only each 8 packets when they come singly halves the acknowledgements' share of a bulk transfer. */
    settings->ack_thresh = 8;
    if (config->udp_payload == config->udp_payload_max) {
        settings->no_pmtud = 1;
        settings->no_tx_udp_payload_size_shaping = 1;
    } else {
        settings->pmtud_probes = probes;
        settings->pmtud_probeslen = probes_fill(config, probes);
    }
    if (conn->endpoint->handlers.qlog != NULL || conn->endpoint->qlog_to != NULL)
        settings->qlog_write = stoq_qlog_write;
}

static void params_fill(const struct stoq_config *config, ngtcp2_transport_params *params)
{
    ngtcp2_transport_params_default(params);
    params->initial_max_stream_data_bidi_local = config->stream_window;
    params->initial_max_stream_data_bidi_remote = config->stream_window;
    params->initial_max_stream_data_uni = config->stream_window;
    params->initial_max_data = config->connection_window;
    params->initial_max_streams_bidi = config->streams_bidi;
    params->initial_max_streams_uni = config->streams_uni;
    params->max_idle_timeout = config->idle_timeout_ns;
    params->active_connection_id_limit = STOQ_CIDS_ASKED;
    params->max_datagram_frame_size = config->datagram_max > 0 ? config->datagram_max + 9 : 0;
    params->grease_quic_bit = 1;
}

/* --- making ----------------------------------------------------------------------------------------------------- */

static ngtcp2_conn *ref_conn(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct stoq_conn *)ref->user_data)->quic;
}

static struct stoq_conn *conn_alloc(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                                    bool server)
{
    struct stoq_conn *conn = hm_calloc(1, sizeof(*conn));

    if (conn == NULL)
        return NULL;
    conn->endpoint = endpoint;
    conn->server = server;
    conn->path = *path;
    conn->mem = (ngtcp2_mem){.user_data = conn,
                             .malloc = memory_malloc,
                             .free = memory_free,
                             .calloc = memory_calloc,
                             .realloc = memory_realloc};
    conn->ref = (ngtcp2_crypto_conn_ref){.get_conn = ref_conn, .user_data = conn};
    conn->qlog_on = endpoint->config.qlog_folder != NULL || endpoint->qlog_to != NULL;
    stoq_timer_init(&conn->timer);
    stoq_sched_init(&conn->sched);
    if (stoq_timers_reserve(&endpoint->timers) != 0) {
        hm_free(conn);
        return NULL;
    }
    stoq_endpoint_link(endpoint, conn);
    stoq_rate_init(conn, endpoint->now_ns);
    return conn;
}

static int tls_attach(struct stoq_conn *conn, const char *name, struct stoq_bytes resume,
                      struct stoq_error *error)
{
    struct stoq_tls_events events = {
        .ctx = conn, .ticket = conn->endpoint->handlers.session != NULL ? stoq_conn_session : NULL};
    int rc = stoq_tls_session_new(&conn->tls, conn->endpoint->tls, conn->server, name, resume,
                                  &conn->ref, &events, error);

    if (rc == 0)
        ngtcp2_conn_set_tls_native_handle(conn->quic, stoq_tls_native(conn->tls));
    return rc;
}

static void conn_begun(struct stoq_conn *conn)
{
    conn->keep_alive_ns = conn->endpoint->config.keep_alive_ns;
    stoq_conn_keep_alive_set(conn, conn->endpoint->now_ns);
    conn->endpoint->connections++;
}

int stoq_conn_new_server(struct stoq_conn **out, struct stoq_endpoint *endpoint,
                         const struct stoq_path *path, const struct stoq_conn_first *first)
{
    uint16_t probes[PROBES_MAX];
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_path at;
    ngtcp2_cid scid;
    int rc = stoq_endpoint_cid(endpoint, &scid);
    struct stoq_conn *conn = rc == 0 ? conn_alloc(endpoint, path, true) : NULL;

    if (conn == NULL)
        return rc != 0 ? rc : STOQ_ENOMEM;
    settings_fill(conn, &settings, probes);
    settings.token = first->token;
    settings.tokenlen = first->token_len;
    settings.token_type = first->token_type;
    params_fill(&endpoint->config, &params);
    params.original_dcid_present = 1;
    params.original_dcid = first->original;
    params.retry_scid_present = first->retried;
    params.retry_scid = first->head.dcid;
    params.stateless_reset_token_present = 1;
    rc = stoq_endpoint_token(endpoint, scid.data, params.stateless_reset_token);
    stoq_conn_path(path, &at);
    if (rc == 0 &&
        ngtcp2_conn_server_new(&conn->quic, &first->head.scid, &scid, &at, first->head.version,
                               &endpoint->callbacks, &settings, &params, &conn->mem, conn) != 0)
        rc = STOQ_ENOMEM;
    if (rc == 0)
        rc = stoq_conn_cid_add(conn, &scid);
    if (rc == 0)
        rc = stoq_conn_cid_add(conn, &first->head.dcid);
    if (rc == 0) {
        conn->first_dcid = first->head.dcid;
        conn->trace_id = first->original;
        rc = tls_attach(conn, NULL, (struct stoq_bytes){0}, NULL);
    }
    if (rc != 0) {
        stoq_conn_free(conn);
        return rc;
    }
    conn_begun(conn);
    endpoint->handshakes++;
    *out = conn;
    return 0;
}

/* Parameters and token that came with the ticket. */
static void early_prepare(struct stoq_conn *conn, const struct stoq_session *session)
{
    if (!stoq_tls_early_possible(conn->tls))
        return;
    conn->early_offered = conn->endpoint->config.early_data && session->parameters.len > 0 &&
                          ngtcp2_conn_decode_and_set_0rtt_transport_params(
                              conn->quic, session->parameters.data, session->parameters.len) == 0;
    if (!conn->early_offered)
        stoq_tls_early_withdraw(conn->tls);
}

static int client_make(struct stoq_conn *conn, const struct stoq_target *target,
                       struct stoq_error *error)
{
    struct stoq_endpoint *endpoint = conn->endpoint;
    struct stoq_session session = {0};
    uint16_t probes[PROBES_MAX];
    uint8_t first[18];
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_path at;
    ngtcp2_cid scid, dcid;

    if (target->session.len > 0 && stoq_session_parse(target->session, &session) != 0)
        session = (struct stoq_session){0};
    settings_fill(conn, &settings, probes);
    if (session.token.len > 0) {
        settings.token = session.token.data;
        settings.tokenlen = session.token.len;
    }
    params_fill(&endpoint->config, &params);
    stoq_conn_path(&target->path, &at);
    if (stoq_endpoint_cid(endpoint, &scid) != 0 ||
        stoq_endpoint_random(endpoint, first, sizeof(first)) != 0)
        return stoq_fail(error, STOQ_EIO, "there are no random bytes for a connection");
    ngtcp2_cid_init(&dcid, first, sizeof(first));
    if (ngtcp2_conn_client_new(&conn->quic, &dcid, &scid, &at, NGTCP2_PROTO_VER_V1,
                               &endpoint->callbacks, &settings, &params, &conn->mem, conn) != 0 ||
        stoq_conn_cid_add(conn, &scid) != 0)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a connection");
    conn->trace_id = dcid;
    int rc = tls_attach(conn, target->name, session.ticket, error);
    if (rc != 0)
        return rc;
    early_prepare(conn, &session);
    return 0;
}

static int target_check(const struct stoq_endpoint *endpoint, const struct stoq_target *target,
                        struct stoq_error *error)
{
    size_t name = target->name != NULL ? strlen(target->name) : 0;

    if (name < 1 || name > STOQ_NAME_BYTES_MAX)
        return stoq_fail(error, STOQ_EINVAL, "the server's name must have 1 to %d bytes",
                         STOQ_NAME_BYTES_MAX);
    if (target->path.remote.sin6_family != AF_INET6 || target->path.remote.sin6_port == 0)
        return stoq_fail(error, STOQ_EINVAL, "the remote address is no IPv6 address with a port");
    if (endpoint->draining)
        return stoq_fail(error, STOQ_ECLOSED, "the endpoint shuts down");
    if (endpoint->connections + endpoint->remnants >= endpoint->config.connections_max)
        return stoq_fail(error, STOQ_ELIMIT, "the endpoint has %zu connections, its limit",
                         endpoint->connections + endpoint->remnants);
    return 0;
}

int stoq_endpoint_connect(struct stoq_endpoint *endpoint, const struct stoq_target *target,
                          uint64_t now_ns, struct stoq_conn **out, struct stoq_error *error)
{
    int rc = target_check(endpoint, target, error);

    if (rc != 0)
        return rc;
    stoq_endpoint_clock_later(endpoint, now_ns);
    struct stoq_target known = *target;
    known.path.local.sin6_family = AF_INET6;
    struct stoq_conn *conn = conn_alloc(endpoint, &known.path, false);
    if (conn == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a connection");
    conn->local_unknown = IN6_IS_ADDR_UNSPECIFIED(&known.path.local.sin6_addr);
    conn->read_local = known.path.local;
    conn->user = target->user;
    rc = client_make(conn, &known, error);
    if (rc != 0) {
        stoq_conn_free(conn);
        return rc;
    }
    conn_begun(conn);
    conn->announced = true;
    stoq_conn_ready(conn);
    *out = conn;
    return 0;
}

void stoq_conn_free(struct stoq_conn *conn)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    while (conn->cid_count > 0)
        stoq_conn_cid_remove(conn, &conn->cids[0]);
    while (conn->token_count > 0)
        stoq_conn_token_remove(conn, conn->tokens[0]);
    if (conn->remnant_failed)
        endpoint->remnants_failed--;
    else if (conn->remnant)
        endpoint->remnants--;
    while (conn->datagrams != NULL)
        stoq_datagram_pop(conn);
    stoq_timers_set(&endpoint->timers, &conn->timer, STOQ_NEVER);
    stoq_timers_unreserve(&endpoint->timers);
    stoq_conn_unready(conn);
    stoq_endpoint_unlink(conn);
    ngtcp2_conn_del(conn->quic);
    stoq_tls_session_free(conn->tls);
    hm_free(conn->token);
    hm_free(conn->qlog_head);
    hm_free(conn->close_text);
    hm_free(conn->last_packet);
    hm_free(conn->cids);
    hm_free(conn);
}
