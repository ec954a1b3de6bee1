/* What is stored and read back: session blobs, the data of tickets, chains, and the table of used tickets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "stoq_tls.h"
#include "stoq_tls_chain.h"
#include "stoq_tls_replay.h"

static struct stoq_bytes text(const char *bytes)
{
    return (struct stoq_bytes){(const uint8_t *)bytes, strlen(bytes)};
}

static void assert_bytes(struct stoq_bytes got, struct stoq_bytes expected)
{
    assert_int_equal(got.len, expected.len);
    if (got.len > 0)
        assert_memory_equal(got.data, expected.data, got.len);
}

static void test_session_round_trip(void **state)
{
    const struct stoq_session in = {text("ticket"), text("parameters"), text("token")};
    struct stoq_session out;
    uint8_t *packed = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(stoq_session_pack(&in, &packed, &len), 0);
    assert_int_equal(len, 1 + 3 * 4 + 6 + 10 + 5);
    assert_int_equal(stoq_session_parse((struct stoq_bytes){packed, len}, &out), 0);
    assert_bytes(out.ticket, in.ticket);
    assert_bytes(out.parameters, in.parameters);
    assert_bytes(out.token, in.token);

    /* Cut anywhere, longer by one, another version: all refused, and *out stays. */
    struct stoq_session kept = out;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = hm_malloc(cut + 1); /* exact, for the sanitizer */
        memcpy(part, packed, cut);
        assert_int_equal(stoq_session_parse((struct stoq_bytes){part, cut}, &out), STOQ_EPARSE);
        assert_memory_equal(&out, &kept, sizeof(out));
        hm_free(part);
    }
    uint8_t longer[64] = {0};
    memcpy(longer, packed, len);
    assert_int_equal(stoq_session_parse((struct stoq_bytes){longer, len + 1}, &out), STOQ_EPARSE);
    longer[0]++;
    assert_int_equal(stoq_session_parse((struct stoq_bytes){longer, len}, &out), STOQ_EPARSE);
    longer[0]--;
    memset(longer + 1, 0xff, 4); /* a length near 2^32 */
    assert_int_equal(stoq_session_parse((struct stoq_bytes){longer, len}, &out), STOQ_EPARSE);
    hm_free(packed);
}

static void test_session_limits(void **state)
{
    static uint8_t big[STOQ_SESSION_BYTES_MAX + 1];
    struct stoq_session in = {{big, STOQ_SESSION_BYTES_MAX - 13}, {NULL, 0}, {NULL, 0}};
    struct stoq_session out;
    uint8_t *packed = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(stoq_session_pack(&in, &packed, &len), 0);
    assert_int_equal(len, STOQ_SESSION_BYTES_MAX);
    assert_int_equal(stoq_session_parse((struct stoq_bytes){packed, len}, &out), 0);
    hm_free(packed);
    packed = NULL;
    in.token = (struct stoq_bytes){big, 1};
    assert_int_equal(stoq_session_pack(&in, &packed, &len), STOQ_ELIMIT);
    in.ticket.len = SIZE_MAX;
    assert_int_equal(stoq_session_pack(&in, &packed, &len), STOQ_ELIMIT);
    in.ticket.len = 1;
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_session_pack(&in, &packed, &len), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(packed);
    in.ticket.len = 0; /* packs, but resumes nothing */
    assert_int_equal(stoq_session_pack(&in, &packed, &len), 0);
    assert_int_equal(stoq_session_parse((struct stoq_bytes){packed, len}, &out), STOQ_EPARSE);
    hm_free(packed);
    assert_int_equal(stoq_session_parse((struct stoq_bytes){big, STOQ_SESSION_BYTES_MAX + 1}, &out),
                     STOQ_EPARSE);
}

static void test_ticket_data(void **state)
{
    struct stoq_ticket_data in = {.issued_seconds = 77, .proven_seconds = 66, .rest_count = 2};
    struct stoq_ticket_data out;
    uint8_t bytes[128];
    (void)state;
    memset(in.id, 1, sizeof(in.id));
    memset(in.context, 2, sizeof(in.context));
    in.rest[0] = text("middle");
    in.rest[1] = text("root");
    size_t len = stoq_ticket_data_write(&in, bytes, sizeof(bytes));
    assert_int_equal(len, 1 + 8 + 8 + 16 + 8 + 1 + 4 + 6 + 4 + 4);
    assert_int_equal(stoq_ticket_data_parse((struct stoq_bytes){bytes, len}, &out), 0);
    assert_int_equal(out.issued_seconds, 77);
    assert_int_equal(out.proven_seconds, 66);
    assert_memory_equal(out.id, in.id, sizeof(in.id));
    assert_memory_equal(out.context, in.context, sizeof(in.context));
    assert_int_equal(out.rest_count, 2);
    assert_bytes(out.rest[0], in.rest[0]);
    assert_bytes(out.rest[1], in.rest[1]);
    assert_int_equal(stoq_ticket_data_write(&in, bytes, len - 1), 0);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = hm_malloc(cut + 1);
        memcpy(part, bytes, cut);
        assert_int_equal(stoq_ticket_data_parse((struct stoq_bytes){part, cut}, &out), STOQ_EPARSE);
        hm_free(part);
    }
    bytes[1 + 8 + 8 + 16 + 8] = STOQ_CHAIN_CERTIFICATES_MAX; /* one more than fits behind a leaf */
    assert_int_equal(stoq_ticket_data_parse((struct stoq_bytes){bytes, len}, &out), STOQ_EPARSE);
}

static void test_chain(void **state)
{
    struct stoq_bytes list[STOQ_CHAIN_CERTIFICATES_MAX + 1];
    struct stoq_chain chain = {0};
    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(list); i++)
        list[i] = text("abc");
    assert_int_equal(stoq_chain_of_bytes(&chain, list, 2), 0);
    assert_int_equal(stoq_chain_of_bytes(&chain, list, HM_COUNT_OF(list)), STOQ_ELIMIT);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_chain_of_bytes(&chain, list, 1), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(chain.count, 2); /* what was there stays */
    assert_int_equal(stoq_chain_of_bytes(&chain, chain.list, 1), 0); /* of itself */
    assert_int_equal(chain.count, 1);
    assert_bytes(chain.list[0], list[0]);
    assert_int_equal(stoq_chain_of_x509(&chain, NULL, NULL), 0);
    assert_int_equal(chain.count, 0);
    stoq_chain_release(&chain);
}

#define NOW 1000000ULL

static void test_replay_once(void **state)
{
    struct stoq_replay *replay = stoq_replay_new(NOW);
    uint8_t id[STOQ_REPLAY_ID_BYTES] = {9};
    (void)state;
    assert_true(stoq_replay_take(replay, id, NOW, NOW));
    assert_false(stoq_replay_take(replay, id, NOW, NOW));
    assert_false(stoq_replay_take(replay, id, NOW, NOW + 100000)); /* there was room to remember */
    id[15] = 1;
    assert_true(stoq_replay_take(replay, id, NOW, NOW + 100000));
    /* Made before this table, which may have missed a use: not until no copy of that use works any more. */
    id[15] = 2;
    assert_false(stoq_replay_take(replay, id, NOW - 1, NOW + STOQ_REPLAY_WINDOW_S - 1));
    assert_true(stoq_replay_take(replay, id, NOW - 1, NOW + STOQ_REPLAY_WINDOW_S));
    stoq_replay_free(replay);
    stoq_replay_free(NULL);
    hm_alloc_fail_at(1);
    assert_null(stoq_replay_new(NOW));
    hm_alloc_fail_at(0);
}

/* Full of what could still be replayed: new tickets are refused, none is forgotten. */
static void test_replay_full(void **state)
{
    struct stoq_replay *replay = stoq_replay_new(NOW);
    uint8_t id[STOQ_REPLAY_ID_BYTES] = {0}; /* the first four bytes choose the places */
    (void)state;
    for (uint8_t i = 0; i < STOQ_REPLAY_WAYS; i++) {
        id[15] = i;
        assert_true(stoq_replay_take(replay, id, NOW, NOW + i));
    }
    id[15] = 100;
    assert_false(stoq_replay_take(replay, id, NOW, NOW + STOQ_REPLAY_WINDOW_S - 1));
    /* The oldest has become harmless: its place is used, the others are still known. */
    assert_true(stoq_replay_take(replay, id, NOW, NOW + STOQ_REPLAY_WINDOW_S));
    for (uint8_t i = 1; i < STOQ_REPLAY_WAYS; i++) {
        id[15] = i;
        assert_false(stoq_replay_take(replay, id, NOW, NOW + STOQ_REPLAY_WINDOW_S));
    }
    /* A clock that went back makes nothing forgotten. */
    id[15] = 101;
    assert_false(stoq_replay_take(replay, id, NOW, NOW - 5000));
    stoq_replay_free(replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_round_trip), cmocka_unit_test(test_session_limits),
        cmocka_unit_test(test_ticket_data),        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_replay_once),        cmocka_unit_test(test_replay_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
