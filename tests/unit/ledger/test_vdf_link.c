/* The chain of delays: when a link is due, what goes into it, whose link counts, and what all of it costs. */
#include "cluster_check.h"
#include "ledger_check.h"
#include "ledger_witness.h"

#include <stdlib.h>
#include <time.h>

#define BLOCKS 3
#define STEPS  400

static void params(Hypermesh__Params *out)
{
    out->vdf_blocks = BLOCKS;
    out->vdf_steps = STEPS;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = params};

    (void)state;
    return fixture_init(&fix, &options);
}

/* --- blocks --- */

/* A block with a note and a transfer. */
static int block_with(Hypermesh__BlockNote *note, bool unjudged)
{
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    struct hm_slice items[2];
    struct hm_slice tx;
    int rc;

    fixture_resync(&fix);
    tx = fixture_tx(&fix, ALICE, &op, 1);
    note->time_ms = fix.next_ms;
    items[0] = cluster_note_item(&fix, note);
    items[1] = fixture_batch(&fix, &tx, 1);
    cluster_propose(&fix, NULL, items, 2, &proposal);
    rc = unjudged ? 0 : ledger_process(fix.ledger, &proposal, &fix.error);
    if (rc == 0)
        rc = ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error);
    if (rc == 0)
        rc = ledger_commit(fix.ledger, &fix.error);
    if (rc)
        return rc;
    assert_int_equal(outcome.record->results[0]->code, 0);
    fix.next_ms += FIXTURE_BLOCK_MS;
    return 0;
}

static void plain(unsigned blocks)
{
    for (unsigned i = 0; i < blocks; i++) {
        Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;

        assert_int_equal(block_with(&note, false), 0);
    }
}

static int task_now(struct ledger_vdf_task *task)
{
    struct ledger_view *view = check_view();
    int rc = ledger_view_vdf_task(view, task, NULL);

    ledger_view_close(view);
    return rc;
}

/* NULL: none yet. */
static Hypermesh__VdfLink *link_now(void)
{
    struct ledger_view *view = check_view();
    Hypermesh__VdfLink *link = NULL;
    int rc = ledger_view_vdf(view, &fix.arena, &link, NULL);

    assert_true(rc == 0 || rc == HM_ENOTFOUND);
    ledger_view_close(view);
    return link;
}

/* As it must be in a note. */
static Hypermesh__VdfLink *link_for(const struct ledger_vdf_task *task)
{
    Hypermesh__VdfLink *link = fixture_new(&fix, &hypermesh__vdf_link__descriptor);
    uint8_t output[256];
    uint8_t proof[256];

    assert_int_equal(crypto_vdf_eval(task->input, task->steps, NULL, NULL, output, NULL), 0);
    assert_int_equal(crypto_vdf_prove(task->input, task->steps, output, NULL, NULL, proof, NULL),
                     0);
    link->index = task->index;
    link->steps = task->steps;
    link->height = task->height;
    link->time_ms = task->since_ms;
    link->input = fixture_keep(&fix, task->input, 32);
    link->output = fixture_keep(&fix, output, 256);
    link->proof = fixture_keep(&fix, proof, 256);
    return link;
}

/* --- tests --- */

static void test_linked(void **state)
{
    struct ledger_vdf_task task;
    uint8_t before[256];
    size_t before_len = 0;

    (void)state;
    for (unsigned index = 1; index <= 3; index++) {
        Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
        struct hm_slice parts[2];
        struct ledger_info due;
        uint8_t input[32];
        const Hypermesh__VdfLink *link;

        plain(BLOCKS - 1);
        assert_int_equal(task_now(&task), HM_ENOTFOUND);
        plain(1);
        due = check_info();
        assert_int_equal(task_now(&task), 0);
        assert_int_equal(task.index, index);
        assert_int_equal(task.steps, STEPS);
        assert_int_equal(task.height, due.height);
        assert_int_equal(task.since_ms, due.time_ms);
        parts[0] = hm_slice_of(before, before_len);
        parts[1] = hm_slice_of(due.block_hash, 32);
        crypto_hash_parts("hypermesh 1 vdf", parts, 2, input);
        assert_memory_equal(task.input, input, 32);
        /* However long it takes. */
        plain(2 * BLOCKS);
        assert_int_equal(task_now(&task), 0);
        assert_int_equal(task.height, due.height);
        note.vdf = link_for(&task);
        assert_int_equal(block_with(&note, false), 0);
        assert_int_equal(task_now(&task), HM_ENOTFOUND);
        link = link_now();
        assert_int_equal(link->index, index);
        assert_int_equal(link->height, due.height);
        assert_int_equal(link->linked_height, check_info().height);
        assert_int_equal(link->linked_ms, check_info().time_ms);
        assert_int_equal(crypto_vdf_verify(link->input.data, link->steps, link->output.data,
                                           link->proof.data, NULL),
                         0);
        memcpy(before, link->output.data, 256);
        before_len = 256;
    }
    replays();
}

static void is_refused(Hypermesh__VdfLink *link, int code)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    uint64_t index = link_now() ? link_now()->index : 0;

    note.vdf = link;
    if (block_with(&note, false) != code)
        fail_msg("%s: %s", hm_error_name(fix.error.code), fix.error.text);
    /* Decided all the same, it is not heard. */
    assert_int_equal(block_with(&note, true), 0);
    assert_int_equal(link_now() ? link_now()->index : 0, index);
}

static void test_refused(void **state)
{
    struct ledger_vdf_task task;
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    Hypermesh__VdfLink *good_one;
    Hypermesh__VdfLink *other;
    Hypermesh__VdfLink link;

    (void)state;
    plain(BLOCKS);
    assert_int_equal(task_now(&task), 0);
    good_one = link_for(&task);
#define CHANGED(change, code)    \
    do {                         \
        link = *good_one;        \
        change;                  \
        is_refused(&link, code); \
    } while (0)
    CHANGED(link.index++, HM_EINVAL);
    CHANGED(link.index = 0, HM_EINVAL);
    CHANGED(link.steps--, HM_EINVAL);
    CHANGED(link.height++, HM_EINVAL);
    CHANGED(link.time_ms--, HM_EINVAL);
    CHANGED(link.linked_height = 1, HM_EINVAL);
    CHANGED(link.linked_ms = 1, HM_EINVAL);
    CHANGED(link.input.len--, HM_EINVAL);
    CHANGED(link.output.len--, HM_EINVAL);
    CHANGED(link.output.len = 0, HM_EINVAL);
    CHANGED(link.proof.len--, HM_EINVAL);
    CHANGED(link.input = fixture_keep(&fix, link.input.data, 32);
            link.input.data[3] ^= 1, HM_EINVAL);
    CHANGED(link.output = fixture_keep(&fix, link.output.data, 256);
            link.output.data[99] ^= 1, HM_EPROOF_TIME);
    CHANGED(link.proof = fixture_keep(&fix, link.proof.data, 256);
            link.proof.data[255] ^= 1, HM_EPROOF_TIME);
    CHANGED(link.output = link.proof, HM_EPROOF_TIME);
    CHANGED(memset((link.output = fixture_keep(&fix, link.output.data, 256)).data, 0xff, 256),
            HM_EPARSE);
    /* Of another input. */
    task.input[0] ^= 1;
    other = link_for(&task);
    other->input = good_one->input;
    is_refused(other, HM_EPROOF_TIME);
    note.vdf = good_one;
    assert_int_equal(block_with(&note, false), 0);
    assert_int_equal(link_now()->index, 1);
    /* Twice, and when none is due. */
    is_refused(good_one, HM_EINVAL);
    replays();
}

/* Blocks without transactions neither count nor take links, so that an idle mesh has nothing to compute. */
static void test_idle(void **state)
{
    struct ledger_vdf_task task;
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    struct ledger_proposal proposal;
    struct ledger_info before;
    struct hm_slice item;

    (void)state;
    plain(BLOCKS - 1);
    before = check_info();
    for (unsigned i = 0; i < 3 * BLOCKS; i++)
        assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_memory_equal(check_info().state_root, before.state_root, 32);
    assert_int_equal(task_now(&task), HM_ENOTFOUND);
    plain(1);
    assert_int_equal(task_now(&task), 0);
    note.time_ms = fix.next_ms;
    note.vdf = link_for(&task);
    item = cluster_note_item(&fix, &note);
    cluster_propose(&fix, NULL, &item, 1, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "no batch follows"));
    replays();
}

/* One node's chain makes none, and neither does a chain without the parameters. */
static void test_none(void **state)
{
    struct ledger_vdf_task task;

    (void)state;
    for (unsigned i = 0; i < 2 * BLOCKS; i++)
        good(ALICE, op_transfer(&fix, BOB, 1));
    assert_int_equal(task_now(&task), HM_ENOTFOUND);
    replays();
    ((Hypermesh__Params *)(uintptr_t)fix.ledger->params)->vdf_blocks = 0; /* the tests' own */
    plain(2 * BLOCKS);
    assert_int_equal(task_now(&task), HM_ENOTFOUND);
    assert_null(link_now());
}

static void test_params(void **state)
{
    Hypermesh__Params some;

    (void)state;
    ledger_default_params(&some);
    assert_int_equal(some.vdf_blocks, 1000);
    assert_int_equal(some.vdf_steps, 1 << 20);
    assert_int_equal(ledger_vdf_params_check(&some, NULL), 0);
    some.vdf_steps = 0;
    assert_int_equal(ledger_vdf_params_check(&some, &fix.error), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "vdf_steps"));
    some.vdf_steps = CRYPTO_VDF_STEPS_MAX + 1;
    assert_int_equal(ledger_vdf_params_check(&some, NULL), HM_EINVAL);
    some.vdf_blocks = 0;
    assert_int_equal(ledger_vdf_params_check(&some, NULL), HM_EINVAL);
    some.vdf_steps = 0;
    assert_int_equal(ledger_vdf_params_check(&some, NULL), 0);
    some.vdf_blocks = UINT64_MAX;
    some.vdf_steps = 1;
    assert_int_equal(ledger_vdf_params_check(&some, &fix.error), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "vdf_blocks"));
}

/* --- what it costs --- */

static uint64_t spent_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A right link is verified once, however often it is looked at. */
static void test_once(void **state)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    struct ledger_vdf_task task;
    uint64_t first = UINT64_MAX;
    uint64_t again = UINT64_MAX;

    (void)state;
    plain(BLOCKS);
    assert_int_equal(task_now(&task), 0);
    note.vdf = link_for(&task);
    for (unsigned i = 0; i < 20; i++) {
        struct store_txn *txn;
        uint64_t began;
        uint64_t ns;

        assert_int_equal(store_begin_read(fix.store, &txn, NULL), 0);
        began = spent_ns();
        assert_int_equal(ledger_vdf_read(fix.ledger, txn, &note, &fix.arena, &fix.error), 0);
        ns = spent_ns() - began;
        if (i == 0)
            first = ns;
        else if (ns < again)
            again = ns;
        store_abort(txn);
    }
    print_message("verified in %.2f ms, known after in %.3f ms\n", (double)first / 1e6,
                  (double)again / 1e6);
    assert_true(again * 4 < first);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_linked), CASE(test_refused), CASE(test_idle),
        CASE(test_none),   CASE(test_params),  CASE(test_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
