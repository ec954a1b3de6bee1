/* One node of a tree: its bytes, and the items in them. Pure; docs/formats-packetfs.md, "Trees", says every byte.
 *
 * A node has one form only: whoever reads one may be sure that nobody could have written the same in other bytes. */
#ifndef HM_PACKETFS_NODE_H
#define HM_PACKETFS_NODE_H

#include "tree/packetfs_tree.h"

#define PACKETFS_NODE_VERSION         1
#define PACKETFS_NODE_HEAD_BYTES      3 /* version, what, level */
#define PACKETFS_OWNER_NAME_MAX_BYTES 255
#define PACKETFS_LIST_ITEM_MAX_BYTES  42 /* a number and an id */
#define PACKETFS_LEN_MAX              INT64_MAX /* bytes under a node */

enum packetfs_node_what { PACKETFS_NODE_LIST = 'L', PACKETFS_NODE_FOLDER = 'F' };

struct packetfs_node_item {
    /* In a list: bytes of the piece, or under the child. */
    uint64_t len;
    bool hole;
    /* The pattern or the child; zeros for a hole and in a folder's leaf. */
    struct packetfs_id id;
    /* In a folder: the entry's name, or the last name under the child. */
    struct hm_slice name;
    /* In a folder's leaf; its xattrs are there only where the reader was given room for them. */
    struct packetfs_entry entry;
};

/* Goes through a node's items. Slices of an item point into the node. */
struct packetfs_node_reader {
    enum packetfs_node_what what;
    unsigned level; /* 0: a leaf */
    struct hm_slice rest;
    size_t taken; /* items */
    bool after_hole;
    struct hm_slice before; /* the name of the item before */
    struct hm_buf *xattrs; /* borrowed; NULL: xattrs are checked and passed over */
};

/* HM_ECORRUPT: no node, or of a later version. */
int packetfs_node_begin(struct hm_slice node, struct hm_buf *xattrs,
                        struct packetfs_node_reader *out, struct hm_error *error);
/* HM_ENOTFOUND: end. HM_ECORRUPT. HM_ENOMEM: no room for xattrs. */
int packetfs_node_next(struct packetfs_node_reader *reader, struct packetfs_node_item *out,
                       struct hm_error *error);

/* A node gone through from end to end. */
struct packetfs_node_sum {
    enum packetfs_node_what what;
    unsigned level;
    size_t items;
    uint64_t len; /* of a list: bytes under it */
    bool one_pattern; /* a list's leaf with one pattern and nothing else */
    bool hole_first, hole_last;
    struct hm_slice first, last; /* names in a folder, pointing into the node */
};
/* HM_ECORRUPT and what is wrong. Empty nodes pass only as a folder's leaf. */
int packetfs_node_sum(struct hm_slice node, struct packetfs_node_sum *out, struct hm_error *error);

/* --- writing: what the reader takes --------------------------------------------------------------------------- */
int packetfs_node_head(struct hm_buf *out, enum packetfs_node_what what,
                       unsigned level); /* HM_ENOMEM */
/* id NULL: a hole. */
int packetfs_node_piece(struct hm_buf *out, const struct packetfs_id *id, uint64_t len);
int packetfs_node_list_child(struct hm_buf *out, const struct packetfs_id *id, uint64_t len);
int packetfs_node_folder_child(struct hm_buf *out, struct hm_slice last,
                               const struct packetfs_id *id);
/* HM_EINVAL: an entry that no node may hold; the sentence names it. */
int packetfs_node_entry(struct hm_buf *out, const struct packetfs_entry *entry,
                        struct hm_error *error);

/* Reads an object that must be a node. out is cleared first. HM_ECORRUPT (also: it is not here), HM_EIO, HM_ENOMEM. */
int packetfs_node_load(const struct packetfs_objects *objects, const struct packetfs_id *id,
                       struct hm_buf *out, struct hm_error *error);

/* A copy of an entry with all it points to, in buf, which is cleared first. HM_ENOMEM. */
int packetfs_entry_copy(const struct packetfs_entry *entry, struct packetfs_entry *out,
                        struct hm_buf *buf);

#endif
