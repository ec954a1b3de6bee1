/* How many requests a caller may make: a token bucket for each. */
#ifndef HM_API_RATE_H
#define HM_API_RATE_H

#include <pthread.h>

#include "base.h"

#define API_RATE_PER_S    400000 /* requests a second, and as many at once after a quiet second */
#define API_RATE_CALLERS  64 /* buckets; callers beyond share them */
#define API_RETRY_AFTER_S 1 /* what 429 and 503 ask for */

struct api_rate_bucket {
    uint64_t caller;
    uint64_t tokens_ns; /* time it would take to fill up to what is there; 0: empty */
    uint64_t seen_ns;
};

struct api_rate {
    pthread_mutex_t lock;
    uint64_t per_s;
    struct api_rate_bucket buckets[API_RATE_CALLERS];
};

void api_rate_init(struct api_rate *rate, uint64_t per_s); /* 0: API_RATE_PER_S */
void api_rate_release(struct api_rate *rate);
/* One request of the caller at this moment: false when it is one too many. Thread-safe. */
bool api_rate_take(struct api_rate *rate, uint64_t caller, uint64_t now_ns);

#endif
