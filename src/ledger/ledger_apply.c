/* Applying one transaction to the block: first what proves and pays, then what it does. */
#include "ledger_rule.h"
#include "ledger_tx.h"

/* A fatal code is the machine's trouble and stops the block; any other is the transaction's result. */
static int result_set(struct ledger_block *block, Hypermesh__TxResult *result, int code,
                      const struct hm_error *why, struct hm_error *error)
{
    if (hm_error_is_fatal(code)) {
        if (error)
            *error = *why;
        return code;
    }
    result->code = code;
    result->text = hm_arena_strdup(&block->arena, why->text);
    if (!result->text)
        return hm_fail(error, HM_ENOMEM, "no memory for a result");
    result->rule = (char *)(uintptr_t)ledger_rule_in(why->text);
    return 0;
}

/* The facts outlive the transaction's arena. */
static int facts_keep(struct ledger_block *block, Hypermesh__TxFacts *facts,
                      const Hypermesh__Session *session, const uint8_t *presence,
                      struct hm_error *error)
{
    uint8_t *copy = hm_arena_dup(&block->arena, presence, CRYPTO_HASH_BYTES);
    Hypermesh__Session *kept;

    if (!copy)
        return hm_fail(error, HM_ENOMEM, "no memory for a result");
    facts->presence = wire_bytes(copy, CRYPTO_HASH_BYTES);
    if (!session)
        return 0;
    kept = hm_arena_dup(&block->arena, session, sizeof *session);
    copy = hm_arena_dup(&block->arena, session->key.data, session->key.len);
    if (!kept || !copy)
        return hm_fail(error, HM_ENOMEM, "no memory for a result");
    kept->key.data = copy;
    facts->session = kept;
    return 0;
}

/* Presence, counters and Work's rate go on when the fee is paid, whatever becomes of the operations. */
static int account_advance(struct ledger_scope *scope, const struct ledger_tx *tx,
                           Hypermesh__Account *account, struct hm_error *error)
{
    struct proof_rate rate = {.start_ms = account->rate_start_ms,
                              .count = account->rate_count,
                              .previous = account->rate_previous};
    uint8_t next[CRYPTO_HASH_BYTES];

    proof_presence_next(account->presence.data, tx->digest, next);
    proof_rate_count(&rate, scope->block->time_ms, scope->block->params->work_window_ms);
    account->rate_start_ms = rate.start_ms;
    account->rate_count = rate.count;
    account->rate_previous = rate.previous;
    account->txs++;
    return ledger_scope_bytes(scope, next, sizeof next, &account->presence, error);
}

/* Most transactions of a batch name the same anchor: the last answer is kept. */
static int anchor_of(struct ledger_block *block, uint64_t height, const uint8_t **out,
                     struct hm_error *error)
{
    const uint8_t *found;

    if (!block->anchor_known || block->anchor_height != height) {
        int rc = ledger_anchor_find(block->txn, block->params, block->height - 1, height,
                                    block->anchor_hash, &found, error);

        if (rc)
            return rc;
        block->anchor_known = found != NULL;
        block->anchor_height = height;
    }
    *out = block->anchor_known ? block->anchor_hash : NULL;
    return 0;
}

/* On a chain of before them, operations that came later are what they were: no transaction. */
static int ops_check(const struct ledger_block *block, const struct ledger_tx *tx,
                     struct hm_error *why)
{
    for (size_t i = 0; i < tx->body->n_ops; i++) {
        unsigned number = tx->body->ops[i]->op_case;

        if (!(block->scope >> number & 1))
            return hm_fail(why, HM_EPARSE,
                           "transaction: operation %zu, %s, came after this chain began: only a "
                           "cluster's blocks of it take that",
                           i, ledger_op_find(number)->name);
    }
    return 0;
}

/* Proofs and fee. *why_code is the refusal, 0 when the transaction has paid; scope then is what has paid. */
static int tx_charge(struct ledger_block *block, struct ledger_tx *tx, Hypermesh__TxResult *result,
                     struct ledger_placed *placed, struct ledger_scope *scope, int *why_code,
                     struct hm_error *why, struct hm_error *error)
{
    struct ledger_tx_facts facts = {.params = block->params,
                                    .chain_id = block->ledger->info.chain_id,
                                    .now_ms = block->time_ms,
                                    .base_fee = block->base_fee};
    Hypermesh__Account *account;
    uint64_t fee = 0;
    int rc;

    *why_code = ledger_tx_shape(tx, facts.chain_id, facts.params, why);
    if (*why_code == 0)
        *why_code = ops_check(block, tx, why);
    if (*why_code)
        return 0;
    ledger_scope_init(scope, block, &block->scratch, hm_slice_of(tx->digest, sizeof tx->digest));
    rc = ledger_scope_account(scope, tx->body->account, &account, error);
    if (rc)
        return rc;
    facts.account = account;
    rc = anchor_of(block, tx->body->anchor_height, &facts.anchor_known, error);
    if (rc)
        return rc;
    *why_code = ledger_tx_judge(tx, &facts, &block->ledger->seen, result->facts, &fee, why);
    if (*why_code)
        return 0;
    rc = facts_keep(block, result->facts, tx->tx->root ? NULL : ledger_tx_session(tx, account),
                    account->presence.data, error);
    if (rc)
        return rc;
    result->facts->bonded = account->bonded;
    rc = ledger_money_burn(scope, account, fee, error);
    if (rc == 0)
        rc = account_advance(scope, tx, account, error);
    if (rc == 0)
        rc = ledger_scope_commit(scope, error);
    if (rc)
        return rc;
    result->fee = fee;
    block->weight += tx->weight;
    placed->charged = true;
    return 0;
}

static int op_apply(struct ledger_scope *scope, const struct ledger_tx *tx, uint32_t index,
                    Hypermesh__TxFacts *facts, ProtobufCBinaryData *created,
                    Hypermesh__KvAnswer **answer, struct hm_error *error)
{
    const Hypermesh__Operation *operation = tx->body->ops[index];
    const struct ledger_op *op = ledger_op_find(operation->op_case);
    struct ledger_act act = {.scope = scope,
                             .params = scope->block->params,
                             .body = tx->body,
                             .facts = facts,
                             .index = index,
                             .number = operation->op_case};
    int rc = ledger_scope_account(scope, tx->body->account, &act.signer, error);

    if (rc == 0)
        rc = op->apply(&act, operation, error);
    if (rc) {
        hm_error_prefix(error, rc, "%s", op->name);
        return rc;
    }
    *created = act.created;
    *answer = act.answer;
    return 0;
}

/* What fee_limit and balance leave, and the block. */
static int work_allow(struct ledger_scope *scope, const struct ledger_tx *tx, uint64_t fee,
                      struct hm_error *error)
{
    const struct ledger_block *block = scope->block;
    uint64_t most = block->params->block_weight_max;
    uint64_t funds = tx->body->fee_limit - fee;
    Hypermesh__Account *account;
    int rc = ledger_scope_account(scope, tx->body->account, &account, error);

    if (rc)
        return rc;
    if (funds > account->hyper)
        funds = account->hyper;
    scope->work_paid = block->base_fee ? funds / block->base_fee : UINT64_MAX;
    scope->work_room = most > block->weight ? most - block->weight : 0;
    return 0;
}

/* Work that showed while the operations ran is paid for as their weight is. */
static int work_pay(struct ledger_scope *scope, const struct ledger_tx *tx, uint64_t work,
                    uint64_t *fee, struct hm_error *error)
{
    uint64_t amount = work * scope->block->base_fee; /* no more than work_allow found */
    Hypermesh__Account *account;
    int rc = ledger_scope_account(scope, tx->body->account, &account, error);

    if (rc == 0)
        rc = ledger_money_burn(scope, account, amount, error);
    if (rc == 0)
        *fee = amount;
    return rc;
}

/* An operation failed: all are taken back, but the work was done. */
static int tx_undo(struct ledger_scope *scope, const struct ledger_tx *tx,
                   Hypermesh__TxResult *result, struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    uint64_t work = scope->work;
    struct ledger_scope after;
    uint64_t fee;
    int rc;

    ledger_scope_drop(scope);
    if (work == 0)
        return 0;
    ledger_scope_init(&after, block, scope->arena, scope->tx_digest);
    rc = work_pay(&after, tx, work, &fee, error);
    if (rc == 0)
        rc = ledger_scope_commit(&after, error);
    if (rc)
        return rc;
    result->fee += fee;
    block->weight += work;
    return 0;
}

/* Operations, all or none. */
static int tx_operate(struct ledger_block *block, const struct ledger_tx *tx,
                      const struct ledger_scope *charged, Hypermesh__TxResult *result,
                      struct hm_error *error)
{
    size_t count = tx->body->n_ops;
    ProtobufCBinaryData *created = hm_arena_alloc(&block->arena, count * sizeof *created);
    Hypermesh__KvAnswer **answers = hm_arena_alloc(&block->arena,
                                                   count * sizeof(Hypermesh__KvAnswer *));
    struct ledger_scope scope;
    struct hm_error why = {0};
    uint64_t work_fee = 0;
    size_t answered = 0;
    size_t kept = 0;
    int rc;

    if (!created || !answers)
        return hm_fail(error, HM_ENOMEM, "no memory for a result");
    ledger_scope_init(&scope, block, &block->scratch, hm_slice_of(tx->digest, sizeof tx->digest));
    ledger_scope_go_on(&scope, charged);
    rc = work_allow(&scope, tx, result->fee, error);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        Hypermesh__KvAnswer *answer = NULL;
        ProtobufCBinaryData id = {0};

        rc = op_apply(&scope, tx, i, result->facts, &id, &answer, &why);
        if (rc == 0 && i == count - 1 && scope.work > 0)
            rc = work_pay(&scope, tx, scope.work, &work_fee, &why);
        if (rc) {
            result->op = i;
            rc = result_set(block, result, rc, &why, error);
            return rc ? rc : tx_undo(&scope, tx, result, error);
        }
        if (answer)
            answers[answered++] = answer;
        if (id.len == 0)
            continue;
        id.data = hm_arena_dup(&block->arena, id.data, id.len);
        if (!id.data)
            return hm_fail(error, HM_ENOMEM, "no memory for a result");
        created[kept++] = id;
    }
    rc = ledger_scope_commit(&scope, error);
    if (rc)
        return rc;
    result->fee += work_fee;
    block->weight += scope.work;
    result->created = created;
    result->n_created = kept;
    result->kv = answers;
    result->n_kv = answered;
    return 0;
}

int ledger_tx_apply(struct ledger_block *block, struct ledger_tx *tx,
                    const Hypermesh__PlotCommitment *plot, Hypermesh__TxResult *result,
                    struct ledger_placed *placed, struct hm_error *error)
{
    Hypermesh__TxFacts *facts = hm_arena_alloc(&block->arena, sizeof *facts);
    struct ledger_scope scope;
    struct hm_error why = {0};
    int code = 0;
    int rc;

    if (!facts)
        return hm_fail(error, HM_ENOMEM, "no memory for a result");
    *facts = (Hypermesh__TxFacts)HYPERMESH__TX_FACTS__INIT;
    /* Packing only reads it. */
    facts->plot = (Hypermesh__PlotCommitment *)(uintptr_t)plot;
    result->facts = facts;
    rc = tx_charge(block, tx, result, placed, &scope, &code, &why, error);
    if (rc)
        return rc;
    if (code)
        return result_set(block, result, code, &why, error);
    return tx_operate(block, tx, &scope, result, error);
}

bool ledger_result_charged(const Hypermesh__TxResult *result)
{
    /* The facts are filled in when the fee is taken. */
    return result->facts && result->facts->presence.len == CRYPTO_HASH_BYTES;
}
