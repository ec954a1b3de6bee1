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

/* The same, and *who: the id of an account by name or id, in id; NULL when name is. */
static inline int node_reading_open_for(struct node *node, const char *name,
                                        uint8_t id[WIRE_ID_BYTES], const uint8_t **who,
                                        struct node_reading *out, struct hm_error *error)
{
    int rc = node_reading_open(node, out, error);

    if (rc == 0 && name != NULL)
        rc = node_wallet_resolve(node, name, id, error);
    *who = name != NULL ? id : NULL;
    return rc;
}

static inline void node_reading_release(struct node_reading *reading)
{
    if (reading->view != NULL)
        ledger_view_close(reading->view);
    reading->view = NULL;
}

#define NODE_READING HM_CLEANUP(node_reading) struct node_reading

#endif
