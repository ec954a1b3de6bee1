/* The bytes of a request as they arrive. They may hold a passphrase, so no copy of them is left behind in freed
 * memory: not when they are let go of, and not when their buffer grows. */
#ifndef HM_API_BODY_H
#define HM_API_BODY_H

#include "base.h"

/* HM_ENOMEM: the body is as it was. */
int api_body_append(struct hm_buf *body, const void *data, size_t len);
void api_body_release(struct hm_buf *body); /* leaves it empty */

#endif
