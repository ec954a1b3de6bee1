#include "store/packetfs_snapshot.h"

#include "crypto.h"

#define MAGIC            "HMPFSNAP"
#define MAGIC_BYTES      8
#define HEAD_BYTES       64u
#define FORMAT_PLAUSIBLE 15 /* what is higher is damage, not a later program */
#define OFFSET_FORMAT    8
#define OFFSET_SUITE     10
#define OFFSET_VOLUME    16
#define OFFSET_SALT      32
#define SALT_BYTES       32
#define BODY_STEP        256u
#define FIXED_BYTES      (PACKETFS_SNAPSHOT_ID_BYTES + 2 * 8 + PACKETFS_ID_BYTES + 3 * 8)
#define BODY_MAX         (FIXED_BYTES + 3 + PACKETFS_LABEL_MAX_BYTES + 2 * PACKETFS_HOST_MAX_BYTES)
#define CONTEXT          "hypermesh packetfs 1 snapshot file"

_Static_assert(HEAD_BYTES + BODY_MAX + BODY_STEP + CRYPTO_AEAD_TAG_BYTES <=
                   PACKETFS_SNAPSHOT_FILE_MAX_BYTES,
               "it fits");

void packetfs_snapshot_id(const struct packetfs_keys *keys, struct hm_slice sealed,
                          uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES])
{
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash_keyed(keys->snapshot, sealed.data, sealed.len, hash);
    memcpy(id, hash, PACKETFS_SNAPSHOT_ID_BYTES);
}

static int key_for(const struct packetfs_keys *keys, const uint8_t head[HEAD_BYTES],
                   struct crypto_aead **out, struct hm_error *error)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    int rc;

    crypto_derive(CONTEXT, keys->snapshot, hm_slice_of(head + OFFSET_SALT, SALT_BYTES), key);
    rc = crypto_aead_new((enum crypto_aead_suite)head[OFFSET_SUITE], key, out, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

/* --- the fields --- */

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    hm_put_be64(at, value);
    return at + 8;
}

/* NULL: no end within its room. */
static uint8_t *put_text(uint8_t *at, const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    if (!at || len > max)
        return NULL;
    *at++ = (uint8_t)len;
    memcpy(at, text, len);
    return at + len;
}

static size_t body_make(const struct packetfs_snapshot *snapshot, uint8_t body[BODY_MAX])
{
    uint8_t *at = body;

    memcpy(at, snapshot->parent, PACKETFS_SNAPSHOT_ID_BYTES);
    at = put_u64(at + PACKETFS_SNAPSHOT_ID_BYTES, snapshot->time_ns);
    at = put_u64(at, snapshot->sequence);
    memcpy(at, snapshot->root.bytes, PACKETFS_ID_BYTES);
    at = put_u64(at + PACKETFS_ID_BYTES, snapshot->files);
    at = put_u64(at, snapshot->folders);
    at = put_u64(at, snapshot->bytes);
    at = put_text(at, snapshot->label, PACKETFS_LABEL_MAX_BYTES);
    at = put_text(at, snapshot->host, PACKETFS_HOST_MAX_BYTES);
    at = put_text(at, snapshot->user, PACKETFS_HOST_MAX_BYTES);
    return at ? (size_t)(at - body) : 0;
}

static bool take_text(struct hm_slice *in, char *out, size_t max)
{
    size_t len = in->len > 0 ? in->data[0] : SIZE_MAX;

    if (len > max || len > in->len - 1 || memchr(in->data + 1, 0, len) != NULL)
        return false;
    memcpy(out, in->data + 1, len);
    out[len] = '\0';
    *in = hm_slice_of(in->data + 1 + len, in->len - 1 - len);
    return true;
}

static bool body_parse(struct hm_slice in, struct packetfs_snapshot *out)
{
    const uint8_t *at = in.data;

    memset(out, 0, sizeof(*out));
    if (in.len < FIXED_BYTES)
        return false;
    memcpy(out->parent, at, PACKETFS_SNAPSHOT_ID_BYTES);
    at += PACKETFS_SNAPSHOT_ID_BYTES;
    out->time_ns = hm_get_be64(at);
    out->sequence = hm_get_be64(at + 8);
    memcpy(out->root.bytes, at + 16, PACKETFS_ID_BYTES);
    at += 16 + PACKETFS_ID_BYTES;
    out->files = hm_get_be64(at);
    out->folders = hm_get_be64(at + 8);
    out->bytes = hm_get_be64(at + 16);
    in = hm_slice_of(in.data + FIXED_BYTES, in.len - FIXED_BYTES);
    if (!take_text(&in, out->label, PACKETFS_LABEL_MAX_BYTES) ||
        !take_text(&in, out->host, PACKETFS_HOST_MAX_BYTES) ||
        !take_text(&in, out->user, PACKETFS_HOST_MAX_BYTES) || in.len >= BODY_STEP)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] != 0)
            return false;
    }
    return true;
}

/* --- the file --- */

int packetfs_snapshot_seal(const struct packetfs_keys *keys, enum packetfs_suite suite,
                           const struct hm_random *random, const struct packetfs_snapshot *snapshot,
                           struct hm_buf *out, struct hm_error *error)
{
    static const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES] = {0};
    uint8_t body[BODY_MAX + BODY_STEP] = {0};
    uint8_t head[HEAD_BYTES] = {0};
    struct crypto_aead *aead = NULL;
    size_t len = body_make(snapshot, body);
    int rc;

    if (len == 0)
        return hm_fail(error, HM_EINVAL, "a snapshot's label, host or user has no end");
    len = (len + BODY_STEP - 1) / BODY_STEP * BODY_STEP;
    memcpy(head, MAGIC, MAGIC_BYTES);
    head[OFFSET_FORMAT + 1] = PACKETFS_SNAPSHOT_FORMAT;
    head[OFFSET_SUITE] = (uint8_t)suite;
    memcpy(head + OFFSET_VOLUME, keys->volume_id, PACKETFS_VOLUME_ID_BYTES);
    if (random->fill(random->ctx, head + OFFSET_SALT, SALT_BYTES))
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    if (hm_buf_reserve(out, HEAD_BYTES + len + CRYPTO_AEAD_TAG_BYTES))
        return hm_fail(error, HM_ENOMEM, "no memory for a snapshot");
    rc = key_for(keys, head, &aead, error);
    if (!rc)
        rc = crypto_aead_seal(aead, nonce, hm_slice_of(head, HEAD_BYTES), hm_slice_of(body, len),
                              out->data + out->len + HEAD_BYTES, error);
    crypto_aead_free(aead);
    if (rc)
        return rc;
    memcpy(out->data + out->len, head, HEAD_BYTES);
    out->len += HEAD_BYTES + len + CRYPTO_AEAD_TAG_BYTES;
    return 0;
}

static int head_check(const struct packetfs_keys *keys, struct hm_slice sealed,
                      struct hm_error *error)
{
    static const uint8_t zeros[OFFSET_VOLUME - OFFSET_SUITE - 1] = {0};
    const uint8_t *at = sealed.data;
    unsigned format;

    if (sealed.len < HEAD_BYTES || memcmp(at, MAGIC, MAGIC_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT, "this is not a snapshot");
    format = (unsigned)at[OFFSET_FORMAT] << 8 | at[OFFSET_FORMAT + 1];
    if (format > PACKETFS_SNAPSHOT_FORMAT && format <= FORMAT_PLAUSIBLE)
        return hm_fail(error, HM_EUNSUPPORTED, "a snapshot of format %u: take a later program",
                       format);
    if (format != PACKETFS_SNAPSHOT_FORMAT ||
        memcmp(at + OFFSET_SUITE + 1, zeros, sizeof(zeros)) != 0 ||
        (at[OFFSET_SUITE] != PACKETFS_SUITE_AES_256_GCM &&
         at[OFFSET_SUITE] != PACKETFS_SUITE_CHACHA20_POLY1305) ||
        sealed.len > PACKETFS_SNAPSHOT_FILE_MAX_BYTES ||
        sealed.len < HEAD_BYTES + CRYPTO_AEAD_TAG_BYTES ||
        (sealed.len - HEAD_BYTES - CRYPTO_AEAD_TAG_BYTES) % BODY_STEP != 0)
        return hm_fail(error, HM_ECORRUPT, "a snapshot's file is damaged or cut");
    if (memcmp(at + OFFSET_VOLUME, keys->volume_id, PACKETFS_VOLUME_ID_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT, "a snapshot of another volume");
    return 0;
}

int packetfs_snapshot_unseal(const struct packetfs_keys *keys, struct hm_slice sealed,
                             struct packetfs_snapshot *out, struct hm_error *error)
{
    static const uint8_t nonce[CRYPTO_AEAD_NONCE_BYTES] = {0};
    uint8_t body[PACKETFS_SNAPSHOT_FILE_MAX_BYTES];
    struct packetfs_snapshot snapshot;
    struct crypto_aead *aead = NULL;
    int rc = head_check(keys, sealed, error);

    if (rc)
        return rc;
    rc = key_for(keys, sealed.data, &aead, error);
    if (!rc)
        rc = crypto_aead_open(aead, nonce, hm_slice_of(sealed.data, HEAD_BYTES),
                              hm_slice_of(sealed.data + HEAD_BYTES, sealed.len - HEAD_BYTES), body,
                              error);
    crypto_aead_free(aead);
    if (rc == HM_EAUTH)
        return hm_fail(error, HM_ECORRUPT, "a snapshot does not open: it was damaged or exchanged");
    if (rc)
        return rc;
    if (!body_parse(hm_slice_of(body, sealed.len - HEAD_BYTES - CRYPTO_AEAD_TAG_BYTES), &snapshot))
        return hm_fail(error, HM_ECORRUPT, "a snapshot's fields make no sense");
    packetfs_snapshot_id(keys, sealed, snapshot.id);
    *out = snapshot;
    return 0;
}
