/* What one packet costs, part by part. All times are of this thread's processor, so that a busy machine changes them
 * little. */
#ifndef STOQPERF_PERF_BUDGET_H
#define STOQPERF_PERF_BUDGET_H

#include "perf.h"

#define PERF_TRAIN_BYTES 65487

double perf_thread_seconds(void); /* processor time of this thread */
/* Nanoseconds that one call takes: calls it for about so many seconds. */
double perf_cost_ns(void (*act)(void *ctx), void *ctx, double seconds);

struct perf_pair_cost {
    double send_ns, receive_ns; /* a packet: everything but system calls */
    uint64_t packets;
};
/* Two endpoints in this thread, a stream from one to the other through memory. */
int perf_pair_measure(struct perf_pair_cost *cost, const struct perf_options *options,
                      struct stoq_error *error);

struct perf_socket_cost {
    double send_ns, receive_ns; /* a packet */
};
/* Two UDP sockets on ::1: trains cut by the kernel (GSO), taken whole (GRO). */
int perf_sockets_measure(struct perf_socket_cost *cost, size_t mtu, double seconds,
                         struct stoq_error *error);

struct perf_crypto_cost {
    double seal_ns, open_ns, mask_ns; /* a packet: AES-128-GCM, header protection */
    double keygen_ns, encapsulate_ns, decapsulate_ns; /* X25519MLKEM768 */
    double sign_ns, verify_ns; /* Ed25519 */
};
int perf_crypto_measure(struct perf_crypto_cost *cost, size_t mtu, double seconds,
                        struct stoq_error *error);

#endif
