/* Proofs as a light client needs them: checking against a root alone, and bytes for the wire. Pure.
 *
 * bytes  1   flags: 1 the key exists, 2 absent and the path ends in another key's leaf
 *        2   depth, big-endian, 0..256
 *        n   ceil(depth / 8) bytes: bit i, most significant first, says that sibling i is not empty
 *        32  for each sibling that is not empty, from the root down
 *        64  with flag 2: that leaf's key hash and value hash
 * Every proof has exactly one form: spare bits are zero and no byte follows. */
#include "store_tree_node.h"

#define FLAG_EXISTS       1u
#define FLAG_ENDS_IN_LEAF 2u
#define HEAD_BYTES        3

void store_tree_proof_release(struct store_tree_proof *proof)
{
    if (!proof)
        return;
    hm_free(proof->siblings);
    *proof = (struct store_tree_proof){0};
}

static int refuse(struct hm_error *error, const char *why)
{
    return hm_fail(error, HM_EAUTH, "state proof refused: %s", why);
}

/* The node at the end of the path. */
static int last_node(const uint8_t key_hash[CRYPTO_HASH_BYTES], struct hm_slice value,
                     const struct store_tree_proof *proof, uint8_t node[STORE_TREE_NODE_BYTES],
                     struct hm_error *error)
{
    struct store_tree_change leaf;

    if (proof->exists) {
        memcpy(leaf.key_hash, key_hash, CRYPTO_HASH_BYTES);
        crypto_hash(value.data, value.len, leaf.value_hash);
    } else if (proof->ends_in_leaf) {
        memcpy(leaf.key_hash, proof->leaf_key_hash, CRYPTO_HASH_BYTES);
        memcpy(leaf.value_hash, proof->leaf_value_hash, CRYPTO_HASH_BYTES);
        if (memcmp(leaf.key_hash, key_hash, CRYPTO_HASH_BYTES) == 0)
            return refuse(error, "it claims absence by the key's own leaf");
        if (!store_tree_same_prefix(leaf.key_hash, key_hash, (unsigned)proof->depth))
            return refuse(error, "its leaf does not lie on the key's path");
    } else {
        memset(node, 0, STORE_TREE_NODE_BYTES);
        return 0;
    }
    store_tree_hash_leaf(&leaf, node);
    return 0;
}

int store_tree_verify(const uint8_t root[CRYPTO_HASH_BYTES], struct hm_slice key,
                      struct hm_slice value, const struct store_tree_proof *proof,
                      struct hm_error *error)
{
    uint8_t key_hash[CRYPTO_HASH_BYTES];
    uint8_t pair[2 * STORE_TREE_NODE_BYTES];
    uint8_t node[STORE_TREE_NODE_BYTES];
    int rc;

    if (proof->exists != (value.data != NULL))
        return refuse(error, proof->exists ? "it shows that the key exists, absence was asked"
                                           : "it shows that the key is absent");
    if (proof->depth > STORE_TREE_DEPTH_MAX)
        return refuse(error, "its path is too long");
    if (proof->exists && proof->ends_in_leaf)
        return refuse(error, "it claims existence and absence at once");
    if (!proof->ends_in_leaf &&
        (!store_tree_is_zero(proof->leaf_key_hash) || !store_tree_is_zero(proof->leaf_value_hash)))
        return refuse(error, "it carries a leaf it has no use for");
    crypto_hash(key.data, key.len, key_hash);
    rc = last_node(key_hash, value, proof, node, error);
    if (rc)
        return rc;
    for (size_t level = proof->depth; level-- > 0;) {
        unsigned bit = store_tree_bit(key_hash, (unsigned)level);

        memcpy(pair + (bit ? STORE_TREE_NODE_BYTES : 0), node, STORE_TREE_NODE_BYTES);
        memcpy(pair + (bit ? 0 : STORE_TREE_NODE_BYTES), proof->siblings[level],
               STORE_TREE_NODE_BYTES);
        store_tree_hash_inner(pair, node);
    }
    return memcmp(node, root, CRYPTO_HASH_BYTES) == 0
               ? 0
               : refuse(error, "key, value and path do not lead to this root");
}

int store_tree_proof_encode(const struct store_tree_proof *proof, struct hm_buf *out)
{
    uint8_t head[HEAD_BYTES + STORE_TREE_DEPTH_MAX / 8] = {0};
    size_t bitmap_bytes = (proof->depth + 7) / 8;
    size_t count = 0;

    if (proof->depth > STORE_TREE_DEPTH_MAX)
        return HM_EINVAL;
    head[0] = (uint8_t)((proof->exists ? FLAG_EXISTS : 0u) |
                        (proof->ends_in_leaf ? FLAG_ENDS_IN_LEAF : 0u));
    head[1] = (uint8_t)(proof->depth >> 8);
    head[2] = (uint8_t)proof->depth;
    for (size_t i = 0; i < proof->depth; i++) {
        if (store_tree_is_zero(proof->siblings[i]))
            continue;
        head[HEAD_BYTES + i / 8] |= (uint8_t)(0x80u >> i % 8);
        count++;
    }
    /* All at once, so that running out of memory leaves out as it was. */
    if (hm_buf_reserve(out, HEAD_BYTES + bitmap_bytes + (count + 2) * CRYPTO_HASH_BYTES))
        return HM_ENOMEM;
    (void)hm_buf_append(out, head, HEAD_BYTES + bitmap_bytes);
    for (size_t i = 0; i < proof->depth; i++)
        if (!store_tree_is_zero(proof->siblings[i]))
            (void)hm_buf_append(out, proof->siblings[i], CRYPTO_HASH_BYTES);
    if (proof->ends_in_leaf) {
        (void)hm_buf_append(out, proof->leaf_key_hash, CRYPTO_HASH_BYTES);
        (void)hm_buf_append(out, proof->leaf_value_hash, CRYPTO_HASH_BYTES);
    }
    return 0;
}

static int malformed(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EPARSE, "state proof: %s", what);
}

static int decode_siblings(const uint8_t *bitmap, const uint8_t *next,
                           struct store_tree_proof *proof, struct hm_error *error)
{
    if (proof->depth == 0)
        return 0;
    proof->siblings = hm_calloc(proof->depth, CRYPTO_HASH_BYTES);
    if (!proof->siblings)
        return hm_fail(error, HM_ENOMEM, "no memory for a proof");
    for (size_t i = 0; i < proof->depth; i++) {
        if (!((unsigned)bitmap[i / 8] >> (7 - i % 8) & 1u))
            continue;
        if (store_tree_is_zero(next)) {
            store_tree_proof_release(proof);
            return malformed(error, "an empty sibling is spelt out");
        }
        memcpy(proof->siblings[i], next, CRYPTO_HASH_BYTES);
        next += CRYPTO_HASH_BYTES;
    }
    return 0;
}

int store_tree_proof_decode(struct hm_slice bytes, struct store_tree_proof *out,
                            struct hm_error *error)
{
    struct store_tree_proof proof = {0};
    const uint8_t *leaf;
    size_t bitmap_bytes;
    size_t count = 0;
    size_t len;
    int rc;

    if (bytes.len < HEAD_BYTES)
        return malformed(error, "it is cut short");
    if (bytes.data[0] > FLAG_ENDS_IN_LEAF)
        return malformed(error, "unknown flags");
    proof.exists = bytes.data[0] == FLAG_EXISTS;
    proof.ends_in_leaf = bytes.data[0] == FLAG_ENDS_IN_LEAF;
    proof.depth = (size_t)bytes.data[1] << 8 | bytes.data[2];
    if (proof.depth > STORE_TREE_DEPTH_MAX)
        return malformed(error, "its path is too long");
    bitmap_bytes = (proof.depth + 7) / 8;
    if (bytes.len < HEAD_BYTES + bitmap_bytes)
        return malformed(error, "it is cut short");
    for (size_t i = 0; i < bitmap_bytes; i++)
        count += (size_t)__builtin_popcount(bytes.data[HEAD_BYTES + i]);
    if (proof.depth % 8 && bytes.data[HEAD_BYTES + bitmap_bytes - 1] & (0xffu >> proof.depth % 8))
        return malformed(error, "bits are set past its path");
    len = HEAD_BYTES + bitmap_bytes + (count + (proof.ends_in_leaf ? 2u : 0u)) * CRYPTO_HASH_BYTES;
    if (bytes.len != len)
        return malformed(error, "its length does not fit its path");
    if (proof.ends_in_leaf) {
        leaf = bytes.data + len - (size_t)2 * CRYPTO_HASH_BYTES;
        memcpy(proof.leaf_key_hash, leaf, CRYPTO_HASH_BYTES);
        memcpy(proof.leaf_value_hash, leaf + CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
    }
    rc = decode_siblings(bytes.data + HEAD_BYTES, bytes.data + HEAD_BYTES + bitmap_bytes, &proof,
                         error);
    if (!rc)
        *out = proof;
    return rc;
}
