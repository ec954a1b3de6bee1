/* Runs of recent changes as they come from a disk that may be damaged: decoding stays inside the bytes, and
 * what it gives can be searched and merged. */
#include <stdlib.h>

#include "store_tree_run.h"

#define INPUT_MAX ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_tree_draft none = {0};
    struct store_tree_run newer = {0};
    struct store_tree_run run;
    uint8_t key[CRYPTO_HASH_BYTES] = {0x80};

    if (size > INPUT_MAX || store_tree_run_decode(hm_slice_of(data, size), &run))
        return 0;
    if (store_tree_run_leaf_at(&run, key) > run.leaf_count)
        abort();
    for (unsigned d = 0; d < STORE_TREE_RUN_DEEP; d++)
        if (store_tree_run_patch_at(&run, d, key) > run.patch_count[d])
            abort();
    if (store_tree_run_make(run.leaves, run.leaf_count, &none, run.born, &newer, NULL) ||
        store_tree_run_merge(&run, &newer, NULL))
        return 0;
    if (newer.leaf_count > 2 * run.leaf_count ||
        store_tree_run_patches(&newer) != store_tree_run_patches(&run) ||
        store_tree_run_decode(store_tree_run_bytes(&newer), &run))
        abort();
    store_tree_run_release(&newer);
    return 0;
}
