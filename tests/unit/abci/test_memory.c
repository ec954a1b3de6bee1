/* At whichever allocation memory runs out: no half answer leaves, the application is told, nothing is lost or leaks. */
#include "abci_world.h"

/* Feeds it all; the answers are appended to out. rc of the first failure. */
static int play(struct world *world, struct hm_slice bytes, struct hm_buf *out)
{
    const struct abci_handlers handlers = world_handlers(world);
    struct abci_core *core = NULL;
    struct hm_slice answers;
    bool flush;
    int rc = abci_core_new(&handlers, NULL, &core, NULL);

    if (rc)
        return rc;
    for (size_t at = 0; at < bytes.len && rc == 0; at += 100)
        rc = abci_core_feed(
            core, hm_slice_of(bytes.data + at, bytes.len - at < 100 ? bytes.len - at : 100), NULL);
    hm_alloc_fail_at(0);
    answers = abci_core_out(core, &flush);
    assert_int_equal(hm_buf_append(out, answers.data, answers.len), 0);
    abci_core_free(core);
    return rc;
}

static void no_log(struct world *world)
{
    /* The world's own log takes memory; it has it before. */
    assert_int_equal(hm_buf_reserve(&world->calls, 4096), 0);
}

static void sweep(const char *name, void (*lose)(unsigned long nth))
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
    HM_CLEANUP(world) struct world first = {0};
    unsigned long nth = 1;
    unsigned told = 0;
    int rc = HM_ENOMEM;

    recorded_read(name, &bytes);
    assert_int_equal(play(&first, hm_buf_slice(&bytes), &whole), 0);
    for (; rc != 0 && nth < 1000; nth++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        HM_CLEANUP(world) struct world world = {0};

        no_log(&world);
        lose(nth);
        rc = play(&world, hm_buf_slice(&bytes), &out);
        lose(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        assert_true(out.len <= whole.len);
        assert_memory_equal(out.data != NULL ? out.data : whole.data, whole.data, out.len);
        assert_true(rc != 0 || out.len == whole.len);
        assert_true(world.failed <= 1);
        told += world.failed;
        if (rc != 0 && nth > 1) /* the first is the connection itself */
            assert_int_equal(world.failed, 1);
    }
    assert_int_equal(rc, 0);
    assert_true(nth > 3);
    assert_true(told > 1);
}

static void test_memory_that_runs_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RECORDED_COUNT; i++) {
        sweep(recorded_names[i], hm_alloc_fail_at);
        sweep(recorded_names[i], hm_alloc_fail_from);
    }
}

static void test_updates(void **state)
{
    struct abci_validator set[2] = {{.key = {1}, .power = 1}, {.key = {2}, .power = 1}};
    uint8_t key[32] = {3};
    Hypermesh__Abci__PublicKey public_key = HYPERMESH__ABCI__PUBLIC_KEY__INIT;
    Hypermesh__Abci__ValidatorUpdate update = HYPERMESH__ABCI__VALIDATOR_UPDATE__INIT;
    Hypermesh__Abci__ValidatorUpdate *const updates[] = {&update};
    int rc = HM_ENOMEM;
    unsigned long nth = 1;

    (void)state;
    public_key.sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    public_key.ed25519 = wire_bytes(key, sizeof(key));
    update.pub_key = &public_key;
    update.power = 5;
    for (; rc != 0 && nth < 10; nth++) {
        hm_alloc_fail_at(nth);
        rc = abci_updates_check(set, 2, updates, 1, NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(nth, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_runs_out),
        cmocka_unit_test(test_updates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
