/* Keys of a volume: everything is derived from one volume key of 32 random bytes, with BLAKE3 in its derive-key mode
 * and a context a purpose, so that no two purposes share a key. */
#ifndef HM_PACKETFS_KEYS_H
#define HM_PACKETFS_KEYS_H

#include "packetfs_object.h"

#define PACKETFS_KEY_BYTES       32
#define PACKETFS_VOLUME_ID_BYTES 16

struct packetfs_keys {
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES]; /* public, random */
    uint8_t id[PACKETFS_STORE_KINDS][PACKETFS_KEY_BYTES]; /* ids of objects */
    uint8_t seal[PACKETFS_STORE_KINDS]
                [PACKETFS_KEY_BYTES]; /* packs: a key a pack is derived from this and its salt */
    uint8_t snapshot[PACKETFS_KEY_BYTES]; /* seals snapshot files */
    uint8_t volume[PACKETFS_KEY_BYTES]; /* seals the volume's parameters */
    uint8_t chunk[PACKETFS_KEY_BYTES]; /* where data is cut */
    uint8_t node[PACKETFS_KEY_BYTES]; /* where trees are cut */
    uint8_t path[PACKETFS_KEY_BYTES]; /* names of paths in the local cache of files */
    uint8_t link
        [PACKETFS_KINDS]
        [PACKETFS_KEY_BYTES]; /* seeds of the Ed25519 keys that both ends of a connection show */
};

void packetfs_keys_derive(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                          const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                          struct packetfs_keys *out);
void packetfs_keys_release(struct packetfs_keys *keys); /* wipes */
void packetfs_keys_object_id(const struct packetfs_keys *keys, enum packetfs_kind kind,
                             struct hm_slice bytes, struct packetfs_id *out);

/* --- slots: the volume key, wrapped -----------------------------------------------------------------------------
 * A volume has up to PACKETFS_SLOTS_MAX slots in keys/NAME.slot. Any one opens it. Rotation makes new slots and leaves
 * packs as they are. docs/formats-packetfs.md has the bytes; identities: packetfs_slot_identity.h. */
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

/* --- key files ---------------------------------------------------------------------------------------------------- */
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
