/* What a stream's tree is made of (packetfs_stream_tree.h): folders and their entries in memory, and how a folder is folded. */
#ifndef HM_PACKETFS_STREAM_FOLDER_H
#define HM_PACKETFS_STREAM_FOLDER_H

#include "put/packetfs_stream_tree.h"

/* An entry; those of one folder are a treap by their names: sorted, and balanced by dice, whatever order they come in. */
struct packetfs_stream_node {
    struct packetfs_stream_node *left, *right;
    struct packetfs_stream_folder *in; /* the folder it lies in */
    struct packetfs_stream_folder *folder; /* of a folder: its entries */
    uint32_t priority;
    uint32_t len;
    uint8_t bytes[]; /* as packetfs_node_entry writes them */
};

struct packetfs_stream_folder {
    struct packetfs_stream_folder *above; /* NULL: the top */
    struct packetfs_stream_node *entries; /* when not folded */
    struct packetfs_stream_folder *open; /* folders in it that are not folded */
    struct packetfs_stream_folder *before, *after; /* in above's list of these */
    bool folded, pinned;
    struct packetfs_id root; /* when folded */
};

struct hm_slice packetfs_stream_node_name(const struct packetfs_stream_node *node);
/* xattrs holds what entry->xattrs points to. */
int packetfs_stream_node_entry(const struct packetfs_stream_node *node,
                               struct packetfs_entry *entry, struct hm_buf *xattrs,
                               struct hm_error *error);
/* HM_ELIMIT: memory is full. */
int packetfs_stream_node_new(struct packetfs_stream_tree *tree, const struct packetfs_entry *entry,
                             struct packetfs_stream_folder *in, struct packetfs_stream_node **out,
                             struct hm_error *error);
void packetfs_stream_node_free(struct packetfs_stream_tree *tree,
                               struct packetfs_stream_node *node);
/* Where the entry of this name hangs, or NULL is. */
struct packetfs_stream_node **packetfs_stream_slot(struct packetfs_stream_node **entries,
                                                   struct hm_slice name);
/* No entry has its name yet. */
void packetfs_stream_insert(struct packetfs_stream_node **entries,
                            struct packetfs_stream_node *node);
/* folded NULL: empty and open. NULL: no memory. */
struct packetfs_stream_folder *packetfs_stream_folder_new(struct packetfs_stream_tree *tree,
                                                          struct packetfs_stream_folder *above,
                                                          const struct packetfs_id *folded);
void packetfs_stream_folder_free(struct packetfs_stream_tree *tree,
                                 struct packetfs_stream_folder *folder); /* without entries */
/* Entries, and their folders, which are folded or empty. */
void packetfs_stream_entries_free(struct packetfs_stream_tree *tree,
                                  struct packetfs_stream_node *entries);
/* From the list of open folders of the one above it. */
void packetfs_stream_open_remove(struct packetfs_stream_folder *folder);
/* Writes the folder and all in it; it is folded then. */
int packetfs_stream_fold(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                         struct hm_error *error);
int packetfs_stream_unfold(struct packetfs_stream_tree *tree, struct packetfs_stream_folder *folder,
                           struct hm_error *error);
/* Folds what the folder keep (nullable) and those above it do not need. */
int packetfs_stream_others_fold(struct packetfs_stream_tree *tree,
                                struct packetfs_stream_folder *keep, struct hm_error *error);
/* The same, when memory is full. */
int packetfs_stream_memory_free(struct packetfs_stream_tree *tree,
                                struct packetfs_stream_folder *keep, struct hm_error *error);

#endif
