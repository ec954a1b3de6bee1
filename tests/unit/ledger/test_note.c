/* Notes: what a cluster's proposer puts in front of its block. Their form, the time they give a block, what a node's
 * own clock lets pass, and where in a block one may stand. */
#include "cluster_fixture.h"
#include "ledger_batch.h"
#include "ledger_check.h"
#include "ledger_facts.h"

#define SECOND UINT64_C(1000)

static struct hm_slice note_of(uint64_t time_ms)
{
    return cluster_note(&fix, time_ms);
}

/* Begins as a note does and is none. */
static struct hm_slice broken_note(void)
{
    return wire_slice(fixture_keep(&fix, "\361\377\377", 3));
}

static struct hm_slice batch_of(enum fixture_role who, uint64_t amount)
{
    Hypermesh__Operation *op = op_transfer(&fix, CAROL, amount);
    struct hm_slice tx = fixture_tx(&fix, who, &op, 1);

    return fixture_batch(&fix, &tx, 1);
}

static void test_form(void **state)
{
    static const uint8_t nonce[LEDGER_NOTE_NONCE_BYTES] = {7};
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};
    Hypermesh__BlockNote big = HYPERMESH__BLOCK_NOTE__INIT;
    Hypermesh__BlockNote *note;
    struct hm_slice item;

    (void)state;
    item = note_of(5);
    assert_true(ledger_item_is_note(item));
    assert_false(ledger_item_is_note((struct hm_slice){0}));
    assert_false(ledger_item_is_note(batch_of(ALICE, 1)));
    assert_int_equal(ledger_note_read(item, &fix.arena, &note, NULL), 0);
    assert_int_equal(note->time_ms, 5);
    assert_int_equal(ledger_note_request(nonce, &buf, NULL), 0);
    assert_int_equal(ledger_note_read(hm_buf_slice(&buf), &fix.arena, &note, NULL), 0);
    assert_int_equal(note->time_ms, 0);
    assert_int_equal(note->nonce.len, sizeof nonce);
    /* Too long to pack leaves what was there; too long to be read; a nonce past its limit; a time past all. */
    big.nonce = fixture_keep(&fix, fixture_take(&fix, LEDGER_NOTE_MAX_BYTES),
                             LEDGER_NOTE_MAX_BYTES);
    item = wire_slice(fixture_keep(&fix, buf.data, buf.len));
    assert_int_equal(ledger_note_pack(&big, &buf, &fix.error), HM_ELIMIT);
    assert_true(hm_slice_equal(hm_buf_slice(&buf), item));
    hm_buf_clear(&buf);
    assert_int_equal(hm_buf_append(&buf, "\361", 1), 0);
    assert_int_equal(wire_pack(&big.base, &buf), 0);
    assert_int_equal(ledger_note_read(hm_buf_slice(&buf), &fix.arena, &note, NULL), HM_ELIMIT);
    big.nonce.len = LEDGER_NOTE_NONCE_BYTES + 1;
    hm_buf_clear(&buf);
    assert_int_equal(ledger_note_pack(&big, &buf, NULL), 0);
    assert_int_equal(ledger_note_read(hm_buf_slice(&buf), &fix.arena, &note, NULL), HM_EINVAL);
    assert_int_equal(ledger_note_read(note_of(UINT64_MAX / 2), &fix.arena, &note, NULL), HM_EINVAL);
    assert_int_equal(ledger_note_read(broken_note(), &fix.arena, &note, NULL), HM_EINVAL);
    assert_int_equal(ledger_note_read(batch_of(ALICE, 1), &fix.arena, &note, NULL), HM_EINVAL);
}

static void time_is(struct hm_slice item, uint64_t bft_ms, uint64_t last_ms, uint64_t wanted)
{
    uint64_t time_ms = 0;

    assert_int_equal(ledger_note_time(item, bft_ms, last_ms, &time_ms, &fix.error), 0);
    assert_int_equal(time_ms, wanted);
}

static void test_time(void **state)
{
    const struct hm_slice none = {0};
    uint64_t untouched = 77;

    (void)state;
    time_is(none, 50, 40, 50);
    time_is(none, 40, 40, 41);
    time_is(none, 10, 40, 41);
    time_is(batch_of(ALICE, 1), 50, 40, 50);
    time_is(note_of(60), 50, 40, 60);
    time_is(note_of(45), 50, 40, 45); /* whether it may is for ledger_note_check */
    time_is(note_of(30), 50, 40, 41);
    time_is(cluster_request(&fix, 1, 1), 50, 40, 50);
    assert_int_equal(ledger_note_time(broken_note(), 50, 40, &untouched, &fix.error), HM_EINVAL);
    assert_int_equal(ledger_note_time(note_of(UINT64_MAX), 50, 40, &untouched, NULL), HM_EINVAL);
    assert_int_equal(untouched, 77);
}

static int check(uint64_t said, uint64_t bft_ms, uint64_t last_ms, uint64_t now_ms)
{
    return ledger_note_check(note_of(said), bft_ms, last_ms, now_ms, &fix.error);
}

static void test_clock(void **state)
{
    (void)state;
    assert_int_equal(ledger_note_check((struct hm_slice){0}, 50, 40, 0, NULL), 0);
    assert_int_equal(ledger_note_check(batch_of(ALICE, 1), 50, 40, 0, NULL), 0);
    assert_int_equal(ledger_note_check(broken_note(), 50, 40, 50, NULL), HM_EINVAL);
    assert_int_equal(ledger_note_check(cluster_request(&fix, 1, 1), 50, 40, 50, NULL), HM_EINVAL);
    /* Not before the engine's time, nor the last block's. */
    assert_int_equal(check(50, 50, 40, 50), 0);
    assert_int_equal(check(49, 50, 40, 50), HM_EINVAL);
    assert_int_equal(check(60, 50, 60, 50), HM_EINVAL);
    assert_int_equal(check(61, 50, 60, 50), 0);
    /* Two seconds past this clock, or past the engine's time, whichever is later. */
    assert_int_equal(check(100 * SECOND + 2 * SECOND, 90 * SECOND, 1, 100 * SECOND), 0);
    assert_int_equal(check(100 * SECOND + 2 * SECOND + 1, 90 * SECOND, 1, 100 * SECOND), HM_EINVAL);
    assert_int_equal(check(92 * SECOND, 90 * SECOND, 1, 60 * SECOND), 0);
    assert_int_equal(check(92 * SECOND + 1, 90 * SECOND, 1, 60 * SECOND), HM_EINVAL);
    /* The earliest that may follow is good whatever clocks say: a clock that was set back stops nothing. */
    assert_int_equal(check(500 * SECOND + 1, 90 * SECOND, 500 * SECOND, 60 * SECOND), 0);
    assert_int_equal(check(500 * SECOND + 2, 90 * SECOND, 500 * SECOND, 60 * SECOND), HM_EINVAL);
    assert_int_equal(check(1, 0, 0, UINT64_MAX), 0);
}

/* --- four clocks, two of them half a minute ahead --- */

#define NODES 4
#define AHEAD (30 * SECOND)

static uint64_t clock_of(unsigned node, uint64_t now_ms)
{
    return now_ms + (node < NODES / 2 ? 0 : AHEAD);
}

/* As a proposer makes its note. */
static uint64_t note_time_of(unsigned proposer, uint64_t bft_ms, uint64_t last_ms, uint64_t now_ms)
{
    uint64_t said = clock_of(proposer, now_ms);

    if (said < bft_ms)
        said = bft_ms;
    return said > last_ms ? said : last_ms + 1;
}

/* Would three of four vote for the proposer's block? */
static bool passes(unsigned proposer, uint64_t bft_ms, uint64_t last_ms, uint64_t now_ms)
{
    uint64_t said = note_time_of(proposer, bft_ms, last_ms, now_ms);
    unsigned votes = 0;

    for (unsigned node = 0; node < NODES; node++)
        votes += check(said, bft_ms, last_ms, clock_of(node, now_ms)) == 0;
    return votes == NODES;
}

/* The engine's time is the median of what voters said, so that it follows either pair. Whatever it does, a proposer in
 * turn finds everybody's vote, times rise, and none is past the fastest clock and its two seconds. */
static void test_split_clocks(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 6);
    uint64_t last = 1000 * SECOND;
    uint64_t bft = last;
    uint64_t now = last;
    unsigned refused = 0;

    (void)state;
    for (unsigned block = 0; block < 300; block++) {
        unsigned proposer = block % NODES;
        uint64_t previous_bft = bft;
        unsigned rounds = 0;

        now += 1 + hm_random_u64(&random) % SECOND;
        bft = hm_random_u64(&random) % 2 ? now : now + AHEAD;
        if (bft <= previous_bft) /* the engine's own time rises, too */
            bft = previous_bft + 1;
        while (!passes(proposer, bft, last, now)) {
            proposer = (proposer + 1) % NODES;
            refused++;
            assert_true(++rounds < NODES);
        }
        last = note_time_of(proposer, bft, last, now);
        assert_true(last <= now + AHEAD + LEDGER_NOTE_AHEAD_MS);
        fixture_forget(&fix);
    }
    assert_true(refused > 0);
}

/* --- in a block --- */

static int process(const struct hm_slice *items, size_t count)
{
    struct ledger_proposal proposal;

    cluster_propose(&fix, NULL, items, count, &proposal);
    return ledger_process(fix.ledger, &proposal, &fix.error);
}

static void test_place(void **state)
{
    struct hm_slice note = note_of(fix.next_ms);
    struct hm_slice batch = batch_of(ALICE, 1);
    struct hm_slice items[3];
    struct ledger_proposal proposal;

    (void)state;
    items[0] = note;
    items[1] = batch;
    items[2] = note;
    assert_int_equal(process(items, 0), 0);
    assert_int_equal(process(items, 1), 0);
    assert_int_equal(process(items, 2), 0);
    assert_int_equal(process(items + 1, 1), 0);
    assert_int_equal(process(items, 3), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "item 2 is a note"));
    assert_int_equal(process(items + 1, 2), HM_EINVAL);
    items[1] = note;
    assert_int_equal(process(items, 2), HM_EINVAL);
    items[0] = cluster_request(&fix, 5, 0);
    assert_int_equal(process(items, 1), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "no time"));
    /* One node's block has none. */
    items[0] = note;
    fixture_propose(&fix, items, 1, &proposal);
    assert_int_equal(ledger_process(fix.ledger, &proposal, &fix.error), HM_EPARSE);
    /* The time of the header must be the note's. */
    items[0] = note_of(fix.next_ms + 1);
    assert_int_equal(process(items, 1), HM_EINVAL);
    assert_non_null(strstr(fix.error.text, "time"));
}

/* However many bytes follow the first, a block that holds them is taken or refused, and the ledger goes on. */
static void test_hostile(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 66);
    struct ledger_info before = check_info();
    unsigned taken = 0;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        size_t len = 1 + hm_random_u64(&random) % (i % 50 == 0 ? 5000 : 12);
        uint8_t *bytes = fixture_take(&fix, len);
        struct hm_slice item = hm_slice_of(bytes, len);
        uint64_t time_ms;
        int rc;

        bytes[0] = 0xf1;
        for (size_t k = 1; k < len; k++)
            bytes[k] = (uint8_t)(hm_random_u64(&random) % (i % 2 ? 256 : 16));
        assert_true(ledger_item_is_note(item));
        rc = ledger_note_time(item, fix.next_ms, before.time_ms, &time_ms, NULL);
        assert_true(rc == 0 || rc == HM_EINVAL);
        rc = ledger_note_check(item, fix.next_ms, before.time_ms, fix.next_ms, NULL);
        assert_true(rc == 0 || rc == HM_EINVAL);
        rc = process(&item, 1);
        assert_true(rc == 0 || rc == HM_EINVAL || rc == HM_ELIMIT);
        taken += rc == 0;
        assert_int_not_equal(ledger_check_item(fix.ledger, item, fix.next_ms, NULL), 0);
        fixture_forget(&fix);
    }
    assert_int_equal(taken, 0); /* none says the time that the header has */
    assert_int_equal(cluster_block(&fix, NULL, 0, NULL), 0);
}

/* --- how much fits --- */

static uint64_t weight_of(struct hm_slice item)
{
    uint64_t weight;
    size_t txs;

    assert_int_equal(
        ledger_batch_weigh(fix.ledger->params, NULL, item, &fix.arena, &weight, &txs, NULL), 0);
    return weight;
}

static void block_takes(uint64_t weight)
{
    /* The tests' own ledger, before anybody else looks. */
    ((Hypermesh__Params *)(uintptr_t)fix.ledger->params)->block_weight_max = weight;
}

static void test_fits(void **state)
{
    struct hm_slice items[] = {note_of(fix.next_ms), batch_of(ALICE, 1), batch_of(BOB, 1),
                               note_of(fix.next_ms)};
    uint64_t both = weight_of(items[1]) + weight_of(items[2]);

    (void)state;
    assert_int_equal(ledger_prepare(fix.ledger, items, 0), 0);
    assert_int_equal(ledger_prepare(fix.ledger, items, 1), 1);
    assert_int_equal(ledger_prepare(fix.ledger, items, 4), 3); /* a second note does not fit */
    assert_int_equal(ledger_prepare(fix.ledger, items + 2, 2), 1);
    /* The note weighs its bytes, and what prepare takes process takes. */
    block_takes(both + items[0].len);
    assert_int_equal(ledger_prepare(fix.ledger, items, 3), 3);
    assert_int_equal(process(items, 3), 0);
    block_takes(both + items[0].len - 1);
    assert_int_equal(ledger_prepare(fix.ledger, items, 3), 2);
    assert_int_equal(process(items, 3), HM_ELIMIT);
    assert_int_equal(process(items, 2), 0);
    assert_int_equal(ledger_prepare(fix.ledger, items + 1, 2), 2);
    /* The first batch fits in any case, note or not. */
    block_takes(1);
    assert_int_equal(ledger_prepare(fix.ledger, items, 3), 2);
    assert_int_equal(process(items, 2), 0);
    assert_int_equal(process(items, 3), HM_ELIMIT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_form),  CASE(test_time),    CASE(test_clock), CASE(test_split_clocks),
        CASE(test_place), CASE(test_hostile), CASE(test_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
