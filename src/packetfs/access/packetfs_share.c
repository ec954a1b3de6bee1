#include "access/packetfs_share.h"

static const char share_magic[8] = {'P', 'F', 'S', 'S', 'H', 'R', '1', '\n'};

#define SHARE_FIXED_BYTES                                                           \
    (sizeof(share_magic) + PACKETFS_SPLIT_ID_BYTES + PACKETFS_VOLUME_ID_BYTES + 3 + \
     PACKETFS_KEY_BYTES + CRYPTO_HASH_BYTES + sizeof(struct crypto_root_signature))

static void promise_of(const uint8_t split_id[PACKETFS_SPLIT_ID_BYTES],
                       const uint8_t volume_key[PACKETFS_KEY_BYTES], uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_derive("hypermesh packetfs 1 split promise", volume_key,
                  hm_slice_of(split_id, PACKETFS_SPLIT_ID_BYTES), out);
}

static void signed_hash(const struct packetfs_share *share, uint8_t out[CRYPTO_HASH_BYTES])
{
    const uint8_t numbers[3] = {share->k, share->n, share->index};
    struct crypto_hasher hasher; /* wiped: it has seen the share */

    crypto_hasher_init_context(&hasher, "hypermesh packetfs 1 share signed");
    crypto_hasher_update(&hasher, share->split_id, sizeof(share->split_id));
    crypto_hasher_update(&hasher, share->volume_id, sizeof(share->volume_id));
    crypto_hasher_update(&hasher, numbers, sizeof(numbers));
    crypto_hasher_update(&hasher, share->bytes, sizeof(share->bytes));
    crypto_hasher_update(&hasher, share->promise, sizeof(share->promise));
    crypto_hasher_update(&hasher, share->by.id, sizeof(share->by.id));
    crypto_hasher_final(&hasher, out);
    hm_wipe(&hasher, sizeof(hasher));
}

int packetfs_shares_make(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                         const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                         const struct packetfs_identity *by, unsigned k, unsigned n,
                         const struct hm_random *random, struct packetfs_share *out,
                         struct hm_error *error)
{
    uint8_t points[PACKETFS_SHARES_MAX * PACKETFS_KEY_BYTES];
    struct packetfs_share share = {.k = (uint8_t)k, .n = (uint8_t)n, .by = by->contact};
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    if (random->fill(random->ctx, share.split_id, sizeof(share.split_id)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed; nothing was split");
    rc = crypto_share_split(volume_key, PACKETFS_KEY_BYTES, k, n, random, points, error);
    if (rc != 0)
        return rc;
    memcpy(share.volume_id, volume_id, sizeof(share.volume_id));
    promise_of(share.split_id, volume_key, share.promise);
    for (unsigned i = 0; i < n && rc == 0; i++) {
        share.index = (uint8_t)(i + 1);
        memcpy(share.bytes, points + i * PACKETFS_KEY_BYTES, PACKETFS_KEY_BYTES);
        signed_hash(&share, hash);
        rc = crypto_root_sign(by->sign, hash, sizeof(hash), &share.signature, error);
        if (rc == 0)
            out[i] = share;
    }
    hm_wipe(points, sizeof(points));
    hm_wipe(&share, sizeof(share));
    return rc;
}

int packetfs_share_encode(const struct packetfs_share *share, struct hm_buf *out)
{
    const uint8_t numbers[3] = {share->k, share->n, share->index};
    const struct hm_slice parts[] = {
        {(const uint8_t *)share_magic, sizeof(share_magic)},
        {share->split_id, sizeof(share->split_id)},
        {share->volume_id, sizeof(share->volume_id)},
        {numbers, sizeof(numbers)},
        {share->bytes, sizeof(share->bytes)},
        {share->promise, sizeof(share->promise)},
        {(const uint8_t *)&share->signature, sizeof(share->signature)},
    };
    int rc = hm_buf_reserve(out, SHARE_FIXED_BYTES + PACKETFS_CONTACT_MAX_BYTES);

    for (size_t i = 0; i < HM_COUNT_OF(parts) && rc == 0; i++)
        rc = hm_buf_append(out, parts[i].data, parts[i].len);
    return rc != 0 ? rc : packetfs_contact_encode(&share->by, out);
}

static const uint8_t *taken(const uint8_t *at, void *out, size_t len)
{
    memcpy(out, at, len);
    return at + len;
}

int packetfs_share_decode(struct hm_slice bytes, struct packetfs_share *out, struct hm_error *error)
{
    struct packetfs_share share;
    const uint8_t *at;
    struct hm_slice rest;
    int rc;

    if (bytes.len < SHARE_FIXED_BYTES || memcmp(bytes.data, share_magic, sizeof(share_magic)) != 0)
        return hm_fail(error, HM_EPARSE, "this is no share of a key");
    at = taken(bytes.data + sizeof(share_magic), share.split_id, sizeof(share.split_id));
    at = taken(at, share.volume_id, sizeof(share.volume_id));
    share.k = at[0];
    share.n = at[1];
    share.index = at[2];
    at = taken(at + 3, share.bytes, sizeof(share.bytes));
    at = taken(at, share.promise, sizeof(share.promise));
    at = taken(at, &share.signature, sizeof(share.signature));
    if (share.k < 1 || share.k > share.n || share.index < 1 || share.index > share.n)
        rc = hm_fail(error, HM_EPARSE, "a share says it is %u of %u, any %u of which do",
                     share.index, share.n, share.k);
    else {
        rest = hm_slice_of(at, bytes.len - (size_t)(at - bytes.data));
        rc = packetfs_contact_take(&rest, &share.by, error);
        if (rc == 0 && rest.len > 0)
            rc = hm_fail(error, HM_EPARSE, "a share has something behind its end");
    }
    if (rc == 0)
        *out = share;
    hm_wipe(&share, sizeof(share));
    return rc;
}

int packetfs_share_verify(const struct packetfs_share *share, struct hm_error *error)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    signed_hash(share, hash);
    rc = crypto_root_verify(&share->by.sign, hash, sizeof(hash), &share->signature, error);
    return rc == HM_EAUTH ? hm_error_prefix(error, rc, "share %u was changed, or is not by %s",
                                            share->index, share->by.id_text)
                          : rc;
}

/* Are the two of one split? They are signed: who split it said so. */
static int same_split(const struct packetfs_share *a, const struct packetfs_share *b,
                      const char *name_a, const char *name_b, struct hm_error *error)
{
    char split_a[2 * PACKETFS_SPLIT_ID_BYTES + 1], split_b[2 * PACKETFS_SPLIT_ID_BYTES + 1];

    hm_hex_encode(a->split_id, sizeof(a->split_id), split_a);
    hm_hex_encode(b->split_id, sizeof(b->split_id), split_b);
    if (memcmp(a->volume_id, b->volume_id, sizeof(a->volume_id)) != 0)
        return hm_fail(error, HM_ECONFLICT, "%s and %s are shares of different volumes", name_a,
                       name_b);
    if (memcmp(a->split_id, b->split_id, sizeof(a->split_id)) != 0 || a->k != b->k ||
        a->n != b->n || memcmp(a->promise, b->promise, sizeof(a->promise)) != 0 ||
        memcmp(a->by.id, b->by.id, sizeof(a->by.id)) != 0)
        return hm_fail(error, HM_ECONFLICT, "%s is of split %.8s, %s of split %.8s", name_a,
                       split_a, name_b, split_b);
    if (a->index == b->index)
        return hm_fail(error, HM_ECONFLICT, "%s and %s are the same share, number %u", name_a,
                       name_b, a->index);
    return 0;
}

int packetfs_shares_join(const struct packetfs_share *const *shares, const char *const *names,
                         size_t count, uint8_t volume_key[PACKETFS_KEY_BYTES],
                         struct hm_error *error)
{
    uint8_t points[PACKETFS_SHARES_MAX], bytes[PACKETFS_SHARES_MAX * PACKETFS_KEY_BYTES];
    uint8_t key[PACKETFS_KEY_BYTES], promise[CRYPTO_HASH_BYTES];
    int rc = 0;

    if (count == 0 || count > PACKETFS_SHARES_MAX)
        return hm_fail(error, HM_ELIMIT, "1 to %u shares are joined, not %zu", PACKETFS_SHARES_MAX,
                       count);
    for (size_t i = 1; i < count && rc == 0; i++)
        for (size_t j = 0; j < i && rc == 0; j++)
            rc = same_split(shares[j], shares[i], names[j], names[i], error);
    if (rc != 0)
        return rc;
    if (count < shares[0]->k)
        return hm_fail(error, HM_ELIMIT, "%zu of the %u shares that are needed are here: %zu more",
                       count, shares[0]->k, shares[0]->k - count);
    for (size_t i = 0; i < shares[0]->k; i++) {
        points[i] = shares[i]->index;
        memcpy(bytes + i * PACKETFS_KEY_BYTES, shares[i]->bytes, PACKETFS_KEY_BYTES);
    }
    rc = crypto_share_join(points, bytes, shares[0]->k, PACKETFS_KEY_BYTES, key, error);
    if (rc == 0) {
        promise_of(shares[0]->split_id, key, promise);
        if (!hm_equal_ct(promise, shares[0]->promise, sizeof(promise)))
            rc = hm_fail(error, HM_EAUTH, "the shares do not come to the key that was split");
    }
    if (rc == 0)
        memcpy(volume_key, key, sizeof(key));
    hm_wipe(bytes, sizeof(bytes));
    hm_wipe(key, sizeof(key));
    return rc;
}
