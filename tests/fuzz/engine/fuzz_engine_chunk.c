/* A snapshot's chunk as any node may send it, and the file that says how a node begins. The first byte says which. What is
 * unpacked is packed again and comes back the same. */
#include <stdlib.h>

#include "engine_snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

static void try_chunk(struct hm_slice packed)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0}, again = {0}, back = {0};

    if (engine_snapshot_unpack(packed, &plain, NULL) != 0)
        return;
    require(plain.len <= LEDGER_SNAPSHOT_CHUNK_MAX_BYTES);
    require(engine_snapshot_pack(hm_buf_slice(&plain), &again, NULL) == 0);
    require(engine_snapshot_unpack(hm_buf_slice(&again), &back, NULL) == 0);
    require(hm_slice_equal(hm_buf_slice(&plain), hm_buf_slice(&back)));
}

static void try_sync(struct hm_slice text)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct engine_config_sync sync;

    hm_arena_init(&arena, 0);
    if (engine_sync_read(text, &arena, &sync, NULL) == 0)
        require(sync.rpc_server_count >= 2 && sync.trust_height > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 's')
        try_sync(hm_slice_of(data + 1, size - 1));
    else
        try_chunk(hm_slice_of(data + 1, size - 1));
    return 0;
}
