/* Server-sent events as they come: the parser of "event: ... id: ... data: ..." blocks (WHATWG HTML, 9.2). */
#ifndef HM_NEXUS_SSE_H
#define HM_NEXUS_SSE_H

#include "base.h"

/* Of one event: id, type and data together. */
#define NEXUS_SSE_EVENT_MAX_BYTES ((size_t)8 << 20)

struct nexus_sse_event {
    const char *type; /* "message" when none was given */
    const char *id; /* the last one seen; "" before any */
    const char *data; /* lines joined by \n */
    size_t data_len;
};

struct nexus_sse {
    struct hm_buf line, data;
    struct hm_buf type, id;
    bool had_cr; /* a line ended in \r: a \n that follows belongs to it */
    bool has_data;
};
void nexus_sse_release(struct nexus_sse *sse);

/* Takes bytes and calls `take` for each event that is whole; what it is given is valid during the call. A
 * failure of `take` is returned at once. HM_ELIMIT, HM_ENOMEM. Pure. */
int nexus_sse_feed(struct nexus_sse *sse, const uint8_t *bytes, size_t len,
                   int (*take)(void *ctx, const struct nexus_sse_event *event,
                               struct hm_error *error),
                   void *ctx, struct hm_error *error);

#endif
