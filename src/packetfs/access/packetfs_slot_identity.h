/* Slots of identities: the volume key in a message to somebody, signed by who let him in (packetfs_message.h). Whose a slot is stands in a label that only who has the
 * volume's key can read: who stores the volume learns how many there are, not who. A slot opens under the name that it was made with alone, and in its volume alone. */
#ifndef HM_PACKETFS_SLOT_IDENTITY_H
#define HM_PACKETFS_SLOT_IDENTITY_H

#include "access/packetfs_identity.h"
#include "access/packetfs_slot.h"

void packetfs_slot_head(enum packetfs_slot_kind kind,
                        const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                        uint8_t out[PACKETFS_SLOT_HEAD_BYTES]);
/* The rest of packetfs_slot_parse, for kind PACKETFS_SLOT_IDENTITY. */
int packetfs_slot_parse_identity(struct hm_slice file, const struct packetfs_slot *head,
                                 struct packetfs_slot *out, struct hm_error *error);
/* And HM_EAUTH: another volume's. */
int packetfs_slot_parse_of(struct hm_slice file, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           struct packetfs_slot *out, struct hm_error *error);

/* Appends the slot's file. HM_ENOMEM, HM_EIO, HM_EAUTH: no proper public key. */
int packetfs_slot_seal_identity(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                                const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
                                const struct packetfs_identity *by,
                                const struct packetfs_contact *to, uint64_t time_ns,
                                const struct hm_random *random, struct hm_buf *out,
                                struct hm_error *error);
/* name: the one the slot lies under. *from (nullable): who signed it; proven, and not more. Pure; fuzzed. HM_EAUTH: for another identity, changed, or of another
 * volume; HM_ECORRUPT: renamed, or put together from several; HM_EPARSE. */
int packetfs_slot_open_identity(struct hm_slice file,
                                const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
                                const struct packetfs_identity *identity,
                                uint8_t volume_key[PACKETFS_KEY_BYTES],
                                struct packetfs_contact *from, struct hm_error *error);

struct packetfs_slot_label {
    uint64_t time_ns;
    uint8_t id[CRYPTO_HASH_BYTES]; /* whose the slot is */
    uint8_t by[CRYPTO_HASH_BYTES];
    char who[PACKETFS_CONTACT_NAME_MAX_BYTES + 1];
};
/* By who has the volume's key. HM_EAUTH, HM_EPARSE. */
int packetfs_slot_label_open(const struct packetfs_slot *slot, const char *name,
                             const uint8_t volume_key[PACKETFS_KEY_BYTES],
                             struct packetfs_slot_label *out, struct hm_error *error);

#endif
