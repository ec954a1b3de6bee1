/* The transfer between two volumes in memory, against peers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "crypto.h"
#include "sync_world.h"

/* --- hostile sources -------------------------------------------------------------------------------------------------- */

static bool is_second_call; /* of hostile_get */
static enum packetfs_kind hostile_kind;
static enum { MISSING, FLIPPED, EXCHANGED, EMPTY_LIE } hostile_how;
static struct packetfs_objects honest;

static int hostile_get(void *ctx, enum packetfs_kind kind, const struct packetfs_id *id,
                       struct hm_buf *out, struct hm_error *error)
{
    size_t before = out->len;
    int rc = honest.get(ctx, kind, id, out, error);

    if (rc != 0 || kind != hostile_kind)
        return rc;
    if (!is_second_call) {
        is_second_call = true;
        return 0;
    }
    switch (hostile_how) {
    case MISSING:
        out->len = before;
        return hm_fail(error, HM_ENOTFOUND, "forgotten");
    case FLIPPED:
        out->data[before + (out->len - before) / 2] ^= 4;
        return 0;
    case EXCHANGED:
        out->len = before;
        return hm_buf_append_str(out, "another object altogether");
    case EMPTY_LIE:
        out->len = before;
        return 0;
    }
    return 0;
}

static void test_hostile_objects_are_named(void **state)
{
    static const char *const words[] = {"missing", "another id", "another id", "missing"};
    struct world_file file;

    (void)state;
    world_file_make(&file, 9);
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        for (int how = MISSING; how <= EMPTY_LIE; how++) {
            struct world_volume *source = world_volume_new(world_key);
            struct world_volume *sink = world_volume_new(world_key);
            struct world_transfer transfer;

            world_put(source, "home", file.pieces, WORLD_PIECES);
            honest = source->side.objects;
            source->side.objects.get = hostile_get;
            hostile_kind = (enum packetfs_kind)kind;
            hostile_how = (__typeof__(hostile_how))how;
            is_second_call = false;
            transfer = world_run(source, sink, HM_ECORRUPT);
            assert_non_null(strstr(transfer.sink_error.text, words[how]));
            assert_non_null(strstr(transfer.sink_error.text,
                                   kind == PACKETFS_PATTERN ? "pattern" : "reference"));
            assert_int_equal(sink->count, 0);
            world_transfer_release(&transfer);
            world_volume_free(source);
            world_volume_free(sink);
        }
    hm_free(file.bytes);
}

/* An object with the right id that is no reference: only who has the key can make one. */
static void test_an_invalid_reference_is_named(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    const struct hm_slice piece = hm_slice_str("piece");
    struct world_transfer transfer;

    world_put(source, "home", &piece, 1);
    hm_buf_clear(&source->sealed[0]);
    assert_int_equal(source->side.objects.put(source->side.objects.ctx, PACKETFS_REFERENCE,
                                              hm_slice_str("no reference at all"),
                                              &source->snapshots[0].root, NULL),
                     0);
    world_seal(source, &source->snapshots[0], &source->sealed[0]);
    transfer = world_run(source, sink, HM_ECORRUPT);
    assert_non_null(strstr(transfer.sink_error.text, "reference"));
    assert_int_equal(sink->count, 0);
    world_transfer_release(&transfer);
}

static void test_exchanged_snapshots_are_named(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    const struct hm_slice piece = hm_slice_str("piece");
    struct world_transfer transfer;
    struct hm_buf kept;

    world_put(source, "a", &piece, 1);
    world_put(source, "b", &piece, 1);
    kept = source->sealed[0];
    source->sealed[0] = source->sealed[1];
    source->sealed[1] = kept;
    transfer = world_run(source, sink, HM_ECORRUPT);
    assert_non_null(strstr(transfer.sink_error.text, "exchanged"));
    assert_int_equal(sink->count, 0);
    world_transfer_release(&transfer);
    source->sealed[0].data[30] ^= 1;
    transfer = world_run(source, sink, HM_ECORRUPT);
    assert_int_equal(sink->count, 0);
    world_transfer_release(&transfer);
}

static void test_a_rolled_back_list_is_named(void **state)
{
    struct world_pair *pair = *state;
    struct world_volume *source = pair->source, *sink = pair->sink;
    const struct hm_slice piece = hm_slice_str("piece");
    struct world_transfer transfer;

    for (int i = 0; i < 5; i++)
        world_put(source, "a", &piece, 1);
    world_sync(pair);
    assert_int_equal(sink->seen, 5);
    world_transfer_init(&transfer, source, sink);
    transfer.claimed_sequence = 4;
    world_transfer_run(&transfer);
    assert_int_equal(transfer.sink_code, HM_ECORRUPT);
    assert_non_null(strstr(transfer.sink_error.text, "rolled back"));
    assert_int_equal(sink->seen, 5);
    world_transfer_release(&transfer);
    world_transfer_init(&transfer, source, sink);
    transfer.claimed_sequence = 4;
    transfer.accept_rollback = true;
    world_transfer_run(&transfer);
    assert_int_equal(transfer.sink_code, 0);
    assert_int_equal(sink->seen, 4);
    world_transfer_release(&transfer);
}

/* A source that says of every part that it is split, for ever. */
static void *endless_main(void *arg)
{
    struct packetfs_talk talk;
    enum packetfs_wire_type type;
    struct hm_slice body;
    struct packetfs_wire_ask ask;

    packetfs_talk_init(&talk, world_wire_end(arg, 0), 5000);
    while (packetfs_talk_receive(&talk, &type, &body, NULL) == 0) {
        HM_CLEANUP(hm_buf) struct hm_buf answer = {0};

        assert_int_equal(packetfs_wire_ask_read(body, &ask, NULL), 0);
        for (size_t i = 0; i < ask.count; i++) {
            struct packetfs_wire_ids ids;

            memset(&ids, 1, sizeof(ids));
            ids.form = ask.parts[i].depth < 32 ? PACKETFS_WIRE_SPLIT : PACKETFS_WIRE_SAME;
            assert_int_equal(packetfs_wire_ids_write(&ids, &answer), 0);
        }
        if (packetfs_talk_send(&talk, PACKETFS_WIRE_IDS, hm_buf_slice(&answer), NULL) != 0)
            break;
    }
    packetfs_talk_release(&talk);
    return NULL;
}

static void test_an_endless_list_ends(void **state)
{
    struct world_wire *wire = world_wire_new();
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_talk talk;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, endless_main, wire), 0);
    packetfs_talk_init(&talk, world_wire_end(wire, 1), 5000);
    assert_int_equal(packetfs_sync_reconcile(&talk, NULL, 0, &out, NULL), HM_ELIMIT);
    world_wire_close(wire, 1);
    (void)pthread_join(thread, NULL);
    packetfs_talk_release(&talk);
    world_wire_free(wire);
}

/* --- hostile sinks ------------------------------------------------------------------------------------------------------ */

static void test_a_source_answers_what_belongs_there(void **state)
{
    static const enum packetfs_wire_type wrong[] = {
        PACKETFS_WIRE_HELLO,    PACKETFS_WIRE_IDS, PACKETFS_WIRE_SNAPSHOT, PACKETFS_WIRE_OBJECT,
        PACKETFS_WIRE_PATTERNS, PACKETFS_WIRE_GET, PACKETFS_WIRE_ASK,      PACKETFS_WIRE_FETCH};
    struct world_volume *source = world_volume_new(world_key);

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        struct world_wire *wire = world_wire_new();
        struct packetfs_source answering = {.side = &source->side, .kind = PACKETFS_REFERENCE};
        struct hm_error error = {0};
        struct packetfs_talk talk;
        struct packetfs_talk peer;

        packetfs_talk_init(&talk, world_wire_end(wire, 0), 400);
        packetfs_talk_init(&peer, world_wire_end(wire, 1), 400);
        assert_int_equal(packetfs_talk_send(&peer, wrong[i], hm_slice_str("nonsense"), NULL), 0);
        assert_int_equal(packetfs_talk_flush(&peer, NULL), 0);
        assert_int_equal(packetfs_sync_source(&answering, &talk, &error), HM_EPARSE);
        packetfs_talk_release(&talk);
        packetfs_talk_release(&peer);
        world_wire_free(wire);
    }
    world_volume_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_objects_are_named),
        WORLD_TEST(test_an_invalid_reference_is_named),
        WORLD_TEST(test_exchanged_snapshots_are_named),
        WORLD_TEST(test_a_rolled_back_list_is_named),
        cmocka_unit_test(test_an_endless_list_ends),
        cmocka_unit_test(test_a_source_answers_what_belongs_there),
    };

    return cmocka_run_group_tests_name("packetfs_sync_hostile", tests, NULL, NULL);
}
