/* batch_forge: batches as a node that floods the others would make them, with the keys of a real node.
 *
 *     batch_forge KEYS CHAIN ANCHOR_HEIGHT ANCHOR_HASH COUNT KIND      e.g. batch_forge ./keys local-1 12 00ab... 100 unpaid
 *
 * KEYS is (a copy of) the node's keystore, whose accounts `operator` and `user` have sessions on the ledger: a daemon holds its
 * own locked. ANCHOR is a block of the chain. COUNT lines are printed, a packed Batch of one payment in base64 each, no two alike:
 *
 *     unpaid      signatures, work and time are good, but the payment follows nothing that its account ever did, so no fee can be
 *                 taken for it, now or ever
 *     forged      the same, and the payment's signature is wrong
 *     unsealed    the same, and the batch's signature is wrong */
#include <stdio.h>
#include <string.h>

#include "base.h"
#include "crypto.h"
#include "proof.h"
#include "trust.h"
#include "wire.h"

#define COUNT_MAX  1000000
#define FEE_LIMIT  UINT64_C(10000000)
#define WORK_BITS  10 /* one more than a quiet account needs */
#define NOT_SIGNED 0x5a

static struct {
    struct trust_identity *operator, * user;
    struct trust_session operator_session, user_session;
    const char *chain;
    uint64_t anchor_height, now_ms;
    uint8_t anchor_hash[CRYPTO_HASH_BYTES];
    bool forged, unsealed;
} self;

static int body_pack(struct hm_buf *out)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT, *ops[] = {&op};
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;
    uint8_t presence[CRYPTO_HASH_BYTES];
    const struct hm_random *random = hm_random_system();

    if (random->fill(random->ctx, presence, sizeof presence) != 0)
        return HM_EIO;
    transfer.to = wire_bytes(trust_identity_account(self.operator), WIRE_ID_BYTES);
    transfer.amount = 1;
    op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    op.transfer = &transfer;
    body.chain_id = (char *)(uintptr_t)self.chain;
    body.account = wire_bytes(trust_identity_account(self.user), WIRE_ID_BYTES);
    body.session_key = wire_bytes(self.user_session.public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    body.presence = wire_bytes(presence, sizeof presence);
    body.fee_limit = FEE_LIMIT;
    body.anchor_height = self.anchor_height;
    body.anchor_hash = wire_bytes(self.anchor_hash, sizeof self.anchor_hash);
    body.timestamp_ms = self.now_ms;
    body.n_ops = 1;
    body.ops = ops;
    return wire_pack(&body.base, out);
}

static int tx_pack(uint8_t digest[CRYPTO_HASH_BYTES], struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t body_digest[CRYPTO_HASH_BYTES], signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    int status = body_pack(&body);

    if (status != 0)
        return hm_fail(error, status, "no body");
    proof_body_digest(hm_buf_slice(&body), body_digest);
    status = proof_work_solve(body_digest, WORK_BITS, &tx.work_nonce, digest, error);
    if (status == 0)
        status = trust_session_sign(self.user, digest, signature, error);
    if (status != 0)
        return status;
    if (self.forged)
        signature[0] ^= NOT_SIGNED;
    tx.body = wire_bytes(body.data, body.len);
    tx.signature = wire_bytes(signature, sizeof signature);
    return wire_pack(&tx.base, out) == 0 ? 0 : hm_fail(error, HM_ENOMEM, "no memory");
}

static int head_pack(const uint8_t digest[CRYPTO_HASH_BYTES], struct hm_buf *out)
{
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    uint8_t root[CRYPTO_HASH_BYTES];

    crypto_merkle_root(digest, 1, root);
    head.chain_id = (char *)(uintptr_t)self.chain;
    head.node = wire_bytes(trust_identity_account(self.operator), WIRE_ID_BYTES);
    head.session_key = wire_bytes(self.operator_session.public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    head.anchor_height = self.anchor_height;
    head.anchor_hash = wire_bytes(self.anchor_hash, sizeof self.anchor_hash);
    head.timestamp_ms = self.now_ms;
    head.tx_root = wire_bytes(root, sizeof root);
    return wire_pack(&head.base, out);
}

static int batch_print(struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0}, head = {0}, packed = {0}, text = {0};
    uint8_t digest[CRYPTO_HASH_BYTES], signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    ProtobufCBinaryData txs[1];
    int status = tx_pack(digest, &tx, error);

    if (status == 0)
        status = head_pack(digest, &head);
    if (status != 0)
        return status;
    proof_batch_digest(hm_buf_slice(&head), digest);
    status = trust_session_sign(self.operator, digest, signature, error);
    if (status != 0)
        return status;
    if (self.unsealed)
        signature[0] ^= NOT_SIGNED;
    txs[0] = wire_bytes(tx.data, tx.len);
    batch.head = wire_bytes(head.data, head.len);
    batch.signature = wire_bytes(signature, sizeof signature);
    batch.n_txs = 1;
    batch.txs = txs;
    if (wire_pack(&batch.base, &packed) != 0 ||
        hm_base64_encode(packed.data, packed.len, &text) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory");
    return puts(hm_buf_cstr(&text)) < 0 ? hm_fail(error, HM_EIO, "nobody reads") : 0;
}

static int identity_open(struct trust_keystore *keystore, const char *name,
                         struct trust_identity **out, struct trust_session *session,
                         struct hm_error *error)
{
    int status = trust_identity_open(keystore, name, out, error);

    return status == 0 && trust_session_current(*out, self.now_ms, 0, session) != 0
               ? hm_fail(error, HM_ENOTFOUND, "%s has no session", name)
               : status;
}

static int run(char **argv, struct hm_error *error)
{
    struct trust_keystore *keystore = NULL;
    uint64_t count = 0;
    int status = hm_u64_parse(argv[5], &count, error);

    self.chain = argv[2];
    self.now_ms = hm_wall_ms(hm_clock_system());
    self.forged = strcmp(argv[6], "forged") == 0;
    self.unsealed = strcmp(argv[6], "unsealed") == 0;
    if (!self.forged && !self.unsealed && strcmp(argv[6], "unpaid") != 0)
        return hm_fail(error, HM_EINVAL, "%s: a batch is unpaid, forged or unsealed", argv[6]);
    if (status == 0 && count > COUNT_MAX)
        return hm_fail(error, HM_ELIMIT, "at most %d batches", COUNT_MAX);
    if (status == 0)
        status = hm_u64_parse(argv[3], &self.anchor_height, error);
    if (status == 0)
        status = hm_hex_decode(argv[4], strlen(argv[4]), self.anchor_hash, sizeof self.anchor_hash,
                               error);
    if (status == 0)
        status = trust_keystore_open(argv[1], NULL, hm_random_system(), &keystore, error);
    if (status == 0)
        status = identity_open(keystore, "operator", &self.operator, & self.operator_session,
                               error);
    if (status == 0)
        status = identity_open(keystore, "user", &self.user, &self.user_session, error);
    for (uint64_t i = 0; i < count && status == 0; i++)
        status = batch_print(error);
    trust_identity_free(self.operator);
    trust_identity_free(self.user);
    trust_keystore_close(keystore);
    return status;
}

int main(int argc, char **argv)
{
    struct hm_error error = {0};

    if (argc != 7)
        (void)hm_fail(&error, HM_EINVAL,
                      "say: batch_forge KEYS CHAIN ANCHOR_HEIGHT ANCHOR_HASH COUNT KIND");
    if (argc != 7 || run(argv, &error) != 0) {
        (void)fprintf(stderr, "batch_forge: %s\n", error.text);
        return 1;
    }
    return 0;
}
