/* The side that is asked, and how both sides are configured. */
#include "perf.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum wish { WISH_COUNT, WISH_ECHO, WISH_DATAGRAMS, WISH_MEMORY, WISH_UNKNOWN };

/* What a stream has received so far; what it echoes waits in `kept`. */
struct request {
    enum wish wish;
    uint64_t bytes;
    uint8_t kept[PERF_EXCHANGE_BYTES];
};

struct tally { /* of a connection */
    uint64_t datagrams, bytes;
};

static enum wish wish_of(struct stoq_bytes tag)
{
    static const char *const names[] = {"count", "echo", "datagrams", "memory"};

    for (size_t i = 0; i < HM_COUNT_OF(names); i++)
        if (tag.len == strlen(names[i]) && memcmp(tag.data, names[i], tag.len) == 0)
            return (enum wish)i;
    return WISH_UNKNOWN;
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct tally *tally = hm_calloc(1, sizeof(*tally));

    (void)ctx;
    if (tally == NULL)
        return STOQ_ENOMEM;
    stoq_conn_set_user(conn, tally);
    return 0;
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    (void)ctx;
    (void)why;
    hm_free(stoq_conn_user(conn));
}

static int on_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    (void)ctx;
    (void)conn;
    return bidirectional && wish_of(tag) != WISH_UNKNOWN ? 0 : STOQ_EPERM;
}

static void on_stream(void *ctx, struct stoq_stream *stream)
{
    struct request *request = hm_malloc(sizeof(*request));

    (void)ctx;
    if (request == NULL) {
        stoq_stream_reset(stream, 1);
        return;
    }
    request->wish = wish_of(stoq_stream_tag(stream));
    request->bytes = 0;
    stoq_stream_set_user(stream, request);
}

static void on_stream_closed(void *ctx, struct stoq_stream *stream)
{
    (void)ctx;
    hm_free(stoq_stream_user(stream));
}

static void answer(struct stoq_stream *stream, const struct request *request)
{
    const struct tally *tally = stoq_conn_user(stoq_stream_conn(stream));
    uint8_t words[16];
    size_t len = 8;

    switch (request->wish) {
    case WISH_ECHO:
        (void)stoq_stream_send(stream, request->kept, (size_t)request->bytes, true);
        return;
    case WISH_DATAGRAMS:
        perf_put_be64(words, tally->datagrams);
        perf_put_be64(words + 8, tally->bytes);
        len = 16;
        break;
    case WISH_MEMORY:
        perf_put_be64(words, resident_bytes());
        break;
    default:
        perf_put_be64(words, request->bytes);
        break;
    }
    (void)stoq_stream_send(stream, words, len, true);
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct request *request = stoq_stream_user(stream);

    (void)ctx;
    if (request == NULL)
        return len;
    if (request->wish == WISH_ECHO) {
        if (len > sizeof(request->kept) - request->bytes) {
            stoq_stream_reset(stream, 2); /* an echo is at most PERF_EXCHANGE_BYTES */
            stoq_stream_stop(stream, 2);
            return len;
        }
        if (len > 0)
            memcpy(request->kept + request->bytes, data, len);
    }
    request->bytes += len;
    if (fin)
        answer(stream, request);
    return len;
}

static void on_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                         size_t count)
{
    struct tally *tally = stoq_conn_user(conn);

    (void)ctx;
    tally->datagrams += count;
    for (size_t i = 0; i < count; i++)
        tally->bytes += list[i].len;
}

static int anyone(void *ctx, const struct stoq_peer *peer, uint8_t *alert, struct stoq_error *error)
{
    (void)ctx;
    (void)peer;
    (void)alert;
    (void)error;
    return 0;
}

int perf_host_config(struct stoq_host_config *config, const struct perf_options *options,
                     bool server, struct stoq_error *error)
{
    struct stoq_config *endpoint = &config->endpoint;

    stoq_host_config_default(config);
    endpoint->server = server;
    endpoint->verify = anyone;
    endpoint->alpn = PERF_ALPN;
    endpoint->early_data = true;
    endpoint->udp_payload = options->mtu;
    endpoint->udp_payload_max = options->mtu;
    endpoint->congestion = options->congestion;
    endpoint->ciphers = options->ciphers;
    endpoint->rate = options->rate;
    endpoint->rate_bits = options->rate_bits;
    endpoint->handshakes_per_second = 0;
    endpoint->handshakes_before_retry = PERF_CONNECTIONS_MAX;
    endpoint->connections_max = PERF_CONNECTIONS_MAX;
    endpoint->datagram_max = STOQ_UDP_PAYLOAD_MAX;
    endpoint->send_queue = 4u << 20;
    config->workers = options->workers;
    return stoq_identity_self_signed(&endpoint->identity, PERF_NAME, (uint64_t)time(NULL), 1,
                                     error);
}

int perf_serve(const struct perf_options *options)
{
    struct stoq_host_config config;
    struct stoq_error error = {0};
    struct stoq_host *host;
    char text[STOQ_ADDRESS_TEXT_BYTES], byte;

    if (perf_host_config(&config, options, true, &error) != 0)
        return perf_complain(&error);
    config.handlers = (struct stoq_handlers){.accepted = on_accepted,
                                             .closed = on_closed,
                                             .permit = on_permit,
                                             .stream_opened = on_stream,
                                             .stream_closed = on_stream_closed,
                                             .received = on_received,
                                             .datagrams = on_datagrams};
    int code = stoq_address_parse(options->address, 0, &config.bind, &error);
    if (code == 0)
        code = stoq_host_open(&host, &config, &error);
    stoq_identity_unref(config.endpoint.identity);
    if (code != 0)
        return perf_complain(&error);
    config.bind.sin6_port = htons(stoq_host_port(host));
    stoq_address_text(&config.bind, text);
    printf("ready %s\n", text);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ; /* ends with its input */
    stoq_host_close(host, 0);
    printf("{\"cpu_seconds\": %.3f}\n", perf_cpu_seconds());
    return 0;
}
