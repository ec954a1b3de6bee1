/* Session keys: begun, granted on the ledger by whoever calls, then adopted. */
#include <errno.h>
#include <unistd.h>

#include "trust_identity.h"

void trust_pair_set(struct trust_pair *pair, const uint8_t seed[CRYPTO_SEED_BYTES],
                    uint64_t expires_ms)
{
    memcpy(pair->seed, seed, CRYPTO_SEED_BYTES);
    crypto_ed25519_from_seed(&pair->key, seed);
    pair->expires_ms = expires_ms;
    pair->live = true;
}

void trust_pair_wipe(struct trust_pair *pair)
{
    crypto_ed25519_wipe(&pair->key);
    hm_wipe(pair, sizeof(*pair));
}

int trust_session_load(struct trust_identity *identity, struct hm_error *error)
{
    HM_CLEANUP(trust_secret) struct trust_secret secret = {0};
    int rc = trust_file_load(identity->keystore, identity->name, TRUST_SESSION, &secret, error);

    if (rc == HM_ENOMEM || rc == HM_EIO)
        return rc;
    if (rc == 0 && memcmp(secret.account, identity->account, WIRE_ID_BYTES) == 0)
        trust_pair_set(&identity->current, secret.ed25519_seed, secret.expires_ms);
    return 0;
}

int trust_session_current(const struct trust_identity *identity, uint64_t now_ms,
                          uint64_t margin_ms, struct trust_session *out)
{
    const struct trust_pair *pair = &identity->current;

    if (!pair->live || pair->expires_ms <= now_ms || pair->expires_ms - now_ms <= margin_ms)
        return HM_ENOTFOUND;
    memcpy(out->public_key, pair->key.public_key, sizeof(out->public_key));
    out->expires_ms = pair->expires_ms;
    return 0;
}

int trust_session_begin(struct trust_identity *identity, uint64_t expires_ms,
                        struct trust_session *out, struct hm_error *error)
{
    const struct hm_random *random = identity->keystore->random;
    uint8_t seed[CRYPTO_SEED_BYTES];

    if (random->fill(random->ctx, seed, sizeof(seed)) != 0) {
        hm_wipe(seed, sizeof(seed));
        return hm_fail(error, HM_EIO, "no random bytes for a session key");
    }
    trust_pair_set(&identity->next, seed, expires_ms);
    hm_wipe(seed, sizeof(seed));
    memcpy(out->public_key, identity->next.key.public_key, sizeof(out->public_key));
    out->expires_ms = expires_ms;
    return 0;
}

int trust_session_adopt(struct trust_identity *identity, struct hm_error *error)
{
    HM_CLEANUP(trust_secret) struct trust_secret secret = {0};

    if (!identity->next.live)
        return hm_fail(error, HM_EINVAL, "no session of '%s' was begun", identity->name);
    memcpy(secret.account, identity->account, sizeof(secret.account));
    memcpy(secret.ed25519_seed, identity->next.seed, sizeof(secret.ed25519_seed));
    secret.expires_ms = identity->next.expires_ms;
    int rc = trust_file_save(identity->keystore, identity->name, TRUST_SESSION, &secret, error);
    if (rc != 0)
        return rc;
    trust_pair_wipe(&identity->current);
    identity->current = identity->next;
    trust_pair_wipe(&identity->next);
    return 0;
}

int trust_session_drop(struct trust_identity *identity, struct hm_error *error)
{
    char path[TRUST_PATH_MAX_BYTES];

    trust_pair_wipe(&identity->current);
    int rc = trust_file_path(identity->keystore, identity->name, TRUST_SESSION, path, error);
    if (rc != 0)
        return rc;
    if (unlink(path) == 0)
        return trust_keystore_sync(identity->keystore, error);
    if (errno == ENOENT)
        return 0;
    return hm_fail_errno(error, errno == EACCES || errno == EPERM ? HM_EPERM : HM_EIO,
                         "%s cannot be removed", path);
}

int trust_session_sign(const struct trust_identity *identity,
                       const uint8_t digest[CRYPTO_HASH_BYTES],
                       uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES], struct hm_error *error)
{
    if (!identity->current.live)
        return hm_fail(error, HM_ENOTFOUND, "'%s' has no session key", identity->name);
    crypto_ed25519_sign(&identity->current.key, digest, CRYPTO_HASH_BYTES, signature);
    return 0;
}
