/* A node that begins with a snapshot has what validators saw, and the chain of delays, as all others have: it judges the next
 * votes and the next link as they do. */
#include "ledger_check.h"
#include "witness_ops.h"

#define CHUNKS_MAX 64

static struct engine_model model;
static struct store *twin_store;
static struct ledger *twin;

static void params(Hypermesh__Params *out)
{
    out->vdf_blocks = 2;
    out->vdf_steps = 300;
}

static int setup(void **state)
{
    static const struct fixture_options options = {.params = params};
    int rc = fixture_init(&fix, &options);

    (void)state;
    if (rc)
        return rc;
    good(ALICE, op_declare(&fix, ALICE, 1000 * FIXTURE_HYPER, 0));
    engine_model_begin(&model, &fix);
    rc = store_open_memory(fixture_store_options(), &twin_store, &fix.error);
    return rc ? rc : ledger_open(twin_store, &twin, &fix.error);
}

static int teardown(void **state)
{
    ledger_close(HM_TAKE(twin));
    store_close(HM_TAKE(twin_store));
    return check_teardown(state);
}

/* The note of the next block, with the one validator's vote for the last. */
static Hypermesh__BlockNote *note_next(void)
{
    Hypermesh__BlockNote *note = fixture_new(&fix, &hypermesh__block_note__descriptor);
    struct hm_slice said = fixture_pack(&fix, &witness_say(&fix, ALICE, fix.next_ms)->base);

    note->time_ms = fix.next_ms;
    note->votes = fixture_take(&fix, sizeof *note->votes);
    note->votes[0] = witness_vote(&fix, ALICE, said, check_info().height, 0);
    note->n_votes = 1;
    return note;
}

static void propose(const Hypermesh__BlockNote *note, struct ledger_proposal *out)
{
    struct hm_slice *items = fixture_take(&fix, 2 * sizeof *items);
    Hypermesh__EngineFacts *facts = cluster_facts(&fix, check_info().height + 1);
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);
    uint8_t hash[32];
    struct hm_slice tx;

    engine_model_hash(&model, hash);
    facts->next_validators_hash = fixture_keep(&fix, hash, sizeof hash);
    fixture_resync(&fix);
    tx = fixture_tx(&fix, CAROL, &op, 1);
    items[0] = note ? cluster_note_item(&fix, note) : cluster_note(&fix, fix.next_ms);
    items[1] = fixture_batch(&fix, &tx, 1);
    cluster_propose(&fix, facts, items, 2, out);
}

static void apply(struct ledger *ledger, const struct ledger_proposal *proposal)
{
    struct ledger_outcome outcome;

    if (ledger_process(ledger, proposal, &fix.error) ||
        ledger_finalize(ledger, proposal, &outcome, &fix.error) ||
        ledger_commit(ledger, &fix.error))
        fail_msg("block: %s", fix.error.text);
    assert_int_equal(outcome.record->results[0]->code, 0);
}

static void block(const Hypermesh__BlockNote *note, bool both)
{
    struct ledger_proposal proposal;

    propose(note, &proposal);
    apply(fix.ledger, &proposal);
    if (both)
        apply(twin, &proposal);
    fix.next_ms += FIXTURE_BLOCK_MS;
}

/* --- the twin --- */

static void take_over(void)
{
    HM_CLEANUP(hm_buf) struct hm_buf metadata = {0};
    struct hm_buf chunks[CHUNKS_MAX] = {{0}};
    const struct ledger_info info = check_info();
    const struct ledger_restore_expect expect = {
        .genesis = fixture_genesis(&fix), .height = info.height, .state_root = info.state_root};
    struct ledger_view *view = check_view();
    struct ledger_snapshot *snapshot;
    struct ledger_restore *restore;
    uint32_t count = 0;
    uint32_t index;

    assert_int_equal(ledger_snapshot_open(view, &snapshot, &fix.error), 0);
    while (count < CHUNKS_MAX && ledger_snapshot_next(snapshot, &index, &chunks[count], NULL) == 0)
        assert_int_equal(index, count++);
    assert_int_equal(ledger_snapshot_metadata(snapshot, &metadata, &fix.error), 0);
    ledger_snapshot_close(snapshot);
    ledger_view_close(view);
    if (ledger_restore_begin(twin, &expect, hm_buf_slice(&metadata), &restore, &fix.error))
        fail_msg("restore: %s", fix.error.text);
    assert_int_equal(ledger_restore_chunks(restore), count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(ledger_restore_chunk(restore, i, hm_buf_slice(&chunks[i]), &fix.error), 0);
        hm_buf_release(&chunks[i]);
    }
    assert_int_equal(ledger_restore_finish(restore, &fix.error), 0);
    ledger_restore_close(restore);
}

static uint64_t seen_at(struct ledger *ledger)
{
    Hypermesh__WitnessView *seen;
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_witness(view, &fix.arena, &seen, &fix.error), 0);
    assert_int_equal(seen->n_nodes, FIXTURE_PEOPLE - 1);
    ledger_view_close(view);
    return seen->height;
}

static struct ledger_vdf_task task_of(struct ledger *ledger)
{
    struct ledger_vdf_task task = {0};
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_vdf_task(view, &task, &fix.error), 0);
    ledger_view_close(view);
    return task;
}

static void test_joined(void **state)
{
    Hypermesh__BlockNote *note;
    Hypermesh__VdfLink link = HYPERMESH__VDF_LINK__INIT;
    Hypermesh__VdfLink *linked;
    struct ledger_vdf_task task;
    struct ledger_vdf_task same;
    struct ledger_info info;
    struct ledger_view *view;
    uint8_t output[256];
    uint8_t proof[256];

    (void)state;
    block(NULL, false);
    block(note_next(), false);
    take_over();
    assert_int_equal(seen_at(twin), check_info().height);
    task = task_of(fix.ledger);
    same = task_of(twin);
    assert_int_equal(same.index, 1);
    assert_memory_equal(same.input, task.input, sizeof task.input);
    /* Too early for both, */
    assert_false(ledger_witness_due(twin, fix.next_ms));
    fix.next_ms += LEDGER_WITNESS_EVERY_MS;
    /* then the link and the next votes for both. */
    note = note_next();
    assert_int_equal(crypto_vdf_eval(task.input, task.steps, NULL, NULL, output, NULL), 0);
    assert_int_equal(crypto_vdf_prove(task.input, task.steps, output, NULL, NULL, proof, NULL), 0);
    link.index = task.index;
    link.steps = task.steps;
    link.height = task.height;
    link.time_ms = task.since_ms;
    link.input = wire_bytes(task.input, 32);
    link.output = wire_bytes(output, 256);
    link.proof = wire_bytes(proof, 256);
    note->vdf = &link;
    block(note, true);
    assert_int_equal(seen_at(twin), check_info().height);
    assert_int_equal(ledger_info(twin, &info, NULL), 0);
    assert_memory_equal(info.state_root, check_info().state_root, 32);
    assert_int_equal(ledger_view_open(twin, &view, NULL), 0);
    assert_int_equal(ledger_view_vdf(view, &fix.arena, &linked, NULL), 0);
    assert_int_equal(linked->index, 1);
    ledger_view_close(view);
}

/* --- damage --- */

static void put(uint8_t key, struct hm_slice value)
{
    struct store_txn *txn;

    assert_int_equal(store_begin_write(fix.store, &txn, NULL), 0);
    assert_int_equal(store_put(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), value, NULL), 0);
    assert_int_equal(store_commit(txn, NULL), 0);
}

/* What cannot be read is never taken for what is not there: no other node would agree. */
static void test_damaged(void **state)
{
    static const uint8_t keys[] = {LEDGER_KEY_WITNESS, LEDGER_KEY_VDF};

    (void)state;
    block(NULL, false);
    block(note_next(), false);
    fix.next_ms += LEDGER_WITNESS_EVERY_MS;
    for (size_t i = 0; i < HM_COUNT_OF(keys); i++) {
        struct ledger_view *view = check_view();
        Hypermesh__WitnessView *seen;
        struct ledger_proposal proposal;
        struct ledger_outcome outcome;
        Hypermesh__VdfLink *link;
        struct ledger_vdf_task task;
        struct hm_slice value;
        struct hm_slice kept;
        struct store_tree_proof proof = {0};
        uint8_t root[32];

        assert_int_equal(
            ledger_view_prove(view, hm_slice_of(&keys[i], 1), &value, &proof, root, NULL), 0);
        store_tree_proof_release(&proof);
        kept = wire_slice(fixture_keep(&fix, value.data, value.len));
        ledger_view_close(view);
        put(keys[i], hm_slice_str("\xff\xff"));
        view = check_view();
        assert_int_equal(ledger_view_witness(view, &fix.arena, &seen, NULL),
                         i == 0 ? HM_ECORRUPT : 0);
        assert_int_equal(ledger_view_vdf_task(view, &task, NULL), i == 1 ? HM_ECORRUPT : 0);
        assert_int_equal(ledger_view_vdf(view, &fix.arena, &link, NULL),
                         i == 1 ? HM_ECORRUPT : HM_ENOTFOUND);
        ledger_view_close(view);
        assert_int_equal(ledger_witness_due(fix.ledger, fix.next_ms), i == 1);
        propose(note_next(), &proposal);
        assert_int_equal(ledger_finalize(fix.ledger, &proposal, &outcome, &fix.error), HM_ECORRUPT);
        put(keys[i], kept);
    }
    block(note_next(), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
