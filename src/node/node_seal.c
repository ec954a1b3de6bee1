/* Seals what clients sent into a batch: this node's anchor, Space openings and signature over all. */
#include "node_private.h"

/* What a batch is made of, in the arena. */
struct node_seal {
    struct node *node;
    const struct hm_slice *txs;
    size_t count;
    struct hm_arena *arena;
    uint8_t tx_root[CRYPTO_HASH_BYTES];
    bool touches_assets; /* or may: then the plot is opened */
    struct ledger_info info;
    const Hypermesh__Account *operator;
    bool by_session;
    struct trust_session session;
    Hypermesh__BatchHead head;
};

static bool node_body_touches(struct hm_slice body, struct hm_arena *scratch)
{
    Hypermesh__TxBody *message;

    if (WIRE_UNPACK(hypermesh__tx_body, body, body.len, scratch, &message, NULL) != 0)
        return true;
    for (size_t i = 0; i < message->n_ops; i++)
        if (ledger_op_touches_assets(message->ops[i]->op_case))
            return true;
    return false;
}

static int node_seal_read(struct node_seal *seal, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena scratch;
    uint8_t *digests = hm_arena_alloc(seal->arena, seal->count * CRYPTO_HASH_BYTES);

    hm_arena_init(&scratch, 0);
    if (digests == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to seal %zu transactions", seal->count);
    for (size_t i = 0; i < seal->count; i++) {
        uint8_t body_digest[CRYPTO_HASH_BYTES];
        Hypermesh__Tx *tx;
        hm_arena_clear(&scratch);
        int rc = WIRE_UNPACK(hypermesh__tx, seal->txs[i], seal->txs[i].len, &scratch, &tx, error);

        if (rc != 0)
            return rc;
        proof_body_digest(wire_slice(tx->body), body_digest);
        proof_tx_digest(body_digest, tx->work_nonce, digests + i * CRYPTO_HASH_BYTES);
        seal->touches_assets = seal->touches_assets ||
                               node_body_touches(wire_slice(tx->body), &scratch);
    }
    crypto_merkle_root(digests, seal->count, seal->tx_root);
    return 0;
}

/* The newest block, and what the ledger knows of the operator. */
static int node_seal_facts(struct node_seal *seal, struct hm_error *error)
{
    Hypermesh__Account *operator;
    struct ledger_view *view;
    int rc = ledger_view_open(seal->node->ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_info(view, &seal->info, error);
    if (rc == 0)
        rc = ledger_view_account(view, seal->node->operator_id, seal->arena, &operator, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    seal->operator= operator;
    /* Without a session the batch goes unsigned, and may hold only what the root keys signed. */
    seal->by_session = node_wallet_batch_session(seal->node, operator, & seal->session) == 0;
    return 0;
}

static int node_seal_openings(struct node_seal *seal, struct hm_error *error)
{
    uint8_t challenge[CRYPTO_HASH_BYTES];

    if (!seal->touches_assets || seal->operator->plot == NULL)
        return 0; /* not committed yet: only what needs no Space proof can go into this batch */
    proof_space_challenge(seal->info.block_hash, seal->tx_root, seal->node->operator_id, challenge);
    seal->head.n_openings = seal->node->space_openings;
    return node_plot_open_at(seal->node, challenge, seal->node->space_openings, false, seal->arena,
                             &seal->head.openings, error);
}

static int node_seal_head(struct node_seal *seal, struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__BatchHead *head = &seal->head;
    int rc = 0;

    head->chain_id = seal->info.chain_id;
    head->node = wire_bytes(seal->node->operator_id, WIRE_ID_BYTES);
    head->anchor_height = seal->info.height;
    head->anchor_hash = wire_bytes(seal->info.block_hash, CRYPTO_HASH_BYTES);
    head->timestamp_ms = node_now_ms(seal->node);
    head->tx_root = wire_bytes(seal->tx_root, CRYPTO_HASH_BYTES);
    if (seal->by_session) {
        head->session_key = wire_bytes(seal->session.public_key, CRYPTO_ED25519_PUBLIC_BYTES);
        rc = node_seal_openings(seal, error);
    }
    if (rc == 0 && wire_pack(&head->base, out) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a batch");
    return rc;
}

static int node_seal_pack(const struct node_seal *seal, struct hm_slice head,
                          const uint8_t *signature, struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;

    batch.head = wire_bytes(head.data, head.len);
    if (signature != NULL)
        batch.signature = wire_bytes(signature, CRYPTO_ED25519_SIGNATURE_BYTES);
    batch.n_txs = seal->count;
    batch.txs = hm_arena_alloc(seal->arena, seal->count * sizeof(*batch.txs));
    if (batch.txs == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a batch of %zu transactions", seal->count);
    for (size_t i = 0; i < seal->count; i++)
        batch.txs[i] = wire_bytes(seal->txs[i].data, seal->txs[i].len);
    if (wire_pack(&batch.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a batch of %zu transactions", seal->count);
    return 0;
}

static int node_seal_once(struct node *node, const struct hm_slice *txs, size_t count,
                          struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf head = {0};
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    struct node_seal seal = {.node = node,
                             .txs = txs,
                             .count = count,
                             .arena = &arena,
                             .head = HYPERMESH__BATCH_HEAD__INIT};

    hm_arena_init(&arena, 0);
    int rc = node_seal_read(&seal, error);
    if (rc == 0)
        rc = node_seal_facts(&seal, error);
    if (rc == 0)
        rc = node_seal_head(&seal, &head, error);
    if (rc == 0 && seal.by_session)
        rc = node_wallet_sign_batch(node, hm_buf_slice(&head), &seal.session, signature, error);
    return rc != 0 ? rc
                   : node_seal_pack(&seal, hm_buf_slice(&head), seal.by_session ? signature : NULL,
                                    out, error);
}

int node_seal(void *ctx, const struct hm_slice *txs, size_t count, struct hm_buf *out,
              struct hm_error *error)
{
    int rc = node_seal_once(ctx, txs, count, out, error);

    if (rc == HM_ECONFLICT) /* a new session took over in between */
        rc = node_seal_once(ctx, txs, count, out, error);
    return rc;
}
