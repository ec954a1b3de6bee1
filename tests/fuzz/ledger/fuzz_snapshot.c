/* Snapshots as other nodes send them. The first byte says what the rest is:
 *   0  metadata, for their form and against the root they name themselves     1  a chunk of state     2  a chunk of headers
 *   3  metadata, offered to a node that trusts a root       4  the next byte's chunk, handed to that node
 * What the node takes must be the one true thing, byte for byte. */
#include <assert.h>
#include <stdlib.h>

#include "cluster_fixture.h"
#include "ledger_snapshot_form.h"

#define CHUNKS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ledger_snapshot_sizes sizes = {.target = 512, .held = 2048};

static struct fixture fix;
static struct ledger_restore_expect expect;
static struct ledger_info info;
static struct hm_buf metadata;
static struct hm_buf chunks[CHUNKS_MAX];
static uint32_t count;
static uint32_t parts;
static struct store *store; /* of the node that takes it over */
static struct ledger *node;
static struct ledger_restore *restore;
static bool taken[CHUNKS_MAX];

static void must(int rc)
{
    if (rc)
        abort();
}

static void close_all(void)
{
    ledger_restore_close(restore);
    ledger_close(node);
    store_close(store);
    hm_buf_release(&metadata);
    for (size_t i = 0; i < CHUNKS_MAX; i++)
        hm_buf_release(&chunks[i]);
    fixture_release(&fix);
}

static void snapshot_make(void)
{
    struct ledger_snapshot *snapshot;
    struct ledger_snapshot_meta meta;
    struct ledger_view *view;

    must(ledger_view_open(fix.ledger, &view, NULL));
    must(ledger_snapshot_open_sized(view, &sizes, &snapshot, NULL));
    count = ledger_snapshot_chunks(snapshot);
    assert(count <= CHUNKS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index;

        must(ledger_snapshot_next(snapshot, &index, &chunks[i], NULL));
    }
    must(ledger_snapshot_metadata(snapshot, &metadata, NULL));
    must(ledger_snapshot_meta_parse(hm_buf_slice(&metadata), &meta, NULL));
    parts = meta.part_count;
    ledger_snapshot_close(snapshot);
    ledger_view_close(view);
}

static void open_all(void)
{
    must(fixture_init(&fix, NULL));
    for (int i = 0; i < 3; i++)
        must(cluster_do(&fix, ALICE, op_transfer(&fix, BOB, 1), NULL) == NULL);
    must(ledger_info(fix.ledger, &info, NULL));
    snapshot_make();
    expect.genesis = fixture_genesis(&fix);
    expect.height = info.height;
    expect.state_root = info.state_root;
    must(store_open_memory(fixture_store_options(), &store, NULL));
    must(ledger_open(store, &node, NULL));
    must(ledger_restore_begin(node, &expect, hm_buf_slice(&metadata), &restore, NULL));
    (void)atexit(close_all);
}

static void metadata_try(struct hm_slice bytes)
{
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    struct ledger_snapshot_facts facts;
    struct ledger_snapshot_meta meta;
    struct hm_error error = {0};
    struct hm_arena arena;
    uint64_t *starts;

    if (ledger_snapshot_meta_parse(bytes, &meta, &error))
        return;
    must(ledger_snapshot_meta_write(&meta, &again));
    assert(hm_slice_equal(hm_buf_slice(&again), bytes));
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    starts = hm_calloc(meta.part_count, sizeof *starts);
    if (starts)
        (void)ledger_snapshot_meta_check(&meta, starts, &arena, &facts, &error);
    hm_free(starts);
    hm_arena_release(&arena);
}

static void entries_try(struct hm_slice bytes)
{
    HM_CLEANUP(ledger_snapshot_entries) struct ledger_snapshot_entries entries = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    uint8_t root[CRYPTO_HASH_BYTES];

    if (ledger_snapshot_entries_parse(bytes, &entries, NULL))
        return;
    for (size_t i = 0; i < entries.count; i++)
        must(ledger_snapshot_entry_write(&entries.list[i], &again));
    assert(hm_slice_equal(hm_buf_slice(&again), bytes));
    must(store_tree_part_root(0, 0, entries.leaves, entries.count, root, NULL));
}

static void headers_try(struct hm_slice bytes)
{
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    struct hm_slice left = bytes;
    struct hm_slice header;
    int rc;

    while ((rc = ledger_snapshot_header_next(&left, &header, NULL)) == 0)
        must(ledger_snapshot_header_write(header, &again));
    assert(rc != HM_ENOTFOUND || hm_slice_equal(hm_buf_slice(&again), bytes));
}

static void offer_try(struct hm_slice bytes)
{
    struct ledger_restore *other;
    struct hm_error error = {0};

    /* The node's own is not disturbed by what is refused. */
    if (hm_slice_equal(bytes, hm_buf_slice(&metadata)))
        return;
    if (ledger_restore_begin(node, &expect, bytes, &other, &error) == 0)
        abort();
    assert(error.text[0]);
}

static void chunk_try(uint32_t index, struct hm_slice bytes)
{
    struct hm_error error = {0};
    int rc = ledger_restore_chunk(restore, index, bytes, &error);

    if (rc) {
        assert(error.text[0] && (index >= count || rc != HM_EINVAL));
        return;
    }
    assert(index < count);
    /* Of headers that are there already nothing more is looked at. */
    if (index < parts || !taken[index])
        assert(hm_slice_equal(bytes, hm_buf_slice(&chunks[index])));
    taken[index] = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hm_slice bytes;

    if (!node)
        open_all();
    if (size < 2)
        return 0;
    bytes = hm_slice_of(data + 1, size - 1);
    switch (data[0]) {
    case 0:
        metadata_try(bytes);
        break;
    case 1:
        entries_try(bytes);
        break;
    case 2:
        headers_try(bytes);
        break;
    case 3:
        offer_try(bytes);
        break;
    case 4:
        chunk_try(data[1], hm_slice_of(data + 2, size - 2));
        break;
    default:
        break;
    }
    return 0;
}
