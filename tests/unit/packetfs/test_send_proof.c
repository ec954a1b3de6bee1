/* Who is let in, and by whom one lets oneself be led: both ends of a handover over a wire in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "access/packetfs_message.h"
#include "sync/packetfs_code.h"
#include "sync/packetfs_send_proof.h"
#include "sync_world.h"

#define PATIENCE_MS 5000

static struct packetfs_identity *ada, *bob, *eve;
static const uint8_t shown[PACKETFS_SHOWN_BYTES] = {1, 2, 3};
static const uint8_t shown_to_other[PACKETFS_SHOWN_BYTES] = {1, 2, 4};
static const char volume_file[] = "the file of a volume";
static struct packetfs_offer offer = {
    .snapshot = {7}, .port = 4711, .files = 3, .folders = 300, .bytes = 70000};

static void gate_init(struct packetfs_gate *gate, const char *code)
{
    *gate = (struct packetfs_gate){.code = code, .offer = &offer};
    if (code == NULL) {
        gate->identity = ada;
        gate->to = packetfs_identity_contact(bob);
    }
    (void)pthread_mutex_init(&gate->lock, NULL);
}

struct run {
    struct world_wire *wire;
    struct packetfs_gate *gate;
    const uint8_t *gate_shown;
    pthread_t thread;
    int gate_code, claim_code;
    struct hm_error gate_error, claim_error;
    struct hm_buf bytes;
    struct packetfs_offer offer;
};

static void *gate_main(void *arg)
{
    struct run *run = arg;
    struct packetfs_talk talk;

    packetfs_talk_init(&talk, world_wire_end(run->wire, 0), PATIENCE_MS);
    run->gate_code = packetfs_gate_open(run->gate, run->gate_shown, &talk, &run->gate_error);
    if (run->gate_code != 0)
        packetfs_talk_fail(&talk, &run->gate_error);
    packetfs_talk_release(&talk);
    world_wire_close(run->wire, 0);
    return NULL;
}

static void run_begin(struct run *run, struct packetfs_gate *gate, const uint8_t *gate_shown)
{
    *run = (struct run){.wire = world_wire_new(), .gate = gate, .gate_shown = gate_shown};
    assert_int_equal(pthread_create(&run->thread, NULL, gate_main, run), 0);
}

static void run_end(struct run *run)
{
    world_wire_close(run->wire, 1);
    (void)pthread_join(run->thread, NULL);
    world_wire_free(run->wire);
    hm_buf_release(&run->bytes);
}

static void run_claim(struct run *run, const struct packetfs_claim *claim)
{
    struct packetfs_talk talk;

    packetfs_talk_init(&talk, world_wire_end(run->wire, 1), PATIENCE_MS);
    run->claim_code = packetfs_claim_make(claim, shown, &talk, &run->bytes, &run->offer,
                                          &run->claim_error);
    if (run->claim_code != 0)
        packetfs_talk_fail(&talk, &run->claim_error);
    packetfs_talk_release(&talk);
}

/* One whole run; both ends' codes. */
static void meet(struct packetfs_gate *gate, const uint8_t *gate_shown,
                 const struct packetfs_claim *claim, int gate_code, int claim_code)
{
    struct run run;

    run_begin(&run, gate, gate_shown);
    run_claim(&run, claim);
    if (claim_code == 0 && run.claim_code == 0) {
        assert_memory_equal(run.offer.volume_key, offer.volume_key, sizeof(offer.volume_key));
        assert_memory_equal(run.offer.snapshot, offer.snapshot, sizeof(offer.snapshot));
        assert_int_equal(run.offer.port, offer.port);
        assert_int_equal(run.offer.files, offer.files);
        assert_int_equal(run.offer.folders, offer.folders);
        assert_int_equal(run.offer.bytes, offer.bytes);
        assert_true(hm_slice_equal(run.offer.volume_file, offer.volume_file));
    }
    run_end(&run);
    if (run.gate_code != gate_code || run.claim_code != claim_code)
        fail_msg("%d %s, %d %s", run.gate_code, run.gate_error.text, run.claim_code,
                 run.claim_error.text);
}

/* --- by code ---------------------------------------------------------------------------------------------------------- */

static const struct packetfs_claim right = {.code = "4821-harbor-violin"};
static const struct packetfs_claim wrong = {.code = "4821-harbor-acorn"};

static void test_who_knows_the_code(void **state)
{
    struct packetfs_gate gate;
    (void)state;

    gate_init(&gate, right.code);
    meet(&gate, shown, &right, 0, 0);
    meet(&gate, shown, &right, 0, 0); /* again after it broke off */
    assert_int_equal(packetfs_gate_wrong(&gate), 0);
}

static void test_three_wrong_codes(void **state)
{
    struct packetfs_gate gate;
    (void)state;

    gate_init(&gate, right.code);
    for (unsigned i = 1; i <= PACKETFS_SEND_GUESSES_MAX; i++) {
        meet(&gate, shown, &wrong, HM_EAUTH, HM_EAUTH);
        assert_int_equal(packetfs_gate_wrong(&gate), i);
    }
    meet(&gate, shown, &right, HM_EAUTH, HM_EAUTH); /* the right one comes too late */
    assert_int_equal(packetfs_gate_wrong(&gate), PACKETFS_SEND_GUESSES_MAX);
}

/* Each end has a connection of its own with who stands in between, who passes on all that is said. */
static void test_somebody_in_between(void **state)
{
    struct packetfs_gate gate;
    const struct packetfs_claim by_identity = {.identity = bob,
                                               .from = packetfs_identity_contact(ada)};
    (void)state;

    gate_init(&gate, right.code);
    meet(&gate, shown_to_other, &right, HM_EAUTH, HM_EAUTH);
    assert_int_equal(packetfs_gate_wrong(&gate), 1); /* it could have been a guess */
    gate_init(&gate, NULL);
    meet(&gate, shown_to_other, &by_identity, HM_EAUTH, HM_EAUTH);
}

static void say(struct packetfs_talk *talk, enum packetfs_wire_type type, const void *data,
                size_t len)
{
    assert_int_equal(packetfs_talk_send(talk, type, hm_slice_of(data, len), NULL), 0);
    assert_int_equal(packetfs_talk_flush(talk, NULL), 0);
}

static void knock(struct packetfs_talk *talk, const uint8_t share[CRYPTO_PAKE_SHARE_BYTES])
{
    struct packetfs_knock said = {.way = PACKETFS_BY_CODE};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    memcpy(said.share, share, sizeof(said.share));
    assert_int_equal(packetfs_knock_write(&said, &body), 0);
    say(talk, PACKETFS_WIRE_KNOCK, body.data, body.len);
}

/* Hanging up before the tag tells nothing of the code, and is no guess; what is no element of the group is refused. */
static void test_knocking_alone(void **state)
{
    static const uint8_t identity[CRYPTO_PAKE_SHARE_BYTES];
    struct packetfs_gate gate;
    struct packetfs_talk talk;
    struct run run;
    struct hm_slice body;
    struct crypto_pake *pake;
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES];
    const struct crypto_pake_inputs inputs = {.password = hm_slice_str("any")};
    (void)state;

    gate_init(&gate, right.code);
    run_begin(&run, &gate, shown);
    packetfs_talk_init(&talk, world_wire_end(run.wire, 1), PATIENCE_MS);
    knock(&talk, identity);
    assert_int_equal(packetfs_talk_expect(&talk, PACKETFS_WIRE_SHARE, &body, NULL), HM_EAUTH);
    packetfs_talk_release(&talk);
    run_end(&run);
    assert_int_equal(run.gate_code, HM_EAUTH);

    assert_int_equal(crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, hm_random_system(), &pake, NULL),
                     0);
    crypto_pake_share(pake, share);
    crypto_pake_free(pake);
    run_begin(&run, &gate, shown);
    packetfs_talk_init(&talk, world_wire_end(run.wire, 1), PATIENCE_MS);
    knock(&talk, share);
    assert_int_equal(packetfs_talk_expect(&talk, PACKETFS_WIRE_SHARE, &body, NULL), 0);
    assert_int_equal(body.len, CRYPTO_PAKE_SHARE_BYTES); /* nothing by which a guess shows */
    packetfs_talk_release(&talk);
    run_end(&run);
    assert_true(run.gate_code < 0);
    assert_int_equal(packetfs_gate_wrong(&gate), 0);
}

/* A sender who knows no code: sends our own share back, or one of his, and any tag. */
static void test_a_sender_without_the_code(void **state)
{
    struct world_wire *wire;
    struct run run = {.bytes = {0}};
    (void)state;

    for (int way = 0; way < 2; way++) {
        struct packetfs_talk here, there;
        struct packetfs_knock said = {.way = PACKETFS_BY_CODE};
        uint8_t made_up[CRYPTO_PAKE_TAG_BYTES + 100] = {5};

        wire = world_wire_new();
        packetfs_talk_init(&there, world_wire_end(wire, 0), PATIENCE_MS);
        /* all of it is said beforehand: the wire keeps it */
        if (way == 0) {
            struct crypto_pake *pake;
            const struct crypto_pake_inputs inputs = {.password = hm_slice_str("any")};
            assert_int_equal(
                crypto_pake_new(CRYPTO_PAKE_FIRST, &inputs, hm_random_system(), &pake, NULL), 0);
            crypto_pake_share(pake, said.share);
            crypto_pake_free(pake);
        }
        say(&there, PACKETFS_WIRE_SHARE, said.share, sizeof(said.share));
        say(&there, PACKETFS_WIRE_OFFER, made_up, sizeof(made_up));
        packetfs_talk_init(&here, world_wire_end(wire, 1), PATIENCE_MS);
        run.claim_code = packetfs_claim_make(&right, shown, &here, &run.bytes, &run.offer,
                                             &run.claim_error);
        assert_int_equal(run.claim_code, HM_EAUTH);
        assert_int_equal(run.bytes.len, 0);
        packetfs_talk_release(&here);
        packetfs_talk_release(&there);
        world_wire_free(wire);
    }
    hm_buf_release(&run.bytes);
}

/* --- by identity ------------------------------------------------------------------------------------------------------ */

static void test_who_is_meant(void **state)
{
    struct packetfs_gate gate;
    const struct packetfs_claim bob_from_ada = {.identity = bob,
                                                .from = packetfs_identity_contact(ada)};
    const struct packetfs_claim eve_from_ada = {.identity = eve,
                                                .from = packetfs_identity_contact(ada)};
    const struct packetfs_claim bob_from_eve = {.identity = bob,
                                                .from = packetfs_identity_contact(eve)};
    (void)state;

    gate_init(&gate, NULL);
    meet(&gate, shown, &bob_from_ada, 0, 0);
    meet(&gate, shown, &eve_from_ada, HM_EAUTH, HM_EAUTH);
    meet(&gate, shown, &bob_from_eve, HM_EAUTH, HM_EAUTH);
    for (int i = 0; i < 5; i++) /* nothing is guessed here, and nothing ends */
        meet(&gate, shown, &eve_from_ada, HM_EAUTH, HM_EAUTH);
    meet(&gate, shown, &bob_from_ada, 0, 0);
}

static void test_one_way_is_not_the_other(void **state)
{
    struct packetfs_gate gate;
    const struct packetfs_claim bob_from_ada = {.identity = bob,
                                                .from = packetfs_identity_contact(ada)};
    (void)state;

    gate_init(&gate, NULL);
    meet(&gate, shown, &right, HM_EPERM, HM_EPERM);
    gate_init(&gate, right.code);
    meet(&gate, shown, &bob_from_ada, HM_EPERM, HM_EPERM);
    assert_int_equal(packetfs_gate_wrong(&gate), 0);
}

/* Eve, to whom nothing is sent, answers bob in ada's place with what she has: her own signature. And with ada's words of another connection. */
static void test_who_answers_in_her_place(void **state)
{
    const struct packetfs_claim bob_from_ada = {.identity = bob,
                                                .from = packetfs_identity_contact(ada)};
    struct packetfs_gate gate;
    (void)state;

    gate_init(&gate, NULL);
    gate.identity = eve; /* bob's proof is sealed to ada: eve cannot even read it */
    meet(&gate, shown, &bob_from_ada, HM_EAUTH, HM_EAUTH);

    for (int as_eve = 0; as_eve < 2; as_eve++) {
        struct world_wire *wire = world_wire_new();
        struct packetfs_talk here, there;
        struct run run = {.bytes = {0}};
        HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
        uint8_t words[64] = {9};

        assert_int_equal(packetfs_message_write(as_eve ? eve : ada, packetfs_identity_contact(bob),
                                                PACKETFS_MESSAGE_HANDOVER, 1,
                                                hm_slice_of(words, sizeof(words)),
                                                hm_random_system(), &sealed, NULL),
                         0);
        packetfs_talk_init(&there, world_wire_end(wire, 0), PATIENCE_MS);
        say(&there, PACKETFS_WIRE_OFFER, sealed.data, sealed.len);
        packetfs_talk_init(&here, world_wire_end(wire, 1), PATIENCE_MS);
        run.claim_code = packetfs_claim_make(&bob_from_ada, shown, &here, &run.bytes, &run.offer,
                                             &run.claim_error);
        assert_int_equal(run.claim_code, HM_EAUTH);
        assert_non_null(strstr(run.claim_error.text, as_eve ? "is here" : "another connection"));
        packetfs_talk_release(&here);
        packetfs_talk_release(&there);
        world_wire_free(wire);
        hm_buf_release(&run.bytes);
    }
}

/* --- messages --------------------------------------------------------------------------------------------------------- */

static void test_messages(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_offer read = {.port = 1};
    struct packetfs_knock heard;
    struct packetfs_handover_progress progress = {PACKETFS_STAGE_RESTORE, 5, UINT64_MAX}, told;
    uint8_t bytes[4];
    (void)state;

    assert_int_equal(packetfs_offer_write(&offer, &out), 0);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(packetfs_offer_read(hm_slice_of(out.data, len), &read, NULL), HM_EPARSE);
    assert_int_equal(read.port, 1); /* untouched */
    assert_int_equal(packetfs_offer_read(hm_buf_slice(&out), &read, NULL), 0);
    assert_int_equal(hm_buf_append(&out, "x", 1), 0);
    assert_int_equal(packetfs_offer_read(hm_buf_slice(&out), &read, NULL), HM_EPARSE);

    hm_buf_clear(&out);
    assert_int_equal(packetfs_handover_progress_write(&progress, &out), 0);
    assert_int_equal(packetfs_handover_progress_read(hm_buf_slice(&out), &told, NULL), 0);
    assert_true(told.stage == progress.stage && told.files_done == 5 &&
                told.bytes_done == UINT64_MAX);
    out.data[0] = 3;
    assert_int_equal(packetfs_handover_progress_read(hm_buf_slice(&out), &told, NULL), HM_EPARSE);

    static const uint8_t later[] = {2, 1}, other_way[] = {1, 3}, short_share[] = {1, 1, 9},
                         no_proof[] = {1, 2};
    assert_int_equal(packetfs_knock_read(hm_slice_of(later, 2), &heard, NULL), HM_EUNSUPPORTED);
    assert_int_equal(packetfs_knock_read(hm_slice_of(other_way, 2), &heard, NULL), HM_EUNSUPPORTED);
    assert_int_equal(packetfs_knock_read(hm_slice_of(short_share, 3), &heard, NULL), HM_EPARSE);
    assert_int_equal(packetfs_knock_read(hm_slice_of(no_proof, 2), &heard, NULL), HM_EPARSE);
    assert_int_equal(packetfs_knock_read((struct hm_slice){0}, &heard, NULL), HM_EPARSE);
    assert_int_equal(packetfs_handover_bytes_read(hm_slice_of(later, 2), bytes, 3, NULL),
                     HM_EPARSE);
}

static int set_up(void **state)
{
    static const uint8_t secrets[3][CRYPTO_KEY_BYTES] = {{1}, {2}, {3}};
    (void)state;

    memset(offer.volume_key, 0xab, sizeof(offer.volume_key));
    offer.volume_file = hm_slice_of(volume_file, sizeof(volume_file));
    return packetfs_identity_make(secrets[0], "ada", &ada, NULL) != 0 ||
           packetfs_identity_make(secrets[1], "bob", &bob, NULL) != 0 ||
           packetfs_identity_make(secrets[2], "eve", &eve, NULL) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
    packetfs_identity_close(eve);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_knows_the_code),
        cmocka_unit_test(test_three_wrong_codes),
        cmocka_unit_test(test_somebody_in_between),
        cmocka_unit_test(test_knocking_alone),
        cmocka_unit_test(test_a_sender_without_the_code),
        cmocka_unit_test(test_who_is_meant),
        cmocka_unit_test(test_one_way_is_not_the_other),
        cmocka_unit_test(test_who_answers_in_her_place),
        cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
