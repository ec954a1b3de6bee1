/* One share of a volume's key, as a trustee holds it: which split it is of, which of how many, and signed by who split it. So a share that was
 * changed, is there twice or is of another split is known by itself, before anything is joined. */
#ifndef HM_PACKETFS_SHARE_H
#define HM_PACKETFS_SHARE_H

#include "access/packetfs_identity.h"
#include "packetfs_keys.h"

#define PACKETFS_SPLIT_ID_BYTES 16
#define PACKETFS_SHARES_MAX     CRYPTO_SHARES_MAX

struct packetfs_share {
    uint8_t split_id[PACKETFS_SPLIT_ID_BYTES];
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    uint8_t k, n, index; /* 1 <= index <= n */
    uint8_t bytes[PACKETFS_KEY_BYTES];
    uint8_t
        promise[CRYPTO_HASH_BYTES]; /* a hash of split id and key: what the joined key must be */
    struct packetfs_contact by;
    struct crypto_root_signature signature;
};

/* Splits a key into n shares, signed. HM_EINVAL. */
int packetfs_shares_make(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                         const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                         const struct packetfs_identity *by, unsigned k, unsigned n,
                         const struct hm_random *random, struct packetfs_share *out,
                         struct hm_error *error);
/* "PFSSHR1\n", split, volume, k, n, index, share, promise, signature, contact. HM_ENOMEM. */
int packetfs_share_encode(const struct packetfs_share *share, struct hm_buf *out);
/* Pure, fuzzed; does not look at the signature. HM_EPARSE, HM_EUNSUPPORTED. */
int packetfs_share_decode(struct hm_slice bytes, struct packetfs_share *out,
                          struct hm_error *error);
/* HM_EAUTH: changed, or never signed by who it says. */
int packetfs_share_verify(const struct packetfs_share *share, struct hm_error *error);
/* volume_key from verified shares. names[i], for the error's sentence: where share i came from. Refused are shares of another split, of another volume, the
 * same one twice (HM_ECONFLICT), fewer than k (HM_ELIMIT: the sentence says how many are missing), and what does not come to the promised key (HM_EAUTH). */
int packetfs_shares_join(const struct packetfs_share *const *shares, const char *const *names,
                         size_t count, uint8_t volume_key[PACKETFS_KEY_BYTES],
                         struct hm_error *error);

#endif
