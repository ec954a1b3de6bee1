#include "load_hist.h"

static unsigned load_hist_bucket(uint64_t ns)
{
    const uint64_t limit = UINT64_C(1) << (LOAD_HIST_OCTAVES + LOAD_HIST_SUB_BITS);

    if (ns >= limit)
        ns = limit - 1;
    if (ns < 1U << LOAD_HIST_SUB_BITS)
        return (unsigned)ns;
    unsigned shift = 63U - (unsigned)__builtin_clzll(ns) - LOAD_HIST_SUB_BITS;
    return (shift << LOAD_HIST_SUB_BITS) + (unsigned)(ns >> shift);
}

static double load_hist_middle_ns(unsigned bucket)
{
    unsigned shift = bucket >> LOAD_HIST_SUB_BITS;

    if (shift < 2)
        return bucket;
    shift--;
    uint64_t low = (uint64_t)(bucket - (shift << LOAD_HIST_SUB_BITS)) << shift;
    return (double)low + (double)(UINT64_C(1) << shift) / 2;
}

void load_hist_record(struct load_hist *hist, uint64_t ns)
{
    hist->counts[load_hist_bucket(ns)]++;
    hist->total++;
    if (ns > hist->max_ns)
        hist->max_ns = ns;
}

void load_hist_add(struct load_hist *into, const struct load_hist *from)
{
    for (unsigned i = 0; i < LOAD_HIST_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

double load_hist_quantile_us(const struct load_hist *hist, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)hist->total);
    uint64_t seen = 0;

    for (unsigned i = 0; i < LOAD_HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen > wanted || (seen == hist->total && seen > 0)) {
            double ns = load_hist_middle_ns(i);
            return (ns < (double)hist->max_ns ? ns : (double)hist->max_ns) / 1e3;
        }
    }
    return 0;
}
