/* Slots: the volume key, wrapped. A volume has up to PACKETFS_SLOTS_MAX slots in keys/NAME.slot. Any one opens it. Rotation makes new slots and leaves
 * packs as they are. docs/formats-packetfs.md has the bytes; identities: packetfs_slot_identity.h. */
#ifndef HM_PACKETFS_SLOT_H
#define HM_PACKETFS_SLOT_H

#include "packetfs_keys.h"

#define PACKETFS_SLOT_FILE_MAX_BYTES 32768
#define PACKETFS_SLOT_SALT_BYTES     16
#define PACKETFS_SLOT_MAGIC          "PFSSLOT1"
#define PACKETFS_SLOT_MAGIC_BYTES    8
#define PACKETFS_SLOT_HEAD_BYTES     (PACKETFS_SLOT_MAGIC_BYTES + 1 + PACKETFS_VOLUME_ID_BYTES)
struct packetfs_slot {
    enum packetfs_slot_kind kind;
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    char name[PACKETFS_SLOT_NAME_MAX + 1]; /* only of an identity's */
    struct hm_slice bound, salt, label, sealed; /* of the file's bytes */
};
bool packetfs_slot_name_fits(const char *name, size_t len);
/* Pure. HM_EPARSE, HM_EUNSUPPORTED: a later format or kind. */
int packetfs_slot_parse(struct hm_slice file, struct packetfs_slot *out, struct hm_error *error);

/* Appends a slot's file to out. A key file is the caller's to write. HM_ENOMEM, HM_EIO. */
int packetfs_slot_seal_passphrase(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                                  const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                                  const char *passphrase, const struct hm_random *random,
                                  struct hm_buf *out, struct hm_error *error);
int packetfs_slot_seal_file(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                            const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                            const uint8_t file_key[PACKETFS_KEY_BYTES],
                            const struct hm_random *random, struct hm_buf *out,
                            struct hm_error *error);
/* Opens one slot of a passphrase or key file (bytes from outside, fuzzed) with what the user gave. Without passphrase and key file: with the key files of
 * the key folder, that named for the volume first. HM_EAUTH: another key or passphrase, or another volume's slot; HM_EPARSE;
 * HM_EPERM, HM_ENOTFOUND of the key file that was named. */
int packetfs_slot_open(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                       const struct packetfs_unlock *unlock, uint8_t volume_key[PACKETFS_KEY_BYTES],
                       struct hm_error *error);
/* The same with the key in hand; pure. */
int packetfs_slot_open_key(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           const uint8_t file_key[PACKETFS_KEY_BYTES],
                           uint8_t volume_key[PACKETFS_KEY_BYTES], struct hm_error *error);

#endif
