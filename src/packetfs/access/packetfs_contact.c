/* The public part of an identity, in bytes and as a text. */
#include "access/packetfs_identity.h"
#include "packetfs_error.h"

static const char armour_begin[] = "-----BEGIN PACKETFS IDENTITY-----\n";
static const char armour_end[] = "-----END PACKETFS IDENTITY-----\n";

#define ARMOUR_LINE_CHARS  76
#define ARMOUR_CHECK_BYTES 8 /* of a hash: against letters lost on the way, not against anybody */
#define CONTACT_KEYS_BYTES                                                             \
    (CRYPTO_ED25519_PUBLIC_BYTES + CRYPTO_MLDSA65_PUBLIC_BYTES + CRYPTO_X25519_BYTES + \
     CRYPTO_MLKEM768_PUBLIC_BYTES)

_Static_assert(2 + PACKETFS_CONTACT_NAME_MAX_BYTES + CONTACT_KEYS_BYTES <=
                   PACKETFS_CONTACT_MAX_BYTES,
               "a contact fits");
_Static_assert(sizeof(struct crypto_root_public) ==
                       CRYPTO_ED25519_PUBLIC_BYTES + CRYPTO_MLDSA65_PUBLIC_BYTES &&
                   sizeof(struct crypto_kem_public) ==
                       CRYPTO_X25519_BYTES + CRYPTO_MLKEM768_PUBLIC_BYTES,
               "keys have no holes between them");

/* What a terminal obeys, or what makes text run the other way: a stranger's name is shown to people. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

bool packetfs_contact_name_fits(const char *name, size_t len)
{
    uint32_t code;
    size_t step;

    if (len > PACKETFS_CONTACT_NAME_MAX_BYTES)
        return false;
    for (; len > 0; name += step, len -= step) {
        step = hm_utf8_step(name, len, &code);
        if (step == 0 || is_control(code))
            return false;
    }
    return true;
}

int packetfs_contact_id_text(const uint8_t id[CRYPTO_HASH_BYTES],
                             char out[PACKETFS_CONTACT_ID_CHARS + 1])
{
    char text[HM_BECH32_MAX_CHARS + 1];
    int rc = hm_bech32_encode("pfi", id, CRYPTO_HASH_BYTES, text);

    if (rc == 0)
        memcpy(out, text, PACKETFS_CONTACT_ID_CHARS + 1);
    return rc;
}

static int contact_finish(struct packetfs_contact *contact)
{
    const struct hm_slice parts[] = {hm_slice_of(&contact->sign, sizeof(contact->sign)),
                                     hm_slice_of(&contact->seal, sizeof(contact->seal))};

    crypto_hash_parts("hypermesh packetfs 1 identity", parts, HM_COUNT_OF(parts), contact->id);
    return packetfs_contact_id_text(contact->id, contact->id_text);
}

int packetfs_contact_encode(const struct packetfs_contact *contact, struct hm_buf *out)
{
    const uint8_t head[2] = {PACKETFS_CONTACT_VERSION, (uint8_t)strlen(contact->name)};
    int rc = hm_buf_append(out, head, sizeof(head));

    if (rc == 0)
        rc = hm_buf_append(out, contact->name, strlen(contact->name));
    if (rc == 0)
        rc = hm_buf_append(out, &contact->sign, sizeof(contact->sign));
    return rc != 0 ? rc : hm_buf_append(out, &contact->seal, sizeof(contact->seal));
}

int packetfs_contact_take(struct hm_slice *in, struct packetfs_contact *out, struct hm_error *error)
{
    struct packetfs_contact contact = {.name = ""};
    size_t name_len;

    if (in->len < 2)
        return hm_fail(error, HM_EPARSE, "an identity's public part is cut short");
    if (in->data[0] != PACKETFS_CONTACT_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "an identity's public part is of version %u; this program knows %u",
                       in->data[0], PACKETFS_CONTACT_VERSION);
    name_len = in->data[1];
    if (in->len < 2 + name_len + CONTACT_KEYS_BYTES)
        return hm_fail(error, HM_EPARSE, "an identity's public part is cut short");
    if (!packetfs_contact_name_fits((const char *)in->data + 2, name_len))
        return hm_fail(error, HM_EPARSE, "an identity's name is not a line of at most %u bytes",
                       PACKETFS_CONTACT_NAME_MAX_BYTES);
    const uint8_t *at = in->data + 2;
    memcpy(contact.name, at, name_len);
    at += name_len;
    memcpy(&contact.sign, at, sizeof(contact.sign));
    at += sizeof(contact.sign);
    memcpy(&contact.seal, at, sizeof(contact.seal));
    at += sizeof(contact.seal);
    if (contact_finish(&contact) != 0)
        return hm_fail(error, HM_EINTERNAL, "an identity has no id");
    *in = hm_slice_of(at, in->len - (size_t)(at - in->data));
    *out = contact;
    return 0;
}

/* --- text --- */

static void check_of(struct hm_slice bytes, uint8_t out[ARMOUR_CHECK_BYTES])
{
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash_parts("hypermesh packetfs 1 identity text", &bytes, 1, hash);
    memcpy(out, hash, ARMOUR_CHECK_BYTES);
}

static int text_of(const struct packetfs_contact *contact, struct hm_buf *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf letters = {0};
    uint8_t check[ARMOUR_CHECK_BYTES];
    int rc = packetfs_contact_encode(contact, &bytes);

    if (rc != 0)
        return rc;
    check_of(hm_buf_slice(&bytes), check);
    rc = hm_buf_append(&bytes, check, sizeof(check));
    if (rc == 0)
        rc = hm_base64_encode(bytes.data, bytes.len, &letters);
    if (rc == 0)
        rc = hm_buf_append_str(out, armour_begin);
    for (size_t at = 0; at < letters.len && rc == 0; at += ARMOUR_LINE_CHARS) {
        size_t len = letters.len - at < ARMOUR_LINE_CHARS ? letters.len - at : ARMOUR_LINE_CHARS;
        rc = hm_buf_append(out, letters.data + at, len);
        if (rc == 0)
            rc = hm_buf_append(out, "\n", 1);
    }
    return rc != 0 ? rc : hm_buf_append_str(out, armour_end);
}

/* What lies between the two lines, without its line ends. */
static int letters_of(struct hm_slice text, struct hm_buf *out, struct hm_error *error)
{
    size_t begin_len = strlen(armour_begin) - 1, end_len = strlen(armour_end) - 1;
    const uint8_t *begin = text.len > 0 ? memmem(text.data, text.len, armour_begin, begin_len)
                                        : NULL;
    const uint8_t *end;

    if (begin == NULL)
        return hm_fail(error, HM_EPARSE, "there is no line \"%.*s\"", (int)begin_len, armour_begin);
    begin += begin_len;
    end = memmem(begin, text.len - (size_t)(begin - text.data), armour_end, end_len);
    if (end == NULL)
        return hm_fail(error, HM_EPARSE, "the identity has no end");
    for (; begin < end; begin++)
        if (*begin != '\n' && *begin != '\r' && *begin != ' ' && hm_buf_append(out, begin, 1) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for an identity");
    return 0;
}

int packetfs_contact_read(struct hm_slice text, struct packetfs_contact *out,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf letters = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct packetfs_contact contact;
    uint8_t check[ARMOUR_CHECK_BYTES];
    int rc;

    if (text.len > PACKETFS_CONTACT_TEXT_MAX)
        return hm_fail(error, HM_EPARSE, "an identity has at most %u letters",
                       PACKETFS_CONTACT_TEXT_MAX);
    rc = letters_of(text, &letters, error);
    if (rc == 0)
        rc = hm_base64_decode((const char *)letters.data, letters.len, &bytes, error);
    if (rc != 0)
        return rc;
    if (bytes.len < ARMOUR_CHECK_BYTES)
        return hm_fail(error, HM_EPARSE, "the identity is cut short");
    struct hm_slice in = hm_slice_of(bytes.data, bytes.len - ARMOUR_CHECK_BYTES);
    check_of(in, check);
    if (memcmp(check, bytes.data + in.len, sizeof(check)) != 0)
        return hm_fail(error, HM_EPARSE, "the identity was changed on the way: letters are wrong");
    rc = packetfs_contact_take(&in, &contact, error);
    if (rc == 0 && in.len > 0)
        rc = hm_fail(error, HM_EPARSE, "the identity has something behind it");
    if (rc == 0)
        *out = contact;
    return rc;
}

/* --- the public face --- */

int packetfs_contact_print(const struct packetfs_contact *contact, char **text,
                           struct packetfs_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    if (text_of(contact, &out) != 0 || hm_buf_append(&out, "", 1) != 0)
        return hm_fail(packetfs_error_own(error), HM_ENOMEM, "no memory for an identity");
    *text = (char *)HM_TAKE(out.data);
    out = (struct hm_buf){0};
    return 0;
}

int packetfs_contact_parse(struct packetfs_bytes text, struct packetfs_contact **out,
                           struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct packetfs_contact *contact = hm_calloc(1, sizeof(*contact));
    int rc;

    if (contact == NULL)
        return hm_fail(own, HM_ENOMEM, "no memory for an identity");
    rc = packetfs_contact_read(hm_slice_of(text.data, text.len), contact, own);
    if (rc != 0)
        hm_free(contact);
    else
        *out = contact;
    return rc;
}

void packetfs_contact_close(struct packetfs_contact *contact)
{
    hm_free(contact);
}

const char *packetfs_contact_id(const struct packetfs_contact *contact)
{
    return contact->id_text;
}

const char *packetfs_contact_name(const struct packetfs_contact *contact)
{
    return contact->name;
}
