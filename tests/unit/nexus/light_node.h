/* A node that shows a small ledger and the signed blocks over it, and lies when it is told to: on a unix socket, by a thread of its
 * own, without an engine. */
#ifndef LIGHT_NODE_H
#define LIGHT_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "light.h"
#include "store.h"

#define LIGHT_NODE_CHAIN     "light-node-1"
#define LIGHT_NODE_TOP       9 /* blocks 1 to 9; the state has been the same since block 3 */
#define LIGHT_NODE_KEY       "colour" /* of the key-value store; its value is "green" */
#define LIGHT_NODE_SLOW_MS   100
#define LIGHT_NODE_UNBOND_MS 86400000 /* of the ledger's parameters */

enum light_lie {
    LIGHT_TRUTH,
    LIGHT_LIE_ROOT, /* of the state, with a proof that fits it */
    LIGHT_LIE_VALUE, /* another value, the right proof */
    LIGHT_LIE_ABSENT, /* the value is left out */
    LIGHT_LIE_PROOF, /* one bit */
    LIGHT_LIE_VALIDATORS, /* its own key signs from block 6 on */
    LIGHT_LIE_HEIGHT, /* another block than it was asked for */
    LIGHT_LIE_NOISE, /* no block, no JSON */
    LIGHT_LIE_LONG, /* an answer without end */
    LIGHT_AWAY, /* 503 */
    LIGHT_STARTS, /* 503 as often as `starting` says, then the truth */
    LIGHT_TOO_MANY, /* 429 */
    LIGHT_SLOW, /* the truth, LIGHT_NODE_SLOW_MS late each time */
};

struct light_node {
    char folder[64], path[96];
    int fd;
    pthread_t thread;
    atomic_bool stop;
    atomic_int lie;
    atomic_int starting;
    atomic_uint asked_to_wait; /* GET /light/H?wait_ms=... */
    uint64_t time_ms; /* of block 0; a second a block */
    uint8_t root[CRYPTO_HASH_BYTES], false_root[CRYPTO_HASH_BYTES];
    struct hm_buf value, proof, false_proof, absence; /* of the key; of one that is not there */
    struct hm_buf params, params_proof;
    struct crypto_ed25519_key key, false_key;
};

void light_node_open(struct light_node *node);
void light_node_close(struct light_node *node);
/* HEIGHT:HASH of a true block. */
void light_node_anchor(const struct light_node *node, int64_t height, struct light_anchor *out);
/* A true block, in the arena. */
Hypermesh__Abci__LightBlock *light_node_block(const struct light_node *node, int64_t height,
                                              bool forged, struct hm_arena *arena);

#endif
