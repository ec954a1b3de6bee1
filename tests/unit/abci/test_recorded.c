/* What CometBFT v0.38.25 really sent, in a mesh of two validators and one that joined by state sync, through a connection: every
 * call it makes, in any pieces. */
#include "abci_world.h"

/* Feeds the two parts, and gives all that is answered. */
static void feed_parts(struct world *world, struct hm_slice bytes, size_t first, size_t step,
                       struct hm_buf *out)
{
    const struct abci_handlers handlers = world_handlers(world);
    struct abci_core *core = NULL;
    struct hm_slice answers;
    bool flush;

    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    for (size_t at = 0; at < bytes.len;) {
        size_t len = at == 0 ? first : step;

        len = len < bytes.len - at ? len : bytes.len - at;
        assert_int_equal(abci_core_feed(core, hm_slice_of(bytes.data + at, len), NULL), 0);
        at += len;
    }
    answers = abci_core_out(core, &flush);
    assert_true(flush); /* each of the recorded pieces ends with one */
    assert_int_equal(hm_buf_append(out, answers.data, answers.len), 0);
    abci_core_take(core, answers.len);
    assert_int_equal(abci_core_out(core, &flush).len, 0);
    assert_false(flush);
    abci_core_free(core);
}

static const char *const expected_calls[RECORDED_COUNT] = {
    "info query ",
    "check_tx check_tx check_tx ",
    "init_chain prepare_proposal process_proposal extend_vote verify_vote_extension finalize_block "
    "commit "
    "process_proposal extend_vote verify_vote_extension finalize_block commit "
    "prepare_proposal process_proposal extend_vote verify_vote_extension finalize_block commit "
    "gone ",
    "list_snapshots load_snapshot_chunk ",
    "offer_snapshot apply_snapshot_chunk ",
};

/* Answers come in order, of the kind that was asked for, each Flush answered too. */
static void check_answers(struct hm_slice requests, struct hm_slice answers)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice message = {0};

    hm_arena_init(&arena, ABCI_ARENA_MAX_BYTES);
    while (abci_frame_parse(requests, &message, NULL) == 1) {
        const Hypermesh__Abci__Response *answer = wire_answer(&answers, &arena);
        ProtobufCMessage *request = NULL;

        assert_int_equal(
            abci_read(&hypermesh__abci__request__descriptor, message, &arena, &request, NULL), 0);
        assert_non_null(answer);
        assert_int_equal(answer->value_case, ((Hypermesh__Abci__Request *)request)->value_case + 1);
        requests.len -= (size_t)(message.data + message.len - requests.data);
        requests.data = message.data + message.len;
    }
    assert_int_equal(requests.len, 0);
    assert_int_equal(answers.len, 0);
}

/* As ever they are cut, the same calls and the same answers. */
static void test_any_pieces(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RECORDED_COUNT; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
        HM_CLEANUP(world) struct world world = {0};

        recorded_read(recorded_names[i], &bytes);
        feed_parts(&world, hm_buf_slice(&bytes), bytes.len, 1, &whole);
        assert_string_equal(world_calls(&world), expected_calls[i]);
        check_answers(hm_buf_slice(&bytes), hm_buf_slice(&whole));
        for (size_t cut = 0; cut < bytes.len; cut++) {
            HM_CLEANUP(hm_buf) struct hm_buf parts = {0};
            HM_CLEANUP(world) struct world again = {0};

            /* cut 0: every byte alone; else two pieces */
            feed_parts(&again, hm_buf_slice(&bytes), cut != 0 ? cut : 1, cut != 0 ? bytes.len : 1,
                       &parts);
            assert_string_equal(world_calls(&again), expected_calls[i]);
            assert_true(hm_slice_equal(hm_buf_slice(&parts), hm_buf_slice(&whole)));
        }
    }
}

/* --- what the requests say ---------------------------------------------------------------------- */

static void look_finalize(const Hypermesh__Abci__RequestFinalizeBlock *block, unsigned height)
{
    assert_int_equal(block->height, height);
    assert_int_equal(block->hash.len, 32);
    assert_int_equal(block->proposer_address.len, 20);
    assert_int_equal(block->next_validators_hash.len, 32);
    assert_in_range(block->time->seconds, 1700000000, 2000000000);
    assert_in_range(block->time->nanos, 1, 999999999);
    assert_int_equal(block->n_misbehavior, 0);
    assert_int_equal(block->n_txs,
                     height == 2 ? 0 : 1); /* the second proves the first's app hash */
    assert_int_equal(block->decided_last_commit->n_votes, height == 1 ? 0 : 2);
    for (size_t i = 0; i < block->decided_last_commit->n_votes; i++) {
        const Hypermesh__Abci__VoteInfo *vote = block->decided_last_commit->votes[i];

        assert_int_equal(vote->flag, HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT);
        assert_int_equal(vote->validator->power, 10);
        assert_int_equal(vote->validator->address.len, 20);
    }
}

static void look_prepare(const Hypermesh__Abci__RequestPrepareProposal *request)
{
    assert_true(request->max_tx_bytes > 20 << 20 && request->max_tx_bytes < 22020096);
    assert_int_equal(request->n_txs, 1);
    assert_memory_equal(request->txs[0].data, "add", 3);
    for (size_t i = 0; i < request->local_last_commit->n_votes; i++) {
        const Hypermesh__Abci__ExtendedVoteInfo *vote = request->local_last_commit->votes[i];

        assert_int_equal(vote->vote_extension.len, 5);
        assert_memory_equal(vote->vote_extension.data, "rtt=1", 5);
        assert_int_equal(vote->extension_signature.len, 64);
    }
}

static void look_genesis(const Hypermesh__Abci__RequestInitChain *request)
{
    assert_string_equal(request->chain_id, "recorded");
    assert_int_equal(request->initial_height, 1);
    assert_int_equal(request->n_validators, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(request->validators[i]->power, 10);
        assert_int_equal(request->validators[i]->pub_key->sum_case,
                         HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519);
        assert_int_equal(request->validators[i]->pub_key->ed25519.len, 32);
    }
    assert_int_equal(request->app_state_bytes.len, 10);
    assert_memory_equal(request->app_state_bytes.data, "\"aGVsbG8=\"", 10);
    assert_int_equal(request->consensus_params->block->max_bytes, 22020096);
    assert_int_equal(request->consensus_params->abci->vote_extensions_enable_height, 1);
    assert_string_equal(request->consensus_params->validator->pub_key_types[0], "ed25519");
}

static void look(struct world *world, unsigned number, const void *request)
{
    switch (number) {
    case 3: {
        const Hypermesh__Abci__RequestInfo *info = request;

        assert_string_equal(info->version, "0.38.25");
        assert_string_equal(info->abci_version, "2.0.0");
        assert_int_equal(info->block_version, 11);
        assert_int_equal(info->p2p_version, 8);
        break;
    }
    case 5:
        look_genesis(request);
        break;
    case 6: {
        const Hypermesh__Abci__RequestQuery *query = request;

        assert_string_equal(query->path, "/count");
        assert_int_equal(query->data.len, 3);
        assert_true(query->prove);
        break;
    }
    case 8:
        assert_int_equal(((const Hypermesh__Abci__RequestCheckTx *)request)->tx.len, 4);
        break;
    case 13: {
        const Hypermesh__Abci__RequestOfferSnapshot *offer = request;

        assert_int_equal(offer->snapshot->height, 10);
        assert_int_equal(offer->snapshot->format, 1);
        assert_int_equal(offer->snapshot->chunks, 1);
        assert_int_equal(offer->snapshot->hash.len, 32);
        assert_int_equal(offer->app_hash.len, 32);
        break;
    }
    case 14:
        assert_int_equal(((const Hypermesh__Abci__RequestLoadSnapshotChunk *)request)->height, 10);
        break;
    case 15: {
        const Hypermesh__Abci__RequestApplySnapshotChunk *apply = request;

        assert_int_equal(apply->chunk.len, 5);
        assert_int_equal(strlen(apply->sender), 40);
        break;
    }
    case 16:
        look_prepare(request);
        break;
    case 18:
        assert_true(((const Hypermesh__Abci__RequestExtendVote *)request)->height > 0);
        break;
    case 19:
        assert_int_equal(
            ((const Hypermesh__Abci__RequestVerifyVoteExtension *)request)->vote_extension.len, 5);
        break;
    case 20:
        look_finalize(request, ++world->seen);
        break;
    default:
        break;
    }
}

static void test_contents(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RECORDED_COUNT; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        HM_CLEANUP(world) struct world world = {.look = look};

        recorded_read(recorded_names[i], &bytes);
        feed_parts(&world, hm_buf_slice(&bytes), bytes.len, 1, &out);
        if (i == 2)
            assert_int_equal(world.seen, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_pieces),
        cmocka_unit_test(test_contents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
