/* Snapshot files: any bytes, and any bytes sealed as a snapshot's fields by who has the key. What opens is sealed and
 * opened again to the same. */
#include <stdlib.h>

#include "crypto.h"
#include "store/packetfs_snapshot.h"

#define HEAD_BYTES 64
#define BODY_MAX   2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_again(const struct packetfs_keys *keys, struct hm_slice file)
{
    struct packetfs_snapshot first, second;
    struct hm_buf sealed = {0};

    if (packetfs_snapshot_unseal(keys, file, &first, NULL) != 0)
        return;
    if (packetfs_snapshot_seal(keys, PACKETFS_SUITE_CHACHA20_POLY1305, hm_random_system(), &first,
                               &sealed, NULL) != 0 ||
        packetfs_snapshot_unseal(keys, hm_buf_slice(&sealed), &second, NULL) != 0)
        abort();
    memcpy(second.id, first.id, sizeof(first.id));
    if (memcmp(&first, &second, sizeof(first)) != 0)
        abort();
    hm_buf_release(&sealed);
}

/* As packetfs_snapshot.h says a file is made. */
static void sealed_fields(const struct packetfs_keys *keys, struct hm_slice fields)
{
    static const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES];
    uint8_t file[HEAD_BYTES + BODY_MAX + CRYPTO_AEAD_TAG_BYTES] = "HMPFSNAP\0\1\2";
    uint8_t key[CRYPTO_KEY_BYTES];
    struct crypto_aead *aead = NULL;
    size_t len = fields.len < BODY_MAX ? fields.len : BODY_MAX;

    memcpy(file + 16, keys->volume_id, PACKETFS_VOLUME_ID_BYTES);
    if (len > 0)
        memcpy(file + HEAD_BYTES, fields.data, len);
    len = (len + 255) / 256 * 256;
    crypto_derive("hypermesh packetfs 1 snapshot file", keys->snapshot, hm_slice_of(file + 32, 32),
                  key);
    if (crypto_aead_new(CRYPTO_CHACHA20_POLY1305, key, &aead, NULL) != 0)
        return;
    if (crypto_aead_seal(aead, nonce, hm_slice_of(file, HEAD_BYTES),
                         hm_slice_of(file + HEAD_BYTES, len), file + HEAD_BYTES, NULL) != 0)
        abort();
    crypto_aead_free(aead);
    open_again(keys, hm_slice_of(file, HEAD_BYTES + len + CRYPTO_AEAD_TAG_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packetfs_keys keys;
    static bool ready;

    if (!ready) {
        static const uint8_t key[PACKETFS_KEY_BYTES] = {1};
        static const uint8_t volume[PACKETFS_VOLUME_ID_BYTES] = {2};

        if (crypto_setup(NULL) != 0)
            return 0;
        packetfs_keys_derive(key, volume, &keys);
        ready = true;
    }
    open_again(&keys, hm_slice_of(data, size));
    sealed_fields(&keys, hm_slice_of(data, size));
    return 0;
}
