/* What the files of this room know of the thread that measures. */
#ifndef HM_WITNESS_PRIVATE_H
#define HM_WITNESS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger.h"
#include "witness.h"
#include "witness_links.h"
#include "witness_name.h"

#define WITNESS_RETRY_MS 1000 /* after the random source failed */

struct witness {
    struct crypto_ed25519_key key;
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    uint8_t validator[LEDGER_WITNESS_NODE_BYTES];
    uint8_t proof[CRYPTO_ED25519_SIGNATURE_BYTES]; /* that the validator is this node */
    bool proven;
    uint8_t chain[WITNESS_ECHO_CHAIN_BYTES];
    const struct hm_clock *clock;
    const struct hm_random *random;
    int family; /* of the socket */
    int socket; /* -1: none */
    int wake_fd; /* eventfd */
    pthread_t thread;
    bool running;
    atomic_bool quit;
    atomic_bool resting; /* the thread sleeps as on an idle chain */
    _Atomic uint64_t block_ns; /* of the last block */
    struct witness_names *names; /* whose addresses are sought */
    pthread_mutex_t
        lock; /* guards the peers against whoever reads; the thread alone changes them, but for who is known */
    struct witness_echo_peers peers;
    uint64_t looked_ns; /* when the ways were; of the thread */
    _Atomic uint64_t asked, answers, answered, refused;
};

void witness_send(struct witness *witness, const uint8_t *packet, size_t len,
                  const struct witness_echo_place *to);

/* --- witness_train.c */
/* A packet of WITNESS_LINK_BYTES came. False: it is none of ours. */
bool witness_train_take(struct witness *witness, struct hm_slice packet,
                        const struct witness_echo_place *from, uint64_t now_ns);
/* Sends the trains that are due; milliseconds until the next is, at most most_ms. */
int witness_train_ask(struct witness *witness, int most_ms);
/* Tells what the ways show, when all that came was read. Nothing where it did so just before. */
void witness_train_look(struct witness *witness);

#endif
