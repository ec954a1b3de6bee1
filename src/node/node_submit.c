/* One account's transactions: built, proven, signed, ordered, waited for. They follow each other by presence; while
 * some are on their way, the next one builds on the presence that they will leave, so one account can fill a block.
 *
 * Acts for the same account line up (struct node_act), with a thread that waits for each or with none (node_later.c).
 * One thread at a time builds: what lined up while it signed goes into the next transaction together, as far as it may
 * share one. Operations of a transaction happen all or
 * none, so when a shared one is refused its acts go again, each alone, and each gets its own verdict. */
#include <stdio.h>

#include "node_act.h"
#include "node_futex.h"

#define NODE_SUBMIT_TRIES 4
/* Room for a base fee that rises by 1/8 a block while a transaction waits. */
#define NODE_FEE_HEADROOM 4
/* Weight left for what an operation finds to do: the chain's default of what fits one block. */
#define NODE_WORK_HEADROOM (UINT64_C(64) << 20)
/* Of operations in a shared transaction: past it a signature more does not count. */
#define NODE_SHARE_MAX_BYTES ((size_t)64 << 10)

/* Transactions on their way, one in a block and one for the next: while there are as many, what may share lines up,
 * until it fills a transaction or one of them has ended. */
#define NODE_SHARE_DEPTH 1
/* In a cluster a transaction is on its way for a whole round of consensus. */
#define NODE_SHARE_DEPTH_CLUSTER 4
/* Transactions that a thread with other work builds before the next in line is asked to. */
#define NODE_LEAD_MAX 4

/* A transaction on its way. */
struct node_flight {
    struct node *node;
    struct node_account *account;
    struct node_act *acts;
};

static size_t node_share_ops(const struct node *node)
{
    return atomic_load_explicit(&node->wallet.share_ops, memory_order_relaxed);
}

/* --- which may share ------------------------------------------------------------------------------------- */

static bool node_put_shares(const Hypermesh__KvPut *put)
{
    return put->lease == 0 && !put->ignore_value && !put->ignore_lease;
}

static bool node_txn_shares(const Hypermesh__KvTxn *txn, unsigned depth);

static bool node_branch_shares(Hypermesh__KvTxnOp *const *ops, size_t count, unsigned depth)
{
    for (size_t i = 0; i < count; i++) {
        const Hypermesh__KvTxnOp *op = ops[i];

        if (op->op_case == HYPERMESH__KV_TXN_OP__OP_PUT ? !node_put_shares(op->put)
            : op->op_case == HYPERMESH__KV_TXN_OP__OP_TXN
                ? !node_txn_shares(op->txn, depth + 1)
                : op->op_case != HYPERMESH__KV_TXN_OP__OP_DELETE)
            return false;
    }
    return true;
}

static bool node_txn_shares(const Hypermesh__KvTxn *txn, unsigned depth)
{
    return depth <= LEDGER_KV_TXN_DEPTH_MAX &&
           node_branch_shares(txn->success, txn->n_success, depth) &&
           node_branch_shares(txn->failure, txn->n_failure, depth);
}

/* Is it of a kind that the ledger hardly ever refuses, so that those beside it need not go again? */
static bool node_op_shares(const Hypermesh__Operation *op)
{
    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_KV_PUT:
        return node_put_shares(op->kv_put);
    case HYPERMESH__OPERATION__OP_KV_DELETE:
        return true;
    case HYPERMESH__OPERATION__OP_KV_TXN:
        return node_txn_shares(op->kv_txn, 1);
    case HYPERMESH__OPERATION__OP_KV_LEASE_GRANT:
        return op->kv_lease_grant->lease == 0;
    default:
        return false;
    }
}

void node_act_init(struct node_act *act, bool by_root, Hypermesh__Operation *const *ops,
                   size_t count)
{
    memset(act, 0, offsetof(struct node_act, error));
    act->ops = ops;
    act->count = count;
    act->by_root = by_root;
    act->error = (struct hm_error){0};
    act->receipt.kv = (struct hm_buf){0};
    act->shares = !act->by_root;
    for (size_t i = 0; i < act->count; i++) {
        act->shares = act->shares && node_op_shares(act->ops[i]);
        act->bytes += protobuf_c_message_get_packed_size(&act->ops[i]->base) + 8;
    }
}

/* Takes the first of the line with those behind it that may go along. Under the account's lock. */
static struct node_act *node_line_take(struct node_account *account, size_t most_ops)
{
    struct node_act *first = account->first, *last = first;
    size_t count = first->count, bytes = first->bytes;

    while (first->shares && last->next != NULL && last->next->shares &&
           count + last->next->count <= most_ops &&
           bytes + last->next->bytes <= NODE_SHARE_MAX_BYTES) {
        last = last->next;
        count += last->count;
        bytes += last->bytes;
    }
    account->first = last->next;
    if (account->first == NULL)
        account->last = &account->first;
    last->next = NULL;
    account->waiting -= count;
    account->waiting_bytes -= bytes;
    return first;
}

/* Is there nothing to build, or not yet? What is on its way looks again when it ends. Under the account's lock. */
static bool node_line_rests(const struct node *node, const struct node_account *account,
                            size_t most_ops)
{
    const struct node_act *first = account->first;
    size_t depth = node->options.cluster ? NODE_SHARE_DEPTH_CLUSTER : NODE_SHARE_DEPTH;

    if (first == NULL || (account->broken && account->in_flight > 0))
        return true;
    return first->shares && account->in_flight >= depth && account->waiting < most_ops &&
           account->waiting_bytes < NODE_SHARE_MAX_BYTES;
}

/* Under the account's lock. */
static void node_line_return(struct node_account *account, struct node_act *acts)
{
    struct node_act *last = acts;

    account->waiting += last->count;
    account->waiting_bytes += last->bytes;
    while (last->next != NULL) {
        last = last->next;
        account->waiting += last->count;
        account->waiting_bytes += last->bytes;
    }
    last->next = account->first;
    if (account->first == NULL)
        account->last = &last->next;
    account->first = acts;
}

/* --- building ------------------------------------------------------------------------------------------ */

/* What goes into one transaction besides its operations. */
struct node_draft {
    struct node_account *account;
    struct ledger_signing signing;
    struct trust_session session;
    bool by_root;
    uint64_t now_ms;
    Hypermesh__Operation **ops;
    size_t count;
    uint8_t digest[CRYPTO_HASH_BYTES];
};

/* Operations whose work is known only when they run (keys that a range deletes, what a transaction of the
 * store reads) are paid as they go: the limit must leave room for it. What is not used is not paid. */
static bool node_op_finds_work(const Hypermesh__Operation *op)
{
    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_KV_DELETE:
        return op->kv_delete->range_end.len > 0;
    case HYPERMESH__OPERATION__OP_KV_PUT:
        return op->kv_put->ignore_value || op->kv_put->ignore_lease || op->kv_put->lease != 0;
    case HYPERMESH__OPERATION__OP_KV_TXN:
    case HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE:
        return true;
    default:
        return false;
    }
}

static int node_draft_body(const struct node_draft *draft, struct hm_buf *out,
                           struct hm_error *error)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    const struct ledger_info *info = &draft->signing.info;
    uint64_t weight;

    body.chain_id = (char *)(uintptr_t)info->chain_id;
    body.account = wire_bytes(draft->account->id, WIRE_ID_BYTES);
    if (!draft->by_root)
        body.session_key = wire_bytes(draft->session.public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    body.presence = wire_bytes(draft->account->presence, CRYPTO_HASH_BYTES);
    body.anchor_height = info->height;
    body.anchor_hash = wire_bytes(info->block_hash, CRYPTO_HASH_BYTES);
    body.timestamp_ms = draft->now_ms;
    body.n_ops = draft->count;
    body.ops = draft->ops;
    body.fee_limit = UINT64_MAX; /* as long as it can be, for the weight of the bytes */
    weight = ledger_tx_weight(&body, protobuf_c_message_get_packed_size(&body.base) +
                                         sizeof(struct crypto_root_signature) +
                                         sizeof(struct crypto_root_public));
    for (size_t i = 0; i < draft->count; i++)
        if (node_op_finds_work(draft->ops[i]))
            weight += NODE_WORK_HEADROOM;
    if (!hm_mul_u64(weight, info->base_fee, &body.fee_limit) ||
        !hm_mul_u64(body.fee_limit, NODE_FEE_HEADROOM, &body.fee_limit))
        return hm_fail(error, HM_ERANGE, "the fee of this transaction is more than money can be");
    if (wire_pack(&body.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

static int node_draft_sign_root(const struct node_draft *draft, struct hm_arena *arena,
                                Hypermesh__RootAuth *root, struct hm_error *error)
{
    pthread_mutex_lock(&draft->account->keys);
    int rc = trust_identity_sign_root(draft->account->identity, draft->digest, arena, root, error);
    pthread_mutex_unlock(&draft->account->keys);
    return rc;
}

/* Packs the whole transaction and gives its digest. */
static int node_draft_sign(struct node_draft *draft, struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__RootAuth root = HYPERMESH__ROOT_AUTH__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    uint8_t body_digest[CRYPTO_HASH_BYTES];
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    hm_arena_init(&arena, 0);
    struct trace_span span;
    int rc = node_draft_body(draft, &body, error);
    if (rc != 0)
        return rc;
    proof_body_digest(hm_buf_slice(&body), body_digest);
    trace_begin(&span, "work");
    rc = proof_work_solve(body_digest, draft->signing.work_bits, &tx.work_nonce, draft->digest,
                          error);
    trace_end(&span);
    trace_begin(&span, "sign");
    if (rc == 0 && draft->by_root) {
        rc = node_draft_sign_root(draft, &arena, &root, error);
        tx.root = &root;
    } else if (rc == 0) {
        rc = node_session_sign(draft->account, &draft->session, draft->digest, signature, error);
        tx.signature = wire_bytes(signature, sizeof(signature));
    }
    trace_end(&span);
    if (rc != 0)
        return rc;
    tx.body = wire_bytes(body.data, body.len);
    if (wire_pack(&tx.base, out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    return 0;
}

/* Owners may demand more Work of the transaction that leases than the chain does. The anchor is the newest block,
 * as fresh as can be. */
static int node_draft_demands(struct node_draft *draft, struct ledger_view *view,
                              struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    int rc = 0;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; rc == 0 && i < draft->count; i++) {
        const Hypermesh__Operation *op = draft->ops[i];
        size_t items = op->op_case == HYPERMESH__OPERATION__OP_ALLOCATE ? op->allocate->n_items : 0;

        for (size_t k = 0; rc == 0 && k < items; k++) {
            const ProtobufCBinaryData id = op->allocate->items[k]->asset;
            Hypermesh__Asset *asset = NULL;

            if (id.len != WIRE_ID_BYTES)
                continue; /* the ledger will say so */
            rc = ledger_view_asset(view, id.data, &arena, &asset, error);
            if (rc == HM_ENOTFOUND)
                rc = 0; /* likewise */
            else if (rc == 0 && asset->privacy != NULL && asset->privacy->demand != NULL &&
                     asset->privacy->demand->min_work_bits > draft->signing.work_bits)
                draft->signing.work_bits = asset->privacy->demand->min_work_bits;
        }
    }
    return rc;
}

/* The facts to build on: of the ledger, or, where others are on their way, what they will leave. */
static int node_draft_begin(struct node *node, struct node_draft *draft, bool fresh,
                            struct hm_error *error)
{
    struct node_account *account = draft->account;
    struct ledger_view *view;

    draft->now_ms = node_now_ms(node);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_signing(view, account->id, draft->now_ms, &draft->signing, error);
    if (rc == 0)
        rc = node_draft_demands(draft, view, error);
    ledger_view_close(view);
    if (rc == 0 && !draft->by_root)
        rc = node_session_now(account, draft->now_ms, &draft->session, error);
    if (rc == 0 && fresh)
        memcpy(account->presence, draft->signing.presence, sizeof(account->presence));
    return rc;
}

/* The acts' operations in one list, in the arena. */
static int node_draft_ops(struct node_draft *draft, const struct node_act *acts,
                          struct hm_arena *arena, struct hm_error *error)
{
    draft->by_root = acts->by_root;
    for (const struct node_act *act = acts; act != NULL; act = act->next)
        draft->count += act->count;
    draft->ops = hm_arena_alloc(arena, (draft->count + 1) * sizeof(*draft->ops));
    if (draft->ops == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    size_t at = 0;
    for (const struct node_act *act = acts; act != NULL; act = act->next)
        for (size_t i = 0; i < act->count; i++)
            draft->ops[at++] = act->ops[i];
    return 0;
}

static void node_flight_done(void *ctx, const Hypermesh__TxResult *result,
                             const struct engine_block *block);

/* Builds one transaction of the acts and orders it. When 0, they are the engine's: they may have ended already. */
static int node_acts_send(struct node *node, struct node_account *account, struct node_act *acts,
                          bool fresh, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0};
    struct node_draft draft = {.account = account};

    hm_arena_init(&arena, 0);
    int rc = node_draft_ops(&draft, acts, &arena, error);
    if (rc == 0)
        rc = node_draft_begin(node, &draft, fresh, error);
    if (rc == 0)
        rc = node_draft_sign(&draft, &tx, error);
    if (rc == HM_ECONFLICT) { /* a new session took over in between */
        rc = node_draft_begin(node, &draft, fresh, error);
        if (rc == 0)
            rc = node_draft_sign(&draft, &tx, error);
    }
    struct node_flight *flight = rc == 0 ? hm_malloc(sizeof(*flight)) : NULL;
    if (rc == 0 && flight == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a transaction");
    if (rc != 0)
        return rc;
    *flight = (struct node_flight){node, account, acts};
    ledger_note_tx(node->ledger, hm_buf_slice(&tx));
    rc = engine_submit(node->engine, hm_buf_slice(&tx), node_flight_done, flight, error);
    if (rc != 0) {
        hm_free(flight);
        return rc;
    }
    proof_presence_next(account->presence, draft.digest, account->presence);
    return 0;
}

/* --- ending ------------------------------------------------------------------------------------------------- */

/* Another of the account's was refused before this one, or more of them than were known made its Work dearer: it
 * cost nothing and can be built anew on what is. */
static bool node_is_stale(int code)
{
    return code == HM_EPROOF_TIME || code == HM_EPROOF_WORK;
}

/* Nobody is to be tried again: the engine has ended, or may not say whether the block is there. */
static bool node_is_final(int code)
{
    return code == HM_EUNAVAILABLE || code == HM_EBUSY || hm_error_is_fatal(code);
}

/* After a refusal: may the act go again? */
static bool node_act_again(struct node_act *act, bool shared, int code)
{
    if (node_is_final(code))
        return false;
    if (node_is_stale(code))
        return ++act->tries < NODE_SUBMIT_TRIES;
    if (!shared)
        return false;
    act->shares = false; /* it may have been another's fault: alone next time */
    return true;
}

/* Splits the acts of a refused transaction into those that go again and those that have ended. */
static void node_acts_refused(struct node_act *acts, int code, const char *text,
                              struct node_act **again, struct node_act **ended)
{
    bool shared = acts->next != NULL;
    struct node_act *next;

    for (struct node_act *act = acts; act != NULL; act = next) {
        bool goes = node_act_again(act, shared, code);

        next = act->next;
        if (!goes)
            act->rc = hm_fail(&act->error, code, "%s", text);
        act->next = NULL;
        *(goes ? again : ended) = act;
        if (goes)
            again = &act->next;
        else
            ended = &act->next;
    }
}

static void node_acts_good(struct node_act *acts, const Hypermesh__TxResult *result,
                           const struct engine_block *block)
{
    uint32_t from = 0;

    for (struct node_act *act = acts; act != NULL; act = act->next) {
        engine_receipt_fill_part(&act->receipt, result, block, from, (uint32_t)act->count);
        act->rc = 0;
        from += (uint32_t)act->count;
    }
}

/* Of those with a thread it wakes the first, which wakes those behind it: the engine's thread has blocks to make. */
static void node_acts_wake(struct node_act *acts)
{
    struct node_act *first = NULL, **last = &first, *next;

    for (struct node_act *act = acts; act != NULL; act = next) {
        next = act->next;
        if (act->ended != NULL) {
            act->ended(act); /* it may be gone from here on */
        } else {
            *last = act;
            last = &act->next;
        }
    }
    *last = NULL;
    if (first == NULL)
        return;
    first->behind = first->next;
    node_word_set(&first->state, ACT_ENDED);
}

static void node_act_lead(struct node_act *act)
{
    if (act == NULL)
        return;
    if (act->leads != NULL)
        act->leads(act);
    else
        node_word_set(&act->state, ACT_LEADS);
}

/* Who is to build, when something waits and nobody does: it is then the builder. Under the account's lock. */
static struct node_act *node_line_leader(struct node *node, struct node_account *account)
{
    if (account->building || node_line_rests(node, account, node_share_ops(node)))
        return NULL;
    account->building = true;
    return account->first;
}

static void node_flight_done(void *ctx, const Hypermesh__TxResult *result,
                             const struct engine_block *block)
{
    struct node_flight *flight = ctx;
    struct node_account *account = flight->account;
    struct node_act *again = NULL, *ended = NULL;

    if (result->code == 0 && block != NULL) {
        node_acts_good(flight->acts, result, block);
        ended = flight->acts;
    } else {
        node_acts_refused(flight->acts, result->code, result->text, &again, &ended);
    }
    pthread_mutex_lock(&account->lock);
    /* Refused before it was applied: presence stands where it was. */
    if (block == NULL || !ledger_result_charged(result))
        account->broken = true;
    account->in_flight--;
    if (again != NULL)
        node_line_return(account, again);
    struct node_act *leader = node_line_leader(flight->node, account);
    pthread_mutex_unlock(&account->lock);
    hm_free(flight);
    node_act_lead(leader);
    node_acts_wake(ended);
}

/* --- the line ------------------------------------------------------------------------------------------------- */

/* What could not be ordered goes again, or has ended. The caller builds. */
static void node_acts_unsent(struct node_account *account, struct node_act *acts,
                             const struct hm_error *error)
{
    struct node_act *again = NULL, *ended = NULL;

    node_acts_refused(acts, error->code, error->text, &again, &ended);
    pthread_mutex_lock(&account->lock);
    account->in_flight--;
    if (again != NULL)
        node_line_return(account, again);
    pthread_mutex_unlock(&account->lock);
    node_acts_wake(ended);
}

/* Builds until the line is empty, or until its own act has ended: then the next in line goes on. Without an own act
 * (NULL) the thread has more to do, and builds a few times. */
static void node_account_build(struct node *node, struct node_account *account,
                               const struct node_act *own)
{
    for (unsigned built = 0;; built++) {
        struct hm_error error = {0};

        pthread_mutex_lock(&account->lock);
        bool over = own != NULL
                        ? atomic_load_explicit(&own->state, memory_order_acquire) == ACT_ENDED
                        : built == NODE_LEAD_MAX;
        if (over || node_line_rests(node, account, node_share_ops(node))) {
            account->building = false;
            struct node_act *leader = node_line_leader(node, account);
            pthread_mutex_unlock(&account->lock);
            node_act_lead(leader);
            return;
        }
        struct node_act *acts = node_line_take(account, node_share_ops(node));
        bool fresh = account->in_flight++ == 0;
        if (fresh)
            account->broken = false;
        pthread_mutex_unlock(&account->lock);
        if (node_acts_send(node, account, acts, fresh, &error) != 0)
            node_acts_unsent(account, acts, &error);
    }
}

void node_account_lead(struct node *node, struct node_account *account)
{
    node_account_build(node, account, NULL);
}

/* Builds when it is told to, and returns when the act has ended. */
static void node_act_wait(struct node *node, struct node_account *account, struct node_act *act)
{
    uint32_t state;

    while ((state = atomic_load_explicit(&act->state, memory_order_acquire)) != ACT_ENDED) {
        if (state == ACT_LEADS) {
            atomic_store_explicit(&act->state, ACT_WAITS, memory_order_relaxed);
            node_account_build(node, account, act);
        } else {
            node_word_wait(&act->state, ACT_WAITS);
        }
    }
    struct node_act *next;
    for (struct node_act *behind = act->behind; behind != NULL; behind = next) {
        next = behind->next;
        node_word_set(&behind->state, ACT_ENDED); /* its frame may be gone from here on */
    }
}

/* Puts the act into the line; who is to build now, or NULL. */
static struct node_act *node_act_line_up(struct node *node, struct node_account *account,
                                         struct node_act *act)
{
    pthread_mutex_lock(&account->lock);
    *account->last = act;
    account->last = &act->next;
    account->waiting += act->count;
    account->waiting_bytes += act->bytes;
    struct node_act *leader = node_line_leader(node, account);
    pthread_mutex_unlock(&account->lock);
    return leader;
}

void node_act_begin(struct node *node, struct node_account *account, struct node_act *act)
{
    node_act_lead(node_act_line_up(node, account, act));
}

int node_account_submit(struct node *node, struct node_account *account, bool by_root,
                        Hypermesh__Operation *const *ops, size_t count,
                        struct engine_receipt *receipt, struct hm_error *error)
{
    struct node_act act;

    node_act_init(&act, by_root, ops, count);
    struct node_act *leader = node_act_line_up(node, account, &act);
    if (leader == &act)
        node_account_build(node, account, &act);
    else
        node_act_lead(leader);
    node_act_wait(node, account, &act);
    if (act.rc != 0)
        return hm_fail(error, act.rc, "%s", act.error.text);
    if (receipt != NULL)
        *receipt = act.receipt;
    else
        engine_receipt_release(&act.receipt);
    return 0;
}
