/* Challenges: answered rightly, wrongly and not at all; what each costs whom; that an answer fits. */
#include <stdlib.h>

#include "ledger_check.h"

#define BOND       (1000 * FIXTURE_HYPER)
#define DEPOSIT    (10 * FIXTURE_HYPER)
#define LEASES_MAX 20

static void more_params(Hypermesh__Params *params)
{
    params->unbond_delay_ms = 30 * MINUTE_MS;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = more_params};

    (void)state;
    return fixture_init(&fix, &options) ||
           check_offer(NODE, 36 * FIXTURE_HYPER, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
}

/* The whole chain applied again, and every sum counted, after each test. */
static int teardown(void **state)
{
    struct ledger *scratch;
    struct store *store;

    (void)state;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &scratch, NULL), 0);
    if (ledger_replay(fix.ledger, scratch, NULL, NULL, NULL, NULL, &fix.error))
        fail_msg("replay: %s", fix.error.text);
    ledger_close(scratch);
    store_close(store);
    fixture_release(&fix);
    return 0;
}

static void settled_with(const char *job, const char *manifest, uint8_t lease[32])
{
    made(BOB,
         job ? op_allocate_job(&fix, cpu, 1, MINUTE_MS, job)
             : op_allocate(&fix, cpu, 1, 1, MINUTE_MS),
         lease);
    good(NODE, op_settle_result(&fix, lease, manifest));
}

/* --- answered --- */

static void test_space_answered(void **state)
{
    uint64_t carol = fixture_account(&fix, CAROL)->hyper;
    uint64_t node = fixture_account(&fix, NODE)->hyper;
    uint64_t burnt;
    Hypermesh__Challenge *challenge;
    Hypermesh__TxResult *result;
    Hypermesh__Account *account;
    struct ledger_info info;
    struct ledger_view *view;
    uint64_t *indices;
    size_t count;
    uint8_t id[32];
    Hypermesh__Operation *answer;

    (void)state;
    result = good(CAROL, op_challenge(&fix, NODE, NULL));
    memcpy(id, result->created[0].data, 32);
    carol -= result->fee + DEPOSIT;
    account = fixture_account(&fix, CAROL);
    assert_int_equal(account->hyper, carol);
    assert_int_equal(account->deposits, DEPOSIT);
    assert_int_equal(fixture_supply(&fix)->hyper_deposits, DEPOSIT);
    account = fixture_account(&fix, NODE);
    assert_int_equal(account->marks->open, 1);
    assert_memory_equal(account->marks->waiting[0].data, id, 32);
    challenge = fixture_challenge(&fix, id);
    assert_int_equal(challenge->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN);
    assert_int_equal(challenge->due_ms, challenge->opened_ms + fix.params.challenge_window_ms);
    info = check_info();
    assert_int_equal(info.next_due_ms, challenge->due_ms);
    assert_int_equal(challenge->opened_height, info.height);

    /* What it asks for: drawn from the block that holds it. */
    view = check_view();
    assert_int_equal(
        ledger_challenge_indices(challenge, &fix.params, &fix.arena, &indices, &count, NULL), 0);
    ledger_view_close(view);
    assert_int_equal(count, 64);
    {
        uint8_t seed[32];
        const struct hm_slice parts[] = {hm_slice_of(info.block_hash, 32), hm_slice_of(id, 32)};

        crypto_hash_parts("hypermesh 1 challenge", parts, 2, seed);
        assert_memory_equal(challenge->seed.data, seed, 32);
    }
    answer = op_answer_space(&fix, id);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(answer->challenge_answer->openings[i]->index, indices[i]);

    burnt = fixture_supply(&fix)->hyper_burnt;
    result = good(NODE, answer);
    account = fixture_account(&fix, NODE);
    assert_int_equal(account->hyper, node - result->fee + DEPOSIT - DEPOSIT / 10);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt + result->fee + DEPOSIT / 10);
    assert_int_equal(account->bonded, BOND);
    assert_int_equal(account->marks->open, 0);
    assert_int_equal(account->marks->n_waiting, 0);
    assert_int_equal(account->marks->answered, 1);
    assert_int_equal(account->marks->failed, 0);
    assert_non_null(account->plot);
    account = fixture_account(&fix, CAROL);
    assert_int_equal(account->hyper, carol);
    assert_int_equal(account->deposits, 0);
    challenge = fixture_challenge(&fix, id);
    assert_int_equal(challenge->state, HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
    assert_int_equal(challenge->slashed, 0);
    assert_true(challenge->ended_ms > challenge->opened_ms);
    assert_int_equal(fixture_supply(&fix)->hyper_deposits, 0);
    info = check_info();
    assert_int_equal(info.next_due_ms, 0);
    /* Nothing more happens when it would have been due. */
    fix.next_ms += fix.params.challenge_window_ms;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_silent, 0);
}

static void test_result_answered(void **state)
{
    uint8_t lease[32];
    uint8_t plain[32];
    uint8_t id[32];
    uint64_t *indices;
    size_t count;

    (void)state;
    settled_with("a job", "hypermesh job result 1\n", lease);
    made(CAROL, op_challenge(&fix, NODE, lease), id);
    assert_int_equal(ledger_challenge_indices(fixture_challenge(&fix, id), &fix.params, &fix.arena,
                                              &indices, &count, NULL),
                     HM_EINVAL);
    good(NODE, op_answer_result(&fix, id, "a job", "hypermesh job result 1\n"));
    assert_int_equal(fixture_challenge(&fix, id)->state,
                     HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
    assert_false(fixture_lease(&fix, lease)->refuted);
    /* A lease for no job has no preimage of one. */
    settled_with(NULL, "m", plain);
    made(CAROL, op_challenge(&fix, NODE, plain), id);
    good(NODE, op_answer_result(&fix, id, "", "m"));
    assert_int_equal(fixture_challenge(&fix, id)->state,
                     HYPERMESH__CHALLENGE_STATE__CHALLENGE_ANSWERED);
    /* One that was answered may be asked again: it costs its maker each time. */
    made(CAROL, op_challenge(&fix, NODE, plain), id);
    assert_int_equal(fixture_account(&fix, NODE)->marks->answered, 2);
}

/* Results have places of their own, one each: however many a node has its friends ask for, it is still asked for
 * its space, and for what else it settled. */
static void test_results_take_no_place(void **state)
{
    const unsigned many = fix.params.max_open_challenges + 1;
    uint8_t lease[LEASES_MAX][32];
    uint8_t id[LEASES_MAX][32];
    Hypermesh__Account *node;

    (void)state;
    assert_true(many <= LEASES_MAX);
    for (unsigned i = 0; i < many; i++) {
        settled_with(NULL, "m", lease[i]);
        made(BOB, op_challenge(&fix, NODE, lease[i]), id[i]);
        assert_memory_equal(fixture_lease(&fix, lease[i])->challenge.data, id[i], 32);
    }
    refused(CAROL, op_challenge(&fix, NODE, lease[0]), "challenge.twice");
    made(CAROL, op_challenge(&fix, NODE, NULL), id[many]);
    node = fixture_account(&fix, NODE);
    assert_int_equal(node->marks->open, many + 1);
    assert_int_equal(node->marks->open_results, many);
    assert_int_equal(node->marks->n_waiting, 1);
    good(NODE, op_answer_result(&fix, id[0], "", "m"));
    assert_int_equal(fixture_lease(&fix, lease[0])->challenge.len, 0);
    made(CAROL, op_challenge(&fix, NODE, lease[0]), id[0]);
    good(NODE, op_answer_space(&fix, id[many]));
    node = fixture_account(&fix, NODE);
    assert_int_equal(node->marks->open, many);
    assert_int_equal(node->marks->n_waiting, 0);
    /* The plot waits for nothing any more, whatever the results do. */
    good(NODE, op_space(&fix));
}

/* --- failed --- */

/* The challenge failed in this state; a tenth of what was at stake is gone, half of it to Carol. */
static void failed_like(const uint8_t id[32], Hypermesh__ChallengeState how, uint64_t stake,
                        const char *reason)
{
    const Hypermesh__Challenge *challenge = fixture_challenge(&fix, id);

    assert_int_equal(challenge->state, how);
    assert_int_equal(challenge->slashed, stake / 10);
    assert_int_equal(challenge->paid, stake / 20);
    if (!strstr(challenge->reason, reason))
        fail_msg("reason \"%s\", wanted \"%s\"", challenge->reason, reason);
}

static void test_space_wrong(void **state)
{
    uint64_t carol = fixture_account(&fix, CAROL)->hyper;
    uint64_t burnt;
    Hypermesh__TxResult *result;
    Hypermesh__Account *account;
    Hypermesh__Operation *op;
    struct hm_slice tx;
    uint8_t id[32];

    (void)state;
    /* What waits in the queue is at stake too. */
    good(NODE, op_unbond(&fix, 300 * FIXTURE_HYPER));
    result = good(CAROL, op_challenge(&fix, NODE, NULL));
    memcpy(id, result->created[0].data, 32);
    carol -= result->fee;
    burnt = fixture_supply(&fix)->hyper_burnt;
    op = op_answer_space(&fix, id);
    op->challenge_answer->openings[63]->label.data[0] ^= 1;
    result = good(NODE, op);
    failed_like(id, HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, BOND, "space: ");
    account = fixture_account(&fix, CAROL);
    assert_int_equal(account->hyper, carol + BOND / 20);
    assert_int_equal(account->deposits, 0);
    account = fixture_account(&fix, NODE);
    assert_int_equal(account->bonded, 600 * FIXTURE_HYPER);
    assert_int_equal(account->n_unbonding, 1);
    assert_int_equal(account->unbonding[0]->amount, 300 * FIXTURE_HYPER);
    assert_int_equal(account->marks->failed, 1);
    assert_int_equal(account->marks->answered, 0);
    assert_int_equal(account->marks->open, 0);
    assert_int_equal(account->marks->slashed, BOND / 10);
    assert_true(account->marks->last_failed_ms > 0);
    assert_int_equal(fixture_supply(&fix)->hyper_burnt, burnt + result->fee + BOND / 20);
    assert_int_equal(fixture_supply(&fix)->hyper_deposits, 0);

    /* It is a node no more until it commits again: its batches may not touch assets. */
    assert_null(account->plot);
    refused(CAROL, op_challenge(&fix, NODE, NULL), "");
    assert_int_equal(fix.record->results[0]->code, HM_EPROOF_SPACE);
    op = op_space(&fix);
    tx = fixture_tx(&fix, NODE, &op, 1);
    tx = fixture_seal(&fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1);
    assert_int_equal(fixture_block(&fix, &tx, 1), 0);
    assert_string_equal(fix.record->results[0]->text, "");
    fixture_resync(&fix);
    good(CAROL, op_allocate(&fix, cpu, 1, 1, MINUTE_MS));
}

/* An answer to another challenge, too few openings, none. */
static void test_space_moved(void **state)
{
    uint8_t first[32];
    uint8_t second[32];
    Hypermesh__Operation *op;
    struct hm_slice tx;

    (void)state;
    made(CAROL, op_challenge(&fix, NODE, NULL), first);
    made(DAVE, op_challenge(&fix, NODE, NULL), second);
    assert_memory_not_equal(fixture_challenge(&fix, first)->seed.data,
                            fixture_challenge(&fix, second)->seed.data, 32);
    op = op_answer_space(&fix, first);
    op->challenge_answer->challenge = wire_bytes(second, 32);
    good(NODE, op);
    failed_like(second, HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, BOND, "asked for");
    /* The plot is forgotten, the other challenge is not: it can be answered, here without a Space proof. */
    op = op_answer_space(&fix, first);
    op->challenge_answer->n_openings = 63;
    tx = fixture_tx(&fix, NODE, &op, 1);
    tx = fixture_seal(&fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1);
    assert_int_equal(fixture_block(&fix, &tx, 1), 0);
    assert_string_equal(fix.record->results[0]->text, "");
    failed_like(first, HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, BOND / 10 * 9, "space: ");
    assert_int_equal(fixture_account(&fix, NODE)->marks->failed, 2);
}

/* Of each the preimages must be there, and nothing else may be. */
static void test_result_wrong(void **state)
{
    static const char *const answers[][2] = {
        {"a job", ""}, {"a job", "m2"}, {"", "m"}, {"another job", "m"}};
    uint64_t stake = BOND;
    uint8_t lease[32];
    uint8_t id[32];

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(answers); i++) {
        settled_with("a job", "m", lease);
        made(CAROL, op_challenge(&fix, NODE, lease), id);
        good(NODE, op_answer_result(&fix, id, answers[i][0], answers[i][1]));
        failed_like(id, HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, stake,
                    i < 2 ? "manifest" : "job");
        assert_true(fixture_lease(&fix, lease)->refuted);
        refused(CAROL, op_challenge(&fix, NODE, lease), "challenge.decided");
        stake -= stake / 10;
        /* A plot has nothing to do with it. */
        assert_non_null(fixture_account(&fix, NODE)->plot);
    }
    settled_with(NULL, "m", lease);
    made(CAROL, op_challenge(&fix, NODE, lease), id);
    good(NODE, op_answer_result(&fix, id, "a job", "m"));
    failed_like(id, HYPERMESH__CHALLENGE_STATE__CHALLENGE_FAILED, stake, "job");
}

static void test_silence(void **state)
{
    uint64_t carol;
    uint8_t lease[32];
    uint8_t id[2][32];
    uint64_t due;

    (void)state;
    settled_with("a job", "m", lease);
    made(CAROL, op_challenge(&fix, NODE, lease), id[0]);
    made(CAROL, op_challenge(&fix, NODE, NULL), id[1]);
    carol = fixture_account(&fix, CAROL)->hyper;
    due = fixture_challenge(&fix, id[0])->due_ms;
    fix.next_ms = due - 1;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_silent, 0);
    fix.next_ms = due;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_silent, 1);
    assert_memory_equal(fix.record->silent[0].data, id[0], 32);
    failed_like(id[0], HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT, BOND, "in time");
    assert_true(fixture_lease(&fix, lease)->refuted);
    assert_int_equal(fixture_challenge(&fix, id[0])->ended_ms, due);
    assert_int_equal(fixture_account(&fix, CAROL)->hyper, carol + DEPOSIT + BOND / 20);
    assert_int_equal(fixture_account(&fix, CAROL)->deposits, DEPOSIT);
    fix.next_ms += MINUTE_MS;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_silent, 1);
    failed_like(id[1], HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT, BOND / 10 * 9, "in time");
    assert_null(fixture_account(&fix, NODE)->plot);
    assert_int_equal(fixture_account(&fix, NODE)->marks->failed, 2);
    assert_int_equal(fixture_supply(&fix)->hyper_deposits, 0);
}

/* In the very block that ends it an answer comes too late, and costs nothing more. */
static void test_too_late(void **state)
{
    uint8_t id[32];
    Hypermesh__Operation *op;
    struct hm_slice tx;

    (void)state;
    made(CAROL, op_challenge(&fix, NODE, NULL), id);
    fix.next_ms = fixture_challenge(&fix, id)->due_ms;
    op = op_answer_space(&fix, id);
    tx = fixture_tx(&fix, NODE, &op, 1);
    tx = fixture_seal(&fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1);
    assert_int_equal(fixture_block(&fix, &tx, 1), 0);
    assert_int_equal(fix.record->n_silent, 1);
    assert_string_equal(fix.record->results[0]->rule, "challenge.ended");
    fixture_resync(&fix);
    failed_like(id, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT, BOND, "in time");
}

/* A node can't escape by unbonding: what is in its queue is slashed when the bond is not enough. */
static void test_queue_is_slashed(void **state)
{
    Hypermesh__Account *account;
    uint8_t id[32];

    (void)state;
    good(NODE, op_retire(&fix, cpu[0]));
    good(NODE, op_unbond(&fix, 200 * FIXTURE_HYPER));
    good(NODE, op_unbond(&fix, 780 * FIXTURE_HYPER));
    made(CAROL, op_challenge(&fix, NODE, NULL), id);
    refused(NODE, op_unbond(&fix, 1), "bond.challenged");
    fix.next_ms = fixture_challenge(&fix, id)->due_ms;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    failed_like(id, HYPERMESH__CHALLENGE_STATE__CHALLENGE_SILENT, BOND, "in time");
    account = fixture_account(&fix, NODE);
    assert_int_equal(account->bonded, 0); /* 20, then 80 of the newest in the queue */
    assert_int_equal(account->n_unbonding, 2);
    assert_int_equal(account->unbonding[0]->amount, 200 * FIXTURE_HYPER);
    assert_int_equal(account->unbonding[1]->amount, 700 * FIXTURE_HYPER);
}

/* While one challenge is open a tenth stays bonded, while two are, two. */
static void test_bond_while_open(void **state)
{
    uint8_t id[2][32];

    (void)state;
    good(NODE, op_retire(&fix, cpu[0]));
    made(CAROL, op_challenge(&fix, NODE, NULL), id[0]);
    made(DAVE, op_challenge(&fix, NODE, NULL), id[1]);
    refused(NODE, op_unbond(&fix, 800 * FIXTURE_HYPER + 1), "bond.challenged");
    good(NODE, op_unbond(&fix, 800 * FIXTURE_HYPER));
    good(NODE, op_answer_space(&fix, id[0]));
    refused(NODE, op_unbond(&fix, 100 * FIXTURE_HYPER + 1), "bond.challenged");
    good(NODE, op_unbond(&fix, 100 * FIXTURE_HYPER));
    good(NODE, op_answer_space(&fix, id[1]));
    good(NODE, op_unbond(&fix, 100 * FIXTURE_HYPER));
}

/* --- lists --- */

static size_t listed(enum fixture_role party, bool open_only, bool everybody)
{
    struct ledger_challenge_filter filter = {.party = everybody ? NULL : fix.people[party].id,
                                             .open_only = open_only};
    struct ledger_view *view = check_view();
    Hypermesh__Challenge **list;
    size_t count;

    assert_int_equal(
        ledger_view_challenges(view, &filter, NULL, 100, &fix.arena, &list, &count, NULL), 0);
    for (size_t i = 1; i < count; i++)
        assert_true(memcmp(list[i - 1]->id.data, list[i]->id.data, 32) < 0);
    ledger_view_close(view);
    return count;
}

static void test_lists(void **state)
{
    uint8_t id[3][32];

    (void)state;
    made(CAROL, op_challenge(&fix, NODE, NULL), id[0]);
    made(DAVE, op_challenge(&fix, NODE, NULL), id[1]);
    good(NODE, op_answer_space(&fix, id[0]));
    made(CAROL, op_challenge(&fix, NODE, NULL), id[2]);
    assert_int_equal(listed(CAROL, false, false), 2);
    assert_int_equal(listed(CAROL, true, false), 1);
    assert_int_equal(listed(DAVE, true, false), 1);
    assert_int_equal(listed(NODE, false, false), 3);
    assert_int_equal(listed(NODE, true, false), 2);
    assert_int_equal(listed(BOB, false, false), 0);
    assert_int_equal(listed(BOB, false, true), 3);
    assert_int_equal(listed(BOB, true, true), 2);
    /* Several in one transaction count as several. */
    {
        Hypermesh__Operation *ops[2] = {op_challenge(&fix, NODE, NULL),
                                        op_challenge(&fix, NODE, NULL)};

        assert_string_equal(fixture_do_many(&fix, ERIN, ops, 2)->rule, "challenge.twice");
        assert_int_equal(fixture_account(&fix, ERIN)->deposits, 0);
        assert_int_equal(listed(NODE, true, false), 2);
    }
}

/* --- sizes --- */

/* The largest answers fit a transaction: 64 openings of the largest plot; a job and a manifest as large as
 * they get. */
static void test_answers_fit(void **state)
{
    Hypermesh__Params params;
    Hypermesh__PlotOpening opening = HYPERMESH__PLOT_OPENING__INIT;
    Hypermesh__PlotOpening *openings[PROOF_OPENINGS_MAX];
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[1] = {&op};
    Hypermesh__ChallengeAnswer answer = HYPERMESH__CHALLENGE_ANSWER__INIT;
    uint8_t *bytes = calloc(1, 512 * 1024);
    Hypermesh__TxBody *body;
    struct hm_slice tx;

    (void)state;
    assert_non_null(bytes);
    ledger_default_params(&params);
    opening.index = PROOF_PLOT_LABELS_MAX - 1;
    opening.label = wire_bytes(bytes, 32);
    opening.path = wire_bytes(bytes, 40 * 32);
    for (size_t i = 0; i < HM_COUNT_OF(openings); i++)
        openings[i] = &opening;
    answer.challenge = wire_bytes(fix.people[BOB].id, 32);
    answer.openings = openings;
    answer.n_openings = HM_COUNT_OF(openings);
    op.op_case = HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER;
    op.challenge_answer = &answer;
    body = fixture_body(&fix, NODE, ops, 1);
    tx = fixture_pack(&fix, &fixture_sign(&fix, NODE, body, true)->base);
    assert_true(tx.len > 80 * 1024);
    assert_true(tx.len <= params.max_tx_bytes);
    assert_true(ledger_tx_weight(body, tx.len) > tx.len + 64 * 200);
    answer.n_openings = 0;
    answer.job = wire_bytes(bytes, 384 * 1024);
    answer.manifest = wire_bytes(bytes, 64 * 1024);
    tx = fixture_pack(&fix,
                      &fixture_sign(&fix, NODE, fixture_body(&fix, NODE, ops, 1), true)->base);
    assert_true(tx.len <= params.max_tx_bytes);
    free(bytes);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_space_answered), CASE(test_result_answered),  CASE(test_space_wrong),
        CASE(test_space_moved),    CASE(test_result_wrong),     CASE(test_silence),
        CASE(test_too_late),       CASE(test_queue_is_slashed), CASE(test_bond_while_open),
        CASE(test_lists),          CASE(test_answers_fit),      CASE(test_results_take_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
