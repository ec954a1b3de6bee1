#include "ledger_tx.h"

int ledger_tx_read(const Hypermesh__Params *params, struct hm_slice bytes, struct hm_arena *arena,
                   struct ledger_tx *out, struct hm_error *error)
{
    struct ledger_tx tx = {.bytes = bytes};
    uint8_t body_digest[CRYPTO_HASH_BYTES];
    int rc = WIRE_UNPACK(hypermesh__tx, bytes, params->max_tx_bytes, arena, &tx.tx, error);

    if (rc) {
        hm_error_prefix(error, rc, "transaction");
        return rc;
    }
    proof_body_digest(wire_slice(tx.tx->body), body_digest);
    proof_tx_digest(body_digest, tx.tx->work_nonce, tx.digest);
    rc = WIRE_UNPACK(hypermesh__tx_body, wire_slice(tx.tx->body), params->max_tx_bytes, arena,
                     &tx.body, &tx.body_error);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory to read a transaction");
    if (rc) {
        tx.body = NULL;
        tx.weight = bytes.len;
        *out = tx;
        return 0;
    }
    tx.weight = ledger_tx_weight(tx.body, bytes.len);
    for (size_t i = 0; i < tx.body->n_ops; i++)
        tx.touches_assets = tx.touches_assets || ledger_op_touches_assets(tx.body->ops[i]->op_case);
    *out = tx;
    return 0;
}

int ledger_tx_read_again(const struct ledger_seen_tx *known, struct hm_slice bytes,
                         struct hm_arena *arena, struct ledger_tx *out, struct hm_error *error)
{
    struct ledger_tx tx = {.bytes = bytes,
                           .weight = known->weight,
                           .touches_assets = known->touches_assets,
                           .keyed = true};
    ProtobufCMessage *message;
    int rc = wire_unpack_again(&hypermesh__tx__descriptor, bytes, arena, &message, error);

    if (rc)
        return rc;
    tx.tx = (Hypermesh__Tx *)message;
    rc = wire_unpack_again(&hypermesh__tx_body__descriptor, wire_slice(tx.tx->body), arena,
                           &message, error);
    if (rc)
        return rc;
    tx.body = (Hypermesh__TxBody *)message;
    memcpy(tx.digest, known->digest, sizeof tx.digest);
    memcpy(tx.key, known->key, sizeof tx.key);
    *out = tx;
    return 0;
}

static void tx_key(struct ledger_tx *tx)
{
    if (!tx->keyed)
        crypto_hash(tx->bytes.data, tx->bytes.len, tx->key);
    tx->keyed = true;
}

void ledger_tx_remember(struct ledger_tx *tx, struct ledger_seen_tx *out)
{
    tx_key(tx);
    *out = (struct ledger_seen_tx){.weight = tx->weight,
                                   .readable = true,
                                   .whole = tx->body != NULL,
                                   .root = tx->tx->root,
                                   .touches_assets = tx->touches_assets};
    memcpy(out->key, tx->key, sizeof out->key);
    memcpy(out->digest, tx->digest, sizeof out->digest);
}

int ledger_chain_check(const char *what, const char *claimed, const char *chain_id,
                       struct hm_error *error)
{
    if (strcmp(claimed, chain_id) == 0)
        return 0;
    return hm_fail(error, HM_EINVAL, "the %s is for chain \"%s\", this is \"%s\"", what,
                   ledger_chain_id_ok(claimed) ? claimed : "?", chain_id);
}

int ledger_tx_shape(const struct ledger_tx *tx, const char *chain_id,
                    const Hypermesh__Params *params, struct hm_error *error)
{
    const Hypermesh__TxBody *body = tx->body;
    int rc;

    if (!body)
        return hm_fail(error, tx->body_error.code, "transaction: %s", tx->body_error.text);
    rc = ledger_chain_check("transaction", body->chain_id, chain_id, error);
    if (rc)
        return rc;
    if (!ledger_id_ok(body->account))
        return hm_fail(error, HM_EINVAL, "account has %zu bytes, must have %d", body->account.len,
                       LEDGER_ID_BYTES);
    if (body->presence.len != CRYPTO_HASH_BYTES || body->anchor_hash.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EPROOF_TIME,
                       "time: presence and anchor_hash must have %d bytes each", CRYPTO_HASH_BYTES);
    if (body->n_ops == 0 || body->n_ops > params->max_ops_per_tx)
        return hm_fail(error, HM_ELIMIT, "a transaction has 1 to %u operations, this has %zu",
                       params->max_ops_per_tx, body->n_ops);
    for (size_t i = 0; i < body->n_ops; i++) {
        const struct ledger_op *op = ledger_op_find(body->ops[i]->op_case);

        if (!op)
            return hm_fail(error, HM_EINVAL, "operation %zu is empty", i);
        if (op->root_only && !tx->tx->root)
            return hm_fail(error, HM_EPROOF_STAKE,
                           "stake: operation %zu, %s, must be signed by the root keys", i,
                           op->name);
    }
    return 0;
}

int ledger_tx_work(const struct ledger_tx *tx, unsigned bits, struct hm_error *error)
{
    return proof_work_verify(tx->digest, bits, error);
}

int ledger_tx_time(const struct ledger_tx *tx, const struct ledger_tx_facts *facts,
                   struct hm_error *error)
{
    struct proof_time_facts time = {
        .block_ms = facts->now_ms,
        .window_ms = facts->params->time_window_ms,
        .anchor_height = tx->body->anchor_height,
        .anchor_claimed = tx->body->anchor_hash.data,
        .anchor_known = facts->anchor_known,
        .timestamp_ms = tx->body->timestamp_ms,
    };

    if (!facts->presence_may_differ) {
        time.presence_claimed = tx->body->presence.data;
        time.presence_known = facts->account->presence.data;
    }
    return proof_time_verify(&time, error);
}

const Hypermesh__Session *ledger_tx_session(const struct ledger_tx *tx,
                                            const Hypermesh__Account *account)
{
    for (size_t i = 0; i < account->n_sessions; i++) {
        if (ledger_id_equal(account->sessions[i]->key, tx->body->session_key))
            return account->sessions[i];
    }
    return NULL;
}

int ledger_tx_rights(const struct ledger_tx *tx, const Hypermesh__Session *session, uint64_t now_ms,
                     struct hm_error *error)
{
    if (tx->tx->root)
        return 0;
    if (!session)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the account has no such session key; it may have expired or been "
                       "revoked");
    if (session->expires_ms <= now_ms)
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the session expired %llu ms before block time; grant a new one",
                       (unsigned long long)(now_ms - session->expires_ms));
    for (size_t i = 0; i < tx->body->n_ops; i++) {
        unsigned number = tx->body->ops[i]->op_case;

        if (!(session->scope >> number & 1))
            return hm_fail(error, HM_EPROOF_STAKE, "stake: the session's scope lacks %s",
                           ledger_op_find(number)->name);
    }
    return 0;
}

unsigned ledger_account_work_bits(const Hypermesh__Params *params,
                                  const Hypermesh__Account *account, uint64_t now_ms)
{
    struct proof_rate rate = {.start_ms = account->rate_start_ms,
                              .count = account->rate_count,
                              .previous = account->rate_previous};

    return proof_rate_bits(&rate, now_ms, params->work_window_ms, params->work_free_txs,
                           params->work_base_bits);
}

int ledger_tx_fee(const struct ledger_tx *tx, const struct ledger_tx_facts *facts, uint64_t *fee,
                  struct hm_error *error)
{
    uint64_t amount;

    if (!hm_mul_u64(tx->weight, facts->base_fee, &amount))
        return hm_fail(error, HM_ERANGE, "the fee cannot be counted");
    if (amount > tx->body->fee_limit)
        return hm_fail(error, HM_EFUNDS,
                       "the fee is %llu base units (weight %llu at %llu), over the transaction's "
                       "fee_limit %llu",
                       (unsigned long long)amount, (unsigned long long)tx->weight,
                       (unsigned long long)facts->base_fee,
                       (unsigned long long)tx->body->fee_limit);
    if (facts->account->hyper < amount)
        return hm_fail(error, HM_EFUNDS, "the account has %llu HYPER base units, the fee is %llu",
                       (unsigned long long)facts->account->hyper, (unsigned long long)amount);
    *fee = amount;
    return 0;
}

int ledger_tx_signature(struct ledger_tx *tx, struct ledger_seen *seen, struct hm_error *error)
{
    struct ledger_seen_tx known;
    int rc;

    if (!seen)
        return proof_signature_verify(tx->tx, tx->body, tx->digest, error);
    tx_key(tx);
    if (ledger_seen_has(seen, tx->key))
        return 0;
    rc = proof_signature_verify(tx->tx, tx->body, tx->digest, error);
    if (rc)
        return rc;
    ledger_tx_remember(tx, &known);
    ledger_seen_tx_add(seen, &known);
    return 0;
}

int ledger_tx_judge(struct ledger_tx *tx, const struct ledger_tx_facts *facts,
                    struct ledger_seen *seen, Hypermesh__TxFacts *record, uint64_t *fee,
                    struct hm_error *error)
{
    const Hypermesh__Session *session = NULL;
    int rc = ledger_tx_shape(tx, facts->chain_id, facts->params, error);

    if (rc)
        return rc;
    record->work_bits = ledger_account_work_bits(facts->params, facts->account, facts->now_ms);
    rc = ledger_tx_work(tx, record->work_bits, error);
    if (rc)
        return rc;
    rc = ledger_tx_time(tx, facts, error);
    if (rc)
        return rc;
    if (!tx->tx->root)
        session = ledger_tx_session(tx, facts->account);
    rc = ledger_tx_rights(tx, session, facts->now_ms, error);
    if (rc)
        return rc;
    rc = ledger_tx_signature(tx, seen, error);
    if (rc)
        return rc;
    return ledger_tx_fee(tx, facts, fee, error);
}

int ledger_anchor_find(struct store_txn *txn, const Hypermesh__Params *params, uint64_t last_height,
                       uint64_t height, uint8_t buffer[CRYPTO_HASH_BYTES], const uint8_t **out,
                       struct hm_error *error)
{
    int rc;

    *out = NULL;
    if (height > last_height || last_height - height > params->anchor_max_blocks)
        return 0;
    rc = ledger_read_hash(txn, height, buffer);
    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the hash of block %llu could not be read",
                       (unsigned long long)height);
    *out = rc ? NULL : buffer;
    return 0;
}
