/* From entries of trees to what the public functions show. */
#ifndef HM_PACKETFS_LOOK_H
#define HM_PACKETFS_LOOK_H

#include "packetfs_volume.h"

/* A path within a snapshot without the slashes around it, which say nothing. NULL: "". */
struct hm_slice packetfs_path_trim(const char *path);
/* Slices are borrowed from path and entry. */
void packetfs_item_fill(struct hm_slice path, const struct packetfs_entry *entry,
                        struct packetfs_item *out);

#endif
