/* Many connections held at once, each exchanging 1 KiB a second: what one costs the server in memory, how long an
 * exchange takes, what fails. */
#include "perf_client.h"

#include <string.h>
#include <time.h>

struct held {
    struct stoq_conn *conn;
    uint64_t began_ns; /* of the exchange under way; 0: none */
    size_t came;
};

struct hold {
    struct perf_client client;
    struct held *held;
    unsigned wanted, started; /* connections; `started` is the worker's own */
    uint64_t exchanges, failures, skipped;
    struct perf_times times;
    uint64_t memory; /* the server's last answer */
    uint8_t payload[PERF_EXCHANGE_BYTES];
};

static void connect_next(struct hold *run, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    if (run->started == run->wanted)
        return;
    struct held *held = &run->held[run->started++];
    held->conn = perf_client_connect(&run->client, endpoint, now_ns, (struct stoq_bytes){0}, held);
}

static void act_connect(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct hold *run = arg;

    for (unsigned i = 0; i < run->client.options->at_once; i++)
        connect_next(run, endpoint, now_ns);
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct hold *run = ctx;

    perf_gate_pass(&run->client.gate);
    connect_next(run, stoq_conn_endpoint(conn), hm_mono_ns(hm_clock_system()));
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct hold *run = ctx;
    struct held *held = stoq_conn_user(conn);

    held->conn = NULL;
    if (why->kind != STOQ_CLOSE_DROPPED) {
        run->failures++;
        perf_client_ended(&run->client, why);
    }
}

/* The stream's user is its connection's `held`, or the run itself for the question about memory. */
static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct hold *run = ctx;
    struct held *held = stoq_stream_user(stream);

    if ((void *)held == (void *)run) {
        if (len >= 8)
            run->memory = perf_be64(data);
        if (fin)
            perf_gate_pass(&run->client.gate);
        return len;
    }
    if (len > sizeof(run->payload) - held->came ||
        memcmp(data, run->payload + held->came, len) != 0)
        run->failures++;
    held->came += len;
    if (fin) {
        uint64_t took_ns = hm_mono_ns(hm_clock_system()) - held->began_ns;
        if (held->came != sizeof(run->payload) || perf_times_add(&run->times, took_ns) != 0)
            run->failures++;
        run->exchanges++;
        held->began_ns = 0;
    }
    return len;
}

static void act_ask_memory(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct hold *run = arg;

    (void)endpoint;
    (void)now_ns;
    struct stoq_stream *stream = perf_client_open_stream(&run->client, run->held[0].conn, "memory",
                                                         false, run);
    if (stream != NULL)
        (void)stoq_stream_finish(stream);
}

struct slice {
    struct hold *run;
    unsigned first, count;
};

static void act_exchange(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct slice *slice = arg;
    struct hold *run = slice->run;

    (void)endpoint;
    (void)now_ns;
    for (unsigned i = slice->first; i < slice->first + slice->count; i++) {
        struct held *held = &run->held[i];
        if (held->conn == NULL || held->began_ns != 0) {
            run->skipped += held->conn != NULL; /* the one before is not answered yet */
            continue;
        }
        held->came = 0;
        held->began_ns = hm_mono_ns(hm_clock_system());
        struct stoq_stream *stream = perf_client_open_stream(&run->client, held->conn, "echo",
                                                             false, held);
        if (stream == NULL || stoq_stream_send(stream, run->payload, sizeof(run->payload), true) !=
                                  (int64_t)sizeof(run->payload))
            run->failures++;
    }
}

static void pass_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static int ask(struct hold *run, unsigned waiting,
               void (*act)(void *, struct stoq_endpoint *, uint64_t), void *arg, double seconds,
               struct stoq_error *error)
{
    run->client.gate.waiting = waiting;
    int code = stoq_host_post(run->client.host, 0, act, arg);
    if (code != 0)
        return *error = (struct stoq_error){.code = code, .text = "the host takes no more work"},
               code;
    return perf_gate_wait(&run->client.gate, seconds, error);
}

/* A hundredth of the connections every 10 ms. */
static int exchange_for(struct hold *run, double seconds, struct stoq_error *error)
{
    static struct slice slices[100];
    const unsigned count = run->client.options->connections;
    const double start = perf_seconds();

    for (unsigned turn = 0; perf_seconds() - start < seconds; turn++) {
        struct slice *slice = &slices[turn % 100];
        *slice = (struct slice){.run = run,
                                .first = (unsigned)((uint64_t)count * (turn % 100) / 100)};
        slice->count = (unsigned)((uint64_t)count * (turn % 100 + 1) / 100) - slice->first;
        int code = stoq_host_post(run->client.host, 0, act_exchange, slice);
        if (code != 0)
            return *error = (struct stoq_error){.code = code,
                                                .text = "the host takes no more work"},
                   code;
        double next = start + 0.01 * (turn + 1), now = perf_seconds();
        if (next > now)
            pass_ms((long)((next - now) * 1e3));
    }
    pass_ms(1000); /* the last answers */
    return 0;
}

static int measure(struct hold *run, struct stoq_error *error)
{
    const struct perf_options *options = run->client.options;
    struct perf_report report;
    uint64_t before;

    /* The first connection alone: what the server holds with nobody there. */
    const unsigned all = options->connections;
    run->wanted = 1;
    int code = ask(run, 1, act_connect, run, 30, error);
    if (code == 0)
        code = ask(run, 1, act_ask_memory, run, 10, error);
    if (code != 0)
        return code;
    before = run->memory;
    run->wanted = all;
    double start = perf_seconds();
    code = all > 1 ? ask(run, all - 1, act_connect, run, 30 + all * 0.05, error) : 0;
    double made = perf_seconds() - start;
    pass_ms(1500);
    if (code == 0)
        code = ask(run, 1, act_ask_memory, run, 10, error);
    if (code != 0)
        return code;
    double idle = all > 1 ? ((double)run->memory - (double)before) / (all - 1) : 0;
    double cpu = perf_cpu_seconds();
    code = exchange_for(run, options->seconds, error);
    cpu = perf_cpu_seconds() - cpu;
    if (code == 0)
        code = ask(run, 1, act_ask_memory, run, 10, error);
    if (code != 0)
        return code;
    perf_report_begin(&report, options, "hold");
    perf_report_number(&report, "connections", all, "connections");
    perf_report_number(&report, "made_in_seconds", made, "s to make them");
    perf_report_number(&report, "idle_bytes", idle, "bytes each, idle, in the server");
    perf_report_number(&report, "busy_bytes",
                       all > 1 ? ((double)run->memory - (double)before) / (all - 1) : 0,
                       "bytes each after the exchanges");
    perf_report_number(&report, "exchanges", (double)run->exchanges, "exchanges of 1 KiB");
    perf_report_number(&report, "failures", (double)run->failures, "failures");
    perf_report_number(&report, "late", (double)run->skipped, "not answered within a second");
    perf_report_number(&report, "p50_ms", perf_times_ms(&run->times, 0.5), "ms");
    perf_report_number(&report, "p99_ms", perf_times_ms(&run->times, 0.99), "ms");
    perf_report_number(&report, "p999_ms", perf_times_ms(&run->times, 0.999), "ms");
    perf_report_number(&report, "cpu_seconds", cpu, "s of this side's processor");
    perf_report_end(&report);
    return run->failures == 0
               ? 0
               : (*error = (struct stoq_error){.text = "some exchanges failed"}, STOQ_EIO);
}

int perf_measure_hold(const struct perf_options *options)
{
    const struct stoq_handlers handlers = {
        .connected = on_connected, .closed = on_closed, .received = on_received};
    struct hold *run = hm_calloc(1, sizeof(*run));
    struct perf_options one = *options;
    struct stoq_error error = {.code = STOQ_ENOMEM, .text = "out of memory"};

    if (run == NULL)
        return perf_complain(&error);
    run->held = hm_calloc(options->connections, sizeof(*run->held));
    for (size_t i = 0; i < sizeof(run->payload); i++)
        run->payload[i] = (uint8_t)(i * 7);
    one.workers = 1;
    perf_gate_init(&run->client.gate, 0);
    int code = run->held == NULL ? STOQ_ENOMEM
                                 : perf_client_open(&run->client, &one, handlers, &error);
    if (code == 0) {
        code = measure(run, &error);
        perf_client_close(&run->client);
    }
    perf_gate_release(&run->client.gate);
    perf_times_release(&run->times);
    hm_free(run->held);
    hm_free(run);
    return code == 0 ? 0 : perf_complain(&error);
}
