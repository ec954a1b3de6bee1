/* One account's transactions: built, proven, signed, ordered, waited for. They follow each other by presence; while
 * some are on their way, the next one builds on the presence that they will leave, so one account can fill a block. */
#include "node_wallet.h"

#define NODE_SUBMIT_TRIES 4
/* Room for a base fee that rises by 1/8 a block while a transaction waits. */
#define NODE_FEE_HEADROOM 4

/* --- building ------------------------------------------------------------------------------------------ */

/* What goes into one transaction besides its operations. */
struct node_draft {
    const struct node_account *account;
    const struct ledger_signing *signing;
    const uint8_t *session_key; /* NULL: root keys sign */
    uint64_t now_ms;
    Hypermesh__Operation *const *ops;
    size_t count;
};

static int node_draft_body(const struct node_draft *draft, struct hm_buf *out,
                           struct hm_error *error)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    const struct ledger_info *info = &draft->signing->info;
    uint64_t weight;

    body.chain_id = (char *)(uintptr_t)info->chain_id;
    body.account = wire_bytes(trust_identity_account(draft->account->identity), WIRE_ID_BYTES);
    if (draft->session_key != NULL)
        body.session_key = wire_bytes(draft->session_key, CRYPTO_ED25519_PUBLIC_BYTES);
    body.presence = wire_bytes(draft->account->presence, CRYPTO_HASH_BYTES);
    body.anchor_height = info->height;
    body.anchor_hash = wire_bytes(info->block_hash, CRYPTO_HASH_BYTES);
    body.timestamp_ms = draft->now_ms;
    body.n_ops = draft->count;
    body.ops = (Hypermesh__Operation **)(uintptr_t)draft->ops;
    body.fee_limit = UINT64_MAX; /* as long as it can be, for the weight of the bytes */
    weight = ledger_tx_weight(&body, protobuf_c_message_get_packed_size(&body.base) +
                                         sizeof(struct crypto_root_signature) +
                                         sizeof(struct crypto_root_public));
    if (!hm_mul_u64(weight, info->base_fee, &body.fee_limit) ||
        !hm_mul_u64(body.fee_limit, NODE_FEE_HEADROOM, &body.fee_limit))
        return hm_fail(error, HM_ERANGE, "the fee of this transaction is more than money can be");
    if (wire_pack(&body.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

/* Packs the whole transaction and gives its digest. Under the account's lock. */
static int node_draft_sign(const struct node_draft *draft, struct hm_buf *out,
                           uint8_t digest[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__RootAuth root = HYPERMESH__ROOT_AUTH__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t body_digest[CRYPTO_HASH_BYTES];
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    hm_arena_init(&arena, 0);
    int rc = node_draft_body(draft, &body, error);
    if (rc != 0)
        return rc;
    proof_body_digest(hm_buf_slice(&body), body_digest);
    rc = proof_work_solve(body_digest, draft->signing->work_bits, &tx.work_nonce, digest, error);
    if (rc != 0)
        return rc;
    if (draft->session_key == NULL) {
        rc = trust_identity_sign_root(draft->account->identity, digest, &arena, &root, error);
        tx.root = &root;
    } else {
        rc = trust_session_sign(draft->account->identity, digest, signature, error);
        tx.signature = wire_bytes(signature, sizeof(signature));
    }
    if (rc != 0)
        return rc;
    tx.body = wire_bytes(body.data, body.len);
    if (wire_pack(&tx.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

/* --- ordering --------------------------------------------------------------------------------------------- */

/* A submission on its way; lives in the submitter's frame. */
struct node_pending {
    struct node_account *account;
    bool ended;
    struct engine_receipt receipt;
};

/* Another of the account's was refused before this one, or more of them than were known made its Work dearer: it
 * cost nothing and can be built anew on what is. */
static bool node_is_stale(int code)
{
    return code == HM_EPROOF_TIME || code == HM_EPROOF_WORK;
}

static void node_pending_done(void *ctx, const Hypermesh__TxResult *result,
                              const struct engine_block *block)
{
    struct node_pending *pending = ctx;
    struct node_account *account = pending->account;

    pthread_mutex_lock(&account->lock);
    engine_receipt_fill(&pending->receipt, result, block);
    pending->ended = true;
    /* Refused before it was applied: presence stands where it was. */
    if (block == NULL || (result->code != 0 && result->fee == 0))
        account->broken = true;
    account->in_flight--;
    pthread_cond_broadcast(&account->idle);
    pthread_mutex_unlock(&account->lock);
}

/* Builds on what is on its way, or on the ledger when nothing is. Under the account's lock. */
static int node_account_send(struct node *node, struct node_account *account, bool by_root,
                             Hypermesh__Operation *const *ops, size_t count,
                             struct node_pending *pending, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0};
    struct ledger_signing signing;
    struct trust_session session;
    struct ledger_view *view;
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t now_ms = hm_wall_ms(node->options.clock);

    while (account->broken && account->in_flight > 0)
        pthread_cond_wait(&account->idle, &account->lock);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_signing(view, trust_identity_account(account->identity), now_ms, &signing,
                             error);
    ledger_view_close(view);
    if (rc == 0 && !by_root)
        rc = trust_session_current(account->identity, now_ms, 0, &session) == 0
                 ? 0
                 : hm_fail(error, HM_EAUTH, "the session of '%s' has ended",
                           trust_identity_name(account->identity));
    if (rc != 0)
        return rc;
    if (account->in_flight == 0) {
        memcpy(account->presence, signing.presence, sizeof(account->presence));
        account->broken = false;
    }
    const struct node_draft draft = {.account = account,
                                     .signing = &signing,
                                     .session_key = by_root ? NULL : session.public_key,
                                     .now_ms = now_ms,
                                     .ops = ops,
                                     .count = count};
    rc = node_draft_sign(&draft, &tx, digest, error);
    if (rc == 0)
        rc = engine_submit(node->engine, hm_buf_slice(&tx), node_pending_done, pending, error);
    if (rc != 0)
        return rc;
    proof_presence_next(account->presence, digest, account->presence);
    account->in_flight++;
    return 0;
}

int node_account_submit(struct node *node, struct node_account *account, bool by_root,
                        Hypermesh__Operation *const *ops, size_t count,
                        struct engine_receipt *receipt, struct hm_error *error)
{
    int rc = 0;

    for (unsigned attempt = 0; attempt < NODE_SUBMIT_TRIES; attempt++) {
        struct node_pending pending = {.account = account};

        pthread_mutex_lock(&account->lock);
        rc = node_account_send(node, account, by_root, ops, count, &pending, error);
        while (rc == 0 && !pending.ended)
            pthread_cond_wait(&account->idle, &account->lock);
        pthread_mutex_unlock(&account->lock);
        if (rc == 0 && pending.receipt.code == 0) {
            if (receipt != NULL)
                *receipt = pending.receipt;
            return 0;
        }
        if (rc == 0)
            rc = hm_fail(error, pending.receipt.code, "%s", pending.receipt.text);
        if (!node_is_stale(rc))
            return rc;
    }
    return rc;
}
