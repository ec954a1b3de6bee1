/* faultnet's rules: what a command changes, what becomes of a packet, and that chance follows from the seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faultnet_rules.h"

#define PACKETS 20000

static struct faultnet net;

static int setup(void **state)
{
    (void)state;
    return faultnet_init(&net, 4, 1, NULL);
}

static void say(const char *line, const char *expected)
{
    HM_CLEANUP(hm_buf) struct hm_buf answer = {0};
    bool quit = false;

    assert_int_equal(faultnet_command(&net, line, &answer, &quit), 0);
    assert_false(quit);
    if (strcmp(expected, "error") == 0)
        assert_memory_equal(hm_buf_cstr(&answer), "error: ", 7);
    else
        assert_string_equal(hm_buf_cstr(&answer), expected);
}

static struct faultnet_fate packet(unsigned from, unsigned to, uint64_t now_ns)
{
    struct faultnet_fate fate;

    faultnet_decide(&net, from, to, 100, now_ns, &fate);
    return fate;
}

static void test_without_rules(void **state)
{
    struct faultnet_fate fate = packet(0, 1, 5);

    (void)state;
    assert_int_equal(fate.copies, 1);
    assert_int_equal(fate.at_ns[0], 5);
    assert_int_equal(net.pair[0][1].count.bytes, 100);
}

static void test_delay(void **state)
{
    uint64_t last = 0, least = UINT64_MAX, most = 0;

    (void)state;
    say("delay 0 1 200 50", "ok\n");
    assert_int_equal(packet(1, 0, 7).at_ns[0], 7); /* that direction only */
    for (uint64_t now = 0; now < PACKETS; now++) {
        struct faultnet_fate fate = packet(0, 1, now * 100000000);
        uint64_t took = fate.at_ns[0] - now * 100000000;
        least = took < least ? took : least;
        most = took > most ? took : most;
    }
    assert_true(least >= 200000000 && least < 201000000);
    assert_true(most <= 250000000 && most > 249000000);
    for (uint64_t i = 0; i < PACKETS; i++) {
        struct faultnet_fate fate = packet(0, 1, PACKETS * UINT64_C(100000000) + i);
        assert_true(fate.at_ns[0] >= last);
        last = fate.at_ns[0];
    }
}

static void test_chances(void **state)
{
    unsigned none = 0, two = 0, late = 0;

    (void)state;
    say("loss * * 10", "ok\n");
    say("duplicate 2 3 5.5", "ok\n");
    say("reorder 2 3 25 40", "ok\n");
    for (unsigned i = 0; i < PACKETS; i++) {
        struct faultnet_fate fate = packet(2, 3, 0);
        none += fate.copies == 0;
        two += fate.copies == 2;
        late += fate.copies > 0 && fate.at_ns[0] == 40000000;
    }
    assert_in_range(none, PACKETS / 10 - 200, PACKETS / 10 + 200);
    assert_in_range(two, PACKETS * 9 / 10 * 55 / 1000 - 150, PACKETS * 9 / 10 * 55 / 1000 + 150);
    assert_in_range(late, PACKETS * 9 / 10 / 4 - 300, PACKETS * 9 / 10 / 4 + 300);
    assert_int_equal(net.pair[2][3].count.lost, none);
    assert_int_equal(net.pair[2][3].count.duplicated, two);
    assert_int_equal(net.pair[2][3].count.reordered, late);
    say("clear", "ok\n");
    assert_int_equal(packet(2, 3, 0).copies, 1);
}

/* The n-th packet of a direction meets the same chance, whatever other directions send and whatever else is asked. */
static void test_seed(void **state)
{
    static uint8_t first[PACKETS];
    unsigned differ = 0;

    (void)state;
    say("loss 0 1 50", "ok\n");
    for (unsigned i = 0; i < PACKETS; i++)
        first[i] = (uint8_t)packet(0, 1, i).copies;
    assert_int_equal(faultnet_init(&net, 4, 1, NULL), 0);
    say("loss 0 1 50", "ok\n");
    say("delay 0 1 10 10", "ok\n");
    for (unsigned i = 0; i < PACKETS; i++) {
        (void)packet(1, 0, i);
        assert_int_equal(packet(0, 1, i).copies, first[i]);
    }
    assert_int_equal(faultnet_init(&net, 4, 2, NULL), 0);
    say("loss 0 1 50", "ok\n");
    for (unsigned i = 0; i < PACKETS; i++)
        differ += packet(0, 1, i).copies != first[i];
    assert_in_range(differ, PACKETS * 2 / 5, PACKETS * 3 / 5);
}

static void test_cut(void **state)
{
    (void)state;
    say("cut 0,1|2", "ok\n");
    assert_true(faultnet_connected(&net, 0, 1));
    assert_false(faultnet_connected(&net, 1, 2));
    assert_false(faultnet_connected(&net, 3, 0)); /* not named: a group of its own */
    assert_false(faultnet_connected(&net, 3, 2));
    assert_int_equal(packet(0, 2, 0).copies, 0);
    assert_int_equal(net.pair[0][2].count.cut, 1);
    say("cut 0,1|1", "error");
    say("cut 0,9", "error");
    say("cut 0;1", "error");
    say("cut 0|", "error");
    assert_true(faultnet_connected(&net, 0, 1)); /* a bad command changes nothing */
    say("heal", "ok\n");
    assert_int_equal(packet(0, 2, 0).copies, 1);
}

static void test_bad_commands(void **state)
{
    char longest[FAULTNET_LINE_MAX + 2];

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    say(longest, "error");
    say("", "error");
    say("delay 0 1", "error");
    say("delay 0 4 1", "error");
    say("delay 0 1 60001", "error");
    say("delay 0 1 1 x", "error");
    say("loss 0 1 101", "error");
    say("loss 0 1 1 1", "error");
    say("loss 0 1 -1", "error");
    say("a b c d e f g h i", "error");
    say("heal now", "error");
    assert_int_equal(net.pair[0][1].rule.delay_us + net.pair[0][1].rule.loss_ppm, 0);
    assert_int_not_equal(faultnet_init(&net, 1, 1, NULL), 0);
    assert_int_not_equal(faultnet_init(&net, FAULTNET_NODES_MAX + 1, 1, NULL), 0);
}

static void test_targets(void **state)
{
    uint8_t four[20] = {0x45, [16] = 10, 66, 0, 4}, six[40] = {0x60, [24] = 0xfd, 0, 0, 6};

    (void)state;
    assert_int_equal(faultnet_target(&net, four, sizeof four), 3);
    assert_int_equal(faultnet_target(&net, four, sizeof four - 1), -1);
    four[19] = 5;
    assert_int_equal(faultnet_target(&net, four, sizeof four), -1);
    four[19] = 0;
    assert_int_equal(faultnet_target(&net, four, sizeof four), -1);
    four[19] = 1;
    four[17] = 67;
    assert_int_equal(faultnet_target(&net, four, sizeof four), -1);
    six[39] = 1;
    assert_int_equal(faultnet_target(&net, six, sizeof six), 0);
    six[30] = 1;
    assert_int_equal(faultnet_target(&net, six, sizeof six), -1);
    assert_int_equal(faultnet_target(&net, six, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_without_rules, setup),
        cmocka_unit_test_setup(test_delay, setup),
        cmocka_unit_test_setup(test_chances, setup),
        cmocka_unit_test_setup(test_seed, setup),
        cmocka_unit_test_setup(test_cut, setup),
        cmocka_unit_test_setup(test_bad_commands, setup),
        cmocka_unit_test_setup(test_targets, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
