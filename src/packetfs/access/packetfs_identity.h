/* Identities: who a message is for and from. A pair of pairs: Ed25519 with ML-DSA-65 for signing, X25519 with ML-KEM-768 for sealing;
 * either half of each may break. All of it comes from 32 secret bytes in a key file; the public part is a text that is handed on. */
#ifndef HM_PACKETFS_IDENTITY_H
#define HM_PACKETFS_IDENTITY_H

#include "base.h"
#include "crypto.h"
#include "packetfs.h"

#define PACKETFS_CONTACT_VERSION   1
#define PACKETFS_CONTACT_MAX_BYTES 3300 /* without armour */
#define PACKETFS_CONTACT_TEXT_MAX  8192

struct packetfs_contact {
    uint8_t id[CRYPTO_HASH_BYTES]; /* hash of all four public keys */
    char id_text[PACKETFS_CONTACT_ID_CHARS + 1]; /* the same, for people */
    char name[PACKETFS_CONTACT_NAME_MAX_BYTES + 1];
    struct crypto_root_public sign;
    struct crypto_kem_public seal;
};

struct packetfs_identity {
    struct packetfs_contact contact;
    struct crypto_root_key *sign;
    struct crypto_kem_key *seal;
};

/* From its secret bytes alone; pure. HM_EINVAL: the name. */
int packetfs_identity_make(const uint8_t secret[CRYPTO_KEY_BYTES], const char *name,
                           struct packetfs_identity **out, struct hm_error *error);

/* path NULL or "": "identity" in the key folder (packetfs_key_dir_path). HM_ENOTFOUND, HM_EPERM, HM_EPARSE. */
int packetfs_identity_open_in(const char *path, const char *key_dir, struct packetfs_identity **out,
                              struct hm_error *error);
/* "pfi1…" of an id. */
int packetfs_contact_id_text(const uint8_t id[CRYPTO_HASH_BYTES],
                             char out[PACKETFS_CONTACT_ID_CHARS + 1]);
/* One line of UTF-8 that a terminal does not obey. */
bool packetfs_contact_name_fits(const char *name, size_t len);

/* Version, length of the name, name, Ed25519, ML-DSA-65, X25519, ML-KEM-768. HM_ENOMEM. */
int packetfs_contact_encode(const struct packetfs_contact *contact, struct hm_buf *out);
/* Takes one off the front of *in. HM_EPARSE, HM_EUNSUPPORTED. Pure. */
int packetfs_contact_take(struct hm_slice *in, struct packetfs_contact *out,
                          struct hm_error *error);
/* The text of packetfs_contact_print; anything before and after its lines is passed over. Pure, fuzzed. HM_EPARSE. */
int packetfs_contact_read(struct hm_slice text, struct packetfs_contact *out,
                          struct hm_error *error);

#endif
