/* The file DIR/volume. 80 bytes, big-endian:
 *   0  8 "PFSvolum"   8  4 format   12 16 volume id   28 12 nonce   40  4 length of what follows (36)
 *   44 20 parameters, sealed with ChaCha20-Poly1305 under keys.volume, bound to bytes 0..43   64 16 tag */
#include "access/packetfs_volume_file.h"

#include "crypto.h"

#define MAGIC            "PFSvolum"
#define MAGIC_BYTES      8
#define AT_FORMAT        8
#define AT_ID            12
#define AT_NONCE         28
#define AT_LENGTH        40
#define HEADER_BYTES     44
#define PARAMETERS_BYTES 20
#define SEALED_BYTES     (PARAMETERS_BYTES + CRYPTO_AEAD_TAG_BYTES)

static void parameters_pack(const struct packetfs_parameters *p, uint8_t out[PARAMETERS_BYTES])
{
    out[0] = (uint8_t)p->chunker;
    out[1] = (uint8_t)p->suite;
    out[2] = p->no_padding ? 1 : 0;
    out[3] = p->no_dictionaries ? 0 : 1;
    hm_put_be32(out + 4, p->chunk_min_bytes);
    hm_put_be32(out + 8, p->chunk_average_bytes);
    hm_put_be32(out + 12, p->chunk_max_bytes);
    hm_put_be32(out + 16, (uint32_t)p->zstd_level);
}

static int parameters_unpack(const uint8_t in[PARAMETERS_BYTES], struct packetfs_parameters *out,
                             struct hm_error *error)
{
    uint32_t level = hm_get_be32(in + 16);

    if ((in[0] != PACKETFS_CHUNKER_KEYED && in[0] != PACKETFS_CHUNKER_FAST) ||
        (in[1] != PACKETFS_SUITE_AES_256_GCM && in[1] != PACKETFS_SUITE_CHACHA20_POLY1305) ||
        in[2] > 1 || in[3] > 1 || level == 0 || level > 100)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the volume's parameters hold a value that this version does not know");
    *out = (struct packetfs_parameters){
        .chunker = (enum packetfs_chunker)in[0],
        .suite = (enum packetfs_suite)in[1],
        .no_padding = in[2] == 1,
        .no_dictionaries = in[3] == 0,
        .chunk_min_bytes = hm_get_be32(in + 4),
        .chunk_average_bytes = hm_get_be32(in + 8),
        .chunk_max_bytes = hm_get_be32(in + 12),
        .zstd_level = (int)level,
    };
    return 0;
}

int packetfs_volume_file_write(const struct packetfs_keys *keys,
                               const struct packetfs_parameters *parameters,
                               const struct hm_random *random, struct hm_buf *out,
                               struct hm_error *error)
{
    uint8_t file[HEADER_BYTES + SEALED_BYTES] = {0}, plain[PARAMETERS_BYTES];
    struct crypto_aead *aead = NULL;

    memcpy(file, MAGIC, MAGIC_BYTES);
    hm_put_be32(file + AT_FORMAT, PACKETFS_VOLUME_FORMAT);
    memcpy(file + AT_ID, keys->volume_id, PACKETFS_VOLUME_ID_BYTES);
    if (random->fill(random->ctx, file + AT_NONCE, CRYPTO_AEAD_NONCE_BYTES) != 0)
        return hm_fail(error, HM_EIO, "the system gives no random bytes for the volume's file");
    hm_put_be32(file + AT_LENGTH, SEALED_BYTES);
    parameters_pack(parameters, plain);
    int result = crypto_aead_new(CRYPTO_CHACHA20_POLY1305, keys->volume, &aead, error);
    if (result == 0)
        result = crypto_aead_seal(aead, file + AT_NONCE, hm_slice_of(file, HEADER_BYTES),
                                  hm_slice_of(plain, sizeof(plain)), file + HEADER_BYTES, error);
    crypto_aead_free(aead);
    if (result == 0 && hm_buf_append(out, file, sizeof(file)) != 0)
        result = hm_fail(error, HM_ENOMEM, "no memory for the volume's file");
    return result;
}

int packetfs_volume_file_id(struct hm_slice file, uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                            struct hm_error *error)
{
    if (file.len < AT_ID || memcmp(file.data, MAGIC, MAGIC_BYTES) != 0)
        return hm_fail(error, HM_EPARSE, "the file \"volume\" is not that of a PacketFS volume");
    uint32_t format = hm_get_be32(file.data + AT_FORMAT);
    if (format > PACKETFS_VOLUME_FORMAT)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the volume has format %u; this version knows formats up to %d: use a newer "
                       "one",
                       format, PACKETFS_VOLUME_FORMAT);
    if (format == 0 || file.len != HEADER_BYTES + SEALED_BYTES ||
        hm_get_be32(file.data + AT_LENGTH) != SEALED_BYTES)
        return hm_fail(error, HM_EPARSE, "the file \"volume\" is cut short or damaged");
    memcpy(volume_id, file.data + AT_ID, PACKETFS_VOLUME_ID_BYTES);
    return 0;
}

int packetfs_volume_file_read(struct hm_slice file, const struct packetfs_keys *keys,
                              struct packetfs_parameters *out, struct hm_error *error)
{
    uint8_t id[PACKETFS_VOLUME_ID_BYTES], plain[PARAMETERS_BYTES];
    struct crypto_aead *aead = NULL;
    int result = packetfs_volume_file_id(file, id, error);

    if (result != 0)
        return result;
    if (memcmp(id, keys->volume_id, sizeof(id)) != 0)
        return hm_fail(error, HM_ECORRUPT, "the file \"volume\" belongs to another volume");
    result = crypto_aead_new(CRYPTO_CHACHA20_POLY1305, keys->volume, &aead, error);
    if (result == 0)
        result = crypto_aead_open(aead, file.data + AT_NONCE, hm_slice_of(file.data, HEADER_BYTES),
                                  hm_slice_of(file.data + HEADER_BYTES, SEALED_BYTES), plain,
                                  error);
    crypto_aead_free(aead);
    if (result == HM_EAUTH)
        return hm_fail(error, HM_ECORRUPT,
                       "the volume's parameters were changed by someone without its key");
    return result == 0 ? parameters_unpack(plain, out, error) : result;
}
