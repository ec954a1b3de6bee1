/* Streams of server-sent events that a verb prints as they come, for as long as the user wants. */
#ifndef HM_NEXUS_NEWS_H
#define HM_NEXUS_NEWS_H

#include "nexus_call.h"
#include "nexus_sse.h"

#define NEXUS_NEWS_RETRY_MS 1000 /* between attempts to find the node again */

struct nexus_news {
    struct nexus_call *call;
    const char *path; /* with query, escaped */
    const char *start, *start_value; /* query parameter that says where to begin; value NULL: now */
    const char *resume; /* query parameter that takes the last event's id */
    bool
        follow; /* when the node goes away, wait until it is back and go on behind the last event */
    uint64_t most; /* events to show; 0: all */
    /* What people see of one event, appended; with -o json its data is printed as it is, a line each. */
    int (*line)(struct nexus_call *call, const struct nexus_sse_event *event, const json_t *data,
                struct hm_buf *out);
};

/* Ends with 0 when the stream or its reader has ended, or `most` were shown. */
int nexus_news_follow(const struct nexus_news *news);

#endif
