/* Key files and the folder they are kept in. */
#ifndef HM_PACKETFS_KEY_FILE_H
#define HM_PACKETFS_KEY_FILE_H

#include "packetfs_keys.h"

#define PACKETFS_KEY_FILES_MAX 1024 /* of a key folder, that are tried */

/* A key file: 64 hex digits and a newline, 0600, owned by the user; made with O_EXCL, durable. HM_EPERM: others may read it;
 * HM_EPARSE, HM_ENOTFOUND, HM_EEXIST. */
int packetfs_key_file_create(const char *path, const struct hm_random *random,
                             uint8_t key[PACKETFS_KEY_BYTES], struct hm_error *error);
int packetfs_key_file_read(const char *path, uint8_t key[PACKETFS_KEY_BYTES],
                           struct hm_error *error);
/* Appends the key folder's path (key_dir, else PACKETFS_KEY_DIR, else XDG_CONFIG_HOME/packetfs/keys, else
 * ~/.config/packetfs/keys) to out (hm_buf_cstr). HM_ENOTFOUND: nothing of it is set. */
int packetfs_key_dir_path(const char *key_dir, struct hm_buf *out, struct hm_error *error);
/* The same and the key file in it that is named for the volume: VOLUME-ID.key. */
int packetfs_key_file_path(const char *key_dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           struct hm_buf *out, struct hm_error *error);
/* Opens a slot of a key file with those of the folder. HM_EAUTH: none does. */
int packetfs_key_dir_try(const char *key_dir, struct hm_slice slot,
                         const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                         uint8_t volume_key[PACKETFS_KEY_BYTES], struct hm_error *error);

#endif
