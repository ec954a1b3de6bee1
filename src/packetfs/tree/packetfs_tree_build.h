/* Builds a tree from its items, leaves first, in one pass and with one node a level in memory.
 *
 * Where a node ends is decided by its last item alone: by a keyed hash of it and of the level, once the node is half as
 * long as nodes are in the mean. Which item decides on higher levels: the last one of the leaf that the child ends with, so
 * that a changed leaf moves no cut above it. */
#ifndef HM_PACKETFS_TREE_BUILD_H
#define HM_PACKETFS_TREE_BUILD_H

#include "tree/packetfs_node.h"

struct packetfs_build_level {
    struct hm_buf node; /* with its head; empty: no item yet */
    size_t items;
    size_t weight; /* since the node began */
    uint64_t len;
};

struct packetfs_build {
    struct packetfs_objects objects;
    uint8_t node_key[32];
    enum packetfs_node_what what;
    struct packetfs_build_level levels[PACKETFS_TREE_DEPTH_MAX];
    struct hm_buf item; /* for who adds: the one being made */
    struct hm_buf
        deciding; /* of the leaf's item added last: what decides on every level whether to cut behind it */
};

/* A builder of this size, all zeros, that begins with a struct packetfs_build; NULL and error: no memory. */
void *packetfs_build_new(size_t size, const struct packetfs_objects *objects,
                         const uint8_t node_key[32], enum packetfs_node_what what,
                         struct hm_error *error);
void packetfs_build_free(void *builder);
/* item: its bytes as in a leaf. deciding: the part of it that decides about the cut behind it (of an entry its name). weight: what it counts for,
 * below 1024. HM_ENOMEM, HM_ELIMIT, and what objects says. */
int packetfs_build_add(struct packetfs_build *build, struct hm_slice item, struct hm_slice deciding,
                       size_t weight, uint64_t len, struct hm_error *error);
/* At least one item, except in a folder. */
int packetfs_build_finish(struct packetfs_build *build, struct packetfs_id *root,
                          struct hm_error *error);

#endif
