/* Time and randomness as values passed in, so that a simulator can be the world. */
#ifndef HM_BASE_CLOCK_H
#define HM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Source of time. ctx belongs to whoever made the source and outlives it. */
struct hm_clock {
    uint64_t (*wall_ms)(void *ctx); /* milliseconds since 1970-01-01 UTC */
    uint64_t (*mono_ns)(void *ctx); /* monotonic nanoseconds, arbitrary origin */
    void *ctx;
};

/* Source of random bytes. fill returns 0 or HM_EIO. */
struct hm_random {
    int (*fill)(void *ctx, void *out, size_t len);
    void *ctx;
};

const struct hm_clock *hm_clock_system(void); /* CLOCK_REALTIME, CLOCK_MONOTONIC */
const struct hm_random *hm_random_system(void); /* getrandom(2) */

/* Test twins: a clock set by hand, and a seeded generator (xoshiro256**; never for secrets). */
struct hm_clock_manual {
    uint64_t wall_ms;
    uint64_t mono_ns;
};
struct hm_clock hm_clock_manual_source(struct hm_clock_manual *state);
struct hm_random_seeded {
    uint64_t s[4];
};
struct hm_random hm_random_seeded_source(struct hm_random_seeded *state, uint64_t seed);
uint64_t hm_random_u64(const struct hm_random *random); /* 0 when the source fails: tests only */

static inline uint64_t hm_wall_ms(const struct hm_clock *clock)
{
    return clock->wall_ms(clock->ctx);
}

static inline uint64_t hm_mono_ns(const struct hm_clock *clock)
{
    return clock->mono_ns(clock->ctx);
}

#endif
