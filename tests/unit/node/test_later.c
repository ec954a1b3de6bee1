/* Acts that no thread waits for: one thread has many under way, each gets its own answer and its own verdict. */
#include "node_fixture.h"
#include "node_wallet.h"

#include <pthread.h>
#include <stdio.h>

#define ACTS     200
#define ROUNDS   5
#define NIGHT_MS (UINT64_C(13) * 3600 * 1000) /* longer than a session */

/* What the API's loop is to this test: what other threads leave, in order. */
struct desk {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct act *first, **last;
    unsigned left; /* acts that have not ended */
};

struct act {
    struct api_later later; /* first */
    struct desk *desk;
    struct act *next; /* in the desk; an act is there once at a time */
    bool leads, done;
    char key[32], value[32];
    Hypermesh__KvPut put;
    Hypermesh__Operation op;
    Hypermesh__Operation *ops[1];
    bool begun;
    int rc;
    bool again;
    uint64_t revision;
};

static void leave(struct api_later *later, bool done)
{
    struct act *act = (struct act *)(void *)later;
    struct desk *desk = act->desk;

    pthread_mutex_lock(&desk->lock);
    act->leads = !done;
    act->done = done;
    act->next = NULL;
    *desk->last = act;
    desk->last = &act->next;
    pthread_cond_signal(&desk->filled);
    pthread_mutex_unlock(&desk->lock);
}

static void act_lead(struct api_later *later)
{
    leave(later, false);
}

static void act_done(struct api_later *later)
{
    leave(later, true);
}

static void desk_init(struct desk *desk)
{
    *desk = (struct desk){.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};
    desk->last = &desk->first;
}

static void act_end(struct node *node, struct act *act)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_receipt receipt = {0};
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    act->rc = node->backend.later_end(node, &act->later, &arena, &receipt, &act->again, &error);
    if (act->rc != 0) {
        assert_int_equal(error.code, act->rc);
        return;
    }
    assert_int_equal(receipt.kv_count, 1);
    assert_int_equal(receipt.kv[0]->op, 0);
    act->revision = receipt.kv[0]->revision;
}

/* Does what is left to this thread until all have ended. */
static void desk_run(struct node *node, struct desk *desk)
{
    while (desk->left > 0) {
        pthread_mutex_lock(&desk->lock);
        while (desk->first == NULL)
            pthread_cond_wait(&desk->filled, &desk->lock);
        struct act *act = desk->first;
        desk->first = act->next;
        if (desk->first == NULL)
            desk->last = &desk->first;
        bool leads = act->leads;
        pthread_mutex_unlock(&desk->lock);
        if (leads) {
            node->backend.later_lead(node, &act->later);
        } else {
            act_end(node, act);
            desk->left--;
        }
    }
}

static int act_begin(struct node *node, struct desk *desk, struct act *act, const char *account,
                     const char *key, const char *value)
{
    struct hm_error error = {0};

    *act = (struct act){.desk = desk, .later = {.lead = act_lead, .done = act_done}};
    (void)snprintf(act->key, sizeof(act->key), "%s", key);
    (void)snprintf(act->value, sizeof(act->value), "%s", value);
    hypermesh__kv_put__init(&act->put);
    hypermesh__operation__init(&act->op);
    act->put.key = wire_bytes(act->key, strlen(act->key));
    act->put.value = wire_bytes(act->value, strlen(act->value));
    act->op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    act->op.kv_put = &act->put;
    act->ops[0] = &act->op;
    int rc = node->backend.submit_later(node, account, act->ops, 1, &act->later, &act->begun,
                                        &error);
    desk->left += act->begun;
    return rc;
}

/* The key's value at the revision is what the act wrote. */
static bool holds(struct node *node, const struct act *act)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_kv_query query = {.key = hm_slice_str(act->key), .revision = act->revision};
    struct api_kv_pairs pairs;

    hm_arena_init(&arena, 0);
    return node->backend.kv_range(node, NODE_USER, &query, &arena, &pairs, NULL) == 0 &&
           pairs.count == 1 && pairs.pairs[0]->entry->mod_revision == act->revision &&
           hm_slice_equal(wire_slice(pairs.pairs[0]->entry->value), hm_slice_str(act->value));
}

static uint64_t txs_of_user(struct node *node)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    return node_fixture_account(node, NODE_USER, &arena)->txs;
}

/* odd: every so many-th is one that the ledger refuses; 0: none. */
static void run_acts(struct node *node, unsigned odd)
{
    HM_AUTOFREE struct act *acts = hm_calloc(ACTS, sizeof(*acts));
    struct desk desk;

    desk_init(&desk);
    for (unsigned i = 0; i < ACTS; i++) {
        char key[32], value[32];

        (void)snprintf(key, sizeof(key), "key/%u", i % 7);
        (void)snprintf(value, sizeof(value), "%u", i);
        if (odd > 0 && i % odd == 0)
            key[0] = '\0'; /* of a kind that shares, and always refused */
        assert_int_equal(act_begin(node, &desk, &acts[i], NODE_USER, key, value), 0);
        assert_true(acts[i].begun);
    }
    desk_run(node, &desk);
    for (unsigned i = 0; i < ACTS; i++) {
        bool refused = odd > 0 && i % odd == 0;

        assert_false(acts[i].again);
        assert_int_equal(acts[i].rc != 0, refused);
        assert_true(refused || holds(node, &acts[i]));
    }
}

static void test_many_share(void **state)
{
    struct node_fixture *fixture = *state;
    uint64_t before = txs_of_user(fixture->node);

    for (unsigned i = 0; i < ROUNDS; i++)
        run_acts(fixture->node, 0);
    uint64_t txs = txs_of_user(fixture->node) - before;
    print_message("%u puts in %u transactions\n", ACTS * ROUNDS, (unsigned)txs);
    assert_true(txs < ACTS * ROUNDS / 8);
}

static void test_a_refusal_hits_only_its_maker(void **state)
{
    struct node_fixture *fixture = *state;

    run_acts(fixture->node, 7);
    run_acts(fixture->node, 0);
}

struct waiter {
    struct node *node;
    unsigned wrong;
    pthread_t thread;
};

/* Acts with a thread, of kinds that share and that do not. */
static void *waiter_main(void *ctx)
{
    struct waiter *waiter = ctx;

    for (unsigned i = 0; i < 20; i++)
        waiter->wrong += node_fixture_transfer(waiter->node, NODE_USER, NODE_OPERATOR, NULL) != 0;
    return NULL;
}

static void test_beside_those_with_threads(void **state)
{
    struct node_fixture *fixture = *state;
    struct waiter waiters[4];

    for (unsigned i = 0; i < HM_COUNT_OF(waiters); i++) {
        waiters[i] = (struct waiter){.node = fixture->node};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        run_acts(fixture->node, i % 2 == 0 ? 0 : 9);
    for (unsigned i = 0; i < HM_COUNT_OF(waiters); i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].wrong, 0);
    }
}

/* Everything that would have to be waited for takes the other way. */
static void test_what_does_not_begin(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = fixture->node;
    struct desk desk;
    struct act act;

    desk_init(&desk);
    assert_int_equal(act_begin(node, &desk, &act, "nobody", "key", "value"), 0);
    assert_false(act.begun);
    assert_int_equal(act_begin(node, &desk, &act, NODE_USER, "key", "value"), 0);
    assert_true(act.begun);
    desk_run(node, &desk);
    assert_int_equal(act.rc, 0);
    atomic_fetch_add(&fixture->ahead_ms, NIGHT_MS); /* the session has ended */
    assert_int_equal(act_begin(node, &desk, &act, NODE_USER, "key", "value"), 0);
    assert_false(act.begun);
    assert_int_equal(node_fixture_transfer(node, NODE_USER, NODE_OPERATOR, NULL), 0);
    assert_int_equal(act_begin(node, &desk, &act, NODE_USER, "key", "value"), 0);
    assert_true(act.begun);
    desk_run(node, &desk);
    assert_true(holds(node, &act));
}

/* Revoked behind the node's back: what has begun is refused, and says that it is to go the other way, which finds out. */
static void test_a_revoked_session(void **state)
{
    struct node_fixture *fixture = *state;
    struct node *node = fixture->node;
    Hypermesh__SessionRevoke message = HYPERMESH__SESSION_REVOKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];
    struct node_account *account;
    struct desk desk;
    struct act act;

    desk_init(&desk);
    assert_int_equal(node_wallet_session_key(node, NODE_USER, key), 0);
    message.session_key = wire_bytes(key, sizeof(key));
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_REVOKE;
    op.session_revoke = &message;
    assert_int_equal(node_account_get(node, NODE_USER, &account, NULL), 0);
    assert_int_equal(node_account_submit(node, account, true, ops, 1, NULL, NULL), 0);
    assert_int_equal(act_begin(node, &desk, &act, NODE_USER, "key", "value"), 0);
    assert_true(act.begun);
    desk_run(node, &desk);
    assert_true(act.again);
    assert_int_equal(node_fixture_transfer(node, NODE_USER, NODE_OPERATOR, NULL), 0);
    assert_int_equal(act_begin(node, &desk, &act, NODE_USER, "key", "value"), 0);
    desk_run(node, &desk);
    assert_false(act.again);
    assert_true(holds(node, &act));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_share),
        TEST(test_a_refusal_hits_only_its_maker),
        TEST(test_beside_those_with_threads),
        TEST(test_what_does_not_begin),
        TEST(test_a_revoked_session),
    };

    return cmocka_run_group_tests_name("node_later", tests, NULL, NULL);
}
