/* Snapshots: made of the blocks that all nodes make them of, kept two at a time, whole or not at all; taken over by a node that
 * believes nothing but the state root it was told, and that goes on as if it had always been there. */
#include "snapshot_pair.h"

#include <stdio.h>
#include <unistd.h>

#include "said.h"

/* --- made, listed, loaded ------------------------------------------------------------------------------------- */

static void one_is_made_of_the_first_change(void **state)
{
    (void)state;
    assert_int_equal(pair_listed()->n_snapshots, 0);
    uint64_t height = giver_pays();
    pair_wait_made(height);
    assert_int_equal(pair_listed()->n_snapshots, 0); /* nobody could check it yet */
    /* It asks for the two blocks that are missing, one after the other, and for no more. */
    for (unsigned blocks = 0; blocks < 2; blocks++) {
        script_wait_items(&giver, 1);
        assert_int_equal(pair_listed()->n_snapshots, 0);
        script_run(&giver, SCRIPT_WHOLE);
    }
    unsigned notes = script_notes(&giver);
    assert_true(notes >= 2);
    const Hypermesh__Abci__ResponseListSnapshots *list = pair_wait_listed(1, height);
    giver_idles(1);
    for (unsigned i = 0; i < 20; i++)
        pair_pause_a_little();
    assert_int_equal(script_notes(&giver), notes);
    assert_int_equal(list->snapshots[0]->format, 1);
    assert_int_equal(list->snapshots[0]->hash.len, 32);
    uint32_t chunks = list->snapshots[0]->chunks;
    for (uint32_t i = 0; i < chunks; i++)
        assert_true(pair_load(height, 1, i).len > 0);
    assert_int_equal(pair_load(height, 1, chunks).len, 0);
    assert_int_equal(pair_load(height, 2, 0).len, 0);
    assert_int_equal(pair_load(height + 1, 1, 0).len, 0);
}

/* After that, of the first change at or after each multiple; two stay. */
static void two_are_kept(void **state)
{
    uint64_t made[4] = {giver_pays()};

    (void)state;
    pair_wait_made(made[0]);
    for (unsigned i = 1; i < 4; i++) {
        uint64_t last = script_ledger(&giver).height, height = 0;

        while (height / BLOCKS_BETWEEN <= last / BLOCKS_BETWEEN) {
            height = giver_pays();
            if (height / BLOCKS_BETWEEN == last / BLOCKS_BETWEEN)
                last = height;
        }
        made[i] = height;
        pair_wait_made(height);
    }
    giver_idles(2);
    const Hypermesh__Abci__ResponseListSnapshots *list = pair_wait_listed(2, made[3]);
    assert_int_equal(list->snapshots[1]->height, made[2]);
    assert_false(pair_is_there(made[0]) || pair_is_there(made[1]));
    assert_true(pair_is_there(made[2]) && pair_is_there(made[3]));
}

/* On a disk that takes none a line at each block, and a try at each, would be the whole log, and the disk's work. */
static void one_that_fails_is_not_tried_at_each_block(void **state)
{
    (void)state;
    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    said_begin(HM_LOG_WARN);
    giver_start();
    assert_int_equal(hm_remove_tree(pair_snapshots, NULL), 0);
    assert_int_equal(hm_file_replace(pair_snapshots, "no folder", 9, 0600, NULL), 0);
    for (unsigned i = 0; i < 8; i++) {
        giver_pays();
        pair_pause_a_little();
        pair_pause_a_little();
    }
    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    assert_in_range(said("no snapshot of"), 1, 2 + 8 / BLOCKS_BETWEEN);
    said_end();
    assert_int_equal(unlink(pair_snapshots), 0);
}

static void put(const char *name, const char *file)
{
    HM_AUTOFREE char *dir = hm_asprintf("%s/%s", pair_snapshots, name);
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, file);

    assert_int_equal(hm_mkdir_all(dir, 0700, NULL), 0);
    assert_int_equal(hm_file_replace(path, "half", 4, 0600, NULL), 0);
}

static bool has(const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", pair_snapshots, name);

    return access(path, F_OK) == 0;
}

/* What a kill leaves is removed at the next start; what is whole is offered again. */
static void what_is_half_is_removed(void **state)
{
    HM_AUTOFREE char *chunk = NULL;
    uint64_t height;

    (void)state;
    giver_offers();
    height = offered.height;
    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    put("making", "0");
    put("1", "0");
    put("3", "head");
    put("1000000", "head");
    put("notes", "mine");
    giver_start();
    assert_false(has("making") || has("1") || has("3") || has("1000000"));
    assert_true(has("notes")); /* not ours */
    assert_int_equal(pair_wait_listed(1, height)->snapshots[0]->chunks, offered.snapshot->chunks);
    assert_true(hm_slice_equal(pair_load(height, 1, 0), offered.chunks[0]));

    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    chunk = hm_asprintf("%s/%llu/1", pair_snapshots, (unsigned long long)height);
    assert_int_equal(unlink(chunk), 0);
    giver_start();
    assert_int_equal(pair_listed()->n_snapshots, 0);
    assert_false(pair_is_there(height));
}

/* --- taken over ------------------------------------------------------------------------------------------------- */

static void a_node_begins_with_it(void **state)
{
    struct ledger_view *view;
    uint64_t first;

    (void)state;
    giver_offers();
    giver_pays();
    giver_pays();
    taker_init(true);
    taker_start();
    pair_offer_good();
    pair_apply_all();
    taker_follows();
    assert_int_equal(ledger_view_open(taker.fix.options.ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_first_height(view, &first, NULL), 0);
    ledger_view_close(view);
    assert_int_equal(first, offered.height + 1);
    /* From its own disk it goes on with what comes next. */
    taker_stop();
    giver_pays();
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    taker_follows();
    taker_release();
}

/* The flipped one, one of another place, one that is no zstd: the sender is left out, the chunk asked for again. */
static void a_lying_sender_is_left_out(void **state)
{
    (void)state;
    giver_offers();
    taker_init(true);
    taker_start();
    pair_offer_good();
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++) {
        struct hm_slice good = offered.chunks[i];
        uint8_t *flipped = hm_arena_dup(&pair_arena, good.data, good.len);
        uint32_t other = (i + 1) % offered.snapshot->chunks;

        flipped[good.len / 2] ^= 0x10;
        const struct hm_slice wrong[] = {hm_slice_of(flipped, good.len),
                                         offered.chunks[other],
                                         hm_slice_of(good.data, good.len - 1),
                                         hm_slice_str("no"),
                                         {0}};
        for (size_t j = 0; j < HM_COUNT_OF(wrong); j++) {
            const apply_answer *answer = pair_apply(i, wrong[j], "liar");

            assert_int_equal(answer->result, APPLY(RETRY));
            assert_int_equal(answer->n_refetch_chunks, 1);
            assert_int_equal(answer->refetch_chunks[0], i);
            assert_int_equal(answer->n_reject_senders, 1);
            assert_string_equal(answer->reject_senders[0], "liar");
        }
        assert_int_equal(pair_apply(i, hm_slice_str("no"), "")->n_reject_senders, 0);
        pair_apply_good(i);
    }
    taker_follows();
    taker_release();
}

static void refused(const Hypermesh__Abci__Snapshot *snapshot, const uint8_t *app_hash,
                    const char *words)
{
    struct hm_error error;
    int result = pair_offer(snapshot, app_hash, &error);

    if (result != OFFER(REJECT))
        fail_msg("%s: %d %s", words, result, error.text);
    if (said(words) == 0)
        fail_msg("the log does not say: %s", words);
}

static void another_state_is_refused(void **state)
{
    Hypermesh__Abci__Snapshot wrong;
    uint8_t app_hash[32], hash[32];
    struct hm_error error;

    (void)state;
    giver_offers();
    taker_init(true);
    taker_start();
    said_begin(HM_LOG_INFO);
    memcpy(app_hash, offered.app_hash, sizeof(app_hash));
    app_hash[5] ^= 1;
    refused(offered.snapshot, app_hash, "it is of another state than block");
    wrong = *offered.snapshot;
    wrong.chunks++;
    refused(&wrong, offered.app_hash, "by its metadata it has");
    wrong = *offered.snapshot;
    wrong.height++;
    refused(&wrong, offered.app_hash, "it says it is of block");
    wrong.height = giver.initial_height - 1;
    refused(&wrong, offered.app_hash, "the engine's chain begins at block");
    wrong = *offered.snapshot;
    crypto_hash("x", 1, hash);
    wrong.hash = wire_bytes(hash, sizeof(hash));
    refused(&wrong, offered.app_hash, "its hash is not that of its metadata");
    wrong.metadata = wire_bytes((const uint8_t *)"x", 1);
    assert_int_equal(pair_offer(&wrong, offered.app_hash, &error), OFFER(REJECT));
    wrong = *offered.snapshot;
    wrong.format = 2;
    assert_int_equal(pair_offer(&wrong, offered.app_hash, &error), OFFER(REJECT_FORMAT));
    assert_int_equal(said("its format is 2"), 1);
    said_end();
    /* None of it left anything behind. */
    struct ledger_info info;
    assert_int_equal(ledger_info(taker.fix.options.ledger, &info, NULL), HM_ENOTFOUND);
    pair_offer_good();
    pair_apply_all();
    taker_follows();
    taker_release();
}

static void another_chain_is_refused(void **state)
{
    struct hm_error error;

    (void)state;
    giver_offers();
    /* Of a chain that has another genesis, though of one name; and of a node that was not told of any. */
    struct hm_buf other = {0};
    assert_int_equal(hm_buf_append(&other, pair_app_state.data, pair_app_state.len), 0);
    other.data[other.len - 1] ^= 1;
    taker_init(true);
    taker.cometbft.app_state = hm_buf_slice(&other);
    taker_start();
    said_begin(HM_LOG_INFO);
    refused(offered.snapshot, offered.app_hash, "another genesis than this node's");
    said_end();
    engine_close(HM_TAKE(taker.fix.engine));
    taker.cometbft.app_state = (struct hm_slice){0};
    taker_start();
    assert_int_equal(pair_offer(offered.snapshot, offered.app_hash, &error), HM_EUNSUPPORTED);
    taker_release();
    hm_buf_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_made_of_the_first_change, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(two_are_kept, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(one_that_fails_is_not_tried_at_each_block, pair_setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(what_is_half_is_removed, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(a_node_begins_with_it, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(a_lying_sender_is_left_out, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(another_state_is_refused, pair_setup, pair_teardown),
        cmocka_unit_test_setup_teardown(another_chain_is_refused, pair_setup, pair_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
