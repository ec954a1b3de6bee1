/* Readers without a token (hypermeshd --open-proofs): what they ask for costs the node's engine work, so that all of them together
 * get a small part of what the node can do, and never what its owner's requests need. */
#ifndef HM_API_STRANGERS_H
#define HM_API_STRANGERS_H

#include <stdatomic.h>

#include "api_rate.h"

#define API_STRANGERS_MAX        32 /* of their requests at once; others use up to API_WAITS_MAX */
#define API_STRANGERS_PER_S      200 /* of their requests, and as many at once after a quiet second */
#define API_STRANGERS_ASKS_PER_S 1 /* blocks that nobody else needs, made for them */

struct api_strangers {
    struct api_rate rate, asks;
    atomic_uint now;
};

void api_strangers_init(struct api_strangers *strangers);
void api_strangers_release(struct api_strangers *strangers);
/* HM_EBUSY: too many, or too fast; otherwise leave must follow. Thread-safe, as the others below. */
int api_strangers_enter(struct api_strangers *strangers, uint64_t now_ns, struct hm_error *error);
void api_strangers_leave(struct api_strangers *strangers);
/* Whether a block may be asked for now. */
bool api_strangers_may_ask(struct api_strangers *strangers, uint64_t now_ns);

#endif
