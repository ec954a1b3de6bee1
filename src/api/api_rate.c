#include "api_rate.h"

#define NS_PER_S UINT64_C(1000000000)

void api_rate_init(struct api_rate *rate, uint64_t per_s)
{
    memset(rate, 0, sizeof(*rate));
    rate->per_s = per_s ? per_s : API_RATE_PER_S;
    (void)pthread_mutex_init(&rate->lock, NULL);
}

void api_rate_release(struct api_rate *rate)
{
    (void)pthread_mutex_destroy(&rate->lock);
}

/* The caller's bucket, else a free one, else the one that was quiet the longest. Under the lock. */
static struct api_rate_bucket *bucket_of(struct api_rate *rate, uint64_t caller)
{
    struct api_rate_bucket *oldest = &rate->buckets[0];

    for (size_t i = 0; i < API_RATE_CALLERS; i++) {
        struct api_rate_bucket *bucket = &rate->buckets[i];

        if (bucket->seen_ns != 0 && bucket->caller == caller)
            return bucket;
        if (bucket->seen_ns < oldest->seen_ns)
            oldest = bucket;
    }
    *oldest = (struct api_rate_bucket){.caller = caller};
    return oldest;
}

bool api_rate_take(struct api_rate *rate, uint64_t caller, uint64_t now_ns)
{
    uint64_t cost = NS_PER_S / rate->per_s;
    struct api_rate_bucket *bucket;
    bool fits;

    (void)pthread_mutex_lock(&rate->lock);
    bucket = bucket_of(rate, caller);
    if (bucket->seen_ns == 0)
        bucket->tokens_ns = NS_PER_S;
    else if (now_ns > bucket->seen_ns)
        bucket->tokens_ns += now_ns - bucket->seen_ns;
    if (bucket->tokens_ns > NS_PER_S)
        bucket->tokens_ns = NS_PER_S;
    bucket->seen_ns = now_ns ? now_ns : 1;
    fits = bucket->tokens_ns >= cost;
    if (fits)
        bucket->tokens_ns -= cost;
    (void)pthread_mutex_unlock(&rate->lock);
    return fits;
}
