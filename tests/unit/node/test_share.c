/* Acts of many threads for one account share transactions: each gets its own answer and its own verdict. */
#include "node_fixture.h"

#include <pthread.h>
#include <stdio.h>

#define CROWD  24
#define ROUNDS 40

struct writer {
    struct node *node;
    unsigned number;
    unsigned odd; /* every so many-th put is one that the ledger refuses; 0: none */
    unsigned refused, wrong;
    char why[HM_ERROR_TEXT_BYTES];
    pthread_t thread;
};

/* One put as the API's backend takes it; 0 and the store's revision after it, or the refusal. */
static int put(struct node *node, const char *account, const char *key, const char *value,
               uint64_t lease, uint64_t *revision, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__KvPut message = HYPERMESH__KV_PUT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    struct api_receipt receipt = {0};

    hm_arena_init(&arena, 0);
    message.key = wire_bytes(key, strlen(key));
    message.value = wire_bytes(value, strlen(value));
    message.lease = lease;
    op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    op.kv_put = &message;
    int rc = node->backend.submit(node, account, ops, 1, &arena, &receipt, error);
    if (rc != 0)
        return rc;
    assert_int_equal(receipt.kv_count, 1);
    assert_int_equal(receipt.kv[0]->op, 0);
    *revision = receipt.kv[0]->revision;
    return 0;
}

/* The key's value at a revision must be what the put that was answered with it wrote. */
static bool holds(struct node *node, const char *key, const char *value, uint64_t revision)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_kv_query query = {.key = hm_slice_str(key), .revision = revision};
    struct api_kv_pairs pairs;

    hm_arena_init(&arena, 0);
    return node->backend.kv_range(node, NODE_USER, &query, &arena, &pairs, NULL) == 0 &&
           pairs.count == 1 && pairs.pairs[0]->entry->mod_revision == revision &&
           hm_slice_equal(wire_slice(pairs.pairs[0]->entry->value), hm_slice_str(value));
}

static void *writer_main(void *ctx)
{
    struct writer *writer = ctx;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct hm_error error = {0};
        char key[32], value[32];
        uint64_t revision = 0;
        bool odd = writer->odd > 0 && (i + writer->number) % writer->odd == 0;

        /* Some keys are everybody's. */
        (void)snprintf(key, sizeof(key), "key/%u", i % 3 == 0 ? 0 : writer->number + 1);
        (void)snprintf(value, sizeof(value), "%u of %u", i, writer->number);
        if (odd) /* an empty key: of a kind that shares, and always refused */
            key[0] = '\0';
        int rc = put(writer->node, NODE_USER, key, value, 0, &revision, &error);
        writer->refused += rc != 0;
        if ((rc != 0) != odd || (rc == 0 && !holds(writer->node, key, value, revision))) {
            writer->wrong++;
            memcpy(writer->why, error.text, sizeof(writer->why));
        }
    }
    return NULL;
}

static void write_at_once(struct node *node, unsigned odd, unsigned *refused)
{
    static struct writer writers[CROWD];

    *refused = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        writers[i] = (struct writer){.node = node, .number = i, .odd = odd};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(writers[i].thread, NULL);
        if (writers[i].wrong > 0)
            fail_msg("%u wrong: %s", writers[i].wrong, writers[i].why);
        *refused += writers[i].refused;
    }
}

static uint64_t txs_of_user(struct node *node)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;

    hm_arena_init(&arena, 0);
    return node_fixture_account(node, NODE_USER, &arena)->txs;
}

static void test_puts_share_transactions(void **state)
{
    struct node_fixture *fixture = *state;
    uint64_t before = txs_of_user(fixture->node);
    unsigned refused;

    write_at_once(fixture->node, 0, &refused);
    assert_int_equal(refused, 0);
    uint64_t txs = txs_of_user(fixture->node) - before;
    print_message("%u puts in %u transactions\n", CROWD * ROUNDS, (unsigned)txs);
    assert_true(txs < CROWD * ROUNDS / 2);
}

static void test_a_refusal_hits_only_its_maker(void **state)
{
    struct node_fixture *fixture = *state;
    unsigned refused;

    write_at_once(fixture->node, 7, &refused);
    assert_true(refused > CROWD * ROUNDS / 8);
    write_at_once(fixture->node, 0, &refused);
    assert_int_equal(refused, 0);
}

static void test_others_may_not_write(void **state)
{
    struct node_fixture *fixture = *state;
    struct hm_error error = {0};
    uint64_t revision;

    assert_int_equal(put(fixture->node, NODE_OPERATOR, "key", "value", 0, &revision, &error),
                     HM_EPERM);
    assert_int_equal(put(fixture->node, NODE_USER, "key", "value", 0, &revision, &error), 0);
    assert_true(holds(fixture->node, "key", "value", revision));
    assert_int_not_equal(put(fixture->node, NODE_USER, "key", "other", 12345, &revision, &error),
                         0);
    assert_true(holds(fixture->node, "key", "value", revision));
}

/* A grant and a transaction of several operations among puts: answers are told apart. */
static void test_answers_are_told_apart(void **state)
{
    struct node_fixture *fixture = *state;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__KvLeaseGrant grant = HYPERMESH__KV_LEASE_GRANT__INIT;
    Hypermesh__KvDelete none = HYPERMESH__KV_DELETE__INIT;
    Hypermesh__Operation first = HYPERMESH__OPERATION__INIT, second = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&first, &second};
    struct api_receipt receipt = {0};

    hm_arena_init(&arena, 0);
    grant.ttl_ms = 60000;
    none.key = wire_bytes("absent", 6);
    first.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_GRANT;
    first.kv_lease_grant = &grant;
    second.op_case = HYPERMESH__OPERATION__OP_KV_DELETE;
    second.kv_delete = &none;
    assert_int_equal(
        fixture->node->backend.submit(fixture->node, NODE_USER, ops, 2, &arena, &receipt, NULL), 0);
    assert_int_equal(receipt.kv_count, 2);
    assert_int_not_equal(receipt.kv[0]->lease, 0);
    assert_int_equal(receipt.kv[0]->ttl_ms, 60000);
    assert_int_equal(receipt.kv[1]->op, 1);
    assert_int_equal(receipt.kv[1]->deleted, 0);
}

/* Revoked through this node: the next act opens another session at once. */
static void revoke_session(struct node *node, const char *name)
{
    Hypermesh__SessionRevoke message = HYPERMESH__SESSION_REVOKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES], after[CRYPTO_ED25519_PUBLIC_BYTES];
    struct hm_error error = {0};

    assert_int_equal(node_wallet_session_key(node, name, key), 0);
    message.session_key = wire_bytes(key, sizeof(key));
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_REVOKE;
    op.session_revoke = &message;
    if (node_wallet_submit(node, name, ops, 1, NULL, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(node_wallet_session_key(node, name, after), HM_ENOTFOUND);
    if (node_fixture_transfer(node, name, name, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(node_wallet_session_key(node, name, after), 0);
    assert_memory_not_equal(key, after, sizeof(key));
}

static void test_a_revoked_session_is_dropped(void **state)
{
    struct node_fixture *fixture = *state;

    revoke_session(fixture->node, NODE_USER);
    revoke_session(fixture->node, NODE_OPERATOR);
    node_fixture_restart(fixture);
    assert_int_equal(node_fixture_transfer(fixture->node, NODE_USER, NODE_OPERATOR, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, node_fixture_setup, node_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_puts_share_transactions),      TEST(test_a_refusal_hits_only_its_maker),
        TEST(test_others_may_not_write),         TEST(test_answers_are_told_apart),
        TEST(test_a_revoked_session_is_dropped),
    };

    return cmocka_run_group_tests_name("node_share", tests, NULL, NULL);
}
