#include "trust_identity.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int trust_secret_new(struct trust_keystore *keystore, struct trust_secret *out,
                            struct hm_error *error)
{
    const struct hm_random *random = keystore->random;
    struct crypto_root_public public_keys;
    struct crypto_root_key *root;

    if (random->fill(random->ctx, out->ed25519_seed, sizeof(out->ed25519_seed)) != 0 ||
        random->fill(random->ctx, out->mldsa65_seed, sizeof(out->mldsa65_seed)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes for a root key");
    int rc = crypto_root_key_new(out->ed25519_seed, out->mldsa65_seed, &root, error);
    if (rc != 0)
        return rc;
    crypto_root_key_public(root, &public_keys);
    crypto_root_key_free(root);
    crypto_root_id(&public_keys, out->account);
    return 0;
}

/* Is there room for an account of this name? */
static int trust_create_check(const struct trust_keystore *keystore, const char *name,
                              const char *path, struct hm_error *error)
{
    struct stat there;
    size_t count = 0;

    if (lstat(path, &there) == 0)
        return hm_fail(error, HM_EEXIST, "an account named '%s' exists already", name);
    if (errno != ENOENT)
        return hm_fail_errno(error, HM_EIO, "%s cannot be looked at", path);
    int rc = trust_keystore_count(keystore, &count, error);
    if (rc == 0 && count >= TRUST_IDENTITIES_MAX)
        return hm_fail(error, HM_ELIMIT, "the keystore holds %d accounts already, the most it may",
                       TRUST_IDENTITIES_MAX);
    return rc;
}

int trust_identity_create(struct trust_keystore *keystore, const char *name,
                          struct trust_entry *out, struct hm_error *error)
{
    HM_CLEANUP(trust_secret) struct trust_secret secret = {0};
    char path[TRUST_PATH_MAX_BYTES];

    int rc = trust_file_path(keystore, name, TRUST_ROOT, path, error);
    if (rc == 0)
        rc = trust_create_check(keystore, name, path, error);
    if (rc == 0)
        rc = trust_secret_new(keystore, &secret, error);
    if (rc != 0)
        return rc;
    rc = trust_file_save(keystore, name, TRUST_ROOT, &secret, error);
    if (rc != 0) {
        (void)unlink(path); /* it may be there and not durable: nobody knows of it yet */
        return rc;
    }
    snprintf(out->name, sizeof(out->name), "%s", name);
    memcpy(out->account, secret.account, sizeof(out->account));
    return 0;
}

static int trust_identity_load(struct trust_identity *identity, struct hm_error *error)
{
    HM_CLEANUP(trust_secret) struct trust_secret secret = {0};
    struct crypto_root_public public_keys;
    int rc = trust_file_load(identity->keystore, identity->name, TRUST_ROOT, &secret, error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ENOTFOUND, "no account named '%s' in this node's keystore",
                       identity->name);
    if (rc != 0)
        return rc;
    rc = crypto_root_key_new(secret.ed25519_seed, secret.mldsa65_seed, &identity->root, error);
    if (rc != 0)
        return rc;
    crypto_root_key_public(identity->root, &public_keys);
    crypto_root_id(&public_keys, identity->account);
    if (memcmp(identity->account, secret.account, WIRE_ID_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the key file of '%s' names another account than its keys", identity->name);
    return trust_session_load(identity, error);
}

int trust_identity_open(struct trust_keystore *keystore, const char *name,
                        struct trust_identity **out, struct hm_error *error)
{
    int rc = trust_name_check(name, error);

    if (rc != 0)
        return rc;
    struct trust_identity *identity = hm_calloc(1, sizeof(*identity));
    if (identity == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an identity");
    identity->keystore = keystore;
    snprintf(identity->name, sizeof(identity->name), "%s", name);
    rc = trust_identity_load(identity, error);
    if (rc != 0) {
        trust_identity_free(identity);
        return rc;
    }
    *out = identity;
    return 0;
}

void trust_identity_free(struct trust_identity *identity)
{
    if (identity == NULL)
        return;
    trust_pair_wipe(&identity->current);
    trust_pair_wipe(&identity->next);
    crypto_root_key_free(identity->root);
    hm_free(identity);
}

const uint8_t *trust_identity_account(const struct trust_identity *identity)
{
    return identity->account;
}

const char *trust_identity_name(const struct trust_identity *identity)
{
    return identity->name;
}

int trust_identity_sign_root(const struct trust_identity *identity,
                             const uint8_t digest[CRYPTO_HASH_BYTES], struct hm_arena *arena,
                             Hypermesh__RootAuth *auth, struct hm_error *error)
{
    struct crypto_root_public *keys = hm_arena_alloc(arena, sizeof(*keys));
    struct crypto_root_signature *signature = hm_arena_alloc(arena, sizeof(*signature));

    if (keys == NULL || signature == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a root signature");
    int rc = crypto_root_sign(identity->root, digest, CRYPTO_HASH_BYTES, signature, error);
    if (rc != 0)
        return rc;
    crypto_root_key_public(identity->root, keys);
    auth->ed25519_public = wire_bytes(keys->ed25519, sizeof(keys->ed25519));
    auth->mldsa65_public = wire_bytes(keys->mldsa65, sizeof(keys->mldsa65));
    auth->ed25519_signature = wire_bytes(signature->ed25519, sizeof(signature->ed25519));
    auth->mldsa65_signature = wire_bytes(signature->mldsa65, sizeof(signature->mldsa65));
    return 0;
}
