/* Snapshots: made of the blocks that all nodes make them of, kept two at a time, whole or not at all; taken over by a node that
 * believes nothing but the state root it was told, and that goes on as if it had always been there. */
#include "cluster_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS_BETWEEN 4
#define CHUNKS_MAX     64
#define WAIT_TRIES     2000

typedef Hypermesh__Abci__ResponseApplySnapshotChunk apply_answer;

#define OFFER(name) HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__##name
#define APPLY(name) HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__##name

static struct script giver, taker;
static char folder[64];
static char *snapshots, *taker_ledger, *taker_log;
static struct hm_buf app_state;
static struct store *taker_store;
static struct hm_arena arena;

/* A snapshot as the giver offers it. */
static struct {
    uint64_t height;
    const Hypermesh__Abci__Snapshot *snapshot;
    struct hm_slice chunks[CHUNKS_MAX];
    uint8_t app_hash[32];
} offered;

/* --- the giver ---------------------------------------------------------------------------------------------- */

static void giver_start(void)
{
    script_start(&giver);
    if (app_state.len == 0) {
        assert_int_equal(engine_cometbft_app_state(giver.fix.options.ledger, &app_state, NULL), 0);
        script_rpc_open(&giver);
    }
    script_handshake_good(&giver);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/hm-snapshot-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snapshots = hm_asprintf("%s/snapshots", folder);
    taker_ledger = hm_asprintf("%s/ledger", folder);
    taker_log = hm_asprintf("%s/blocks", folder);
    hm_arena_init(&arena, 0);
    memset(&offered, 0, sizeof(offered));
    memset(&taker, 0, sizeof(taker));
    script_init(&giver, NULL, NULL);
    giver.cometbft.snapshot_dir = snapshots;
    giver.cometbft.snapshot_blocks = BLOCKS_BETWEEN;
    giver_start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_release(&giver);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
    hm_free(snapshots);
    hm_free(taker_ledger);
    hm_free(taker_log);
    hm_buf_release(&app_state);
    app_state = (struct hm_buf){0};
    hm_arena_release(&arena);
    return 0;
}

/* A block in which something is paid; its height. */
static uint64_t giver_pays(void)
{
    struct hm_slice tx = engine_fixture_transfer(&giver.fix, BOB);
    uint64_t now = atomic_fetch_add(&giver.fix.wall_ms, 1) + 1;
    struct hm_slice items[2] = {script_note(&giver, now), fixture_batch(&giver.fix.chain, &tx, 1)};
    uint8_t before[32];
    struct hm_error error;

    memcpy(before, script_ledger(&giver).state_root, sizeof(before));
    if (script_decide(&giver, items, 2, SCRIPT_WHOLE, &error) != 0)
        fail_msg("block: %s", error.text);
    assert_memory_not_equal(before, script_ledger(&giver).state_root, sizeof(before));
    return script_ledger(&giver).height;
}

static void giver_idles(unsigned blocks)
{
    struct hm_error error;

    for (; blocks > 0; blocks--)
        if (script_decide(&giver, NULL, 0, SCRIPT_WHOLE, &error) != 0)
            fail_msg("block: %s", error.text);
}

static bool is_there(uint64_t height)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%llu/head", snapshots, (unsigned long long)height);

    return access(path, F_OK) == 0;
}

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    (void)nanosleep(&pause, NULL);
}

static void wait_made(uint64_t height)
{
    for (unsigned i = 0; !is_there(height); i++) {
        if (i == WAIT_TRIES)
            fail_msg("no snapshot of block %llu was made", (unsigned long long)height);
        pause_a_little();
    }
    for (unsigned i = 0; i < 10; i++) /* until the maker has time for another */
        pause_a_little();
}

static const Hypermesh__Abci__ResponseListSnapshots *listed(void)
{
    Hypermesh__Abci__ResponseListSnapshots *answer = hm_arena_alloc(&arena, sizeof(*answer));
    struct hm_error error = {0};

    hypermesh__abci__response_list_snapshots__init(answer);
    if (giver.handlers->list_snapshots(giver.handlers->ctx, &arena, answer, &error) != 0)
        fail_msg("list: %s", error.text);
    return answer;
}

/* The folder has its name a moment before the list does. */
static const Hypermesh__Abci__ResponseListSnapshots *wait_listed(size_t count, uint64_t newest)
{
    for (unsigned i = 0; i < WAIT_TRIES; i++) {
        const Hypermesh__Abci__ResponseListSnapshots *list = listed();

        if (list->n_snapshots == count && list->snapshots[0]->height == newest)
            return list;
        pause_a_little();
    }
    fail_msg("not %zu snapshots, the newest of block %llu", count, (unsigned long long)newest);
    return NULL;
}

static struct hm_slice load(uint64_t height, uint32_t format, uint32_t index)
{
    Hypermesh__Abci__RequestLoadSnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_LOAD_SNAPSHOT_CHUNK__INIT;
    Hypermesh__Abci__ResponseLoadSnapshotChunk answer =
        HYPERMESH__ABCI__RESPONSE_LOAD_SNAPSHOT_CHUNK__INIT;

    request.height = height;
    request.format = format;
    request.chunk = index;
    assert_int_equal(
        giver.handlers->load_snapshot_chunk(giver.handlers->ctx, &request, &arena, &answer, NULL),
        0);
    return wire_slice(answer.chunk);
}

/* One is made, and all of it is in `offered`; two blocks more, which the engine needs. */
static void giver_offers(void)
{
    offered.height = giver_pays();
    memcpy(offered.app_hash, script_ledger(&giver).state_root, 32);
    wait_made(offered.height);
    giver_idles(2);
    offered.snapshot = wait_listed(1, offered.height)->snapshots[0];
    assert_in_range(offered.snapshot->chunks, 2, CHUNKS_MAX);
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++) {
        offered.chunks[i] = load(offered.height, 1, i);
        assert_true(offered.chunks[i].len > 0);
    }
}

/* --- the taker: another machine, as far as it knows ------------------------------------------------------------ */

static int taker_open_ledger(bool deferred)
{
    struct store_options options = *fixture_store_options();
    struct hm_error error = {0};

    options.deferred = deferred;
    if (store_open_lmdb(taker_ledger, &options, &taker_store, &error) != 0)
        fail_msg("%s", error.text);
    int rc = ledger_open(taker_store, &taker.fix.options.ledger, &error);
    taker.fix.options.store = taker_store;
    return rc;
}

static void taker_init(bool deferred)
{
    taker.fix.options = giver.fix.options;
    taker.fix.options.on_block = NULL;
    taker.fix.options.ctx = &taker.fix;
    taker.fix.options.log_path = deferred ? taker_log : NULL;
    pthread_mutex_init(&taker.fix.lock, NULL);
    pthread_cond_init(&taker.fix.changed, NULL);
    pthread_mutex_init(&taker.rpc.lock, NULL);
    hm_arena_init(&taker.arena, 0);
    taker.version = giver.version;
    taker.abci_version = giver.abci_version;
    taker.app_version = giver.app_version;
    taker.chain_id = giver.chain_id;
    taker.max_tx_bytes = giver.max_tx_bytes;
    taker.cometbft.rpc_path = "/tmp/hm-nobody-listens-here";
    taker.cometbft.app_state = hm_buf_slice(&app_state);
    taker.cometbft.initial_height = giver.initial_height;
    memcpy(taker.cometbft.validator_address, giver.cometbft.validator_address,
           ENGINE_ADDRESS_BYTES);
    assert_int_equal(taker_open_ledger(deferred), 0);
}

/* Its engine's store holds what the giver's has decided by now. */
static void taker_start(void)
{
    memcpy(taker.blocks, giver.blocks, sizeof(taker.blocks));
    taker.block_count = giver.block_count;
    taker.initial_height = giver.initial_height;
    script_start(&taker);
}

static void taker_stop(void)
{
    script_die(&taker);
    engine_close(HM_TAKE(taker.fix.engine));
    ledger_close(HM_TAKE(taker.fix.options.ledger));
    store_close(HM_TAKE(taker_store));
}

static void taker_release(void)
{
    taker_stop();
    assert_int_equal(taker.fix.failures, 0);
    hm_arena_release(&taker.arena);
    pthread_mutex_destroy(&taker.rpc.lock);
    pthread_mutex_destroy(&taker.fix.lock);
    pthread_cond_destroy(&taker.fix.changed);
}

static int offer(const Hypermesh__Abci__Snapshot *snapshot, const uint8_t *app_hash,
                 struct hm_error *error)
{
    Hypermesh__Abci__RequestOfferSnapshot request = HYPERMESH__ABCI__REQUEST_OFFER_SNAPSHOT__INIT;
    Hypermesh__Abci__ResponseOfferSnapshot answer = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__INIT;

    request.snapshot = (Hypermesh__Abci__Snapshot *)(uintptr_t)snapshot;
    request.app_hash = wire_bytes(app_hash, 32);
    *error = (struct hm_error){0};
    int rc = taker.handlers->offer_snapshot(taker.handlers->ctx, &request, &arena, &answer, error);
    return rc != 0 ? rc : (int)answer.result;
}

static void offer_good(void)
{
    struct hm_error error;

    int rc = offer(offered.snapshot, offered.app_hash, &error);
    if (rc != OFFER(ACCEPT))
        fail_msg("offer: %d %s", rc, error.text);
}

static const apply_answer *apply(uint32_t index, struct hm_slice chunk, const char *sender)
{
    Hypermesh__Abci__RequestApplySnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_APPLY_SNAPSHOT_CHUNK__INIT;
    apply_answer *answer = hm_arena_alloc(&arena, sizeof(*answer));
    struct hm_error error = {0};

    hypermesh__abci__response_apply_snapshot_chunk__init(answer);
    request.index = index;
    request.chunk = wire_bytes(chunk.data, chunk.len);
    request.sender = (char *)(uintptr_t)sender;
    if (taker.handlers->apply_snapshot_chunk(taker.handlers->ctx, &request, &arena, answer,
                                             &error) != 0)
        fail_msg("chunk %u: %s", (unsigned)index, error.text);
    return answer;
}

static void apply_good(uint32_t index)
{
    assert_int_equal(apply(index, offered.chunks[index], "peer1")->result, APPLY(ACCEPT));
}

static void apply_all(void)
{
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++)
        apply_good(i);
}

/* Info names the snapshot's block; what came after it gives the same roots as at the giver. */
static void taker_follows(void)
{
    struct ledger_info mine, theirs = script_ledger(&giver);

    script_handshake_good(&taker);
    mine = script_ledger(&taker);
    assert_int_equal(mine.height, theirs.height);
    assert_memory_equal(mine.state_root, theirs.state_root, 32);
    assert_memory_equal(mine.block_hash, theirs.block_hash, 32);
    assert_int_equal(mine.base_fee, theirs.base_fee);
}

/* --- made, listed, loaded ------------------------------------------------------------------------------------- */

static void one_is_made_of_the_first_change(void **state)
{
    (void)state;
    assert_int_equal(listed()->n_snapshots, 0);
    uint64_t height = giver_pays();
    wait_made(height);
    assert_int_equal(listed()->n_snapshots, 0); /* nobody could check it yet */
    /* It asks for the two blocks that are missing, one after the other, and for no more. */
    for (unsigned blocks = 0; blocks < 2; blocks++) {
        script_wait_items(&giver, 1);
        assert_int_equal(listed()->n_snapshots, 0);
        script_run(&giver, SCRIPT_WHOLE);
    }
    unsigned notes = script_notes(&giver);
    assert_true(notes >= 2);
    const Hypermesh__Abci__ResponseListSnapshots *list = wait_listed(1, height);
    giver_idles(1);
    for (unsigned i = 0; i < 20; i++)
        pause_a_little();
    assert_int_equal(script_notes(&giver), notes);
    assert_int_equal(list->snapshots[0]->format, 1);
    assert_int_equal(list->snapshots[0]->hash.len, 32);
    uint32_t chunks = list->snapshots[0]->chunks;
    for (uint32_t i = 0; i < chunks; i++)
        assert_true(load(height, 1, i).len > 0);
    assert_int_equal(load(height, 1, chunks).len, 0);
    assert_int_equal(load(height, 2, 0).len, 0);
    assert_int_equal(load(height + 1, 1, 0).len, 0);
}

/* After that, of the first change at or after each multiple; two stay. */
static void two_are_kept(void **state)
{
    uint64_t made[4] = {giver_pays()};

    (void)state;
    wait_made(made[0]);
    for (unsigned i = 1; i < 4; i++) {
        uint64_t last = script_ledger(&giver).height, height = 0;

        while (height / BLOCKS_BETWEEN <= last / BLOCKS_BETWEEN) {
            height = giver_pays();
            if (height / BLOCKS_BETWEEN == last / BLOCKS_BETWEEN)
                last = height;
        }
        made[i] = height;
        wait_made(height);
    }
    giver_idles(2);
    const Hypermesh__Abci__ResponseListSnapshots *list = wait_listed(2, made[3]);
    assert_int_equal(list->snapshots[1]->height, made[2]);
    assert_false(is_there(made[0]) || is_there(made[1]));
    assert_true(is_there(made[2]) && is_there(made[3]));
}

/* On a disk that takes none a line at each block, and a try at each, would be the whole log, and the disk's work. */
static void one_that_fails_is_not_tried_at_each_block(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/log", folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    unsigned lines = 0;

    (void)state;
    FILE *log = fopen(path, "w");
    assert_non_null(log);
    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    hm_log_setup(fileno(log), HM_LOG_WARN, 0); /* while nobody writes */
    giver_start();
    assert_int_equal(hm_remove_tree(snapshots, NULL), 0);
    assert_int_equal(hm_file_replace(snapshots, "no folder", 9, 0600, NULL), 0);
    for (unsigned i = 0; i < 8; i++) {
        giver_pays();
        pause_a_little();
        pause_a_little();
    }
    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    hm_log_setup(2, HM_LOG_INFO, 0);
    fclose(log);
    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    for (const char *at = hm_buf_cstr(&text); (at = strstr(at, "no snapshot of")) != NULL; at++)
        lines++;
    if (lines < 1 || lines > 2 + 8 / BLOCKS_BETWEEN)
        fail_msg("%u lines:\n%s", lines, hm_buf_cstr(&text));
    assert_int_equal(unlink(snapshots), 0);
}

static void put(const char *name, const char *file)
{
    HM_AUTOFREE char *dir = hm_asprintf("%s/%s", snapshots, name);
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, file);

    assert_int_equal(hm_mkdir_all(dir, 0700, NULL), 0);
    assert_int_equal(hm_file_replace(path, "half", 4, 0600, NULL), 0);
}

static bool has(const char *name)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", snapshots, name);

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
    assert_int_equal(wait_listed(1, height)->snapshots[0]->chunks, offered.snapshot->chunks);
    assert_true(hm_slice_equal(load(height, 1, 0), offered.chunks[0]));

    script_die(&giver);
    engine_close(HM_TAKE(giver.fix.engine));
    chunk = hm_asprintf("%s/%llu/1", snapshots, (unsigned long long)height);
    assert_int_equal(unlink(chunk), 0);
    giver_start();
    assert_int_equal(listed()->n_snapshots, 0);
    assert_false(is_there(height));
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
    offer_good();
    apply_all();
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
    offer_good();
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++) {
        struct hm_slice good = offered.chunks[i];
        uint8_t *flipped = hm_arena_dup(&arena, good.data, good.len);
        uint32_t other = (i + 1) % offered.snapshot->chunks;

        flipped[good.len / 2] ^= 0x10;
        const struct hm_slice wrong[] = {hm_slice_of(flipped, good.len),
                                         offered.chunks[other],
                                         hm_slice_of(good.data, good.len - 1),
                                         hm_slice_str("no"),
                                         {0}};
        for (size_t j = 0; j < HM_COUNT_OF(wrong); j++) {
            const apply_answer *answer = apply(i, wrong[j], "liar");

            assert_int_equal(answer->result, APPLY(RETRY));
            assert_int_equal(answer->n_refetch_chunks, 1);
            assert_int_equal(answer->refetch_chunks[0], i);
            assert_int_equal(answer->n_reject_senders, 1);
            assert_string_equal(answer->reject_senders[0], "liar");
        }
        assert_int_equal(apply(i, hm_slice_str("no"), "")->n_reject_senders, 0);
        apply_good(i);
    }
    taker_follows();
    taker_release();
}

/* What the log says of it: the test hands it a file of its own. */
static void says(const char *words)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/log", folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    if (strstr(hm_buf_cstr(&text), words) == NULL)
        fail_msg("the log does not say \"%s\":\n%s", words, hm_buf_cstr(&text));
}

static void refused(const Hypermesh__Abci__Snapshot *snapshot, const uint8_t *app_hash,
                    const char *words)
{
    struct hm_error error;
    int result = offer(snapshot, app_hash, &error);

    if (result != OFFER(REJECT))
        fail_msg("%s: %d %s", words, result, error.text);
    says(words);
}

static void another_state_is_refused(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/log", folder);
    Hypermesh__Abci__Snapshot wrong;
    uint8_t app_hash[32], hash[32];
    struct hm_error error;

    (void)state;
    FILE *log = fopen(path, "w");
    assert_non_null(log);
    giver_offers();
    taker_init(true);
    taker_start();
    hm_log_setup(fileno(log), HM_LOG_INFO, 0);
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
    assert_int_equal(offer(&wrong, offered.app_hash, &error), OFFER(REJECT));
    wrong = *offered.snapshot;
    wrong.format = 2;
    assert_int_equal(offer(&wrong, offered.app_hash, &error), OFFER(REJECT_FORMAT));
    says("its format is 2");
    hm_log_setup(2, HM_LOG_INFO, 0);
    fclose(log);
    /* None of it left anything behind. */
    struct ledger_info info;
    assert_int_equal(ledger_info(taker.fix.options.ledger, &info, NULL), HM_ENOTFOUND);
    offer_good();
    apply_all();
    taker_follows();
    taker_release();
}

static void another_chain_is_refused(void **state)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/log", folder);
    struct hm_error error;

    (void)state;
    FILE *log = fopen(path, "w");
    assert_non_null(log);
    giver_offers();
    /* Of a chain that has another genesis, though of one name; and of a node that was not told of any. */
    struct hm_buf other = {0};
    assert_int_equal(hm_buf_append(&other, app_state.data, app_state.len), 0);
    other.data[other.len - 1] ^= 1;
    taker_init(true);
    taker.cometbft.app_state = hm_buf_slice(&other);
    taker_start();
    hm_log_setup(fileno(log), HM_LOG_INFO, 0);
    refused(offered.snapshot, offered.app_hash, "another genesis than this node's");
    hm_log_setup(2, HM_LOG_INFO, 0);
    fclose(log);
    engine_close(HM_TAKE(taker.fix.engine));
    taker.cometbft.app_state = (struct hm_slice){0};
    taker_start();
    assert_int_equal(offer(offered.snapshot, offered.app_hash, &error), HM_EUNSUPPORTED);
    taker_release();
    hm_buf_release(&other);
}

/* --- crashes ------------------------------------------------------------------------------------------------------ */

static void half_of_one_is_begun_anew(void **state)
{
    (void)state;
    giver_offers();
    taker_init(false);
    taker_start();
    offer_good();
    apply_good(0);
    taker_stop();
    assert_int_equal(taker_open_ledger(false), HM_ECONFLICT);
    assert_int_equal(ledger_restore_drop(taker_store, NULL), 0);
    assert_int_equal(ledger_open(taker_store, &taker.fix.options.ledger, NULL), 0);
    taker_start();
    offer_good();
    apply_good(0);
    offer_good(); /* the engine gives up on it, and begins once more */
    apply_all();
    taker_follows();
    taker_release();
}

/* The node was killed when the ledger had it and the engine did not know yet: it offers it again. */
static void whole_before_the_engine_knew(void **state)
{
    Hypermesh__Abci__Snapshot later;
    struct hm_error error;

    (void)state;
    giver_offers();
    taker_init(true);
    taker_start();
    offer_good();
    apply_all();
    taker_stop();
    assert_int_equal(taker_open_ledger(true), 0);
    taker_start();
    later = *offered.snapshot;
    later.height++;
    assert_int_equal(offer(&later, offered.app_hash, &error), HM_ECONFLICT);
    assert_non_null(strstr(error.text, "only an empty one takes a snapshot"));
    offer_good();
    apply_all();
    taker_follows();
    taker_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_made_of_the_first_change, setup, teardown),
        cmocka_unit_test_setup_teardown(two_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_fails_is_not_tried_at_each_block, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_half_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_begins_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lying_sender_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(another_state_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(another_chain_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(half_of_one_is_begun_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_before_the_engine_knew, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
