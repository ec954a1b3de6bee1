/* Stake: session, root and batch signatures, each with every byte it depends on changed; bonds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>

#include <cmocka.h>

#include "proof.h"

struct signer {
    struct crypto_ed25519_key session;
    struct crypto_root_public root_public;
    struct crypto_root_signature root_signature;
    uint8_t account[32];
    uint8_t digest[32];
    uint8_t signature[64];
    Hypermesh__Tx tx;
    Hypermesh__TxBody body;
    Hypermesh__RootAuth root;
};
static struct signer signer;

static void signer_session(void)
{
    signer.tx.root = NULL;
    signer.tx.signature = wire_bytes(signer.signature, 64);
    signer.body.session_key = wire_bytes(signer.session.public_key, 32);
}

static void signer_root(void)
{
    signer.tx.root = &signer.root;
    signer.tx.signature = wire_bytes(NULL, 0);
    signer.body.session_key = wire_bytes(NULL, 0);
    signer.root.ed25519_public = wire_bytes(signer.root_public.ed25519, 32);
    signer.root.mldsa65_public = wire_bytes(signer.root_public.mldsa65, 1952);
    signer.root.ed25519_signature = wire_bytes(signer.root_signature.ed25519, 64);
    signer.root.mldsa65_signature = wire_bytes(signer.root_signature.mldsa65, 3309);
}

static int setup(void **state)
{
    const uint8_t seed_a[32] = {1}, seed_b[32] = {2}, seed_c[32] = {3};
    struct crypto_root_key *root = NULL;

    (void)state;
    if (crypto_setup(NULL) != 0 || crypto_root_key_new(seed_a, seed_b, &root, NULL) != 0)
        return -1;
    memset(signer.digest, 0x5a, sizeof(signer.digest));
    crypto_root_key_public(root, &signer.root_public);
    int rc = crypto_root_sign(root, signer.digest, 32, &signer.root_signature, NULL);
    crypto_root_key_free(root);
    crypto_ed25519_from_seed(&signer.session, seed_c);
    crypto_ed25519_sign(&signer.session, signer.digest, 32, signer.signature);
    proof_account_id(&signer.root_public, signer.account);
    hypermesh__tx__init(&signer.tx);
    hypermesh__tx_body__init(&signer.body);
    hypermesh__root_auth__init(&signer.root);
    signer.body.account = wire_bytes(signer.account, 32);
    return rc;
}

static int verify(struct hm_error *error)
{
    return proof_signature_verify(&signer.tx, &signer.body, signer.digest, error);
}

static void refused(const char *word)
{
    struct hm_error error = {0};

    assert_int_equal(verify(&error), HM_EPROOF_STAKE);
    if (strstr(error.text, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, word);
}

static void session_signature(void **state)
{
    (void)state;
    signer_session();
    assert_int_equal(verify(NULL), 0);
    for (size_t i = 0; i < 64; i++) {
        signer.signature[i] ^= 1;
        refused("session key");
        signer.signature[i] ^= 1;
    }
    for (size_t i = 0; i < 32; i++) {
        signer.digest[i] ^= 0x80;
        refused("session key");
        signer.digest[i] ^= 0x80;
    }
    for (size_t i = 0; i < 32; i++) {
        signer.session.public_key[i] ^= 1;
        refused("session key");
        signer.session.public_key[i] ^= 1;
    }
    assert_int_equal(verify(NULL), 0);
}

static void session_lengths(void **state)
{
    (void)state;
    signer_session();
    signer.tx.signature.len = 63;
    refused("signature has 63 bytes");
    signer_session();
    signer.tx.signature = wire_bytes(NULL, 0);
    refused("signature has 0 bytes");
    signer_session();
    signer.body.session_key = wire_bytes(NULL, 0);
    refused("session_key has 0 bytes");
    signer_session();
    signer.body.account.len = 31;
    refused("account has 31 bytes");
    signer.body.account.len = 32;
}

static void root_signature(void **state)
{
    (void)state;
    signer_root();
    assert_int_equal(verify(NULL), 0);
    signer.root_signature.ed25519[5] ^= 1;
    refused("root signature refused");
    signer.root_signature.ed25519[5] ^= 1;
    signer.root_signature.mldsa65[3000] ^= 1;
    refused("root signature refused");
    signer.root_signature.mldsa65[3000] ^= 1;
    signer.digest[0] ^= 1;
    refused("root signature refused");
    signer.digest[0] ^= 1;
    assert_int_equal(verify(NULL), 0);
}

static void root_keys_of_another(void **state)
{
    (void)state;
    signer_root();
    signer.account[0] ^= 1;
    refused("not those of the account");
    signer.account[0] ^= 1;
    signer.root_public.mldsa65[9] ^= 1; /* the good Ed25519 half beside a foreign half */
    refused("not those of the account");
    signer.root_public.mldsa65[9] ^= 1;
    signer.root_public.ed25519[9] ^= 1;
    refused("not those of the account");
    signer.root_public.ed25519[9] ^= 1;
    assert_int_equal(verify(NULL), 0);
}

static void root_form_is_strict(void **state)
{
    (void)state;
    signer_root();
    signer.tx.signature = wire_bytes(signer.signature, 64);
    refused("use one of them");
    signer_root();
    signer.body.session_key = wire_bytes(signer.session.public_key, 32);
    refused("use one of them");
    signer_root();
    signer.root.ed25519_public.len--;
    refused("root.ed25519_public");
    signer_root();
    signer.root.mldsa65_public.len--;
    refused("root.mldsa65_public");
    signer_root();
    signer.root.ed25519_signature.len--;
    refused("root.ed25519_signature");
    signer_root();
    signer.root.mldsa65_signature.len = 0;
    refused("root.mldsa65_signature");
}

/* Memory lost at every allocation, OpenSSL's own too: the right judgement or none, never that a good signature is
 * wrong or a wrong one good. Nodes that have memory would say otherwise. */
static void root_without_memory(void **state)
{
    unsigned long losses = 0;

    (void)state;
    signer_root();
    for (unsigned how = 0; how < 4; how++) {
        const bool wrong = how % 2 != 0;
        const unsigned long start = hm_alloc_failures();
        unsigned long before = ULONG_MAX;
        signer.root_signature.mldsa65[1234] ^= wrong ? 1 : 0;
        for (unsigned long nth = 1; before != hm_alloc_failures(); nth++) {
            struct hm_error error = {0};
            before = hm_alloc_failures();
            how < 2 ? hm_alloc_fail_at(nth) : hm_alloc_fail_from(nth);
            int rc = verify(&error);
            hm_alloc_fail_at(0);
            if (before == hm_alloc_failures())
                assert_int_equal(rc, wrong ? HM_EPROOF_STAKE : 0); /* nothing was lost */
            else if (rc != HM_ENOMEM && rc != (wrong ? HM_EPROOF_STAKE : 0))
                fail_msg("allocation %lu lost: %s", nth, error.text);
            assert_int_equal(error.code, rc);
            losses += rc == HM_ENOMEM;
            if (rc == HM_ENOMEM)
                assert_non_null(strstr(error.text, "cannot be checked here"));
            if (nth == 1)
                assert_true(hm_alloc_failures() > start);
        }
        signer.root_signature.mldsa65[1234] ^= wrong ? 1 : 0;
    }
    assert_true(losses > 20);
    assert_int_equal(verify(NULL), 0);
}

/* Signatures are of one transaction: on another they are worth nothing. */
static void moved_to_another_transaction(void **state)
{
    uint8_t body[32] = {1}, other[32] = {2}, kept[32];

    (void)state;
    memcpy(kept, signer.digest, 32);
    for (unsigned root = 0; root < 2; root++) {
        root ? signer_root() : signer_session();
        for (uint64_t nonce = 0; nonce < 3; nonce++) { /* nor with another nonce */
            proof_tx_digest(nonce == 2 ? other : body, nonce, signer.digest);
            refused(root ? "root signature refused" : "session key's");
        }
        memcpy(signer.digest, kept, 32);
        assert_int_equal(verify(NULL), 0);
    }
    /* The session form of a root signature: its Ed25519 half alone does not do. */
    signer_session();
    signer.tx.signature = wire_bytes(signer.root_signature.ed25519, 64);
    refused("session key's");
}

static void batch_signature(void **state)
{
    uint8_t head_bytes[] = "bytes of a head", node[32] = {8}, digest[32], signature[64];
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    struct hm_error error = {0};

    (void)state;
    proof_batch_digest(hm_slice_of(head_bytes, sizeof(head_bytes)), digest);
    crypto_ed25519_sign(&signer.session, digest, 32, signature);
    batch.head = wire_bytes(head_bytes, sizeof(head_bytes));
    batch.signature = wire_bytes(signature, 64);
    head.node = wire_bytes(node, 32);
    head.session_key = wire_bytes(signer.session.public_key, 32);
    assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), 0);
    for (size_t i = 0; i < sizeof(head_bytes); i++) {
        head_bytes[i] ^= 1;
        assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), HM_EPROOF_STAKE);
        head_bytes[i] ^= 1;
    }
    for (size_t i = 0; i < 64; i++) {
        signature[i] ^= 1;
        assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), HM_EPROOF_STAKE);
        signature[i] ^= 1;
    }
    head.node.len = 0;
    assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), HM_EPROOF_STAKE);
    assert_non_null(strstr(error.text, "head.node"));
    head.node.len = 32;
    head.session_key.len = 33;
    assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), HM_EPROOF_STAKE);
    head.session_key.len = 32;
    batch.signature.len = 0;
    assert_int_equal(proof_batch_signature_verify(&batch, &head, &error), HM_EPROOF_STAKE);
}

static void bond(void **state)
{
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(proof_stake_verify(10, 10, "lease", &error), 0);
    assert_int_equal(proof_stake_verify(0, 0, "lease", &error), 0);
    assert_int_equal(proof_stake_verify(7, 10, "lease", &error), HM_EPROOF_STAKE);
    assert_non_null(strstr(error.text, "bond 3 more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_signature),
        cmocka_unit_test(session_lengths),
        cmocka_unit_test(root_signature),
        cmocka_unit_test(root_keys_of_another),
        cmocka_unit_test(root_form_is_strict),
        cmocka_unit_test(root_without_memory),
        cmocka_unit_test(moved_to_another_transaction),
        cmocka_unit_test(batch_signature),
        cmocka_unit_test(bond),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
