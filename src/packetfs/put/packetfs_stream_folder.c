/* Folders of a stream's tree: their entries, writing them out, reading them again. */
#include "put/packetfs_stream_folder.h"

#include "tree/packetfs_node.h"
#include "tree/packetfs_node_entry.h"

#define NODE_OVERHEAD_BYTES 16 /* of an allocation */

/* --- entries of one folder ------------------------------------------------------------------------------------------------- */
struct hm_slice packetfs_stream_node_name(const struct packetfs_stream_node *node)
{
    struct hm_slice in = hm_slice_of(node->bytes, node->len), name = {0};

    (void)packetfs_entry_take_name(&in, &name, NULL); /* our own writing */
    return name;
}

/* xattrs holds what entry->xattrs points to. */
int packetfs_stream_node_entry(const struct packetfs_stream_node *node,
                               struct packetfs_entry *entry, struct hm_buf *xattrs,
                               struct hm_error *error)
{
    struct hm_slice in = hm_slice_of(node->bytes, node->len);

    return packetfs_entry_take(&in, xattrs, entry, error);
}

struct packetfs_stream_node **packetfs_stream_slot(struct packetfs_stream_node **at,
                                                   struct hm_slice name)
{
    while (*at != NULL) {
        int order = hm_slice_compare(name, packetfs_stream_node_name(*at));
        if (order == 0)
            break;
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    return at;
}

/* As deep as the treap: about twice the logarithm of its size. */
static void treap_split(struct packetfs_stream_node *node, struct hm_slice name,
                        struct packetfs_stream_node **below, struct packetfs_stream_node **above)
{
    if (node == NULL) {
        *below = *above = NULL;
    } else if (hm_slice_compare(packetfs_stream_node_name(node), name) < 0) {
        *below = node;
        treap_split(node->right, name, &node->right, above);
    } else {
        *above = node;
        treap_split(node->left, name, below, &node->left);
    }
}

void packetfs_stream_insert(struct packetfs_stream_node **at, struct packetfs_stream_node *node)
{
    struct hm_slice name = packetfs_stream_node_name(node);

    while (*at != NULL && (*at)->priority >= node->priority)
        at = hm_slice_compare(name, packetfs_stream_node_name(*at)) < 0 ? &(*at)->left
                                                                        : &(*at)->right;
    treap_split(*at, name, &node->left, &node->right);
    *at = node;
}

static size_t node_memory(size_t len)
{
    return sizeof(struct packetfs_stream_node) + len + NODE_OVERHEAD_BYTES;
}

static uint64_t dice(struct packetfs_stream_tree *tree)
{
    uint64_t x = tree->random += 0x9e3779b97f4a7c15U;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

int packetfs_stream_node_new(struct packetfs_stream_tree *tree, const struct packetfs_entry *entry,
                             struct packetfs_stream_folder *in, struct packetfs_stream_node **out,
                             struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int result = packetfs_node_entry(&bytes, entry, error);

    if (result != 0)
        return result;
    if (tree->memory + node_memory(bytes.len) > tree->memory_max * PACKETFS_STREAM_MEMORY_FACTOR)
        return hm_fail(error, HM_ELIMIT,
                       "the folders around \"%.*s\" have more entries than fit in %zu MiB",
                       (int)entry->name.len, (const char *)entry->name.data,
                       (tree->memory_max * PACKETFS_STREAM_MEMORY_FACTOR) >> 20);
    struct packetfs_stream_node *node = hm_malloc(sizeof(*node) + bytes.len);
    if (node == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an entry");
    *node = (struct packetfs_stream_node){
        .in = in, .priority = (uint32_t)(dice(tree) >> 32), .len = (uint32_t)bytes.len};
    memcpy(node->bytes, bytes.data, bytes.len);
    tree->memory += node_memory(bytes.len);
    *out = node;
    return 0;
}

void packetfs_stream_node_free(struct packetfs_stream_tree *tree, struct packetfs_stream_node *node)
{
    if (node == NULL)
        return;
    tree->memory -= node_memory(node->len);
    hm_free(node);
}

/* --- folders --------------------------------------------------------------------------------------------------------------------- */
static void open_add(struct packetfs_stream_folder *folder)
{
    struct packetfs_stream_folder *above = folder->above;

    if (above == NULL)
        return;
    folder->before = NULL;
    folder->after = above->open;
    if (above->open != NULL)
        above->open->before = folder;
    above->open = folder;
}

void packetfs_stream_open_remove(struct packetfs_stream_folder *folder)
{
    if (folder->above == NULL)
        return;
    if (folder->before != NULL)
        folder->before->after = folder->after;
    else
        folder->above->open = folder->after;
    if (folder->after != NULL)
        folder->after->before = folder->before;
    folder->before = folder->after = NULL;
}

struct packetfs_stream_folder *packetfs_stream_folder_new(struct packetfs_stream_tree *tree,
                                                          struct packetfs_stream_folder *above,
                                                          const struct packetfs_id *folded)
{
    struct packetfs_stream_folder *folder = hm_calloc(1, sizeof(*folder));

    if (folder == NULL)
        return NULL;
    folder->above = above;
    tree->memory += sizeof(*folder) + NODE_OVERHEAD_BYTES;
    if (folded != NULL) {
        folder->folded = true;
        folder->root = *folded;
    } else {
        open_add(folder);
    }
    return folder;
}

/* Without entries. */
void packetfs_stream_folder_free(struct packetfs_stream_tree *tree,
                                 struct packetfs_stream_folder *folder)
{
    if (folder == NULL)
        return;
    if (!folder->folded)
        packetfs_stream_open_remove(folder);
    tree->memory -= sizeof(*folder) + NODE_OVERHEAD_BYTES;
    hm_free(folder);
}

/* Entries and their folders, which are folded or empty. */
void packetfs_stream_entries_free(struct packetfs_stream_tree *tree,
                                  struct packetfs_stream_node *node)
{
    if (node == NULL)
        return;
    packetfs_stream_entries_free(tree, node->left);
    packetfs_stream_entries_free(tree, node->right);
    packetfs_stream_folder_free(tree, node->folder);
    packetfs_stream_node_free(tree, node);
}

/* --- folding ----------------------------------------------------------------------------------------------------------------------- */
/* In the order of names. */
static int entries_write(const struct packetfs_stream_node *node,
                         struct packetfs_folder_builder *builder, struct hm_buf *xattrs,
                         struct hm_error *error)
{
    struct packetfs_entry entry;

    if (node == NULL)
        return 0;
    int result = entries_write(node->left, builder, xattrs, error);
    if (result == 0)
        result = packetfs_stream_node_entry(node, &entry, xattrs, error);
    if (result == 0 && node->folder != NULL)
        entry.folder = node->folder->root;
    if (result == 0)
        result = packetfs_folder_add(builder, &entry, error);
    return result == 0 ? entries_write(node->right, builder, xattrs, error) : result;
}

/* All folders in it are folded. */
static int fold(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf xattrs = {0};
    struct packetfs_folder_builder *builder = NULL;
    struct packetfs_id root;
    int result = packetfs_folder_new(&tree->objects, tree->node_key, &builder, error);

    if (result == 0)
        result = entries_write(folder->entries, builder, &xattrs, error);
    if (result == 0)
        result = packetfs_folder_finish(builder, &root, error);
    packetfs_folder_free(builder);
    if (result != 0)
        return result;
    packetfs_stream_entries_free(tree, folder->entries);
    folder->entries = NULL;
    packetfs_stream_open_remove(folder);
    folder->folded = true;
    folder->root = root;
    return 0;
}

int packetfs_stream_fold(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                         struct hm_error *error)
{
    struct packetfs_stream_folder *at = folder;
    int result = 0;

    while (result == 0) {
        while (at->open != NULL)
            at = at->open;
        struct packetfs_stream_folder *above = at->above;
        result = fold(tree, at, error);
        if (at == folder)
            break;
        at = above;
    }
    return result;
}

int packetfs_stream_unfold(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                           struct hm_error *error)
{
    struct packetfs_folder_cursor *cursor = NULL;
    struct packetfs_entry entry;
    struct packetfs_stream_node *entries = NULL;
    int result = packetfs_folder_open(&tree->objects, &folder->root, &cursor, error);

    while (result == 0) {
        struct packetfs_stream_node *node = NULL;
        result = packetfs_folder_next(cursor, &entry, error);
        if (result == 0)
            result = packetfs_stream_node_new(tree, &entry, folder, &node, error);
        if (result != 0)
            break;
        if (entry.type == PACKETFS_FOLDER) {
            node->folder = packetfs_stream_folder_new(tree, folder, &entry.folder);
            if (node->folder == NULL)
                result = hm_fail(error, HM_ENOMEM, "no memory for a folder");
        }
        packetfs_stream_insert(&entries, node);
    }
    packetfs_folder_close(cursor);
    if (result != HM_ENOTFOUND) {
        packetfs_stream_entries_free(tree, entries);
        return result;
    }
    folder->entries = entries;
    folder->folded = false;
    open_add(folder);
    return 0;
}

int packetfs_stream_others_fold(struct packetfs_stream_tree *tree,
                                struct packetfs_stream_folder *keep, struct hm_error *error)
{
    int result = 0;

    for (struct packetfs_stream_folder *at = keep; at != NULL; at = at->above)
        at->pinned = true;
    for (struct packetfs_stream_folder *at = keep; at != NULL && result == 0; at = at->above) {
        struct packetfs_stream_folder *next = at->open;
        while (next != NULL && result == 0) {
            struct packetfs_stream_folder *one = next;
            next = one->after;
            if (!one->pinned)
                result = packetfs_stream_fold(tree, one, error);
        }
    }
    for (struct packetfs_stream_folder *at = keep; at != NULL; at = at->above)
        at->pinned = false;
    tree->folds++;
    return result;
}

/* How much is held until the next time. */
static void fold_at_set(struct packetfs_stream_tree *tree)
{
    size_t max = tree->memory_max, most = max * PACKETFS_STREAM_MEMORY_FACTOR;

    if (tree->folds > 1 && tree->taken - tree->taken_then < max / PACKETFS_STREAM_FOLD_SHARE &&
        tree->hold <= most / 4)
        tree->hold *= 2;
    tree->taken_then = tree->taken;
    /* What could not go is not looked at again with every entry; and in time before there is no room. */
    tree->fold_at = tree->memory + tree->hold / 2;
    if (tree->fold_at < tree->hold)
        tree->fold_at = tree->hold;
    if (tree->fold_at > most - max / 2)
        tree->fold_at = most - max / 2;
    if (tree->fold_at < tree->memory + max / 2)
        tree->fold_at = tree->memory + max / 2;
}

int packetfs_stream_memory_free(struct packetfs_stream_tree *tree,
                                struct packetfs_stream_folder *keep, struct hm_error *error)
{
    if (tree->memory < tree->fold_at)
        return 0;
    int result = packetfs_stream_others_fold(tree, keep, error);
    fold_at_set(tree);
    return result;
}
