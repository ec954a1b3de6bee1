/* An identity's insides, shared by root keys and sessions. */
#ifndef HM_TRUST_IDENTITY_H
#define HM_TRUST_IDENTITY_H

#include "trust_keystore.h"

/* A session key pair in memory; `live` says whether it is one. */
struct trust_pair {
    bool live;
    uint64_t expires_ms;
    uint8_t seed[CRYPTO_SEED_BYTES];
    struct crypto_ed25519_key key;
};

struct trust_identity {
    const struct trust_keystore *keystore;
    char name[TRUST_NAME_MAX + 1];
    uint8_t account[WIRE_ID_BYTES];
    struct crypto_root_key *root;
    struct trust_pair current; /* granted on the ledger, stored */
    struct trust_pair next; /* begun, not adopted yet */
};

void trust_pair_set(struct trust_pair *pair, const uint8_t seed[CRYPTO_SEED_BYTES],
                    uint64_t expires_ms);
void trust_pair_wipe(struct trust_pair *pair);
/* Loads NAME.session when there is one; one that is damaged or foreign is left out, and a new session
 * will replace it. Fails only when the machine does (HM_ENOMEM, HM_EIO). */
int trust_session_load(struct trust_identity *identity, struct hm_error *error);

#endif
