/* A tree of entries that come in any order, until it is written as folders (packetfs_tree.h).
 *
 * Entries are held in memory, packed. When they take more than memory_max, every folder that the newest entry is not in is *folded*: written as
 * objects, of which only the root's id stays; should another entry come for it, it is unfolded again. So memory stays bounded as long as
 * the folders from the top to the newest entry themselves fit; past PACKETFS_STREAM_MEMORY_FACTOR times as much it is HM_ELIMIT. Entries that come
 * in turns for folders that do not fit together would fold and unfold one with each: where less than one PACKETFS_STREAM_FOLD_SHARE of memory_max came
 * since the last time, twice as much is held from then on, up to half of the most. */
#ifndef HM_PACKETFS_STREAM_TREE_H
#define HM_PACKETFS_STREAM_TREE_H

#include "tree/packetfs_tree.h"

#define PACKETFS_STREAM_MEMORY_BYTES  ((size_t)256 << 20)
#define PACKETFS_STREAM_MEMORY_FACTOR 16
#define PACKETFS_STREAM_FOLD_SHARE    128 /* about 10,000 entries */
#define PACKETFS_STREAM_DEPTH_MAX     (PACKETFS_FOLDER_DEPTH_MAX - 1)

struct packetfs_stream_folder;

struct packetfs_stream_tree {
    struct packetfs_objects objects;
    const uint8_t *node_key;
    size_t memory_max;
    struct packetfs_stream_folder *top;
    size_t memory; /* held now */
    size_t fold_at; /* when that much is held, what can be folded is */
    size_t
        hold; /* what may be held besides what must; memory_max, and more once folding came too often */
    uint64_t taken, taken_then; /* bytes of entries that came; and when it was folded last */
    uint64_t
        random; /* where entries lie in memory; any, and known to nobody who makes the entries */
    uint64_t files, folders, bytes; /* as in struct packetfs_snapshot */
    uint64_t folds; /* how often memory was full */
};

int packetfs_stream_tree_init(struct packetfs_stream_tree *tree,
                              const struct packetfs_objects *objects, const uint8_t node_key[32],
                              size_t memory_max, uint64_t random, struct hm_error *error);
void packetfs_stream_tree_release(struct packetfs_stream_tree *tree);

/* path: names with one '/' between them, checked by packetfs_stream_path. */
int packetfs_stream_path(struct hm_slice path, struct hm_buf *out, struct hm_error *error);
/* Could an entry of this type stand there? HM_ECONFLICT: something above it is no folder, or it would take the place of a folder with
 * entries. Folders above that are missing are made, 0755, with owner and time of entry. */
int packetfs_stream_tree_ready(struct packetfs_stream_tree *tree, struct hm_slice path,
                               const struct packetfs_entry *entry, struct hm_error *error);
/* The same, and sets it there; what is there already gives way, except that a folder keeps its entries. entry->name is the path's
 * last, entry->folder is ignored. */
int packetfs_stream_tree_set(struct packetfs_stream_tree *tree, struct hm_slice path,
                             const struct packetfs_entry *entry, struct hm_error *error);
/* Another name for what existing names. HM_ENOTFOUND, HM_ECONFLICT: a folder. */
int packetfs_stream_tree_link(struct packetfs_stream_tree *tree, struct hm_slice path,
                              struct hm_slice existing, struct hm_error *error);
/* Writes it all; nothing can be set afterwards. */
int packetfs_stream_tree_finish(struct packetfs_stream_tree *tree, struct packetfs_id *root,
                                struct hm_error *error);

#endif
