/* Accounts of a benchmark and what they sign: keys drawn from a seed, transactions as any client outside makes them. */
#ifndef SIGN_TX_H
#define SIGN_TX_H

#include "base.h"
#include "crypto.h"
#include "wire.h"

#define SIGN_OPS_MAX        64 /* of a transaction, by the chain's default */
#define SIGN_VALUE_MAX      4096
#define SIGN_CHAIN_ID_BYTES 64

struct sign_account {
    struct crypto_root_key *root;
    struct crypto_root_public root_public;
    struct crypto_ed25519_key session;
    uint8_t id[WIRE_ID_BYTES];
    uint8_t presence[CRYPTO_HASH_BYTES]; /* after everything signed so far */
};

/* What a transaction says of the chain it is for. */
struct sign_chain {
    char id[SIGN_CHAIN_ID_BYTES];
    uint64_t anchor_height;
    uint8_t anchor_hash[CRYPTO_HASH_BYTES];
    unsigned work_bits;
};

enum sign_kind { SIGN_PUT, SIGN_TRANSFER };

/* What the transactions of a run do. */
struct sign_work {
    enum sign_kind kind;
    size_t ops; /* a transaction */
    size_t value_bytes; /* of a put */
    uint64_t keys; /* puts go to as many keys, in turn */
    const char *seed; /* transfers go to accounts drawn from it, each to another */
};

/* Keys of account `number` of a seed: the same ones at each call. */
int sign_account_init(struct sign_account *account, const char *seed, uint64_t number,
                      struct hm_error *error);
void sign_account_release(struct sign_account *account); /* wipes */

/* Reads the answer of GET /accounts/ID/signing, the account's presence with it. */
int sign_chain_read(struct hm_slice json, struct sign_chain *chain, struct sign_account *account,
                    struct hm_error *error);

/* Append a packed transaction, and go on with the account's presence. The first one is signed by the root keys and lets the
 * session key sign the others; `first` numbers the operations of the second. */
int sign_grant(const struct sign_chain *chain, struct sign_account *account, struct hm_buf *out,
               struct hm_error *error);
int sign_work(const struct sign_chain *chain, struct sign_account *account,
              const struct sign_work *work, uint64_t first, struct hm_buf *out,
              struct hm_error *error);

#endif
