/* With CometBFT itself, where it is installed: one validator takes over a chain that was one node's; node and engine are
 * killed in the middle of it; what was answered is there after. Elsewhere it says that it was left out. */
#include "cluster_home.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWERS_BEFORE_THE_KILL 40
#define WAIT_MS                 30000

extern char **environ;

/* --- the node's process --------------------------------------------------------------------------------- */

/* The fixture's chain began years ago: its sessions have ended since. */
static void renew_sessions(struct engine_fixture *fix)
{
    struct hm_slice txs[POOR];

    fix->chain.next_ms = home_now_ms() - 1000;
    for (unsigned i = 0; i < POOR; i++) {
        Hypermesh__Operation *op = op_grant(&fix->chain, fix->chain.people[i].session.public_key,
                                            ledger_scope_taken(fix->chain.ledger),
                                            fix->chain.next_ms + fix->chain.params.session_max_ms);

        txs[i] = fixture_root_tx(&fix->chain, (enum fixture_role)i, &op, 1);
    }
    Hypermesh__BatchHead *head = fixture_head(&fix->chain, NODE, txs, POOR, false);
    struct hm_slice item = fixture_seal_bare(&fix->chain, head, txs, POOR);
    home_must(fixture_block(&fix->chain, &item, 1), &fix->chain.error, "sessions");
    for (size_t i = 0; i < fix->chain.record->n_results; i++)
        if (fix->chain.record->results[i]->code != 0) {
            fprintf(stderr, "session: %s\n", fix->chain.record->results[i]->text);
            exit(1);
        }
}

/* Submits for ever; the digest of each transaction that was answered as done goes to standard output. */
static int node_main(const char *dir, const char *program)
{
    static struct engine_fixture fix;
    struct engine_cometbft_options cometbft = {0};
    struct hm_buf genesis = {0};
    struct hm_error error = {0};
    struct home home;

    home_init(&home, dir, 0);
    engine_fixture_init_log(&fix, home.ledger, home.log);
    renew_sessions(&fix);
    home_set_time(&fix);
    home_genesis(&home, 1, fix.chain.ledger, &genesis);
    home_write(&home, 1, 0, hm_buf_slice(&genesis));
    cometbft.rpc_path = home.rpc;
    cometbft.abci_path = home.abci;
    memcpy(cometbft.validator_address, home.address, sizeof(home.address));
    home_must(engine_cometbft_open(&fix.options, &cometbft, &fix.engine, &error), &error, "engine");
    home_start(&home, program, fix.engine);
    for (;;) {
        struct engine_receipt receipt;

        home_set_time(&fix);
        fixture_resync(&fix.chain);
        error = (struct hm_error){0};
        int rc = engine_submit_wait(fix.engine, engine_fixture_transfer(&fix, ALICE), &receipt,
                                    &error);
        home_must(rc, &error, "submit");
        home_must(receipt.code, &(struct hm_error){.text = "it failed in its block"}, receipt.text);
        if (write(STDOUT_FILENO, receipt.digest, 32) != 32)
            return 1;
        engine_receipt_release(&receipt);
    }
}

/* --- the test's process ------------------------------------------------------------------------------------------------ */

static const char *self;

static pid_t spawn_node(const char *dir, const char *program, int *output)
{
    const char *argv[] = {self, "node", dir, program, NULL};
    posix_spawn_file_actions_t actions;
    int pipe_fds[2];
    pid_t pid;

    assert_int_equal(pipe(pipe_fds), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipe_fds[0]);
    assert_int_equal(
        posix_spawn(&pid, self, &actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    *output = pipe_fds[0];
    return pid;
}

/* Everything that comes until the pipe ends; kills after so many. */
static void read_digests(pid_t pid, int fd, struct hm_buf *out)
{
    uint8_t bytes[4096];
    bool killed = false;
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(hm_buf_append(out, bytes, (size_t)n), 0);
        if (!killed && out->len >= (size_t)ANSWERS_BEFORE_THE_KILL * 32) {
            assert_int_equal(kill(pid, SIGKILL), 0);
            killed = true;
        }
    }
    assert_true(killed);
}

static void expect_all_there(struct ledger *ledger, struct hm_slice digests)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    for (size_t at = 0; at + 32 <= digests.len; at += 32) {
        Hypermesh__TxResult *result;
        struct hm_error error = {0};

        if (ledger_view_tx(view, digests.data + at, &arena, NULL, NULL, &result, &error) != 0)
            fail_msg("answer %zu is lost: %s", at / 32, error.text);
        assert_int_equal(result->code, 0);
    }
    ledger_view_close(view);
}

static void expect_engine_goes_on(struct engine *engine, struct ledger *ledger)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;
    struct engine_status status = {0};
    struct hm_error error = {0};
    struct ledger_info info;
    uint64_t until = home_now_ms() + WAIT_MS;

    do {
        const struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
        engine_get_status(engine, &status);
    } while (!(status.reachable && status.engine_height >= status.height) && home_now_ms() < until);
    assert_true(status.reachable);
    assert_int_equal(status.engine_height, status.height);
    assert_true(status.validator);
    assert_string_equal(status.engine_version, ENGINE_PROCESS_VERSION);
    assert_int_equal(ledger_info(ledger, &info, NULL), 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(engine_nudge(engine, NULL), 0);
        if (engine_wait_height(engine, info.height + i, WAIT_MS, &error) != 0)
            fail_msg("%s", error.text);
    }
    /* Nothing more to do: at most the block that was on its way comes. */
    const struct timespec while_idle = {.tv_sec = 1};
    (void)nanosleep(&while_idle, NULL);
    struct ledger_info idle, later;
    assert_int_equal(ledger_info(ledger, &idle, NULL), 0);
    (void)nanosleep(&while_idle, NULL);
    assert_int_equal(ledger_info(ledger, &later, NULL), 0);
    assert_int_equal(later.height, idle.height);
    assert_memory_equal(later.state_root, info.state_root, 32);
    /* The root of a block stands in the engine's next header. */
    hm_arena_init(&arena, 0);
    if (engine_light_block(engine, info.height + 1, &arena, &block, &error) != 0)
        fail_msg("%s", error.text);
    assert_memory_equal(block->signed_header->header->app_hash.data, info.state_root, 32);
    assert_int_equal(block->n_validators, 1);
    assert_int_equal(block->signed_header->commit->n_signatures, 1);
}

static void killed_and_started_again(void **state)
{
    const char *program = home_find_engine();
    HM_CLEANUP(hm_buf) struct hm_buf digests = {0};
    struct store_options store = *fixture_store_options();
    struct engine_options options = {.clock = hm_clock_system()};
    struct engine_cometbft_options cometbft = {0};
    char dir[] = "/tmp/hm-engine-XXXXXX";
    struct hm_error error = {0};
    struct engine *engine;
    struct home home;
    int output, status;

    (void)state;
    if (program == NULL)
        skip();
    assert_non_null(mkdtemp(dir));
    pid_t pid = spawn_node(dir, program, &output);
    read_digests(pid, output, &digests);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(output);

    home_init(&home, dir, 0);
    store.deferred = true;
    options.log_path = home.log;
    cometbft.rpc_path = home.rpc;
    cometbft.abci_path = home.abci;
    memcpy(cometbft.validator_address, home.address, sizeof(home.address));
    home_must(store_open_lmdb(home.ledger, &store, &options.store, &error), &error, "store");
    home_must(ledger_open(options.store, &options.ledger, &error), &error, "ledger");
    home_must(engine_cometbft_open(&options, &cometbft, &engine, &error), &error, "engine");
    expect_all_there(options.ledger,
                     hm_buf_slice(&digests)); /* durable without the engine's help */
    struct engine_process *process = home_start(&home, program, engine);
    expect_engine_goes_on(engine, options.ledger);
    expect_all_there(options.ledger, hm_buf_slice(&digests));
    engine_process_stop(process);
    engine_close(engine);
    ledger_close(options.ledger);
    store_close(options.store);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_and_started_again)};

    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "node") == 0)
        return node_main(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
