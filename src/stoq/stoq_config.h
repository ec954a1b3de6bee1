/* Configuration checked before an endpoint is made of it, and counters as text for several endpoints at once. */
#ifndef STOQ_CONFIG_H
#define STOQ_CONFIG_H

#include "stoq_internal.h"

#define STOQ_RATE_BITS_MIN 64000ULL
#define STOQ_RATE_BITS_MAX 1000000000000ULL
#define STOQ_WINDOW_MAX    (1ULL << 40) /* windows and queues of a configuration */
#define STOQ_STREAMS_MAX   (1ULL << 32)
#define STOQ_TIME_MAX_NS   (365ULL * 86400 * STOQ_NS_PER_S)
#define STOQ_FOLDER_MAX \
    3500 /* bytes of qlog_folder; leaves room for a file's name below PATH_MAX */

/* STOQ_EINVAL with a sentence that names the wrong field. */
int stoq_config_check(const struct stoq_config *config, struct stoq_error *error);
/* Bits a second of a tier; 0 for UNLIMITED and ADAPTIVE. STOQ_EINVAL for an unknown tier or a custom rate out of range. */
int stoq_rate_bits(enum stoq_rate rate, uint64_t custom_bits, uint64_t *out);

/* One endpoint's counters and its labels ("" or "worker=\"0\""). */
struct stoq_counters_row {
    const uint64_t *counters; /* STOQ_COUNTERS */
    const char *labels;
};
/* As stoq_counters_text, for several endpoints: each metric is named once. */
size_t stoq_counters_text_rows(const struct stoq_counters_row *rows, size_t count, char *out,
                               size_t capacity);

#endif
