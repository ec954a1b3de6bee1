/* The rules of blocks without an engine stay what they were: a chain that was written before there were any others gives,
 * block by block, the state roots that were written with it.
 *
 * old_chain.bin: records of be32 length and bytes: the genesis; then of each block the block and its state root. */
#include "ledger_check.h"

#define FILE_MAX_BYTES ((size_t)4 << 20)
#define BLOCKS         19
#define BASE_FEE_END   UINT64_C(161)

static struct hm_slice chain_read(struct hm_buf *buf)
{
    const char *source = getenv("HM_SOURCE");
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/tests/unit/ledger/old_chain.bin", source ? source : ".");
    assert_int_equal(hm_file_read(path, FILE_MAX_BYTES, buf, &fix.error), 0);
    return hm_buf_slice(buf);
}

static struct hm_slice record_next(struct hm_slice *rest)
{
    struct hm_slice record;

    assert_true(rest->len >= 4);
    record.len = hm_get_be32(rest->data);
    assert_true(rest->len - 4 >= record.len);
    record.data = rest->data + 4;
    rest->data += 4 + record.len;
    rest->len -= 4 + record.len;
    return record;
}

static void block_apply(struct ledger *ledger, uint64_t height, struct hm_slice bytes,
                        struct hm_slice root)
{
    struct ledger_proposal proposal = {.height = height};
    Hypermesh__BlockHeader *header;
    struct ledger_outcome outcome;
    Hypermesh__Block *block;
    struct hm_slice *items;

    assert_int_equal(WIRE_UNPACK(hypermesh__block, bytes, bytes.len, &fix.arena, &block, NULL), 0);
    proposal.header = wire_slice(block->header);
    assert_int_equal(WIRE_UNPACK(hypermesh__block_header, proposal.header, proposal.header.len,
                                 &fix.arena, &header, NULL),
                     0);
    assert_null(header->engine);
    items = fixture_take(&fix, (block->n_items + 1) * sizeof *items);
    for (size_t i = 0; i < block->n_items; i++)
        items[i] = wire_slice(block->items[i]);
    proposal.items = items;
    proposal.count = block->n_items;
    proposal.time_ms = header->time_ms;
    proof_block_hash(proposal.header, proposal.hash);
    if (ledger_finalize(ledger, &proposal, &outcome, &fix.error))
        fail_msg("block %llu: %s", (unsigned long long)height, fix.error.text);
    if (!hm_slice_equal(hm_slice_of(outcome.state_root, 32), root))
        fail_msg("block %llu gives another state root than it did", (unsigned long long)height);
    assert_int_equal(outcome.updates_count, 0);
    assert_int_equal(ledger_commit(ledger, NULL), 0);
}

static void test_roots(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    struct hm_slice rest = chain_read(&buf);
    struct ledger_view *view;
    struct ledger_info info;
    struct ledger *ledger;
    struct store *store;
    uint64_t height = 0;
    uint64_t era = 7;

    (void)state;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    assert_int_equal(ledger_open(store, &ledger, NULL), 0);
    assert_int_equal(ledger_init_chain(ledger, record_next(&rest), &fix.error), 0);
    while (rest.len > 0) {
        struct hm_slice block = record_next(&rest);

        block_apply(ledger, ++height, block, record_next(&rest));
    }
    assert_int_equal(ledger_info(ledger, &info, NULL), 0);
    assert_int_equal(info.height, BLOCKS);
    assert_int_equal(info.base_fee, BASE_FEE_END);
    /* Nothing of an engine's in it. */
    assert_int_equal(ledger_era(ledger, &era, NULL), 0);
    assert_int_equal(era, 0);
    assert_int_equal(ledger_view_open(ledger, &view, NULL), 0);
    Hypermesh__ChainFacts *facts;
    assert_int_equal(ledger_view_chain_facts(view, &fix.arena, &facts, NULL), HM_ENOTFOUND);
    ledger_view_close(view);
    ledger_close(ledger);
    store_close(store);
}

/* --- operations that came after it --- */

static void before_stake(Hypermesh__Params *params)
{
    params->max_validators = 0;
    params->power_unit = params->validator_bond = 0;
}

static int setup_before_stake(void **state)
{
    const struct fixture_options options = {.params = before_stake, .bare = true};

    (void)state;
    return fixture_init(&fix, &options);
}

/* One operation of Alice's by her root keys, in a block of its own. */
static Hypermesh__TxResult *root_do(Hypermesh__Operation *op)
{
    struct hm_slice tx = fixture_root_tx(&fix, ALICE, &op, 1);
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, &tx, 1, false);
    struct hm_slice item = fixture_seal_bare(&fix, head, &tx, 1);

    if (fixture_block(&fix, &item, 1))
        fail_msg("%s", fix.error.text);
    assert_int_equal(fix.record->n_results, 1);
    return fix.record->results[0];
}

static Hypermesh__TxResult *root_grant(uint64_t scope)
{
    return root_do(
        op_grant(&fix, fix.people[ALICE].session.public_key, scope, fix.next_ms + HOUR_MS));
}

/* What was refused then stays refused when the chain is read again: a scope with bits of operations that came later, for a
 * fee, and those operations themselves, which no one could read, for none. */
static void test_later_operations(void **state)
{
    uint8_t presence[32];
    Hypermesh__TxResult *result;

    (void)state;
    assert_int_equal(ledger_scope_taken(fix.ledger), LEDGER_SCOPE_OLD);
    result = root_grant(LEDGER_SCOPE_ALL);
    assert_string_equal(result->rule, "session.scope");
    assert_non_null(strstr(result->text, "0x3fffffffe"));
    assert_true(result->fee > 0);
    for (unsigned number = LEDGER_OP_COUNT_OLD + 1; number <= LEDGER_OP_COUNT; number++)
        assert_int_not_equal(root_grant(UINT64_C(1) << number)->code, 0);
    assert_int_equal(root_grant(LEDGER_SCOPE_OLD)->code, 0);
    memcpy(presence, fix.people[ALICE].presence, sizeof presence);
    result = root_do(op_new(&fix, HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE));
    assert_int_equal(result->code, HM_EPARSE);
    assert_int_equal(result->fee, 0);
    memcpy(fix.people[ALICE].presence, presence, sizeof presence);
    /* A cluster's blocks are all of after. */
    fix.cluster = true;
    result = root_do(op_new(&fix, HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE));
    assert_int_not_equal(result->code, HM_EPARSE);
    assert_true(result->fee > 0);
    assert_int_equal(root_grant(LEDGER_SCOPE_ALL)->code, 0);
    assert_int_equal(ledger_scope_taken(fix.ledger), LEDGER_SCOPE_ALL);
}

static void test_new_chains_know_them(void **state)
{
    (void)state;
    assert_int_equal(ledger_scope_taken(fix.ledger), LEDGER_SCOPE_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_roots, check_setup, check_teardown),
        cmocka_unit_test_setup_teardown(test_later_operations, setup_before_stake, check_teardown),
        cmocka_unit_test_setup_teardown(test_new_chains_know_them, check_setup, check_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
