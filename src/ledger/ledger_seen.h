/* Transactions and batches whose signature was found good, or was made by this process, so that a block need not
 * check it again; and what reading them showed, so that a block need not read them again. The key is the hash of the
 * whole transaction, signature included (of a batch: of head and signature): a hit means that this very signature
 * verifies and that these very bytes were read, so that nothing but the time taken depends on what is remembered. */
#ifndef HM_LEDGER_SEEN_H
#define HM_LEDGER_SEEN_H

#include <pthread.h>

#include "base.h"
#include "crypto.h"

#define LEDGER_SEEN_SLOTS   ((size_t)1 << 16) /* a newer entry takes the slot of an older one */
#define LEDGER_SEEN_BATCHES ((size_t)256) /* the oldest is forgotten */
#define LEDGER_SEEN_TXS \
    ((size_t)1 << 16) /* of all those batches together; no longer batch is kept */

/* What reading a transaction shows, whatever the state. */
struct ledger_seen_tx {
    uint8_t key[CRYPTO_HASH_BYTES]; /* hash of its bytes */
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t weight;
    bool readable; /* the envelope parses, so there is a digest */
    bool whole; /* the body parses as well */
    bool root;
    bool touches_assets;
};

/* What reading a batch shows: of its transactions in their order, and their root. */
struct ledger_seen_batch {
    uint8_t key[CRYPTO_HASH_BYTES]; /* hash of its bytes */
    uint8_t tx_root[CRYPTO_HASH_BYTES];
    struct ledger_seen_tx *txs;
    size_t count;
};

struct ledger_seen {
    pthread_mutex_t lock;
    struct ledger_seen_tx *slots; /* LEDGER_SEEN_SLOTS; not readable: only the signature is known */
    struct ledger_seen_batch *batches; /* LEDGER_SEEN_BATCHES, a ring */
    size_t batch_first;
    size_t batch_count;
    size_t batch_txs;
};

int ledger_seen_init(struct ledger_seen *seen); /* HM_ENOMEM */
void ledger_seen_release(struct ledger_seen *seen);
void ledger_seen_add(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES]);
/* Key of a batch: what its signature covers, and the signature. */
void ledger_seen_batch_key(struct hm_slice head, struct hm_slice signature,
                           uint8_t key[CRYPTO_HASH_BYTES]);
/* Has the memory of a key brought near, for a question that comes soon. */
void ledger_seen_fetch(const struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES]);
bool ledger_seen_has(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES]);

/* A transaction that was read and whose signature is good; and what was read of one. */
void ledger_seen_tx_add(struct ledger_seen *seen, const struct ledger_seen_tx *tx);
bool ledger_seen_tx_find(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES],
                         struct ledger_seen_tx *out);

/* A batch that was read (its signature is another matter), all its transactions readable. Keeps a copy; where there
 * is no memory or no room for it, it keeps nothing. */
void ledger_seen_batch_keep(struct ledger_seen *seen, const struct ledger_seen_batch *batch);
/* Gives a copy in the arena; false: not known, or no memory. */
bool ledger_seen_batch_find(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES],
                            struct hm_arena *arena, struct ledger_seen_batch *out);

#endif
