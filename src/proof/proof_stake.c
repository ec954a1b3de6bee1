/* Stake: who signed, and whether the bond that the act needs is there. Which rights the signer has is
 * for the ledger to say. */
#include "proof.h"

static int field_check(ProtobufCBinaryData field, size_t bytes, const char *name,
                       struct hm_error *error)
{
    if (field.len == bytes)
        return 0;
    return hm_fail(error, HM_EPROOF_STAKE, "stake: %s has %zu bytes, must have %zu", name,
                   field.len, bytes);
}

static int root_verify(const Hypermesh__Tx *tx, const Hypermesh__TxBody *body,
                       const uint8_t tx_digest[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    const Hypermesh__RootAuth *auth = tx->root;
    struct crypto_root_public keys;
    struct crypto_root_signature signature;
    struct hm_error why = {0};
    uint8_t id[CRYPTO_HASH_BYTES];
    int rc = 0;

    if (tx->signature.len != 0 || body->session_key.len != 0)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: signed by root keys and by a session key; use one of them");
    if ((rc = field_check(auth->ed25519_public, sizeof(keys.ed25519), "root.ed25519_public",
                          error)) != 0 ||
        (rc = field_check(auth->mldsa65_public, sizeof(keys.mldsa65), "root.mldsa65_public",
                          error)) != 0 ||
        (rc = field_check(auth->ed25519_signature, sizeof(signature.ed25519),
                          "root.ed25519_signature", error)) != 0 ||
        (rc = field_check(auth->mldsa65_signature, sizeof(signature.mldsa65),
                          "root.mldsa65_signature", error)) != 0)
        return rc;
    memcpy(keys.ed25519, auth->ed25519_public.data, sizeof(keys.ed25519));
    memcpy(keys.mldsa65, auth->mldsa65_public.data, sizeof(keys.mldsa65));
    memcpy(signature.ed25519, auth->ed25519_signature.data, sizeof(signature.ed25519));
    memcpy(signature.mldsa65, auth->mldsa65_signature.data, sizeof(signature.mldsa65));

    proof_account_id(&keys, id);
    if (memcmp(id, body->account.data, sizeof(id)) != 0)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the root keys are not those of the account that acts");
    rc = crypto_root_verify(&keys, tx_digest, CRYPTO_HASH_BYTES, &signature, &why);
    if (rc == HM_EAUTH)
        return hm_fail(error, HM_EPROOF_STAKE, "stake: root signature refused: %s", why.text);
    /* This machine's trouble is no judgement: other nodes would not come to it. */
    if (rc != 0)
        return hm_fail(error, rc, "stake: a root signature cannot be checked here: %s", why.text);
    return 0;
}

int proof_signature_verify(const Hypermesh__Tx *tx, const Hypermesh__TxBody *body,
                           const uint8_t tx_digest[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    int rc = field_check(body->account, CRYPTO_HASH_BYTES, "account", error);

    if (rc != 0)
        return rc;
    if (tx->root != NULL)
        return root_verify(tx, body, tx_digest, error);
    if ((rc = field_check(body->session_key, CRYPTO_ED25519_PUBLIC_BYTES, "session_key", error)) !=
            0 ||
        (rc = field_check(tx->signature, CRYPTO_ED25519_SIGNATURE_BYTES, "signature", error)) != 0)
        return rc;
    if (crypto_ed25519_verify(body->session_key.data, tx_digest, CRYPTO_HASH_BYTES,
                              tx->signature.data) != 0)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the signature is not the session key's over this transaction");
    return 0;
}

int proof_batch_signature_verify(const Hypermesh__Batch *batch, const Hypermesh__BatchHead *head,
                                 struct hm_error *error)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    int rc = 0;

    if ((rc = field_check(head->node, CRYPTO_HASH_BYTES, "head.node", error)) != 0 ||
        (rc = field_check(head->session_key, CRYPTO_ED25519_PUBLIC_BYTES, "head.session_key",
                          error)) != 0 ||
        (rc = field_check(batch->signature, CRYPTO_ED25519_SIGNATURE_BYTES, "batch.signature",
                          error)) != 0)
        return rc;
    proof_batch_digest(wire_slice(batch->head), digest);
    if (crypto_ed25519_verify(head->session_key.data, digest, sizeof(digest),
                              batch->signature.data) != 0)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the signature is not the node's session key's over this batch");
    return 0;
}

int proof_stake_verify(uint64_t bonded, uint64_t needed, const char *what, struct hm_error *error)
{
    if (bonded < needed)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: to %s the account must have bonded %llu HYPER base units and has "
                       "%llu; bond %llu more",
                       what, (unsigned long long)needed, (unsigned long long)bonded,
                       (unsigned long long)(needed - bonded));
    return 0;
}
