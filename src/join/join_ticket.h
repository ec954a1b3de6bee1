/* Join tickets: what a member of a cluster hands to who is to join it from another machine, and what the member remembers of
 * those it issued. docs/formats-ticket.md. */
#ifndef HM_NODE_TICKET_H
#define HM_NODE_TICKET_H

#include <netinet/in.h>
#include <pthread.h>

#include "base.h"
#include "cluster.pb-c.h"
#include "crypto.h"
#include "wire.h"

#define JOIN_TICKET_VERSION       1
#define JOIN_TICKET_PREFIX        "hmjoin"
#define JOIN_TICKET_ID_BYTES      16
#define JOIN_TICKET_SECRET_BYTES  16
#define JOIN_TICKET_ADDRESSES_MAX 8
#define JOIN_TICKET_CHAIN_MAX     50 /* bytes of a chain's id */
#define JOIN_TICKET_MAX_BYTES     1024 /* packed and signed */
#define JOIN_TICKET_EXPIRES_MS    (UINT64_C(3600) * 1000)
/* The trusted block in it is not believed longer than 20 hours (ENGINE_SYNC_TRUST_MS). */
#define JOIN_TICKET_EXPIRES_MAX_MS (UINT64_C(12) * 3600 * 1000)

/* --- the text, pure ------------------------------------------------------------------------------------- */
/* Signs the ticket with the issuer's key (ticket->issuer is set to it) and appends "hmjoin1...". HM_EINVAL: a member of it that
 * join_ticket_read would refuse. The text is a secret: the caller wipes it. */
int join_ticket_write(Hypermesh__Cluster__JoinTicket *ticket,
                      const struct crypto_ed25519_key *issuer, struct hm_buf *out,
                      struct hm_error *error);
/* Reads one that may be anybody's, with white space around it; everything lies in the arena. HM_EPARSE: no ticket, or mistyped;
 * HM_EAUTH: changed since it was signed; HM_EUNSUPPORTED: of another version. That it is still good only its issuer knows. */
int join_ticket_read(const char *text, struct hm_arena *arena, Hypermesh__Cluster__JoinTicket **out,
                     struct hm_error *error);
/* Appends "ADDRESS:PORT", "[ADDRESS]:PORT". HM_ENOMEM. */
int join_ticket_address_text(const Hypermesh__Cluster__JoinAddress *address, struct hm_buf *out);
/* From that text; ip lies in the arena. HM_EINVAL: no literal address, or none that others could reach. */
int join_ticket_address_parse(const char *text, struct hm_arena *arena,
                              Hypermesh__Cluster__JoinAddress *out, struct hm_error *error);

/* For a socket of the transport: IPv4 as ::ffff:a.b.c.d. HM_EPARSE: it is no address. */
int join_ticket_sockaddr(const Hypermesh__Cluster__JoinAddress *address, struct sockaddr_in6 *out,
                         struct hm_error *error);

/* --- what was issued: DATA/tickets ---------------------------------------------------------------------- */
/* One file, replaced whole: at most JOIN_TICKETS_MAX of them, and those that are of no use for JOIN_TICKETS_KEPT_MS are
 * forgotten. Thread-safe. */
#define JOIN_TICKETS_MAX     256
#define JOIN_TICKETS_KEPT_MS (UINT64_C(7) * 24 * 3600 * 1000)
#define JOIN_TICKETS_BYTES   ((size_t)256 << 10)
/* How long after it was used a ticket's newcomer may read what it needs to begin. */
#define JOIN_TICKET_READ_MS (UINT64_C(24) * 3600 * 1000)

struct join_tickets {
    pthread_mutex_t lock; /* guards what follows */
    const char *path; /* borrowed */
    struct hm_arena arena;
    Hypermesh__Cluster__IssuedTickets *issued; /* NULL: not read yet */
};

void join_tickets_init(struct join_tickets *tickets, const char *path);
void join_tickets_release(struct join_tickets *tickets);
/* Durable when it returns. HM_ELIMIT: too many are open. */
int join_tickets_add(struct join_tickets *tickets, const Hypermesh__Cluster__IssuedTicket *ticket,
                     uint64_t now_ms, struct hm_error *error);
/* In the arena, oldest first. */
int join_tickets_list(struct join_tickets *tickets, struct hm_arena *arena,
                      Hypermesh__Cluster__IssuedTicket ***out, size_t *count,
                      struct hm_error *error);
/* No longer good, for who used it too. HM_ENOTFOUND. Durable when it returns. */
int join_tickets_revoke(struct join_tickets *tickets, struct hm_slice id, struct hm_error *error);
/* Does who asks have the secret of a ticket of this node's? HM_ENOTFOUND, HM_EPARSE. Changes nothing. */
int join_tickets_know(struct join_tickets *tickets, const Hypermesh__Cluster__Redeem *redeem,
                      struct hm_error *error);
/* Uses a ticket up for the newcomer whose engine node has this key, durably before it returns; the same newcomer may ask again
 * while it may read, or until the ticket expires. HM_ENOTFOUND: never issued here, or another secret; HM_ECONFLICT: used by
 * another; HM_ETIMEOUT: expired; HM_EPERM: revoked; HM_EINVAL: one account for both. out: in the arena. */
int join_tickets_redeem(struct join_tickets *tickets, const Hypermesh__Cluster__Redeem *redeem,
                        const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES], uint64_t now_ms,
                        struct hm_arena *arena, Hypermesh__Cluster__IssuedTicket **out,
                        struct hm_error *error);
/* The ticket that the holder of this key has used, while it may read: of several the last, before others one that pays. HM_EPERM. */
int join_tickets_of(struct join_tickets *tickets, const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES],
                    uint64_t now_ms, struct hm_arena *arena, Hypermesh__Cluster__IssuedTicket **out,
                    struct hm_error *error);

enum join_ticket_account { JOIN_TICKET_OPERATOR, JOIN_TICKET_USER };
/* Whose turn is it to send what this ticket pays to this account? *before: how it stood. Where that is NONE, it is SENT from now on,
 * durably: the caller sends it, and nobody else ever does. HM_ENOTFOUND. */
int join_tickets_pay(struct join_tickets *tickets, struct hm_slice id,
                     enum join_ticket_account account, Hypermesh__Cluster__JoinPayment *before,
                     struct hm_error *error);
/* How it ended: DONE, or NONE where it was surely not sent. */
int join_tickets_paid(struct join_tickets *tickets, struct hm_slice id,
                      enum join_ticket_account account, Hypermesh__Cluster__JoinPayment how,
                      struct hm_error *error);

#endif
