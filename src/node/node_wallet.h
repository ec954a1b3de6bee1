/* The accounts that this node signs for: what node_wallet.c (names, sessions) and node_submit.c (transactions)
 * share. */
#ifndef HM_NODE_WALLET_H
#define HM_NODE_WALLET_H

#include "node_private.h"

struct node_account {
    struct node_account *next;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t idle; /* a submission ended, or a session was opened or not */
    struct trust_identity *identity;
    bool opening; /* a thread opens a session; others wait for what becomes of it */
    bool granted; /* the session begun is on the ledger; adopting it failed */
    size_t in_flight;
    bool broken; /* one on its way was refused: those after it will be, too */
    uint8_t presence[CRYPTO_HASH_BYTES]; /* after those on their way */
};

/* Signs by the session key or the root keys, orders, waits until it is durable. receipt may be NULL. */
int node_account_submit(struct node *node, struct node_account *account, bool by_root,
                        Hypermesh__Operation *const *ops, size_t count,
                        struct engine_receipt *receipt, struct hm_error *error);

#endif
