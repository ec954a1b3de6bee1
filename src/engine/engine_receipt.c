/* What a submitter keeps of its result. */
#include <stdio.h>

#include "engine.h"

/* The first answer of operation op or a later one; answers come in the order of operations. */
static size_t receipt_first(const Hypermesh__TxResult *result, uint32_t op)
{
    size_t low = 0, high = result->n_kv;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (result->kv[middle]->op < op)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Packs the answers of the operations from..end-1 as if they were a transaction of their own. */
static int receipt_pack(const Hypermesh__TxResult *result, uint32_t from, uint32_t end,
                        struct hm_buf *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__TxResult part = HYPERMESH__TX_RESULT__INIT;
    size_t first = receipt_first(result, from), last = receipt_first(result, end);

    hm_arena_init(&arena, 0);
    if (first == last)
        return 0;
    part.kv = hm_arena_alloc(&arena, (last - first) * sizeof(*part.kv));
    if (part.kv == NULL)
        return HM_ENOMEM;
    for (size_t i = first; i < last; i++) {
        const Hypermesh__KvAnswer *answer = result->kv[i];
        Hypermesh__KvAnswer *copy = hm_arena_dup(&arena, answer, sizeof(*answer));
        if (copy == NULL)
            return HM_ENOMEM;
        copy->op -= from;
        part.kv[part.n_kv++] = copy;
    }
    return wire_pack(&part.base, out);
}

void engine_receipt_fill_part(struct engine_receipt *receipt, const Hypermesh__TxResult *result,
                              const struct engine_block *block, uint32_t from, uint32_t count)
{
    memset(receipt, 0, offsetof(struct engine_receipt, created));
    receipt->kv = (struct hm_buf){0};
    receipt->kv_lost = false;
    receipt->block = (struct engine_block){0};
    if (result->digest.len == sizeof(receipt->digest))
        memcpy(receipt->digest, result->digest.data, sizeof(receipt->digest));
    receipt->code = result->code;
    if (result->text[0] != '\0')
        snprintf(receipt->text, sizeof(receipt->text), "%s", result->text);
    receipt->fee = result->fee;
    receipt->op = result->op;
    for (size_t i = 0; i < result->n_created && i < ENGINE_CREATED_MAX; i++)
        if (result->created[i].len == WIRE_ID_BYTES)
            memcpy(receipt->created[receipt->created_count++], result->created[i].data,
                   WIRE_ID_BYTES);
    if (result->n_kv > 0)
        receipt->kv_lost = receipt_pack(result, from, from + count, &receipt->kv) != 0;
    if (block != NULL)
        receipt->block = *block;
}

void engine_receipt_fill(struct engine_receipt *receipt, const Hypermesh__TxResult *result,
                         const struct engine_block *block)
{
    engine_receipt_fill_part(receipt, result, block, 0, UINT32_MAX);
}

int engine_receipt_answers(const struct engine_receipt *receipt, struct hm_arena *arena,
                           Hypermesh__KvAnswer ***out, size_t *count, struct hm_error *error)
{
    Hypermesh__TxResult *part;
    int rc = receipt->kv_lost
                 ? hm_fail(error, HM_ENOMEM, "no memory for the answer; the transaction is durable")
                 : 0;

    if (rc == 0 && receipt->kv.len > 0)
        rc = WIRE_UNPACK(hypermesh__tx_result, hm_buf_slice(&receipt->kv), receipt->kv.len, arena,
                         &part, error);
    if (rc != 0)
        return rc;
    *out = receipt->kv.len > 0 ? part->kv : NULL;
    *count = receipt->kv.len > 0 ? part->n_kv : 0;
    return 0;
}

void engine_receipt_release(struct engine_receipt *receipt)
{
    if (receipt != NULL)
        hm_buf_release(&receipt->kv);
}
