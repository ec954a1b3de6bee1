/* trust: who we are. Identities with hybrid root keys in a keystore on disk, and the session keys that sign
 * everyday acts.
 *
 * Never: knows operations or fees, talks to the ledger (the node builds transactions and asks for
 * signatures).
 * Start reading with trust_identity_open. Files: docs/formats-keystore.md. */
#ifndef HM_TRUST_H
#define HM_TRUST_H

#include "base.h"
#include "crypto.h"
#include "wire.h"

#define TRUST_NAME_MAX       32 /* [a-z][a-z0-9-]* */
#define TRUST_IDENTITIES_MAX 1000

struct trust_keystore;

/* Opens or creates the folder dir (0700; one that is open to others is closed to them). With a
 * passphrase, keys are sealed under it (Argon2id, XChaCha20-Poly1305); without one (NULL) they lie in
 * 0600 files, which doctor points out. The passphrase is not kept, only the key derived from it; random
 * is borrowed. HM_EAUTH: wrong passphrase, or none for a sealed keystore. HM_EPERM: somebody else's
 * folder. HM_EBUSY: somebody has it open. HM_EINVAL: an empty passphrase. HM_EUNSUPPORTED: a passphrase for a keystore that holds
 * unsealed keys. An open keystore does not change: threads may share it, each identity used by one at a
 * time and accounts created by one at a time. A folder is open once at a time: it is locked (flock). */
int trust_keystore_open(const char *dir, const char *passphrase, const struct hm_random *random,
                        struct trust_keystore **out, struct hm_error *error);
void trust_keystore_close(struct trust_keystore *keystore); /* wipes; NULL is fine */
bool trust_keystore_sealed(const struct trust_keystore *keystore);

struct trust_entry {
    char name[TRUST_NAME_MAX + 1];
    uint8_t account[WIRE_ID_BYTES];
};
/* Sorted by name; array freed with hm_free. One key file that cannot be read (damaged, moved from another
 * name, readable by others) fails it all, and the error names the file. */
int trust_keystore_list(struct trust_keystore *keystore, struct trust_entry **out, size_t *count,
                        struct hm_error *error);

/* New root keys from random seeds, durable when it returns. HM_EEXIST, HM_EINVAL for the name, HM_ELIMIT
 * past TRUST_IDENTITIES_MAX. */
int trust_identity_create(struct trust_keystore *keystore, const char *name,
                          struct trust_entry *out, struct hm_error *error);

struct trust_identity;
/* Loads the root keys and the stored session; HM_ENOTFOUND, HM_ECORRUPT, HM_EAUTH, HM_EPERM. Free before
 * the keystore. Not thread-safe: callers lock. */
int trust_identity_open(struct trust_keystore *keystore, const char *name,
                        struct trust_identity **out, struct hm_error *error);
void trust_identity_free(struct trust_identity *identity); /* wipes */
const uint8_t *trust_identity_account(const struct trust_identity *identity); /* 32 bytes */
const char *trust_identity_name(const struct trust_identity *identity);

/* Fills auth with public keys and both signatures over the 32-byte digest; bytes live in the arena. */
int trust_identity_sign_root(const struct trust_identity *identity,
                             const uint8_t digest[CRYPTO_HASH_BYTES], struct hm_arena *arena,
                             Hypermesh__RootAuth *auth, struct hm_error *error);

/* --- session ---------------------------------------------------------------------------------------- */
/* A key pair for everyday signatures, kept in NAME.session (0600, sealed like the root keys) so that a
 * restart goes on with it. It is of use once a SessionGrant for it is on the ledger. */
struct trust_session {
    uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint64_t expires_ms;
};
/* The stored session, if it is still good at now_ms + margin_ms; HM_ENOTFOUND otherwise. */
int trust_session_current(const struct trust_identity *identity, uint64_t now_ms,
                          uint64_t margin_ms, struct trust_session *out);
/* Makes a new pair, not in use yet; its grant must be signed and ordered, then trust_session_adopt
 * stores it and makes it the current one. A second begin replaces the first; a failed adopt may be
 * tried again, and leaves the current session as it was. */
int trust_session_begin(struct trust_identity *identity, uint64_t expires_ms,
                        struct trust_session *out, struct hm_error *error);
int trust_session_adopt(struct trust_identity *identity, struct hm_error *error);
/* Forgets the current session, and deletes it from the disk. Where deleting fails it is forgotten all the
 * same until the identity is opened again. */
int trust_session_drop(struct trust_identity *identity, struct hm_error *error);
/* HM_ENOTFOUND without a current session. */
int trust_session_sign(const struct trust_identity *identity,
                       const uint8_t digest[CRYPTO_HASH_BYTES],
                       uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES], struct hm_error *error);

#endif
