/* Packets outside connections: version negotiation, Retry, stateless resets. A bounded queue of small packets. */
#include "stoq_core.h"

struct stoq_reply *stoq_reply_open(struct stoq_endpoint *endpoint, const struct stoq_path *path)
{
    if (endpoint->reply_count == STOQ_REPLIES_MAX)
        return NULL;
    struct stoq_reply *reply =
        &endpoint->replies[(endpoint->reply_first + endpoint->reply_count) % STOQ_REPLIES_MAX];
    reply->path = *path;
    return reply;
}

void stoq_reply_commit(struct stoq_endpoint *endpoint, struct stoq_reply *reply, ngtcp2_ssize len,
                       enum stoq_counter counter)
{
    if (len <= 0)
        return;
    reply->len = (uint16_t)len;
    endpoint->reply_count++;
    stoq_count(endpoint, counter, 1);
}

size_t stoq_reply_take(struct stoq_endpoint *endpoint, uint8_t *buffer, size_t capacity,
                       struct stoq_train *train)
{
    if (endpoint->reply_count == 0)
        return 0;
    const struct stoq_reply *reply = &endpoint->replies[endpoint->reply_first];
    if (reply->len > capacity)
        return 0;
    endpoint->reply_first = (endpoint->reply_first + 1) % STOQ_REPLIES_MAX;
    endpoint->reply_count--;
    memcpy(buffer, reply->bytes, reply->len);
    *train = (struct stoq_train){.path = reply->path, .len = reply->len, .segment = reply->len};
    stoq_count(endpoint, STOQ_COUNT_PACKETS_SENT, 1);
    stoq_count(endpoint, STOQ_COUNT_TRAINS_SENT, 1);
    stoq_count(endpoint, STOQ_COUNT_BYTES_SENT, reply->len);
    return reply->len;
}

/* RFC 9000 section 10.3: shorter than what it answers, so that two endpoints cannot keep answering each other. */
void stoq_reply_reset(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                      const uint8_t *data, size_t len)
{
    uint8_t noise[64];
    ngtcp2_stateless_reset_token token;
    size_t size = len - 1;

    if (size < NGTCP2_MIN_STATELESS_RESET_RANDLEN + NGTCP2_STATELESS_RESET_TOKENLEN)
        return;
    if (size > 43 + NGTCP2_STATELESS_RESET_TOKENLEN)
        size = 43 + NGTCP2_STATELESS_RESET_TOKENLEN;
    struct stoq_reply *reply = stoq_reply_open(endpoint, path);
    if (reply == NULL || stoq_bucket_room(&endpoint->reset_bucket, endpoint->now_ns) < 1) {
        stoq_count(endpoint, STOQ_COUNT_RESET_RATE, 1);
        return;
    }
    size_t noise_len = size - NGTCP2_STATELESS_RESET_TOKENLEN;
    if (stoq_endpoint_random(endpoint, noise, noise_len) != 0 ||
        stoq_endpoint_token(endpoint, data + 1, token.data) != 0)
        return;
    stoq_bucket_spend(&endpoint->reset_bucket, 1);
    stoq_reply_commit(
        endpoint, reply,
        ngtcp2_pkt_write_stateless_reset2(reply->bytes, size, &token, noise, noise_len),
        STOQ_COUNT_RESETS_SENT);
}

void stoq_reply_versions(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                         const ngtcp2_version_cid *ids)
{
    /* A reserved version first, so that clients learn to skip what they do not know (RFC 9000 section 15). */
    static const uint32_t versions[] = {0x1a2a3a4aU, NGTCP2_PROTO_VER_V1};
    uint8_t noise;

    if (ids->dcidlen + ids->scidlen > STOQ_REPLY_BYTES_MAX - 16 - sizeof(versions)) {
        stoq_count(endpoint, STOQ_COUNT_DROP_MALFORMED, 1);
        return;
    }
    struct stoq_reply *reply = stoq_reply_open(endpoint, path);
    if (reply == NULL || stoq_endpoint_random(endpoint, &noise, 1) != 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_HANDSHAKE_RATE, 1);
        return;
    }
    stoq_reply_commit(endpoint, reply,
                      ngtcp2_pkt_write_version_negotiation(
                          reply->bytes, sizeof(reply->bytes), noise, ids->scid, ids->scidlen,
                          ids->dcid, ids->dcidlen, versions, HM_COUNT_OF(versions)),
                      STOQ_COUNT_VERSIONS_SENT);
}

int stoq_reply_retry(struct stoq_endpoint *endpoint, const struct stoq_path *path,
                     const ngtcp2_pkt_hd *head)
{
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
    ngtcp2_cid scid;
    struct stoq_reply *reply = stoq_reply_open(endpoint, path);

    if (reply == NULL || stoq_endpoint_cid(endpoint, &scid) != 0) {
        stoq_count(endpoint, STOQ_COUNT_DROP_HANDSHAKE_RATE, 1);
        return STOQ_EBUSY;
    }
    ngtcp2_ssize len = ngtcp2_crypto_generate_retry_token2(
        token, endpoint->config.secret, sizeof(endpoint->config.secret), head->version,
        (const ngtcp2_sockaddr *)&path->remote, sizeof(path->remote), &scid, &head->dcid,
        stoq_endpoint_wall_ns(endpoint));
    if (len < 0)
        return STOQ_EINTERNAL;
    stoq_reply_commit(endpoint, reply,
                      ngtcp2_crypto_write_retry(reply->bytes, sizeof(reply->bytes), head->version,
                                                &head->scid, &scid, &head->dcid, token,
                                                (size_t)len),
                      STOQ_COUNT_RETRIES_SENT);
    return 0;
}
