/* The wallet over a real node whose clock is moved: sessions that end, many at once, what a refusal costs. */
#include "node_fixture.h"

#include <pthread.h>
#include <stdio.h>

#define HOUR_MS UINT64_C(3600000)
#define CROWD   12
#define ROUNDS  20

struct crowd {
    struct node *node;
    const char *from;
    unsigned rounds;
    _Atomic unsigned refused;
    struct hm_error error; /* of one of them */
    pthread_mutex_t lock;
};

static void *crowd_main(void *ctx)
{
    struct crowd *crowd = ctx;

    for (unsigned i = 0; i < crowd->rounds; i++) {
        struct hm_error error = {0};

        if (node_fixture_transfer(crowd->node, crowd->from, NODE_OPERATOR, &error) != 0) {
            crowd->refused++;
            pthread_mutex_lock(&crowd->lock);
            crowd->error = error;
            pthread_mutex_unlock(&crowd->lock);
        }
    }
    return NULL;
}

/* CROWD threads act for each of the accounts at once; none may be refused. */
static void act_at_once(struct node *node, const char *const *names, size_t count, unsigned rounds)
{
    struct crowd crowds[2];
    pthread_t threads[2][CROWD];

    for (size_t n = 0; n < count; n++) {
        crowds[n] = (struct crowd){
            .node = node, .from = names[n], .rounds = rounds, .lock = PTHREAD_MUTEX_INITIALIZER};
        for (size_t i = 0; i < CROWD; i++)
            assert_int_equal(pthread_create(&threads[n][i], NULL, crowd_main, &crowds[n]), 0);
    }
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; i < CROWD; i++)
            pthread_join(threads[n][i], NULL);
    for (size_t n = 0; n < count; n++) {
        if (crowds[n].refused > 0)
            fail_msg("%u of '%s' refused: %s", crowds[n].refused, names[n], crowds[n].error.text);
        pthread_mutex_destroy(&crowds[n].lock);
    }
}

static const char *const both[] = {NODE_USER, NODE_OPERATOR};

static void test_all_of_a_crowd_get_through(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    uint64_t before = node_fixture_account(fixture->node, NODE_USER, &arena)->txs;
    act_at_once(fixture->node, both, 2, ROUNDS);
    assert_int_equal(node_fixture_account(fixture->node, NODE_USER, &arena)->txs - before,
                     CROWD * ROUNDS);
}

/* More in a window than Work is cheap for: it gets dearer while they are on their way. */
static void test_a_rising_rate_refuses_nobody(void **state)
{
    struct node_fixture *fixture = *state;

    act_at_once(fixture->node, both, 1, 100);
}

/* The machine slept longer than a session lasts: the operator's batches and the user's transactions need new keys
 * before the first of them can go through. */
static void test_sessions_that_ended_are_renewed_first(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    for (unsigned night = 0; night < 3; night++) {
        fixture->ahead_ms += 13 * HOUR_MS;
        act_at_once(fixture->node, both, 2, 2);
    }
    assert_int_equal(node_fixture_account(fixture->node, NODE_OPERATOR, &arena)->n_sessions, 1);
}

/* Renewed while others go on: the old key is good for those on their way. */
static void test_sessions_are_renewed_before_they_end(void **state)
{
    struct node_fixture *fixture = *state;
    uint8_t before[CRYPTO_ED25519_PUBLIC_BYTES], after[CRYPTO_ED25519_PUBLIC_BYTES];

    assert_int_equal(node_wallet_session_key(fixture->node, NODE_OPERATOR, before), 0);
    fixture->ahead_ms += 12 * HOUR_MS - 5 * 60000;
    act_at_once(fixture->node, both, 2, 4);
    assert_int_equal(node_wallet_session_key(fixture->node, NODE_OPERATOR, after), 0);
    assert_memory_not_equal(before, after, sizeof(after));
}

static void test_restart_goes_on_with_the_session(void **state)
{
    struct node_fixture *fixture = *state;
    uint8_t before[CRYPTO_ED25519_PUBLIC_BYTES], after[CRYPTO_ED25519_PUBLIC_BYTES];
    struct ledger_info was, is;

    assert_int_equal(node_wallet_session_key(fixture->node, NODE_USER, before), 0);
    assert_int_equal(ledger_info(fixture->node->ledger, &was, NULL), 0);
    node_fixture_restart(fixture);
    assert_int_equal(node_wallet_session_key(fixture->node, NODE_USER, after), 0);
    assert_memory_equal(before, after, sizeof(after));
    fixture->ahead_ms += 13 * HOUR_MS;
    node_fixture_restart(fixture);
    assert_int_equal(ledger_info(fixture->node->ledger, &is, NULL), 0);
    assert_true(is.height > was.height);
    act_at_once(fixture->node, both, 2, 1);
}

/* What was refused before it was applied must not stand in the way of those after it. */
static void test_refusals_do_not_spoil_the_rest(void **state)
{
    struct node_fixture *fixture = *state;
    struct hm_error error = {0};
    struct trust_entry poor;

    assert_int_equal(node_wallet_create(fixture->node, "poor", &poor, &error), 0);
    assert_int_equal(node_fixture_transfer(fixture->node, "poor", NODE_USER, &error), HM_EFUNDS);
    assert_int_equal(node_fixture_transfer(fixture->node, "nobody", NODE_USER, &error),
                     HM_ENOTFOUND);
    act_at_once(fixture->node, both, 2, 2);
}

/* A session that is granted but can't be stored: it is paid once, however often it is tried. */
static void test_a_full_disk_does_not_burn_fees(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char path[128], aside[128];
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    (void)snprintf(path, sizeof(path), "%s/keys", fixture->folder);
    (void)snprintf(aside, sizeof(aside), "%s/aside", fixture->folder);
    uint64_t before = node_fixture_account(fixture->node, NODE_USER, &arena)->txs;
    assert_int_equal(rename(path, aside), 0);
    fixture->ahead_ms += 13 * HOUR_MS;
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(node_wallet_open_session(fixture->node, NODE_USER, NULL, 0, &error),
                             0);
    assert_int_equal(node_fixture_account(fixture->node, NODE_USER, &arena)->txs, before + 1);
    assert_int_equal(rename(aside, path), 0);
    act_at_once(fixture->node, both, 2, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_of_a_crowd_get_through),
        TEST(test_a_rising_rate_refuses_nobody),
        TEST(test_sessions_that_ended_are_renewed_first),
        TEST(test_sessions_are_renewed_before_they_end),
        TEST(test_restart_goes_on_with_the_session),
        TEST(test_refusals_do_not_spoil_the_rest),
        TEST(test_a_full_disk_does_not_burn_fees),
    };

    return cmocka_run_group_tests_name("node_wallet", tests, NULL, NULL);
}
