/* Packing, and what wire_unpack takes and refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire.h"

#define LIMIT 65536

static uint8_t id_bytes[32] = {1, 2, 3};

/* A transaction body with text, bytes, numbers, a nested message and a oneof. */
static void pack_body(struct hm_buf *out)
{
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;

    transfer.to = wire_bytes(id_bytes, sizeof(id_bytes));
    transfer.amount = UINT64_MAX;
    transfer.token = HYPERMESH__TOKEN__CAES;
    transfer.memo = (char *)"gr\xc3\xbc\xc3\x9f";
    op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    op.transfer = &transfer;
    body.chain_id = (char *)"mesh-1";
    body.account = wire_bytes(id_bytes, sizeof(id_bytes));
    body.fee_limit = 300;
    body.n_ops = 1;
    body.ops = ops;
    assert_int_equal(wire_pack(&body.base, out), 0);
}

static void test_round_trip(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__TxBody *body = NULL;
    struct hm_error error = {0};

    (void)state;
    pack_body(&bytes);
    assert_int_equal(
        WIRE_UNPACK(hypermesh__tx_body, hm_buf_slice(&bytes), LIMIT, &arena, &body, &error), 0);
    assert_string_equal(body->chain_id, "mesh-1");
    assert_int_equal(body->n_ops, 1);
    assert_int_equal(body->ops[0]->op_case, HYPERMESH__OPERATION__OP_TRANSFER);
    assert_true(body->ops[0]->transfer->amount == UINT64_MAX);
    assert_string_equal(body->ops[0]->transfer->memo, "gr\xc3\xbc\xc3\x9f");
    assert_true(hm_slice_equal(wire_slice(body->account), hm_slice_of(id_bytes, 32)));
    assert_int_equal(wire_pack(&body->base, &again), 0);
    assert_true(hm_slice_equal(hm_buf_slice(&bytes), hm_buf_slice(&again)));
}

static void test_empty_message(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Tx *tx = NULL;

    (void)state;
    assert_int_equal(WIRE_UNPACK(hypermesh__tx, hm_slice_of(NULL, 0), LIMIT, &arena, &tx, NULL), 0);
    assert_int_equal(tx->body.len, 0);
    assert_null(tx->root);
    assert_int_equal(wire_pack(&tx->base, &bytes), 0);
    assert_int_equal(bytes.len, 0);
}

/* Every shorter piece of a message either fails or is a shorter message; none crashes. */
static void test_truncated(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    unsigned refused = 0;

    (void)state;
    pack_body(&bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        Hypermesh__TxBody *body = NULL;
        struct hm_error error = {0};

        if (WIRE_UNPACK(hypermesh__tx_body, hm_slice_of(bytes.data, len), LIMIT, &arena, &body,
                        &error)) {
            assert_int_equal(error.code, HM_EPARSE);
            assert_null(body);
            refused++;
        }
    }
    /* cuts between fields (3 of them, and the empty message) are messages */
    assert_int_equal(refused, bytes.len - 4);
}

static void test_refusals(void **state)
{
    /* Fields by hand: tag = number * 8 + wire type. */
    static const struct {
        const ProtobufCMessageDescriptor *descriptor;
        const char *bytes;
        size_t len;
        const char *says;
    } cases[] = {
        {&hypermesh__tx__descriptor, "\x78\x01", 2, "has no field number 15"},
        {&hypermesh__tx__descriptor, "\x00\x01", 2, "has no field number 0"},
        {&hypermesh__tx__descriptor, "\x22\x02\x78\x01", 4, "RootAuth has no field number 15"},
        {&hypermesh__tx__descriptor,
         "\x0a\x05"
         "ab",
         4, "longer than the message"},
        {&hypermesh__tx__descriptor, "\x0a", 1, "ends inside a number"},
        {&hypermesh__tx__descriptor,
         "\x11"
         "1234567",
         8, "ends inside a number"},
        {&hypermesh__tx__descriptor, "\x10\x01", 2, "wrong type"},
        {&hypermesh__tx__descriptor, "\x0b", 1, "wrong type"},
        {&hypermesh__bond__descriptor, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11,
         "longer than 64 bits"},
        {&hypermesh__bond__descriptor, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
         "longer than 64 bits"},
        {&hypermesh__bond__descriptor, "\x08\x01\x08\x02", 4, "given twice"},
        {&hypermesh__bond__descriptor, "\x0a\x01\x02", 3, "wrong type"},
        {&hypermesh__params__descriptor, "\xc8\x01\x05", 3, "not packed"},
        {&hypermesh__lease_item__descriptor, "\x10\xff\xff\xff\xff\x10", 6, "too large"},
        {&hypermesh__job_spec__descriptor, "\x60\x02", 2, "too large"},
        {&hypermesh__transfer__descriptor, "\x22\x02\xc3\x28", 4, "not UTF-8"},
        {&hypermesh__transfer__descriptor, "\x22\x03\xed\xa0\x80", 5, "not UTF-8"},
        {&hypermesh__transfer__descriptor,
         "\x22\x03"
         "a\0b",
         5, "holds a NUL"},
        {&hypermesh__operation__descriptor, "\x22\x00\x2a\x00", 4, "beside its alternative"},
        {&hypermesh__operation__descriptor, "\x22\x00\x22\x00", 4, "given twice"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        ProtobufCMessage *message = NULL;
        struct hm_error error = {0};
        int rc = wire_unpack(cases[i].descriptor, hm_slice_of(cases[i].bytes, cases[i].len), LIMIT,
                             &arena, &message, &error);

        if (rc != HM_EPARSE || !strstr(error.text, cases[i].says))
            fail_msg("case %zu: code %d, \"%s\", wanted \"%s\"", i, rc, error.text, cases[i].says);
        assert_null(message);
    }
}

/* Numbers of the widest value their field takes, negative enums and int32 among them, are kept. */
static void test_wide_numbers(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Settle settle = HYPERMESH__SETTLE__INIT;
    Hypermesh__Settle *read = NULL;

    (void)state;
    settle.exit_code = INT32_MIN;
    settle.outcome = (Hypermesh__JobOutcome)-1;
    assert_int_equal(wire_pack(&settle.base, &bytes), 0);
    assert_int_equal(
        WIRE_UNPACK(hypermesh__settle, hm_buf_slice(&bytes), LIMIT, &arena, &read, NULL), 0);
    assert_int_equal(read->exit_code, INT32_MIN);
    assert_int_equal((int)read->outcome, -1);
}

/* Wraps an opening in `levels` more; innermost is empty. Field 4 (parents), each longer by its head. */
static void nested_openings(unsigned levels, struct hm_buf *out)
{
    for (unsigned i = 0; i < levels; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf inner = {0};
        uint64_t len = out->len;

        assert_int_equal(hm_buf_append(&inner, "\x22", 1), 0);
        do {
            uint8_t byte = (uint8_t)(len & 0x7f);

            len >>= 7;
            byte |= len ? 0x80 : 0;
            assert_int_equal(hm_buf_append(&inner, &byte, 1), 0);
        } while (len);
        assert_int_equal(hm_buf_append(&inner, out->data, out->len), 0);
        hm_buf_clear(out);
        assert_int_equal(hm_buf_append(out, inner.data, inner.len), 0);
    }
}

static int unpack_nested(unsigned levels, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__PlotOpening *opening = NULL;

    nested_openings(levels, &bytes);
    return WIRE_UNPACK(hypermesh__plot_opening, hm_buf_slice(&bytes), LIMIT, &arena, &opening,
                       error);
}

static void test_nesting(void **state)
{
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(unpack_nested(WIRE_MAX_NESTING - 1, &error), 0);
    assert_int_equal(unpack_nested(WIRE_MAX_NESTING, &error), HM_EPARSE);
    assert_non_null(strstr(error.text, "nested deeper than 16"));
    assert_int_equal(unpack_nested(5000, &error), HM_EPARSE);
}

static void test_limits(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_arena) struct hm_arena small = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Allocate *allocate = NULL;
    struct hm_error error = {0};

    (void)state;
    for (unsigned i = 0; i < 4000; i++)
        assert_int_equal(hm_buf_append(&bytes, "\x0a\x00", 2), 0); /* empty lease items */
    assert_int_equal(WIRE_UNPACK(hypermesh__allocate, hm_buf_slice(&bytes), bytes.len - 1, &arena,
                                 &allocate, &error),
                     HM_ELIMIT);
    assert_non_null(strstr(error.text, "8000 bytes long, at most 7999"));
    hm_arena_init(&small, 65536);
    assert_int_equal(WIRE_UNPACK(hypermesh__allocate, hm_buf_slice(&bytes), bytes.len, &small,
                                 &allocate, &error),
                     HM_ELIMIT);
    assert_non_null(strstr(error.text, "unfolds to more memory"));
    assert_null(allocate);
    assert_int_equal(WIRE_UNPACK(hypermesh__allocate, hm_buf_slice(&bytes), bytes.len, &arena,
                                 &allocate, &error),
                     0);
    assert_int_equal(allocate->n_items, 4000);
}

static void test_no_memory(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    unsigned long nth = 1;
    int rc;

    (void)state;
    pack_body(&bytes);
    do {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        Hypermesh__TxBody *body = NULL;

        hm_alloc_fail_at(nth++);
        rc = WIRE_UNPACK(hypermesh__tx_body, hm_buf_slice(&bytes), LIMIT, &arena, &body, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || (rc == HM_ENOMEM && !body));
    } while (rc);
    assert_true(nth > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_empty_message),
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_wide_numbers), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
