#include "store_tree_run.h"

#define RUN_VERSION  1
#define COUNTS_AT    16
#define PATCH_ID_LEN (STORE_TREE_PATCH_PATH_BYTES + 1) /* path and index, side by side */

void store_tree_run_release(struct store_tree_run *run)
{
    hm_free(run->owned);
    *run = (struct store_tree_run){0};
}

int store_tree_run_decode(struct hm_slice bytes, struct store_tree_run *run)
{
    struct store_tree_run found = {0};
    const uint8_t *next = bytes.data + STORE_TREE_RUN_HEAD_BYTES;
    uint64_t needed = STORE_TREE_RUN_HEAD_BYTES;

    if (bytes.len < STORE_TREE_RUN_HEAD_BYTES || hm_get_be32(bytes.data) != RUN_VERSION << 24 ||
        hm_get_be32(bytes.data + STORE_TREE_RUN_HEAD_BYTES - 4) != 0)
        return HM_ECORRUPT;
    found.leaf_count = hm_get_be32(bytes.data + 4);
    found.born = hm_get_be64(bytes.data + 8);
    needed += (uint64_t)found.leaf_count * sizeof(*found.leaves);
    found.leaves = (const struct store_tree_change *)next;
    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++) {
        found.patch_count[d] = hm_get_be32(bytes.data + COUNTS_AT + 4 * d);
        if (needed > bytes.len)
            return HM_ECORRUPT;
        found.patches[d] = (const struct store_tree_patch *)(bytes.data + needed);
        needed += (uint64_t)found.patch_count[d] * sizeof(struct store_tree_patch);
    }
    if (needed != bytes.len)
        return HM_ECORRUPT;
    *run = found;
    return 0;
}

size_t store_tree_run_patches(const struct store_tree_run *run)
{
    size_t count = 0;

    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++)
        count += run->patch_count[d];
    return count;
}

/* The first of count items of stride bytes whose first len bytes are not below key, looked for from the
 * hint on in growing steps. */
static size_t seek(const void *items, size_t count, size_t stride, const uint8_t *key, size_t len,
                   size_t *hint)
{
    const uint8_t *base = items;
    size_t low = *hint;
    size_t high = count;

    if (low > count)
        low = count;
    if (low > 0 && memcmp(base + (low - 1) * stride, key, len) >= 0) {
        high = low - 1;
        low = 0;
    } else {
        size_t step = 1;

        while (low < count && step < count - low &&
               memcmp(base + (low + step - 1) * stride, key, len) < 0) {
            low += step;
            step *= 2;
        }
        if (step < count - low)
            high = low + step;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(base + middle * stride, key, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *hint = low;
    return low;
}

size_t store_tree_run_leaf_at(struct store_tree_run *run, const uint8_t key_hash[CRYPTO_HASH_BYTES])
{
    return seek(run->leaves, run->leaf_count, sizeof(*run->leaves), key_hash, CRYPTO_HASH_BYTES,
                &run->leaf_hint);
}

size_t store_tree_run_patch_at(struct store_tree_run *run, unsigned depth,
                               const uint8_t path[STORE_TREE_PATCH_PATH_BYTES])
{
    return seek(run->patches[depth], run->patch_count[depth], sizeof(**run->patches), path,
                STORE_TREE_PATCH_PATH_BYTES, &run->patch_hints[depth]);
}

void store_tree_draft_release(struct store_tree_draft *draft)
{
    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++)
        hm_free(draft->depths[d].items);
    *draft = (struct store_tree_draft){0};
}

int store_tree_draft_add(struct store_tree_draft *draft, unsigned depth,
                         const uint8_t path[STORE_TREE_PATCH_PATH_BYTES], unsigned index,
                         const uint8_t *node, unsigned kind, struct hm_error *error)
{
    __typeof__(&draft->depths[0]) list = &draft->depths[depth];
    struct store_tree_patch *patch;

    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        void *items = hm_realloc(list->items, cap * sizeof(*list->items));

        if (!items)
            return hm_fail(error, HM_ENOMEM, "no memory for %zu changed nodes of the state tree",
                           cap);
        list->items = items;
        list->cap = cap;
    }
    patch = &list->items[list->count++];
    memcpy(patch->path, path, sizeof(patch->path));
    patch->index = (uint8_t)index;
    memset(patch->node, 0, sizeof(patch->node));
    if (node)
        memcpy(patch->node, node, sizeof(patch->node));
    else
        patch->node[0] = (uint8_t)kind;
    return 0;
}

static uint8_t *run_new(size_t leaves, size_t patches, struct hm_error *error)
{
    size_t len = STORE_TREE_RUN_HEAD_BYTES + leaves * sizeof(struct store_tree_change) +
                 patches * sizeof(struct store_tree_patch);
    uint8_t *bytes = hm_malloc(len);

    if (!bytes)
        hm_fail(error, HM_ENOMEM, "no memory for %zu bytes of changes to the state tree", len);
    return bytes;
}

static void head_put(uint8_t *bytes, size_t leaves, uint64_t born,
                     const size_t counts[STORE_TREE_RUN_DEEP])
{
    memset(bytes, 0, STORE_TREE_RUN_HEAD_BYTES);
    bytes[0] = RUN_VERSION;
    hm_put_be32(bytes + 4, (uint32_t)leaves);
    hm_put_be64(bytes + 8, born);
    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++)
        hm_put_be32(bytes + COUNTS_AT + 4 * d, (uint32_t)counts[d]);
}

static size_t length_of(size_t leaves, size_t patches)
{
    return STORE_TREE_RUN_HEAD_BYTES + leaves * sizeof(struct store_tree_change) +
           patches * sizeof(struct store_tree_patch);
}

/* The bytes are well formed, for they were made here. */
static void adopt(uint8_t *bytes, size_t len, struct store_tree_run *out)
{
    struct store_tree_run run = {0};

    (void)store_tree_run_decode(hm_slice_of(bytes, len), &run);
    run.owned = bytes;
    *out = run;
}

int store_tree_run_make(const struct store_tree_change *leaves, size_t leaf_count,
                        const struct store_tree_draft *draft, uint64_t born,
                        struct store_tree_run *out, struct hm_error *error)
{
    size_t counts[STORE_TREE_RUN_DEEP];
    size_t patches = 0;
    uint8_t *bytes;
    uint8_t *next;

    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++)
        patches += counts[d] = draft->depths[d].count;
    bytes = run_new(leaf_count, patches, error);
    if (!bytes)
        return HM_ENOMEM;
    head_put(bytes, leaf_count, born, counts);
    next = bytes + STORE_TREE_RUN_HEAD_BYTES;
    memcpy(next, leaves, leaf_count * sizeof(*leaves));
    next += leaf_count * sizeof(*leaves);
    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++) {
        if (counts[d])
            memcpy(next, draft->depths[d].items, counts[d] * sizeof(struct store_tree_patch));
        next += counts[d] * sizeof(struct store_tree_patch);
    }
    adopt(bytes, length_of(leaf_count, patches), out);
    return 0;
}

static size_t merge_leaves(const struct store_tree_run *older, const struct store_tree_run *newer,
                           struct store_tree_change *out)
{
    size_t a = 0;
    size_t b = 0;
    size_t count = 0;

    while (a < older->leaf_count && b < newer->leaf_count) {
        int order = memcmp(older->leaves[a].key_hash, newer->leaves[b].key_hash, CRYPTO_HASH_BYTES);

        if (order < 0) {
            out[count++] = older->leaves[a++];
        } else {
            out[count++] = newer->leaves[b++];
            a += order == 0;
        }
    }
    memcpy(out + count, older->leaves + a, (older->leaf_count - a) * sizeof(*out));
    count += older->leaf_count - a;
    memcpy(out + count, newer->leaves + b, (newer->leaf_count - b) * sizeof(*out));
    return count + newer->leaf_count - b;
}

static bool same_page(const struct store_tree_patch *a, const struct store_tree_patch *b)
{
    return memcmp(a->path, b->path, sizeof(a->path)) == 0;
}

/* Where newer speaks of the page itself, what older says of it is forgotten. */
static size_t merge_patches(const struct store_tree_patch *older, size_t older_count,
                            const struct store_tree_patch *newer, size_t newer_count,
                            struct store_tree_patch *out)
{
    size_t a = 0;
    size_t b = 0;
    size_t count = 0;

    while (a < older_count && b < newer_count) {
        int order = memcmp(older[a].path, newer[b].path, PATCH_ID_LEN);

        if (newer[b].index == 0 && same_page(&older[a], &newer[b])) {
            while (a < older_count && same_page(&older[a], &newer[b]))
                a++;
            out[count++] = newer[b++];
        } else if (order < 0) {
            out[count++] = older[a++];
        } else {
            out[count++] = newer[b++];
            a += order == 0;
        }
    }
    if (a < older_count)
        memcpy(out + count, older + a, (older_count - a) * sizeof(*out));
    count += older_count - a;
    if (b < newer_count)
        memcpy(out + count, newer + b, (newer_count - b) * sizeof(*out));
    return count + newer_count - b;
}

int store_tree_run_merge(const struct store_tree_run *older, struct store_tree_run *newer,
                         struct hm_error *error)
{
    uint8_t *bytes = run_new(older->leaf_count + newer->leaf_count,
                             store_tree_run_patches(older) + store_tree_run_patches(newer), error);
    size_t counts[STORE_TREE_RUN_DEEP];
    uint64_t born = newer->born;
    size_t patches = 0;
    size_t leaves;
    struct store_tree_patch *next;

    if (!bytes)
        return HM_ENOMEM;
    leaves = merge_leaves(older, newer,
                          (struct store_tree_change *)(bytes + STORE_TREE_RUN_HEAD_BYTES));
    next = (struct store_tree_patch *)(bytes + length_of(leaves, 0));
    for (size_t d = 0; d < STORE_TREE_RUN_DEEP; d++) {
        counts[d] = merge_patches(older->patches[d], older->patch_count[d], newer->patches[d],
                                  newer->patch_count[d], next);
        next += counts[d];
        patches += counts[d];
    }
    head_put(bytes, leaves, born, counts);
    store_tree_run_release(newer);
    adopt(bytes, length_of(leaves, patches), newer);
    return 0;
}

struct hm_slice store_tree_run_bytes(const struct store_tree_run *run)
{
    return hm_slice_of(run->owned, length_of(run->leaf_count, store_tree_run_patches(run)));
}
