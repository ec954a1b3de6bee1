/* Defaults of a configuration, and what is wrong with one. */
#include "stoq_config.h"

#define MIB (1024ULL * 1024)

void stoq_config_default(struct stoq_config *config)
{
    *config = (struct stoq_config){
        .groups = STOQ_GROUPS_HYBRID_FIRST,
        .ciphers = STOQ_CIPHERS_DEFAULT,
        .stream_tags = true,
        .udp_payload = STOQ_UDP_PAYLOAD_DEFAULT,
        .udp_payload_max = STOQ_UDP_PAYLOAD_MAX,
        .idle_timeout_ns = 30 * STOQ_NS_PER_S,
        .handshake_timeout_ns = 10 * STOQ_NS_PER_S,
        .congestion = STOQ_CONGESTION_CUBIC,
        .rate = STOQ_RATE_UNLIMITED,
        .connections_max = 100000,
        .handshakes_per_second = 20000,
        .handshakes_before_retry = 1000,
        .streams_bidi = 128,
        .streams_uni = 128,
        .stream_window = 16 * MIB,
        .connection_window = 24 * MIB,
        .send_queue = 4 * MIB,
        .datagram_queue = 1 * MIB,
        .datagram_max = STOQ_UDP_PAYLOAD_MAX,
        .worker_count = 1,
    };
}

int stoq_rate_bits(enum stoq_rate rate, uint64_t custom_bits, uint64_t *out)
{
    switch (rate) {
    case STOQ_RATE_UNLIMITED:
    case STOQ_RATE_ADAPTIVE:
        *out = 0;
        return 0;
    case STOQ_RATE_100M:
        *out = 100000000ULL;
        return 0;
    case STOQ_RATE_1G:
        *out = 1000000000ULL;
        return 0;
    case STOQ_RATE_2500M:
        *out = 2500000000ULL;
        return 0;
    case STOQ_RATE_CUSTOM:
        if (custom_bits < STOQ_RATE_BITS_MIN || custom_bits > STOQ_RATE_BITS_MAX)
            return STOQ_EINVAL;
        *out = custom_bits;
        return 0;
    default:
        return STOQ_EINVAL;
    }
}

struct range {
    const char *name;
    uint64_t value, least, most;
};

static int ranges_check(const struct stoq_config *config, struct stoq_error *error)
{
    const struct range ranges[] = {
        {"groups", (uint64_t)config->groups, 0, STOQ_GROUPS_HYBRID_ONLY},
        {"ciphers", (uint64_t)config->ciphers, 0, STOQ_CIPHERS_256},
        {"udp_payload", config->udp_payload, STOQ_UDP_PAYLOAD_MIN, STOQ_UDP_PAYLOAD_MAX},
        {"udp_payload_max", config->udp_payload_max, config->udp_payload, STOQ_UDP_PAYLOAD_MAX},
        {"idle_timeout_ns", config->idle_timeout_ns, 0, STOQ_TIME_MAX_NS},
        {"keep_alive_ns", config->keep_alive_ns, 0, STOQ_TIME_MAX_NS},
        {"handshake_timeout_ns", config->handshake_timeout_ns, 1, STOQ_TIME_MAX_NS},
        {"congestion", (uint64_t)config->congestion, 0, STOQ_CONGESTION_RENO},
        {"rate", (uint64_t)config->rate, 0, STOQ_RATE_CUSTOM},
        {"connections_max", config->connections_max, 1, STOQ_CONNECTIONS_MAX},
        {"streams_bidi", config->streams_bidi, 0, STOQ_STREAMS_MAX},
        {"streams_uni", config->streams_uni, 0, STOQ_STREAMS_MAX},
        {"stream_window", config->stream_window, 1, STOQ_WINDOW_MAX},
        {"connection_window", config->connection_window, 1, STOQ_WINDOW_MAX},
        {"send_queue", config->send_queue, 1, STOQ_WINDOW_MAX},
        {"datagram_queue", config->datagram_queue, config->datagram_max, STOQ_WINDOW_MAX},
        {"datagram_max", config->datagram_max, 0, STOQ_UDP_PAYLOAD_MAX},
        {"worker_count", config->worker_count, 1, STOQ_WORKERS_MAX},
        {"worker_index", config->worker_index, 0, config->worker_count - 1ULL},
    };

    for (size_t i = 0; i < HM_COUNT_OF(ranges); i++) {
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
            return stoq_fail(error, STOQ_EINVAL, "%s is %llu; it must lie between %llu and %llu",
                             ranges[i].name, (unsigned long long)ranges[i].value,
                             (unsigned long long)ranges[i].least,
                             (unsigned long long)ranges[i].most);
    }
    return 0;
}

int stoq_config_check(const struct stoq_config *config, struct stoq_error *error)
{
    uint64_t bits;

    if (config->verify == NULL)
        return stoq_fail(error, STOQ_EINVAL,
                         "verify is not set: somebody must decide which certificates to trust");
    if (config->server && config->identity == NULL)
        return stoq_fail(error, STOQ_EINVAL,
                         "identity is not set: a server must have a certificate");
    if (config->alpn == NULL || config->alpn[0] == '\0' ||
        strnlen(config->alpn, STOQ_ALPN_BYTES_MAX + 1) > STOQ_ALPN_BYTES_MAX)
        return stoq_fail(error, STOQ_EINVAL, "alpn must be one name of 1 to %d bytes",
                         STOQ_ALPN_BYTES_MAX);
    int code = ranges_check(config, error);
    if (code != 0)
        return code;
    if (stoq_rate_bits(config->rate, config->rate_bits, &bits) != 0)
        return stoq_fail(error, STOQ_EINVAL, "rate_bits is %llu; it must lie between %llu and %llu",
                         (unsigned long long)config->rate_bits, STOQ_RATE_BITS_MIN,
                         STOQ_RATE_BITS_MAX);
    if (config->qlog_folder != NULL &&
        (config->qlog_folder[0] == '\0' ||
         strnlen(config->qlog_folder, STOQ_FOLDER_MAX + 1) > STOQ_FOLDER_MAX))
        return stoq_fail(error, STOQ_EINVAL, "qlog_folder must be a path of 1 to %d bytes",
                         STOQ_FOLDER_MAX);
    return 0;
}
