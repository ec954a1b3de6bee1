#include "abci_world.h"

const char *const world_names[WORLD_KINDS] = {
    [1] = "echo",
    [2] = "flush",
    [3] = "info",
    [5] = "init_chain",
    [6] = "query",
    [8] = "check_tx",
    [11] = "commit",
    [12] = "list_snapshots",
    [13] = "offer_snapshot",
    [14] = "load_snapshot_chunk",
    [15] = "apply_snapshot_chunk",
    [16] = "prepare_proposal",
    [17] = "process_proposal",
    [18] = "extend_vote",
    [19] = "verify_vote_extension",
    [20] = "finalize_block",
};
const char *const recorded_names[RECORDED_COUNT] = {"query", "mempool", "consensus", "snapshots",
                                                    "joining"};

void world_release(struct world *world)
{
    hm_buf_release(&world->calls);
}

const char *world_calls(struct world *world)
{
    return hm_buf_cstr(&world->calls);
}

static int act(struct world *world, unsigned number, const void *request, void *answer,
               struct hm_arena *arena, struct hm_error *error)
{
    assert_int_equal(hm_buf_printf(&world->calls, "%s ", world_names[number]), 0);
    if (world->look != NULL && request != NULL)
        world->look(world, number, request);
    if (world->edit != NULL)
        world->edit(world, number, answer, arena);
    if (world->fail[number] < 0 && !world->silent)
        return hm_fail(error, world->fail[number], "scripted failure of %s", world_names[number]);
    return world->fail[number];
}

#define ACT(name, Name, number)                                                            \
    static int act_##name(void *ctx, const Hypermesh__Abci__Request##Name *request,        \
                          struct hm_arena *arena, Hypermesh__Abci__Response##Name *answer, \
                          struct hm_error *error)                                          \
    {                                                                                      \
        return act(ctx, number, request, answer, arena, error);                            \
    }
#define ACT_BARE(name, Name, number)                                                       \
    static int act_##name(void *ctx, struct hm_arena *arena,                               \
                          Hypermesh__Abci__Response##Name *answer, struct hm_error *error) \
    {                                                                                      \
        return act(ctx, number, NULL, answer, arena, error);                               \
    }

ACT(info, Info, 3)
ACT(init_chain, InitChain, 5)
ACT(query, Query, 6)
ACT(check_tx, CheckTx, 8)
ACT_BARE(commit, Commit, 11)
ACT_BARE(list_snapshots, ListSnapshots, 12)
ACT(offer_snapshot, OfferSnapshot, 13)
ACT(load_snapshot_chunk, LoadSnapshotChunk, 14)
ACT(apply_snapshot_chunk, ApplySnapshotChunk, 15)
ACT(prepare_proposal, PrepareProposal, 16)
ACT(process_proposal, ProcessProposal, 17)
ACT(extend_vote, ExtendVote, 18)
ACT(verify_vote_extension, VerifyVoteExtension, 19)

/* A result for each transaction, and the height as app hash. */
static int act_finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                        struct hm_error *error)
{
    Hypermesh__Abci__ExecTxResult *results = hm_arena_alloc(arena,
                                                            request->n_txs * sizeof(*results));
    uint8_t *hash = hm_arena_alloc(arena, 32);

    answer->tx_results = hm_arena_alloc(arena, request->n_txs * sizeof(void *));
    if (results == NULL || hash == NULL || answer->tx_results == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    for (size_t i = 0; i < request->n_txs; i++) {
        hypermesh__abci__exec_tx_result__init(&results[i]);
        answer->tx_results[i] = &results[i];
    }
    answer->n_tx_results = request->n_txs;
    hm_put_be64(hash + 24, (uint64_t)request->height);
    answer->app_hash = wire_bytes(hash, 32);
    return act(ctx, 20, request, answer, arena, error);
}

static void act_gone(void *ctx)
{
    struct world *world = ctx;

    world->gone++;
    assert_int_equal(hm_buf_append_str(&world->calls, "gone "), 0);
}

static void act_failed(void *ctx, const struct hm_error *error)
{
    struct world *world = ctx;

    world->failed++;
    world->failure = *error;
}

static void act_log(void *ctx, const struct hm_error *error)
{
    struct world *world = ctx;

    world->logged++;
    world->log = *error;
}

struct abci_handlers world_handlers(struct world *world)
{
    return (struct abci_handlers){.info = act_info,
                                  .query = act_query,
                                  .check_tx = act_check_tx,
                                  .init_chain = act_init_chain,
                                  .prepare_proposal = act_prepare_proposal,
                                  .process_proposal = act_process_proposal,
                                  .extend_vote = act_extend_vote,
                                  .verify_vote_extension = act_verify_vote_extension,
                                  .finalize_block = act_finalize,
                                  .commit = act_commit,
                                  .list_snapshots = act_list_snapshots,
                                  .offer_snapshot = act_offer_snapshot,
                                  .load_snapshot_chunk = act_load_snapshot_chunk,
                                  .apply_snapshot_chunk = act_apply_snapshot_chunk,
                                  .gone = act_gone,
                                  .failed = act_failed,
                                  .ctx = world};
}

struct abci_handlers world_few_handlers(struct world *world)
{
    return (struct abci_handlers){
        .info = act_info, .finalize_block = act_finalize, .commit = act_commit, .ctx = world};
}

struct abci_core_hooks world_hooks(struct world *world)
{
    return (struct abci_core_hooks){.log = act_log, .ctx = world};
}

void wire_frame(const ProtobufCMessage *message, struct hm_buf *out)
{
    uint8_t header[ABCI_FRAME_HEADER_MAX_BYTES];
    size_t len = abci_frame_header(protobuf_c_message_get_packed_size(message), header);

    assert_int_equal(hm_buf_append(out, header, len), 0);
    assert_int_equal(wire_pack(message, out), 0);
}

void wire_empty_request(unsigned number, struct hm_buf *out)
{
    const uint8_t small[] = {2, (uint8_t)(number << 3 | 2), 0};
    const uint8_t large[] = {3, (uint8_t)((number << 3 & 0x7f) | 0x82), (uint8_t)(number >> 4), 0};

    if (number < 16)
        assert_int_equal(hm_buf_append(out, small, sizeof(small)), 0);
    else
        assert_int_equal(hm_buf_append(out, large, sizeof(large)), 0);
}

const Hypermesh__Abci__Response *wire_answer(struct hm_slice *bytes, struct hm_arena *arena)
{
    Hypermesh__Abci__Response *answer = NULL;
    struct hm_slice message = {0};
    int rc = abci_frame_parse(*bytes, &message, NULL);

    assert_true(rc >= 0);
    if (rc == 0)
        return NULL;
    assert_int_equal(WIRE_UNPACK(hypermesh__abci__response, message, ABCI_MESSAGE_MAX_BYTES, arena,
                                 &answer, NULL),
                     0);
    bytes->len -= (size_t)(message.data + message.len - bytes->data);
    bytes->data = message.data + message.len;
    return answer;
}

void recorded_read(const char *name, struct hm_buf *out)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "tests/unit/abci/recorded/%s.bin", name);
    assert_int_equal(hm_file_read(path, (size_t)1 << 20, out, NULL), 0);
    assert_true(out->len > 0);
}
