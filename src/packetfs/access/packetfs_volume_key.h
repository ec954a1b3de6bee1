/* Which key opens a volume: passphrase, key file, or what lies in the user's key folder. */
#ifndef HM_PACKETFS_VOLUME_KEY_H
#define HM_PACKETFS_VOLUME_KEY_H

#include "packetfs_keys.h"

/* Appends a slot, that is to lie under this name. Makes a key file where unlock names none that exists; *made is then its
 * path (hm_free) and the caller removes it when the volume does not come to be. */
int packetfs_volume_key_wrap(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                             const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
                             const struct packetfs_unlock *unlock, const struct hm_random *random,
                             struct hm_buf *slot, char **made, struct hm_error *error);
/* HM_EINVAL: more than one of the three. */
int packetfs_unlock_check(const struct packetfs_unlock *unlock, struct hm_error *error);
/* Tries the slots in DIR/keys. *key_file: the key file that opened it, or "" (hm_free). HM_EAUTH: no key fits. HM_ECORRUPT: no slots,
 * or the volume has another key than when this user first opened it. */
int packetfs_volume_key_find(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                             const struct packetfs_unlock *unlock,
                             uint8_t volume_key[PACKETFS_KEY_BYTES], char **key_file,
                             struct hm_error *error);

#endif
