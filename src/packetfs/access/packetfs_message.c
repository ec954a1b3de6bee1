#include "access/packetfs_message.h"

#include "packetfs_error.h"

static const char message_magic[8] = {'P', 'F', 'S', 'M', 'S', 'G', '1', '\n'};

#define MESSAGE_HEAD_BYTES  (sizeof(message_magic) + sizeof(struct crypto_kem_ciphertext))
#define MESSAGE_CLASS_FIRST ((size_t)16 << 10)
#define MESSAGE_CLASS_STEP  ((size_t)1 << 20)
#define MESSAGE_FIXED_BYTES (1 + 8 + 4) /* kind, time, length */

_Static_assert(sizeof(struct crypto_kem_ciphertext) ==
                       CRYPTO_X25519_BYTES + CRYPTO_MLKEM768_CIPHERTEXT_BYTES &&
                   sizeof(struct crypto_root_signature) ==
                       CRYPTO_ED25519_SIGNATURE_BYTES + CRYPTO_MLDSA65_SIGNATURE_BYTES,
               "no holes");

/* The length of the whole file that has at least this much to say. */
static size_t size_class(size_t len)
{
    size_t size = MESSAGE_CLASS_FIRST;

    while (size < len && size < MESSAGE_CLASS_STEP)
        size *= 2;
    return size >= len ? size
                       : (len + MESSAGE_CLASS_STEP - 1) / MESSAGE_CLASS_STEP * MESSAGE_CLASS_STEP;
}

/* What the sender puts his name to: for whom it is, under which seal, and all of it. So nobody can seal it again to somebody else as
 * if it had been for him. */
static void signed_hash(const struct packetfs_contact *to, struct hm_slice head,
                        const struct packetfs_message_parts *parts, uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t kind = (uint8_t)parts->kind;
    uint8_t time[8];
    const struct hm_slice list[] = {
        {to->id, sizeof(to->id)},
        {parts->from.id, sizeof(parts->from.id)},
        head,
        {&kind, 1},
        {time, sizeof(time)},
        parts->content,
    };

    hm_put_be64(time, parts->time_ns);
    crypto_hash_parts("hypermesh packetfs 1 message signed", list, HM_COUNT_OF(list), out);
}

static void seal_key(const uint8_t shared[CRYPTO_KEY_BYTES], uint8_t out[CRYPTO_SEAL_KEY_BYTES])
{
    crypto_derive("hypermesh packetfs 1 message seal", shared, (struct hm_slice){0}, out);
}

/* --- writing --- */

static int write_inside(const struct packetfs_message_parts *parts,
                        const struct crypto_root_signature *signature, struct hm_buf *out)
{
    uint8_t head[MESSAGE_FIXED_BYTES];
    int rc;

    head[0] = (uint8_t)parts->kind;
    hm_put_be64(head + 1, parts->time_ns);
    hm_put_be32(head + 9, (uint32_t)parts->content.len);
    rc = hm_buf_append(out, head, sizeof(head));
    if (rc == 0)
        rc = packetfs_contact_encode(&parts->from, out);
    if (rc == 0)
        rc = hm_buf_append(out, signature, sizeof(*signature));
    if (rc == 0 && parts->content.len > 0)
        rc = hm_buf_append(out, parts->content.data, parts->content.len);
    if (rc != 0)
        return rc;
    size_t have = MESSAGE_HEAD_BYTES + CRYPTO_SEAL_OVERHEAD_BYTES + out->len;
    size_t pad = size_class(have) - have;
    rc = hm_buf_reserve(out, pad);
    if (rc == 0) {
        memset(out->data + out->len, 0, pad);
        out->len += pad;
    }
    return rc;
}

static int write_sealed(const struct packetfs_identity *from, const struct packetfs_contact *to,
                        const struct packetfs_message_parts *parts,
                        const uint8_t key[CRYPTO_SEAL_KEY_BYTES], struct hm_slice head,
                        const struct hm_random *random, struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf inside = {0};
    struct crypto_root_signature signature;
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    signed_hash(to, head, parts, hash);
    rc = crypto_root_sign(from->sign, hash, sizeof(hash), &signature, error);
    if (rc != 0)
        return rc;
    /* Once and for all, so that no copy of what is secret is left behind by growing. */
    size_t room = size_class(MESSAGE_HEAD_BYTES + CRYPTO_SEAL_OVERHEAD_BYTES + MESSAGE_FIXED_BYTES +
                             PACKETFS_CONTACT_MAX_BYTES + sizeof(signature) + parts->content.len);
    if (hm_buf_reserve(&inside, room) != 0 || write_inside(parts, &signature, &inside) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a message of %zu bytes",
                       parts->content.len);
    if (hm_buf_append(out, head.data, head.len) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a message of %zu bytes", parts->content.len);
    else
        rc = crypto_seal(key, head, hm_buf_slice(&inside), random, out, error);
    hm_wipe(inside.data, inside.len);
    return rc;
}

int packetfs_message_write(const struct packetfs_identity *from, const struct packetfs_contact *to,
                           enum packetfs_message_kind kind, uint64_t time_ns,
                           struct hm_slice content, const struct hm_random *random,
                           struct hm_buf *out, struct hm_error *error)
{
    const struct packetfs_message_parts parts = {
        .kind = kind, .time_ns = time_ns, .from = from->contact, .content = content};
    struct crypto_kem_ciphertext ciphertext;
    uint8_t shared[CRYPTO_KEY_BYTES], key[CRYPTO_SEAL_KEY_BYTES];
    uint8_t head[MESSAGE_HEAD_BYTES];
    size_t before = out->len;
    int rc;

    if (content.len > PACKETFS_MESSAGE_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "a message has at most %zu bytes, not %zu",
                       PACKETFS_MESSAGE_MAX_BYTES, content.len);
    rc = crypto_kem_seal(&to->seal, random, &ciphertext, shared, error);
    if (rc != 0)
        return rc;
    memcpy(head, message_magic, sizeof(message_magic));
    memcpy(head + sizeof(message_magic), &ciphertext, sizeof(ciphertext));
    seal_key(shared, key);
    rc = write_sealed(from, to, &parts, key, hm_slice_of(head, sizeof(head)), random, out, error);
    if (rc != 0)
        out->len = before;
    hm_wipe(shared, sizeof(shared));
    hm_wipe(key, sizeof(key));
    return rc;
}

/* --- reading --- */

int packetfs_message_parse_inside(struct hm_slice plain, struct packetfs_message_inside *out,
                                  struct hm_error *error)
{
    struct packetfs_message_inside inside;
    size_t content_len;
    int rc;

    if (plain.len < MESSAGE_FIXED_BYTES)
        return hm_fail(error, HM_EPARSE, "a message is cut short");
    if (plain.data[0] < PACKETFS_MESSAGE_TEXT || plain.data[0] > PACKETFS_MESSAGE_HANDOVER)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "a message is of kind %u, which this program does not know", plain.data[0]);
    inside.parts.kind = (enum packetfs_message_kind)plain.data[0];
    inside.parts.time_ns = hm_get_be64(plain.data + 1);
    content_len = hm_get_be32(plain.data + 9);
    plain = hm_slice_of(plain.data + MESSAGE_FIXED_BYTES, plain.len - MESSAGE_FIXED_BYTES);
    rc = packetfs_contact_take(&plain, &inside.parts.from, error);
    if (rc != 0)
        return rc;
    if (plain.len < sizeof(inside.signature) ||
        plain.len - sizeof(inside.signature) < content_len ||
        content_len > PACKETFS_MESSAGE_MAX_BYTES)
        return hm_fail(error, HM_EPARSE, "a message is shorter than it says");
    memcpy(&inside.signature, plain.data, sizeof(inside.signature));
    inside.parts.content = hm_slice_of(plain.data + sizeof(inside.signature), content_len);
    for (size_t i = sizeof(inside.signature) + content_len; i < plain.len; i++)
        if (plain.data[i] != 0)
            return hm_fail(error, HM_EPARSE, "a message has something behind its end");
    *out = inside;
    return 0;
}

/* Opens the seal into plain. */
static int unseal(const struct packetfs_identity *identity, struct hm_slice sealed,
                  struct hm_buf *plain, struct hm_error *error)
{
    const struct hm_slice head = hm_slice_of(sealed.data, MESSAGE_HEAD_BYTES);
    struct crypto_kem_ciphertext ciphertext;
    uint8_t shared[CRYPTO_KEY_BYTES], key[CRYPTO_SEAL_KEY_BYTES];
    int rc;

    memcpy(&ciphertext, sealed.data + sizeof(message_magic), sizeof(ciphertext));
    rc = crypto_kem_open(identity->seal, &ciphertext, shared, error);
    if (rc == 0) {
        seal_key(shared, key);
        rc = crypto_open(key, head, hm_slice_of(sealed.data + head.len, sealed.len - head.len),
                         plain, NULL);
        if (rc == HM_EAUTH)
            rc = hm_fail(error, HM_EAUTH,
                         "the message is not for this identity, or was changed on the way");
        else if (rc != 0)
            rc = hm_fail(error, rc, "no memory for a message of %zu bytes", sealed.len);
    }
    hm_wipe(shared, sizeof(shared));
    hm_wipe(key, sizeof(key));
    return rc;
}

int packetfs_message_read(const struct packetfs_identity *identity, struct hm_slice sealed,
                          struct hm_buf *plain, struct packetfs_message_parts *out,
                          struct hm_error *error)
{
    struct packetfs_message_inside inside;
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    hm_buf_clear(plain);
    if (sealed.len < sizeof(message_magic) ||
        memcmp(sealed.data, message_magic, sizeof(message_magic)) != 0)
        return hm_fail(error, HM_EPARSE, "this is no message");
    if (sealed.len < MESSAGE_HEAD_BYTES + CRYPTO_SEAL_OVERHEAD_BYTES ||
        sealed.len != size_class(sealed.len))
        return hm_fail(error, HM_EPARSE,
                       "the message is cut short, or has something behind its end");
    rc = unseal(identity, sealed, plain, error);
    if (rc == 0)
        rc = packetfs_message_parse_inside(hm_buf_slice(plain), &inside, error);
    if (rc != 0)
        return rc;
    signed_hash(&identity->contact, hm_slice_of(sealed.data, MESSAGE_HEAD_BYTES), &inside.parts,
                hash);
    rc = crypto_root_verify(&inside.parts.from.sign, hash, sizeof(hash), &inside.signature, error);
    if (rc != 0)
        return rc == HM_EAUTH ? hm_error_prefix(error, rc, "the message is not signed by %s",
                                                inside.parts.from.id_text)
                              : rc;
    *out = inside.parts;
    return 0;
}

/* --- the public face --- */

int packetfs_message_seal(const struct packetfs_identity *from, const struct packetfs_contact *to,
                          struct packetfs_bytes content, uint8_t **out, size_t *len,
                          struct packetfs_error *error)
{
    struct hm_buf sealed = {0};
    int rc = packetfs_message_write(from, to, PACKETFS_MESSAGE_TEXT,
                                    hm_wall_ms(hm_clock_system()) * 1000000u,
                                    hm_slice_of(content.data, content.len), hm_random_system(),
                                    &sealed, packetfs_error_own(error));

    if (rc != 0) {
        hm_buf_release(&sealed);
        return rc;
    }
    *out = sealed.data;
    *len = sealed.len;
    return 0;
}

int packetfs_message_open(const struct packetfs_identity *identity, struct packetfs_bytes sealed,
                          struct packetfs_message *out, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_message message = {.time_ns = 0};
    struct packetfs_message_parts parts;
    struct hm_buf plain = {0};
    int rc = packetfs_message_read(identity, hm_slice_of(sealed.data, sealed.len), &plain, &parts,
                                   own);

    if (rc == 0 && parts.kind == PACKETFS_MESSAGE_KEY)
        rc = hm_fail(own, HM_EPARSE, "this message is a way into a volume: it belongs in a slot");
    if (rc == 0 && parts.kind == PACKETFS_MESSAGE_HANDOVER)
        rc = hm_fail(own, HM_EPARSE, "this message belongs to a handover: packetfs receive");
    if (rc == 0) {
        message.kind = parts.kind;
        message.time_ns = parts.time_ns;
        memcpy(message.from_id, parts.from.id_text, sizeof(message.from_id));
        memcpy(message.from_name, parts.from.name, sizeof(message.from_name));
        message.content = hm_malloc(parts.content.len + 1);
        message.content_len = parts.content.len;
        if (message.content == NULL)
            rc = hm_fail(own, HM_ENOMEM, "no memory for a message");
    }
    if (rc == 0) {
        memcpy(message.content, parts.content.data, parts.content.len);
        message.content[parts.content.len] = 0;
        *out = message;
    }
    hm_wipe(plain.data, plain.cap);
    hm_buf_release(&plain);
    return rc;
}

void packetfs_message_release(struct packetfs_message *message)
{
    if (message->content != NULL)
        hm_wipe(message->content, message->content_len);
    hm_free(message->content);
    *message = (struct packetfs_message){.content = NULL};
}
