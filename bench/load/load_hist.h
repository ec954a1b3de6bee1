/* Times in a histogram with buckets as wide as 1/64 of their value: a quantile is right within 1.6 %, whatever the
 * count, and threads' histograms add up. (The idea is that of HdrHistogram; the code is our own.) */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <stdint.h>

#define LOAD_HIST_SUB_BITS 6
#define LOAD_HIST_OCTAVES  36 /* up to 2^42 ns, over an hour; longer ones count as that */
#define LOAD_HIST_BUCKETS  ((LOAD_HIST_OCTAVES + 2) << LOAD_HIST_SUB_BITS)

/* Zero-initialised is empty. */
struct load_hist {
    uint64_t counts[LOAD_HIST_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
};

void load_hist_record(struct load_hist *hist, uint64_t ns);
void load_hist_add(struct load_hist *into, const struct load_hist *from);
/* quantile 0..1; the middle of its bucket, never above the maximum; 0 when empty. */
double load_hist_quantile_us(const struct load_hist *hist, double quantile);

#endif
