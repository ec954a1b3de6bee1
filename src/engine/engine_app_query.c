/* Query: what the engine's RPC (/abci_query) may be asked of the ledger, on a snapshot of the last block, while others apply. */
#include "engine_app.h"

#include <inttypes.h>

#define QUERY_STATE    "/state"
#define QUERY_INFO     "/info"
#define QUERY_PROOF_OP "hm:smt" /* data: a store_tree_proof, encoded */

/* The key's value, absent ones too, and what leads from them to the root that the next block's header has as app_hash. */
static int query_state(struct ledger_view *view, const Hypermesh__Abci__RequestQuery *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseQuery *answer,
                       struct hm_error *error)
{
    HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    Hypermesh__Abci__ProofOps *ops = hm_arena_alloc(arena, sizeof(*ops));
    Hypermesh__Abci__ProofOp **list = hm_arena_alloc(arena, sizeof(*list));
    Hypermesh__Abci__ProofOp *op = hm_arena_alloc(arena, sizeof(*op));
    uint8_t root[CRYPTO_HASH_BYTES];
    struct hm_slice key = wire_slice(request->data), value;

    if (key.len == 0 || key.len > STORE_KEY_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, QUERY_STATE " asks for a key of 1 to %d bytes, not %zu",
                       (int)STORE_KEY_MAX_BYTES, key.len);
    int rc = ledger_view_prove(view, key, &value, &proof, root, error);
    if (rc == 0)
        rc = store_tree_proof_encode(&proof, &packed);
    if (rc != 0)
        return rc;
    uint8_t *data = hm_arena_dup(arena, packed.data, packed.len);
    uint8_t *kept = value.data != NULL ? hm_arena_dup(arena, value.data, value.len) : NULL;
    if (ops == NULL || list == NULL || op == NULL || data == NULL ||
        (value.data != NULL && kept == NULL))
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    answer->key = request->data;
    answer->value = wire_bytes(kept, kept != NULL ? value.len : 0);
    hypermesh__abci__proof_op__init(op);
    op->type = (char *)(uintptr_t)QUERY_PROOF_OP;
    op->key = request->data;
    op->data = wire_bytes(data, packed.len);
    hypermesh__abci__proof_ops__init(ops);
    list[0] = op;
    ops->ops = list;
    ops->n_ops = 1;
    answer->proof_ops = ops;
    return 0;
}

/* One line of JSON: nothing in it needs escaping. */
static int query_info(const struct ledger_info *info, struct hm_arena *arena,
                      Hypermesh__Abci__ResponseQuery *answer, struct hm_error *error)
{
    char root[2 * CRYPTO_HASH_BYTES + 1], hash[2 * CRYPTO_HASH_BYTES + 1];

    hm_hex_encode(info->state_root, CRYPTO_HASH_BYTES, root);
    hm_hex_encode(info->block_hash, CRYPTO_HASH_BYTES, hash);
    char *text = hm_arena_printf(arena,
                                 "{\"chain_id\":\"%s\",\"height\":%" PRIu64 ",\"time_ms\":%" PRIu64
                                 ",\"block_hash\":\"%s\",\"state_root\":\"%s\"}",
                                 info->chain_id, info->height, info->time_ms, hash, root);
    if (text == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    answer->value = wire_bytes(text, strlen(text));
    return 0;
}

static int query_view(struct ledger_view *view, const Hypermesh__Abci__RequestQuery *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseQuery *answer,
                      struct hm_error *error)
{
    struct ledger_info info;
    int rc = ledger_view_info(view, &info, error);

    if (rc != 0)
        return rc;
    if (request->height != 0 && (uint64_t)request->height != info.height)
        return hm_fail(error, HM_ENOTFOUND,
                       "only the state of the last block is kept, which is block %" PRIu64
                       ", not block %" PRId64,
                       info.height, request->height);
    answer->height = (int64_t)info.height;
    if (strcmp(request->path, QUERY_STATE) == 0)
        return query_state(view, request, arena, answer, error);
    if (strcmp(request->path, QUERY_INFO) == 0)
        return query_info(&info, arena, answer, error);
    return hm_fail(error, HM_EUNSUPPORTED,
                   "the ledger is asked at " QUERY_STATE " (data: a key) or at " QUERY_INFO
                   ", not at '%.100s'",
                   request->path);
}

int engine_app_query(void *ctx, const Hypermesh__Abci__RequestQuery *request,
                     struct hm_arena *arena, Hypermesh__Abci__ResponseQuery *answer,
                     struct hm_error *error)
{
    struct engine_app *app = ctx;
    struct ledger_view *view;
    int rc = ledger_view_open(app->options.engine->ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = query_view(view, request, arena, answer, error);
    ledger_view_close(view);
    return rc;
}
