/* What strangers hand the ledger. The first byte says as what the others come in:
 *   0  a transaction at the door      1  a batch in a block, and its proofs shown
 *   2  a genesis                      3  the operations of a transaction body, signed and carried as they
 *                                        should be, so that they reach the rules themselves
 * A block may refuse what it likes; it may not fail, and supply must add up (the ledger checks that). */
#include "ledger_fixture.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture fix;

static void close_fixture(void)
{
    fixture_release(&fix);
}

static Hypermesh__TxResult *must(enum fixture_role who, Hypermesh__Operation *op)
{
    Hypermesh__TxResult *result = fixture_do(&fix, who, op);

    if (!result || result->code)
        abort();
    return result;
}

/* The chain that every input finds: Alice offers cpu0, Bob leases half of it; Bob has an open network that Alice
 * is in; a result of Alice's and the node's space are challenged. */
static void open_fixture(void)
{
    uint8_t asset[1][32];
    uint8_t id[32];

    if (fixture_init(&fix, NULL))
        abort();
    (void)atexit(close_fixture);
    must(ALICE, op_register(&fix, "cpu0", 3600000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC));
    fixture_asset_id(&fix, ALICE, "cpu0", asset[0]);
    must(BOB, op_allocate(&fix, asset, 1, 500000, 600000));
    memcpy(id, must(BOB, op_network(&fix, "net", true))->created[0].data, 32);
    must(ALICE, op_join(&fix, id));
    memcpy(id, must(BOB, op_allocate_job(&fix, asset, 1, 60000, "job"))->created[0].data, 32);
    must(ALICE, op_settle_result(&fix, id, "manifest"));
    must(BOB, op_challenge(&fix, ALICE, id));
    must(CAROL, op_challenge(&fix, NODE, NULL));
}

/* The block is dropped again, so that every input finds the same chain. */
static void block_try(struct hm_slice item)
{
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct hm_error error = {0};
    int rc;

    fixture_propose(&fix, &item, 1, &proposal);
    rc = ledger_process(fix.ledger, &proposal, &error);
    assert(!hm_error_is_fatal(rc));
    rc = ledger_finalize(fix.ledger, &proposal, &outcome, &error);
    if (rc) {
        assert(rc == HM_ELIMIT); /* more bytes than a block takes */
        return;
    }
    for (size_t i = 0; i < outcome.record->n_results; i++) {
        const Hypermesh__TxResult *result = outcome.record->results[i];

        assert((result->code == 0) == (result->text[0] == '\0'));
        /* Whatever an operation refuses has a rule. */
        assert(result->code == 0 || result->fee == 0 || result->rule[0] != '\0');
        assert(result->code <= 0);
    }
    ledger_abandon(fix.ledger);
}

static void proofs_try(struct hm_slice batch)
{
    struct ledger_proof_case *that;
    struct ledger_view *view;
    const char *shows;

    if (ledger_view_open(fix.ledger, &view, NULL))
        abort();
    if (ledger_proof_case_offered(view, batch, 0, fix.next_ms, &fix.arena, &that, NULL) == 0) {
        for (int kind = 0; kind < LEDGER_PROOF_COUNT; kind++)
            (void)ledger_proof_case_check(that, (enum ledger_proof_kind)kind, &shows, NULL);
    }
    ledger_view_close(view);
}

static void genesis_try(struct hm_slice bytes)
{
    struct ledger *ledger;
    struct store *store;
    struct ledger_info info;

    if (store_open_memory(fixture_store_options(), &store, NULL) ||
        ledger_open(store, &ledger, NULL))
        abort();
    if (ledger_init_chain(ledger, bytes, NULL) == 0)
        assert(ledger_info(ledger, &info, NULL) == 0 && info.height == 0);
    ledger_close(ledger);
    store_close(store);
}

static void ops_try(struct hm_slice bytes)
{
    static const enum fixture_role signers[] = {BOB, ALICE, NODE};
    enum fixture_role who = signers[bytes.len % HM_COUNT_OF(signers)];
    Hypermesh__TxBody *given;
    struct hm_slice tx;
    bool by_root = false;

    if (WIRE_UNPACK(hypermesh__tx_body, bytes, fix.params.max_tx_bytes, &fix.arena, &given, NULL) ||
        given->n_ops == 0)
        return;
    for (size_t i = 0; i < given->n_ops; i++)
        by_root = by_root || given->ops[i]->op_case == HYPERMESH__OPERATION__OP_SESSION_GRANT;
    tx = by_root ? fixture_root_tx(&fix, who, given->ops, given->n_ops)
                 : fixture_tx(&fix, who, given->ops, given->n_ops);
    fixture_resync(&fix);
    block_try(fixture_batch(&fix, &tx, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_slice rest;

    if (!fix.ledger)
        open_fixture();
    if (size == 0)
        return 0;
    rest = hm_slice_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        (void)ledger_check_tx(fix.ledger, rest, fix.next_ms, NULL, NULL);
        break;
    case 1:
        block_try(rest);
        proofs_try(rest);
        break;
    case 2:
        genesis_try(rest);
        break;
    default:
        ops_try(rest);
        break;
    }
    fixture_forget(&fix);
    return 0;
}
