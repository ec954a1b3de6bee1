#include "base_clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base_bytes.h"

#define NS_PER_S UINT64_C(1000000000)

static uint64_t system_wall_ms(void *ctx)
{
    struct timespec now = {0};

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t system_mono_ns(void *ctx)
{
    struct timespec now = {0};

    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

const struct hm_clock *hm_clock_system(void)
{
    static const struct hm_clock source = {system_wall_ms, system_mono_ns, NULL};

    return &source;
}

static int system_fill(void *ctx, void *out, size_t len)
{
    uint8_t *at = out;

    (void)ctx;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return HM_EIO;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

const struct hm_random *hm_random_system(void)
{
    static const struct hm_random source = {system_fill, NULL};

    return &source;
}

static uint64_t manual_wall_ms(void *ctx)
{
    return ((const struct hm_clock_manual *)ctx)->wall_ms;
}

static uint64_t manual_mono_ns(void *ctx)
{
    return ((const struct hm_clock_manual *)ctx)->mono_ns;
}

struct hm_clock hm_clock_manual_source(struct hm_clock_manual *state)
{
    return (struct hm_clock){manual_wall_ms, manual_mono_ns, state};
}

static uint64_t rotate_left(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

/* xoshiro256** 1.0, Blackman and Vigna, "Scrambled linear pseudorandom number generators". */
static uint64_t seeded_next(uint64_t s[4])
{
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Every number gives eight bytes, most significant first; what a short fill leaves over is dropped. */
static int seeded_fill(void *ctx, void *out, size_t len)
{
    struct hm_random_seeded *state = ctx;
    uint8_t *at = out;

    while (len > 0) {
        uint8_t bytes[8];
        size_t part = len < sizeof(bytes) ? len : sizeof(bytes);

        hm_put_be64(bytes, seeded_next(state->s));
        memcpy(at, bytes, part);
        at += part;
        len -= part;
    }
    return 0;
}

/* splitmix64, the seeding that the authors of xoshiro256** recommend: never an all-zero state. */
static uint64_t splitmix_next(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

struct hm_random hm_random_seeded_source(struct hm_random_seeded *state, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        state->s[i] = splitmix_next(&seed);
    return (struct hm_random){seeded_fill, state};
}

uint64_t hm_random_u64(const struct hm_random *random)
{
    uint8_t bytes[8];

    if (random->fill(random->ctx, bytes, sizeof(bytes)) != 0)
        return 0;
    return hm_get_be64(bytes);
}
