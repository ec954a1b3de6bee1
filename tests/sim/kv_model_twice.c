/* Does a transaction of the store put a key twice, or put and delete it? */
#include <stdlib.h>

#include "kv_model.h"

/* Keys put and ranges deleted by a list of operations, or by either branch of a transaction in it. */
struct met {
    struct hm_slice puts[2 * LEDGER_KV_TXN_OPS_MAX];
    size_t put_count;
    struct hm_slice dels[2 * LEDGER_KV_TXN_OPS_MAX][2];
    size_t del_count;
};

static bool met_put(const struct met *met, size_t count, struct hm_slice key)
{
    for (size_t i = 0; i < count; i++) {
        if (hm_slice_equal(met->puts[i], key))
            return true;
    }
    return false;
}

static bool met_del(const struct met *met, struct hm_slice key)
{
    for (size_t i = 0; i < met->del_count; i++) {
        if (kv_model_in_range(key, met->dels[i][0], met->dels[i][1]))
            return true;
    }
    return false;
}

static bool list_meets(Hypermesh__KvTxnOp *const *ops, size_t count, struct met *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->op_case != HYPERMESH__KV_TXN_OP__OP_DELETE)
            continue;
        out->dels[out->del_count][0] = wire_slice(ops[i]->delete_->key);
        out->dels[out->del_count++][1] = wire_slice(ops[i]->delete_->range_end);
    }
    for (size_t i = 0; i < count; i++) {
        const Hypermesh__KvTxn *txn = ops[i]->txn;
        size_t before = out->put_count;
        struct met *inner;
        bool bad = false;

        if (ops[i]->op_case != HYPERMESH__KV_TXN_OP__OP_TXN)
            continue;
        inner = calloc(2, sizeof *inner);
        if (!inner)
            abort();
        bad = list_meets(txn->success, txn->n_success, &inner[0]) ||
              list_meets(txn->failure, txn->n_failure, &inner[1]);
        for (unsigned b = 0; b < 2 && !bad; b++) {
            for (size_t j = 0; j < inner[b].put_count && !bad; j++) {
                bad = met_put(out, before, inner[b].puts[j]) || met_del(out, inner[b].puts[j]);
                out->puts[out->put_count++] = inner[b].puts[j];
            }
        }
        for (unsigned b = 0; b < 2; b++) {
            memcpy(out->dels[out->del_count], inner[b].dels[0],
                   inner[b].del_count * sizeof inner[b].dels[0]);
            out->del_count += inner[b].del_count;
        }
        free(inner);
        if (bad)
            return true;
    }
    for (size_t i = 0; i < count; i++) {
        struct hm_slice key;

        if (ops[i]->op_case != HYPERMESH__KV_TXN_OP__OP_PUT)
            continue;
        key = wire_slice(ops[i]->put->key);
        if (met_put(out, out->put_count, key) || met_del(out, key))
            return true;
        out->puts[out->put_count++] = key;
    }
    return false;
}

bool kv_model_twice(const Hypermesh__KvTxn *txn)
{
    struct met *met = malloc(sizeof *met);
    bool twice;

    if (!met)
        abort();
    twice = list_meets(txn->success, txn->n_success, met) ||
            list_meets(txn->failure, txn->n_failure, met);
    free(met);
    return twice;
}
