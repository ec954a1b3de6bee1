/* Certificates as bytes, and the data of tickets: version, issued (8), proven (8), id (16), context (8), number of
 * certificates after the leaf (1), each a 32-bit length and DER. */
#include "stoq_tls_chain.h"

#define STOQ_TICKET_DATA_VERSION 2
#define STOQ_TICKET_HEAD_BYTES   (1 + 8 + 8 + STOQ_REPLAY_ID_BYTES + STOQ_TICKET_CONTEXT_BYTES + 1)

void stoq_chain_release(struct stoq_chain *chain)
{
    hm_free(chain->data);
    *chain = (struct stoq_chain){0};
}

int stoq_chain_of_bytes(struct stoq_chain *chain, const struct stoq_bytes *list, size_t count)
{
    struct stoq_chain made = {0};
    size_t len = 0;
    if (count > STOQ_CHAIN_CERTIFICATES_MAX)
        return STOQ_ELIMIT;
    for (size_t i = 0; i < count; i++)
        len += list[i].len;
    if (len > 0) {
        made.data = hm_malloc(len);
        if (made.data == NULL)
            return STOQ_ENOMEM;
    }
    for (uint8_t *at = made.data; made.count < count; made.count++) {
        struct stoq_bytes item = list[made.count];
        if (item.len > 0)
            memcpy(at, item.data, item.len);
        made.list[made.count] = (struct stoq_bytes){at, item.len};
        at += item.len;
    }
    stoq_chain_release(chain); /* only now: list may point into it */
    *chain = made;
    return 0;
}

/* The leaf, then what of rest is not the leaf itself at its head. */
static int encode_all(X509 *leaf, STACK_OF(X509) * rest, uint8_t **encoded, struct stoq_bytes *list,
                      size_t *count)
{
    int from = rest != NULL && sk_X509_num(rest) > 0 && sk_X509_value(rest, 0) == leaf ? 1 : 0;
    int extra = rest == NULL ? 0 : sk_X509_num(rest) - from;
    if (extra + 1 > STOQ_CHAIN_CERTIFICATES_MAX)
        return STOQ_ELIMIT;
    for (int i = 0; i < extra + 1; i++) {
        X509 *cert = i == 0 ? leaf : sk_X509_value(rest, from + i - 1);
        int len = i2d_X509(cert, &encoded[i]);
        if (len <= 0)
            return STOQ_EINTERNAL;
        list[(*count)++] = (struct stoq_bytes){encoded[i], (size_t)len};
    }
    return 0;
}

int stoq_chain_of_x509(struct stoq_chain *chain, X509 *leaf, STACK_OF(X509) * rest)
{
    uint8_t *encoded[STOQ_CHAIN_CERTIFICATES_MAX] = {NULL};
    struct stoq_bytes list[STOQ_CHAIN_CERTIFICATES_MAX];
    size_t count = 0;
    int rc = leaf == NULL ? 0 : encode_all(leaf, rest, encoded, list, &count);
    if (rc == 0)
        rc = stoq_chain_of_bytes(chain, list, count);
    for (size_t i = 0; i < STOQ_CHAIN_CERTIFICATES_MAX; i++)
        OPENSSL_free(encoded[i]);
    return rc;
}

size_t stoq_ticket_data_write(const struct stoq_ticket_data *ticket, uint8_t *out, size_t capacity)
{
    size_t len = STOQ_TICKET_HEAD_BYTES;
    for (size_t i = 0; i < ticket->rest_count; i++)
        len += 4 + ticket->rest[i].len;
    if (len > capacity)
        return 0;
    uint8_t *at = out;
    *at++ = STOQ_TICKET_DATA_VERSION;
    hm_put_be64(at, ticket->issued_seconds);
    hm_put_be64(at + 8, ticket->proven_seconds);
    at += 16;
    memcpy(at, ticket->id, sizeof(ticket->id));
    at += sizeof(ticket->id);
    memcpy(at, ticket->context, sizeof(ticket->context));
    at += sizeof(ticket->context);
    *at++ = (uint8_t)ticket->rest_count;
    for (size_t i = 0; i < ticket->rest_count; i++) {
        hm_put_be32(at, (uint32_t)ticket->rest[i].len);
        memcpy(at + 4, ticket->rest[i].data, ticket->rest[i].len);
        at += 4 + ticket->rest[i].len;
    }
    return len;
}

int stoq_ticket_data_parse(struct stoq_bytes bytes, struct stoq_ticket_data *out)
{
    struct stoq_ticket_data ticket = {0};
    if (bytes.len < STOQ_TICKET_HEAD_BYTES || bytes.data[0] != STOQ_TICKET_DATA_VERSION)
        return STOQ_EPARSE;
    const uint8_t *at = bytes.data + 1;
    ticket.issued_seconds = hm_get_be64(at);
    ticket.proven_seconds = hm_get_be64(at + 8);
    memcpy(ticket.id, at + 16, sizeof(ticket.id));
    memcpy(ticket.context, at + 16 + sizeof(ticket.id), sizeof(ticket.context));
    ticket.rest_count = bytes.data[STOQ_TICKET_HEAD_BYTES - 1];
    if (ticket.rest_count > STOQ_CHAIN_CERTIFICATES_MAX - 1)
        return STOQ_EPARSE;
    at = bytes.data + STOQ_TICKET_HEAD_BYTES;
    size_t left = bytes.len - STOQ_TICKET_HEAD_BYTES;
    for (size_t i = 0; i < ticket.rest_count; i++) {
        uint32_t len = left >= 4 ? hm_get_be32(at) : 0;
        if (len == 0 || len > left - 4)
            return STOQ_EPARSE;
        ticket.rest[i] = (struct stoq_bytes){at + 4, len};
        at += 4 + len;
        left -= 4 + len;
    }
    if (left != 0)
        return STOQ_EPARSE;
    *out = ticket;
    return 0;
}
