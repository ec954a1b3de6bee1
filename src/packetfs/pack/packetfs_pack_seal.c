#include "pack/packetfs_pack.h"

#define KEY_CONTEXT "hypermesh packetfs 1 pack"

_Static_assert((int)PACKETFS_SUITE_AES_256_GCM == (int)CRYPTO_AES_256_GCM &&
                   (int)PACKETFS_SUITE_CHACHA20_POLY1305 == (int)CRYPTO_CHACHA20_POLY1305,
               "a suite has one number");

static int check_volume(const struct packetfs_keys *keys, const struct packetfs_pack_header *header,
                        struct hm_error *error)
{
    if (memcmp(keys->volume_id, header->volume_id, PACKETFS_VOLUME_ID_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT, "a pack of another volume lies here");
    return 0;
}

static void derive(const struct packetfs_keys *keys, const struct packetfs_pack_header *header,
                   uint8_t out[PACKETFS_KEY_BYTES])
{
    crypto_derive(KEY_CONTEXT, keys->seal[header->kind],
                  hm_slice_of(header->salt, sizeof(header->salt)), out);
}

int packetfs_pack_key_init(struct packetfs_pack_key *key, const struct packetfs_keys *keys,
                           const struct packetfs_pack_header *header, struct hm_error *error)
{
    uint8_t bytes[PACKETFS_KEY_BYTES];
    int rc = check_volume(keys, header, error);

    if (rc)
        return rc;
    derive(keys, header, bytes);
    rc = crypto_aead_new((enum crypto_aead_suite)header->suite, bytes, &key->aead, error);
    hm_wipe(bytes, sizeof(bytes));
    if (!rc)
        key->header = *header;
    return rc;
}

int packetfs_pack_key_change(struct packetfs_pack_key *key, const struct packetfs_keys *keys,
                             const struct packetfs_pack_header *header, struct hm_error *error)
{
    uint8_t bytes[PACKETFS_KEY_BYTES];
    int rc = check_volume(keys, header, error);

    if (rc)
        return rc;
    if (!key->aead || key->header.suite != header->suite) {
        packetfs_pack_key_release(key);
        return packetfs_pack_key_init(key, keys, header, error);
    }
    derive(keys, header, bytes);
    rc = crypto_aead_rekey(key->aead, bytes, error);
    hm_wipe(bytes, sizeof(bytes));
    if (rc)
        packetfs_pack_key_release(key);
    else
        key->header = *header;
    return rc;
}

void packetfs_pack_key_release(struct packetfs_pack_key *key)
{
    if (!key)
        return;
    crypto_aead_free(key->aead);
    memset(key, 0, sizeof(*key));
}

/* --- nonces and what is bound --- */

static void nonce_of(uint32_t position, uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES])
{
    memset(nonce, 0, CRYPTO_AEAD_NONCE_BYTES);
    hm_put_be32(nonce + CRYPTO_AEAD_NONCE_BYTES - 4, position);
}

#define BOUND_OBJECT_BYTES (PACKETFS_VOLUME_ID_BYTES + 1 + PACKETFS_ID_BYTES)

static struct hm_slice bound_object(const struct packetfs_pack_key *key,
                                    const struct packetfs_id *id, uint8_t room[BOUND_OBJECT_BYTES])
{
    memcpy(room, key->header.volume_id, PACKETFS_VOLUME_ID_BYTES);
    room[PACKETFS_VOLUME_ID_BYTES] = (uint8_t)key->header.kind;
    memcpy(room + PACKETFS_VOLUME_ID_BYTES + 1, id->bytes, PACKETFS_ID_BYTES);
    return hm_slice_of(room, BOUND_OBJECT_BYTES);
}

#define BOUND_PART_BYTES (PACKETFS_PACK_HEADER_BYTES + 1)

static struct hm_slice bound_part(const struct packetfs_pack_key *key, enum packetfs_pack_part part,
                                  uint8_t room[BOUND_PART_BYTES])
{
    memcpy(room, key->header.bytes, PACKETFS_PACK_HEADER_BYTES);
    room[PACKETFS_PACK_HEADER_BYTES] = (uint8_t)part;
    return hm_slice_of(room, BOUND_PART_BYTES);
}

static int open_failed(int rc, const char *what, uint32_t position, struct hm_error *error)
{
    if (rc != HM_EAUTH)
        return rc;
    return hm_fail(error, HM_ECORRUPT, "%s at byte %llu does not open: it was damaged or exchanged",
                   what, (unsigned long long)position * PACKETFS_UNIT_BYTES);
}

int packetfs_pack_seal_object(struct packetfs_pack_key *key, const struct packetfs_id *id,
                              uint32_t position, struct hm_slice frame, uint8_t *sealed,
                              struct hm_error *error)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES];
    uint8_t room[BOUND_OBJECT_BYTES];

    nonce_of(position, nonce);
    return crypto_aead_seal(key->aead, nonce, bound_object(key, id, room), frame, sealed, error);
}

int packetfs_pack_open_object(struct packetfs_pack_key *key, const struct packetfs_id *id,
                              uint32_t position, struct hm_slice sealed, uint8_t *frame,
                              struct hm_error *error)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES];
    uint8_t room[BOUND_OBJECT_BYTES];

    nonce_of(position, nonce);
    return open_failed(
        crypto_aead_open(key->aead, nonce, bound_object(key, id, room), sealed, frame, error),
        "an object", position, error);
}

int packetfs_pack_seal_part(struct packetfs_pack_key *key, enum packetfs_pack_part part,
                            uint32_t position, struct hm_slice plain, uint8_t *sealed,
                            struct hm_error *error)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES];
    uint8_t room[BOUND_PART_BYTES];

    nonce_of(position, nonce);
    return crypto_aead_seal(key->aead, nonce, bound_part(key, part, room), plain, sealed, error);
}

int packetfs_pack_open_part(struct packetfs_pack_key *key, enum packetfs_pack_part part,
                            uint32_t position, struct hm_slice sealed, uint8_t *plain,
                            struct hm_error *error)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES];
    uint8_t room[BOUND_PART_BYTES];
    const char *what = part == PACKETFS_PART_FOLDER   ? "the folder"
                       : part == PACKETFS_PART_FOOTER ? "the footer"
                                                      : "filler";

    nonce_of(position, nonce);
    return open_failed(
        crypto_aead_open(key->aead, nonce, bound_part(key, part, room), sealed, plain, error), what,
        position, error);
}
