/* hypermeshd --keep: what follows an end of the daemon. Pure. */
#ifndef HM_NODE_KEEP_H
#define HM_NODE_KEEP_H

#include "base.h"

#define NODE_KEEP_PAUSE_MIN_MS UINT64_C(200)
#define NODE_KEEP_PAUSE_MAX_MS UINT64_C(30000)
#define NODE_KEEP_SETTLED_MS   UINT64_C(60000) /* who lived so long starts without a history */
#define NODE_KEEP_QUICK_MAX    10 /* ends before that, one after the other */
#define NODE_KEEP_EXIT_USAGE   2 /* hypermeshd's exit status: no start mends its words */

enum node_keep_next {
    NODE_KEEP_DONE, /* it ended in order */
    NODE_KEEP_AGAIN,
    NODE_KEEP_GIVES_UP, /* a person must mend it */
};

/* Zero at the beginning. */
struct node_keep {
    bool ran; /* a life was longer than NODE_KEEP_SETTLED_MS, or ended by a signal: it can start */
    unsigned quick;
    uint64_t pause_ms; /* before the next start */
};

/* status: waitpid's. */
enum node_keep_next node_keep_ended(struct node_keep *keep, int status, uint64_t lived_ms);

/* "signal 9", "exit status 1". */
#define NODE_KEEP_HOW_BYTES 32
void node_keep_how(int status, char out[NODE_KEEP_HOW_BYTES]);
/* What that may come from, in brackets after a blank; "" where it says it by itself. */
const char *node_keep_why(int status);

#endif
