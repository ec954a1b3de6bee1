/* What the engine is told: the safe defaults, what follows a failure, and what never leaves. */
#include "abci_world.h"

/* Feeds one request's frame; the answer, or NULL and *rc. */
static const Hypermesh__Abci__Response *ask(const struct abci_handlers *handlers,
                                            struct world *world, struct hm_slice frame,
                                            struct hm_arena *arena, int *rc)
{
    const struct abci_core_hooks hooks = world_hooks(world);
    const Hypermesh__Abci__Response *answer = NULL;
    struct abci_core *core = NULL;
    struct hm_slice out;
    bool flush;

    assert_int_equal(abci_core_new(handlers, &hooks, &core, NULL), 0);
    *rc = abci_core_feed(core, frame, NULL);
    out = abci_core_out(core, &flush);
    if (*rc == 0) {
        answer = wire_answer(&out, arena);
        assert_non_null(answer);
    }
    assert_int_equal(out.len, 0);
    abci_core_free(core);
    return answer;
}

static const Hypermesh__Abci__Response *ask_empty(const struct abci_handlers *handlers,
                                                  struct world *world, unsigned number,
                                                  struct hm_arena *arena, int *rc)
{
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};

    wire_empty_request(number, &frame);
    return ask(handlers, world, hm_buf_slice(&frame), arena, rc);
}

/* A proposal to prepare, of three transactions of 10, 200 and 10 bytes, with room for `room`. */
static void prepare_frame(int64_t room, struct hm_buf *frame)
{
    static uint8_t filler[200];
    ProtobufCBinaryData txs[] = {{10, filler}, {200, filler}, {10, filler}};
    Hypermesh__Abci__RequestPrepareProposal prepare =
        HYPERMESH__ABCI__REQUEST_PREPARE_PROPOSAL__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;

    prepare.max_tx_bytes = room;
    prepare.txs = txs;
    prepare.n_txs = 3;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_PREPARE_PROPOSAL;
    request.prepare_proposal = &prepare;
    wire_frame(&request.base, frame);
}

static size_t prepared(const struct abci_handlers *handlers, struct world *world, int64_t room)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
    const Hypermesh__Abci__Response *answer;
    int rc;

    prepare_frame(room, &frame);
    answer = ask(handlers, world, hm_buf_slice(&frame), &arena, &rc);
    assert_int_equal(rc, 0);
    return answer->prepare_proposal->n_txs;
}

static void test_defaults(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct abci_handlers few = world_few_handlers(&world);
    const Hypermesh__Abci__Response *answer;
    int rc;

    (void)state;
    answer = ask_empty(&few, &world, 6, &arena, &rc);
    assert_int_equal(answer->query->code, 1);
    assert_string_equal(answer->query->log, "not supported");
    answer = ask_empty(&few, &world, 8, &arena, &rc);
    assert_int_equal(answer->check_tx->code, 0);
    answer = ask_empty(&few, &world, 17, &arena, &rc);
    assert_int_equal(answer->process_proposal->status,
                     HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT);
    answer = ask_empty(&few, &world, 18, &arena, &rc);
    assert_int_equal(answer->extend_vote->vote_extension.len, 0);
    answer = ask_empty(&few, &world, 19, &arena, &rc);
    assert_int_equal(answer->verify_vote_extension->status,
                     HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT);
    answer = ask_empty(&few, &world, 12, &arena, &rc);
    assert_int_equal(answer->list_snapshots->n_snapshots, 0);
    answer = ask_empty(&few, &world, 13, &arena, &rc);
    assert_int_equal(answer->offer_snapshot->result,
                     HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT);
    answer = ask_empty(&few, &world, 14, &arena, &rc);
    assert_int_equal(answer->load_snapshot_chunk->chunk.len, 0);
    answer = ask_empty(&few, &world, 15, &arena, &rc);
    assert_int_equal(answer->apply_snapshot_chunk->result,
                     HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT);
    assert_string_equal(world_calls(&world), "");
    assert_int_equal(world.logged, 0);
}

static void test_default_proposal_fits(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    const struct abci_handlers few = world_few_handlers(&world);

    (void)state;
    /* 12 bytes, 203, 12 as the engine counts; the order stays, so the large one holds the last back */
    assert_int_equal(prepared(&few, &world, 227), 3);
    assert_int_equal(prepared(&few, &world, 226), 2);
    assert_int_equal(prepared(&few, &world, 215), 2);
    assert_int_equal(prepared(&few, &world, 214), 1);
    assert_int_equal(prepared(&few, &world, 11), 0);
    assert_int_equal(prepared(&few, &world, -1), 0);
}

static void test_echo(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct abci_handlers few = world_few_handlers(&world);
    const Hypermesh__Abci__Response *answer;
    int rc;

    (void)state;
    answer = ask(&few, &world, hm_slice_of("\x06\x0a\x04\x0a\x02hi", 7), &arena, &rc);
    assert_string_equal(answer->echo->message, "hi");
}

/* Where the engine can go on without the application, it does, and the reason is told. */
static void test_failures_that_pass(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    const Hypermesh__Abci__Response *answer;
    int rc;

    (void)state;
    for (unsigned number = 6; number < 20; number++)
        world.fail[number] = HM_ECONFLICT;
    answer = ask_empty(&handlers, &world, 6, &arena, &rc);
    assert_int_equal(answer->query->code, 10);
    assert_string_equal(answer->query->log, "scripted failure of query");
    answer = ask_empty(&handlers, &world, 8, &arena, &rc);
    assert_int_equal(answer->check_tx->code, 10);
    assert_string_equal(answer->check_tx->log, "scripted failure of check_tx");
    answer = ask_empty(&handlers, &world, 17, &arena, &rc);
    assert_int_equal(answer->process_proposal->status,
                     HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT);
    assert_string_equal(world.log.text, "scripted failure of process_proposal");
    assert_int_equal(world.log.code, HM_ECONFLICT);
    answer = ask_empty(&handlers, &world, 19, &arena, &rc);
    assert_int_equal(answer->verify_vote_extension->status,
                     HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT);
    answer = ask_empty(&handlers, &world, 13, &arena, &rc);
    assert_int_equal(answer->offer_snapshot->result,
                     HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT);
    assert_int_equal(prepared(&handlers, &world, 1000), 0);
    assert_int_equal(world.logged, 6);
    world.silent = true;
    (void)ask_empty(&handlers, &world, 18, &arena, &rc);
    assert_int_equal(rc, 0);
    assert_string_equal(world.log.text,
                        "the application failed in ResponseExtendVote with HM_ECONFLICT");
    assert_int_equal(world.failed, 0);
}

/* Where it cannot, nothing is sent, the application is told once, and the connection is dead. */
static void test_failures_that_end(void **state)
{
    static const unsigned vital[] = {3, 5, 11, 20};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(vital); i++) {
        HM_CLEANUP(world) struct world world = {0};
        HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
        const struct abci_handlers handlers = world_handlers(&world);
        struct abci_core *core = NULL;
        struct hm_error error = {0};
        bool flush;

        world.fail[vital[i]] = HM_EIO;
        wire_empty_request(vital[i], &frames);
        wire_empty_request(vital[i], &frames);
        assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
        assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), &error), HM_EIO);
        assert_int_equal(abci_core_out(core, &flush).len, 0);
        assert_int_equal(world.failed, 1);
        assert_int_equal(world.failure.code, HM_EIO);
        assert_non_null(strstr(world.failure.text, world_names[vital[i]]));
        assert_string_equal(error.text, world.failure.text);
        /* and dead it stays */
        assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), HM_EIO);
        assert_int_equal(world.failed, 1);
        abci_core_free(core);
        assert_int_equal(world.gone, vital[i] == 3 ? 0 : 1);
    }
}

/* --- answers that would stop the engine --------------------------------------------------------- */

static void spoil(struct world *world, unsigned number, void *answer, struct hm_arena *arena)
{
    (void)world;
    switch (number) {
    case 3:
        ((Hypermesh__Abci__ResponseInfo *)answer)->last_block_height = -1;
        break;
    case 12: { /* a snapshot without a hash */
        Hypermesh__Abci__ResponseListSnapshots *list = answer;
        Hypermesh__Abci__Snapshot *snapshot = hm_arena_alloc(arena, sizeof(*snapshot));

        hypermesh__abci__snapshot__init(snapshot);
        snapshot->height = snapshot->chunks = 1;
        list->snapshots = hm_arena_dup(arena, &snapshot, sizeof(snapshot));
        list->n_snapshots = 1;
        break;
    }
    case 13:
        ((Hypermesh__Abci__ResponseOfferSnapshot *)answer)->result = 0;
        break;
    case 14:
        ((Hypermesh__Abci__ResponseLoadSnapshotChunk *)answer)->chunk = wire_bytes(
            hm_arena_alloc(arena, ABCI_CHUNK_MAX_BYTES + 1), ABCI_CHUNK_MAX_BYTES + 1);
        break;
    case 15:
        ((Hypermesh__Abci__ResponseApplySnapshotChunk *)answer)->result = 6;
        break;
    case 16: {
        Hypermesh__Abci__ResponsePrepareProposal *proposal = answer;
        ProtobufCBinaryData large = wire_bytes(hm_arena_alloc(arena, 300), 300);

        proposal->txs = hm_arena_dup(arena, &large, sizeof(large));
        proposal->n_txs = 1;
        break;
    }
    case 17:
        ((Hypermesh__Abci__ResponseProcessProposal *)answer)->status = 0;
        break;
    case 18:
        ((Hypermesh__Abci__ResponseExtendVote *)answer)->vote_extension = wire_bytes(
            hm_arena_alloc(arena, ABCI_EXTENSION_MAX_BYTES + 1), ABCI_EXTENSION_MAX_BYTES + 1);
        break;
    case 19:
        ((Hypermesh__Abci__ResponseVerifyVoteExtension *)answer)->status = 3;
        break;
    case 20:
        ((Hypermesh__Abci__ResponseFinalizeBlock *)answer)->n_tx_results--;
        break;
    default:
        break;
    }
}

static void test_spoilt_answers(void **state)
{
    HM_CLEANUP(world) struct world world = {.edit = spoil};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    const Hypermesh__Abci__Response *answer;
    int rc;

    (void)state;
    answer = ask_empty(&handlers, &world, 12, &arena, &rc);
    assert_int_equal(answer->list_snapshots->n_snapshots, 0);
    assert_int_equal(world.log.code, HM_EINTERNAL);
    answer = ask_empty(&handlers, &world, 13, &arena, &rc);
    assert_int_equal(answer->offer_snapshot->result,
                     HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT);
    answer = ask_empty(&handlers, &world, 14, &arena, &rc);
    assert_int_equal(answer->load_snapshot_chunk->chunk.len, 0);
    answer = ask_empty(&handlers, &world, 15, &arena, &rc);
    assert_int_equal(answer->apply_snapshot_chunk->result,
                     HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT);
    answer = ask_empty(&handlers, &world, 17, &arena, &rc);
    assert_int_equal(answer->process_proposal->status,
                     HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT);
    answer = ask_empty(&handlers, &world, 18, &arena, &rc);
    assert_int_equal(answer->extend_vote->vote_extension.len, 0);
    answer = ask_empty(&handlers, &world, 19, &arena, &rc);
    assert_int_equal(answer->verify_vote_extension->status,
                     HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT);
    assert_int_equal(world.logged, 7);
    assert_int_equal(prepared(&handlers, &world, 303), 1);
    assert_int_equal(world.logged, 7);
    assert_int_equal(prepared(&handlers, &world, 302), 0);
    assert_int_equal(world.logged, 8);
    assert_non_null(strstr(world.log.text, "303 bytes, at most 302"));
    assert_int_equal(world.failed, 0);
}

static void test_wrong_number_of_results(void **state)
{
    HM_CLEANUP(world) struct world world = {.edit = spoil};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    ProtobufCBinaryData txs[] = {{1, (uint8_t[]){1}}, {1, (uint8_t[]){2}}};
    Hypermesh__Abci__RequestFinalizeBlock block = HYPERMESH__ABCI__REQUEST_FINALIZE_BLOCK__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    int rc;

    (void)state;
    block.txs = txs;
    block.n_txs = 2;
    block.height = 7;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_FINALIZE_BLOCK;
    request.finalize_block = &block;
    wire_frame(&request.base, &frame);
    assert_null(ask(&handlers, &world, hm_buf_slice(&frame), &arena, &rc));
    assert_int_equal(rc, HM_EINTERNAL);
    assert_int_equal(world.failed, 1);
    assert_string_equal(world.failure.text,
                        "finalize_block: 1 tx_results for the 2 txs of block 7");
    assert_null(ask_empty(&handlers, &world, 3, &arena, &rc));
    assert_int_equal(rc, HM_EINTERNAL);
    assert_non_null(strstr(world.failure.text, "negative"));
}

static void test_handlers_that_must_be(void **state)
{
    static const char *const names[] = {"info", "finalize_block", "commit"};
    HM_CLEANUP(world) struct world world = {0};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(names); i++) {
        struct abci_handlers handlers = world_handlers(&world);
        struct abci_core *core = NULL;
        struct hm_error error = {0};

        if (i == 0)
            handlers.info = NULL;
        else if (i == 1)
            handlers.finalize_block = NULL;
        else
            handlers.commit = NULL;
        assert_int_equal(abci_core_new(&handlers, NULL, &core, &error), HM_EINVAL);
        assert_null(core);
        assert_non_null(strstr(error.text, names[i]));
    }
    abci_core_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_default_proposal_fits),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_failures_that_pass),
        cmocka_unit_test(test_failures_that_end),
        cmocka_unit_test(test_spoilt_answers),
        cmocka_unit_test(test_wrong_number_of_results),
        cmocka_unit_test(test_handlers_that_must_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
