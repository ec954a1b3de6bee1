/* The first packet of a client: limits, address validation, and then a connection (RFC 9000 section 8.1). */
#include "stoq_core.h"

/* Handshakes under way have at most a quarter of the connections, but never fewer than this. */
#define UNFINISHED_MAX_LEAST 64
#define RETRY_TOKEN_NS       (10 * STOQ_NS_PER_S)
#define REGULAR_TOKEN_NS     (24 * 3600 * STOQ_NS_PER_S)

/* Refuses without keeping state. */
static void refuse_token(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                         const ngtcp2_pkt_hd *head)
{
    struct stoq_reply *reply = stoq_reply_open(endpoint, path);

    if (reply != NULL)
        stoq_reply_commit(endpoint, reply,
                          ngtcp2_crypto_write_connection_close(
                              reply->bytes, sizeof(reply->bytes), head->version, &head->scid,
                              &head->dcid, NGTCP2_INVALID_TOKEN, NULL, 0),
                          STOQ_COUNT_DROP_TOKEN);
    else
        stoq_count(endpoint, STOQ_COUNT_DROP_TOKEN, 1);
}

/* Looks at the client's token. False: the packet was dealt with. */
static bool token_check(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                        struct stoq_conn_first *first)
{
    const struct stoq_config *config = &endpoint->config;
    const ngtcp2_pkt_hd *head = &first->head;
    const ngtcp2_sockaddr *remote = (const ngtcp2_sockaddr *)&path->remote;
    uint64_t wall = stoq_endpoint_wall_ns(endpoint);

    first->original = head->dcid;
    if (head->tokenlen == 0)
        return true;
    if (head->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2) {
        if (ngtcp2_crypto_verify_retry_token2(&first->original, head->token, head->tokenlen,
                                              config->secret, sizeof(config->secret), head->version,
                                              remote, sizeof(path->remote), &head->dcid,
                                              RETRY_TOKEN_NS, wall) != 0) {
            refuse_token(endpoint, path, head);
            return false;
        }
        first->retried = true;
        first->token_type = NGTCP2_TOKEN_TYPE_RETRY;
    } else if (head->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR &&
               ngtcp2_crypto_verify_regular_token(
                   head->token, head->tokenlen, config->secret, sizeof(config->secret), remote,
                   sizeof(path->remote), REGULAR_TOKEN_NS, wall) == 0) {
        first->token_type = NGTCP2_TOKEN_TYPE_NEW_TOKEN;
    } else { /* another server's, or too old: as if there were none (RFC 9000 section 8.1.3) */
        stoq_count(endpoint, STOQ_COUNT_DROP_TOKEN, 1);
        return true;
    }
    first->token = head->token;
    first->token_len = head->tokenlen;
    return true;
}

static bool limits_allow(struct stoq_endpoint *endpoint)
{
    const struct stoq_config *config = &endpoint->config;

    size_t unfinished_max = config->connections_max / 4;

    if (unfinished_max < UNFINISHED_MAX_LEAST)
        unfinished_max = UNFINISHED_MAX_LEAST;
    if (endpoint->connections + endpoint->remnants >= config->connections_max ||
        endpoint->handshakes >= unfinished_max) {
        stoq_count(endpoint, STOQ_COUNT_DROP_CONNECTIONS, 1);
        return false;
    }
    if (config->handshakes_per_second != 0 &&
        stoq_bucket_room(&endpoint->handshake_bucket, endpoint->now_ns) < 1) {
        stoq_count(endpoint, STOQ_COUNT_DROP_HANDSHAKE_RATE, 1);
        return false;
    }
    return true;
}

/* Whether a client must show first that it is where it says. Half of the rate of handshakes is kept for those that
 * did: what somebody sends from addresses that are not his must not keep honest clients out. */
static bool retry_wanted(struct stoq_endpoint *endpoint)
{
    const struct stoq_config *config = &endpoint->config;

    if (endpoint->handshakes >= config->handshakes_before_retry)
        return true;
    return config->handshakes_per_second != 0 &&
           stoq_bucket_room(&endpoint->handshake_bucket, endpoint->now_ns) <=
               config->handshakes_per_second / 2;
}

struct stoq_conn *stoq_accept(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                              const uint8_t *data, size_t len)
{
    struct stoq_conn_first first = {0};
    struct stoq_conn *conn = NULL;

    if (ngtcp2_accept(&first.head, data, len) != 0 || first.head.type != NGTCP2_PKT_INITIAL) {
        /* A Handshake or 0-RTT packet of a connection that is not here (yet). */
        ngtcp2_pkt_hd head;
        bool known = ngtcp2_pkt_decode_hd_long(&head, data, len) > 0;
        bool small = known && head.type == NGTCP2_PKT_INITIAL && len < STOQ_UDP_PAYLOAD_MIN;

        stoq_count(endpoint,
                   small   ? STOQ_COUNT_DROP_SMALL_INITIAL
                   : known ? STOQ_COUNT_DROP_UNKNOWN
                           : STOQ_COUNT_DROP_MALFORMED,
                   1);
        return NULL;
    }
    if (len < STOQ_UDP_PAYLOAD_MIN) {
        stoq_count(endpoint, STOQ_COUNT_DROP_SMALL_INITIAL, 1);
        return NULL;
    }
    /* The fixed bit may be 0 only where we have said so before (RFC 9287 section 3.1). */
    if ((data[0] & 0x40) == 0 && first.head.tokenlen == 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MALFORMED, 1);
        return NULL;
    }
    if (endpoint->draining) {
        stoq_count(endpoint, STOQ_COUNT_DROP_DRAINING, 1);
        return NULL;
    }
    if (!limits_allow(endpoint) || !token_check(endpoint, path, &first))
        return NULL;
    if (first.token == NULL && retry_wanted(endpoint)) {
        (void)stoq_reply_retry(endpoint, path, &first.head);
        return NULL;
    }
    if (endpoint->config.handshakes_per_second != 0)
        stoq_bucket_spend(&endpoint->handshake_bucket, 1);
    if (stoq_conn_new_server(&conn, endpoint, path, &first) != 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MEMORY, 1);
        return NULL;
    }
    return conn;
}

int stoq_conn_submit_token(struct stoq_conn *conn)
{
    const struct stoq_config *config = &conn->endpoint->config;
    uint8_t token[NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN];
    const ngtcp2_path *path = ngtcp2_conn_get_path(conn->quic);
    ngtcp2_ssize len = ngtcp2_crypto_generate_regular_token(
        token, config->secret, sizeof(config->secret), path->remote.addr, path->remote.addrlen,
        stoq_endpoint_wall_ns(conn->endpoint));

    if (len < 0)
        return STOQ_EINTERNAL;
    return ngtcp2_conn_submit_new_token(conn->quic, token, (size_t)len) == 0 ? 0 : STOQ_ENOMEM;
}
