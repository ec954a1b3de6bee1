/* The accounts that this node signs for: what node_wallet.c (names, accounts), node_session.c (session keys) and
 * node_submit.c (transactions) share. */
#ifndef HM_NODE_WALLET_H
#define HM_NODE_WALLET_H

#include "node_private.h"

struct node_act;

struct node_account {
    struct node_account *next;
    char name[TRUST_NAME_MAX + 1];
    uint8_t id[WIRE_ID_BYTES];

    pthread_mutex_t keys; /* guards the identity: one signs, or changes the session, at a time */
    struct trust_identity *identity;
    bool granted; /* the session begun is on the ledger; adopting it failed */
    _Atomic uint64_t session_until_ms; /* of the current session; 0: none */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t opened; /* a session was opened, or not */
    bool opening; /* a thread opens a session; others wait for what becomes of it */
    struct node_act *first, **last; /* acts that no transaction holds yet */
    size_t waiting, waiting_bytes; /* their operations, and bytes */
    bool building; /* a thread makes transactions of them */
    size_t in_flight; /* transactions */
    bool broken; /* one on its way was refused: those after it will be, too */
    uint8_t presence[CRYPTO_HASH_BYTES]; /* after those on their way; the builder's */
};

/* --- node_wallet.c ------------------------------------------------------------------------------------ */
/* By name of the keystore; loads it when it was not in use yet. Accounts stay until the node ends. */
int node_account_get(struct node *node, const char *name, struct node_account **out,
                     struct hm_error *error);

/* The same of one that is in use already; NULL: it is not. */
struct node_account *node_account_find(struct node *node, const char *name);

/* --- node_session.c ----------------------------------------------------------------------------------- */
/* A session that lasts a while is there when it returns 0. *done: the extra operations went along with its grant. */
int node_session_ensure(struct node *node, struct node_account *account,
                        Hypermesh__Operation *const *extra, size_t extra_count, bool *done,
                        struct hm_error *error);
/* Is one there that lasts a while, so that node_session_ensure would do nothing? */
bool node_session_is_there(const struct node *node, const struct node_account *account);
/* The current session at now_ms; HM_EAUTH when it has ended. */
int node_session_now(struct node_account *account, uint64_t now_ms, struct trust_session *out,
                     struct hm_error *error);
/* Signs with this session; HM_ECONFLICT when another has taken its place meanwhile. */
int node_session_sign(struct node_account *account, const struct trust_session *session,
                      const uint8_t digest[CRYPTO_HASH_BYTES],
                      uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES], struct hm_error *error);
/* Forgets the current session when the ledger does not know it (any more); true: it did. */
bool node_session_forget_unknown(struct node *node, struct node_account *account);
/* Forgets the current session if it is this one. */
void node_session_forget(struct node_account *account, struct hm_slice key);

/* --- node_submit.c ------------------------------------------------------------------------------------ */
/* Signs by the session key or the root keys, orders, waits until it is durable. receipt may be NULL; otherwise it is
 * the caller's to release when 0. */
int node_account_submit(struct node *node, struct node_account *account, bool by_root,
                        Hypermesh__Operation *const *ops, size_t count,
                        struct engine_receipt *receipt, struct hm_error *error);

#endif
