/* An endpoint: what its connections share. */
#include "stoq_config.h"
#include "stoq_core.h"

static uint64_t wall_seconds_of_system(void *ctx)
{
    (void)ctx;
    return hm_wall_ms(hm_clock_system()) / 1000;
}

static int random_of_system(void *ctx, void *out, size_t len)
{
    const struct hm_random *source = hm_random_system();

    (void)ctx;
    return source->fill(source->ctx, out, len);
}

int stoq_endpoint_random(struct stoq_endpoint *endpoint, void *out, size_t len)
{
    return (endpoint->config.random)(endpoint->config.world_ctx, out, len) == 0 ? 0 : STOQ_EIO;
}

uint64_t stoq_endpoint_wall_ns(struct stoq_endpoint *endpoint)
{
    return endpoint->config.wall_seconds(endpoint->config.world_ctx) * STOQ_NS_PER_S;
}

int stoq_endpoint_cid(struct stoq_endpoint *endpoint, ngtcp2_cid *out)
{
    const struct stoq_config *config = &endpoint->config;
    uint8_t bytes[STOQ_CID_BYTES];

    for (int tries = 0; tries < 8; tries++) {
        if (stoq_endpoint_random(endpoint, bytes, sizeof(bytes)) != 0)
            return STOQ_EIO;
        /* The first byte, modulo the number of workers, names ours; the highest values would favour some. */
        unsigned share = 256U / config->worker_count;
        bytes[0] = (uint8_t)(bytes[0] % share * config->worker_count + config->worker_index);
        if (stoq_table_get(&endpoint->table, bytes, sizeof(bytes)) == NULL) {
            ngtcp2_cid_init(out, bytes, sizeof(bytes));
            return 0;
        }
    }
    return STOQ_EIO;
}

int stoq_conn_cid_add(struct stoq_conn *conn, const ngtcp2_cid *cid)
{
    if (conn->cid_count == STOQ_CIDS_PER_CONN)
        return STOQ_ELIMIT;
    if (conn->cid_count == conn->cid_capacity) {
        size_t capacity = conn->cid_capacity + 4;
        ngtcp2_cid *cids = hm_realloc(conn->cids, capacity * sizeof(*cids));

        if (cids == NULL)
            return STOQ_ENOMEM;
        conn->cids = cids;
        conn->cid_capacity = capacity;
    }
    int rc = stoq_table_put(&conn->endpoint->table, cid->data, cid->datalen, conn);
    if (rc == 0)
        conn->cids[conn->cid_count++] = *cid;
    return rc;
}

void stoq_conn_cid_remove(struct stoq_conn *conn, const ngtcp2_cid *cid)
{
    for (size_t i = 0; i < conn->cid_count; i++) {
        if (ngtcp2_cid_eq(&conn->cids[i], cid)) {
            stoq_table_remove(&conn->endpoint->table, cid->data, cid->datalen);
            conn->cids[i] = conn->cids[--conn->cid_count];
            return;
        }
    }
}

void stoq_conn_token_add(struct stoq_conn *conn, const uint8_t *token)
{
    if (conn->token_count == STOQ_TOKENS_PER_CONN)
        stoq_conn_token_remove(conn, conn->tokens[0]);
    if (stoq_table_put(&conn->endpoint->tokens, token, NGTCP2_STATELESS_RESET_TOKENLEN, conn) == 0)
        memcpy(conn->tokens[conn->token_count++], token, NGTCP2_STATELESS_RESET_TOKENLEN);
}

void stoq_conn_token_remove(struct stoq_conn *conn, const uint8_t *token)
{
    for (uint8_t i = 0; i < conn->token_count; i++) {
        if (hm_equal_ct(conn->tokens[i], token, NGTCP2_STATELESS_RESET_TOKENLEN)) {
            if (stoq_table_get(&conn->endpoint->tokens, conn->tokens[i],
                               NGTCP2_STATELESS_RESET_TOKENLEN) == conn)
                stoq_table_remove(&conn->endpoint->tokens, conn->tokens[i],
                                  NGTCP2_STATELESS_RESET_TOKENLEN);
            conn->token_count--;
            memmove(conn->tokens[i], conn->tokens[i + 1],
                    (size_t)(conn->token_count - i) * NGTCP2_STATELESS_RESET_TOKENLEN);
            return;
        }
    }
}

void stoq_conn_ready(struct stoq_conn *conn)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    if (conn->ready)
        return;
    conn->ready = true;
    conn->ready_after = NULL;
    conn->ready_before = endpoint->ready_last;
    if (endpoint->ready_last != NULL)
        endpoint->ready_last->ready_after = conn;
    else
        endpoint->ready_first = conn;
    endpoint->ready_last = conn;
}

void stoq_conn_unready(struct stoq_conn *conn)
{
    struct stoq_endpoint *endpoint = conn->endpoint;

    if (!conn->ready)
        return;
    conn->ready = false;
    if (conn->ready_before != NULL)
        conn->ready_before->ready_after = conn->ready_after;
    else
        endpoint->ready_first = conn->ready_after;
    if (conn->ready_after != NULL)
        conn->ready_after->ready_before = conn->ready_before;
    else
        endpoint->ready_last = conn->ready_before;
    conn->ready_before = conn->ready_after = NULL;
}

void stoq_endpoint_link(struct stoq_endpoint *endpoint, struct stoq_conn *conn)
{
    conn->after = endpoint->all;
    if (endpoint->all != NULL)
        endpoint->all->before = conn;
    endpoint->all = conn;
}

void stoq_endpoint_unlink(struct stoq_conn *conn)
{
    if (conn->before != NULL)
        conn->before->after = conn->after;
    else if (conn->endpoint->all == conn)
        conn->endpoint->all = conn->after;
    if (conn->after != NULL)
        conn->after->before = conn->before;
    conn->before = conn->after = NULL;
}

/* What config points at is copied; functions not given are the system's. */
static int config_copy(struct stoq_endpoint *endpoint, const struct stoq_config *config,
                       struct stoq_error *error)
{
    static const uint8_t none[sizeof(config->secret)];

    endpoint->config = *config;
    endpoint->config.identity = config->identity != NULL ? stoq_identity_ref(config->identity)
                                                         : NULL;
    memcpy(endpoint->alpn, config->alpn, strlen(config->alpn) + 1);
    endpoint->config.alpn = endpoint->alpn;
    endpoint->config.qlog_folder = config->qlog_folder != NULL
                                       ? ""
                                       : NULL; /* that it is wanted; the host has the name */
    if (config->wall_seconds == NULL)
        endpoint->config.wall_seconds = wall_seconds_of_system;
    if (config->random == NULL)
        endpoint->config.random = random_of_system;
    if (memcmp(endpoint->config.secret, none, sizeof(none)) == 0 &&
        stoq_endpoint_random(endpoint, endpoint->config.secret, sizeof(none)) != 0)
        return stoq_fail(error, STOQ_EIO, "there are no random bytes to make a secret of");
    return 0;
}

static int endpoint_fill(struct stoq_endpoint *endpoint, struct stoq_error *error)
{
    const struct stoq_config *config = &endpoint->config;
    uint8_t key[16];

    if (stoq_endpoint_random(endpoint, key, sizeof(key)) != 0)
        return stoq_fail(error, STOQ_EIO, "there are no random bytes to make a table's key of");
    if (stoq_table_init(&endpoint->table, key) != 0 || stoq_table_init(&endpoint->tokens, key) != 0)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for an endpoint");
    endpoint->replies = hm_calloc(STOQ_REPLIES_MAX, sizeof(*endpoint->replies));
    if (endpoint->replies == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for an endpoint");
    uint64_t handshakes = config->handshakes_per_second;
    stoq_bucket_init(&endpoint->handshake_bucket, handshakes * 8, handshakes > 0 ? handshakes : 1,
                     0);
    stoq_bucket_init(&endpoint->reset_bucket, STOQ_RESETS_PER_S * 8ULL, STOQ_RESETS_PER_S, 0);
    endpoint->ngtcp2_known = ngtcp2_version(0)->version_num >> 8 == 0x0116;
    stoq_conn_callbacks(&endpoint->callbacks);
    stoq_protect_install(&endpoint->callbacks);
    endpoint->encrypt = endpoint->callbacks.encrypt;
    endpoint->decrypt = endpoint->callbacks.decrypt;
    endpoint->callbacks.encrypt = stoq_frames_encrypt; /* they look, and hand on */
    endpoint->callbacks.decrypt = stoq_frames_decrypt;
    int rc = stoq_tls_setup(error);
    if (rc == 0 && stoq_endpoint_tokens_init(endpoint) != 0)
        rc = stoq_fail(error, STOQ_EINTERNAL, "OpenSSL has no AES-256-ECB or SHA-256 here");
    return rc != 0 ? rc : stoq_tls_new(&endpoint->tls, config, error);
}

int stoq_endpoint_new(struct stoq_endpoint **out, const struct stoq_config *config,
                      const struct stoq_handlers *handlers, struct stoq_error *error)
{
    int rc = stoq_config_check(config, error);

    if (rc != 0)
        return rc;
    if (handlers == NULL)
        return stoq_fail(error, STOQ_EINVAL, "handlers are missing; an empty table will do");
    struct stoq_endpoint *endpoint = hm_calloc(1, sizeof(*endpoint));
    if (endpoint == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for an endpoint");
    endpoint->handlers = *handlers;
    endpoint->drain_ns = STOQ_NEVER;
    stoq_timers_init(&endpoint->timers);
    rc = config_copy(endpoint, config, error);
    if (rc == 0)
        rc = endpoint_fill(endpoint, error);
    if (rc != 0) {
        stoq_endpoint_free(endpoint);
        return rc;
    }
    *out = endpoint;
    return 0;
}

void stoq_endpoint_free(struct stoq_endpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    endpoint->draining = true; /* nothing new from the callbacks below */
    while (endpoint->all != NULL) {
        struct stoq_conn *conn = endpoint->all;

        if (conn->quic == NULL) {
            stoq_conn_free(conn);
            continue;
        }
        stoq_conn_end(conn, STOQ_CLOSE_DROPPED, 0, true, "the endpoint was freed");
        conn->silent = true;
        stoq_conn_finish(conn, endpoint->now_ns);
    }
    stoq_tls_free(endpoint->tls);
    stoq_endpoint_tokens_release(endpoint);
    stoq_table_release(&endpoint->table);
    stoq_table_release(&endpoint->tokens);
    stoq_timers_release(&endpoint->timers);
    hm_free(endpoint->replies);
    hm_free(endpoint->batch);
    hm_free(endpoint->opened);
    stoq_identity_unref(endpoint->config.identity);
    hm_wipe(endpoint->config.secret, sizeof(endpoint->config.secret));
    hm_free(endpoint);
}

size_t stoq_endpoint_connections(const struct stoq_endpoint *endpoint)
{
    return endpoint->connections;
}

void stoq_endpoint_counters(const struct stoq_endpoint *endpoint, uint64_t out[STOQ_COUNTERS])
{
    for (size_t i = 0; i < STOQ_COUNTERS; i++)
        out[i] = __atomic_load_n(&endpoint->counters[i], __ATOMIC_RELAXED);
}
