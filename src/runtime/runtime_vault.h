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
    struct packetfs_snapshot *snapshots; /* all, as they were when it was opened, oldest first */
    size_t count;
    uint64_t mended; /* snapshots numbered up to this may lack pieces */
};

/* make: a volume is made when there is none (not under "lock"). HM_ENOTFOUND: there is none. */
int runtime_vault_open(struct runtime_images *images, bool make, struct runtime_vault *out,
                       struct hm_error *error);
void runtime_vault_release(struct runtime_vault *vault);
/* Looks again at what is there. */
int runtime_vault_look(struct runtime_vault *vault, struct hm_error *error);
/* Put since the last mend? What was put before it may have been lost. */
bool runtime_vault_has(const struct runtime_vault *vault, const char *label);

/* Has a restore or a removal met damage that is not mended yet? */
bool runtime_vault_is_damaged(const struct runtime_images *images);
/* Held (by *fd) while layers are put. Where there was damage, first makes the index again without what is damaged and
 * forgets the snapshots that cannot be walked; then looks again. Lock order: puts, care, lock. */
int runtime_vault_begin(struct runtime_vault *vault, int *fd, struct hm_error *error);
/* Puts a layer's folder, whole or not at all; its last name becomes the label. *stored grows by what the volume grew. */
int runtime_vault_put(struct runtime_vault *vault, const char *layer, uint64_t *stored,
                      struct hm_error *error);

/* Restores the layer as into/LABEL, every piece checked. HM_ENOTFOUND: there is no such snapshot, or no volume.
 * HM_ECORRUPT names the image `who`; what is in `into` is then worth nothing. */
int runtime_vault_get(struct runtime_images *images, const char *label, const char *into,
                      const char *who, struct hm_error *error);

/* Forgets the snapshots that are no layer in keep (an object with diff ids in hex for keys), and all but the newest of
 * those that are, as runtime_vault_look saw them. Under "lock" and "inuse". */
int runtime_vault_collect(struct runtime_vault *vault, const json_t *keep, struct hm_error *error);
/* Gives back the room of what was forgotten. May go on beside imports and restores, not under "lock". Damage is no
 * failure: nothing is given back then, and the next import mends it. */
int runtime_vault_prune(struct runtime_vault *vault, struct hm_error *error);

#endif
