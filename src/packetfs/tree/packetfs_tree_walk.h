/* Walks a tree from its root down: the way both cursors and both comparisons read nodes. Every node is gone through and
 * held against what its parent says of it before an item of it is believed. */
#ifndef HM_PACKETFS_TREE_WALK_H
#define HM_PACKETFS_TREE_WALK_H

#include "tree/packetfs_node.h"

struct packetfs_walk_frame {
    struct packetfs_id id;
    struct hm_buf node;
    struct packetfs_node_reader reader;
    uint64_t begin, len; /* a list's: offset of the node's first byte, bytes under it */
    size_t taken; /* items that were moved past */
    struct hm_slice bound; /* the name of the last of them */
    bool has_item;
    struct packetfs_node_item item; /* the one in front */
    uint64_t offset; /* of the item in front */
};

struct packetfs_walk {
    struct packetfs_objects objects;
    enum packetfs_node_what what;
    struct packetfs_id root;
    uint64_t len; /* a list's bytes, as its file says */
    struct hm_buf xattrs;
    size_t depth; /* frames in use; 0: at the end */
    struct packetfs_walk_frame frames[PACKETFS_TREE_DEPTH_MAX];
};

/* Reads nothing yet. len: of a list; 0 for a folder. */
void packetfs_walk_init(struct packetfs_walk *walk, const struct packetfs_objects *objects,
                        enum packetfs_node_what what, const struct packetfs_id *root, uint64_t len);
void packetfs_walk_release(struct packetfs_walk *walk);
/* A cursor of this size, all zeros, that begins with a struct packetfs_walk (as by packetfs_walk_init); NULL and error: no memory. */
void *packetfs_walk_cursor_new(size_t size, const struct packetfs_objects *objects,
                               enum packetfs_node_what what, const struct packetfs_id *root,
                               uint64_t len, struct hm_error *error);
void packetfs_walk_cursor_free(void *cursor);

/* Reads the root; the walk stands before its first item. HM_ECORRUPT and so on. */
int packetfs_walk_start(struct packetfs_walk *walk, struct hm_error *error);
/* The item in front: of a leaf, or a branch's child that was not gone into. NULL at the end. Valid until the next call. */
const struct packetfs_walk_frame *packetfs_walk_front(struct packetfs_walk *walk);
/* Goes into the child in front: its first item is in front then. Only where the item in front is a branch's. */
int packetfs_walk_into(struct packetfs_walk *walk, struct hm_error *error);
/* Past the item in front, with all under it. */
int packetfs_walk_past(struct packetfs_walk *walk, struct hm_error *error);
/* Into branches until a leaf's item is in front. HM_ENOTFOUND: the end. */
int packetfs_walk_leaf(struct packetfs_walk *walk, struct hm_error *error);
/* In a list: back to the first item of the lowest node that holds offset and was read already. false: none; start again. */
bool packetfs_walk_rewind(struct packetfs_walk *walk, uint64_t offset);
/* As if the node of this id, which the walk has gone into but taken nothing of, were in front again. false: there is none such. */
bool packetfs_walk_back_out(struct packetfs_walk *walk, const struct packetfs_id *id);

#endif
