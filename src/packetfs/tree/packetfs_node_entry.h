/* Entries of folders as bytes: the part of packetfs_node.c that knows what a file system is. */
#ifndef HM_PACKETFS_NODE_ENTRY_H
#define HM_PACKETFS_NODE_ENTRY_H

#include "tree/packetfs_tree.h"

/* Each takes its thing off the front of *in. HM_ECORRUPT, and then *in is anywhere. */
int packetfs_entry_take_name(struct hm_slice *in, struct hm_slice *name, struct hm_error *error);
/* xattrs: cleared, and the entry's attributes put in it; NULL: they are checked and passed over, xattr_count 0. */
int packetfs_entry_take(struct hm_slice *in, struct hm_buf *xattrs, struct packetfs_entry *out,
                        struct hm_error *error);

#endif
