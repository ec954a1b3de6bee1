/* Transactions of the key-value store as JSON; the first byte says whether bytes are base64. What
 * is taken can be packed, and its parts are within the limits. */
#include <stdlib.h>

#include "api_kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t check(const Hypermesh__KvTxn *txn, unsigned depth)
{
    size_t ops = txn->n_compare + txn->n_success + txn->n_failure;

    if (depth > API_KV_DEPTH_MAX)
        abort();
    for (size_t i = 0; i < txn->n_success; i++) {
        if (txn->success[i]->op_case == HYPERMESH__KV_TXN_OP__OP__NOT_SET)
            abort();
        if (txn->success[i]->op_case == HYPERMESH__KV_TXN_OP__OP_TXN)
            ops += check(txn->success[i]->txn, depth + 1);
    }
    return ops;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_kv_txn_reader reader = {.arena = &arena};
    Hypermesh__KvTxn *txn = NULL;
    struct hm_error error = {0};

    hm_arena_init(&arena, API_ARENA_MAX_BYTES);
    if (size == 0 ||
        json_read(hm_slice_of(data + 1, size - 1), API_KV_JSON_DEPTH_MAX, "it", &body, &error))
        return 0;
    reader.base64 = (data[0] & 1) != 0;
    if (api_kv_txn_read(&reader, body, 0, &txn, &error)) {
        if (error.text[0] == '\0')
            abort();
        return 0;
    }
    if (check(txn, 0) > API_KV_OPS_MAX || wire_pack(&txn->base, &packed))
        abort();
    return 0;
}
