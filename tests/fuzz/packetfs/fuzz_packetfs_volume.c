/* The file DIR/volume: as it comes, and with its first bytes as parameters that were sealed with the right key. What is read
 * must be something a cutter can be made of, or be refused by it. */
#include <stdlib.h>

#include "access/packetfs_volume_file.h"
#include "chunk/packetfs_chunk.h"
#include "crypto.h"

#define HEADER_BYTES     44
#define PARAMETERS_BYTES 20

static void use(const struct packetfs_keys *keys, const struct packetfs_parameters *p)
{
    struct packetfs_chunk_limits limits = {p->chunk_min_bytes, p->chunk_average_bytes,
                                           p->chunk_max_bytes};
    struct packetfs_cutter *cutter = NULL;

    if (packetfs_cutter_new(p->chunker, keys->chunk, &limits, &cutter, NULL) == 0 &&
        packetfs_cutter_max(cutter) > PACKETFS_OBJECT_MAX_BYTES)
        abort();
    packetfs_cutter_free(cutter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[32];
    uint8_t file[HEADER_BYTES + PARAMETERS_BYTES + CRYPTO_AEAD_TAG_BYTES] = "PFSvolum";
    struct packetfs_parameters parameters;
    struct packetfs_keys keys;
    struct crypto_aead *aead = NULL;

    packetfs_keys_derive(zeros, zeros, &keys);
    if (packetfs_volume_file_read(hm_slice_of(data, size), &keys, &parameters, NULL) == 0)
        use(&keys, &parameters);
    if (size < PARAMETERS_BYTES)
        return 0;
    hm_put_be32(file + 8, PACKETFS_VOLUME_FORMAT);
    hm_put_be32(file + 40, PARAMETERS_BYTES + CRYPTO_AEAD_TAG_BYTES);
    if (crypto_aead_new(CRYPTO_CHACHA20_POLY1305, keys.volume, &aead, NULL) != 0)
        return 0;
    int sealed = crypto_aead_seal(aead, file + 28, hm_slice_of(file, HEADER_BYTES),
                                  hm_slice_of(data, PARAMETERS_BYTES), file + HEADER_BYTES, NULL);
    crypto_aead_free(aead);
    if (sealed == 0 &&
        packetfs_volume_file_read(hm_slice_of(file, sizeof(file)), &keys, &parameters, NULL) == 0)
        use(&keys, &parameters);
    return 0;
}
