/* State proofs as they come from the wire: first 32 bytes root, then 1 byte length of a key, the key,
 * and the rest is the proof. What decodes must encode to the same bytes, and checking it must end. */
#include <stdlib.h>

#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *root, struct hm_slice key, struct hm_slice bytes)
{
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    HM_CLEANUP(store_tree_proof) struct store_tree_proof proof = {0};
    struct hm_error error = {0};

    if (store_tree_proof_decode(bytes, &proof, &error))
        return;
    if (store_tree_proof_encode(&proof, &again) || !hm_slice_equal(hm_buf_slice(&again), bytes))
        abort();
    (void)store_tree_verify(root, key, hm_slice_str("value"), &proof, &error);
    (void)store_tree_verify(root, key, (struct hm_slice){0}, &proof, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t key_len;

    if (size < CRYPTO_HASH_BYTES + 1)
        return 0;
    key_len = data[CRYPTO_HASH_BYTES];
    if (size - CRYPTO_HASH_BYTES - 1 < key_len)
        return 0;
    check(data, hm_slice_of(data + CRYPTO_HASH_BYTES + 1, key_len),
          hm_slice_of(data + CRYPTO_HASH_BYTES + 1 + key_len,
                      size - CRYPTO_HASH_BYTES - 1 - key_len));
    return 0;
}
