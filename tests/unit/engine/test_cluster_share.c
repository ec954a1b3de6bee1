/* What a node that floods, or whose clock is wrong, can and cannot do to a cluster's blocks. */
#include "cluster_script.h"
#include "ledger_kv_ops.h"

#include <stdio.h>

#include "engine_app_share.h"
#include "engine_private.h"

/* --- whose turn it is ------------------------------------------------------------------------------------- */

struct clock_of_test {
    struct hm_clock clock;
    uint64_t ns;
};

static uint64_t test_mono(void *ctx)
{
    return ((struct clock_of_test *)ctx)->ns;
}

static uint64_t test_wall(void *ctx)
{
    return ((struct clock_of_test *)ctx)->ns / 1000000;
}

/* A batch of a node that is called by one number, of so many bytes about; number tells them apart. */
static struct hm_slice batch(struct hm_arena *arena, uint8_t node, unsigned number, size_t bytes)
{
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    Hypermesh__Batch message = HYPERMESH__BATCH__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0}, whole = {0};
    uint8_t id[WIRE_ID_BYTES];
    uint8_t *tx = hm_arena_alloc(arena, bytes);

    memset(id, node, sizeof(id));
    memset(tx, 7, bytes);
    head.chain_id = (char *)(uintptr_t) "chain";
    head.node = wire_bytes(id, sizeof(id));
    head.timestamp_ms = number + 1;
    assert_int_equal(wire_pack(&head.base, &packed), 0);
    ProtobufCBinaryData txs = wire_bytes(tx, bytes);
    message.head = wire_bytes(packed.data, packed.len);
    message.txs = &txs;
    message.n_txs = 1;
    assert_int_equal(wire_pack(&message.base, &whole), 0);
    return hm_slice_of(hm_arena_dup(arena, whole.data, whole.len), whole.len);
}

static void a_batchs_node_is_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice item;
    uint8_t id[WIRE_ID_BYTES];

    (void)state;
    hm_arena_init(&arena, 0);
    item = batch(&arena, 9, 1, 300);
    memset(id, 9, sizeof(id));
    assert_memory_equal(engine_share_node(item), id, sizeof(id));
    /* Cut anywhere it is found whole, or not at all. */
    for (size_t len = 0; len < item.len; len++) {
        uint8_t *cut = hm_malloc(len + 1);

        memcpy(cut, item.data, len);
        const uint8_t *found = engine_share_node(hm_slice_of(cut, len));
        assert_true(found == NULL || (found >= cut && found + WIRE_ID_BYTES <= cut + len));
        hm_free(cut);
    }
    assert_null(engine_share_node(hm_slice_of("\xF1\x08\x01", 3)));
    assert_null(
        engine_share_node(hm_slice_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)));
    assert_null(engine_share_node(hm_slice_of("\x0a\x02\x12\x20", 4)));
}

/* Anybody can write another's name over a batch without a signature: it counts for the account whose act is in it. */
static void an_unsigned_head_names_nobody(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0}, tx = {0}, bytes = {0}, sealed = {0};
    Hypermesh__Batch *whole, message;
    Hypermesh__TxBody act = HYPERMESH__TX_BODY__INIT;
    uint8_t id[WIRE_ID_BYTES];

    (void)state;
    hm_arena_init(&arena, 0);
    struct hm_slice item = batch(&arena, 9, 1, 10);
    assert_int_equal(WIRE_UNPACK(hypermesh__batch, item, item.len, &arena, &whole, NULL), 0);
    memset(id, 4, sizeof(id));
    act.chain_id = (char *)(uintptr_t) "chain";
    act.account = wire_bytes(id, sizeof(id));
    assert_int_equal(wire_pack(&act.base, &body), 0);
    /* The nonce, of eight bytes, stands before the body: a Tx may be written so. */
    assert_int_equal(hm_buf_append(&tx, "\x11........\x0a", 10), 0);
    assert_int_equal(hm_buf_append(&tx, (uint8_t[]){(uint8_t)body.len}, 1), 0);
    assert_int_equal(hm_buf_append(&tx, body.data, body.len), 0);
    ProtobufCBinaryData txs = wire_bytes(tx.data, tx.len);
    message = *whole;
    message.txs = &txs;
    assert_int_equal(wire_pack(&message.base, &bytes), 0);
    assert_memory_equal(engine_share_node(hm_buf_slice(&bytes)), id, sizeof(id));
    /* Signed it is its node's. */
    message.signature = wire_bytes(id, sizeof(id));
    assert_int_equal(wire_pack(&message.base, &sealed), 0);
    memset(id, 9, sizeof(id));
    assert_memory_equal(engine_share_node(hm_buf_slice(&sealed)), id, sizeof(id));
}

static void nobodys_turn_is_taken_by_a_flood(void **state)
{
    struct clock_of_test time = {.ns = 1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice items[40], sorted[40];
    struct engine_share *share;

    (void)state;
    time.clock = (struct hm_clock){test_wall, test_mono, &time};
    hm_arena_init(&arena, 0);
    assert_int_equal(engine_share_new(&time.clock, &share, NULL), 0);
    /* Thirty of one, then three of another, then two great ones, then what is no batch. */
    for (unsigned i = 0; i < 30; i++)
        items[i] = batch(&arena, 1, i, 100);
    for (unsigned i = 30; i < 33; i++)
        items[i] = batch(&arena, 2, i, 100);
    for (unsigned i = 33; i < 35; i++)
        items[i] = batch(&arena, 3, i, 1000);
    items[35] = hm_slice_of("rubbish", 7);
    memcpy(sorted, items, sizeof(items));
    assert_int_equal(engine_share_order(share, sorted, 36, &arena, NULL), 0);
    static const unsigned begin[] = {0, 30, 33, 35, 1, 31, 2, 32, 3};
    for (size_t i = 0; i < HM_COUNT_OF(begin); i++)
        if (sorted[i].data != items[begin[i]].data)
            fail_msg("place %zu", i);
    /* The second great one when the flood has had as much; each is there once, in its own order. */
    unsigned last[4] = {0}, seen = 0;
    for (unsigned i = 0; i < 36; i++)
        for (unsigned k = 0; k < 36; k++)
            if (sorted[i].data == items[k].data) {
                unsigned who = k < 30 ? 0 : k < 33 ? 1 : k < 35 ? 2 : 3;

                assert_true(k >= last[who]);
                last[who] = k;
                seen++;
            }
    assert_int_equal(seen, 36);
    assert_int_equal(engine_share_order(share, sorted, 0, &arena, NULL), 0);
    /* What the next block would take comes before all that waits for something. */
    assert_int_equal(engine_share_waits(share, items[34], true, NULL), 0);
    assert_int_equal(engine_share_waits(share, items[31], true, NULL), 0);
    assert_int_equal(engine_share_waits(share, items[0], false, NULL), 0);
    memcpy(sorted, items, sizeof(items));
    assert_int_equal(engine_share_order(share, sorted, 36, &arena, NULL), 0);
    static const unsigned ready[] = {31, 34, 0, 35, 1, 30, 2};
    for (size_t i = 0; i < HM_COUNT_OF(ready); i++)
        if (sorted[i].data != items[ready[i]].data)
            fail_msg("place %zu", i);
    engine_share_free(share);
}

static void a_flood_fills_its_own_share(void **state)
{
    struct clock_of_test time = {.ns = 1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_share *share;
    struct hm_error error = {0};

    (void)state;
    time.clock = (struct hm_clock){test_wall, test_mono, &time};
    hm_arena_init(&arena, 0);
    assert_int_equal(engine_share_new(&time.clock, &share, NULL), 0);
    for (unsigned i = 0; i < ENGINE_SHARE_BATCHES; i++)
        assert_int_equal(engine_share_enter(share, batch(&arena, 1, i, 100), NULL), 0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 100, 100), &error), HM_EBUSY);
    assert_non_null(strstr(error.text, "as is its share"));
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 0, 100), NULL), 0); /* known */
    assert_int_equal(engine_share_enter(share, batch(&arena, 2, 0, 100), NULL), 0);
    engine_share_leave(share, batch(&arena, 1, 3, 100));
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 100, 100), NULL), 0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 101, 100), NULL), HM_EBUSY);
    time.ns += (ENGINE_SHARE_FORGET_MS + 1) * 1000000;
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 101, 100), NULL), 0);
    engine_share_clear(share);
    /* By bytes: one that is too great for the share goes alone. */
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 1, ENGINE_SHARE_BYTES + 1), NULL),
                     0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 2, 100), NULL), HM_EBUSY);
    assert_int_equal(engine_share_enter(share, batch(&arena, 2, 2, ENGINE_SHARE_BYTES / 2), NULL),
                     0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 2, 3, ENGINE_SHARE_BYTES / 2), NULL),
                     HM_EBUSY);
    engine_share_free(share);
    engine_share_free(NULL);
}

/* What the engine still has counts, however long; what could be in no block for so long goes. */
static void what_waits_counts(void **state)
{
    struct clock_of_test time = {.ns = 1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_share *share;
    struct hm_error error = {0};

    (void)state;
    time.clock = (struct hm_clock){test_wall, test_mono, &time};
    hm_arena_init(&arena, 0);
    assert_int_equal(engine_share_new(&time.clock, &share, NULL), 0);
    for (unsigned i = 0; i < ENGINE_SHARE_BATCHES; i++)
        assert_int_equal(engine_share_enter(share, batch(&arena, 1, i, 100), NULL), 0);
    for (unsigned round = 0; round < 4; round++) {
        time.ns += ENGINE_SHARE_FORGET_MS / 2 * 1000000;
        for (unsigned i = 0; i < ENGINE_SHARE_BATCHES; i++)
            assert_int_equal(engine_share_waits(share, batch(&arena, 1, i, 100), true, NULL), 0);
    }
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 100, 100), NULL), HM_EBUSY);
    /* One that was forgotten, or never known, counts again. */
    assert_int_equal(engine_share_waits(share, batch(&arena, 2, 0, ENGINE_SHARE_BYTES), true, NULL),
                     0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 2, 1, 100), NULL), HM_EBUSY);
    /* Blocks in a row. */
    struct hm_slice item = batch(&arena, 1, 0, 100);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ENGINE_SHARE_IDLE_BLOCKS; i++)
            assert_int_equal(engine_share_waits(share, item, false, NULL), 0);
        if (round == 0)
            assert_int_equal(engine_share_waits(share, item, true, NULL), 0);
    }
    assert_int_equal(engine_share_waits(share, item, false, &error), HM_EPROOF_TIME);
    assert_non_null(strstr(error.text, "has followed"));
    assert_int_equal(engine_share_waits(share, hm_slice_of("rubbish", 7), false, NULL), 0);
    engine_share_free(share);
}

/* The same head with other bytes behind it, as anybody can write it. */
static struct hm_slice variant(struct hm_arena *arena, struct hm_slice item, uint8_t number)
{
    uint8_t *bytes = hm_arena_alloc(arena, item.len + 3);

    memcpy(bytes, item.data, item.len);
    memcpy(bytes + item.len, (uint8_t[]){3 << 3 | 2, 1, number}, 3);
    return hm_slice_of(bytes, item.len + 3);
}

static void variants_fill_nobodys_share(void **state)
{
    struct clock_of_test time = {.ns = 1};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_share *share;
    struct hm_error error = {0};

    (void)state;
    time.clock = (struct hm_clock){test_wall, test_mono, &time};
    hm_arena_init(&arena, 0);
    assert_int_equal(engine_share_new(&time.clock, &share, NULL), 0);
    struct hm_slice item = batch(&arena, 1, 0, 100);
    assert_int_equal(engine_share_enter(share, item, NULL), 0);
    for (unsigned i = 0; i < 2 * ENGINE_SHARE_BATCHES; i++)
        assert_int_equal(engine_share_enter(share, variant(&arena, item, (uint8_t)i), &error),
                         HM_EBUSY);
    assert_non_null(strstr(error.text, "in another form"));
    for (unsigned i = 1; i < ENGINE_SHARE_BATCHES; i++)
        assert_int_equal(engine_share_enter(share, batch(&arena, 1, i, 100), NULL), 0);
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 100, 100), NULL), HM_EBUSY);
    /* In a block in whatever form: it has its place back. */
    engine_share_leave(share, variant(&arena, item, 7));
    assert_int_equal(engine_share_enter(share, batch(&arena, 1, 100, 100), NULL), 0);
    engine_share_free(share);
}

/* --- in the application ------------------------------------------------------------------------------------ */

static struct script script;

static void begin(void)
{
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
}

/* An honest node seals it and CheckTx took it; by now its transaction is in a block. */
static struct hm_slice batch_of(struct hm_slice tx)
{
    atomic_fetch_add(&script.fix.wall_ms, 1); /* so that no two are the same */
    script.fix.chain.next_ms = atomic_load(&script.fix.wall_ms);
    return fixture_batch(&script.fix.chain, &tx, 1);
}

static void what_nobody_pays_for_is_in_no_block(void **state)
{
    struct hm_slice items[3];
    struct hm_error error;

    (void)state;
    begin();
    struct hm_slice tx = engine_fixture_transfer(&script.fix, ALICE);
    struct hm_slice good = batch_of(tx);
    items[0] = script_note(&script, atomic_load(&script.fix.wall_ms));
    items[1] = good;
    if (!script_accepts(&script, items, 2))
        fail_msg("%s", script.log.text);
    assert_int_equal(script_decide(&script, &good, 1, SCRIPT_WHOLE, &error), 0);
    /* The same transaction in a batch of another time: it has paid once, and does not again. */
    struct hm_slice again = batch_of(tx);
    items[0] = script_note(&script, atomic_load(&script.fix.wall_ms));
    items[1] = again;
    assert_false(script_accepts(&script, items, 2));
    items[1] = batch_of(engine_fixture_transfer(&script.fix, BOB));
    if (!script_accepts(&script, items, 2))
        fail_msg("%s", script.log.text);
    items[2] = again;
    assert_false(script_accepts(&script, items, 3));
    /* Nor does this node propose it, wherever it came from. */
    script_add_item(&script, again);
    script_add_item(&script, items[1]);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->count, 2);
    assert_memory_equal(block->items[1].data, items[1].data, items[1].len);
}

/* Whatever the engine's genesis lets a block have. */
static void a_proposal_has_a_size(void **state)
{
    static const uint8_t zeros[5 << 20];
    struct hm_slice items[2];

    (void)state;
    begin();
    items[0] = script_note(&script, atomic_load(&script.fix.wall_ms));
    items[1] = hm_slice_of(zeros, sizeof(zeros));
    assert_false(script_accepts(&script, items, 2));
    assert_non_null(strstr(script.log.text, "at most 4194304 are taken"));
}

static uint32_t check_tx_as(struct hm_slice item, Hypermesh__Abci__CheckTxType type)
{
    Hypermesh__Abci__RequestCheckTx request = HYPERMESH__ABCI__REQUEST_CHECK_TX__INIT;
    Hypermesh__Abci__ResponseCheckTx answer = HYPERMESH__ABCI__RESPONSE_CHECK_TX__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    request.tx = wire_bytes(item.data, item.len);
    request.type = type;
    assert_int_equal(
        script.handlers->check_tx(script.handlers->ctx, &request, &arena, &answer, NULL), 0);
    return answer.code;
}

static uint32_t check_tx(struct hm_slice item)
{
    return check_tx_as(item, HYPERMESH__ABCI__CHECK_TX_TYPE__NEW);
}

static uint32_t check_tx_again(struct hm_slice item)
{
    return check_tx_as(item, HYPERMESH__ABCI__CHECK_TX_TYPE__RECHECK);
}

/* An act that comes after one that never comes would lie in the pool for as long as its batch is young enough. */
static void what_never_follows_leaves_the_pool(void **state)
{
    struct fixture *chain = &script.fix.chain;
    Hypermesh__Operation *op = op_transfer(chain, ALICE, 1);

    (void)state;
    begin();
    Hypermesh__TxBody *body = fixture_body(chain, BOB, &op, 1);
    body->presence.data[0] ^= 1;
    struct hm_slice never = batch_of(
        fixture_pack(chain, &fixture_sign(chain, BOB, body, false)->base));
    fixture_resync(chain);
    struct hm_slice first = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    struct hm_slice second = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    assert_int_equal(check_tx(never), 0);
    assert_int_equal(check_tx(first), 0);
    assert_int_equal(check_tx(second), 0);
    for (unsigned i = 1; i < ENGINE_SHARE_IDLE_BLOCKS; i++) {
        assert_int_equal(check_tx_again(never), 0);
        assert_int_equal(check_tx_again(first), 0);
        assert_int_equal(check_tx_again(second), 0);
    }
    assert_int_equal(check_tx_again(never), -HM_EPROOF_TIME);
    assert_int_equal(check_tx_again(first), 0);
    /* The second's turn is over, too; sealed and sent once more it is taken. */
    assert_int_equal(check_tx_again(second), -HM_EPROOF_TIME);
    assert_int_equal(check_tx(second), 0);
}

#define STUFFED_BYTES 20000
#define STUFFED_TXS   15

/* One act that would pay, and many that wait for what never comes. */
static struct hm_slice stuffed(enum fixture_role who)
{
    static char value[STUFFED_BYTES + 1];
    struct fixture *chain = &script.fix.chain;
    struct hm_slice txs[STUFFED_TXS];

    memset(value, 'v', STUFFED_BYTES);
    txs[0] = engine_fixture_transfer(&script.fix, who);
    for (size_t i = 1; i < HM_COUNT_OF(txs); i++) {
        Hypermesh__Operation *op = op_kv_put(chain, "k", value, 0);
        Hypermesh__TxBody *body = fixture_body(chain, who, &op, 1);

        body->presence.data[0] ^= 1;
        txs[i] = fixture_pack(chain, &fixture_sign(chain, who, body, false)->base);
    }
    Hypermesh__BatchHead *head = fixture_head(chain, who, txs, HM_COUNT_OF(txs), false);
    return fixture_seal(chain, who, head, txs, HM_COUNT_OF(txs));
}

/* However much of it there is, and however well it is signed. */
static void what_no_block_takes_keeps_nobody_out(void **state)
{
    static const enum fixture_role floods[] = {BOB, CAROL, DAVE, ERIN};

    (void)state;
    script.cometbft.block_max_bytes = 512 * 1024;
    begin();
    for (size_t i = 0; i < HM_COUNT_OF(floods); i++) {
        struct hm_slice item = stuffed(floods[i]);

        assert_int_equal(check_tx(item), 0);
        script_add_item(&script, item);
    }
    struct hm_slice good = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    assert_int_equal(check_tx(good), 0);
    script_add_item(&script, good);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->count, 2);
    assert_memory_equal(block->items[1].data, good.data, good.len);
}

/* Nothing lies in the pool that fits in no proposal: what is behind it would not be seen. */
static void the_pool_takes_what_fits(void **state)
{
    struct hm_slice txs[20];

    (void)state;
    script.cometbft.block_max_bytes = 1024 + 8192; /* and 2 KiB of them are a note's */
    begin();
    struct hm_slice small = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = engine_fixture_transfer(&script.fix, BOB);
    struct hm_slice great = fixture_batch(&script.fix.chain, txs, HM_COUNT_OF(txs));
    if (small.len >= 6000 || great.len <= 6144)
        fail_msg("%zu and %zu bytes", small.len, great.len);
    assert_int_equal(check_tx(small), 0);
    assert_int_equal(check_tx(great), -HM_ELIMIT);
    assert_int_equal(check_tx_again(great), -HM_ELIMIT);
}

/* What fits in no block, wherever it came from, is not counted on: else what follows it is judged again and again, each time with all
 * before it. */
static void what_fits_nowhere_is_followed_by_nothing(void **state)
{
    struct hm_slice txs[30];

    (void)state;
    script.cometbft.block_max_bytes = 1024 + 8192;
    begin();
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = engine_fixture_transfer(&script.fix, BOB);
    struct hm_slice great = fixture_batch(&script.fix.chain, txs, HM_COUNT_OF(txs));
    assert_true(great.len > 8192);
    script_add_item(&script, great);
    for (unsigned i = 0; i < 3; i++)
        script_add_item(&script, batch_of(engine_fixture_transfer(&script.fix, BOB)));
    struct hm_slice good = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    script_add_item(&script, good);
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    assert_int_equal(block->count, 2);
    assert_memory_equal(block->items[1].data, good.data, good.len);
}

static void the_pool_takes_a_nodes_share(void **state)
{
    struct hm_slice items[ENGINE_SHARE_BATCHES + 1];
    struct hm_error error;

    (void)state;
    begin();
    for (size_t i = 0; i < HM_COUNT_OF(items); i++)
        items[i] = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    for (size_t i = 0; i < ENGINE_SHARE_BATCHES; i++)
        assert_int_equal(check_tx(items[i]), 0);
    assert_int_equal(check_tx(items[ENGINE_SHARE_BATCHES]), -HM_EBUSY);
    /* Room again when one of them is in a block. */
    assert_int_equal(script_decide(&script, items, 1, SCRIPT_WHOLE, &error), 0);
    assert_int_equal(check_tx(items[ENGINE_SHARE_BATCHES]), 0);
}

/* The signature behind the transactions: the same batch, and two transactions' worth of other bytes. */
static struct hm_slice turned(struct hm_slice item)
{
    struct hm_arena *arena = &script.fix.chain.arena;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0}, part = {0};
    Hypermesh__Batch *whole, piece = HYPERMESH__BATCH__INIT;

    assert_int_equal(WIRE_UNPACK(hypermesh__batch, item, item.len, arena, &whole, NULL), 0);
    piece.head = whole->head;
    piece.txs = whole->txs;
    piece.n_txs = whole->n_txs;
    assert_int_equal(wire_pack(&piece.base, &bytes), 0);
    piece = (Hypermesh__Batch)HYPERMESH__BATCH__INIT;
    piece.signature = whole->signature;
    assert_int_equal(wire_pack(&piece.base, &part), 0);
    assert_int_equal(hm_buf_append(&bytes, part.data, part.len), 0);
    return hm_slice_of(hm_arena_dup(arena, bytes.data, bytes.len), bytes.len);
}

static void a_batch_has_one_form(void **state)
{
    struct hm_slice items[2];
    struct hm_error error;

    (void)state;
    begin();
    struct hm_slice good = batch_of(engine_fixture_transfer(&script.fix, ALICE));
    struct hm_slice other = turned(good);
    assert_true(other.len == good.len && memcmp(other.data, good.data, good.len) != 0);
    assert_int_equal(check_tx(other), -HM_EINVAL);
    items[0] = script_note(&script, atomic_load(&script.fix.wall_ms));
    items[1] = other;
    assert_false(script_accepts(&script, items, 2));
    assert_non_null(strstr(script.log.text, "one way"));
    assert_non_null(strstr(script.log.text, "block "));
    assert_non_null(strstr(script.log.text, " of proposer "));
    /* What was refused takes no place, and the real one comes through. */
    assert_int_equal(check_tx(good), 0);
    assert_int_equal(check_tx(other), -HM_EBUSY);
    items[1] = good;
    if (!script_accepts(&script, items, 2))
        fail_msg("%s", script.log.text);
    /* What was decided is done: blocks of before hold what they hold. */
    assert_int_equal(script_decide(&script, &other, 1, SCRIPT_WHOLE, &error), 0);
}

/* --- a clock that is ahead ----------------------------------------------------------------------------------- */

static uint64_t proposed_ms(void)
{
    struct script_block *block = script_run(&script, SCRIPT_WHOLE);
    uint64_t time_ms = 0;

    assert_true(block->count > 0 && ledger_item_is_note(block->items[0]));
    assert_int_equal(ledger_note_time(block->items[0], 0, 0, &time_ms, NULL), 0);
    return time_ms;
}

/* ENGINE_PACE_AHEAD_MS a block, and what this test takes. The clock jumps after a block that this node saw being made: its next blocks' times stay where others take them. */
static void a_clock_that_is_ahead_is_held_back(void **state)
{
    (void)state;
    begin();
    uint64_t first = proposed_ms();
    atomic_fetch_add(&script.fix.wall_ms, 30000);
    uint64_t second = proposed_ms();
    assert_true(second > first && second < first + 15000);
    uint64_t third = proposed_ms();
    assert_true(third > second && third < second + 15000);
    /* What has passed counts. */
    atomic_fetch_add(&script.fix.mono_ns, UINT64_C(20000000000));
    uint64_t fourth = proposed_ms();
    assert_true(fourth >= third + 20000 && fourth < third + 20000 + 15000);
}

/* After blocks of long ago, which a node that was away is given, there is nothing to hold on to but the clock. */
static void after_old_blocks_the_clock_is_right(void **state)
{
    struct hm_error error;

    (void)state;
    begin();
    uint64_t first = proposed_ms();
    struct hm_slice note = script_note(&script, first + 5);
    assert_int_equal(script_decide(&script, &note, 1, SCRIPT_WHOLE, &error), 0);
    atomic_fetch_add(&script.fix.wall_ms, 600000);
    assert_true(proposed_ms() >= first + 600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batchs_node_is_read),
        cmocka_unit_test(an_unsigned_head_names_nobody),
        cmocka_unit_test(nobodys_turn_is_taken_by_a_flood),
        cmocka_unit_test(a_flood_fills_its_own_share),
        cmocka_unit_test(what_waits_counts),
        cmocka_unit_test(variants_fill_nobodys_share),
        script_test(what_nobody_pays_for_is_in_no_block, &script),
        script_test(what_no_block_takes_keeps_nobody_out, &script),
        script_test(a_proposal_has_a_size, &script),
        script_test(what_never_follows_leaves_the_pool, &script),
        script_test(the_pool_takes_what_fits, &script),
        script_test(what_fits_nowhere_is_followed_by_nothing, &script),
        script_test(the_pool_takes_a_nodes_share, &script),
        script_test(a_batch_has_one_form, &script),
        script_test(a_clock_that_is_ahead_is_held_back, &script),
        script_test(after_old_blocks_the_clock_is_right, &script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
