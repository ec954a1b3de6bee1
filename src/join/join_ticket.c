#include "join_ticket.h"

#include <arpa/inet.h>

#define TICKET_CONTEXT "hypermesh 1 join ticket" /* its NUL is signed too */

/* --- addresses ------------------------------------------------------------------------------------------- */

int join_ticket_address_text(const Hypermesh__Cluster__JoinAddress *address, struct hm_buf *out)
{
    bool six = address->ip.len == sizeof(struct in6_addr);
    char text[INET6_ADDRSTRLEN];

    if (inet_ntop(six ? AF_INET6 : AF_INET, address->ip.data, text, sizeof(text)) == NULL)
        return HM_ENOMEM;
    return hm_buf_printf(out, six ? "[%s]:%u" : "%s:%u", text, address->port);
}

/* Where "1.2.3.4" or "[::1]" ends; NULL: no port follows. */
static const char *address_colon(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon == NULL || colon == text || (text[0] == '[') != (colon[-1] == ']') ? NULL : colon;
}

int join_ticket_address_parse(const char *text, struct hm_arena *arena,
                              Hypermesh__Cluster__JoinAddress *out, struct hm_error *error)
{
    static const uint8_t nowhere[sizeof(struct in6_addr)] = {0};
    const char *colon = address_colon(text);
    uint8_t ip[sizeof(struct in6_addr)];
    size_t skip = text[0] == '[';
    uint64_t port = 0;
    char host[INET6_ADDRSTRLEN + 1];

    if (colon == NULL || (size_t)(colon - text) - 2 * skip >= sizeof(host) ||
        hm_u64_parse(colon + 1, &port, NULL) != 0 || port == 0 || port > UINT16_MAX)
        return hm_fail(error, HM_EINVAL,
                       "'%.100s' is not ADDRESS:PORT (192.0.2.7:7471, [fd00::7]:7471)", text);
    memcpy(host, text + skip, (size_t)(colon - text) - 2 * skip);
    host[(size_t)(colon - text) - 2 * skip] = '\0';
    size_t len = skip ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    if (inet_pton(skip ? AF_INET6 : AF_INET, host, ip) != 1)
        return hm_fail(error, HM_EINVAL,
                       "'%.100s' is no address in numbers: names are not looked up", host);
    if (memcmp(ip, nowhere, len) == 0)
        return hm_fail(error, HM_EINVAL,
                       "'%.100s' is every address of this machine: say one that "
                       "the newcomer can reach",
                       text);
    uint8_t *kept = hm_arena_alloc(arena, len);
    if (kept == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an address");
    memcpy(kept, ip, len);
    hypermesh__cluster__join_address__init(out);
    out->ip = wire_bytes(kept, len);
    out->port = (uint32_t)port;
    return 0;
}

int join_ticket_sockaddr(const Hypermesh__Cluster__JoinAddress *address, struct sockaddr_in6 *out,
                         struct hm_error *error)
{
    struct sockaddr_in6 found = {.sin6_family = AF_INET6,
                                 .sin6_port = htons((uint16_t)address->port)};
    size_t len = address->ip.len;

    if ((len != 4 && len != sizeof(found.sin6_addr)) || address->port == 0 ||
        address->port > UINT16_MAX)
        return hm_fail(error, HM_EPARSE, "an address of the member is malformed");
    if (len == 4)
        found.sin6_addr.s6_addr[10] = found.sin6_addr.s6_addr[11] = 0xff;
    memcpy(found.sin6_addr.s6_addr + sizeof(found.sin6_addr) - len, address->ip.data, len);
    *out = found;
    return 0;
}

/* --- what a ticket must be -------------------------------------------------------------------------------- */

static bool ticket_addresses_fit(const Hypermesh__Cluster__JoinTicket *ticket)
{
    if (ticket->n_addresses == 0 || ticket->n_addresses > JOIN_TICKET_ADDRESSES_MAX)
        return false;
    for (size_t i = 0; i < ticket->n_addresses; i++) {
        const Hypermesh__Cluster__JoinAddress *address = ticket->addresses[i];

        if ((address->ip.len != 4 && address->ip.len != 16) || address->port == 0 ||
            address->port > UINT16_MAX)
            return false;
    }
    return true;
}

/* Of ours, and so short that no text of it needs cutting. */
static bool ticket_chain_fits(const char *chain_id)
{
    size_t len = strlen(chain_id);

    for (size_t i = 0; i < len; i++)
        if (chain_id[i] <= ' ' || chain_id[i] > '~')
            return false;
    return len > 0 && len <= JOIN_TICKET_CHAIN_MAX;
}

static bool ticket_fits(const Hypermesh__Cluster__JoinTicket *ticket)
{
    return ticket_chain_fits(ticket->chain_id) && ticket_addresses_fit(ticket) &&
           ticket->genesis_hash.len == CRYPTO_HASH_BYTES && ticket->trust_height > 0 &&
           ticket->trust_height <= INT64_MAX && ticket->trust_hash.len == CRYPTO_HASH_BYTES &&
           ticket->id.len == JOIN_TICKET_ID_BYTES &&
           ticket->secret.len == JOIN_TICKET_SECRET_BYTES &&
           ticket->issuer.len == CRYPTO_ED25519_PUBLIC_BYTES && ticket->expires_ms > 0 &&
           (ticket->role == HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_FULL ||
            ticket->role == HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR);
}

/* What is signed: never the hash of something, so that no signature of another protocol under this key is one. */
static int ticket_signed_bytes(struct hm_slice ticket, struct hm_buf *out, struct hm_error *error)
{
    if (hm_buf_append(out, TICKET_CONTEXT, sizeof(TICKET_CONTEXT)) != 0 ||
        hm_buf_append(out, ticket.data, ticket.len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a join ticket");
    return 0;
}

static void ticket_buf_release(struct hm_buf *buf)
{
    if (buf->data != NULL)
        hm_wipe(buf->data, buf->cap);
    hm_buf_release(buf);
}

/* --- writing ---------------------------------------------------------------------------------------------- */

int join_ticket_write(Hypermesh__Cluster__JoinTicket *ticket,
                      const struct crypto_ed25519_key *issuer, struct hm_buf *out,
                      struct hm_error *error)
{
    Hypermesh__Cluster__SignedJoinTicket whole = HYPERMESH__CLUSTER__SIGNED_JOIN_TICKET__INIT;
    HM_CLEANUP(ticket_buf) struct hm_buf packed = {0};
    HM_CLEANUP(ticket_buf) struct hm_buf message = {0};
    HM_CLEANUP(ticket_buf) struct hm_buf bytes = {0};
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    int rc;

    ticket->version = JOIN_TICKET_VERSION;
    ticket->issuer = wire_bytes(issuer->public_key, sizeof(issuer->public_key));
    if (!ticket_fits(ticket))
        return hm_fail(error, HM_EINVAL, "a join ticket cannot be made of this");
    if (wire_pack(&ticket->base, &packed) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a join ticket");
    rc = ticket_signed_bytes(hm_buf_slice(&packed), &message, error);
    if (rc != 0)
        return rc;
    crypto_ed25519_sign(issuer, message.data, message.len, signature);
    whole.ticket = wire_bytes(packed.data, packed.len);
    whole.signature = wire_bytes(signature, sizeof(signature));
    rc = wire_pack(&whole.base, &bytes);
    if (rc == 0 && bytes.len > JOIN_TICKET_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the join ticket is longer than %d bytes",
                       JOIN_TICKET_MAX_BYTES);
    if (rc == 0)
        rc = hm_bech32_encode_long(JOIN_TICKET_PREFIX, hm_buf_slice(&bytes), out);
    return rc != 0 ? hm_fail(error, rc, "no memory for a join ticket") : 0;
}

/* --- reading ---------------------------------------------------------------------------------------------- */

static const char *ticket_trimmed(const char *text, size_t *len)
{
    static const char space[] = " \t\r\n";

    text += strspn(text, space);
    *len = strnlen(text, HM_BECH32_LONG_MAX_CHARS + sizeof(space));
    while (*len > 0 && strchr(space, text[*len - 1]) != NULL)
        (*len)--;
    return text;
}

static int ticket_decode(const char *text, struct hm_buf *out, struct hm_error *error)
{
    struct hm_error why = {0};
    size_t len = 0;
    const char *begin = ticket_trimmed(text, &len);

    if (len < sizeof(JOIN_TICKET_PREFIX) ||
        strncasecmp(begin, JOIN_TICKET_PREFIX "1", sizeof(JOIN_TICKET_PREFIX)) != 0)
        return hm_fail(error, HM_EPARSE,
                       "this is no join ticket: one begins with " JOIN_TICKET_PREFIX "1");
    if (len > HM_BECH32_LONG_MAX_CHARS)
        return hm_fail(error, HM_EPARSE, "this join ticket is longer than any");
    char *copy = hm_strndup(begin, len);
    if (copy == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a join ticket");
    int rc = hm_bech32_decode_long(JOIN_TICKET_PREFIX, copy, out, &why);
    hm_wipe(copy, len);
    hm_free(copy);
    return rc == 0 ? 0
           : rc == HM_ENOMEM
               ? hm_fail(error, rc, "no memory for a join ticket")
               : hm_fail(error, HM_EPARSE,
                         "this join ticket was mistyped or cut: copy it once more, whole");
}

static int ticket_unsign(struct hm_slice bytes, struct hm_arena *arena,
                         Hypermesh__Cluster__JoinTicket **out, struct hm_error *error)
{
    Hypermesh__Cluster__SignedJoinTicket *whole;
    HM_CLEANUP(ticket_buf) struct hm_buf message = {0};
    Hypermesh__Cluster__JoinTicket *ticket;
    int rc = WIRE_UNPACK(hypermesh__cluster__signed_join_ticket, bytes, JOIN_TICKET_MAX_BYTES,
                         arena, &whole, NULL);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__cluster__join_ticket, wire_slice(whole->ticket),
                         JOIN_TICKET_MAX_BYTES, arena, &ticket, NULL);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory for a join ticket");
    if (rc == 0 && ticket->version != JOIN_TICKET_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "this join ticket has version %u, and this program knows version %d",
                       ticket->version, JOIN_TICKET_VERSION);
    if (rc != 0 || !ticket_fits(ticket) || whole->signature.len != CRYPTO_ED25519_SIGNATURE_BYTES)
        return hm_fail(error, HM_EPARSE, "this join ticket is malformed");
    rc = ticket_signed_bytes(wire_slice(whole->ticket), &message, error);
    if (rc != 0)
        return rc;
    if (crypto_ed25519_verify(ticket->issuer.data, message.data, message.len,
                              whole->signature.data) != 0)
        return hm_fail(error, HM_EAUTH,
                       "this join ticket was changed after it was issued: its signature is not for "
                       "what it says");
    *out = ticket;
    return 0;
}

int join_ticket_read(const char *text, struct hm_arena *arena, Hypermesh__Cluster__JoinTicket **out,
                     struct hm_error *error)
{
    HM_CLEANUP(ticket_buf) struct hm_buf bytes = {0};
    int rc = ticket_decode(text, &bytes, error);

    return rc != 0 ? rc : ticket_unsign(hm_buf_slice(&bytes), arena, out, error);
}
