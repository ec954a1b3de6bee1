/* From entries of trees to what the public functions show. */
#ifndef HM_PACKETFS_LOOK_H
#define HM_PACKETFS_LOOK_H

#include "store/packetfs_volume.h"
#include "tree/packetfs_tree.h"

/* A path within a snapshot without the slashes around it, which say nothing. NULL: "". */
struct hm_slice packetfs_path_trim(const char *path);
/* The entry at a path, which must be a file's; slices of it lie in keep. HM_ENOTFOUND, HM_EINVAL. */
int packetfs_look_find_file(const struct packetfs_objects *objects, const struct packetfs_id *root,
                            const char *path, struct packetfs_entry *out, struct hm_buf *keep,
                            struct hm_error *error);
/* Slices are borrowed from path and entry. */
void packetfs_item_fill(struct hm_slice path, const struct packetfs_entry *entry,
                        struct packetfs_item *out);

/* Every entry of the tree under root, or only of its top folder, with prefix ("" or ending in '/') before its path. Depth first, a folder before what is in
 * it. A non-zero answer of show ends it and is returned. */
int packetfs_look_tree(const struct packetfs_objects *objects, const struct packetfs_id *root,
                       struct hm_slice prefix, bool deep,
                       int (*show)(void *ctx, struct hm_slice path,
                                   const struct packetfs_entry *entry),
                       void *ctx, struct hm_error *error);
/* A file by what an entry says of it. */
int packetfs_look_file(const struct packetfs_objects *objects,
                       const struct packetfs_content *content, struct packetfs_file **out,
                       struct hm_error *error);

#endif
