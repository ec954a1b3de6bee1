/* Challenges of a whole node: it answers by itself what it can; what it cannot costs it, and is put right. The node's
 * own file is built into this test once more, to look at one challenge at a time: so it goes from page to page. */
#include "node_fixture.h"

#define NODE_DUTIES_PAGE 1
#include "node_challenge.c"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node_job.h"
#include "node_notes.h"

#define WINDOW_MS    3000
#define WAIT_SECONDS 60

static void short_window(Hypermesh__Params *params)
{
    params->challenge_window_ms = WINDOW_MS;
}

static void long_window(Hypermesh__Params *params)
{
    params->challenge_window_ms = UINT64_C(600000);
}

static int setup(void **state)
{
    int rc = node_fixture_setup(state);

    if (rc == 0)
        node_fixture_rebirth(*state, short_window);
    return rc;
}

/* --- what is on the ledger ------------------------------------------------------------------------------------ */

static Hypermesh__Challenge *challenge_of(struct node *node, const uint8_t id[32],
                                          struct hm_arena *arena)
{
    Hypermesh__Challenge *challenge = NULL;
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_challenge(view, id, arena, &challenge, NULL), 0);
    ledger_view_close(view);
    return challenge;
}

static void nap(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 20000000}, NULL);
}

static Hypermesh__Challenge *wait_end(struct node *node, const uint8_t id[32],
                                      struct hm_arena *arena)
{
    Hypermesh__Challenge *challenge = NULL;

    for (int i = 0; i < WAIT_SECONDS * 50; i++) {
        challenge = challenge_of(node, id, arena);
        if (challenge->state != HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
            return challenge;
        nap();
    }
    fail_msg("the challenge does not end");
    return challenge;
}

static void act(struct node *node, const char *name, Hypermesh__Operation *op,
                struct engine_receipt *receipt)
{
    struct hm_error error = {0};

    if (node_wallet_submit(node, name, &op, 1, receipt, &error) != 0)
        fail_msg("%s", error.text);
}

/* NODE_USER challenges the operator; lease NULL: its space. */
static void challenge(struct node *node, const uint8_t *lease, uint8_t id[32])
{
    Hypermesh__ChallengeOpen message = HYPERMESH__CHALLENGE_OPEN__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    struct engine_receipt receipt;

    message.node = wire_bytes(node->operator_id, 32);
    if (lease != NULL)
        message.lease = wire_bytes(lease, 32);
    op.op_case = HYPERMESH__OPERATION__OP_CHALLENGE_OPEN;
    op.challenge_open = &message;
    act(node, NODE_USER, &op, &receipt);
    assert_int_equal(receipt.created_count, 1);
    memcpy(id, receipt.created[0], 32);
    engine_receipt_release(&receipt);
}

/* --- space ------------------------------------------------------------------------------------------------------- */

static void test_an_honest_node_wins(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t id[32];

    hm_arena_init(&arena, 0);
    uint64_t before = node_fixture_account(fixture->node, NODE_OPERATOR, &arena)->bonded;
    challenge(fixture->node, NULL, id);
    const Hypermesh__Challenge *ended = wait_end(fixture->node, id, &arena);
    assert_int_equal(ended->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
    const Hypermesh__Account *node = node_fixture_account(fixture->node, NODE_OPERATOR, &arena);
    assert_int_equal(node->bonded, before);
    assert_int_equal(node->marks->answered, 1);
    assert_int_equal(node->marks->failed, 0);
    assert_int_equal(node_fixture_account(fixture->node, NODE_USER, &arena)->deposits, 0);
    assert_int_equal(atomic_load(&fixture->node->challenges.missed), 0);
}

/* Everything but the plot's head. */
static void damage_plot(struct node_fixture *fixture)
{
    static const uint8_t dirt[4096] = {0x5a};
    char path[128];
    struct stat stat;

    (void)snprintf(path, sizeof(path), "%s/plot", fixture->folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat), 0);
    for (off_t at = sizeof(dirt); at + (off_t)sizeof(dirt) <= stat.st_size;
         at += (off_t)sizeof(dirt))
        assert_int_equal(pwrite(fd, dirt, sizeof(dirt), at), sizeof(dirt));
    close(fd);
}

static void test_a_damaged_plot_is_built_again_in_time(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t id[32];

    hm_arena_init(&arena, 0);
    damage_plot(fixture);
    challenge(fixture->node, NULL, id);
    assert_int_equal(wait_end(fixture->node, id, &arena)->state,
                     HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
}

static const Hypermesh__Account *wait_committed(struct node *node, struct hm_arena *arena)
{
    const Hypermesh__Account *account = NULL;

    for (int i = 0; i < WAIT_SECONDS * 50; i++) {
        hm_arena_clear(arena);
        account = node_fixture_account(node, NODE_OPERATOR, arena);
        if (account->plot != NULL)
            return account;
        nap();
    }
    fail_msg("the plot is not committed again");
    return account;
}

/* Where the new plot would be written stands something else, at path. */
static void lose_plot(struct node_fixture *fixture, char path[128])
{
    (void)snprintf(path, 128, "%s/plot.part", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    damage_plot(fixture);
}

static void test_a_lost_plot_costs_and_is_put_right(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char path[128];
    uint8_t id[32];

    hm_arena_init(&arena, 0);
    lose_plot(fixture, path);
    challenge(fixture->node, NULL, id);
    const Hypermesh__Challenge *ended = wait_end(fixture->node, id, &arena);
    assert_int_equal(ended->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT);
    assert_true(ended->slashed > 0);
    assert_true(atomic_load(&fixture->node->challenges.missed) > 0);
    assert_int_equal(rmdir(path), 0);
    const Hypermesh__Account *account = wait_committed(fixture->node, &arena);
    assert_int_equal(account->marks->failed, 1);
    assert_true(account->marks->slashed > 0);
    /* And it holds again. */
    challenge(fixture->node, NULL, id);
    assert_int_equal(wait_end(fixture->node, id, &arena)->state,
                     HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
}

/* The node is gone until its time is over. */
static void test_silence_costs(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char path[128];
    uint8_t id[32];

    hm_arena_init(&arena, 0);
    lose_plot(fixture, path);
    challenge(fixture->node, NULL, id);
    assert_int_equal(rmdir(path), 0);
    fixture->ahead_ms += 2 * WINDOW_MS;
    node_fixture_restart(fixture);
    const Hypermesh__Challenge *ended = wait_end(fixture->node, id, &arena);
    assert_int_equal(ended->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT);
    assert_true(ended->paid > 0);
    (void)wait_committed(fixture->node, &arena);
}

/* --- results -------------------------------------------------------------------------------------------------------- */

static const char manifest[] = "hypermesh job result 1\n";

/* A lease of the user's on one of the operator's assets, for a job; settled with the manifest's hash. */
static void settled_lease(struct node *node, struct hm_slice job, uint8_t lease[32])
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const struct ledger_asset_filter filter = {.owner = node->operator_id};
    const struct hm_slice parts[] = {hm_slice_str(manifest)};
    Hypermesh__Allocate allocate = HYPERMESH__ALLOCATE__INIT;
    Hypermesh__LeaseItem item = HYPERMESH__LEASE_ITEM__INIT, *items[] = {&item};
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__JobRecord record = HYPERMESH__JOB_RECORD__INIT;
    Hypermesh__JobUsage used = HYPERMESH__JOB_USAGE__INIT;
    uint8_t digest[32], result[32];
    Hypermesh__Asset **assets;
    struct engine_receipt receipt;
    struct ledger_view *view;
    struct hm_error error = {0};
    size_t count;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_assets(view, &filter, NULL, 1, &arena, &assets, &count, NULL), 0);
    ledger_view_close(view);
    assert_int_equal(count, 1);
    crypto_hash(job.data, job.len, digest);
    crypto_hash_parts(RUNTIME_RESULT_CONTEXT, parts, 1, result);
    item.asset = assets[0]->id;
    item.share_ppm = 500000;
    item.max_price_per_hour = assets[0]->price_per_hour;
    allocate.items = items;
    allocate.n_items = 1;
    allocate.duration_ms = 60000;
    allocate.job = wire_bytes(digest, 32);
    op.op_case = HYPERMESH__OPERATION__OP_ALLOCATE;
    op.allocate = &allocate;
    act(node, NODE_USER, &op, &receipt);
    memcpy(lease, receipt.created[0], 32);
    engine_receipt_release(&receipt);
    record.lease = wire_bytes(lease, 32);
    record.result = wire_bytes(result, 32);
    record.outcome = HYPERMESH__JOB_OUTCOME__FINISHED;
    if (node_job_settle(node, &record, &used, &arena, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_a_kept_result_is_shown(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t lease[32], id[32];

    hm_arena_init(&arena, 0);
    settled_lease(fixture->node, hm_slice_str("what to do"), lease);
    assert_int_equal(node_result_keep(fixture->node, lease, hm_slice_str("what to do"),
                                      hm_slice_str(manifest), NULL),
                     0);
    challenge(fixture->node, lease, id);
    const Hypermesh__Challenge *ended = wait_end(fixture->node, id, &arena);
    assert_string_equal(ended->reason, "");
    assert_int_equal(ended->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
}

static void test_a_lost_result_costs(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t lease[32], id[32];

    hm_arena_init(&arena, 0);
    settled_lease(fixture->node, hm_slice_str("what to do"), lease);
    challenge(fixture->node, lease, id);
    const Hypermesh__Challenge *ended = wait_end(fixture->node, id, &arena);
    assert_int_equal(ended->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT);
    assert_true(ended->slashed > 0);
    const Hypermesh__Account *account = node_fixture_account(fixture->node, NODE_OPERATOR, &arena);
    assert_non_null(account->plot); /* that was not the question */
    assert_int_equal(account->marks->failed, 1);
}

/* Three that cannot be answered and one that can: none hides another, whatever their order. */
static void test_every_page_is_looked_at(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t lease[32], id[32];

    hm_arena_init(&arena, 0);
    node_fixture_rebirth(fixture, long_window);
    for (int i = 0; i < 3; i++) {
        settled_lease(fixture->node, hm_slice_str("what to do"), lease);
        challenge(fixture->node, lease, id);
    }
    node_fixture_restart(fixture);
    for (int i = 0; i < WAIT_SECONDS * 50 && atomic_load(&fixture->node->challenges.missed) < 3;
         i++)
        nap();
    assert_int_equal(atomic_load(&fixture->node->challenges.missed), 3); /* in its first look */
    challenge(fixture->node, NULL, id);
    assert_int_equal(wait_end(fixture->node, id, &arena)->state,
                     HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
    assert_int_equal(atomic_load(&fixture->node->challenges.answered), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_honest_node_wins),
        TEST(test_a_damaged_plot_is_built_again_in_time),
        TEST(test_a_lost_plot_costs_and_is_put_right),
        TEST(test_silence_costs),
        TEST(test_a_kept_result_is_shown),
        TEST(test_a_lost_result_costs),
        TEST(test_every_page_is_looked_at),
    };

    return cmocka_run_group_tests_name("node_challenge", tests, NULL, NULL);
}
