#include "store_tree_page.h"

#define BITMAP_BYTES 16

static const uint8_t root_key[] = {0xff};

/* Nodes of one byte of the bitmap, first: number of the first one. Gives where the bytes go on. */
static const uint8_t *parse_eight(uint8_t bits, unsigned first, const uint8_t *next,
                                  struct store_tree_page *page, struct store_tree_marks *marks)
{
    unsigned count = STORE_TREE_PAGE_NODES - first < 8 ? STORE_TREE_PAGE_NODES - first : 8;

    if (bits == 0xff) {
        memcpy(page->nodes[first], next, (size_t)8 * STORE_TREE_NODE_BYTES);
        for (unsigned i = 0; i < 8; i++)
            marks->nodes[first + i] = !store_tree_is_zero(next + i * STORE_TREE_NODE_BYTES);
        return next + (size_t)8 * STORE_TREE_NODE_BYTES;
    }
    memset(page->nodes[first], 0, count * STORE_TREE_NODE_BYTES);
    for (unsigned i = 0; i < count; i++) {
        marks->nodes[first + i] = false;
        if (!((unsigned)bits >> (7 - i) & 1u))
            continue;
        marks->nodes[first + i] = !store_tree_is_zero(next);
        memcpy(page->nodes[first + i], next, STORE_TREE_NODE_BYTES);
        next += STORE_TREE_NODE_BYTES;
    }
    return next;
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
    for (unsigned i = 0; i < BITMAP_BYTES; i++)
        next = parse_eight(bytes.data[i], 8 * i, next, page, marks);
    return 0;
}

int store_tree_page_sketch(struct store_tree_page *page, struct store_tree_marks *marks)
{
    for (unsigned q = STORE_TREE_PAGE_POSITIONS - 1; q > 0; q--) {
        uint8_t *node = page->nodes[q - 1];

        if (marks->nodes[2 * q] || marks->nodes[2 * q + 1]) {
            store_tree_inner_later(node);
            marks->nodes[q - 1] = true;
        } else if (marks->nodes[q - 1] && store_tree_kind(node) == STORE_TREE_INNER) {
            return HM_ECORRUPT;
        }
    }
    return 0;
}

void store_tree_page_hash(struct store_tree_page *page)
{
    uint8_t hashes[STORE_TREE_PAGE_POSITIONS / 2 + 1][STORE_TREE_NODE_BYTES];
    const uint8_t *pairs[STORE_TREE_PAGE_POSITIONS / 2 + 1];
    uint8_t *targets[STORE_TREE_PAGE_POSITIONS / 2 + 1];

    /* The positions of one level, q = first .. end - 1, from the lowest that has children in the page up. */
    for (unsigned end = STORE_TREE_PAGE_POSITIONS; end > 1; end /= 2) {
        size_t count = 0;

        for (unsigned q = end / 2; q < end; q++) {
            if (store_tree_kind(page->nodes[q - 1]) != STORE_TREE_INNER)
                continue;
            pairs[count] = page->nodes[2 * q];
            targets[count++] = page->nodes[q - 1];
        }
        crypto_hash_blocks(pairs, count, hashes[0]);
        for (size_t i = 0; i < count; i++) {
            hashes[i][0] &= (uint8_t)~STORE_TREE_LEAF_BIT;
            memcpy(targets[i], hashes[i], STORE_TREE_NODE_BYTES);
        }
    }
}

int store_tree_page_decode(struct hm_slice bytes, struct store_tree_page *page)
{
    struct store_tree_marks marks;
    int rc = store_tree_page_parse(bytes, page, &marks);

    if (rc == 0)
        rc = store_tree_page_sketch(page, &marks);
    if (rc == 0)
        store_tree_page_hash(page);
    return rc;
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
