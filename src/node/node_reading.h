/* A snapshot for one request, closed at the end of the scope. */
#ifndef HM_NODE_READING_H
#define HM_NODE_READING_H

#include "node_private.h"

struct node_reading {
    struct ledger_view *view;
};

/* HM_EBUSY while the node is not ready. */
static inline int node_reading_open(struct node *node, struct node_reading *out,
                                    struct hm_error *error)
{
    return node_view(node, &out->view, error);
}

static inline void node_reading_release(struct node_reading *reading)
{
    if (reading->view != NULL)
        ledger_view_close(reading->view);
    reading->view = NULL;
}

#define NODE_READING HM_CLEANUP(node_reading) struct node_reading

#endif
