/* qlog: ngtcp2 writes its text from the first moment of a connection, so what comes before an application has asked is
 * kept until the first step. */
#include "stoq_core.h"

#define HEAD_BYTES_MAX 4096

void stoq_endpoint_qlog_to(struct stoq_endpoint *endpoint,
                           void (*write)(void *ctx, struct stoq_conn *conn, struct stoq_bytes text,
                                         bool last),
                           void *ctx)
{
    endpoint->qlog_to = write;
    endpoint->qlog_to_ctx = ctx;
}

static void tell(struct stoq_conn *conn, const void *data, size_t len, bool last)
{
    const struct stoq_endpoint *endpoint = conn->endpoint;
    struct stoq_bytes text = {.data = data, .len = len};

    if (endpoint->handlers.qlog != NULL && conn->announced)
        endpoint->handlers.qlog(endpoint->handlers.ctx, conn, text, last);
    if (endpoint->qlog_to != NULL)
        endpoint->qlog_to(endpoint->qlog_to_ctx, conn, text, last);
}

static void head_keep(struct stoq_conn *conn, const void *data, size_t len)
{
    if (conn->server || conn->bytes_sent > 0 || len > HEAD_BYTES_MAX - conn->qlog_head_len) {
        conn->qlog_closed_for_asking = true;
        hm_free(conn->qlog_head);
        conn->qlog_head = NULL;
        conn->qlog_head_len = 0;
        return;
    }
    uint8_t *grown = hm_realloc(conn->qlog_head, conn->qlog_head_len + len);
    if (grown == NULL) {
        conn->qlog_closed_for_asking = true;
        return;
    }
    memcpy(grown + conn->qlog_head_len, data, len);
    conn->qlog_head = grown;
    conn->qlog_head_len += len;
}

void stoq_qlog_write(void *user, uint32_t flags, const void *data, size_t len)
{
    struct stoq_conn *conn = user;

    (void)flags; /* the last call comes from stoq_qlog_end, while the connection is still there */
    if (len == 0 || conn->finished)
        return;
    if (conn->qlog_on)
        tell(conn, data, len, false);
    else if (!conn->qlog_closed_for_asking)
        head_keep(conn, data, len);
}

int stoq_conn_qlog(struct stoq_conn *conn)
{
    if (conn->qlog_on)
        return 0;
    if (conn->endpoint->handlers.qlog == NULL || conn->server || conn->bytes_sent > 0 ||
        conn->qlog_closed_for_asking || conn->quic == NULL)
        return STOQ_EINVAL;
    conn->qlog_on = true;
    if (conn->qlog_head_len > 0)
        tell(conn, conn->qlog_head, conn->qlog_head_len, false);
    hm_free(conn->qlog_head);
    conn->qlog_head = NULL;
    conn->qlog_head_len = 0;
    return 0;
}

void stoq_qlog_end(struct stoq_conn *conn)
{
    if (conn->qlog_on)
        tell(conn, "", 0, true);
    conn->qlog_on = false;
}
