#include "snapshot_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAIT_TRIES 2000

struct script giver, taker;
char pair_folder[64];
char *pair_snapshots;
struct hm_buf pair_app_state;
struct store *taker_store;
struct hm_arena pair_arena;
struct pair_offered offered;
static char *taker_ledger, *taker_log;

/* --- the giver ---------------------------------------------------------------------------------------------- */

void giver_start(void)
{
    script_start(&giver);
    if (pair_app_state.len == 0) {
        assert_int_equal(engine_cometbft_app_state(giver.fix.options.ledger, &pair_app_state, NULL),
                         0);
        script_rpc_open(&giver);
    }
    script_handshake_good(&giver);
}

int pair_setup(void **state)
{
    (void)state;
    snprintf(pair_folder, sizeof(pair_folder), "/tmp/hm-snapshot-XXXXXX");
    assert_non_null(mkdtemp(pair_folder));
    pair_snapshots = hm_asprintf("%s/snapshots", pair_folder);
    taker_ledger = hm_asprintf("%s/ledger", pair_folder);
    taker_log = hm_asprintf("%s/blocks", pair_folder);
    hm_arena_init(&pair_arena, 0);
    memset(&offered, 0, sizeof(offered));
    memset(&taker, 0, sizeof(taker));
    script_init(&giver, NULL, NULL);
    giver.cometbft.snapshot_dir = pair_snapshots;
    giver.cometbft.snapshot_blocks = BLOCKS_BETWEEN;
    giver_start();
    return 0;
}

int pair_teardown(void **state)
{
    (void)state;
    script_release(&giver);
    assert_int_equal(hm_remove_tree(pair_folder, NULL), 0);
    hm_free(pair_snapshots);
    hm_free(taker_ledger);
    hm_free(taker_log);
    hm_buf_release(&pair_app_state);
    pair_app_state = (struct hm_buf){0};
    hm_arena_release(&pair_arena);
    return 0;
}

/* A block in which something is paid; its height. */
uint64_t giver_pays(void)
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

void giver_idles(unsigned blocks)
{
    struct hm_error error;

    for (; blocks > 0; blocks--)
        if (script_decide(&giver, NULL, 0, SCRIPT_WHOLE, &error) != 0)
            fail_msg("block: %s", error.text);
}

bool pair_is_there(uint64_t height)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%llu/head", pair_snapshots,
                                         (unsigned long long)height);

    return access(path, F_OK) == 0;
}

void pair_pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    (void)nanosleep(&pause, NULL);
}

void pair_wait_made(uint64_t height)
{
    for (unsigned i = 0; !pair_is_there(height); i++) {
        if (i == WAIT_TRIES)
            fail_msg("no snapshot of block %llu was made", (unsigned long long)height);
        pair_pause_a_little();
    }
    for (unsigned i = 0; i < 10; i++) /* until the maker has time for another */
        pair_pause_a_little();
}

const Hypermesh__Abci__ResponseListSnapshots *pair_listed(void)
{
    Hypermesh__Abci__ResponseListSnapshots *answer = hm_arena_alloc(&pair_arena, sizeof(*answer));
    struct hm_error error = {0};

    hypermesh__abci__response_list_snapshots__init(answer);
    if (giver.handlers->list_snapshots(giver.handlers->ctx, &pair_arena, answer, &error) != 0)
        fail_msg("list: %s", error.text);
    return answer;
}

/* The folder has its name a moment before the list does. */
const Hypermesh__Abci__ResponseListSnapshots *pair_wait_listed(size_t count, uint64_t newest)
{
    for (unsigned i = 0; i < WAIT_TRIES; i++) {
        const Hypermesh__Abci__ResponseListSnapshots *list = pair_listed();

        if (list->n_snapshots == count && list->snapshots[0]->height == newest)
            return list;
        pair_pause_a_little();
    }
    fail_msg("not %zu snapshots, the newest of block %llu", count, (unsigned long long)newest);
    return NULL;
}

struct hm_slice pair_load(uint64_t height, uint32_t format, uint32_t index)
{
    Hypermesh__Abci__RequestLoadSnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_LOAD_SNAPSHOT_CHUNK__INIT;
    Hypermesh__Abci__ResponseLoadSnapshotChunk answer =
        HYPERMESH__ABCI__RESPONSE_LOAD_SNAPSHOT_CHUNK__INIT;

    request.height = height;
    request.format = format;
    request.chunk = index;
    assert_int_equal(giver.handlers->load_snapshot_chunk(giver.handlers->ctx, &request, &pair_arena,
                                                         &answer, NULL),
                     0);
    return wire_slice(answer.chunk);
}

/* One is made, and all of it is in `offered`; two blocks more, which the engine needs. */
void giver_offers(void)
{
    offered.height = giver_pays();
    memcpy(offered.app_hash, script_ledger(&giver).state_root, 32);
    pair_wait_made(offered.height);
    giver_idles(2);
    offered.snapshot = pair_wait_listed(1, offered.height)->snapshots[0];
    assert_in_range(offered.snapshot->chunks, 2, CHUNKS_MAX);
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++) {
        offered.chunks[i] = pair_load(offered.height, 1, i);
        assert_true(offered.chunks[i].len > 0);
    }
}

/* Goes on to the next snapshot of the giver, which no longer offers the one before. */
void giver_offers_others(void)
{
    for (unsigned made = 0; made < 2; made++) {
        uint64_t before = offered.height / BLOCKS_BETWEEN;

        do
            offered.height = giver_pays();
        while (offered.height / BLOCKS_BETWEEN == before);
        memcpy(offered.app_hash, script_ledger(&giver).state_root, 32);
        pair_wait_made(offered.height);
    }
    giver_idles(2);
    offered.snapshot = pair_wait_listed(2, offered.height)->snapshots[0];
    assert_in_range(offered.snapshot->chunks, 2, CHUNKS_MAX);
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++)
        offered.chunks[i] = pair_load(offered.height, 1, i);
}

/* --- the taker: another machine, as far as it knows ------------------------------------------------------------ */

int taker_open_ledger(bool deferred)
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

void taker_init(bool deferred)
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
    taker.cometbft.app_state = hm_buf_slice(&pair_app_state);
    taker.cometbft.initial_height = giver.initial_height;
    memcpy(taker.cometbft.validator_address, giver.cometbft.validator_address,
           ENGINE_ADDRESS_BYTES);
    assert_int_equal(taker_open_ledger(deferred), 0);
}

/* Its engine's store holds what the giver's has decided by now. */
void taker_start(void)
{
    memcpy(taker.blocks, giver.blocks, sizeof(taker.blocks));
    taker.block_count = giver.block_count;
    taker.initial_height = giver.initial_height;
    script_start(&taker);
}

void taker_stop(void)
{
    script_die(&taker);
    engine_close(HM_TAKE(taker.fix.engine));
    ledger_close(HM_TAKE(taker.fix.options.ledger));
    store_close(HM_TAKE(taker_store));
}

void taker_release(void)
{
    taker_stop();
    assert_int_equal(taker.fix.failures, 0);
    hm_arena_release(&taker.arena);
    pthread_mutex_destroy(&taker.rpc.lock);
    pthread_mutex_destroy(&taker.fix.lock);
    pthread_cond_destroy(&taker.fix.changed);
}

int pair_offer(const Hypermesh__Abci__Snapshot *snapshot, const uint8_t *app_hash,
               struct hm_error *error)
{
    Hypermesh__Abci__RequestOfferSnapshot request = HYPERMESH__ABCI__REQUEST_OFFER_SNAPSHOT__INIT;
    Hypermesh__Abci__ResponseOfferSnapshot answer = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__INIT;

    request.snapshot = (Hypermesh__Abci__Snapshot *)(uintptr_t)snapshot;
    request.app_hash = wire_bytes(app_hash, 32);
    *error = (struct hm_error){0};
    int rc = taker.handlers->offer_snapshot(taker.handlers->ctx, &request, &pair_arena, &answer,
                                            error);
    return rc != 0 ? rc : (int)answer.result;
}

void pair_offer_good(void)
{
    struct hm_error error;

    int rc = pair_offer(offered.snapshot, offered.app_hash, &error);
    if (rc != OFFER(ACCEPT))
        fail_msg("offer: %d %s", rc, error.text);
}

const apply_answer *pair_apply(uint32_t index, struct hm_slice chunk, const char *sender)
{
    Hypermesh__Abci__RequestApplySnapshotChunk request =
        HYPERMESH__ABCI__REQUEST_APPLY_SNAPSHOT_CHUNK__INIT;
    apply_answer *answer = hm_arena_alloc(&pair_arena, sizeof(*answer));
    struct hm_error error = {0};

    hypermesh__abci__response_apply_snapshot_chunk__init(answer);
    request.index = index;
    request.chunk = wire_bytes(chunk.data, chunk.len);
    request.sender = (char *)(uintptr_t)sender;
    if (taker.handlers->apply_snapshot_chunk(taker.handlers->ctx, &request, &pair_arena, answer,
                                             &error) != 0)
        fail_msg("chunk %u: %s", (unsigned)index, error.text);
    return answer;
}

void pair_apply_good(uint32_t index)
{
    assert_int_equal(pair_apply(index, offered.chunks[index], "peer1")->result, APPLY(ACCEPT));
}

void pair_apply_all(void)
{
    for (uint32_t i = 0; i < offered.snapshot->chunks; i++)
        pair_apply_good(i);
}

/* Info names the snapshot's block; what came after it gives the same roots as at the giver. */
void taker_follows(void)
{
    struct ledger_info mine, theirs = script_ledger(&giver);

    script_handshake_good(&taker);
    mine = script_ledger(&taker);
    assert_int_equal(mine.height, theirs.height);
    assert_memory_equal(mine.state_root, theirs.state_root, 32);
    assert_memory_equal(mine.block_hash, theirs.block_hash, 32);
    assert_int_equal(mine.base_fee, theirs.base_fee);
}
