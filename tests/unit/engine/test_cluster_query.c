/* What the engine's RPC may ask of the ledger: values with proofs that a light client can check. */
#include "cluster_script.h"

static struct script script;

static int setup(void **state)
{
    (void)state;
    script_init(&script, NULL, NULL);
    script_start(&script);
    script_rpc_open(&script);
    script_handshake_good(&script);
    script_submit(&script, ALICE);
    script_wait_items(&script, 1);
    script_run(&script, SCRIPT_WHOLE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_release(&script);
    return 0;
}

static int query(const char *path, struct hm_slice key, int64_t height, struct hm_arena *arena,
                 Hypermesh__Abci__ResponseQuery *answer, struct hm_error *error)
{
    Hypermesh__Abci__RequestQuery request = HYPERMESH__ABCI__REQUEST_QUERY__INIT;

    hypermesh__abci__response_query__init(answer);
    request.path = (char *)(uintptr_t)path;
    request.data = wire_bytes(key.data, key.len);
    request.height = height;
    return script.handlers->query(script.handlers->ctx, &request, arena, answer, error);
}

/* Holds against the root: NULL value: that there is none. */
static bool holds(const Hypermesh__Abci__ResponseQuery *answer, struct hm_slice key)
{
    struct store_tree_proof proof = {0};
    struct ledger_info info = script_ledger(&script);

    assert_int_equal(answer->proof_ops->n_ops, 1);
    assert_string_equal(answer->proof_ops->ops[0]->type, "hm:smt");
    assert_true(hm_slice_equal(wire_slice(answer->proof_ops->ops[0]->key), key));
    assert_int_equal(
        store_tree_proof_decode(wire_slice(answer->proof_ops->ops[0]->data), &proof, NULL), 0);
    int rc = store_tree_verify(info.state_root, key, wire_slice(answer->value), &proof, NULL);
    store_tree_proof_release(&proof);
    return rc == 0;
}

static void values_come_with_proofs(void **state)
{
    uint8_t key[1 + WIRE_ID_BYTES] = {LEDGER_KEY_ACCOUNT};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__ResponseQuery answer;
    struct hm_slice whole = hm_slice_of(key, sizeof(key));
    Hypermesh__Account *account;
    uint64_t height = script_ledger(&script).height;

    (void)state;
    hm_arena_init(&arena, 0);
    memcpy(key + 1, script.fix.chain.people[ALICE].id, WIRE_ID_BYTES);
    assert_int_equal(query("/state", whole, 0, &arena, &answer, NULL), 0);
    assert_int_equal(answer.height, height);
    assert_true(holds(&answer, whole));
    assert_int_equal(
        WIRE_UNPACK(hypermesh__account, wire_slice(answer.value), 65536, &arena, &account, NULL),
        0);
    assert_int_equal(account->hyper, fixture_account(&script.fix.chain, ALICE)->hyper);
    answer.value.data[0] ^= 1;
    assert_false(holds(&answer, whole));
    /* The present height is as good as none. */
    assert_int_equal(query("/state", whole, (int64_t)height, &arena, &answer, NULL), 0);
    assert_true(holds(&answer, whole));
    memset(key + 1, 0xEE, WIRE_ID_BYTES); /* nobody */
    assert_int_equal(query("/state", whole, 0, &arena, &answer, NULL), 0);
    assert_int_equal(answer.value.len, 0);
    assert_true(holds(&answer, whole));
}

static void the_chain_tells_where_it_stands(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__ResponseQuery answer;
    char root[2 * CRYPTO_HASH_BYTES + 1];

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(query("/info", hm_slice_of(NULL, 0), 0, &arena, &answer, NULL), 0);
    char *text = hm_arena_printf(&arena, "%.*s", (int)answer.value.len, (char *)answer.value.data);
    hm_hex_encode(script_ledger(&script).state_root, CRYPTO_HASH_BYTES, root);
    assert_non_null(strstr(text, root));
    assert_non_null(strstr(text, "\"chain_id\":\"test-1\""));
}

static void what_cannot_be_told_is_said(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__ResponseQuery answer;
    struct hm_error error;
    uint8_t key[STORE_KEY_MAX_BYTES + 1] = {'a'};

    (void)state;
    hm_arena_init(&arena, 0);
    assert_int_equal(query("/else", hm_slice_of(key, 5), 0, &arena, &answer, &error),
                     HM_EUNSUPPORTED);
    assert_non_null(strstr(error.text, "/state"));
    assert_int_equal(query("/state", hm_slice_of(key, 5), 1, &arena, &answer, &error),
                     HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "not block 1"));
    assert_int_equal(query("/state", hm_slice_of(key, 5), -1, &arena, &answer, &error),
                     HM_ENOTFOUND);
    assert_int_equal(query("/state", hm_slice_of(key, 0), 0, &arena, &answer, &error), HM_EINVAL);
    assert_int_equal(query("/state", hm_slice_of(key, sizeof(key)), 0, &arena, &answer, &error),
                     HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_come_with_proofs, setup, teardown),
        cmocka_unit_test_setup_teardown(the_chain_tells_where_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_told_is_said, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
