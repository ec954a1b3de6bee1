#include "put/packetfs_stream_tree.h"

#include "crypto.h"
#include "put/packetfs_stream_folder.h"
#include "tree/packetfs_node.h"

#define SHOWN_MAX_BYTES 200 /* of a path in a sentence */

static int shown(struct hm_slice path)
{
    return (int)(path.len < SHOWN_MAX_BYTES ? path.len : SHOWN_MAX_BYTES);
}

static const char *text(struct hm_slice path)
{
    return path.data != NULL ? (const char *)path.data : "";
}

/* --- the way down ------------------------------------------------------------------------------------------------------------------- */
int packetfs_stream_path(struct hm_slice path, struct hm_buf *out, struct hm_error *error)
{
    size_t at = 0, names = 0;

    hm_buf_clear(out);
    if (path.len > 0 && path.data[0] == '/')
        return hm_fail(error, HM_EINVAL, "\"%.*s\" begins with '/': paths in a snapshot do not",
                       shown(path), text(path));
    if (path.len > 0 && memchr(path.data, 0, path.len) != NULL)
        return hm_fail(error, HM_EINVAL, "\"%.*s\" has a NUL byte in its name", shown(path),
                       text(path));
    while (at < path.len) {
        const uint8_t *slash = memchr(path.data + at, '/', path.len - at);
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.len, len = end - at;
        struct hm_slice name = hm_slice_of(path.data + at, len);
        at = end + 1;
        if (len == 0 || (len == 1 && name.data[0] == '.'))
            continue;
        if (len == 2 && name.data[0] == '.' && name.data[1] == '.')
            return hm_fail(error, HM_EINVAL, "\"%.*s\" has \"..\" in its name", shown(path),
                           text(path));
        if (len > PACKETFS_NAME_MAX_BYTES)
            return hm_fail(error, HM_EINVAL, "\"%.*s\" has a name of more than %d bytes in it",
                           shown(path), text(path), PACKETFS_NAME_MAX_BYTES);
        if (++names > PACKETFS_STREAM_DEPTH_MAX)
            return hm_fail(error, HM_ELIMIT, "\"%.*s\" lies more than %d folders deep", shown(path),
                           text(path), PACKETFS_STREAM_DEPTH_MAX);
        if ((out->len > 0 && hm_buf_append(out, "/", 1) != 0) ||
            hm_buf_append(out, name.data, name.len) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for a path");
    }
    return 0;
}

static void count(struct packetfs_stream_tree *tree, const struct packetfs_entry *entry, int sign)
{
    uint64_t one = sign > 0 ? 1 : UINT64_MAX;

    if (entry->type == PACKETFS_FOLDER)
        tree->folders += one;
    else
        tree->files += one;
    if (entry->type == PACKETFS_FILE)
        tree->bytes += sign > 0 ? entry->content.bytes : (uint64_t)0 - entry->content.bytes;
}

static int implied_folder(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *in,
                          struct hm_slice name, const struct packetfs_entry *like,
                          struct hm_error *error)
{
    struct packetfs_entry entry = {.name = name,
                                   .type = PACKETFS_FOLDER,
                                   .mode = 0755,
                                   .uid = like->uid,
                                   .gid = like->gid,
                                   .user = like->user,
                                   .group = like->group,
                                   .mtime_s = like->mtime_s,
                                   .mtime_ns = like->mtime_ns};
    struct packetfs_stream_node *node = NULL;
    int result = packetfs_stream_node_new(tree, &entry, in, &node, error);

    if (result != 0)
        return result;
    node->folder = packetfs_stream_folder_new(tree, in, NULL);
    if (node->folder == NULL) {
        packetfs_stream_node_free(tree, node);
        return hm_fail(error, HM_ENOMEM, "no memory for a folder");
    }
    packetfs_stream_insert(&in->entries, node);
    count(tree, &entry, 1);
    return 0;
}

/* The folder that path's last name lies in, open. like NULL: none is made, and HM_ENOTFOUND. */
static int way_down(struct packetfs_stream_tree *tree, struct hm_slice path,
                    const struct packetfs_entry *like, struct packetfs_stream_folder **out,
                    struct hm_slice *last, struct hm_error *error)
{
    struct packetfs_stream_folder *folder = tree->top;
    size_t at = 0;

    for (;;) {
        int result = folder->folded ? packetfs_stream_unfold(tree, folder, error) : 0;
        if (result == HM_ELIMIT) { /* what more is held than must be may be in the way */
            result = packetfs_stream_others_fold(tree, folder->above, error);
            if (result == 0)
                result = packetfs_stream_unfold(tree, folder, error);
        }
        if (result != 0)
            return result;
        const uint8_t *slash = memchr(path.data + at, '/', path.len - at);
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.len;
        struct hm_slice name = hm_slice_of(path.data + at, end - at);
        if (slash == NULL) {
            *out = folder;
            *last = name;
            return 0;
        }
        struct packetfs_stream_node **slot = packetfs_stream_slot(&folder->entries, name);
        if (*slot == NULL) {
            if (like == NULL)
                return HM_ENOTFOUND;
            result = implied_folder(tree, folder, name, like, error);
            if (result != 0)
                return result;
            slot = packetfs_stream_slot(&folder->entries, name);
        }
        if ((*slot)->folder == NULL)
            return hm_fail(error, HM_ECONFLICT,
                           "\"%.*s\" would lie in \"%.*s\", which is no folder", shown(path),
                           text(path), shown(hm_slice_of(path.data, end)), text(path));
        folder = (*slot)->folder;
        at = end + 1;
    }
}

/* What it would replace must be able to give way. */
static int gives_way(struct packetfs_stream_tree *tree, const struct packetfs_stream_node *old,
                     enum packetfs_entry_type type, struct hm_slice path, struct hm_error *error)
{
    if (old == NULL || old->folder == NULL || type == PACKETFS_FOLDER)
        return 0;
    int result = old->folder->folded ? packetfs_stream_unfold(tree, old->folder, error) : 0;
    if (result == 0 && old->folder->entries != NULL)
        result = hm_fail(error, HM_ECONFLICT,
                         "\"%.*s\" would take the place of a folder with entries", shown(path),
                         text(path));
    return result;
}

/* Sets the entry in an open folder. */
static int entry_set(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                     const struct packetfs_entry *entry, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf xattrs = {0};
    struct packetfs_entry before;
    struct packetfs_stream_node *node = NULL, **slot;
    int result = 0;

    if (entry->type == PACKETFS_FILE && entry->content.bytes > UINT64_MAX - tree->bytes)
        result = hm_fail(error, HM_ELIMIT, "the files together are longer than can be counted");
    if (result == 0)
        result = packetfs_stream_node_new(tree, entry, folder, &node, error);

    if (result != 0)
        return result;
    slot = packetfs_stream_slot(&folder->entries, entry->name);
    if (*slot != NULL)
        result = packetfs_stream_node_entry(*slot, &before, &xattrs, error);
    if (result == 0 && entry->type == PACKETFS_FOLDER) {
        node->folder = *slot != NULL ? (*slot)->folder : NULL;
        if (node->folder == NULL &&
            (node->folder = packetfs_stream_folder_new(tree, folder, NULL)) == NULL)
            result = hm_fail(error, HM_ENOMEM, "no memory for a folder");
    }
    if (result != 0) {
        packetfs_stream_node_free(tree, node);
        return result;
    }
    count(tree, entry, 1);
    tree->taken += node->len;
    if (*slot == NULL) {
        packetfs_stream_insert(&folder->entries, node);
        return 0;
    }
    struct packetfs_stream_node *old = *slot;
    count(tree, &before, -1);
    node->left = old->left;
    node->right = old->right;
    node->priority = old->priority;
    *slot = node;
    if (old->folder != node->folder)
        packetfs_stream_folder_free(tree, old->folder);
    packetfs_stream_node_free(tree, old);
    return 0;
}

/* --- what the stream calls -------------------------------------------------------------------------------------------------------------- */
int packetfs_stream_tree_init(struct packetfs_stream_tree *tree,
                              const struct packetfs_objects *objects, const uint8_t node_key[32],
                              size_t memory_max, uint64_t random, struct hm_error *error)
{
    *tree = (struct packetfs_stream_tree){.objects = *objects,
                                          .node_key = node_key,
                                          .memory_max = memory_max,
                                          .hold = memory_max,
                                          .fold_at = memory_max,
                                          .random = random};
    tree->top = packetfs_stream_folder_new(tree, NULL, NULL);
    return tree->top != NULL ? 0 : hm_fail(error, HM_ENOMEM, "no memory for a folder");
}

void packetfs_stream_tree_release(struct packetfs_stream_tree *tree)
{
    struct packetfs_stream_folder *at = tree->top;

    while (at != NULL) {
        while (at->open != NULL)
            at = at->open;
        struct packetfs_stream_folder *above = at->above;
        packetfs_stream_entries_free(tree, at->entries);
        at->entries = NULL;
        /* Freed with its entry, or here when it is the top. */
        packetfs_stream_open_remove(at);
        at->folded = true;
        if (above == NULL)
            packetfs_stream_folder_free(tree, at);
        at = above;
    }
    tree->top = NULL;
}

/* The folder that the entry goes into, and that what stands there gives way to it. */
static int place_find(struct packetfs_stream_tree *tree, struct hm_slice path,
                      const struct packetfs_entry *entry, struct packetfs_stream_folder **folder,
                      struct hm_error *error)
{
    struct hm_slice name;
    int result = way_down(tree, path, entry, folder, &name, error);

    return result == 0 ? gives_way(tree, *packetfs_stream_slot(&(*folder)->entries, name),
                                   entry->type, path, error)
                       : result;
}

int packetfs_stream_tree_ready(struct packetfs_stream_tree *tree, struct hm_slice path,
                               const struct packetfs_entry *entry, struct hm_error *error)
{
    struct packetfs_stream_folder *folder = NULL;
    int result = place_find(tree, path, entry, &folder, error);

    return result == 0 ? packetfs_stream_memory_free(tree, folder, error) : result;
}

int packetfs_stream_tree_set(struct packetfs_stream_tree *tree, struct hm_slice path,
                             const struct packetfs_entry *entry, struct hm_error *error)
{
    struct packetfs_stream_folder *folder = NULL;
    int result = place_find(tree, path, entry, &folder, error);

    if (result == 0)
        result = entry_set(tree, folder, entry, error);
    return result == 0 ? packetfs_stream_memory_free(tree, folder, error) : result;
}

/* The same for the same entry of the same name under the same key, so that a stream put twice gives one root. Of the name alone it would join
 * two files where the name is given to another one between two links to it. 2^32 files with several names would make two of them likely
 * equal. */
static int link_number(const struct packetfs_stream_tree *tree, struct hm_slice path,
                       const struct packetfs_stream_node *node, uint64_t *out,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint8_t hash[CRYPTO_HASH_BYTES];

    if (hm_buf_append(&text, path.data, path.len) != 0 || hm_buf_append(&text, "", 1) != 0 ||
        hm_buf_append(&text, node->bytes, node->len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for an entry");
    crypto_hash_keyed(tree->node_key, text.data, text.len, hash);
    uint64_t number = hm_get_be64(hash);
    *out = number != 0 ? number : 1;
    return 0;
}

int packetfs_stream_tree_link(struct packetfs_stream_tree *tree, struct hm_slice path,
                              struct hm_slice existing, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf copy = {0};
    HM_CLEANUP(hm_buf) struct hm_buf xattrs = {0};
    struct packetfs_stream_folder *folder = NULL;
    struct packetfs_entry entry, own;
    struct packetfs_stream_node *node = NULL;
    struct hm_slice name;
    int result = way_down(tree, existing, NULL, &folder, &name, error);

    if (result == 0)
        node = *packetfs_stream_slot(&folder->entries, name);
    if (result == HM_ENOTFOUND || (result == 0 && node == NULL))
        return hm_fail(error, HM_ENOTFOUND,
                       "\"%.*s\" is another name of \"%.*s\", which is not there (before it)",
                       shown(path), text(path), shown(existing), text(existing));
    if (result != 0)
        return result;
    if (node->folder != NULL)
        return hm_fail(error, HM_ECONFLICT, "\"%.*s\" is another name of the folder \"%.*s\"",
                       shown(path), text(path), shown(existing), text(existing));
    result = packetfs_stream_node_entry(node, &entry, &xattrs, error);
    if (result == 0 && packetfs_entry_copy(&entry, &own, &copy) != 0)
        result = hm_fail(error, HM_ENOMEM, "no memory for an entry");
    if (result != 0 || hm_slice_equal(path, existing))
        return result;
    if (own.hard_link == 0) {
        result = link_number(tree, existing, node, &own.hard_link, error);
        if (result == 0)
            result = entry_set(tree, folder, &own, error);
    }
    size_t at = path.len;
    while (at > 0 && path.data[at - 1] != '/')
        at--;
    own.name = hm_slice_of(path.data + at, path.len - at);
    return result == 0 ? packetfs_stream_tree_set(tree, path, &own, error) : result;
}

int packetfs_stream_tree_finish(struct packetfs_stream_tree *tree, struct packetfs_id *root,
                                struct hm_error *error)
{
    int result = tree->top->folded ? 0 : packetfs_stream_fold(tree, tree->top, error);

    if (result == 0)
        *root = tree->top->root;
    return result;
}
