/* kv_txn: compares, then one branch or the other, as one revision.
 *
 * As in etcd: every compare, also those of nested transactions, is decided by the state before the first
 * operation; form and permissions of both branches are checked whichever is taken. */
#include "ledger_kv_do.h"

/* --- form and permissions --- */

/* What a level puts and deletes, to find what meets. */
struct touched {
    struct hm_slice *puts;
    size_t put_count;
    struct ledger_kv_span *spans;
    size_t span_count;
};

struct checker {
    struct ledger_act *act;
    size_t compares;
    size_t ops;
};

static int txn_check(struct checker *checker, const Hypermesh__KvTxn *txn, unsigned depth,
                     struct hm_error *error);

static int form(struct hm_error *error, const char *what)
{
    return ledger_refuse(error, LEDGER_RULE_KV_TXN_FORM, "%s", what);
}

static int span_check(struct checker *checker, ProtobufCBinaryData key,
                      ProtobufCBinaryData range_end, bool write, struct hm_error *error)
{
    struct ledger_kv_span span;
    int rc = ledger_kv_span_of(wire_slice(key), wire_slice(range_end), &span, error);

    return rc ? rc : ledger_kv_may(checker->act, &span, write, error);
}

static int compare_check(struct checker *checker, const Hypermesh__KvCompare *compare,
                         struct hm_error *error)
{
    if (++checker->compares > LEDGER_KV_TXN_OPS_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_TXN, "more than %d compares",
                             LEDGER_KV_TXN_OPS_MAX);
    if ((int)compare->result < 0 || compare->result > HYPERMESH__KV_COMPARE_RESULT__KV_NOT_EQUAL ||
        (int)compare->target < 0 || compare->target > HYPERMESH__KV_COMPARE_TARGET__KV_LEASE)
        return form(error, "a compare has a result and a target that there are");
    if (compare->value.len > LEDGER_KV_VALUE_MAX_BYTES)
        return form(error, "a compare's value is longer than a value can be");
    return span_check(checker, compare->key, compare->range_end, false, error);
}

static int op_check(struct checker *checker, const Hypermesh__KvTxnOp *op, unsigned depth,
                    struct hm_error *error)
{
    if (++checker->ops > LEDGER_KV_TXN_OPS_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_TXN, "more than %d operations",
                             LEDGER_KV_TXN_OPS_MAX);
    switch (op->op_case) {
    case HYPERMESH__KV_TXN_OP__OP_PUT:
        return ledger_kv_put_check(checker->act, op->put, error);
    case HYPERMESH__KV_TXN_OP__OP_DELETE:
        return span_check(checker, op->delete_->key, op->delete_->range_end, true, error);
    case HYPERMESH__KV_TXN_OP__OP_RANGE:
        return span_check(checker, op->range->key, op->range->range_end, false, error);
    case HYPERMESH__KV_TXN_OP__OP_TXN:
        return txn_check(checker, op->txn, depth + 1, error);
    default:
        return form(error, "an operation of the transaction is empty or unknown");
    }
}

static int txn_check(struct checker *checker, const Hypermesh__KvTxn *txn, unsigned depth,
                     struct hm_error *error)
{
    int rc = 0;

    if (depth > LEDGER_KV_TXN_DEPTH_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_TXN, "transactions nest deeper than %d",
                             LEDGER_KV_TXN_DEPTH_MAX);
    for (size_t i = 0; rc == 0 && i < txn->n_compare; i++)
        rc = compare_check(checker, txn->compare[i], error);
    for (size_t i = 0; rc == 0 && i < txn->n_success; i++)
        rc = op_check(checker, txn->success[i], depth, error);
    for (size_t i = 0; rc == 0 && i < txn->n_failure; i++)
        rc = op_check(checker, txn->failure[i], depth, error);
    return rc;
}

/* --- no key twice --- */

static int touched_room(struct ledger_scope *scope, struct touched *out, struct hm_error *error)
{
    void *puts;
    void *spans;
    int rc = ledger_scope_alloc(scope, LEDGER_KV_TXN_OPS_MAX * sizeof *out->puts, &puts, error);

    if (rc == 0)
        rc = ledger_scope_alloc(scope, LEDGER_KV_TXN_OPS_MAX * sizeof *out->spans, &spans, error);
    if (rc == 0)
        *out = (struct touched){.puts = puts, .spans = spans};
    return rc;
}

static bool puts_have(const struct touched *touched, size_t count, struct hm_slice key)
{
    for (size_t i = 0; i < count; i++) {
        if (hm_slice_equal(touched->puts[i], key))
            return true;
    }
    return false;
}

static bool spans_have(const struct touched *touched, struct hm_slice key)
{
    for (size_t i = 0; i < touched->span_count; i++) {
        if (ledger_kv_span_has(&touched->spans[i], key))
            return true;
    }
    return false;
}

static int twice(struct hm_slice key, struct hm_error *error)
{
    char text[LEDGER_KV_TEXT_BYTES];

    return ledger_refuse(error, LEDGER_RULE_KV_TXN_TWICE,
                         "the key \"%s\" is put twice, or put and deleted",
                         ledger_kv_text(key, text));
}

/* A put joins the level, unless something of it meets that: before: only the first of its puts count. */
static int put_join(struct touched *level, size_t before, struct hm_slice key,
                    struct hm_error *error)
{
    if (puts_have(level, before, key) || spans_have(level, key))
        return twice(key, error);
    if (!puts_have(level, level->put_count, key))
        level->puts[level->put_count++] = key;
    return 0;
}

static int branch_touched(struct ledger_scope *scope, Hypermesh__KvTxnOp *const *ops, size_t count,
                          struct touched *out, struct hm_error *error);

/* What a nested transaction may do joins the level. Its branches exclude each other, so they may put the same
 * key. */
static int nested_join(struct ledger_scope *scope, const Hypermesh__KvTxn *txn,
                       struct touched *level, struct hm_error *error)
{
    size_t before = level->put_count;
    struct touched branch[2];
    int rc = branch_touched(scope, txn->success, txn->n_success, &branch[0], error);

    if (rc == 0)
        rc = branch_touched(scope, txn->failure, txn->n_failure, &branch[1], error);
    for (unsigned b = 0; rc == 0 && b < 2; b++) {
        for (size_t i = 0; rc == 0 && i < branch[b].put_count; i++)
            rc = put_join(level, before, branch[b].puts[i], error);
    }
    for (unsigned b = 0; rc == 0 && b < 2; b++) {
        for (size_t i = 0; i < branch[b].span_count; i++)
            level->spans[level->span_count++] = branch[b].spans[i];
    }
    return rc;
}

/* In etcd's order: deletes of the level, nested transactions one after the other, puts of the level. */
static int branch_touched(struct ledger_scope *scope, Hypermesh__KvTxnOp *const *ops, size_t count,
                          struct touched *out, struct hm_error *error)
{
    int rc = touched_room(scope, out, error);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_DELETE)
            rc = ledger_kv_span_of(wire_slice(ops[i]->delete_->key),
                                   wire_slice(ops[i]->delete_->range_end),
                                   &out->spans[out->span_count++], error);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            rc = nested_join(scope, ops[i]->txn, out, error);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            rc = put_join(out, out->put_count, wire_slice(ops[i]->put->key), error);
    }
    return rc;
}

/* --- compares --- */

struct comparing {
    struct ledger_scope *scope;
    const Hypermesh__KvCompare *compare;
    size_t seen;
    bool holds;
};

static int order_of(uint64_t a, int64_t b)
{
    if (a > INT64_MAX)
        return 1;
    return ((int64_t)a > b) - ((int64_t)a < b);
}

static bool entry_compares(const Hypermesh__KvCompare *compare, const struct ledger_kv_entry *entry)
{
    int order = 0;

    switch (compare->target) {
    case HYPERMESH__KV_COMPARE_TARGET__KV_VERSION:
        order = order_of(entry->version, compare->number);
        break;
    case HYPERMESH__KV_COMPARE_TARGET__KV_CREATE:
        order = order_of(entry->create_revision, compare->number);
        break;
    case HYPERMESH__KV_COMPARE_TARGET__KV_MOD:
        order = order_of(entry->mod_revision, compare->number);
        break;
    case HYPERMESH__KV_COMPARE_TARGET__KV_LEASE:
        order = order_of(entry->lease, compare->number);
        break;
    default:
        order = hm_slice_compare(entry->value, wire_slice(compare->value));
        break;
    }
    switch (compare->result) {
    case HYPERMESH__KV_COMPARE_RESULT__KV_GREATER:
        return order > 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_LESS:
        return order < 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_NOT_EQUAL:
        return order != 0;
    default:
        return order == 0;
    }
}

static int compare_visit(void *ctx, struct hm_slice key, const struct ledger_kv_entry *entry,
                         struct hm_error *error)
{
    struct comparing *comparing = ctx;
    int rc = ledger_scope_work(comparing->scope, LEDGER_KV_WORK_READ, error);

    (void)key;
    if (rc)
        return rc;
    comparing->seen++;
    comparing->holds = entry_compares(comparing->compare, entry);
    return comparing->holds ? 0 : HM_ECANCELLED;
}

/* A key that is not there compares as one of version, revisions and lease 0; it has no value, so that no
 * compare of that holds. */
static int compare_decide(struct ledger_scope *scope, const Hypermesh__KvCompare *compare,
                          bool *holds, struct hm_error *error)
{
    const struct ledger_kv_entry absent = {0};
    struct comparing comparing = {.scope = scope, .compare = compare};
    struct ledger_kv_span span;
    int rc = ledger_kv_span_of(wire_slice(compare->key), wire_slice(compare->range_end), &span,
                               error);

    if (rc == 0)
        rc = ledger_kv_walk(scope, &span, compare_visit, &comparing, error);
    if (rc)
        return rc;
    if (comparing.seen == 0)
        comparing.holds = compare->target != HYPERMESH__KV_COMPARE_TARGET__KV_VALUE &&
                          entry_compares(compare, &absent);
    *holds = comparing.holds;
    return 0;
}

/* The branches that are taken, in the order in which transactions are met; and can what they put be put? */
struct path {
    bool taken[LEDGER_KV_TXN_OPS_MAX + 1];
    size_t count;
    size_t at;
};

static int path_find(struct ledger_act *act, const Hypermesh__KvTxn *txn, struct path *path,
                     struct hm_error *error)
{
    Hypermesh__KvTxnOp **ops;
    bool holds = true;
    size_t count;
    int rc = 0;

    for (size_t i = 0; rc == 0 && holds && i < txn->n_compare; i++)
        rc = compare_decide(act->scope, txn->compare[i], &holds, error);
    if (rc)
        return rc;
    path->taken[path->count++] = holds;
    ops = holds ? txn->success : txn->failure;
    count = holds ? txn->n_success : txn->n_failure;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            rc = path_find(act, ops[i]->txn, path, error);
        else if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            rc = ledger_kv_put_possible(act, ops[i]->put, error);
    }
    return rc;
}

/* --- ranges --- */

struct ranging {
    struct ledger_scope *scope;
    const Hypermesh__KvRange *range;
    uint64_t limit;
    Hypermesh__KvAnswer *answer;
    size_t cap;
};

static int pairs_room(struct ranging *ranging, struct hm_error *error)
{
    Hypermesh__KvAnswer *answer = ranging->answer;
    size_t cap = ranging->cap ? ranging->cap * 2 : 8;
    Hypermesh__KvPair **list;

    if (answer->n_pairs < ranging->cap)
        return 0;
    list = hm_arena_alloc(&ranging->scope->block->arena, cap * sizeof(Hypermesh__KvPair *));
    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    if (answer->n_pairs > 0)
        memcpy(list, answer->pairs, answer->n_pairs * sizeof(Hypermesh__KvPair *));
    answer->pairs = list;
    ranging->cap = cap;
    return 0;
}

/* Answers are paid for by the byte, and must fit the block's record. */
static int answer_weigh(struct ledger_scope *scope, size_t bytes, struct hm_error *error)
{
    struct ledger_kv *kv = &scope->block->kv;
    size_t in_tx = kv->answer_bytes - kv->kept.answer_bytes + bytes;

    if (in_tx > LEDGER_KV_ANSWER_MAX_BYTES)
        return ledger_refuse(error, LEDGER_RULE_KV_ANSWER,
                             "the ranges of the transaction answer more than %zu bytes; set limits",
                             LEDGER_KV_ANSWER_MAX_BYTES);
    if (kv->answer_bytes + bytes > LEDGER_KV_BLOCK_ANSWERS_MAX_BYTES)
        return ledger_refuse(error, LEDGER_RULE_KV_ANSWER,
                             "the answers of this block are full: send the transaction again");
    kv->answer_bytes += bytes;
    scope->block->overlay.held += bytes;
    return ledger_scope_work(scope, bytes, error);
}

static int range_visit(void *ctx, struct hm_slice key, const struct ledger_kv_entry *entry,
                       struct hm_error *error)
{
    struct ranging *ranging = ctx;
    struct hm_arena *arena = &ranging->scope->block->arena;
    Hypermesh__KvAnswer *answer = ranging->answer;
    bool keys_only = ranging->range->keys_only;
    Hypermesh__KvPair *pair;
    uint8_t *copy;
    int rc = ledger_scope_work(ranging->scope, LEDGER_KV_WORK_READ, error);

    if (rc)
        return rc;
    answer->count++;
    if (ranging->range->count_only)
        return 0;
    if (answer->n_pairs == ranging->limit) {
        answer->more = true;
        return 0;
    }
    rc = answer_weigh(ranging->scope,
                      LEDGER_ENTRY_BYTES / 4 + key.len + (keys_only ? 0 : entry->value.len), error);
    if (rc == 0)
        rc = pairs_room(ranging, error);
    if (rc)
        return rc;
    pair = hm_arena_alloc(arena, sizeof *pair);
    copy = hm_arena_dup(arena, key.data, key.len);
    if (!pair || !copy)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    *pair = (Hypermesh__KvPair)HYPERMESH__KV_PAIR__INIT;
    pair->key = wire_bytes(copy, key.len);
    pair->entry = ledger_kv_entry_message(entry, keys_only, arena);
    if (!pair->entry)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    answer->pairs[answer->n_pairs++] = pair;
    return 0;
}

static int range_do(struct ledger_act *act, const Hypermesh__KvRange *range,
                    Hypermesh__KvAnswer *answer, struct hm_error *error)
{
    struct ranging ranging = {.scope = act->scope, .range = range, .answer = answer};
    struct ledger_kv_span span;
    int rc = ledger_kv_span_of(wire_slice(range->key), wire_slice(range->range_end), &span, error);

    ranging.limit = range->limit && range->limit < LEDGER_KV_RANGE_MAX ? range->limit
                                                                       : LEDGER_KV_RANGE_MAX;
    return rc ? rc : ledger_kv_walk(act->scope, &span, range_visit, &ranging, error);
}

/* --- doing --- */

struct doing {
    struct ledger_act *act;
    struct path path;
    uint64_t deleted;
};

static int txn_do(struct doing *doing, const Hypermesh__KvTxn *txn, Hypermesh__KvAnswer *answer,
                  struct hm_error *error);

static int op_do(struct doing *doing, const Hypermesh__KvTxnOp *op, Hypermesh__KvAnswer *answer,
                 struct hm_error *error)
{
    struct ledger_kv_span span;
    int rc;

    switch (op->op_case) {
    case HYPERMESH__KV_TXN_OP__OP_PUT:
        return ledger_kv_put_do(doing->act, op->put, error);
    case HYPERMESH__KV_TXN_OP__OP_RANGE:
        return range_do(doing->act, op->range, answer, error);
    case HYPERMESH__KV_TXN_OP__OP_TXN:
        return txn_do(doing, op->txn, answer, error);
    default:
        break;
    }
    rc = ledger_kv_span_of(wire_slice(op->delete_->key), wire_slice(op->delete_->range_end), &span,
                           error);
    if (rc == 0)
        rc = ledger_kv_delete(doing->act->scope, &span, LEDGER_KV_DELETE_MAX - doing->deleted,
                              &answer->deleted, error);
    doing->deleted += rc ? 0 : answer->deleted;
    return rc;
}

static int txn_do(struct doing *doing, const Hypermesh__KvTxn *txn, Hypermesh__KvAnswer *answer,
                  struct hm_error *error)
{
    struct ledger_block *block = doing->act->scope->block;
    bool holds = doing->path.taken[doing->path.at++];
    Hypermesh__KvTxnOp *const *ops = holds ? txn->success : txn->failure;
    size_t count = holds ? txn->n_success : txn->n_failure;

    answer->succeeded = holds;
    answer->answers = hm_arena_alloc(&block->arena, count * sizeof(Hypermesh__KvAnswer *));
    if (!answer->answers)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    for (size_t i = 0; i < count; i++) {
        Hypermesh__KvAnswer *inner = ledger_kv_answer(block);
        int rc = inner ? op_do(doing, ops[i], inner, error)
                       : hm_fail(error, HM_ENOMEM, "no memory for an answer");

        if (rc)
            return rc;
        /* As etcd has it: what the operation sees, its own change included. */
        inner->revision = block->kv.now.revision + (block->kv.sub > 0);
        answer->answers[answer->n_answers++] = inner;
    }
    return 0;
}

int ledger_op_kv_txn(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    const Hypermesh__KvTxn *txn = op->kv_txn;
    Hypermesh__KvAnswer *answer = ledger_kv_answer(act->scope->block);
    struct checker checker = {.act = act};
    struct doing doing = {.act = act};
    struct touched touched;
    int rc = answer ? txn_check(&checker, txn, 1, error)
                    : hm_fail(error, HM_ENOMEM, "no memory for an answer");

    if (rc == 0)
        rc = branch_touched(act->scope, txn->success, txn->n_success, &touched, error);
    if (rc == 0)
        rc = branch_touched(act->scope, txn->failure, txn->n_failure, &touched, error);
    if (rc == 0)
        rc = path_find(act, txn, &doing.path, error);
    if (rc == 0)
        rc = txn_do(&doing, txn, answer, error);
    return rc ? rc : ledger_kv_answer_give(act, answer, error);
}
