/* The blob that a client keeps to resume a connection: one version byte, then ticket, transport parameters and address
 * token, each a big-endian 32-bit length and that many bytes, and nothing after them. */
#include "stoq_tls.h"

#define STOQ_SESSION_VERSION     1
#define STOQ_SESSION_FIELDS      3
#define STOQ_SESSION_FIELD_BYTES 4 /* of a length */

static uint8_t *put_field(uint8_t *at, struct stoq_bytes field)
{
    hm_put_be32(at, (uint32_t)field.len);
    at += STOQ_SESSION_FIELD_BYTES;
    if (field.len > 0)
        memcpy(at, field.data, field.len);
    return at + field.len;
}

int stoq_session_pack(const struct stoq_session *session, uint8_t **out, size_t *out_len)
{
    const size_t frame = 1 + STOQ_SESSION_FIELDS * STOQ_SESSION_FIELD_BYTES;
    const struct stoq_bytes *fields[STOQ_SESSION_FIELDS] = {&session->ticket, &session->parameters,
                                                            &session->token};
    size_t left = STOQ_SESSION_BYTES_MAX - frame;
    for (size_t i = 0; i < STOQ_SESSION_FIELDS; i++) {
        if (fields[i]->len > left)
            return STOQ_ELIMIT;
        left -= fields[i]->len;
    }
    size_t len = STOQ_SESSION_BYTES_MAX - left;
    uint8_t *packed = hm_malloc(len);
    if (packed == NULL)
        return STOQ_ENOMEM;
    uint8_t *at = packed;
    *at++ = STOQ_SESSION_VERSION;
    for (size_t i = 0; i < STOQ_SESSION_FIELDS; i++)
        at = put_field(at, *fields[i]);
    *out = packed;
    *out_len = len;
    return 0;
}

static int take_field(struct stoq_bytes *rest, struct stoq_bytes *out)
{
    if (rest->len < STOQ_SESSION_FIELD_BYTES)
        return STOQ_EPARSE;
    uint32_t len = hm_get_be32(rest->data);
    if (len > rest->len - STOQ_SESSION_FIELD_BYTES)
        return STOQ_EPARSE;
    *out = (struct stoq_bytes){rest->data + STOQ_SESSION_FIELD_BYTES, len};
    rest->data += STOQ_SESSION_FIELD_BYTES + len;
    rest->len -= STOQ_SESSION_FIELD_BYTES + len;
    return 0;
}

int stoq_session_parse(struct stoq_bytes packed, struct stoq_session *out)
{
    if (packed.len == 0 || packed.len > STOQ_SESSION_BYTES_MAX ||
        packed.data[0] != STOQ_SESSION_VERSION)
        return STOQ_EPARSE;
    struct stoq_bytes rest = {packed.data + 1, packed.len - 1};
    struct stoq_session session;
    if (take_field(&rest, &session.ticket) != 0 || take_field(&rest, &session.parameters) != 0 ||
        take_field(&rest, &session.token) != 0 || rest.len != 0 || session.ticket.len == 0)
        return STOQ_EPARSE;
    *out = session;
    return 0;
}
