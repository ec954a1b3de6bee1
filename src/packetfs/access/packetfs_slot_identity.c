#include "access/packetfs_slot_identity.h"

#include "access/packetfs_message.h"

#define LABEL_PLAIN_BYTES (8 + 2 * CRYPTO_HASH_BYTES + 1 + PACKETFS_CONTACT_NAME_MAX_BYTES)
#define LABEL_BYTES       (LABEL_PLAIN_BYTES + CRYPTO_SEAL_OVERHEAD_BYTES)
#define BOUND_BYTES       (PACKETFS_SLOT_HEAD_BYTES + PACKETFS_SLOT_NAME_MAX)
#define FRONT_BYTES       (BOUND_BYTES + LABEL_BYTES) /* all that stands before the message */
#define CONTENT_BYTES     (FRONT_BYTES + PACKETFS_KEY_BYTES)

/* --- reading ---------------------------------------------------------------------------------------------------------- */

int packetfs_slot_parse_identity(struct hm_slice file, const struct packetfs_slot *head,
                                 struct packetfs_slot *out, struct hm_error *error)
{
    struct packetfs_slot slot = *head;
    size_t len;

    if (file.len <= FRONT_BYTES || file.len > PACKETFS_SLOT_FILE_MAX_BYTES)
        return hm_fail(error, HM_EPARSE, "the key slot of an identity has %zu bytes", file.len);
    memcpy(slot.name, file.data + PACKETFS_SLOT_HEAD_BYTES, PACKETFS_SLOT_NAME_MAX);
    len = strlen(slot.name);
    if (!packetfs_slot_name_fits(slot.name, len))
        return hm_fail(error, HM_EPARSE, "the key slot has no name");
    for (size_t i = len; i < PACKETFS_SLOT_NAME_MAX; i++)
        if (file.data[PACKETFS_SLOT_HEAD_BYTES + i] != 0)
            return hm_fail(error, HM_EPARSE, "the key slot has something behind its name");
    slot.bound = hm_slice_of(file.data, BOUND_BYTES);
    slot.label = hm_slice_of(file.data + BOUND_BYTES, LABEL_BYTES);
    slot.sealed = hm_slice_of(file.data + FRONT_BYTES, file.len - FRONT_BYTES);
    *out = slot;
    return 0;
}

/* What was signed is this slot, under this name, of this volume. */
static int content_check(struct hm_slice front, const struct packetfs_message_parts *parts,
                         struct hm_error *error)
{
    if (parts->kind != PACKETFS_MESSAGE_KEY || parts->content.len != CONTENT_BYTES)
        return hm_fail(error, HM_EPARSE, "what the key slot holds is no volume's key");
    if (memcmp(parts->content.data, front.data, FRONT_BYTES) != 0)
        return hm_fail(error, HM_ECORRUPT, "the key slot was changed after it was signed");
    return 0;
}

int packetfs_slot_open_identity(struct hm_slice file,
                                const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
                                const struct packetfs_identity *identity,
                                uint8_t volume_key[PACKETFS_KEY_BYTES],
                                struct packetfs_contact *from, struct hm_error *error)
{
    struct packetfs_message_parts parts;
    struct hm_buf plain = {0};
    struct packetfs_slot slot;
    struct hm_error why = {0};
    int rc = packetfs_slot_parse_of(file, volume_id, &slot, error);

    if (rc != 0)
        return rc;
    if (slot.kind != PACKETFS_SLOT_IDENTITY)
        return hm_fail(error, HM_EAUTH, "an identity does not open this key slot");
    if (strcmp(slot.name, name) != 0)
        return hm_fail(error, HM_ECORRUPT, "the key slot %s was made as %s: somebody renamed it",
                       name, slot.name);
    rc = packetfs_message_read(identity, slot.sealed, &plain, &parts, &why);
    if (rc != 0)
        rc = hm_fail(error, rc, "the key slot %s does not open for %s: %s", name,
                     identity->contact.id_text, why.text);
    else
        rc = content_check(file, &parts, error);
    if (rc == 0) {
        memcpy(volume_key, parts.content.data + FRONT_BYTES, PACKETFS_KEY_BYTES);
        if (from != NULL)
            *from = parts.from;
    }
    if (plain.data != NULL)
        hm_wipe(plain.data, plain.cap);
    hm_buf_release(&plain);
    return rc;
}

/* --- the label -------------------------------------------------------------------------------------------------------- */

static void label_key(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                      const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                      uint8_t out[PACKETFS_KEY_BYTES])
{
    crypto_derive("hypermesh packetfs 1 slot label", volume_key,
                  hm_slice_of(volume_id, PACKETFS_VOLUME_ID_BYTES), out);
}

static int label_decode(struct hm_slice plain, struct packetfs_slot_label *out,
                        struct hm_error *error)
{
    struct packetfs_slot_label label = {.who = ""};
    const uint8_t *at = plain.data;
    size_t len;

    label.time_ns = hm_get_be64(at);
    memcpy(label.id, at + 8, sizeof(label.id));
    memcpy(label.by, at + 8 + sizeof(label.id), sizeof(label.by));
    at += 8 + sizeof(label.id) + sizeof(label.by);
    len = *at++;
    if (len > PACKETFS_CONTACT_NAME_MAX_BYTES || !packetfs_contact_name_fits((const char *)at, len))
        return hm_fail(error, HM_EPARSE, "the label of a key slot follows no format");
    memcpy(label.who, at, len);
    *out = label;
    return 0;
}

int packetfs_slot_label_open(const struct packetfs_slot *slot, const char *name,
                             const uint8_t volume_key[PACKETFS_KEY_BYTES],
                             struct packetfs_slot_label *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc;

    if (slot->kind != PACKETFS_SLOT_IDENTITY || strcmp(slot->name, name) != 0)
        return hm_fail(error, HM_EAUTH, "the key slot %s has no label, or was renamed", name);
    label_key(volume_key, slot->volume_id, key);
    rc = crypto_open(key, slot->bound, slot->label, &plain, error);
    hm_wipe(key, sizeof(key));
    return rc != 0 ? rc : label_decode(hm_buf_slice(&plain), out, error);
}

/* --- sealing ---------------------------------------------------------------------------------------------------------- */

static int label_seal(const uint8_t *volume_key, const uint8_t *volume_id,
                      const struct packetfs_identity *by, const struct packetfs_contact *to,
                      uint64_t time_ns, const struct hm_random *random, struct hm_buf *front,
                      struct hm_error *error)
{
    uint8_t plain[LABEL_PLAIN_BYTES] = {0}, key[PACKETFS_KEY_BYTES];
    uint8_t bound[BOUND_BYTES];
    size_t len = strlen(to->name);
    uint8_t *at = plain;
    int rc;

    hm_put_be64(at, time_ns);
    memcpy(at + 8, to->id, sizeof(to->id));
    memcpy(at + 8 + sizeof(to->id), by->contact.id, sizeof(by->contact.id));
    at += 8 + sizeof(to->id) + sizeof(by->contact.id);
    *at++ = (uint8_t)len;
    memcpy(at, to->name, len);
    memcpy(bound, front->data, sizeof(bound)); /* front moves when it grows */
    label_key(volume_key, volume_id, key);
    rc = crypto_seal(key, hm_slice_of(bound, sizeof(bound)), hm_slice_of(plain, sizeof(plain)),
                     random, front, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

int packetfs_slot_seal_identity(const uint8_t volume_key[PACKETFS_KEY_BYTES],
                                const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], const char *name,
                                const struct packetfs_identity *by,
                                const struct packetfs_contact *to, uint64_t time_ns,
                                const struct hm_random *random, struct hm_buf *out,
                                struct hm_error *error)
{
    struct hm_buf content = {0};
    uint8_t bound[BOUND_BYTES] = {0};
    size_t before = out->len;
    int rc;

    if (!packetfs_slot_name_fits(name, strlen(name)))
        return hm_fail(error, HM_EINVAL, "a key slot cannot be called %.40s", name);
    packetfs_slot_head(PACKETFS_SLOT_IDENTITY, volume_id, bound);
    memcpy(bound + PACKETFS_SLOT_HEAD_BYTES, name, strlen(name));
    /* Once and for all, so that no copy of the key is left behind by growing. */
    rc = hm_buf_reserve(&content, CONTENT_BYTES);
    if (rc == 0)
        rc = hm_buf_append(&content, bound, sizeof(bound));
    if (rc != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    else
        rc = label_seal(volume_key, volume_id, by, to, time_ns, random, &content, error);
    if (rc == 0 && hm_buf_append(out, content.data, content.len) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    if (rc == 0 && hm_buf_append(&content, volume_key, PACKETFS_KEY_BYTES) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a key slot");
    if (rc == 0)
        rc = packetfs_message_write(by, to, PACKETFS_MESSAGE_KEY, time_ns, hm_buf_slice(&content),
                                    random, out, error);
    if (rc != 0)
        out->len = before;
    if (content.data != NULL)
        hm_wipe(content.data, content.cap);
    hm_buf_release(&content);
    return rc;
}
