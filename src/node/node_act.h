/* One act of an account on its way into a transaction: between node_submit.c, which builds and orders, and those that
 * want acts done. */
#ifndef HM_NODE_ACT_H
#define HM_NODE_ACT_H

#include "node_wallet.h"

enum { ACT_WAITS, ACT_LEADS, ACT_ENDED };

/* What somebody wants done: in the frame of the thread that waits for it, until ACT_ENDED is seen, or anywhere until
 * ended is called. */
struct node_act {
    struct node_act *next; /* in the line, or in its transaction */
    Hypermesh__Operation *const *ops;
    size_t count, bytes;
    bool by_root;
    bool shares; /* may go with others */
    unsigned tries; /* on what turned out to be old */
    _Atomic uint32_t state; /* of one with a thread */
    struct node_act *behind; /* to wake, when ended */
    /* Of one without a thread, NULL otherwise. Called by any thread, which they must not hold up. */
    void (*leads)(struct node_act *act); /* node_account_lead is to be called soon */
    void (*ended)(struct node_act *act); /* once, as the last */
    int rc;
    struct hm_error error; /* when rc is not 0 */
    struct engine_receipt receipt;
};

/* ops are borrowed until the act has ended. */
void node_act_init(struct node_act *act, bool by_root, Hypermesh__Operation *const *ops,
                   size_t count);
/* Puts one without a thread into the line. */
void node_act_begin(struct node *node, struct node_account *account, struct node_act *act);
/* Builds what has lined up; whoever an act's leads told to, and not from there. */
void node_account_lead(struct node *node, struct node_account *account);

#endif
