/* A volume's key itself, for the few moments in which it is split, joined or wrapped anew. */
#ifndef HM_PACKETFS_KEY_VOLUME_H
#define HM_PACKETFS_KEY_VOLUME_H

#include "packetfs_keys.h"

struct packetfs_key_volume {
    uint8_t id[PACKETFS_VOLUME_ID_BYTES];
    uint8_t key[PACKETFS_KEY_BYTES];
    struct hm_buf file; /* DIR/volume */
};

/* Reads DIR/volume; no key yet. HM_ENOTFOUND, HM_EPARSE. */
int packetfs_key_volume_look(const char *dir, struct packetfs_key_volume *out,
                             struct hm_error *error);
/* The same, and the key by what the user gave. */
int packetfs_key_volume_open(const char *dir, const struct packetfs_unlock *unlock,
                             struct packetfs_key_volume *out, struct hm_error *error);
void packetfs_key_volume_release(struct packetfs_key_volume *volume); /* wipes */
/* HM_EAUTH: volume->key is not this volume's. */
int packetfs_key_volume_prove(const struct packetfs_key_volume *volume, struct hm_error *error);
/* HM_EEXIST: fresh opens the volume already. Nothing named in fresh: what lies in its key folder. */
int packetfs_key_volume_is_new(const char *dir, const struct packetfs_key_volume *volume,
                               const struct packetfs_unlock *fresh, struct hm_error *error);
/* A further slot for fresh, durable; with alone the others go after that. One at a time. HM_ELIMIT: too many slots. */
int packetfs_key_volume_wrap(const char *dir, const struct packetfs_key_volume *volume,
                             const struct packetfs_unlock *fresh, bool alone,
                             struct hm_error *error);

#endif
