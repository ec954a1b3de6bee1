/* Bytes a second: connections times streams, each kept full for so many seconds; what counts is what the server says it
 * has received. */
#include "perf_client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct sender {
    uint8_t answer[8];
    size_t have;
    bool finished;
};

struct streams {
    struct perf_client client;
    uint8_t *piece; /* PERF_PIECE_BYTES, sent again and again */
    struct sender *senders; /* connections * streams */
    atomic_uint next; /* of senders */
    atomic_uint connected;
    _Atomic uint64_t until_ns; /* monotonic; 0: not started */
    _Atomic uint64_t received;
};

static void keep_piece(void *cookie)
{
    (void)cookie; /* the piece is ours for the whole run */
}

static void fill(struct streams *run, struct stoq_stream *stream)
{
    struct sender *sender = stoq_stream_user(stream);

    while (!sender->finished) {
        uint64_t until_ns = atomic_load_explicit(&run->until_ns, memory_order_relaxed);
        if (hm_mono_ns(hm_clock_system()) >= until_ns) {
            sender->finished = true;
            (void)stoq_stream_finish(stream);
        } else if (run->client.options->copy) {
            if (stoq_stream_send(stream, run->piece, PERF_PIECE_BYTES, false) <
                (int64_t)PERF_PIECE_BYTES)
                return;
        } else if (stoq_stream_write(stream, run->piece, PERF_PIECE_BYTES, false, keep_piece,
                                     NULL) != 0) {
            return;
        }
    }
}

static void on_writable(void *ctx, struct stoq_stream *stream)
{
    fill(ctx, stream);
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct streams *run = ctx;
    struct sender *sender = stoq_stream_user(stream);
    size_t taken = len < sizeof(sender->answer) - sender->have
                       ? len
                       : sizeof(sender->answer) - sender->have;

    if (taken > 0)
        memcpy(sender->answer + sender->have, data, taken);
    sender->have += taken;
    if (fin && sender->have == sizeof(sender->answer)) {
        atomic_fetch_add(&run->received, perf_be64(sender->answer));
        perf_gate_pass(&run->client.gate);
    } else if (fin) {
        perf_gate_fail(&run->client.gate, STOQ_EPARSE,
                       "the server's answer is too short: is it stoqperf?");
    }
    return len;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct streams *run = ctx;

    (void)conn;
    atomic_fetch_add(&run->connected, 1);
    perf_gate_pass(&run->client.gate);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct streams *run = ctx;

    (void)conn;
    perf_client_ended(&run->client, why);
}

/* One post a connection: it is made, and later filled, in its worker's thread. */
struct errand {
    struct streams *run;
    struct stoq_conn *conn;
};

static void act_connect(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct errand *errand = arg;

    errand->conn = perf_client_connect(&errand->run->client, endpoint, now_ns,
                                       (struct stoq_bytes){0}, NULL);
}

static void act_start(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct errand *errand = arg;
    struct streams *run = errand->run;

    (void)endpoint;
    (void)now_ns;
    for (unsigned i = 0; i < run->client.options->streams; i++) {
        struct sender *sender = &run->senders[atomic_fetch_add(&run->next, 1)];
        struct stoq_stream *stream = perf_client_open_stream(&run->client, errand->conn, "count",
                                                             false, sender);
        if (stream != NULL)
            fill(run, stream);
    }
}

static int post_all(struct streams *run, struct errand *errands, unsigned waiting,
                    void (*act)(void *, struct stoq_endpoint *, uint64_t), double seconds,
                    struct stoq_error *error)
{
    const struct perf_options *options = run->client.options;

    run->client.gate.waiting = waiting;
    for (unsigned i = 0; i < options->connections; i++) {
        int code = stoq_host_post(run->client.host, i % options->workers, act, &errands[i]);
        if (code != 0)
            return *error = (struct stoq_error){.code = code,
                                                .text = "the host takes no more work"},
                   code;
    }
    return perf_gate_wait(&run->client.gate, seconds, error);
}

static int measure(struct streams *run, struct errand *errands, struct stoq_error *error)
{
    const struct perf_options *options = run->client.options;
    struct perf_report report;

    for (unsigned i = 0; i < options->connections; i++)
        errands[i].run = run;
    int code = post_all(run, errands, options->connections, act_connect, 30, error);
    if (code != 0)
        return code;
    double start = perf_seconds(), cpu = perf_cpu_seconds();
    atomic_store(&run->until_ns,
                 hm_mono_ns(hm_clock_system()) + (uint64_t)(options->seconds * 1e9));
    code = post_all(run, errands, options->connections * options->streams, act_start,
                    options->seconds + 60, error);
    if (code != 0)
        return code;
    double elapsed = perf_seconds() - start, bytes = (double)atomic_load(&run->received);
    perf_report_begin(&report, options, "streams");
    perf_report_number(&report, "gbit_s", bytes * 8 / elapsed / 1e9, "Gb/s");
    perf_report_number(&report, "bytes", bytes, "bytes");
    perf_report_number(&report, "seconds", elapsed, "s");
    perf_report_number(&report, "cpu_seconds", perf_cpu_seconds() - cpu,
                       "s of this side's processor");
    perf_report_end(&report);
    return 0;
}

int perf_measure_streams(const struct perf_options *options)
{
    const struct stoq_handlers handlers = {.connected = on_connected,
                                           .closed = on_closed,
                                           .writable = on_writable,
                                           .received = on_received};
    struct streams run = {.piece = hm_calloc(1, PERF_PIECE_BYTES)};
    struct errand *errands = hm_calloc(options->connections, sizeof(*errands));
    struct stoq_error error = {.code = STOQ_ENOMEM, .text = "out of memory"};

    run.senders = hm_calloc((size_t)options->connections * options->streams, sizeof(*run.senders));
    perf_gate_init(&run.client.gate, 0);
    int code = run.piece == NULL || errands == NULL || run.senders == NULL
                   ? STOQ_ENOMEM
                   : perf_client_open(&run.client, options, handlers, &error);
    if (code == 0) {
        code = measure(&run, errands, &error);
        perf_client_close(&run.client);
    }
    perf_gate_release(&run.client.gate);
    hm_free(run.senders);
    hm_free(errands);
    hm_free(run.piece);
    return code == 0 ? 0 : perf_complain(&error);
}
