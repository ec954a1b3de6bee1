/* What images are made of, kept once: a PacketFS volume below the image store, in which every unpacked layer is a
 * snapshot, labelled like its folder below layers/ ("m-HEX", "p-HEX"). Layers that have files in common share their
 * patterns, whatever order, time or image the files came with.
 *
 * The volume's key is a file of the store (keys/, 0600): who reads the store reads the images, as before. */
#ifndef HM_RUNTIME_VAULT_H
#define HM_RUNTIME_VAULT_H

#include "packetfs.h"
#include "runtime_images.h"

struct runtime_vault {
    struct runtime_images *images;
    struct packetfs_volume *volume;
    struct packetfs_snapshot *snapshots; /* all, as they were when it was opened */
    size_t count;
};

/* make: a volume is made when there is none (not under "lock"). HM_ENOTFOUND: there is none. */
int runtime_vault_open(struct runtime_images *images, bool make, struct runtime_vault *out,
                       struct hm_error *error);
void runtime_vault_release(struct runtime_vault *vault);
bool runtime_vault_has(const struct runtime_vault *vault, const char *label);

/* Has a restore met damage since the last runtime_vault_mend? */
bool runtime_vault_is_damaged(const struct runtime_images *images);
/* Held (by *fd) while layers are put. Where there was damage, first makes the index again without what is damaged:
 * *mended says that layers must be put though their snapshots are there. */
int runtime_vault_begin(struct runtime_vault *vault, int *fd, bool *mended, struct hm_error *error);
/* Puts a layer's folder; its last name becomes the label. *stored grows by what the volume grew. */
int runtime_vault_put(struct runtime_vault *vault, const char *layer, uint64_t *stored,
                      struct hm_error *error);

/* Restores the layer as into/LABEL, every piece checked. HM_ENOTFOUND: there is no such snapshot, or no volume.
 * HM_ECORRUPT names the image `who`; what is in `into` is then worth nothing. */
int runtime_vault_get(struct runtime_images *images, const char *label, const char *into,
                      const char *who, struct hm_error *error);

/* Forgets the snapshots that are no layer in keep (an object with diff ids in hex for keys), and all but the newest of
 * those that are. Under "lock" and "inuse". */
int runtime_vault_collect(struct runtime_vault *vault, const json_t *keep, struct hm_error *error);
/* Gives back the room of what was forgotten. Needs no lock: may go on beside imports and restores. */
int runtime_vault_prune(struct runtime_vault *vault, struct hm_error *error);

#endif
