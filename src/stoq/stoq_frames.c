/* Looks at packets before they are sealed, for what ngtcp2 has no callback for: RESET_STREAM frames (RFC 9000
 * section 19) and the key phase; and, until something sent in the key phase was acknowledged, at those that were
 * opened. */
#include "stoq_core.h"

/* Whose packet this thread is writing; NULL outside stoq_frames_begin and _end. ngtcp2's encryption callback has no
 * argument that tells. */
static _Thread_local struct stoq_conn *writing;

struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t varint(struct cursor *c)
{
    if (c->at == c->end) {
        c->bad = true;
        return 0;
    }
    size_t size = (size_t)1 << (*c->at >> 6);
    if ((size_t)(c->end - c->at) < size) {
        c->bad = true;
        return 0;
    }
    uint64_t value = *c->at++ & 0x3f;
    for (size_t i = 1; i < size; i++)
        value = value << 8 | *c->at++;
    return value;
}

static void skip(struct cursor *c, uint64_t bytes)
{
    if (bytes > (uint64_t)(c->end - c->at))
        c->bad = true;
    else
        c->at += bytes;
}

static void skip_varints(struct cursor *c, int count)
{
    while (count-- > 0 && !c->bad)
        (void)varint(c);
}

/* The largest number that is acknowledged. */
static uint64_t skip_ack(struct cursor *c, bool ecn)
{
    uint64_t largest = varint(c);
    skip_varints(c, 1);
    uint64_t ranges = varint(c);
    skip_varints(c, 1);
    for (; ranges > 0 && !c->bad; ranges--)
        skip_varints(c, 2);
    if (ecn)
        skip_varints(c, 3);
    return largest;
}

/* How many bytes a STREAM frame has; its stream. */
static uint64_t skip_stream(struct cursor *c, uint64_t type, uint64_t *id)
{
    *id = varint(c);
    skip_varints(c, (type & 4) != 0 ? 1 : 0);
    uint64_t len = (type & 2) != 0 ? varint(c) : (uint64_t)(c->end - c->at);
    skip(c, len);
    return len;
}

/* Moves past a frame; false: one that it does not know, or the rest is of no interest. */
static bool skip_frame(struct cursor *c, uint64_t type)
{
    switch (type) {
    case 0x01: /* PING */
    case 0x1e: /* HANDSHAKE_DONE */
        return true;
    case 0x05: /* STOP_SENDING */
    case 0x11: /* MAX_STREAM_DATA */
    case 0x15: /* STREAM_DATA_BLOCKED */
        skip_varints(c, 2);
        return true;
    case 0x06: /* CRYPTO */
        skip_varints(c, 1);
        skip(c, varint(c));
        return true;
    case 0x07: /* NEW_TOKEN */
        skip(c, varint(c));
        return true;
    case 0x10: /* MAX_DATA */
    case 0x12: /* MAX_STREAMS */
    case 0x13:
    case 0x14: /* DATA_BLOCKED */
    case 0x16: /* STREAMS_BLOCKED */
    case 0x17:
    case 0x19: /* RETIRE_CONNECTION_ID */
        skip_varints(c, 1);
        return true;
    case 0x18: /* NEW_CONNECTION_ID */
        skip_varints(c, 2);
        if (c->at < c->end)
            skip(c, 1U + *c->at + NGTCP2_STATELESS_RESET_TOKENLEN);
        return true;
    case 0x1a: /* PATH_CHALLENGE, PATH_RESPONSE */
    case 0x1b:
        skip(c, NGTCP2_PATH_CHALLENGE_DATALEN);
        return true;
    case 0x31: /* DATAGRAM with a length */
        skip(c, varint(c));
        return true;
    default: /* PADDING and DATAGRAM without a length end a packet, CONNECTION_CLOSE ends more */
        return false;
    }
}

void stoq_frames_look(const uint8_t *data, size_t len, const struct stoq_frames_found *found,
                      void *ctx)
{
    struct cursor c = {.at = data, .end = data + len};

    while (c.at < c.end && !c.bad) {
        uint64_t type = varint(&c), id = 0;

        if (type == 0x04) { /* RESET_STREAM */
            id = varint(&c);
            uint64_t code = varint(&c);

            skip_varints(&c, 1);
            if (!c.bad && found->reset != NULL)
                found->reset(ctx, id, code);
        } else if (type >= 0x08 && type <= 0x0f) { /* STREAM */
            uint64_t bytes = skip_stream(&c, type, &id);

            if (!c.bad && (type & 1) != 0 && bytes > 0 && found->fin != NULL)
                found->fin(ctx, id);
        } else if (type == 0x02 || type == 0x03) { /* ACK */
            uint64_t largest = skip_ack(&c, type == 0x03);

            if (!c.bad && found->acked != NULL)
                found->acked(ctx, largest);
        } else if (type != 0x00 ||
                   found->acked == NULL) { /* in packets of others PADDING may come first */
            if (type == 0x1b && found->path_response != NULL)
                found->path_response(ctx);
            if (!skip_frame(&c, type))
                return;
        }
    }
}

void stoq_frames_resets(const uint8_t *data, size_t len,
                        void (*reset)(void *ctx, uint64_t id, uint64_t code), void *ctx)
{
    const struct stoq_frames_found found = {.reset = reset};

    stoq_frames_look(data, len, &found, ctx);
}

static void reset_found(void *ctx, uint64_t id, uint64_t code)
{
    struct stoq_conn *conn = ctx;
    struct stoq_stream *stream = ngtcp2_conn_get_stream_user_data(conn->quic, (int64_t)id);

    if (stream != NULL && !stream->reset_asked && !stream->gone)
        stoq_stream_stopped(stream, code);
}

/* The end of a stream leaves with its last bytes; when it had left alone before, both are being repeated. */
static void fin_found(void *ctx, uint64_t id)
{
    struct stoq_conn *conn = ctx;
    struct stoq_stream *stream = ngtcp2_conn_get_stream_user_data(conn->quic, (int64_t)id);

    if (stream != NULL)
        stream->fin_alone = false;
}

static void path_response_found(void *ctx)
{
    struct stoq_conn *conn = ctx;

    conn->path_asked = !conn->server;
}

/* RFC 9001 section 6: the key phase bit changes with each update, whoever began it. */
static void phase_see(struct stoq_conn *conn, const uint8_t *header, size_t len)
{
    struct stoq_phase *phase = &conn->phase;
    bool one = (header[0] & 0x04) != 0;

    if (phase->begun && one == phase->one)
        return;
    if (one != phase->one) {
        conn->key_updates++;
        stoq_count(conn->endpoint, STOQ_COUNT_KEY_UPDATES, 1);
    }
    size_t bytes = (header[0] & 0x03U) + 1U; /* of the packet's number, which ends the header */
    uint32_t number = 0;
    for (size_t i = len - bytes; i < len; i++)
        number = number << 8 | header[i];
    *phase = (struct stoq_phase){
        .begun = true, .one = one, .first = number, .first_bits = (uint8_t)(8 * bytes)};
}

/* As many bits of a packet's number are sent as tell it from what was acknowledged before (RFC 9000 section 17.1): seen
 * through them, an acknowledgement is less than half of what they hold behind the first packet, or it is older. */
static void acked_found(void *ctx, uint64_t largest)
{
    struct stoq_phase *phase = &((struct stoq_conn *)ctx)->phase;
    uint64_t behind = (largest - phase->first) & ((1ULL << phase->first_bits) - 1);

    if (behind < 1ULL << (phase->first_bits - 1))
        phase->acked = true;
}

struct stoq_conn *stoq_frames_begin(struct stoq_conn *conn)
{
    struct stoq_conn *before = writing;

    writing = conn;
    return before;
}

void stoq_frames_end(struct stoq_conn *before)
{
    writing = before;
}

int stoq_frames_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *context, const uint8_t *plain, size_t len,
                        const uint8_t *nonce, size_t nonce_len, const uint8_t *header,
                        size_t header_len)
{
    static const struct stoq_frames_found found = {
        .reset = reset_found, .fin = fin_found, .path_response = path_response_found};
    struct stoq_conn *conn = writing;

    if (conn == NULL)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (len > 0 &&
        (header[0] & 0x80) == 0) { /* no long header, nor what a Retry packet's tag is made of */
        phase_see(conn, header, header_len);
        if (conn->streams != NULL && !conn->ending)
            stoq_frames_look(plain, len, &found, conn);
    }
    return conn->endpoint->encrypt(dest, aead, context, plain, len, nonce, nonce_len, header,
                                   header_len);
}

int stoq_frames_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *context, const uint8_t *sealed, size_t len,
                        const uint8_t *nonce, size_t nonce_len, const uint8_t *header,
                        size_t header_len)
{
    static const struct stoq_frames_found found = {.acked = acked_found};
    struct stoq_conn *conn = writing;

    if (conn == NULL)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    int rc = conn->endpoint->decrypt(dest, aead, context, sealed, len, nonce, nonce_len, header,
                                     header_len);
    if (rc == 0 && conn->phase.begun && !conn->phase.acked && (header[0] & 0x80) == 0)
        stoq_frames_look(dest, len - aead->max_overhead, &found, conn);
    return rc;
}
