/* Events of a block, made from the block; and that lists by party need not look at everything. */
#include <stdio.h>

#include "ledger_check.h"
#include "ledger_kv_ops.h"

static int setup(void **state)
{
    return check_setup(state) || check_offer(ALICE, 36, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
}

static size_t events_of(uint64_t height, uint32_t index, size_t limit, struct ledger_event **out,
                        uint32_t *total)
{
    struct ledger_view *view = check_view();
    size_t count;

    if (ledger_view_events(view, height, index, limit, &fix.arena, out, &count, total, &fix.error))
        fail_msg("events: %s", fix.error.text);
    ledger_view_close(view);
    return count;
}

static bool is_id(const uint8_t *id, const uint8_t wanted[32])
{
    return id && memcmp(id, wanted, 32) == 0;
}

/* A block in which a lease and a challenge end by time, three transactions act and one is refused. */
static void test_block(void **state)
{
    Hypermesh__Operation *ops[3];
    struct ledger_event *events;
    struct hm_slice txs[3];
    struct hm_slice item;
    uint8_t lease[32];
    uint8_t challenge[32];
    uint8_t digest[32];
    uint32_t total;
    size_t count;

    (void)state;
    memcpy(lease, fixture_do(&fix, BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS))->created[0].data,
           32);
    memcpy(challenge, fixture_do(&fix, BOB, op_challenge(&fix, NODE, NULL))->created[0].data, 32);
    fix.next_ms = fixture_challenge(&fix, challenge)->due_ms + 1000;
    ops[0] = op_transfer(&fix, CAROL, 5);
    ops[1] = op_network(&fix, "net", true);
    ops[2] = op_invite(&fix, challenge, CAROL);
    txs[0] = fixture_root_tx(&fix, BOB, ops, 2);
    txs[1] = fixture_root_tx(&fix, ALICE, &ops[2], 1); /* refused: there is no such network */
    ops[0] = op_peers(&fix, NULL, 0);
    txs[2] = fixture_root_tx(&fix, CAROL, ops, 1);
    item = fixture_seal_bare(&fix, fixture_head(&fix, NODE, txs, 3, false), txs, 3);
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    assert_int_equal(fix.record->n_expired, 1);
    assert_int_equal(fix.record->n_silent, 1);
    assert_int_equal(fix.record->results[1]->code, HM_ENOTFOUND);

    count = events_of(check_info().height, 0, 100, &events, &total);
    assert_int_equal(count, 5);
    assert_int_equal(total, 5);
    assert_string_equal(events[0].type, "lease_expired");
    assert_true(is_id(events[0].lease, lease));
    assert_null(events[0].tx);
    assert_null(events[0].account);
    assert_string_equal(events[1].type, "challenge_silent");
    assert_true(is_id(events[1].challenge, challenge));
    assert_string_equal(events[2].type, "transfer");
    assert_true(is_id(events[2].account, fix.people[BOB].id));
    fixture_tx_digest(txs[0], digest);
    assert_true(is_id(events[2].tx, digest));
    assert_int_equal(events[2].op->transfer->amount, 5);
    assert_null(events[2].network);
    assert_string_equal(events[3].type, "network_create");
    assert_true(is_id(events[3].network, fix.record->results[0]->created[0].data));
    assert_true(is_id(events[3].tx, digest));
    assert_string_equal(events[4].type, "peers_set");
    assert_true(is_id(events[4].account, fix.people[CAROL].id));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(events[i].index, i);
        assert_int_equal(events[i].height, check_info().height);
        assert_int_equal(events[i].time_ms, fix.record->time_ms);
    }
    /* From the middle, a few at a time. */
    assert_int_equal(events_of(check_info().height, 3, 1, &events, &total), 1);
    assert_string_equal(events[0].type, "network_create");
    assert_int_equal(events[0].index, 3);
    assert_int_equal(total, 5);
    assert_int_equal(events_of(check_info().height, 1, 2, &events, &total), 2);
    assert_string_equal(events[1].type, "transfer");
    assert_int_equal(events_of(check_info().height, 5, 2, &events, &total), 0);
    assert_int_equal(total, 5);
}

/* What each operation is about. */
static void about(enum fixture_role who, Hypermesh__Operation *op, const char *type,
                  const uint8_t *asset, const uint8_t *lease, const uint8_t *network,
                  const uint8_t *challenge)
{
    struct ledger_event *events;
    uint32_t total;
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);

    assert_string_equal(result->text, "");
    assert_int_equal(events_of(check_info().height, 0, 10, &events, &total), 1);
    assert_string_equal(events[0].type, type);
    assert_int_equal(asset != NULL, events[0].asset != NULL);
    assert_int_equal(lease != NULL, events[0].lease != NULL);
    assert_int_equal(network != NULL, events[0].network != NULL);
    assert_int_equal(challenge != NULL, events[0].challenge != NULL);
    if (asset)
        assert_memory_equal(events[0].asset, asset, 32);
    if (lease)
        assert_memory_equal(events[0].lease, lease, 32);
    if (network)
        assert_memory_equal(events[0].network, network, 32);
    if (challenge)
        assert_memory_equal(events[0].challenge, challenge, 32);
}

static void test_subjects(void **state)
{
    uint8_t other[32];
    uint8_t lease[32];
    uint8_t net[32];
    uint8_t challenge[32];

    (void)state;
    fixture_asset_id(&fix, BOB, "b", other);
    about(BOB, op_register(&fix, "b", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC), "asset_register",
          other, NULL, NULL, NULL);
    about(BOB, op_update(&fix, other, 5, 5), "asset_update", other, NULL, NULL, NULL);
    about(BOB, op_privacy(&fix, other, HYPERMESH__PRIVACY_LEVEL__PRIVATE), "privacy_set", other,
          NULL, NULL, NULL);
    about(BOB, op_give(&fix, other, CAROL), "asset_transfer", other, NULL, NULL, NULL);
    about(CAROL, op_retire(&fix, other), "asset_retire", other, NULL, NULL, NULL);
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    about(BOB, op_renew(&fix, lease, 1), "renew", NULL, lease, NULL, NULL);
    about(BOB, op_free(&fix, lease), "release", NULL, lease, NULL, NULL);
    about(ALICE, op_settle_result(&fix, lease, "m"), "settle", NULL, lease, NULL, NULL);
    made(ALICE, op_challenge(&fix, NODE, NULL), challenge);
    about(NODE, op_answer_space(&fix, challenge), "challenge_answer", NULL, NULL, NULL, challenge);
    made(ALICE, op_network(&fix, "n", true), net);
    about(ALICE, op_invite(&fix, net, BOB), "network_invite", NULL, NULL, net, NULL);
    about(BOB, op_join(&fix, net), "network_join", NULL, NULL, net, NULL);
    about(BOB, op_leave(&fix, net), "network_leave", NULL, NULL, net, NULL);
    about(CAROL, op_join(&fix, net), "network_join", NULL, NULL, net, NULL);
    about(ALICE, op_expel(&fix, net, CAROL), "network_expel", NULL, NULL, net, NULL);
    about(ALICE, op_dissolve(&fix, net), "network_dissolve", NULL, NULL, net, NULL);
    about(ALICE, op_proxy(&fix, true, NULL, 0), "proxy_set", NULL, NULL, NULL, NULL);
    {
        struct ledger_event *events;
        uint32_t total;

        made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
        assert_int_equal(events_of(check_info().height, 0, 10, &events, &total), 1);
        assert_true(is_id(events[0].lease, lease));
        assert_true(is_id(events[0].asset, cpu[0]));
    }
}

/* Changed keys come last, one event each; a compaction takes them away, and nothing else of the block. */
static void test_keys(void **state)
{
    Hypermesh__Operation *ops[3] = {op_kv_put(&fix, "a", "1", 0), op_kv_put(&fix, "b", "2", 0),
                                    op_kv_delete(&fix, "a", NULL)};
    Hypermesh__TxResult *result = fixture_do_many(&fix, ALICE, ops, 3);
    struct ledger_event *events;
    uint64_t height = check_info().height;
    uint64_t revision;
    uint32_t total;

    (void)state;
    assert_string_equal(result->text, "");
    assert_int_equal(events_of(height, 0, 100, &events, &total), 6);
    assert_string_equal(events[0].type, "kv_put");
    assert_string_equal(events[2].type, "kv_delete");
    for (size_t i = 3; i < 6; i++) {
        assert_string_equal(events[i].type, "kv");
        assert_int_equal(events[i].index, i);
        assert_int_equal(events[i].kv->height, height);
        assert_null(events[i].op);
    }
    assert_memory_equal(events[4].kv->key.data, "b", 1);
    assert_memory_equal(events[4].kv->entry->value.data, "2", 1);
    assert_true(events[5].kv->deleted);
    revision = events[5].kv->revision;
    assert_int_equal(events_of(height, 5, 100, &events, &total), 1);
    assert_true(events[0].kv->deleted);
    assert_int_equal(total, 6);
    assert_string_equal(fixture_do(&fix, ALICE, op_kv_put(&fix, "c", "3", 0))->text, "");
    /* One that cuts through the block takes all of its keys: the rest would have other numbers. */
    assert_string_equal(fixture_do(&fix, BOB, op_kv_compact(&fix, revision))->text, "");
    assert_int_equal(events_of(height, 0, 100, &events, &total), 3);
    assert_string_equal(fixture_do(&fix, BOB, op_kv_compact(&fix, revision + 1))->text, "");
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(events_of(height, 0, 100, &events, &total), 3);
    assert_int_equal(total, 3);
}

static void test_no_block(void **state)
{
    struct ledger_event *events;
    struct ledger_view *view = check_view();
    uint32_t total;
    size_t count;

    (void)state;
    assert_int_equal(ledger_view_events(view, check_info().height + 1, 0, 1, &fix.arena, &events,
                                        &count, &total, NULL),
                     HM_ENOTFOUND);
    assert_int_equal(ledger_view_events(view, 0, 0, 1, &fix.arena, &events, &count, &total, NULL),
                     HM_ENOTFOUND);
    assert_int_equal(ledger_view_events(view, 1, 0, 0, &fix.arena, &events, &count, &total, NULL),
                     HM_ELIMIT);
    assert_int_equal(ledger_view_events(view, 1, 0, LEDGER_EVENTS_MAX + 1, &fix.arena, &events,
                                        &count, &total, NULL),
                     HM_ELIMIT);
    ledger_view_close(view);
    for (unsigned number = 1; number <= LEDGER_OP_COUNT; number++)
        assert_string_equal(ledger_op_name(number), wire_op_name(number));
    assert_null(ledger_op_name(0));
    assert_null(ledger_op_name(LEDGER_OP_COUNT + 1));
}

/* --- indexes --- */

static size_t leases_by(const uint8_t *party, const uint8_t *asset, bool active_only)
{
    struct ledger_lease_filter filter = {
        .party = party, .asset = asset, .active_only = active_only};
    Hypermesh__Lease **list;
    struct ledger_view *view = check_view();
    uint8_t last[32];
    size_t count;
    size_t seen = 0;

    for (const uint8_t *after = NULL;; after = last) {
        assert_int_equal(
            ledger_view_leases(view, &filter, after, 2, &fix.arena, &list, &count, NULL), 0);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            assert_true(i + seen == 0 || memcmp(last, list[i]->id.data, 32) < 0);
            memcpy(last, list[i]->id.data, 32);
        }
        seen += count;
    }
    ledger_view_close(view);
    return seen;
}

static size_t assets_by(enum fixture_role owner, bool with_retired)
{
    struct ledger_asset_filter filter = {.owner = fix.people[owner].id,
                                         .with_retired = with_retired};
    Hypermesh__Asset **list;
    struct ledger_view *view = check_view();
    size_t count;

    assert_int_equal(ledger_view_assets(view, &filter, NULL, 100, &fix.arena, &list, &count, NULL),
                     0);
    ledger_view_close(view);
    return count;
}

static void test_leases_by_party(void **state)
{
    const uint8_t *alice = fix.people[ALICE].id;
    const uint8_t *bob = fix.people[BOB].id;
    uint8_t lease[5][32];

    (void)state;
    for (size_t i = 0; i < 5; i++)
        made(i < 3 ? BOB : ALICE, op_allocate(&fix, cpu, 1, 1, (i + 1) * MINUTE_MS), lease[i]);
    assert_int_equal(leases_by(bob, NULL, true), 3);
    assert_int_equal(leases_by(alice, NULL, true), 5);
    assert_int_equal(leases_by(NULL, NULL, true), 5);
    assert_int_equal(fixture_do(&fix, BOB, op_free(&fix, lease[1]))->code, 0);
    assert_int_equal(fixture_do(&fix, ALICE, op_settle(&fix, lease[2]))->code, 0);
    fix.next_ms += MINUTE_MS; /* the first ends by itself */
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    assert_int_equal(fix.record->n_expired, 1);
    assert_int_equal(leases_by(bob, NULL, true), 0);
    assert_int_equal(leases_by(bob, NULL, false), 3);
    assert_int_equal(leases_by(alice, NULL, true), 2);
    assert_int_equal(leases_by(alice, NULL, false), 5);
    assert_int_equal(leases_by(NULL, NULL, true), 2);
    assert_int_equal(leases_by(NULL, NULL, false), 5);
    assert_int_equal(leases_by(NULL, cpu[0], false), 5);
    assert_int_equal(leases_by(NULL, cpu[0], true), 2);
    assert_int_equal(leases_by(bob, cpu[0], false), 3);
    assert_int_equal(leases_by(NULL, bob, false), 0);
}

static void test_assets_by_owner(void **state)
{
    uint8_t id[32];

    (void)state;
    made(ALICE, op_register(&fix, "cpu1", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE), id);
    assert_int_equal(assets_by(ALICE, false), 2);
    assert_int_equal(fixture_do(&fix, ALICE, op_give(&fix, id, BOB))->code, 0);
    assert_int_equal(assets_by(ALICE, true), 1);
    assert_int_equal(assets_by(BOB, false), 1);
    assert_int_equal(fixture_do(&fix, BOB, op_retire(&fix, id))->code, 0);
    assert_int_equal(assets_by(BOB, false), 0);
    assert_int_equal(assets_by(BOB, true), 1);
    /* Whoever the id was made from registers it again. */
    made(ALICE, op_register(&fix, "cpu1", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE), id);
    assert_int_equal(assets_by(BOB, true), 0);
    assert_int_equal(assets_by(ALICE, false), 2);
    assert_int_equal(assets_by(ALICE, true), 2);
}

/* Entries of a kind of the index. */
static size_t entries(char kind)
{
    const uint8_t first = (uint8_t)kind;
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice value;
    struct hm_slice key;
    size_t count = 0;
    int rc;

    assert_int_equal(store_begin_read(fix.store, &txn, NULL), 0);
    assert_int_equal(store_cursor_open(txn, LEDGER_TABLE_INDEX, &cursor, NULL), 0);
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    for (; rc == 0 && key.data[0] == first; rc = store_cursor_next(cursor, &key, &value)) {
        assert_int_equal(key.len, 65);
        assert_int_equal(value.len, 0);
        count++;
    }
    store_cursor_close(cursor);
    store_abort(txn);
    return count;
}

/* What has ended is not in the lists of what is active: who asks for those does not walk over it. */
static void test_entries(void **state)
{
    uint8_t lease[32];
    uint8_t challenge[32];
    uint8_t net[32];

    (void)state;
    assert_int_equal(entries('s'), 1);
    assert_int_equal(entries('S'), 1);
    made(BOB, op_allocate(&fix, cpu, 1, 1, MINUTE_MS), lease);
    assert_int_equal(entries('l'), 3); /* consumer, provider, everybody */
    assert_int_equal(entries('L'), 2);
    assert_int_equal(entries('I'), 1);
    assert_int_equal(fixture_do(&fix, BOB, op_free(&fix, lease))->code, 0);
    assert_int_equal(entries('l'), 0);
    assert_int_equal(entries('L'), 2);
    made(BOB, op_challenge(&fix, NODE, NULL), challenge);
    assert_int_equal(entries('c'), 3);
    assert_int_equal(entries('C'), 2);
    assert_int_equal(fixture_do(&fix, NODE, op_answer_space(&fix, challenge))->code, 0);
    assert_int_equal(entries('c'), 0);
    assert_int_equal(entries('C'), 2);
    made(BOB, op_network(&fix, "n", true), net);
    assert_int_equal(fixture_do(&fix, ALICE, op_join(&fix, net))->code, 0);
    assert_int_equal(entries('n'), 2);
    assert_int_equal(fixture_do(&fix, ALICE, op_leave(&fix, net))->code, 0);
    assert_int_equal(fixture_do(&fix, BOB, op_dissolve(&fix, net))->code, 0);
    assert_int_equal(entries('n'), 0);
    assert_int_equal(fixture_do(&fix, ALICE, op_retire(&fix, cpu[0]))->code, 0);
    assert_int_equal(entries('s'), 0);
    assert_int_equal(entries('S'), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_block),
        CASE(test_subjects),
        CASE(test_no_block),
        CASE(test_leases_by_party),
        CASE(test_assets_by_owner),
        CASE(test_entries),
        CASE(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
