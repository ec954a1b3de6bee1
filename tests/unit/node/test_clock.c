/* A node whose clock jumps: backwards it goes on in the chain's own time, far forwards it makes no block. */
#include "node_fixture.h"

#include <string.h>

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static void expect_acts(struct node *node)
{
    struct hm_error error = {0};

    if (node_fixture_transfer(node, NODE_USER, NODE_OPERATOR, &error) != 0)
        fail_msg("%s", error.text);
    if (node_fixture_transfer(node, NODE_OPERATOR, NODE_USER, &error) != 0)
        fail_msg("%s", error.text);
}

static uint64_t chain_ms(struct node *node)
{
    struct ledger_info info;

    assert_int_equal(ledger_info(node->ledger, &info, NULL), 0);
    return info.time_ms;
}

/* What doctor says of the chain's clock. */
static void expect_doctor(struct node *node, const char *level, const char *words)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_check *checks;
    size_t count;

    hm_arena_init(&arena, 0);
    assert_int_equal(node->backend.doctor(node, &arena, &checks, &count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        if (strcmp(checks[i].name, "chain clock") == 0) {
            assert_string_equal(checks[i].level, level);
            assert_non_null(strstr(checks[i].text, words));
            return;
        }
    fail_msg("doctor does not look at the chain's clock");
}

static void test_backwards(void **state)
{
    struct node_fixture *fixture = *state;

    expect_acts(fixture->node);
    expect_doctor(fixture->node, "ok", "not ahead");
    uint64_t before_ms = chain_ms(fixture->node);
    fixture->ahead_ms -= 3 * HOUR_MS;
    expect_acts(fixture->node);
    assert_true(chain_ms(fixture->node) > before_ms);
    assert_true(chain_ms(fixture->node) < before_ms + 60000);
    expect_doctor(fixture->node, "error", "minutes behind the last block");
    node_fixture_restart(fixture);
    expect_acts(fixture->node);
    fixture->ahead_ms += 3 * HOUR_MS; /* and right again */
    expect_acts(fixture->node);
    expect_doctor(fixture->node, "ok", "not ahead");
}

static void test_far_forwards(void **state)
{
    struct node_fixture *fixture = *state;
    struct hm_error error = {0};

    expect_acts(fixture->node);
    uint64_t before_ms = chain_ms(fixture->node);
    fixture->ahead_ms += 3650 * DAY_MS;
    assert_int_equal(node_fixture_transfer(fixture->node, NODE_USER, NODE_OPERATOR, &error),
                     HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, "clock"));
    expect_doctor(fixture->node, "error", "no blocks");
    assert_true(atomic_load(&fixture->node->ready)); /* it reads, and may recover */
    fixture->ahead_ms -= 3650 * DAY_MS;
    expect_acts(fixture->node);
    assert_true(chain_ms(fixture->node) < before_ms + HOUR_MS);
}

/* Less than what is believed goes on, and back. */
static void test_a_day_forwards_and_back(void **state)
{
    struct node_fixture *fixture = *state;

    fixture->ahead_ms += DAY_MS;
    expect_acts(fixture->node);
    fixture->ahead_ms -= DAY_MS;
    expect_acts(fixture->node);
    node_fixture_restart(fixture);
    expect_acts(fixture->node);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backwards),
        TEST(test_far_forwards),
        TEST(test_a_day_forwards_and_back),
    };

    return cmocka_run_group_tests_name("node_clock", tests, NULL, NULL);
}
