#include "store_tree_page.h"

#define BITMAP_BYTES 16

static const uint8_t root_key[] = {0xff};

static bool bitmap_has(const uint8_t *bitmap, unsigned index)
{
    return (unsigned)bitmap[index / 8] >> (7 - index % 8) & 1u;
}

int store_tree_page_parse(struct hm_slice bytes, struct store_tree_page *page,
                          struct store_tree_marks *marks)
{
    const uint8_t *next = bytes.data + BITMAP_BYTES;
    size_t count = 0;

    if (bytes.len < BITMAP_BYTES || (bytes.data[BITMAP_BYTES - 1] & 3u) != 0)
        return HM_ECORRUPT;
    for (unsigned i = 0; i < BITMAP_BYTES; i++)
        count += (size_t)__builtin_popcount(bytes.data[i]);
    if (bytes.len != BITMAP_BYTES + count * STORE_TREE_NODE_BYTES)
        return HM_ECORRUPT;
    for (unsigned i = 0; i < STORE_TREE_PAGE_NODES; i++) {
        marks->nodes[i] = bitmap_has(bytes.data, i);
        if (marks->nodes[i]) {
            memcpy(page->nodes[i], next, STORE_TREE_NODE_BYTES);
            next += STORE_TREE_NODE_BYTES;
        } else {
            memset(page->nodes[i], 0, STORE_TREE_NODE_BYTES);
        }
    }
    return 0;
}

/* The node at position q, 1..62, from its marked children. */
static int settle_one(struct store_tree_page *page, struct store_tree_marks *marks, unsigned q,
                      uint8_t hash[STORE_TREE_NODE_BYTES])
{
    uint8_t *node = page->nodes[q - 1];

    if (store_tree_is_zero(page->nodes[2 * q]) && store_tree_is_zero(page->nodes[2 * q + 1]))
        return marks->nodes[q - 1] && store_tree_kind(node) == STORE_TREE_INNER ? HM_ECORRUPT : 0;
    if (!marks->nodes[2 * q] && !marks->nodes[2 * q + 1])
        return 0;
    hash[0] &= (uint8_t)~STORE_TREE_LEAF_BIT;
    memcpy(node, hash, STORE_TREE_NODE_BYTES);
    marks->nodes[q - 1] = true;
    return 0;
}

int store_tree_page_settle(struct store_tree_page *page, struct store_tree_marks *marks)
{
    uint8_t hashes[STORE_TREE_PAGE_POSITIONS / 2 + 1][STORE_TREE_NODE_BYTES];

    /* The positions of one level, q = first .. end - 1, from the lowest that has children in the page up. */
    for (unsigned end = STORE_TREE_PAGE_POSITIONS; end > 1; end /= 2) {
        unsigned first = end / 2;
        bool any = false;

        for (unsigned i = 2 * first; i < 2 * end && !any; i++)
            any = marks->nodes[i];
        if (any)
            crypto_hash_many(page->nodes[2 * first], end - first, (size_t)2 * STORE_TREE_NODE_BYTES,
                             hashes[0]);
        for (unsigned q = first; q < end; q++)
            if (settle_one(page, marks, q, hashes[q - first]))
                return HM_ECORRUPT;
    }
    return 0;
}

int store_tree_page_decode(struct hm_slice bytes, struct store_tree_page *page)
{
    struct store_tree_marks marks;
    int rc = store_tree_page_parse(bytes, page, &marks);

    return rc ? rc : store_tree_page_settle(page, &marks);
}

size_t store_tree_page_encode(const struct store_tree_page *page, uint8_t *out)
{
    uint8_t *next = out + BITMAP_BYTES;

    memset(out, 0, BITMAP_BYTES);
    for (unsigned i = 0; i < STORE_TREE_PAGE_NODES; i++) {
        enum store_tree_kind kind = store_tree_kind(page->nodes[i]);

        if (kind == STORE_TREE_EMPTY || (kind == STORE_TREE_INNER && i < STORE_TREE_PAGE_LOWEST))
            continue;
        out[i / 8] |= (uint8_t)(0x80u >> i % 8);
        memcpy(next, page->nodes[i], STORE_TREE_NODE_BYTES);
        next += STORE_TREE_NODE_BYTES;
    }
    return (size_t)(next - out);
}

static struct hm_slice page_key(const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                                uint8_t out[STORE_TREE_PAGE_KEY_BYTES])
{
    out[0] = (uint8_t)(level / STORE_TREE_PAGE_LEVELS);
    store_tree_prefix(key_hash, level, out + 1);
    return hm_slice_of(out, 1 + (level + 7) / 8);
}

int store_tree_page_load(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         struct store_tree_page *page, struct store_tree_marks *marks,
                         struct hm_error *error)
{
    uint8_t key[STORE_TREE_PAGE_KEY_BYTES];
    struct hm_slice value;
    int rc = store_get(txn, tree->page_table, page_key(key_hash, level, key), &value);

    if (rc == HM_ENOTFOUND) {
        memset(page, 0, sizeof(*page));
        memset(marks, 0, sizeof(*marks));
        return rc;
    }
    if (rc)
        return hm_fail(error, rc, "state tree: the page at level %u cannot be read", level);
    if (store_tree_page_parse(value, page, marks))
        return hm_fail(error, HM_ECORRUPT, "state tree: the page at level %u is malformed", level);
    return 0;
}

int store_tree_page_save(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         const struct store_tree_page *page, struct hm_error *error)
{
    uint8_t key[STORE_TREE_PAGE_KEY_BYTES];
    uint8_t bytes[STORE_TREE_PAGE_MAX_BYTES];
    size_t len = store_tree_page_encode(page, bytes);

    return store_put(txn, tree->page_table, page_key(key_hash, level, key), hm_slice_of(bytes, len),
                     error);
}

int store_tree_page_drop(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level,
                         struct hm_error *error)
{
    uint8_t key[STORE_TREE_PAGE_KEY_BYTES];

    return store_delete(txn, tree->page_table, page_key(key_hash, level, key), error);
}

int store_tree_root(struct store_txn *txn, const struct store_tree *tree,
                    uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    struct hm_slice value;
    int rc = store_get(txn, tree->page_table, hm_slice_of(root_key, sizeof(root_key)), &value);

    if (rc == HM_ENOTFOUND) {
        memset(root, 0, CRYPTO_HASH_BYTES);
        return 0;
    }
    if (rc)
        return hm_fail(error, rc, "state tree: the root cannot be read");
    if (value.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_ECORRUPT, "state tree: the root has %zu bytes", value.len);
    memcpy(root, value.data, CRYPTO_HASH_BYTES);
    return 0;
}

int store_tree_root_save(struct store_txn *txn, const struct store_tree *tree,
                         const uint8_t root[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    struct hm_slice key = hm_slice_of(root_key, sizeof(root_key));

    if (store_tree_is_zero(root))
        return store_delete(txn, tree->page_table, key, error);
    return store_put(txn, tree->page_table, key, hm_slice_of(root, CRYPTO_HASH_BYTES), error);
}

int store_tree_leaf_put(struct store_txn *txn, const struct store_tree *tree,
                        const struct store_tree_change *leaf, struct hm_error *error)
{
    struct hm_slice key = hm_slice_of(leaf->key_hash, CRYPTO_HASH_BYTES);

    if (store_tree_is_zero(leaf->value_hash))
        return store_delete(txn, tree->leaf_table, key, error);
    return store_put(txn, tree->leaf_table, key, hm_slice_of(leaf->value_hash, CRYPTO_HASH_BYTES),
                     error);
}

void store_tree_leaves_release(struct store_tree_leaves *leaves)
{
    hm_free(leaves->items);
    *leaves = (struct store_tree_leaves){0};
}

int store_tree_leaves_reserve(struct store_tree_leaves *leaves, size_t count,
                              struct hm_error *error)
{
    struct store_tree_change *items;
    size_t cap = leaves->cap ? leaves->cap : 64;

    if (count <= leaves->cap)
        return 0;
    while (cap < count)
        cap *= 2;
    items = hm_realloc(leaves->items, cap * sizeof(*items));
    if (!items)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu leaves of the state tree", cap);
    leaves->items = items;
    leaves->cap = cap;
    return 0;
}

static int leaf_add(struct store_tree_leaves *leaves, struct hm_slice key, struct hm_slice value,
                    struct hm_error *error)
{
    int rc = store_tree_leaves_reserve(leaves, leaves->count + 1, error);

    if (rc)
        return rc;
    memcpy(leaves->items[leaves->count].key_hash, key.data, CRYPTO_HASH_BYTES);
    memcpy(leaves->items[leaves->count].value_hash, value.data, CRYPTO_HASH_BYTES);
    leaves->count++;
    return 0;
}

int store_tree_leaves_read(struct store_tree_leaves *leaves, struct store_cursor *cursor,
                           const uint8_t key_hash[CRYPTO_HASH_BYTES], unsigned level, size_t limit,
                           struct hm_error *error)
{
    uint8_t from[CRYPTO_HASH_BYTES];
    struct hm_slice key;
    struct hm_slice value;
    int rc;

    leaves->count = 0;
    store_tree_prefix(key_hash, level, from);
    rc = store_cursor_seek(cursor, hm_slice_of(from, sizeof(from)), &key, &value);
    while (rc == 0) {
        if (key.len != CRYPTO_HASH_BYTES || value.len != CRYPTO_HASH_BYTES)
            return hm_fail(error, HM_ECORRUPT, "state tree: a leaf has %zu and %zu bytes", key.len,
                           value.len);
        if (!store_tree_same_prefix(key.data, from, level))
            return 0;
        if (leaves->count == limit)
            return hm_fail(error, HM_ECORRUPT,
                           "state tree: more than %zu leaves at level %u where the pages allow no "
                           "more",
                           limit, level);
        rc = leaf_add(leaves, key, value, error);
        if (rc)
            return rc;
        rc = store_cursor_next(cursor, &key, &value);
    }
    return rc == HM_ENOTFOUND ? 0 : hm_fail(error, rc, "state tree: the leaves cannot be read");
}
