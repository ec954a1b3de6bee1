#include "snapshot_check.h"

#include <stdio.h>

#include "ledger_kv.h"
#include "ledger_reads.h"
#include "ledger_supply.h"
#include "stake_ops.h"

const struct ledger_snapshot_sizes snap_small = {.target = 2048, .held = 16384};
struct pieces whole;
struct store *twin_store;
struct ledger *twin;
struct hm_slice genesis;

/* --- making and taking --- */

int pieces_make(struct ledger_view *view, const struct ledger_snapshot_sizes *sizes,
                struct pieces *out, struct hm_error *error)
{
    struct ledger_snapshot *snapshot;
    struct hm_buf chunk = {0};
    uint32_t index;
    int rc = ledger_snapshot_open_sized(view, sizes, &snapshot, error);

    if (rc)
        return rc;
    out->count = ledger_snapshot_chunks(snapshot);
    assert_true(out->count <= CHUNKS_MAX);
    for (uint32_t i = 0; rc == 0; i++) {
        rc = ledger_snapshot_next(snapshot, &index, &chunk, error);
        if (rc == 0) {
            assert_int_equal(index, i);
            out->chunks[i] = chunk;
            chunk = (struct hm_buf){0};
        } else if (rc == HM_ENOTFOUND) {
            assert_int_equal(i, out->count);
        }
    }
    hm_buf_release(&chunk);
    if (rc == HM_ENOTFOUND)
        rc = ledger_snapshot_metadata(snapshot, &out->metadata, error);
    ledger_snapshot_close(snapshot);
    if (rc == 0) {
        struct ledger_snapshot_meta meta;

        assert_int_equal(ledger_snapshot_meta_parse(hm_buf_slice(&out->metadata), &meta, error), 0);
        out->parts = meta.part_count;
        rc = ledger_view_info(view, &out->info, error);
    }
    return rc;
}

void pieces_release(struct pieces *pieces)
{
    hm_buf_release(&pieces->metadata);
    for (size_t i = 0; i < CHUNKS_MAX; i++)
        hm_buf_release(&pieces->chunks[i]);
    *pieces = (struct pieces){0};
}

void pieces_of(struct ledger *ledger, struct pieces *out)
{
    struct hm_error error = {0};
    struct ledger_view *view;

    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    if (pieces_make(view, &snap_small, out, &error))
        fail_msg("snapshot: %s", error.text);
    ledger_view_close(view);
}

int snap_begin_with(struct hm_slice metadata, struct ledger_restore **out, struct hm_error *error)
{
    const struct ledger_restore_expect expect = {
        .genesis = genesis, .height = whole.info.height, .state_root = whole.info.state_root};

    return ledger_restore_begin(twin, &expect, metadata, out, error);
}

struct ledger_restore *snap_begin(void)
{
    struct ledger_restore *restore;
    struct hm_error error = {0};

    if (snap_begin_with(hm_buf_slice(&whole.metadata), &restore, &error))
        fail_msg("begin: %s", error.text);
    assert_int_equal(ledger_restore_chunks(restore), whole.count);
    return restore;
}

void snap_take(struct ledger_restore *restore, uint32_t index)
{
    struct hm_error error = {0};

    if (ledger_restore_chunk(restore, index, hm_buf_slice(&whole.chunks[index]), &error))
        fail_msg("chunk: %s", error.text);
}

void twin_open(void)
{
    struct hm_error error = {0};

    assert_int_equal(store_open_memory(fixture_store_options(), &twin_store, NULL), 0);
    if (ledger_open(twin_store, &twin, &error))
        fail_msg("twin: %s", error.text);
}

void twin_close(void)
{
    ledger_close(twin);
    store_close(twin_store);
    twin = NULL;
    twin_store = NULL;
}

/* State in an order of its own. */
void twin_restore(void)
{
    struct ledger_restore *restore = snap_begin();
    struct hm_error error = {0};

    for (uint32_t i = 0; i < whole.parts; i++)
        snap_take(restore, (i * 7 + 3) % whole.parts);
    for (uint32_t i = whole.parts; i < whole.count; i++)
        snap_take(restore, i);
    if (ledger_restore_finish(restore, &error))
        fail_msg("finish: %s", error.text);
    ledger_restore_close(restore);
}

/* --- the world --- */

static void few_anchors(Hypermesh__Params *params)
{
    params->anchor_max_blocks = 12;
}

/* One of everything, and things that left and came back, under one node; then an engine takes over. */
static void world(void)
{
    uint8_t other[32];

    reads_world();
    good(CAROL, op_register(&fix, "gone", 5, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    fixture_asset_id(&fix, CAROL, "gone", other);
    good(CAROL, op_give(&fix, other, DAVE));
    good(DAVE, op_retire(&fix, other));
    made(ERIN, op_network(&fix, "left", true), other);
    good(FRANK, op_join(&fix, other));
    good(FRANK, op_leave(&fix, other));
    for (int i = 0; i < 20; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "many/%d", i);
        good(BOB, op_kv_put(&fix, key, "a value that is somewhat longer than its key", 0));
    }
    assert_non_null(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 7), NULL));
    for (int i = 0; i < 210; i++) /* more headers than one chunk has */
        assert_int_equal(cluster_empty(&fix, NULL), 0);
    assert_non_null(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 8), NULL));
}

int snap_setup_with(void (*params)(Hypermesh__Params *params))
{
    const struct fixture_options options = {.params = params};

    if (fixture_init(&fix, &options))
        return -1;
    world();
    genesis = fixture_genesis(&fix);
    pieces_of(fix.ledger, &whole);
    twin_open();
    return 0;
}

int snap_setup(void **state)
{
    (void)state;
    return snap_setup_with(NULL);
}

int snap_setup_few(void **state)
{
    (void)state;
    return snap_setup_with(few_anchors);
}

int snap_teardown(void **state)
{
    (void)state;
    pieces_release(&whole);
    twin_close();
    fixture_release(&fix);
    return 0;
}

void same_info(void)
{
    struct ledger_info a = check_info();
    struct ledger_info b;

    assert_int_equal(ledger_info(twin, &b, NULL), 0);
    assert_string_equal(a.chain_id, b.chain_id);
    assert_int_equal(a.height, b.height);
    assert_int_equal(a.time_ms, b.time_ms);
    assert_int_equal(a.base_fee, b.base_fee);
    assert_int_equal(a.next_due_ms, b.next_due_ms);
    assert_memory_equal(a.block_hash, b.block_hash, 32);
    assert_memory_equal(a.state_root, b.state_root, 32);
}

void same_table(unsigned table)
{
    struct store *stores[] = {fix.store, twin_store};
    struct store_cursor *cursors[2];
    struct store_txn *txns[2];
    struct hm_slice key[2], value[2];
    int rc[2];

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_begin_read(stores[i], &txns[i], NULL), 0);
        assert_int_equal(store_cursor_open(txns[i], table, &cursors[i], NULL), 0);
    }
    do {
        for (size_t i = 0; i < 2; i++)
            rc[i] = store_cursor_next(cursors[i], &key[i], &value[i]);
        assert_int_equal(rc[0], rc[1]);
        if (rc[0] == 0 && (!hm_slice_equal(key[0], key[1]) || !hm_slice_equal(value[0], value[1])))
            fail_msg("%s differs at a key that begins with '%c'", ledger_table_names[table],
                     key[0].data[0]);
    } while (rc[0] == 0);
    for (size_t i = 0; i < 2; i++) {
        store_cursor_close(cursors[i]);
        store_abort(txns[i]);
    }
}

void audited(void)
{
    struct hm_error error = {0};
    struct store_txn *txn;

    assert_int_equal(store_begin_read(twin_store, &txn, NULL), 0);
    if (ledger_supply_audit(txn, &error) || ledger_kv_audit(txn, &error))
        fail_msg("audit: %s", error.text);
    store_abort(txn);
}

/* The same block on both, with the same outcome. */
void both(const struct hm_slice *items, size_t count)
{
    struct ledger *ledgers[] = {fix.ledger, twin};
    HM_CLEANUP(hm_buf) struct hm_buf first = {0};
    HM_CLEANUP(hm_buf) struct hm_buf second = {0};
    struct hm_buf *records[] = {&first, &second};
    struct ledger_proposal proposal;

    cluster_propose(&fix, NULL, items, count, &proposal);
    for (size_t i = 0; i < 2; i++) {
        struct ledger_outcome outcome;
        struct hm_error error = {0};

        if (ledger_process(ledgers[i], &proposal, &error) ||
            ledger_finalize(ledgers[i], &proposal, &outcome, &error))
            fail_msg("block %llu, %zu: %s", (unsigned long long)proposal.height, i, error.text);
        assert_int_equal(wire_pack(&outcome.record->base, records[i]), 0);
        assert_int_equal(ledger_commit(ledgers[i], &error), 0);
    }
    assert_true(hm_slice_equal(hm_buf_slice(&first), hm_buf_slice(&second)));
    fix.next_ms += FIXTURE_BLOCK_MS;
    fixture_resync(&fix);
    same_info();
}

void both_do(enum fixture_role who, Hypermesh__Operation *op)
{
    struct hm_slice items[2] = {cluster_note(&fix, fix.next_ms)};
    struct hm_slice tx = fixture_tx(&fix, who, &op, 1);
    Hypermesh__BlockRecord *record;
    struct ledger_view *view;
    struct hm_slice block;

    items[1] = fixture_seal(
        &fix, NODE,
        fixture_head(&fix, NODE, &tx, 1, ledger_op_touches_assets((unsigned)op->op_case)), &tx, 1);
    both(items, 2);
    view = check_view();
    assert_int_equal(
        ledger_view_block(view, check_info().height, &fix.arena, &block, &record, NULL), 0);
    ledger_view_close(view);
    assert_int_equal(record->n_results, 1);
    assert_string_equal(record->results[0]->text, "");
}

/* Work of every kind, past the end of what was due. */
void go_on(void)
{
    uint8_t id[1][32];

    both_do(ALICE, op_transfer(&fix, CAROL, 5));
    both(NULL, 0);
    both_do(ALICE, op_kv_put(&fix, "k/1", "once more", 0));
    both_do(ALICE, op_kv_put(&fix, "many/3", "changed", 0));
    both_do(BOB, op_kv_delete(&fix, "many/1", "many/2"));
    both_do(ALICE, op_kv_rule(&fix, "mine/", -1)); /* or nobody may compact */
    both_do(BOB, op_kv_compact(&fix, 20));
    both_do(ALICE, op_kv_revoke(&fix, 6));
    both_do(ALICE, op_kv_revoke(&fix, 5));
    fix.next_ms += 11 *
                   MINUTE_MS; /* challenges are answered by silence, and the node loses its plot */
    both(NULL, 0);
    both_do(NODE, op_space(&fix));
    fixture_asset_id(&fix, CAROL, "gone", id[0]);
    both_do(CAROL, op_register(&fix, "gone", 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    both_do(FRANK, op_allocate(&fix, (const uint8_t(*)[32])id, 1, 1000, MINUTE_MS));
    both_do(ERIN, op_undelegate(&fix, DAVE, 0));
    both_do(FRANK, op_delegate(&fix, DAVE, 3 * FIXTURE_HYPER));
    both_do(BOB, op_kv_compact(&fix, 27));
    fix.next_ms += 2 * HOUR_MS; /* leases end */
    both(NULL, 0);
    both_do(ALICE, op_bond(&fix, FIXTURE_HYPER));
}
