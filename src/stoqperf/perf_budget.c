/* The budget of a packet and of a handshake: each part measured alone, and together. */
#include "perf_budget.h"

#include <string.h>
#include <time.h>

#define PARTS 14 /* among which the time is shared */

double perf_thread_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double perf_cost_ns(void (*act)(void *ctx), void *ctx, double seconds)
{
    double begun = perf_thread_seconds(), spent;
    uint64_t calls = 0;

    for (uint64_t batch = 1;; batch = batch < 4096 ? batch * 2 : batch) {
        for (uint64_t i = 0; i < batch; i++)
            act(ctx);
        calls += batch;
        spent = perf_thread_seconds() - begun;
        if (spent >= seconds)
            return spent / (double)calls * 1e9;
    }
}

struct copy {
    uint8_t *from, *to;
    size_t len, at, total;
};

/* From a source that is larger than a processor's second cache, as an application's data is. */
static void copy_once(void *ctx)
{
    struct copy *copy = ctx;

    memcpy(copy->to, copy->from + copy->at, copy->len);
    __asm__ volatile("" : : "r"(copy->to) : "memory");
    copy->at = copy->at + 2 * copy->len > copy->total ? 0 : copy->at + copy->len;
}

static int copy_measure(double *cost_ns, size_t mtu, double seconds)
{
    struct copy copy = {.len = mtu, .total = 4U << 20};

    copy.from = hm_calloc(1, copy.total);
    copy.to = hm_calloc(1, mtu);
    int code = copy.from != NULL && copy.to != NULL ? 0 : STOQ_ENOMEM;
    if (code == 0)
        *cost_ns = perf_cost_ns(copy_once, &copy, seconds);
    hm_free(copy.from);
    hm_free(copy.to);
    return code;
}

static void print_packet(const struct perf_options *options, const struct perf_crypto_cost *crypto,
                         const struct perf_socket_cost *sockets, const struct perf_pair_cost *pair,
                         double copy_ns)
{
    struct perf_report report;
    double sealing = crypto->seal_ns + crypto->mask_ns + copy_ns;
    double opening = crypto->open_ns + crypto->mask_ns;
    double slower = pair->send_ns + sockets->send_ns > pair->receive_ns + sockets->receive_ns
                        ? pair->send_ns + sockets->send_ns
                        : pair->receive_ns + sockets->receive_ns;

    perf_report_begin(&report, options, "packet");
    perf_report_number(&report, "mtu", (double)options->mtu, "bytes");
    perf_report_number(&report, "seal_ns", crypto->seal_ns, "ns");
    perf_report_number(&report, "open_ns", crypto->open_ns, "ns");
    perf_report_number(&report, "mask_ns", crypto->mask_ns, "ns");
    perf_report_number(&report, "copy_ns", copy_ns, "ns");
    perf_report_number(&report, "kernel_send_ns", sockets->send_ns, "ns");
    perf_report_number(&report, "kernel_receive_ns", sockets->receive_ns, "ns");
    perf_report_number(&report, "core_send_ns", pair->send_ns, "ns");
    perf_report_number(&report, "core_receive_ns", pair->receive_ns, "ns");
    perf_report_number(&report, "quic_send_ns", pair->send_ns - sealing, "ns");
    perf_report_number(&report, "quic_receive_ns", pair->receive_ns - opening, "ns");
    perf_report_number(&report, "bound_gbit_s", (double)options->mtu * 8 / slower, "Gb/s");
    perf_report_end(&report);
}

static void print_handshake(const struct perf_options *options,
                            const struct perf_crypto_cost *crypto)
{
    struct perf_report report;
    double client = crypto->keygen_ns + crypto->decapsulate_ns;
    double server = crypto->encapsulate_ns;
    double proof = crypto->sign_ns + crypto->verify_ns;

    perf_report_begin(&report, options, "handshake");
    perf_report_number(&report, "keygen_us", crypto->keygen_ns / 1e3, "us");
    perf_report_number(&report, "encapsulate_us", crypto->encapsulate_ns / 1e3, "us");
    perf_report_number(&report, "decapsulate_us", crypto->decapsulate_ns / 1e3, "us");
    perf_report_number(&report, "sign_us", crypto->sign_ns / 1e3, "us");
    perf_report_number(&report, "verify_us", crypto->verify_ns / 1e3, "us");
    perf_report_number(&report, "full_client_per_second", 1e9 / (client + proof), "a second");
    perf_report_number(&report, "full_server_per_second", 1e9 / (server + proof), "a second");
    perf_report_number(&report, "resumed_client_per_second", 1e9 / client, "a second");
    perf_report_number(&report, "resumed_server_per_second", 1e9 / server, "a second");
    perf_report_end(&report);
}

int perf_measure_budget(const struct perf_options *options)
{
    struct perf_options share = *options;
    struct stoq_error error = {.code = STOQ_ENOMEM, .text = "out of memory"};
    struct perf_crypto_cost crypto;
    struct perf_socket_cost sockets;
    struct perf_pair_cost pair;
    double copy_ns;

    share.seconds = options->seconds / PARTS;
    int code = copy_measure(&copy_ns, options->mtu, share.seconds);
    if (code == 0)
        code = perf_crypto_measure(&crypto, options->mtu, share.seconds, &error);
    if (code == 0)
        code = perf_sockets_measure(&sockets, options->mtu, 2 * share.seconds, &error);
    share.seconds *= 3;
    if (code == 0)
        code = perf_pair_measure(&pair, &share, &error);
    if (code != 0)
        return perf_complain(&error);
    print_packet(options, &crypto, &sockets, &pair, copy_ns);
    print_handshake(options, &crypto);
    return 0;
}
