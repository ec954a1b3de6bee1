/* A host's counters as text: one sample a worker. */
#include <stdio.h>

#include "stoq_config.h"
#include "stoq_host.h"

struct sample {
    uint64_t counters[STOQ_COUNTERS];
    char label[32];
};

size_t stoq_host_metrics(struct stoq_host *host, char *out, size_t capacity)
{
    struct stoq_counters_row rows[STOQ_WORKERS_MAX];
    struct sample samples[STOQ_WORKERS_MAX];

    for (unsigned i = 0; i < host->count; i++) {
        stoq_endpoint_counters(host->workers[i].endpoint, samples[i].counters);
        (void)snprintf(samples[i].label, sizeof(samples[i].label), "worker=\"%u\"", i);
        rows[i] = (struct stoq_counters_row){samples[i].counters, samples[i].label};
    }
    return stoq_counters_text_rows(rows, host->count, out, capacity);
}
