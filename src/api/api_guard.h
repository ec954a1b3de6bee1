/* What stands between a request that fits a route and its handler: the state of the thing it
 * changes (If-Match), and answers already given (Idempotency-Key). */
#ifndef HM_API_GUARD_H
#define HM_API_GUARD_H

#include "api_core.h"

struct api_guard {
    pthread_rwlock_t *thing; /* held, or NULL */
    bool keyed; /* a key was put down; name says which */
    uint8_t name[32];
};

/* Of an act. *refused: status, when it is not the code's own. *done: the answer is there already.
 * After success, api_guard_leave. */
int api_guard_enter(struct api_call *call, struct api_guard *guard, unsigned *refused, bool *done,
                    struct hm_error *error);
/* rc: what the handler said. The answer, a refusal too, must be in *response. */
void api_guard_leave(struct api_call *call, struct api_guard *guard, int rc);

/* Of a read that succeeded: gives the answer its tag; 304 when If-None-Match names it. */
int api_guard_tag(struct api_call *call, struct hm_error *error);

/* Whether requests of the route may carry If-Match. */
bool api_guard_fits(const struct api_route *route);

/* Whether the method asks for a change. */
bool api_method_acts(const char *method);

#endif
