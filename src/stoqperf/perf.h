/* stoqperf: measures the transport. One process serves, one asks; each figure is of what the other side has received.
 *
 * A stream's tag says what it wants: "count" (the answer is how many bytes came, 8 bytes big-endian), "echo" (the bytes
 * themselves), "datagrams" (how many datagrams came on this connection, and their bytes), "memory" (the server's
 * resident bytes). Start reading with perf_measure_streams in perf_stream.c. */
#ifndef STOQPERF_PERF_H
#define STOQPERF_PERF_H

#include <pthread.h>

#include "base.h"
#include "stoq.h"

#define PERF_ALPN            "stoqperf"
#define PERF_NAME            "localhost"
#define PERF_PIECE_BYTES     (256u * 1024)
#define PERF_CONNECTIONS_MAX 20000u
#define PERF_STREAMS_MAX     128u
#define PERF_SECONDS_MAX     86400u
#define PERF_EXCHANGE_BYTES  1024u
#define PERF_AT_ONCE_MAX     1024u

struct perf_options {
    const char *address; /* of the server, or to listen at */
    unsigned connections, streams, workers, at_once;
    double seconds;
    size_t mtu;
    enum stoq_congestion congestion;
    enum stoq_ciphers ciphers;
    enum stoq_rate rate;
    uint64_t rate_bits;
    bool copy; /* stoq_stream_send instead of stoq_stream_write */
    bool resume, early; /* handshakes */
    bool json;
    size_t datagram_bytes;
};

/* How a side is configured: both show a certificate of their own making and accept any, because what is measured is
 * speed; the work of proving and checking is done. */
int perf_host_config(struct stoq_host_config *config, const struct perf_options *options,
                     bool server, struct stoq_error *error);

/* Each prints its result and returns 0, or says on standard error what failed and returns 1. */
int perf_serve(const struct perf_options *options);
int perf_measure_streams(const struct perf_options *options);
int perf_measure_datagrams(const struct perf_options *options);
int perf_measure_handshakes(const struct perf_options *options);
int perf_measure_latency(const struct perf_options *options);
int perf_measure_hold(const struct perf_options *options);
int perf_measure_budget(const struct perf_options *options);

/* --- What the measures share ------------------------------------------------------------------------------------ */

double perf_seconds(void); /* monotonic */
double perf_cpu_seconds(void); /* of this process, user and kernel */
int perf_complain(const struct stoq_error *error); /* prints it; 1 */
uint64_t perf_be64(const uint8_t bytes[8]);
void perf_put_be64(uint8_t bytes[8], uint64_t value);

/* Something that workers finish and the main thread waits for. */
struct perf_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned waiting; /* how many are still to finish */
    struct stoq_error failure; /* the first; code 0: none */
};
void perf_gate_init(struct perf_gate *gate, unsigned waiting);
void perf_gate_release(struct perf_gate *gate);
void perf_gate_pass(struct perf_gate *gate);
void perf_gate_fail(struct perf_gate *gate, int code,
                    const char *text); /* wakes the waiter for good */
int perf_gate_wait(struct perf_gate *gate, double seconds,
                   struct stoq_error *error); /* STOQ_ETIMEOUT or the failure */

/* Durations, for percentiles. */
struct perf_times {
    uint64_t *ns;
    size_t count, room;
};
int perf_times_add(struct perf_times *times, uint64_t ns); /* STOQ_ENOMEM */
double perf_times_ms(struct perf_times *times, double part); /* 0.5: the median; sorts */
void perf_times_release(struct perf_times *times);

/* One result, as a line for people or as an object of JSON. */
struct perf_report {
    bool json, first;
};
void perf_report_begin(struct perf_report *report, const struct perf_options *options,
                       const char *what);
void perf_report_number(struct perf_report *report, const char *name, double value,
                        const char *unit);
void perf_report_text(struct perf_report *report, const char *name, const char *value);
void perf_report_end(struct perf_report *report);

#endif
