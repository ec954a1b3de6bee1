/* crypto: one narrow front over OpenSSL 3.5, libsodium, BLAKE3 and GMP. Callers name what they need
 * (hash, session signature, root signature, seal), never a library.
 *
 * Never: keeps keys of its own, reads files, chooses policy.
 * Start reading with crypto_hash and struct crypto_root_key. */
#ifndef HM_CRYPTO_H
#define HM_CRYPTO_H

#include "base.h"

#define CRYPTO_HASH_BYTES              32
#define CRYPTO_ED25519_PUBLIC_BYTES    32
#define CRYPTO_ED25519_SECRET_BYTES    64 /* libsodium form: seed || public */
#define CRYPTO_ED25519_SIGNATURE_BYTES 64
#define CRYPTO_MLDSA65_PUBLIC_BYTES    1952 /* FIPS 204, ML-DSA-65 */
#define CRYPTO_MLDSA65_SIGNATURE_BYTES 3309
#define CRYPTO_SEED_BYTES              32

/* Once per process before anything else; thread-safe and idempotent. HM_EINTERNAL when a library
 * or an algorithm is missing. */
int crypto_setup(struct hm_error *error);

/* --- hash: BLAKE3, 32 bytes ------------------------------------------------------------------ */
void crypto_hash(const void *data, size_t len, uint8_t out[CRYPTO_HASH_BYTES]);
/* Domain-separated: BLAKE3 derive_key mode with a context string fixed in the source, over the
 * concatenation of the parts. Contexts look like "hypermesh 1 tx body". */
void crypto_hash_parts(const char *context, const struct hm_slice *parts, size_t count,
                       uint8_t out[CRYPTO_HASH_BYTES]);

/* BLAKE3 in its keyed mode: a MAC and a PRF. Who lacks the key can neither make nor test one. */
#define CRYPTO_KEY_BYTES 32
void crypto_hash_keyed(const uint8_t key[CRYPTO_KEY_BYTES], const void *data, size_t len,
                       uint8_t out[CRYPTO_HASH_BYTES]);
/* A key for one purpose from a secret: crypto_hash_parts(context, secret || salt), and nothing of the secret left on
 * the stack. salt may be empty; at most CRYPTO_DERIVE_SALT_MAX_BYTES, what is longer is hashed first. */
#define CRYPTO_DERIVE_SALT_MAX_BYTES 64
void crypto_derive(const char *context, const uint8_t secret[CRYPTO_KEY_BYTES],
                   struct hm_slice salt, uint8_t out[CRYPTO_KEY_BYTES]);

/* Streaming and reusable form. A hasher is plain memory: copy it to fork a common prefix. */
struct crypto_hasher {
    _Alignas(16) uint8_t opaque[1920];
};
void crypto_hasher_init(struct crypto_hasher *hasher);
void crypto_hasher_init_context(struct crypto_hasher *hasher, const char *context);
void crypto_hasher_update(struct crypto_hasher *hasher, const void *data, size_t len);
void crypto_hasher_final(const struct crypto_hasher *hasher, uint8_t out[CRYPTO_HASH_BYTES]);

/* Hashes count messages of one same length (64 or 1024-byte multiples are fastest) lying one after
 * the other; outs is count*32 bytes. Plain mode, equal to crypto_hash of each. */
void crypto_hash_many(const uint8_t *messages, size_t count, size_t message_len, uint8_t *outs);
/* The same for messages of 64 bytes each that lie apart. */
#define CRYPTO_BLOCK_BYTES 64
void crypto_hash_blocks(const uint8_t *const *blocks, size_t count, uint8_t *outs);
/* The same for messages of any lengths, wherever they lie: quickest where many have a few hundred bytes, up
 * to 1024, and about the same length. */
void crypto_hash_each(const struct hm_slice *messages, size_t count, uint8_t *outs);

/* SHA-256 for OCI digests only. */
#define CRYPTO_SHA256_BYTES 32
struct crypto_sha256;
int crypto_sha256_new(struct crypto_sha256 **out); /* HM_ENOMEM */
void crypto_sha256_update(struct crypto_sha256 *state, const void *data, size_t len);
void crypto_sha256_final(struct crypto_sha256 *state, uint8_t out[CRYPTO_SHA256_BYTES]);
void crypto_sha256_free(struct crypto_sha256 *state);

/* --- Ed25519: session keys (RFC 8032) -------------------------------------------------------- */
struct crypto_ed25519_key {
    uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint8_t secret_key[CRYPTO_ED25519_SECRET_BYTES];
};
void crypto_ed25519_from_seed(struct crypto_ed25519_key *key,
                              const uint8_t seed[CRYPTO_SEED_BYTES]);
void crypto_ed25519_wipe(struct crypto_ed25519_key *key);
void crypto_ed25519_sign(const struct crypto_ed25519_key *key, const void *message, size_t len,
                         uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES]);
/* 0 or HM_EAUTH. Strict: small-order and non-canonical points are refused. */
int crypto_ed25519_verify(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          const void *message, size_t len,
                          const uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES]);

/* --- Hybrid root key: Ed25519 and ML-DSA-65, both must verify --------------------------------- */
struct crypto_root_public {
    uint8_t ed25519[CRYPTO_ED25519_PUBLIC_BYTES];
    uint8_t mldsa65[CRYPTO_MLDSA65_PUBLIC_BYTES];
};
struct crypto_root_signature {
    uint8_t ed25519[CRYPTO_ED25519_SIGNATURE_BYTES];
    uint8_t mldsa65[CRYPTO_MLDSA65_SIGNATURE_BYTES];
};
/* The id of whoever holds the keys: H("hypermesh 1 account", ed25519 || mldsa65). */
void crypto_root_id(const struct crypto_root_public *public_key, uint8_t out[CRYPTO_HASH_BYTES]);

struct crypto_root_key; /* opaque: holds secrets, wiped on free */
/* Deterministic from two independent 32-byte seeds. */
int crypto_root_key_new(const uint8_t ed25519_seed[CRYPTO_SEED_BYTES],
                        const uint8_t mldsa65_seed[CRYPTO_SEED_BYTES], struct crypto_root_key **out,
                        struct hm_error *error);
void crypto_root_key_free(struct crypto_root_key *key);
void crypto_root_key_public(const struct crypto_root_key *key, struct crypto_root_public *out);
int crypto_root_sign(const struct crypto_root_key *key, const void *message, size_t len,
                     struct crypto_root_signature *out, struct hm_error *error);
/* 0 or HM_EAUTH; error says which half failed. */
int crypto_root_verify(const struct crypto_root_public *public_key, const void *message, size_t len,
                       const struct crypto_root_signature *signature, struct hm_error *error);

/* --- Sealing with a key: XChaCha20-Poly1305, random 24-byte nonce in front ----------------------- */
#define CRYPTO_SEAL_KEY_BYTES      32
#define CRYPTO_SEAL_OVERHEAD_BYTES (24 + 16)
/* Appends len + CRYPTO_SEAL_OVERHEAD_BYTES to out. context is authenticated, not stored. */
int crypto_seal(const uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_slice context,
                struct hm_slice plain, const struct hm_random *random, struct hm_buf *out,
                struct hm_error *error);
/* HM_EAUTH when the key, the context or a byte is wrong. */
int crypto_open(const uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_slice context,
                struct hm_slice sealed, struct hm_buf *out, struct hm_error *error);
/* Argon2id with libsodium's MODERATE cost from a passphrase. HM_ENOMEM. */
int crypto_passphrase_key(const char *passphrase, const uint8_t salt[16],
                          uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_error *error);

/* --- Sealing many things with one key: the nonce is the caller's --------------------------------- */
enum crypto_aead_suite {
    CRYPTO_AES_256_GCM = 1, /* NIST SP 800-38D */
    CRYPTO_CHACHA20_POLY1305 = 2, /* RFC 8439 */
};
#define CRYPTO_AEAD_NONCE_BYTES 12
#define CRYPTO_AEAD_TAG_BYTES   16
#define CRYPTO_AEAD_MAX_BYTES   ((size_t)1 << 30) /* of one message, and of what is bound to it */
/* A key with its schedule made, wiped when freed. Used by one thread at a time. Never the same nonce twice under one
 * key: with either suite that gives away what was sealed, and lets others seal. */
struct crypto_aead;
/* HM_ENOMEM, HM_EINVAL. */
int crypto_aead_new(enum crypto_aead_suite suite, const uint8_t key[CRYPTO_KEY_BYTES],
                    struct crypto_aead **out, struct hm_error *error);
void crypto_aead_free(struct crypto_aead *aead);
/* Another key, without new memory. On failure it seals and opens nothing until this succeeds. */
int crypto_aead_rekey(struct crypto_aead *aead, const uint8_t key[CRYPTO_KEY_BYTES],
                      struct hm_error *error);
/* Writes plain.len + CRYPTO_AEAD_TAG_BYTES bytes, the tag last. bound is authenticated, not stored. sealed may be
 * plain.data, but not overlap it otherwise. HM_ELIMIT. */
int crypto_aead_seal(struct crypto_aead *aead, const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES],
                     struct hm_slice bound, struct hm_slice plain, uint8_t *sealed,
                     struct hm_error *error);
/* Writes sealed.len - CRYPTO_AEAD_TAG_BYTES bytes; plain may be sealed.data, but not overlap it otherwise. HM_EAUTH when the
 * key, the nonce, what is bound or a byte is wrong: plain is then zeros. */
int crypto_aead_open(struct crypto_aead *aead, const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES],
                     struct hm_slice bound, struct hm_slice sealed, uint8_t *plain,
                     struct hm_error *error);
/* Whether this processor does AES and GHASH itself; without, AES-256-GCM is several times slower than ChaCha20-Poly1305. */
bool crypto_aead_has_aes_hardware(void);

/* --- Hybrid key encapsulation: X25519 and ML-KEM-768, both must be broken ------------------------------------------ */
#define CRYPTO_X25519_BYTES              32 /* secret, public, shared: RFC 7748 */
#define CRYPTO_MLKEM768_SEED_BYTES       64 /* d || z, FIPS 203 */
#define CRYPTO_MLKEM768_PUBLIC_BYTES     1184
#define CRYPTO_MLKEM768_CIPHERTEXT_BYTES 1088
struct crypto_kem_public {
    uint8_t x25519[CRYPTO_X25519_BYTES];
    uint8_t mlkem768[CRYPTO_MLKEM768_PUBLIC_BYTES];
};
struct crypto_kem_ciphertext {
    uint8_t x25519[CRYPTO_X25519_BYTES];
    uint8_t mlkem768[CRYPTO_MLKEM768_CIPHERTEXT_BYTES];
};
struct crypto_kem_key; /* opaque: holds secrets, wiped on free; threads may share it */
/* Deterministic from two independent seeds. HM_ENOMEM. */
int crypto_kem_key_new(const uint8_t x25519_seed[CRYPTO_X25519_BYTES],
                       const uint8_t mlkem768_seed[CRYPTO_MLKEM768_SEED_BYTES],
                       struct crypto_kem_key **out, struct hm_error *error);
void crypto_kem_key_free(struct crypto_kem_key *key);
void crypto_kem_key_public(const struct crypto_kem_key *key, struct crypto_kem_public *out);
/* A fresh key that only the holder of public_key's secret part makes out of the ciphertext. It is BLAKE3 in derive-key mode over both
 * shared secrets, both ciphertexts and both public keys. Says nothing of who made it. HM_EAUTH: no proper public key. HM_EIO. */
int crypto_kem_seal(const struct crypto_kem_public *public_key, const struct hm_random *random,
                    struct crypto_kem_ciphertext *ciphertext, uint8_t key[CRYPTO_KEY_BYTES],
                    struct hm_error *error);
/* Another key's or a changed ciphertext gives another key, mostly without an error: what it opens must say. */
int crypto_kem_open(const struct crypto_kem_key *key,
                    const struct crypto_kem_ciphertext *ciphertext, uint8_t out[CRYPTO_KEY_BYTES],
                    struct hm_error *error);

/* --- A secret in n shares, any k of which give it back (Shamir, over GF(256)) ------------------------------------------ */
#define CRYPTO_SHARES_MAX      255
#define CRYPTO_SHARE_MAX_BYTES 1024
/* shares: n * len bytes; share i belongs to point i + 1. Fewer than k say nothing of the secret. Nothing in a share says whether it is
 * right: who hands them out signs them. HM_EINVAL, HM_ENOMEM, HM_EIO. */
int crypto_share_split(const uint8_t *secret, size_t len, unsigned k, unsigned n,
                       const struct hm_random *random, uint8_t *shares, struct hm_error *error);
/* shares: k * len bytes, share i of points[i]. HM_EINVAL: a point twice, or 0. With wrong shares the secret is wrong. */
int crypto_share_join(const uint8_t *points, const uint8_t *shares, unsigned k, size_t len,
                      uint8_t *secret, struct hm_error *error);

/* --- A key from a code that both know: CPace (draft-irtf-cfrg-cpace), ristretto255 with SHA-512 ------------------------- */
#define CRYPTO_PAKE_SHARE_BYTES     32
#define CRYPTO_PAKE_TAG_BYTES       64
#define CRYPTO_PAKE_KEY_BYTES       64
#define CRYPTO_PAKE_FIELD_MAX_BYTES 255
/* Who listens learns nothing of the code; who takes part can try one code a run, and must be kept from running it often. */
enum crypto_pake_role { CRYPTO_PAKE_FIRST, CRYPTO_PAKE_SECOND };
/* Borrowed for the call; each up to CRYPTO_PAKE_FIELD_MAX_BYTES. The keys of both agree only when all but data do, and each knows the
 * other's data. */
struct crypto_pake_inputs {
    struct hm_slice password; /* not empty */
    struct hm_slice channel; /* what both see of the channel between them, and who they are */
    struct hm_slice session; /* public, different each time */
    struct hm_slice
        data; /* what the other side is told beside our share; different for the two roles */
};
struct crypto_pake; /* opaque: holds secrets, wiped on free; one run */
/* HM_EINVAL, HM_ENOMEM, HM_EIO. */
int crypto_pake_new(enum crypto_pake_role role, const struct crypto_pake_inputs *inputs,
                    const struct hm_random *random, struct crypto_pake **out,
                    struct hm_error *error);
void crypto_pake_free(struct crypto_pake *pake);
/* What the peer is sent, beside data. */
void crypto_pake_share(const struct crypto_pake *pake, uint8_t out[CRYPTO_PAKE_SHARE_BYTES]);
/* The peer's message. tag: proves to him that we have the key. HM_EAUTH: no element of the group, the identity, or our own share
 * sent back. Once only. */
int crypto_pake_meet(struct crypto_pake *pake, const uint8_t share[CRYPTO_PAKE_SHARE_BYTES],
                     struct hm_slice data, uint8_t tag[CRYPTO_PAKE_TAG_BYTES],
                     struct hm_error *error);
/* The peer's tag. HM_EAUTH: another code, or something was changed on the way; no key then. Once only. Use the key through
 * crypto_hash_parts or crypto_derive. */
int crypto_pake_confirm(struct crypto_pake *pake, const uint8_t tag[CRYPTO_PAKE_TAG_BYTES],
                        uint8_t key[CRYPTO_PAKE_KEY_BYTES], struct hm_error *error);

/* --- A delay that anyone can check: Wesolowski's VDF ------------------------------------------------------------------
 * output = x^(2^steps) in the group (Z/N)* modulo {1, -1}, x made from the input by hashing. Computing it takes `steps`
 * squarings one after the other, however many processors there are; checking takes about a millisecond. N is RSA-2048 of the RSA
 * Factoring Challenge (RSA Laboratories, 617 digits, withdrawn in 2007), whose factors nobody is known to have: who knew them could
 * skip the squarings. Elements are 256 bytes, big-endian, of x and N - x the smaller one. Formulas: Wesolowski, "Efficient
 * verifiable delay functions", 2019; primes of 256 bits for the proof without questions: Boneh, Bunz, Fisch, "A Survey of Two
 * Verifiable Delay Functions", 2018. Bytes: docs/formats-vdf.md. All of it is public: nothing here is constant time or wiped. */
#define CRYPTO_VDF_INPUT_BYTES   32
#define CRYPTO_VDF_ELEMENT_BYTES 256
#define CRYPTO_VDF_STEPS_MAX     (UINT64_C(1) << 40)
void crypto_vdf_modulus(uint8_t out[CRYPTO_VDF_ELEMENT_BYTES]);
/* x: where the squarings of this input begin. */
void crypto_vdf_element(const uint8_t input[CRYPTO_VDF_INPUT_BYTES],
                        uint8_t out[CRYPTO_VDF_ELEMENT_BYTES]);
/* Asked about every millisecond, on the thread that computes: true ends it with HM_ECANCELLED. */
typedef bool (*crypto_vdf_stop)(void *ctx);
/* About a microsecond a step. stop may be NULL. HM_EINVAL: steps 0 or over CRYPTO_VDF_STEPS_MAX. HM_ECANCELLED. */
int crypto_vdf_eval(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                    crypto_vdf_stop stop, void *ctx, uint8_t out[CRYPTO_VDF_ELEMENT_BYTES],
                    struct hm_error *error);
/* The proof of what crypto_vdf_eval gave; takes a fifth longer than that. HM_EPROOF_TIME: not the output of this input.
 * HM_EINVAL, HM_EPARSE, HM_ECANCELLED. */
int crypto_vdf_prove(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                     const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], crypto_vdf_stop stop,
                     void *ctx, uint8_t proof[CRYPTO_VDF_ELEMENT_BYTES], struct hm_error *error);
/* 0 only when output is that many squarings of input. HM_EPARSE: an output or proof that is no element as it is
 * written; HM_EPROOF_TIME: all else; HM_EINVAL: steps. */
int crypto_vdf_verify(const uint8_t input[CRYPTO_VDF_INPUT_BYTES], uint64_t steps,
                      const uint8_t output[CRYPTO_VDF_ELEMENT_BYTES],
                      const uint8_t proof[CRYPTO_VDF_ELEMENT_BYTES], struct hm_error *error);

/* --- Merkle list tree --------------------------------------------------------------------------- */
/* Root over count leaves; leaf i is hashes + 32*i, already a hash and taken as it is. The tree has the
 * shape of RFC 6962, section 2.1: left subtree of the largest power of two below the count, no
 * duplicated last leaf. H is crypto_hash. A node is H(0x01 || left || right). One leaf alone gives
 * H(0x00 || leaf), so that a root never equals a leaf. No leaf at all gives 32 zero bytes. The count is
 * not part of the root: leaves must be hashes that nobody can choose freely (crypto_hash_parts), or the
 * count must be bound beside the root. */
void crypto_merkle_root(const uint8_t *hashes, size_t count, uint8_t root[CRYPTO_HASH_BYTES]);

#endif
