/* Handshakes a second, so many at a time, and how long one takes when it is alone. Each carries one byte and its answer. */
#include "perf_client.h"

#include <stdatomic.h>
#include <string.h>

struct attempt {
    struct handshakes *run;
    uint64_t began_ns;
    bool asked, answered, resumable;
    size_t
        session_len; /* of its last connection; each resumes its own: a ticket's early data is taken once */
    uint8_t session[STOQ_SESSION_BYTES_MAX];
};

struct handshakes {
    struct perf_client client; /* first */
    const char *what;
    unsigned at_once;
    _Atomic uint64_t until_ns;
    struct attempt attempts[PERF_AT_ONCE_MAX];
    /* One worker: what follows is its own. */
    uint64_t done, resumed, early;
    struct perf_times times;
};

/* A byte that the server answers: only then has it, too, seen and checked all of the handshake. */
static void ask(struct handshakes *run, struct stoq_conn *conn, struct attempt *attempt, bool early)
{
    struct stoq_stream *stream = perf_client_open_stream(&run->client, conn, "count", early, NULL);

    attempt->asked = true;
    if (stream != NULL)
        (void)stoq_stream_send(stream, "?", 1, true);
}

static void begin(struct handshakes *run, struct attempt *attempt, struct stoq_endpoint *endpoint,
                  uint64_t now_ns)
{
    const struct perf_options *options = run->client.options;
    struct stoq_bytes session = {0};

    attempt->run = run;
    attempt->began_ns = now_ns;
    attempt->asked = attempt->answered = attempt->resumable = false;
    if (options->resume && attempt->session_len > 0)
        session = (struct stoq_bytes){attempt->session, attempt->session_len};
    struct stoq_conn *conn = perf_client_connect(&run->client, endpoint, now_ns, session, attempt);
    if (conn != NULL && options->early && session.len > 0) /* the first one makes the session */
        ask(run, conn, attempt, true);
}

static void act_begin(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct attempt *attempt = arg;

    begin(attempt->run, attempt, endpoint, now_ns);
}

/* A connection lives until it is answered, with --resume also until it has a session for the next one. */
static void over(struct stoq_conn *conn, const struct attempt *attempt)
{
    if (attempt->answered && (attempt->resumable || !attempt->run->client.options->resume))
        stoq_conn_close(conn, 0, NULL);
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    struct handshakes *run = ctx;
    struct attempt *attempt = stoq_conn_user(conn);
    struct stoq_conn_info info;

    stoq_conn_get_info(conn, &info);
    run->resumed += info.resumed;
    run->early += info.early_accepted;
    if (perf_times_add(&run->times, hm_mono_ns(hm_clock_system()) - attempt->began_ns) != 0)
        perf_gate_fail(&run->client.gate, STOQ_ENOMEM, "out of memory");
    if (!attempt->asked)
        ask(run, conn, attempt, false);
}

static void on_session(void *ctx, struct stoq_conn *conn, struct stoq_bytes session)
{
    struct handshakes *run = ctx;
    struct attempt *attempt = stoq_conn_user(conn);

    if (!run->client.options->resume)
        return;
    memcpy(attempt->session, session.data, session.len);
    attempt->session_len = session.len;
    attempt->resumable = true;
    over(conn, attempt);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    struct handshakes *run = ctx;
    uint64_t now_ns = hm_mono_ns(hm_clock_system());

    perf_client_ended(&run->client, why);
    if (why->kind == STOQ_CLOSE_DROPPED)
        return;
    if (now_ns >= atomic_load_explicit(&run->until_ns, memory_order_relaxed) ||
        why->kind != STOQ_CLOSE_LOCAL)
        perf_gate_pass(&run->client.gate);
    else
        begin(run, stoq_conn_user(conn), stoq_conn_endpoint(conn), now_ns);
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct handshakes *run = ctx;
    struct stoq_conn *conn = stoq_stream_conn(stream);
    struct attempt *attempt = stoq_conn_user(conn);

    (void)data;
    if (fin && !attempt->answered) {
        attempt->answered = true;
        run->done++;
        over(conn, attempt);
    }
    return len;
}

static int measure(struct perf_client *client, struct stoq_error *error)
{
    struct handshakes *run = (struct handshakes *)client;
    const struct perf_options *options = run->client.options;
    struct perf_report report;

    run->client.gate.waiting = run->at_once;
    double start = perf_seconds(), cpu = perf_cpu_seconds();
    atomic_store(&run->until_ns,
                 hm_mono_ns(hm_clock_system()) + (uint64_t)(options->seconds * 1e9));
    for (unsigned i = 0; i < run->at_once; i++) {
        run->attempts[i].run = run;
        int code = stoq_host_post(run->client.host, 0, act_begin, &run->attempts[i]);
        if (code != 0)
            return *error = (struct stoq_error){.code = code,
                                                .text = "the host takes no more work"},
                   code;
    }
    int code = perf_gate_wait(&run->client.gate, options->seconds + 30, error);
    if (code != 0)
        return code;
    double elapsed = perf_seconds() - start;
    perf_report_begin(&report, options, run->what);
    perf_report_number(&report, "per_second", (double)run->done / elapsed, "a second");
    perf_report_number(&report, "handshakes", (double)run->done, "");
    perf_report_number(&report, "resumed", (double)run->resumed, "");
    perf_report_number(&report, "early_accepted", (double)run->early, "");
    perf_report_number(&report, "p50_ms", perf_times_ms(&run->times, 0.5), "ms");
    perf_report_number(&report, "p99_ms", perf_times_ms(&run->times, 0.99), "ms");
    perf_report_number(&report, "seconds", elapsed, "s");
    perf_report_number(&report, "cpu_seconds", perf_cpu_seconds() - cpu,
                       "s of this side's processor");
    perf_report_end(&report);
    return 0;
}

static int run_measure(const struct perf_options *options, const char *what, unsigned at_once)
{
    const struct stoq_handlers handlers = {.connected = on_connected,
                                           .closed = on_closed,
                                           .session = on_session,
                                           .received = on_received};
    struct handshakes *run = hm_calloc(1, sizeof(*run));

    if (run != NULL) {
        run->what = what;
        run->at_once = at_once;
    }
    int status = perf_client_run(run != NULL ? &run->client : NULL, options, handlers, measure);
    if (run != NULL) {
        perf_times_release(&run->times);
        hm_wipe(run->attempts, sizeof(run->attempts));
    }
    hm_free(run);
    return status;
}

int perf_measure_handshakes(const struct perf_options *options)
{
    return run_measure(options, "handshakes", options->at_once);
}

int perf_measure_latency(const struct perf_options *options)
{
    return run_measure(options, "latency", 1);
}
