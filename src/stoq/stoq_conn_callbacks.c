/* What ngtcp2 tells of a connection. Everything here runs inside ngtcp2: nothing is freed, no packet written. */
#include "stoq_config.h"
#include "stoq_core.h"

#define FAILED NGTCP2_ERR_CALLBACK_FAILURE

void stoq_conn_announce(struct stoq_conn *conn)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    if (conn->announced || conn->ending || !conn->server)
        return;
    conn->announced = true; /* so that what `accepted` calls finds a live connection */
    if (endpoint->handlers.accepted != NULL &&
        endpoint->handlers.accepted(endpoint->handlers.ctx, conn) != 0) {
        conn->announced = false;
        stoq_conn_end_application(conn, STOQ_APP_REFUSED, "the connection was refused");
    }
}

static void early_result(struct stoq_conn *conn)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    if (stoq_tls_resumed(conn->tls))
        stoq_count(endpoint, STOQ_COUNT_RESUMED, 1);
    if (!conn->server && conn->early_offered) {
        conn->early_taken = !conn->early_refused;
        stoq_count(endpoint,
                   conn->early_taken ? STOQ_COUNT_EARLY_ACCEPTED : STOQ_COUNT_EARLY_REFUSED, 1);
    } else if (conn->server && conn->early_taken) {
        stoq_count(endpoint, STOQ_COUNT_EARLY_ACCEPTED, 1);
    }
}

static int on_crypto(ngtcp2_conn *quic, ngtcp2_encryption_level level, uint64_t offset,
                     const uint8_t *data, size_t len, void *user)
{
    struct stoq_conn *conn = user;

    (void)offset;
    int rc = stoq_tls_crypto_data(conn->tls, quic, level, data, len);
    if (conn->server && !conn->early_refused &&
        stoq_tls_early_status(conn->tls) == STOQ_TLS_EARLY_REFUSED) {
        conn->early_refused = true;
        stoq_count(conn->endpoint, STOQ_COUNT_EARLY_REFUSED, 1);
    }
    return rc;
}

static int on_key(ngtcp2_conn *quic, ngtcp2_encryption_level level, void *user)
{
    if (level != NGTCP2_ENCRYPTION_LEVEL_1RTT ||
        ngtcp2_conn_get_remote_transport_params(quic) != NULL)
        return 0;
    return stoq_tls_no_parameters(((struct stoq_conn *)user)->tls, quic);
}

/* ngtcp2 1.22 counts an id twice while it stands for two paths (a client that comes back while its new path is being
 * validated), and would find a peer that keeps to the limit guilty. So it bears two more than the peer was told. The
 * parameters are ngtcp2's own, lent as const; they were sent already, and a later version, which was not looked at, is
 * left alone. */
static void cids_bear(const struct stoq_endpoint *endpoint, ngtcp2_conn *quic)
{
    if (!endpoint->ngtcp2_known)
        return;
    ngtcp2_transport_params *own = (ngtcp2_transport_params *)(uintptr_t)
        ngtcp2_conn_get_local_transport_params(quic);

    own->active_connection_id_limit = STOQ_CIDS_BORNE;
}

static int on_handshake_completed(ngtcp2_conn *quic, void *user)
{
    struct stoq_conn *conn = user;
    struct stoq_endpoint *endpoint = conn->endpoint;

    conn->handshake_done = true;
    cids_bear(endpoint, quic);
    if (conn->early_offered && stoq_tls_early_status(conn->tls) != STOQ_TLS_EARLY_ACCEPTED &&
        ngtcp2_conn_tls_early_data_rejected(quic) != 0)
        return FAILED;
    early_result(conn);
    stoq_count(endpoint, conn->server ? STOQ_COUNT_ACCEPTED : STOQ_COUNT_CONNECTED, 1);
    if (conn->server) {
        conn->confirmed = true;
        endpoint->handshakes--;
        if (conn->first_dcid.datalen > 0) {
            stoq_conn_cid_remove(conn, &conn->first_dcid);
            conn->first_dcid.datalen = 0;
        }
        if (stoq_conn_submit_token(conn) == STOQ_ENOMEM)
            return FAILED;
        stoq_conn_announce(conn);
        stoq_tls_confirmed(conn->tls);
    } else {
        if (conn->early_refused)
            stoq_streams_reopen(conn);
        if (endpoint->handlers.connected != NULL && !conn->ending)
            endpoint->handlers.connected(endpoint->handlers.ctx, conn);
    }
    for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after)
        stoq_stream_kick(stream);
    stoq_conn_drained(conn);
    return 0;
}

static int on_handshake_confirmed(ngtcp2_conn *quic, void *user)
{
    struct stoq_conn *conn = user;

    (void)quic;
    conn->confirmed = true;
    stoq_tls_confirmed(conn->tls);
    return 0;
}

static int on_early_rejected(ngtcp2_conn *quic, void *user)
{
    struct stoq_conn *conn = user;

    (void)quic;
    conn->early_refused = true;
    /* ngtcp2 has forgotten its streams; they come back when the handshake is complete. */
    for (struct stoq_stream *stream = conn->streams; stream != NULL; stream = stream->after)
        stoq_sched_remove(&conn->sched, &stream->node);
    return 0;
}

/* --- ids, keys, paths ------------------------------------------------------------------------------------------- */

static void on_rand(uint8_t *out, size_t len, const ngtcp2_rand_ctx *ctx)
{
    if (stoq_endpoint_random(ctx->native_handle, out, len) != 0)
        memset(out, 0, len); /* only where predictable bytes do no harm, says ngtcp2 */
}

static int on_new_cid(ngtcp2_conn *quic, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
                      size_t len, void *user)
{
    struct stoq_conn *conn = user;
    struct stoq_endpoint *endpoint = conn->endpoint;

    (void)quic;
    if (len != STOQ_CID_BYTES || stoq_endpoint_cid(endpoint, cid) != 0 ||
        stoq_endpoint_token(endpoint, cid->data, token->data) != 0 ||
        stoq_conn_cid_add(conn, cid) != 0)
        return FAILED;
    return 0;
}

static int on_remove_cid(ngtcp2_conn *quic, const ngtcp2_cid *cid, void *user)
{
    struct stoq_conn *conn = user;
    ngtcp2_cid *place = &conn->retired[conn->retired_next++ % STOQ_CIDS_RETIRED];

    (void)quic;
    if (place->datalen > 0)
        stoq_conn_cid_remove(conn, place);
    *place = *cid;
    return 0;
}

/* By its token a stateless reset finds the connection that it ends (RFC 9000 section 10.3.1). */
static int on_dcid(ngtcp2_conn *quic, ngtcp2_connection_id_status_type type, uint64_t seq,
                   const ngtcp2_cid *cid, const ngtcp2_stateless_reset_token *token, void *user)
{
    struct stoq_conn *conn = user;

    (void)quic;
    (void)seq;
    (void)cid;
    if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE && conn->handshake_done)
        conn->past_handshake = true; /* the first time is when a client leaves its handshake */
    if (token == NULL)
        return 0;
    if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_DEACTIVATE)
        stoq_conn_token_remove(user, token->data);
    else if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE)
        stoq_conn_token_add(user, token->data);
    return 0;
}

static int on_challenge(ngtcp2_conn *quic, ngtcp2_path_challenge_data *data, void *user)
{
    (void)quic;
    return stoq_endpoint_random(((struct stoq_conn *)user)->endpoint, data->data,
                                sizeof(data->data)) == 0
               ? 0
               : FAILED;
}

static int on_path_begin(ngtcp2_conn *quic, uint32_t flags, const ngtcp2_path *path,
                         const ngtcp2_path *fallback, void *user)
{
    (void)flags;
    (void)fallback;
    /* A probe of another path, or of the old one after a change, is not what is sent over. */
    if (ngtcp2_path_eq(path, ngtcp2_conn_get_path(quic)))
        stoq_conn_path_validating(user);
    return 0;
}

static int on_path_validation(ngtcp2_conn *quic, uint32_t flags, const ngtcp2_path *path,
                              const ngtcp2_path *fallback, ngtcp2_path_validation_result result,
                              void *user)
{
    struct stoq_conn *conn = user;

    (void)fallback;
    (void)path;
    (void)quic;
    conn->validating = false;
    if (result != NGTCP2_PATH_VALIDATION_RESULT_SUCCESS)
        return 0;
    if (conn->server && (flags & NGTCP2_PATH_VALIDATION_FLAG_NEW_TOKEN) != 0 &&
        stoq_conn_submit_token(conn) == STOQ_ENOMEM)
        return FAILED;
    conn->path_told = true; /* what the path is now is asked when ngtcp2 has returned */
    return 0;
}

static int on_new_token(ngtcp2_conn *quic, const uint8_t *token, size_t len, void *user)
{
    struct stoq_conn *conn = user;

    (void)quic;
    if (len > STOQ_TOKEN_BYTES_MAX)
        return 0;
    uint8_t *copy = hm_malloc(len);
    if (copy == NULL)
        return 0; /* the next connection goes without */
    memcpy(copy, token, len);
    hm_free(conn->token);
    conn->token = copy;
    conn->token_len = len;
    return 0;
}

static int on_stateless_reset(ngtcp2_conn *quic, const ngtcp2_pkt_stateless_reset2 *reset,
                              void *user)
{
    (void)quic;
    (void)reset;
    stoq_conn_end(user, STOQ_CLOSE_RESET, 0, true, "the peer has lost the connection");
    return 0;
}

void stoq_conn_callbacks(ngtcp2_callbacks *callbacks)
{
    *callbacks = (ngtcp2_callbacks){
        .client_initial = ngtcp2_crypto_client_initial_cb,
        .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
        .recv_crypto_data = on_crypto,
        .recv_tx_key = on_key,
        .recv_retry = ngtcp2_crypto_recv_retry_cb,
        .encrypt = ngtcp2_crypto_encrypt_cb,
        .decrypt = ngtcp2_crypto_decrypt_cb,
        .hp_mask = ngtcp2_crypto_hp_mask_cb,
        .update_key = ngtcp2_crypto_update_key_cb,
        .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
        .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
        .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
        .rand = on_rand,
        .get_new_connection_id2 = on_new_cid,
        .remove_connection_id = on_remove_cid,
        .dcid_status2 = on_dcid,
        .get_path_challenge_data2 = on_challenge,
        .begin_path_validation = on_path_begin,
        .path_validation = on_path_validation,
        .handshake_completed = on_handshake_completed,
        .handshake_confirmed = on_handshake_confirmed,
        .tls_early_data_rejected = on_early_rejected,
        .recv_new_token = on_new_token,
        .recv_stateless_reset2 = on_stateless_reset,
    };
    stoq_conn_callbacks_streams(callbacks);
}
