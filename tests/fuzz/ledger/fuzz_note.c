/* What the proposer of a cluster's block and the pool hand the ledger. The first byte says as what the others come in:
 *   0  a note, in front of a block      1  an item of the pool
 *   2  the header of a block            3  what the engine says of a block, in a header that is right otherwise
 *   4  a note, in front of a batch that pays, where votes and a link are due      5  what a validator says with its vote
 * A block may be refused; what is taken must be applied, and a block without batches has no results. */
#include "stake_ops.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture fix;
static struct engine_model model;
static uint8_t set_hash[32];

static void close_fixture(void)
{
    fixture_release(&fix);
}

static void links(Hypermesh__Params *params)
{
    params->vdf_blocks = 1;
    params->vdf_steps = 300;
}

/* One validator; the first link is due. */
static void open_fixture(void)
{
    const struct fixture_options options = {.params = links};
    Hypermesh__TxResult *result;

    if (fixture_init(&fix, &options))
        abort();
    result = fixture_do(&fix, ALICE, op_declare(&fix, ALICE, 1000 * FIXTURE_HYPER, 0));
    if (!result || result->code)
        abort();
    engine_model_begin(&model, &fix);
    engine_model_hash(&model, set_hash);
    if (!cluster_do(&fix, BOB, op_transfer(&fix, CAROL, 1), NULL))
        abort();
    (void)atexit(close_fixture);
}

/* Dropped again, so that every input finds the same chain. */
static void block_try(const struct ledger_proposal *proposal)
{
    struct ledger_outcome outcome;
    struct hm_error error = {0};
    int asked = ledger_process(fix.ledger, proposal, &error);
    int rc = ledger_finalize(fix.ledger, proposal, &outcome, &error);

    assert(asked == 0 || !hm_error_is_fatal(asked));
    assert(asked != 0 || rc == 0);
    if (rc) {
        assert(rc == HM_EINVAL || rc == HM_ELIMIT);
        return;
    }
    assert(outcome.record->n_results == 0);
    assert(outcome.item_count == proposal->count);
    ledger_abandon(fix.ledger);
}

static void note_try(struct hm_slice bytes)
{
    struct ledger_proposal proposal;
    struct ledger_info info;
    struct hm_slice item;
    uint64_t time_ms;
    uint8_t *note = fixture_take(&fix, bytes.len + 1);

    note[0] = 0xf1;
    if (bytes.len > 0)
        memcpy(note + 1, bytes.data, bytes.len);
    item = hm_slice_of(note, bytes.len + 1);
    if (ledger_info(fix.ledger, &info, NULL))
        abort();
    /* The header has the time that the note gives, where it gives one. */
    if (ledger_note_time(item, info.time_ms + 1, info.time_ms, &time_ms, NULL) == 0) {
        uint64_t next_ms = fix.next_ms;

        assert(time_ms > info.time_ms);
        fix.next_ms = time_ms;
        cluster_propose(&fix, NULL, &item, 1, &proposal);
        fix.next_ms = next_ms;
        (void)ledger_note_check(item, info.time_ms + 1, info.time_ms, next_ms, NULL);
    } else {
        assert(ledger_note_check(item, info.time_ms + 1, info.time_ms, fix.next_ms, NULL));
        cluster_propose(&fix, NULL, &item, 1, &proposal);
    }
    block_try(&proposal);
}

/* Behind the note a transfer, which is done whatever the note says. */
static void paid_try(struct hm_slice bytes)
{
    Hypermesh__EngineFacts *facts;
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    Hypermesh__BlockNote *note;
    Hypermesh__Operation *op;
    struct hm_error error = {0};
    struct hm_slice items[2];
    struct ledger_info info;
    struct hm_slice tx;
    int asked;

    if (WIRE_UNPACK(hypermesh__block_note, bytes, LEDGER_NOTE_MAX_BYTES - 32, &fix.arena, &note,
                    NULL) ||
        ledger_info(fix.ledger, &info, NULL))
        return;
    note->time_ms = fix.next_ms;
    note->nonce.len = 0;
    facts = cluster_facts(&fix, info.height + 1);
    facts->next_validators_hash = wire_bytes(set_hash, sizeof set_hash);
    fixture_resync(&fix);
    op = op_transfer(&fix, CAROL, 1);
    tx = fixture_tx(&fix, BOB, &op, 1);
    items[0] = cluster_note_item(&fix, note);
    items[1] = fixture_batch(&fix, &tx, 1);
    cluster_propose(&fix, facts, items, 2, &proposal);
    asked = ledger_process(fix.ledger, &proposal, &error);
    assert(!hm_error_is_fatal(asked));
    if (ledger_finalize(fix.ledger, &proposal, &outcome, &error))
        abort();
    assert(outcome.record->n_results == 1 && outcome.record->results[0]->code == 0);
    ledger_abandon(fix.ledger);
}

static void header_try(struct hm_slice bytes)
{
    struct ledger_proposal proposal;

    cluster_propose(&fix, NULL, NULL, 0, &proposal);
    proposal.header = bytes;
    proof_block_hash(bytes, proposal.hash);
    block_try(&proposal);
}

static void facts_try(struct hm_slice bytes)
{
    struct ledger_proposal proposal;
    Hypermesh__EngineFacts *facts;

    if (WIRE_UNPACK(hypermesh__engine_facts, bytes, 65536, &fix.arena, &facts, NULL))
        return;
    facts->bft_time_ms = fix.next_ms;
    cluster_propose(&fix, facts, NULL, 0, &proposal);
    block_try(&proposal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_slice rest;

    if (!fix.ledger)
        open_fixture();
    if (size == 0)
        return 0;
    rest = hm_slice_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        note_try(rest);
        break;
    case 1:
        assert(!hm_error_is_fatal(ledger_check_item(fix.ledger, rest, fix.next_ms, NULL)));
        break;
    case 2:
        header_try(rest);
        break;
    case 3:
        facts_try(rest);
        break;
    case 4:
        paid_try(rest);
        break;
    default:
        assert(!hm_error_is_fatal(ledger_witness_check(rest, NULL)));
        break;
    }
    fixture_forget(&fix);
    return 0;
}
