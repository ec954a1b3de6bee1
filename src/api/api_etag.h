/* Tags of representations (RFC 9110, 8.8.3), the conditions that name them, and the locks under
 * which a condition and the act it guards are one. */
#ifndef HM_API_ETAG_H
#define HM_API_ETAG_H

#include <pthread.h>

#include "api_request.h"

#define API_ETAG_BYTES    16 /* of the hash of the body */
#define API_ETAG_LIST_MAX 32 /* tags of one header */
#define API_THING_LOCKS   256 /* things that share one wait for each other */

/* Strong tag of an answer, with its quotes. */
void api_etag_of(struct hm_slice body, char etag[API_ETAG_MAX]);

/* Whether a header's list names the tag, or is "*". etag "": there is nothing to name. weak: W/ and
 * strong tags of the same text are the same (If-None-Match). HM_EINVAL: not a list of tags. */
int api_etag_listed(const char *header, const char *etag, bool weak, bool *listed,
                    struct hm_error *error);

/* Acts on a thing hold its lock shared; an act with a condition holds it alone. */
struct api_things {
    pthread_rwlock_t locks[API_THING_LOCKS];
};
int api_things_init(struct api_things *things);
void api_things_release(struct api_things *things);
pthread_rwlock_t *api_things_lock(struct api_things *things, const char *kind, struct hm_slice id);

#endif
