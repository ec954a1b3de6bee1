/* Care for a store: what nobody needs goes, what is damaged is found and mended. */
#ifndef HM_PACKETFS_CARE_H
#define HM_PACKETFS_CARE_H

#include "store/packetfs_store.h"

int packetfs_store_prune(struct packetfs_store *store, const struct packetfs_prune_options *options,
                         const struct packetfs_watch *watch, struct packetfs_prune_result *out,
                         struct hm_error *error);

/* quick: every snapshot's references reach objects that the index has, every pack it names is there with its length and
 * folder, nothing is left over. full: besides, every object is read, opened, unpacked and hashed. HM_ECORRUPT when there
 * were findings. */
int packetfs_store_check(struct packetfs_store *store, bool full,
                         const struct packetfs_watch *watch, struct packetfs_check_result *out,
                         struct hm_error *error);
/* Makes the index again from the packs, takes finished packs in that no index names, sets damaged packs aside (damaged/), and says
 * which snapshots lost what. */
int packetfs_store_repair(struct packetfs_store *store, const struct packetfs_watch *watch,
                          struct packetfs_check_result *out, struct hm_error *error);

int packetfs_store_stats(struct packetfs_store *store, struct packetfs_stats *out,
                         struct hm_error *error);

#endif
