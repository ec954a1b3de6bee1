/* Transactions and batches whose signature was found good, or was made by this process, so that a block need not
 * check it again. The key is the hash of the whole transaction, signature included (of a batch: of head and
 * signature): a hit means that this very signature verifies, so that nothing but the time taken depends on what is
 * remembered. */
#ifndef HM_LEDGER_SEEN_H
#define HM_LEDGER_SEEN_H

#include <pthread.h>

#include "base.h"
#include "crypto.h"

#define LEDGER_SEEN_SLOTS \
    ((size_t)1 << 16) /* 2 MiB; a newer entry takes the slot of an older one */

struct ledger_seen {
    pthread_mutex_t lock;
    uint8_t (*slots)[CRYPTO_HASH_BYTES];
};

int ledger_seen_init(struct ledger_seen *seen); /* HM_ENOMEM */
void ledger_seen_release(struct ledger_seen *seen);
void ledger_seen_add(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES]);
/* Key of a batch: what its signature covers, and the signature. */
void ledger_seen_batch_key(struct hm_slice head, struct hm_slice signature,
                           uint8_t key[CRYPTO_HASH_BYTES]);
bool ledger_seen_has(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES]);

#endif
