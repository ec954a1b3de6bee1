/* Reading a request: what is borrowed, what is filled in, what is refused. */
#include "abci_world.h"

typedef Hypermesh__Abci__Request Request;
typedef Hypermesh__Abci__RequestFinalizeBlock Finalize;

static int read_as(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t len,
                   struct hm_arena *arena, void *out, struct hm_error *error)
{
    ProtobufCMessage *message = NULL;
    int rc = abci_read(descriptor, hm_slice_of(bytes, len), arena, &message, error);

    *(ProtobufCMessage **)out = message;
    return rc;
}

#define READ(prefix, bytes, out, error) \
    read_as(&hypermesh__abci__##prefix##__descriptor, bytes, sizeof(bytes) - 1, &arena, out, error)

#define ARENA                                    \
    HM_CLEANUP(hm_arena) struct hm_arena arena;  \
    hm_arena_init(&arena, ABCI_ARENA_MAX_BYTES); \
    (void)state

static bool inside(const void *at, const void *bytes, size_t len)
{
    return (uintptr_t)at >= (uintptr_t)bytes && (uintptr_t)at < (uintptr_t)bytes + len;
}

/* Each transaction stays where it came, and ten thousand of them take a handful of allocations. */
static void test_borrows(void **state)
{
    ARENA;
    enum { COUNT = 10000 };
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Finalize *block = NULL;
    unsigned long allocations;

    for (unsigned i = 0; i < COUNT; i++) {
        const uint8_t tx[] = {0x0a, 3, (uint8_t)(i >> 8), (uint8_t)i, 'x'};

        assert_int_equal(hm_buf_append(&bytes, tx, sizeof(tx)), 0);
    }
    allocations = hm_alloc_count();
    assert_int_equal(read_as(&hypermesh__abci__request_finalize_block__descriptor, bytes.data,
                             bytes.len, &arena, &block, NULL),
                     0);
    assert_in_range(hm_alloc_count() - allocations, 1, 4);
    assert_int_equal(block->n_txs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(block->txs[i].len, 3);
        assert_true(inside(block->txs[i].data, bytes.data, bytes.len));
        assert_int_equal(block->txs[i].data[0] << 8 | block->txs[i].data[1], i);
    }
}

static void test_absent_is_empty(void **state)
{
    ARENA;
    Finalize *block = NULL;
    Hypermesh__Abci__RequestInitChain *genesis = NULL;
    Hypermesh__Abci__RequestOfferSnapshot *offer = NULL;

    assert_int_equal(READ(request_finalize_block, "", &block, NULL), 0);
    assert_int_equal(block->time->seconds, 0);
    assert_int_equal(block->decided_last_commit->n_votes, 0);
    assert_int_equal(READ(request_init_chain, "", &genesis, NULL), 0);
    assert_string_equal(genesis->chain_id, "");
    assert_int_equal(genesis->consensus_params->evidence->max_age_duration->seconds, 0);
    assert_int_equal(READ(request_offer_snapshot, "", &offer, NULL), 0);
    assert_int_equal(offer->snapshot->height, 0);
    /* Also in an element of a list: a vote without its validator. */
    assert_int_equal(READ(request_finalize_block, "\x12\x02\x12\x00", &block, NULL), 0);
    assert_int_equal(block->decided_last_commit->n_votes, 1);
    assert_int_equal(block->decided_last_commit->votes[0]->validator->power, 0);
    /* A key stays a choice. */
    assert_int_equal(READ(request_init_chain, "\x22\x02\x0a\x00", &genesis, NULL), 0);
    assert_int_equal(genesis->validators[0]->pub_key->sum_case, 0);
}

static void test_numbers(void **state)
{
    ARENA;
    Finalize *block = NULL;
    Hypermesh__Abci__RequestQuery *query = NULL;

    /* A time with nanoseconds and without; heights below zero travel as ten bytes. */
    assert_int_equal(READ(request_finalize_block, "\x32\x04\x08\x05\x10\x07\x28\x09", &block, NULL),
                     0);
    assert_int_equal(block->time->seconds, 5);
    assert_int_equal(block->time->nanos, 7);
    assert_int_equal(block->height, 9);
    assert_int_equal(READ(request_finalize_block, "\x32\x02\x08\x05", &block, NULL), 0);
    assert_int_equal(block->time->nanos, 0);
    assert_int_equal(
        READ(request_query, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x01", &query, NULL),
        0);
    assert_int_equal(query->height, -1);
    assert_true(query->prove);
}

static void test_texts_are_cleaned(void **state)
{
    ARENA;
    Hypermesh__Abci__RequestQuery *query = NULL;

    assert_int_equal(READ(request_query, "\x12\x07/a\x00\xff\n\xc3\xa4", &query, NULL), 0);
    assert_string_equal(query->path, "/a?? \xc3\xa4");
}

static void test_unknown_fields_are_skipped(void **state)
{
    ARENA;
    Hypermesh__Abci__RequestCheckTx *check = NULL;

    assert_int_equal(READ(request_check_tx,
                          "\x98\x06\x05" /* 99, varint */
                          "\x9a\x06\x02zz" /* 99, bytes */
                          "\x99\x06zzzzzzzz" /* 99, 64 bits */
                          "\x9d\x06zzzz" /* 99, 32 bits */
                          "\x0a\x01t\x10\x01",
                          &check, NULL),
                     0);
    assert_int_equal(check->tx.len, 1);
    assert_int_equal(check->type, HYPERMESH__ABCI__CHECK_TX_TYPE__RECHECK);
}

static void test_refused(void **state)
{
    ARENA;
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } cases[] = {
#define CASE(bytes, says) {bytes, sizeof(bytes) - 1, says}
        CASE("\x28", "ends inside a field"),
        CASE("\x28\x80", "ends inside a field"),
        CASE("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "ends inside a field"),
        CASE("\x0a\x05zz", "ends inside a field"),
        CASE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z", "ends inside a field"),
        CASE("\x9d\x06zzz", "ends inside a field"),
        CASE("\x00\x01", "tag is malformed"),
        CASE("\x80", "tag is malformed"),
        CASE("\x2b", "unknown form"),
        CASE("\x28\x01\x28\x01", "given twice"),
        CASE("\x32\x00\x32\x00", "given twice"),
        CASE("\x2a\x00", "wrong form"),
        CASE("\x08\x01", "wrong form"),
        CASE("\x32\x06\x10\x80\x80\x80\x80\x10", "too large"),
        CASE("\x12\x02\x12\x05", "ends inside a field"),
#undef CASE
    };

    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_error error = {0};
        Finalize *block = NULL;

        assert_int_equal(read_as(&hypermesh__abci__request_finalize_block__descriptor,
                                 cases[i].bytes, cases[i].len, &arena, &block, &error),
                         HM_EPARSE);
        assert_null(block);
        assert_non_null(strstr(error.text, cases[i].says));
    }
}

static void test_one_kind_at_once(void **state)
{
    ARENA;
    struct hm_error error = {0};
    Request *request = NULL;

    assert_int_equal(READ(request, "\x12\x00", &request, NULL), 0);
    assert_int_equal(request->value_case, HYPERMESH__ABCI__REQUEST__VALUE_FLUSH);
    assert_non_null(request->flush);
    assert_int_equal(READ(request, "\x12\x00\x0a\x00", &request, &error), HM_EPARSE);
    assert_non_null(strstr(error.text, "two alternatives"));
}

static void test_unfolds_too_far(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct hm_error error = {0};
    Finalize *block = NULL;

    (void)state;
    hm_arena_init(&arena, (size_t)1 << 20);
    for (unsigned i = 0; i < 20000; i++) /* a misbehaviour in two bytes */
        assert_int_equal(hm_buf_append(&bytes, "\x1a\x00", 2), 0);
    assert_int_equal(read_as(&hypermesh__abci__request_finalize_block__descriptor, bytes.data,
                             bytes.len, &arena, &block, &error),
                     HM_ELIMIT);
    assert_non_null(strstr(error.text, "unfolds"));
}

/* However little memory is allowed: all of it, or a refusal, and never a message with a part missing. */
static void test_any_limit(void **state)
{
    static const char bytes[] = "\x22\x04\x0a\x02\x0a\x00"; /* one validator */
    unsigned refused = 0;
    int rc = HM_ELIMIT;

    (void)state;
    for (size_t limit = 16; rc != 0 && limit < 4096; limit += 16) {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        Hypermesh__Abci__RequestInitChain *genesis = NULL;

        hm_arena_init(&arena, limit);
        rc = READ(request_init_chain, bytes, &genesis, NULL);
        if (rc == 0) {
            assert_non_null(genesis->time);
            assert_non_null(genesis->consensus_params->evidence->max_age_duration);
            assert_non_null(genesis->consensus_params->abci);
            assert_int_equal(genesis->n_validators, 1);
        } else {
            assert_int_equal(rc, HM_ELIMIT);
            assert_null(genesis);
            refused++;
        }
    }
    assert_int_equal(rc, 0);
    assert_in_range(refused, 10, 100);
}

/* Bytes that protobuf-c's own reader takes as well give the same message, read from the engine's recorded requests. */
static void test_as_protobuf_reads(void **state)
{
    ARENA;
    for (unsigned i = 0; i < RECORDED_COUNT; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
        struct hm_slice rest, message = {0};

        recorded_read(recorded_names[i], &bytes);
        for (rest = hm_buf_slice(&bytes); abci_frame_parse(rest, &message, NULL) == 1;) {
            HM_CLEANUP(hm_buf) struct hm_buf ours = {0};
            HM_CLEANUP(hm_buf) struct hm_buf again = {0};
            Request *request = NULL, *same = NULL;

            assert_int_equal(read_as(&hypermesh__abci__request__descriptor, message.data,
                                     message.len, &arena, &request, NULL),
                             0);
            assert_int_equal(wire_pack(&request->base, &ours), 0);
            /* What was absent is now there and empty: reading that once more must not change it. */
            assert_int_equal(WIRE_UNPACK(hypermesh__abci__request, hm_buf_slice(&ours),
                                         ABCI_MESSAGE_MAX_BYTES, &arena, &same, NULL),
                             0);
            assert_int_equal(same->value_case, request->value_case);
            assert_int_equal(wire_pack(&same->base, &again), 0);
            assert_true(hm_slice_equal(hm_buf_slice(&ours), hm_buf_slice(&again)));
            assert_true(ours.len >= message.len);
            rest.len -= (size_t)(message.data + message.len - rest.data);
            rest.data = message.data + message.len;
        }
        assert_int_equal(rest.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borrows),
        cmocka_unit_test(test_absent_is_empty),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_texts_are_cleaned),
        cmocka_unit_test(test_unknown_fields_are_skipped),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_one_kind_at_once),
        cmocka_unit_test(test_unfolds_too_far),
        cmocka_unit_test(test_any_limit),
        cmocka_unit_test(test_as_protobuf_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
