/* The keystore's insides, shared by the files of this room. */
#ifndef HM_TRUST_KEYSTORE_H
#define HM_TRUST_KEYSTORE_H

#include "keystore.pb-c.h"
#include "trust.h"

#define TRUST_KEYSTORE_VERSION 1
#define TRUST_FILE_MAX_BYTES   4096
#define TRUST_PATH_MAX_BYTES   4096
#define TRUST_SEAL_SALT_BYTES  16
#define TRUST_SEAL_CONTEXT     "hypermesh 1 keystore seal"

struct trust_keystore {
    char *dir;
    int lock; /* on the folder: no other keystore has it open */
    const struct hm_random *random;
    bool sealed;
    uint8_t key[CRYPTO_SEAL_KEY_BYTES]; /* of use when sealed */
};

/* --- trust_file.c: one key file ------------------------------------------------------------------- */

enum trust_kind { TRUST_ROOT, TRUST_SESSION };

/* What a key file holds, in memory that is wiped by trust_secret_release. A root key has both seeds, a
 * session the first one and a time. */
struct trust_secret {
    uint8_t account[WIRE_ID_BYTES];
    uint8_t ed25519_seed[CRYPTO_SEED_BYTES];
    uint8_t mldsa65_seed[CRYPTO_SEED_BYTES];
    uint64_t expires_ms;
};
void trust_secret_release(struct trust_secret *secret);

/* Memory for unpacking files: small enough to lie in one piece, so that release can wipe it. */
void trust_arena_init(struct hm_arena *arena);
void trust_arena_release(struct hm_arena *arena);

int trust_name_check(const char *name, struct hm_error *error);
int trust_file_path(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    char out[TRUST_PATH_MAX_BYTES], struct hm_error *error);
/* Appends a file of the keystore that is ours alone. HM_ENOTFOUND; HM_EPERM when somebody else owns it or
 * may read it; HM_ECORRUPT when it is no regular file. */
int trust_file_read(const char *path, struct hm_buf *out, struct hm_error *error);
int trust_file_load(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    struct trust_secret *out, struct hm_error *error);
int trust_file_save(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    const struct trust_secret *secret, struct hm_error *error);

/* Bytes of a key file to a secret; a pure function of its arguments (fuzzed). key NULL: a keystore that
 * is not sealed. HM_EAUTH: does not open, or is not sealed in a sealed keystore. HM_ECORRUPT. */
int trust_file_parse(struct hm_slice bytes, const char *name, enum trust_kind kind,
                     const uint8_t *key, struct trust_secret *out, struct hm_error *error);

/* --- trust_keystore.c -------------------------------------------------------------------------------- */

/* Accounts in the folder, without opening them; counts no further than one past TRUST_IDENTITIES_MAX. */
int trust_keystore_count(const struct trust_keystore *keystore, size_t *count,
                         struct hm_error *error);
/* Makes a removal or a rename in the folder durable. */
int trust_keystore_sync(const struct trust_keystore *keystore, struct hm_error *error);

#endif
