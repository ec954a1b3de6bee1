/* What others put into the pool of a cluster: is it worth handing on? Whatever is decided here changes how long things
 * take, never what a block does. */
#include "ledger_check_item.h"

/* --- requests --- */

/* As of batches, below: one request in many forms would be many items, and fill the pool for nothing. */
static int request_canonical(const Hypermesh__BlockNote *note, struct hm_slice item,
                             struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    int rc = ledger_note_pack(note, &packed, error);

    if (rc || hm_slice_equal(hm_buf_slice(&packed), item))
        return rc;
    return hm_fail(error, HM_EINVAL, "the request is not written in the one way that is taken");
}

static int request_check(const struct ledger_info *info, struct hm_slice item,
                         struct hm_error *error)
{
    Hypermesh__BlockNote *note;
    struct hm_arena arena;
    uint64_t height;
    int rc;

    if (item.len > LEDGER_NOTE_REQUEST_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a request for a block has at most %d bytes, this has %zu",
                       LEDGER_NOTE_REQUEST_MAX_BYTES, item.len);
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_note_read(item, &arena, &note, error);
    if (rc == 0 && note->time_ms != 0)
        rc = hm_fail(error, HM_EINVAL, "a note with a time is for its proposer to put in a block");
    if (rc == 0 && (note->n_votes > 0 || note->vdf))
        rc = hm_fail(error, HM_EINVAL, "a request for a block has neither votes nor links");
    if (rc == 0 && note->nonce.len != LEDGER_NOTE_NONCE_BYTES)
        rc = hm_fail(error, HM_EINVAL, "a request's nonce has %d bytes, this has %zu",
                     LEDGER_NOTE_NONCE_BYTES, note->nonce.len);
    if (rc == 0 && hm_get_be64(note->nonce.data + 8) >= LEDGER_NOTE_ASKERS_MAX)
        rc = hm_fail(error, HM_EINVAL, "a request names who asks by a number below %llu",
                     (unsigned long long)LEDGER_NOTE_ASKERS_MAX);
    height = rc ? 0 : hm_get_be64(note->nonce.data);
    if (rc == 0 && (height <= info->height || height - info->height > LEDGER_CHECK_AHEAD_BLOCKS))
        rc = hm_fail(error, HM_EINVAL, "block %llu is asked for, the last is %llu",
                     (unsigned long long)height, (unsigned long long)info->height);
    if (rc == 0)
        rc = request_canonical(note, item, error);
    hm_arena_release(&arena);
    return rc;
}

/* --- batches --- */

/* An anchor that this node does not have yet is believed until a block judges it. */
static int anchor_find(struct ledger_item_check *check, uint64_t height,
                       ProtobufCBinaryData claimed, uint8_t buffer[CRYPTO_HASH_BYTES],
                       const uint8_t **out, struct hm_error *error)
{
    uint64_t last = check->info.height;

    if (!check->proposed && height > last && height - last <= LEDGER_CHECK_AHEAD_BLOCKS) {
        *out = claimed.data;
        return 0;
    }
    return ledger_anchor_find(check->txn, check->ledger->params, last, height, buffer, out, error);
}

/* The batch as its node's. */
static int head_check(struct ledger_item_check *check, struct hm_error *error)
{
    struct ledger_batch *batch = &check->batch;
    const Hypermesh__Params *params = check->ledger->params;
    struct ledger_batch_facts facts = {.params = params,
                                       .chain_id = check->info.chain_id,
                                       .now_ms = check->now_ms,
                                       .seen = &check->ledger->seen};
    uint8_t anchor[CRYPTO_HASH_BYTES];
    Hypermesh__Account *node;
    int rc = ledger_batch_shape(batch, check->info.chain_id, error);

    if (rc == 0)
        rc = ledger_read_account(check->txn, batch->head->node.data, &check->arena, &node, error);
    if (rc == 0)
        rc = anchor_find(check, batch->head->anchor_height, batch->head->anchor_hash, anchor,
                         &facts.anchor_known, error);
    if (rc)
        return rc;
    facts.node = node;
    rc = ledger_batch_time(batch, &facts, error);
    if (rc == 0)
        rc = ledger_batch_stake(batch, &facts, error);
    return rc ? rc : ledger_batch_space(batch, params, node->plot, error);
}

/* What the state says of the transaction now: it may say otherwise in a block. */
static int tx_state_check(struct ledger_tx *tx, const struct ledger_tx_facts *facts,
                          struct hm_error *why)
{
    int rc = ledger_tx_work(
        tx, ledger_account_work_bits(facts->params, facts->account, facts->now_ms), why);

    if (rc == 0)
        rc = ledger_tx_time(tx, facts, why);
    if (rc == 0)
        rc = ledger_tx_rights(tx, tx->tx->root ? NULL : ledger_tx_session(tx, facts->account),
                              facts->now_ms, why);
    return rc;
}

/* And its account as it will be at check->now_ms; in check->scratch. */
static int tx_read(struct ledger_item_check *check, const struct ledger_batch_tx *known,
                   struct ledger_tx *tx, Hypermesh__Account **account, struct hm_error *error)
{
    hm_arena_clear(&check->scratch);
    int rc = known->is.whole
                 ? ledger_tx_read_again(&known->is, known->bytes, &check->scratch, tx, error)
                 : ledger_tx_read(check->ledger->params, known->bytes, &check->scratch, tx, error);

    if (rc == 0)
        rc = ledger_tx_shape(tx, check->info.chain_id, check->ledger->params, error);
    if (rc == 0)
        rc = ledger_read_account(check->txn, tx->body->account.data, &check->scratch, account,
                                 error);
    if (rc == 0)
        ledger_account_mature(*account, check->now_ms);
    return rc;
}

static void tx_count(struct ledger_item_check *check, size_t bytes, enum ledger_pay_line line,
                     int rc, bool sure, const struct hm_error *why)
{
    check->bytes += bytes;
    if (rc != 0) {
        if (check->why.code == 0)
            check->why = *why;
        return;
    }
    check->paying++;
    check->hoped += bytes;
    check->in_line += line == LEDGER_PAY_NEXT;
    if (line == LEDGER_PAY_NEXT && sure)
        check->paid += bytes;
}

/* An error refuses the batch: no node that checks its clients' transactions seals such a one. */
static int tx_check(struct ledger_item_check *check, const struct ledger_batch_tx *known,
                    struct hm_error *error)
{
    struct ledger_tx_facts facts = {.params = check->ledger->params,
                                    .chain_id = check->info.chain_id,
                                    .now_ms = check->now_ms,
                                    .base_fee = check->info.base_fee,
                                    .presence_may_differ = !check->proposed};
    uint8_t anchor[CRYPTO_HASH_BYTES];
    Hypermesh__Account *account;
    struct hm_error why = {0};
    struct ledger_tx tx;
    uint64_t fee;
    bool sure = check->sure;
    int rc = tx_read(check, known, &tx, &account, error);

    if (rc == 0)
        rc = anchor_find(check, tx.body->anchor_height, tx.body->anchor_hash, anchor,
                         &facts.anchor_known, error);
    if (rc)
        return rc;
    facts.account = account;
    enum ledger_pay_line line = ledger_pay_stand(check->pay, &tx, account);
    rc = tx_state_check(&tx, &facts, &why);
    if (rc == 0) {
        /* A block would verify it too, so it is remembered whether the fee can be paid or not. */
        rc = ledger_tx_signature(&tx, &check->ledger->seen, error);
        if (rc)
            return rc;
        rc = ledger_tx_fee(&tx, &facts, &fee, &why);
    }
    if (rc == 0 && line == LEDGER_PAY_NEXT)
        rc = ledger_pay_spend(check->pay, &tx, account, fee, &sure, &why);
    if (hm_error_is_fatal(rc)) {
        if (error)
            *error = why;
        return rc;
    }
    tx_count(check, tx.bytes.len, line, rc, sure, &why);
    return 0;
}

static bool is_enough(size_t paid, size_t unpaid)
{
    return unpaid <= LEDGER_UNPAID_FREE_BYTES + paid;
}

/* Nobody pays for these bytes, and every node keeps them for ever. Some are no fault of the batch's node: the same transaction
 * went in by another one, or money was on its way. */
static int txs_paid(const struct ledger_item_check *check, struct hm_error *error)
{
    size_t paid = check->proposed ? check->paid_before + check->paid : check->hoped;
    size_t unpaid = check->proposed ? check->unpaid_before + check->bytes - check->paid
                                    : check->bytes - check->hoped;

    if (check->paying == 0)
        return hm_fail(error, check->why.code, "nothing in the batch would be paid for: %s",
                       check->why.text);
    if (is_enough(paid, unpaid))
        return 0;
    return hm_fail(
        error, HM_ELIMIT,
        "with the batch %zu bytes of transactions would be paid for and %zu perhaps not, "
        "which are more than that and %zu: %s",
        paid, unpaid, LEDGER_UNPAID_FREE_BYTES,
        check->why.code != 0 ? check->why.text : "their accounts give away what they have");
}

static int txs_check(struct ledger_item_check *check, struct hm_error *error)
{
    size_t count = check->batch.batch->n_txs;

    check->sure = !ledger_pay_unsure(check->pay, check->batch.head->node.data);
    for (size_t i = 0; i < count; i++) {
        int rc = tx_check(check, &check->batch.txs[i], error);

        if (rc)
            return hm_error_prefix(error, rc, "transaction %zu", i);
    }
    return txs_paid(check, error);
}

/* One message may be written in many ways: its fields in another order, a length in more bytes than it needs. The signature is over the head
 * only, so anybody could make out of one batch many items that are all good. In a cluster an item is what wire_pack makes of the message
 * that was read: the head, the signature, the transactions. Blocks of before, and those of a node alone, are not asked for it. */
static int batch_canonical(const struct ledger_batch *batch, struct hm_slice item,
                           struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};

    if (wire_pack(&batch->batch->base, &packed) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to look at a batch");
    if (!hm_slice_equal(hm_buf_slice(&packed), item))
        return hm_fail(
            error, HM_EINVAL,
            "the batch is not written in the one way that a cluster takes: its head, its "
            "signature, its transactions, each length in as few bytes as it needs");
    return 0;
}

int ledger_item_check_batch(struct ledger_item_check *check, struct hm_slice item,
                            struct hm_error *error)
{
    const Hypermesh__Params *params = check->ledger->params;

    hm_arena_clear(&check->arena);
    ledger_pay_batch(check->pay);
    check->paying = check->in_line = check->bytes = check->hoped = check->paid = 0;
    check->why = (struct hm_error){0};
    int rc = ledger_batch_read(params, &check->ledger->seen, item, &check->arena, &check->batch,
                               error);

    if (rc == 0)
        rc = batch_canonical(&check->batch, item, error);
    if (rc)
        return rc;
    if (check->batch.weight > params->block_weight_max)
        return hm_fail(error, HM_ELIMIT, "the batch weighs %llu, a block takes %llu",
                       (unsigned long long)check->batch.weight,
                       (unsigned long long)params->block_weight_max);
    rc = head_check(check, error);
    return rc ? rc : txs_check(check, error);
}

int ledger_item_check_begin(struct ledger_item_check *check, struct hm_error *error)
{
    int rc = ledger_pay_new(check->ledger->params, check->now_ms, &check->pay, error);

    if (rc)
        return rc;
    hm_arena_init(&check->arena, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&check->scratch, LEDGER_TX_ARENA_BYTES);
    rc = store_begin_read(check->ledger->store, &check->txn, error);
    if (rc == 0) /* the snapshot may be newer than what is known; its own height counts */
        rc = ledger_read_info(check->txn, &check->info, error);
    if (rc)
        ledger_item_check_end(check);
    return rc;
}

void ledger_item_check_end(struct ledger_item_check *check)
{
    hm_arena_release(&check->scratch);
    hm_arena_release(&check->arena);
    if (check->txn)
        store_abort(HM_TAKE(check->txn));
    ledger_pay_free(HM_TAKE(check->pay));
}

static int batch_check(struct ledger_item_check *check, struct hm_slice item,
                       struct hm_error *error)
{
    int rc = ledger_item_check_begin(check, error);

    if (rc)
        return rc;
    rc = ledger_item_check_batch(check, item, error);
    ledger_item_check_end(check);
    return rc;
}

int ledger_check_item(struct ledger *ledger, struct hm_slice item, uint64_t now_ms,
                      struct hm_error *error)
{
    bool next;

    return ledger_check_item_again(ledger, item, now_ms, &next, error);
}

int ledger_check_item_again(struct ledger *ledger, struct hm_slice item, uint64_t now_ms,
                            bool *next, struct hm_error *error)
{
    struct ledger_item_check check = {.ledger = ledger, .now_ms = now_ms};
    bool note = ledger_item_is_note(item);
    int rc = ledger_info(ledger, &check.info, error);

    if (rc == 0)
        rc = note ? request_check(&check.info, item, error) : batch_check(&check, item, error);
    if (rc == 0)
        *next = note || (check.in_line > 0 && is_enough(check.paid, check.bytes - check.paid));
    return rc;
}
