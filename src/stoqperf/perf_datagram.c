/* Datagrams a second on one connection: sent as fast as the queue takes them, counted by the server. */
#include "perf_client.h"

#include <stdatomic.h>
#include <string.h>

#define BATCH 64

struct datagrams {
    struct perf_client client; /* first */
    struct stoq_conn *conn;
    uint64_t until_ns, sent;
    bool finished;
    uint8_t answer[16];
    size_t have;
    uint8_t payload[STOQ_UDP_PAYLOAD_MAX];
};

/* As many as the queue takes; more when it has room again, until the time is up. */
static void send_more(struct datagrams *run)
{
    struct stoq_bytes batch[BATCH];
    size_t size = stoq_conn_datagram_size(run->conn), wanted = run->client.options->datagram_bytes;
    size_t taken = BATCH;

    if (run->finished || run->client.gate.failure.code != 0)
        return;
    if (size == 0 || size < wanted) {
        perf_gate_fail(&run->client.gate, STOQ_ELIMIT,
                       "datagrams of that size do not fit: see --mtu and --datagram");
        return;
    }
    for (size_t i = 0; i < BATCH; i++)
        batch[i] = (struct stoq_bytes){run->payload, wanted};
    while (taken == BATCH && hm_mono_ns(hm_clock_system()) < run->until_ns) {
        taken = stoq_conn_datagrams(run->conn, batch, BATCH);
        run->sent += taken;
    }
    if (taken < BATCH)
        return;
    run->finished = true;
    struct stoq_stream *stream = perf_client_open_stream(&run->client, run->conn, "datagrams",
                                                         false, NULL);
    if (stream != NULL)
        (void)stoq_stream_finish(stream);
}

static void act_send(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    (void)endpoint;
    (void)now_ns;
    send_more(arg);
}

static void on_writable(void *ctx, struct stoq_conn *conn)
{
    (void)conn;
    send_more(ctx);
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct datagrams *run = ctx;

    run->conn = conn;
    perf_gate_pass(&run->client.gate);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct datagrams *run = ctx;

    (void)conn;
    perf_client_ended(&run->client, why);
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct datagrams *run = ctx;
    size_t taken = len < sizeof(run->answer) - run->have ? len : sizeof(run->answer) - run->have;

    (void)stream;
    if (taken > 0)
        memcpy(run->answer + run->have, data, taken);
    run->have += taken;
    if (fin)
        perf_gate_pass(&run->client.gate);
    return len;
}

static void act_connect(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct datagrams *run = arg;

    (void)perf_client_connect(&run->client, endpoint, now_ns, (struct stoq_bytes){0}, NULL);
}

static int measure(struct perf_client *client, struct stoq_error *error)
{
    struct datagrams *run = (struct datagrams *)client;
    const struct perf_options *options = run->client.options;
    struct perf_report report;

    run->client.gate.waiting = 1;
    int code = stoq_host_post(run->client.host, 0, act_connect, run);
    if (code == 0)
        code = perf_gate_wait(&run->client.gate, 30, error);
    if (code != 0)
        return code;
    double start = perf_seconds(), cpu = perf_cpu_seconds();
    run->client.gate.waiting = 1;
    run->until_ns = hm_mono_ns(hm_clock_system()) + (uint64_t)(options->seconds * 1e9);
    code = stoq_host_post(run->client.host, 0, act_send, run);
    if (code == 0)
        code = perf_gate_wait(&run->client.gate, options->seconds + 30, error);
    if (code != 0)
        return code;
    double elapsed = perf_seconds() - start;
    double came = (double)perf_be64(run->answer), bytes = (double)perf_be64(run->answer + 8);
    perf_report_begin(&report, options, "datagrams");
    perf_report_number(&report, "per_second", came / elapsed, "a second arrived");
    perf_report_number(&report, "arrived_part", run->sent > 0 ? came / (double)run->sent : 0,
                       "of those sent");
    perf_report_number(&report, "gbit_s", bytes * 8 / elapsed / 1e9, "Gb/s");
    perf_report_number(&report, "datagram_bytes", (double)options->datagram_bytes, "bytes each");
    perf_report_number(&report, "cpu_seconds", perf_cpu_seconds() - cpu,
                       "s of this side's processor");
    perf_report_end(&report);
    return 0;
}

int perf_measure_datagrams(const struct perf_options *options)
{
    const struct stoq_handlers handlers = {.connected = on_connected,
                                           .closed = on_closed,
                                           .received = on_received,
                                           .datagrams_writable = on_writable};
    struct datagrams *run = hm_calloc(1, sizeof(*run));
    int status = perf_client_run(run != NULL ? &run->client : NULL, options, handlers, measure);

    hm_free(run);
    return status;
}
