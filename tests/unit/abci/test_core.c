/* A connection: order, flushing, what is refused, groups, the end. */
#include "abci_world.h"

static void check_tx_frame(const char *tx, struct hm_buf *out)
{
    Hypermesh__Abci__RequestCheckTx check = HYPERMESH__ABCI__REQUEST_CHECK_TX__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;

    check.tx = wire_bytes(tx, strlen(tx));
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_CHECK_TX;
    request.check_tx = &check;
    wire_frame(&request.base, out);
}

/* Refuses with the transaction's last digit as code, so that answers can be told apart. */
static int check_by_digit(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                          struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                          struct hm_error *error)
{
    (void)ctx;
    (void)arena;
    (void)error;
    answer->code = (uint32_t)(request->tx.data[request->tx.len - 1] - '0');
    return 0;
}

/* Many CheckTx in one piece, answered in their order, and sent when a Flush was answered. */
static void test_pipelined(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct abci_handlers handlers = world_handlers(&world);
    struct abci_core *core = NULL;
    struct hm_slice out;
    bool flush;

    (void)state;
    handlers.check_tx = check_by_digit;
    for (unsigned i = 0; i < 10; i++) {
        const char tx[] = {'t', 'x', (char)('0' + i), '\0'};

        check_tx_frame(tx, &frames);
    }
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), 0);
    assert_true(abci_core_out(core, &flush).len > 0);
    assert_false(flush);
    hm_buf_clear(&frames);
    wire_empty_request(2, &frames);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), 0);
    out = abci_core_out(core, &flush);
    assert_true(flush);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(wire_answer(&out, &arena)->check_tx->code, i);
    assert_int_equal(wire_answer(&out, &arena)->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_FLUSH);
    assert_int_equal(out.len, 0);
    abci_core_free(core);
}

/* Taken in small pieces, the same bytes come. */
static void test_take_in_pieces(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
    HM_CLEANUP(hm_buf) struct hm_buf pieces = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    struct abci_core *core = NULL;
    struct hm_slice out;
    bool flush;

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        wire_empty_request(i % 2 ? 3 : 2, &frames);
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), 0);
    out = abci_core_out(core, &flush);
    assert_int_equal(hm_buf_append(&whole, out.data, out.len), 0);
    while ((out = abci_core_out(core, &flush)).len > 0) {
        assert_true(flush); /* until all of it is gone */
        assert_int_equal(hm_buf_append(&pieces, out.data, out.len < 7 ? out.len : 7), 0);
        abci_core_take(core, 7);
    }
    assert_false(flush);
    assert_true(hm_slice_equal(hm_buf_slice(&whole), hm_buf_slice(&pieces)));
    abci_core_free(core);
}

static void test_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int rc;
        const char *says;
    } cases[] = {
        {"\x00", 1, HM_EPARSE, "of a kind"}, /* no request */
        {"\x02\x22\x00", 3, HM_EPARSE, "of a kind"}, /* 4: SetOption, of ABCI before 2.0 */
        {"\x03\x9a\x06\x00", 4, HM_EPARSE, "of a kind"}, /* 99 */
        {"\x02\x1a\x05", 3, HM_EPARSE, "ends inside"},
        {"\x81\x80\x80\x40", 4, HM_ELIMIT, "134217729"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", 66,
         HM_EPARSE, ""},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(world) struct world world = {0};
        const struct abci_handlers handlers = world_handlers(&world);
        struct abci_core *core = NULL;
        struct hm_error error = {0};

        assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
        if (cases[i].rc == HM_EPARSE && cases[i].says[0] == '\0')
            while (abci_core_feed(core, hm_slice_of(cases[i].bytes, cases[i].len), &error) == 0)
                ;
        else
            assert_int_equal(
                abci_core_feed(core, hm_slice_of(cases[i].bytes, cases[i].len), &error),
                cases[i].rc);
        assert_true(error.code == HM_EPARSE || error.code == HM_ELIMIT);
        assert_non_null(strstr(error.text, cases[i].says));
        assert_string_equal(world_calls(&world), "");
        assert_int_equal(world.failed, 0);
        abci_core_free(core);
    }
}

/* What came before a malformed request was answered. */
static void test_good_before_bad(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    struct abci_core *core = NULL;
    struct hm_slice out;
    bool flush;

    (void)state;
    wire_empty_request(3, &frames);
    assert_int_equal(hm_buf_append(&frames, "\x00", 1), 0);
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), HM_EPARSE);
    out = abci_core_out(core, &flush);
    assert_int_equal(wire_answer(&out, &arena)->value_case, HYPERMESH__ABCI__RESPONSE__VALUE_INFO);
    abci_core_free(core);
}

/* A block of many megabytes arrives in pieces and is one call. */
static void test_large_block(void **state)
{
    enum { PIECE = 64 << 10, TX = 1000, COUNT = 8000 };
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_AUTOFREE uint8_t *bytes = hm_calloc(TX, 1);
    HM_AUTOFREE ProtobufCBinaryData *txs = hm_calloc(COUNT, sizeof(*txs));
    const struct abci_handlers handlers = world_handlers(&world);
    Hypermesh__Abci__RequestFinalizeBlock block = HYPERMESH__ABCI__REQUEST_FINALIZE_BLOCK__INIT;
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    struct abci_core *core = NULL;
    struct hm_slice out;
    bool flush;

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        txs[i] = wire_bytes(bytes, TX);
    block.txs = txs;
    block.n_txs = COUNT;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_FINALIZE_BLOCK;
    request.finalize_block = &block;
    wire_frame(&request.base, &frame);
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    for (size_t at = 0; at < frame.len; at += PIECE) {
        size_t len = frame.len - at < PIECE ? frame.len - at : PIECE;

        assert_string_equal(world_calls(&world), "");
        assert_int_equal(abci_core_feed(core, hm_slice_of(frame.data + at, len), NULL), 0);
    }
    assert_string_equal(world_calls(&world), "finalize_block ");
    out = abci_core_out(core, &flush);
    assert_int_equal(wire_answer(&out, &arena)->finalize_block->n_tx_results, COUNT);
    abci_core_free(core);
}

/* --- more answers than are taken ---------------------------------------------------------------- */

static void large_chunk(struct world *world, unsigned number, void *answer, struct hm_arena *arena)
{
    (void)world;
    if (number == 14)
        ((Hypermesh__Abci__ResponseLoadSnapshotChunk *)answer)->chunk = wire_bytes(
            hm_arena_alloc(arena, ABCI_CHUNK_MAX_BYTES), ABCI_CHUNK_MAX_BYTES);
}

static void test_stalls(void **state)
{
    enum { ASKED = 12 }; /* 15 MiB each */
    HM_CLEANUP(world) struct world world = {.edit = large_chunk};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    struct abci_core *core = NULL;
    unsigned answered = 0;
    struct hm_slice bytes;
    bool flush;

    (void)state;
    for (unsigned i = 0; i < ASKED; i++)
        wire_empty_request(14, &frames);
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    bytes = hm_buf_slice(&frames);
    do {
        struct hm_slice out;

        assert_int_equal(abci_core_feed(core, bytes, NULL), 0);
        bytes.len = 0;
        out = abci_core_out(core, &flush);
        assert_true(flush); /* unasked: it is too much to keep */
        assert_true(out.len < ABCI_OUT_WAIT_BYTES + ABCI_CHUNK_MAX_BYTES + 64);
        answered += (unsigned)(out.len / ABCI_CHUNK_MAX_BYTES);
        assert_false(abci_core_stalled(core));
        abci_core_take(core, out.len);
    } while (abci_core_stalled(core));
    assert_int_equal(answered, ASKED);
    abci_core_free(core);
}

/* Who asks on and on and takes nothing is told so, before it costs more memory. */
static void test_takes_nothing(void **state)
{
    HM_CLEANUP(world) struct world world = {.edit = large_chunk};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    HM_AUTOFREE uint8_t *flushes = hm_calloc(1000, 3);
    const struct abci_handlers handlers = world_handlers(&world);
    struct abci_core *core = NULL;
    struct hm_error error = {0};
    unsigned fed = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        wire_empty_request(14, &frames);
    for (unsigned i = 0; i < 1000; i++)
        memcpy(flushes + 3 * i, "\x02\x12\x00", 3);
    assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), 0);
    while (abci_core_feed(core, hm_slice_of(flushes, 3000), &error) == 0)
        assert_true(fed++ < 1000);
    assert_int_equal(error.code, HM_ELIMIT);
    assert_non_null(strstr(error.text, "not taken"));
    assert_in_range(fed, 340, 360); /* a mebibyte */
    abci_core_free(core);
}

/* --- groups ------------------------------------------------------------------------------------- */

struct turns {
    struct hm_buf log;
    bool closed;
};

static bool enter(void *ctx, unsigned group)
{
    struct turns *turns = ctx;

    assert_int_equal(hm_buf_printf(&turns->log, "+%u", group), 0);
    return !turns->closed;
}

static void leave(void *ctx, unsigned group)
{
    assert_int_equal(hm_buf_printf(&((struct turns *)ctx)->log, "-%u ", group), 0);
}

static void test_groups(void **state)
{
    static const unsigned asked[] = {3, 6, 8, 5, 16, 17, 18, 19, 20, 11, 12, 13, 14, 15, 1, 2};
    HM_CLEANUP(world) struct world world = {0};
    HM_CLEANUP(hm_buf) struct hm_buf frames = {0};
    struct turns turns = {0};
    const struct abci_handlers handlers = world_handlers(&world);
    const struct abci_core_hooks hooks = {.enter = enter, .leave = leave, .ctx = &turns};
    struct abci_core *core = NULL;
    struct hm_error error = {0};

    (void)state;
    world.fail[5] = 0;
    for (size_t i = 0; i < HM_COUNT_OF(asked); i++) {
        if (asked[i] == 5) /* a genesis must have a validator */
            assert_int_equal(hm_buf_append(&frames, "\x06\x2a\x04\x22\x02\x10\x01", 7), 0);
        else
            wire_empty_request(asked[i], &frames);
    }
    assert_int_equal(abci_core_new(&handlers, &hooks, &core, NULL), 0);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), NULL), 0);
    assert_string_equal(hm_buf_cstr(&turns.log),
                        "+1-1 +1-1 +2-2 +0-0 +0-0 +0-0 +0-0 +0-0 +0-0 +0-0 +3-3 +3-3 +3-3 +3-3 ");
    turns.closed = true;
    hm_buf_clear(&frames);
    hm_buf_clear(&world.calls);
    wire_empty_request(11, &frames);
    assert_int_equal(abci_core_feed(core, hm_buf_slice(&frames), &error), HM_ECANCELLED);
    assert_string_equal(world_calls(&world), "");
    assert_int_equal(world.failed, 0);
    abci_core_free(core);
    assert_int_equal(world.gone, 1);
    hm_buf_release(&turns.log);
}

/* gone is for who had consensus calls, and for no one else. */
static void test_gone(void **state)
{
    HM_CLEANUP(world) struct world world = {0};
    const struct abci_handlers handlers = world_handlers(&world);

    (void)state;
    for (unsigned number = 1; number < WORLD_KINDS; number++) {
        HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
        struct abci_core *core = NULL;

        if (world_names[number] == NULL)
            continue;
        world.gone = 0;
        wire_empty_request(number, &frame);
        assert_int_equal(abci_core_new(&handlers, NULL, &core, NULL), 0);
        (void)abci_core_feed(core, hm_buf_slice(&frame), NULL);
        assert_int_equal(world.gone, 0);
        abci_core_free(core);
        assert_int_equal(world.gone, number == 5 || number == 11 || number >= 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelined),     cmocka_unit_test(test_take_in_pieces),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_good_before_bad),
        cmocka_unit_test(test_large_block),   cmocka_unit_test(test_stalls),
        cmocka_unit_test(test_takes_nothing), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
