/* Token bucket over bytes; time times rate is kept whole, so that no rate is ever off by rounding. */
#include "stoq_sched.h"

/* One byte in units of (bits a second) * nanoseconds. */
#define BYTE_UNITS (8 * STOQ_NS_PER_S)

__extension__ typedef unsigned __int128 wide;

static void refill(struct stoq_bucket *bucket, uint64_t now_ns)
{
    if (now_ns <= bucket->then_ns)
        return;
    wide units = (wide)bucket->rate_bits * (now_ns - bucket->then_ns) + bucket->remainder;
    wide gained = units / BYTE_UNITS;
    wide lacking = (wide)((int64_t)bucket->burst_bytes - bucket->bytes);

    bucket->then_ns = now_ns;
    if (gained >= lacking) {
        bucket->bytes = (int64_t)bucket->burst_bytes;
        bucket->remainder = 0;
    } else {
        bucket->bytes += (int64_t)gained;
        bucket->remainder = (uint64_t)(units % BYTE_UNITS);
    }
}

void stoq_bucket_init(struct stoq_bucket *bucket, uint64_t rate_bits, uint64_t burst_bytes,
                      uint64_t now_ns)
{
    if (burst_bytes > INT64_MAX)
        burst_bytes = INT64_MAX;
    *bucket = (struct stoq_bucket){.rate_bits = rate_bits,
                                   .burst_bytes = burst_bytes,
                                   .bytes = (int64_t)burst_bytes,
                                   .then_ns = now_ns};
}

void stoq_bucket_set_rate(struct stoq_bucket *bucket, uint64_t rate_bits, uint64_t burst_bytes,
                          uint64_t now_ns)
{
    if (bucket->rate_bits == 0) {
        stoq_bucket_init(bucket, rate_bits, burst_bytes, now_ns);
        return;
    }
    refill(bucket, now_ns);
    if (burst_bytes > INT64_MAX)
        burst_bytes = INT64_MAX;
    bucket->rate_bits = rate_bits;
    bucket->burst_bytes = burst_bytes;
    if (bucket->bytes >= (int64_t)burst_bytes) {
        bucket->bytes = (int64_t)burst_bytes;
        bucket->remainder = 0;
    }
}

size_t stoq_bucket_room(struct stoq_bucket *bucket, uint64_t now_ns)
{
    if (bucket->rate_bits == 0)
        return SIZE_MAX;
    refill(bucket, now_ns);
    return bucket->bytes > 0 ? (size_t)bucket->bytes : 0;
}

void stoq_bucket_spend(struct stoq_bucket *bucket, size_t bytes)
{
    if (bucket->rate_bits != 0)
        bucket->bytes -= (int64_t)bytes;
}

uint64_t stoq_bucket_ready_ns(const struct stoq_bucket *bucket, size_t bytes)
{
    uint64_t wanted = bytes < bucket->burst_bytes ? bytes : bucket->burst_bytes;

    if (bucket->rate_bits == 0 || bucket->bytes >= (int64_t)wanted)
        return bucket->then_ns;
    wide units = (wide)((int64_t)wanted - bucket->bytes) * BYTE_UNITS - bucket->remainder;
    wide wait = (units + bucket->rate_bits - 1) / bucket->rate_bits;
    return wait > STOQ_NEVER - bucket->then_ns ? STOQ_NEVER : bucket->then_ns + (uint64_t)wait;
}
