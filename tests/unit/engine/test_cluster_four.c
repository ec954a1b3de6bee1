/* Four nodes with CometBFT itself, where it is installed, from one genesis: everybody submits, all have the same blocks; one
 * engine is killed and the others go on; it catches up; then there is nothing to do, and no block is made. */
#include "cluster_home.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine_rpc.h"

#define NODES   4
#define ROUNDS  5
#define WAIT_MS 60000

struct world {
    char dir[32];
    struct home homes[NODES];
    struct engine_fixture nodes[NODES];
    struct engine_process *processes[NODES];
    unsigned count; /* of nodes that are there */
};
static struct world world;
static const enum fixture_role clients[NODES] = {ALICE, BOB, CAROL, DAVE};

static void pass_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

/* --- a chain from nothing ------------------------------------------------------------------------------------ */

static void open_node(unsigned i)
{
    struct engine_fixture *fix = &world.nodes[i];
    struct engine_cometbft_options cometbft = {
        .rpc_path = world.homes[i].rpc, .abci_path = world.homes[i].abci, .answer_ms = WAIT_MS};
    struct hm_error error = {0};

    memcpy(cometbft.validator_address, world.homes[i].address, ENGINE_ADDRESS_BYTES);
    home_set_time(fix);
    if (engine_cometbft_open(&fix->options, &cometbft, &fix->engine, &error) != 0)
        fail_msg("%s", error.text);
}

/* Everybody's session, bond, and the node's plot, signed by root keys: the first batch of the chain. */
static struct hm_slice settle_batch(struct fixture *chain)
{
    struct hm_slice txs[POOR];

    for (unsigned i = 0; i < POOR; i++) {
        Hypermesh__Operation *ops[3] = {
            op_grant(chain, chain->people[i].session.public_key, LEDGER_SCOPE_ALL,
                     chain->next_ms + chain->params.session_max_ms / 2),
            op_bond(chain, 1000 * FIXTURE_HYPER),
            i == NODE ? op_space(chain) : NULL,
        };

        txs[i] = fixture_root_tx(chain, (enum fixture_role)i, ops, i == NODE ? 3 : 2);
    }
    Hypermesh__BatchHead *head = fixture_head(chain, NODE, txs, POOR, false);
    return fixture_seal_bare(chain, head, txs, POOR);
}

/* Handed to one engine as any program could. */
static void settle(void)
{
    struct fixture *chain = &world.nodes[0].chain;
    enum engine_rpc_fate fate = ENGINE_RPC_FULL;
    struct engine_rpc *rpc;
    struct hm_error error = {0};
    int code = 0, rc = -1;

    home_set_time(&world.nodes[0]);
    struct hm_slice batch = settle_batch(chain);
    assert_int_equal(engine_rpc_new(world.homes[0].rpc, &rpc, NULL), 0);
    for (unsigned i = 0; i < WAIT_MS / 100 && rc != 0; i++) {
        rc = engine_rpc_broadcast(rpc, batch, 5000, &fate, &code, &error);
        pass_ms(100);
    }
    if (rc != 0 || fate != ENGINE_RPC_TAKEN)
        fail_msg("%s", error.text);
    engine_rpc_free(rpc);
    for (unsigned i = 0; i < WAIT_MS / 50 && fixture_account(chain, FRANK)->n_sessions == 0; i++)
        pass_ms(50);
    assert_true(fixture_account(chain, FRANK)->n_sessions > 0);
}

/* --- work ------------------------------------------------------------------------------------------------------- */

static struct ledger_info info_of(unsigned i)
{
    struct ledger_info info;

    assert_int_equal(ledger_info(world.nodes[i].chain.ledger, &info, NULL), 0);
    return info;
}

static uint64_t highest(void)
{
    uint64_t height = 0;

    for (unsigned i = 0; i < NODES; i++)
        if (info_of(i).height > height)
            height = info_of(i).height;
    return height;
}

/* All four seal as one node: together they may have as many batches waiting as is one node's share. */
#define TXS_A_NODE 2

static void all_reach(uint64_t height, unsigned without)
{
    struct hm_error error = {0};

    for (unsigned i = 0; i < NODES; i++)
        if (i != without && engine_wait_height(world.nodes[i].engine, height, WAIT_MS, &error) != 0)
            fail_msg("node %u: %s", i, error.text);
}

/* One account a node, several transactions of it at once. Ends when nothing waits anywhere. */
static unsigned submit_round(unsigned without)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NODES; i++) {
        if (i == without)
            continue;
        home_set_time(&world.nodes[i]);
        fixture_resync(&world.nodes[i].chain);
        for (unsigned k = 0; k < TXS_A_NODE; k++)
            engine_fixture_submit(&world.nodes[i],
                                  engine_fixture_transfer(&world.nodes[i], clients[i]));
        count += TXS_A_NODE;
    }
    for (unsigned i = 0; i < NODES; i++)
        if (i != without)
            engine_fixture_wait_answers(&world.nodes[i], (unsigned)world.nodes[i].answer_count);
    all_reach(highest(), without);
    return count;
}

static void all_answers_are_good(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (size_t k = 0; k < world.nodes[i].answer_count; k++) {
            const struct engine_answer *answer = &world.nodes[i].answers[k];

            if (answer->receipt.code != 0)
                fail_msg("node %u, transaction %zu: %s", i, k, answer->receipt.text);
            engine_fixture_expect_good(answer);
        }
}

/* The headers of all heights: each holds the root before it, and the hash of the one before. */
static void all_have_the_same(uint64_t height)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_error error = {0};
    struct hm_slice first = {0};

    hm_arena_init(&arena, 0);
    for (unsigned i = 0; i < NODES; i++) {
        struct ledger_view *view;
        struct hm_slice block;

        if (engine_wait_height(world.nodes[i].engine, height, WAIT_MS, &error) != 0)
            fail_msg("node %u: %s", i, error.text);
        assert_int_equal(ledger_view_open(world.nodes[i].chain.ledger, &view, NULL), 0);
        assert_int_equal(ledger_view_block(view, height, &arena, &block, NULL, NULL), 0);
        if (i == 0)
            first = hm_slice_of(hm_arena_dup(&arena, block.data, block.len), block.len);
        assert_true(hm_slice_equal(block, first));
        ledger_view_close(view);
    }
}

static void no_blocks_are_made(void)
{
    pass_ms(1000); /* what was on its way */
    uint64_t height = highest();
    pass_ms(2000);
    assert_int_equal(highest(), height);
}

static void four_nodes(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    const char *program = home_find_engine();

    (void)state;
    if (program == NULL)
        skip();
    snprintf(world.dir, sizeof(world.dir), "/tmp/hm-four-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    for (unsigned i = 0; i < NODES; i++) {
        home_init(&world.homes[i], world.dir, i);
        engine_fixture_init_bare(&world.nodes[i]);
        world.count++;
    }
    home_genesis(world.homes, NODES, world.nodes[0].chain.ledger, &genesis);
    for (unsigned i = 0; i < NODES; i++) {
        home_write(world.homes, NODES, i, hm_buf_slice(&genesis));
        open_node(i);
        world.processes[i] = home_start(&world.homes[i], program, world.nodes[i].engine);
    }
    settle();
    all_have_the_same(highest());
    for (unsigned round = 0; round < ROUNDS; round++)
        submit_round(NODES);
    all_answers_are_good();
    all_have_the_same(highest());

    engine_process_stop(HM_TAKE(world.processes[3]));
    uint64_t alone = info_of(3).height;
    for (unsigned round = 0; round < ROUNDS; round++)
        submit_round(3);
    all_answers_are_good();
    assert_int_equal(info_of(3).height, alone);
    assert_true(highest() > alone);
    world.processes[3] = home_start(&world.homes[3], program, world.nodes[3].engine);
    all_have_the_same(highest());
    submit_round(NODES);
    all_answers_are_good();
    all_have_the_same(highest());
    no_blocks_are_made();
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(world.nodes[i].failures, 0);
}

/* Also of what an assertion has left. */
static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < world.count; i++)
        engine_process_stop(world.processes[i]);
    for (unsigned i = 0; i < world.count; i++)
        engine_fixture_release(&world.nodes[i]);
    return world.dir[0] != '\0' ? hm_remove_tree(world.dir, NULL) : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(four_nodes, teardown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
