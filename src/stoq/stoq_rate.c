/* What a connection may send: tiers by token bucket, and one that follows what the peer takes. */
#include "stoq_config.h"
#include "stoq_core.h"

#define BURST_NS           (4 * STOQ_NS_PER_MS) /* a bucket holds this much of its rate */
#define ADAPTIVE_BITS_MIN  1000000ULL
#define ADAPTIVE_START     10000000ULL
#define ADAPTIVE_SAMPLE_NS (10 * STOQ_NS_PER_MS)

static uint64_t burst_of(const struct stoq_conn *conn, uint64_t bits)
{
    uint64_t burst = (uint64_t)((unsigned __int128)bits * BURST_NS / 8 / STOQ_NS_PER_S);
    uint64_t least = 2 * conn->endpoint->config.udp_payload_max;

    return burst > least ? burst : least;
}

static void bits_set(struct stoq_conn *conn, uint64_t bits, uint64_t now_ns)
{
    conn->rate.bits = bits;
    stoq_bucket_set_rate(&conn->rate.bucket, bits, burst_of(conn, bits), now_ns);
}

static void rate_start(struct stoq_conn *conn, enum stoq_rate rate, uint64_t bits, uint64_t now_ns)
{
    conn->rate.kind = rate;
    conn->rate.sampled_ns = now_ns;
    conn->rate.sampled_bytes = 0;
    bits_set(conn, rate == STOQ_RATE_ADAPTIVE ? ADAPTIVE_START : bits, now_ns);
}

void stoq_rate_init(struct stoq_conn *conn, uint64_t now_ns)
{
    const struct stoq_config *config = &conn->endpoint->config;
    uint64_t bits = 0;

    (void)stoq_rate_bits(config->rate, config->rate_bits, &bits); /* was checked with config */
    stoq_bucket_init(&conn->rate.bucket, bits, burst_of(conn, bits), now_ns);
    rate_start(conn, config->rate, bits, now_ns);
}

int stoq_conn_set_rate(struct stoq_conn *conn, enum stoq_rate rate, uint64_t rate_bits)
{
    uint64_t bits;

    if (stoq_rate_bits(rate, rate_bits, &bits) != 0)
        return STOQ_EINVAL;
    rate_start(conn, rate, bits, conn->endpoint->now_ns);
    if (conn->quic != NULL)
        stoq_conn_ready(conn);
    return 0;
}

/* Delivered: sent, not lost and not on its way. */
static void adaptive_sample(struct stoq_conn *conn, uint64_t now_ns)
{
    ngtcp2_conn_info info;
    uint64_t passed = now_ns - conn->rate.sampled_ns;

    if (passed < ADAPTIVE_SAMPLE_NS)
        return;
    ngtcp2_conn_get_conn_info(conn->quic, &info);
    if (passed < info.smoothed_rtt && info.smoothed_rtt < STOQ_NS_PER_S)
        return;
    uint64_t gone = info.bytes_lost + info.bytes_in_flight;
    uint64_t delivered = info.bytes_sent > gone ? info.bytes_sent - gone : 0;
    if (conn->rate.sampled_bytes != 0 && delivered >= conn->rate.sampled_bytes) {
        uint64_t bits = (uint64_t)((unsigned __int128)(delivered - conn->rate.sampled_bytes) * 10 *
                                   STOQ_NS_PER_S / passed);

        bits_set(conn, bits > ADAPTIVE_BITS_MIN ? bits : ADAPTIVE_BITS_MIN, now_ns);
    }
    conn->rate.sampled_ns = now_ns;
    conn->rate.sampled_bytes = delivered;
}

size_t stoq_rate_room(struct stoq_conn *conn, uint64_t now_ns)
{
    if (conn->rate.bits == 0)
        return SIZE_MAX;
    if (conn->rate.kind == STOQ_RATE_ADAPTIVE)
        adaptive_sample(conn, now_ns);
    return stoq_bucket_room(&conn->rate.bucket, now_ns);
}
