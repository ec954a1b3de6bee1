/* How new what a GET of the ledger shows is, and waiting until it is new enough. A route that reads the ledger has
 * API_LEDGER: its answer says at which height it was read, and it takes min_height and wait_ms. */
#ifndef HM_API_FRESH_H
#define HM_API_FRESH_H

#include "api_core.h"

#define API_FRESH_WAIT_DEFAULT_MS 10000
#define API_FRESH_WAIT_MAX_MS     60000

extern const struct api_fields api_query_fresh; /* min_height, wait_ms */

/* What a request asks for. All zero: nothing. */
struct api_fresh_wanted {
    uint64_t height; /* 0: any */
    uint64_t wait_ms;
};

/* Does it name a height? Then its answer may have to be waited for. */
bool api_fresh_asked(const struct api_route *route, const struct api_target *target);
/* Takes its part out of the query. HM_EINVAL, HM_ERANGE. */
int api_fresh_take(struct api_call *call, struct api_target *target, struct api_fresh_wanted *out,
                   struct hm_error *error);
/* Waits as asked, and notes in the response how new the ledger is before it is read. HM_ETIMEOUT names both heights. */
int api_fresh_meet(struct api_call *call, const struct api_fresh_wanted *wanted,
                   struct hm_error *error);
/* Until the block of that height is here. ask: it is asked for, though nobody needs it. HM_ETIMEOUT names both heights;
 * HM_EBUSY: the server closes; HM_ECANCELLED: the client has gone. */
int api_fresh_wait(struct api_call *call, uint64_t height, uint64_t wait_ms, bool ask,
                   struct hm_error *error);
/* HM_ERANGE past API_FRESH_WAIT_MAX_MS. */
int api_fresh_check_wait(uint64_t wait_ms, struct hm_error *error);

#endif
