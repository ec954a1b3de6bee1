/* The tickets that this node has issued: which are good, which were used and by whom. */
#include "join_ticket.h"

typedef Hypermesh__Cluster__IssuedTicket Issued;

void join_tickets_init(struct join_tickets *tickets, const char *path)
{
    pthread_mutex_init(&tickets->lock, NULL);
    tickets->path = path;
    hm_arena_init(&tickets->arena, 0);
    tickets->issued = NULL;
}

void join_tickets_release(struct join_tickets *tickets)
{
    hm_arena_release(&tickets->arena);
    pthread_mutex_destroy(&tickets->lock);
}

/* --- the file --------------------------------------------------------------------------------------------- */

static bool issued_fits(const Issued *issued)
{
    return issued->id.len == JOIN_TICKET_ID_BYTES && issued->secret_hash.len == CRYPTO_HASH_BYTES &&
           (issued->used_by.len == 0 || issued->used_by.len == CRYPTO_ED25519_PUBLIC_BYTES) &&
           (unsigned)issued->operator_paid <= HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE &&
           (unsigned)issued->user_paid <= HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE;
}

/* Bytes to what is held; a file that is not there holds none. */
static int tickets_take(struct join_tickets *tickets, struct hm_slice bytes, struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTickets *issued = NULL;
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    int rc = WIRE_UNPACK(hypermesh__cluster__issued_tickets, bytes, JOIN_TICKETS_BYTES, &arena,
                         &issued, error);
    for (size_t i = 0; rc == 0 && i < issued->n_tickets; i++)
        if (!issued_fits(issued->tickets[i]))
            rc = hm_fail(error, HM_ECORRUPT, "entry %zu is damaged", i);
    if (rc != 0) {
        hm_arena_release(&arena);
        return rc;
    }
    hm_arena_release(&tickets->arena);
    tickets->arena = arena;
    tickets->issued = issued;
    return 0;
}

static int tickets_load(struct join_tickets *tickets, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc;

    if (tickets->issued != NULL)
        return 0;
    rc = hm_file_read(tickets->path, JOIN_TICKETS_BYTES, &bytes, error);
    if (rc != 0 && rc != HM_ENOTFOUND)
        return rc;
    rc = tickets_take(tickets, hm_buf_slice(&bytes), error);
    return rc != 0 ? hm_error_prefix(error, rc, "%s", tickets->path) : 0;
}

/* What the message says becomes the file, and then what is held. */
static int tickets_store(struct join_tickets *tickets,
                         const Hypermesh__Cluster__IssuedTickets *issued, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc = wire_pack(&issued->base, &bytes);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for tickets");
    if (bytes.len > JOIN_TICKETS_BYTES)
        return hm_fail(error, HM_ELIMIT, "%s would be over its limit", tickets->path);
    rc = hm_file_replace(tickets->path, bytes.data, bytes.len, 0600, error);
    /* When there is no memory to read it again, the next who asks reads the file. */
    if (rc == 0 && tickets_take(tickets, hm_buf_slice(&bytes), NULL) != 0)
        tickets->issued = NULL;
    return rc;
}

/* --- changes ---------------------------------------------------------------------------------------------- */

static bool issued_is_old(const Issued *issued, uint64_t now_ms)
{
    uint64_t last = issued->used_ms > issued->expires_ms ? issued->used_ms : issued->expires_ms;

    return now_ms > last && now_ms - last > JOIN_TICKETS_KEPT_MS;
}

static int tickets_add(struct join_tickets *tickets, const Issued *ticket, uint64_t now_ms,
                       struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTickets next = HYPERMESH__CLUSTER__ISSUED_TICKETS__INIT;
    Issued *kept[JOIN_TICKETS_MAX];
    int rc = tickets_load(tickets, error);

    if (rc != 0)
        return rc;
    next.tickets = kept;
    for (size_t i = 0; i < tickets->issued->n_tickets; i++) {
        if (issued_is_old(tickets->issued->tickets[i], now_ms))
            continue;
        if (next.n_tickets == JOIN_TICKETS_MAX - 1)
            return hm_fail(
                error, HM_ELIMIT,
                "this node has issued %d join tickets lately: wait until some are a week "
                "old",
                JOIN_TICKETS_MAX);
        kept[next.n_tickets++] = tickets->issued->tickets[i];
    }
    kept[next.n_tickets++] = (Issued *)(uintptr_t)ticket;
    return tickets_store(tickets, &next, error);
}

int join_tickets_add(struct join_tickets *tickets, const Issued *ticket, uint64_t now_ms,
                     struct hm_error *error)
{
    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_add(tickets, ticket, now_ms, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

/* A copy that outlives the lock. */
static int issued_copy(const Issued *from, struct hm_arena *arena, Issued **out,
                       struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    if (wire_pack(&from->base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a ticket");
    return wire_unpack_again(&hypermesh__cluster__issued_ticket__descriptor, hm_buf_slice(&bytes),
                             arena, (ProtobufCMessage **)(void *)out, error);
}

static int tickets_list(struct join_tickets *tickets, struct hm_arena *arena, Issued ***out,
                        size_t *count, struct hm_error *error)
{
    int rc = tickets_load(tickets, error);

    if (rc != 0)
        return rc;
    size_t found = tickets->issued->n_tickets;
    Issued **list = hm_arena_alloc(arena, (found + 1) * sizeof(Issued *));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a list of tickets");
    for (size_t i = 0; rc == 0 && i < found; i++)
        rc = issued_copy(tickets->issued->tickets[i], arena, &list[i], error);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

int join_tickets_list(struct join_tickets *tickets, struct hm_arena *arena, Issued ***out,
                      size_t *count, struct hm_error *error)
{
    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_list(tickets, arena, out, count, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

static Issued *tickets_find(const struct join_tickets *tickets, struct hm_slice id)
{
    for (size_t i = 0; i < tickets->issued->n_tickets; i++)
        if (hm_slice_equal(wire_slice(tickets->issued->tickets[i]->id), id))
            return tickets->issued->tickets[i];
    return NULL;
}

static int tickets_revoke(struct join_tickets *tickets, struct hm_slice id, struct hm_error *error)
{
    int rc = tickets_load(tickets, error);

    if (rc != 0)
        return rc;
    Issued *found = tickets_find(tickets, id);
    if (found == NULL)
        return hm_fail(error, HM_ENOTFOUND, "this node has issued no ticket of that id");
    bool before = found->revoked;
    found->revoked = true;
    rc = tickets_store(tickets, tickets->issued, error);
    if (rc != 0)
        found->revoked = before;
    return rc;
}

int join_tickets_revoke(struct join_tickets *tickets, struct hm_slice id, struct hm_error *error)
{
    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_revoke(tickets, id, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

/* --- using one up ------------------------------------------------------------------------------------------ */

/* Who has not the secret learns nothing of the ticket, not even that there is one: an id that is not here takes the same
 * way through the comparison. */
static int tickets_authentic(const struct join_tickets *tickets,
                             const Hypermesh__Cluster__Redeem *redeem, Issued **out,
                             struct hm_error *error)
{
    static const uint8_t nobody[CRYPTO_HASH_BYTES] = {0};
    Issued *found = tickets_find(tickets, wire_slice(redeem->ticket_id));
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash(redeem->secret.data, redeem->secret.len, hash);
    bool same = hm_equal_ct(hash, found != NULL ? found->secret_hash.data : nobody, sizeof(hash));
    if (!same || found == NULL)
        return hm_fail(error, HM_ENOTFOUND,
                       "the member has not issued this ticket: it is forged, another member's, or "
                       "older than the member remembers");
    *out = found;
    return 0;
}

static int issued_is_good(const Issued *issued, struct hm_slice key, uint64_t now_ms,
                          struct hm_error *error)
{
    if (issued->revoked)
        return hm_fail(error, HM_EPERM, "this ticket was revoked: ask for another one");
    if (issued->used_by.len > 0 && !hm_slice_equal(wire_slice(issued->used_by), key))
        return hm_fail(error, HM_ECONFLICT,
                       "this ticket has been used, by another node: a ticket is good for one");
    /* Who used it in time and lost the answer is not too late. */
    if (issued->used_by.len > 0 && now_ms < issued->used_ms + JOIN_TICKET_READ_MS)
        return 0;
    if (now_ms >= issued->expires_ms) {
        char when[32];

        hm_time_format_ms(issued->expires_ms, when);
        return hm_fail(error, HM_ETIMEOUT, "this ticket expired at %s: ask for another one", when);
    }
    return 0;
}

static int tickets_use(struct join_tickets *tickets, Issued *issued,
                       const Hypermesh__Cluster__Redeem *redeem, struct hm_slice key,
                       uint64_t now_ms, struct hm_error *error)
{
    Issued before = *issued;

    if (issued->used_by.len > 0)
        return 0;
    issued->used_by = wire_bytes(key.data, key.len);
    issued->used_ms = now_ms;
    issued->operator_ = redeem->operator_;
    issued->user = redeem->user;
    int rc = tickets_store(tickets, tickets->issued, error);
    if (rc != 0)
        *issued = before;
    return rc;
}

static int tickets_redeem(struct join_tickets *tickets, const Hypermesh__Cluster__Redeem *redeem,
                          struct hm_slice key, uint64_t now_ms, struct hm_arena *arena,
                          Issued **out, struct hm_error *error)
{
    Issued *issued = NULL;
    int rc = tickets_load(tickets, error);

    if (rc == 0)
        rc = tickets_authentic(tickets, redeem, &issued, error);
    if (rc == 0)
        rc = issued_is_good(issued, key, now_ms, error);
    if (rc == 0)
        rc = tickets_use(tickets, issued, redeem, key, now_ms, error);
    /* Stored anew, it lies elsewhere. */
    if (rc == 0)
        rc = tickets_load(tickets, error);
    return rc != 0 ? rc
                   : issued_copy(tickets_find(tickets, wire_slice(redeem->ticket_id)), arena, out,
                                 error);
}

static int redeem_fits(const Hypermesh__Cluster__Redeem *redeem, struct hm_error *error)
{
    return redeem->ticket_id.len == JOIN_TICKET_ID_BYTES &&
                   redeem->secret.len == JOIN_TICKET_SECRET_BYTES &&
                   redeem->operator_.len == WIRE_ID_BYTES && redeem->user.len == WIRE_ID_BYTES
               ? 0
               : hm_fail(error, HM_EPARSE, "the request is malformed");
}

int join_tickets_know(struct join_tickets *tickets, const Hypermesh__Cluster__Redeem *redeem,
                      struct hm_error *error)
{
    Issued *issued;
    int rc = redeem_fits(redeem, error);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&tickets->lock);
    rc = tickets_load(tickets, error);
    if (rc == 0)
        rc = tickets_authentic(tickets, redeem, &issued, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

int join_tickets_redeem(struct join_tickets *tickets, const Hypermesh__Cluster__Redeem *redeem,
                        const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES], uint64_t now_ms,
                        struct hm_arena *arena, Issued **out, struct hm_error *error)
{
    int rc = redeem_fits(redeem, error);

    if (rc != 0)
        return rc;
    if (hm_slice_equal(wire_slice(redeem->operator_), wire_slice(redeem->user)))
        return hm_fail(error, HM_EINVAL, "a newcomer's operator and its user are two accounts");
    pthread_mutex_lock(&tickets->lock);
    rc = tickets_redeem(tickets, redeem, hm_slice_of(key, CRYPTO_ED25519_PUBLIC_BYTES), now_ms,
                        arena, out, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

static int tickets_of(struct join_tickets *tickets, struct hm_slice key, uint64_t now_ms,
                      struct hm_arena *arena, Issued **out, struct hm_error *error)
{
    int rc = tickets_load(tickets, error);

    if (rc != 0)
        return rc;
    const Issued *found = NULL;
    for (size_t i = 0; i < tickets->issued->n_tickets; i++) {
        const Issued *issued = tickets->issued->tickets[i];

        if (!issued->revoked && hm_slice_equal(wire_slice(issued->used_by), key) &&
            now_ms < issued->used_ms + JOIN_TICKET_READ_MS &&
            (found == NULL || issued->funded >= found->funded))
            found = issued;
    }
    return found != NULL ? issued_copy(found, arena, out, error)
                         : hm_fail(error, HM_EPERM, "redeem a ticket first");
}

int join_tickets_of(struct join_tickets *tickets, const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES],
                    uint64_t now_ms, struct hm_arena *arena, Issued **out, struct hm_error *error)
{
    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_of(tickets, hm_slice_of(key, CRYPTO_ED25519_PUBLIC_BYTES), now_ms, arena, out,
                        error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

/* --- what it pays ------------------------------------------------------------------------------------------ */

static Hypermesh__Cluster__JoinPayment *issued_payment(Issued *issued,
                                                       enum join_ticket_account account)
{
    return account == JOIN_TICKET_OPERATOR ? &issued->operator_paid : &issued->user_paid;
}

/* Under the lock; from: only where it stands so. */
static int tickets_payment(struct join_tickets *tickets, struct hm_slice id,
                           enum join_ticket_account account, Hypermesh__Cluster__JoinPayment from,
                           Hypermesh__Cluster__JoinPayment to,
                           Hypermesh__Cluster__JoinPayment *before, struct hm_error *error)
{
    int rc = tickets_load(tickets, error);
    Issued *found = rc == 0 ? tickets_find(tickets, id) : NULL;

    if (rc != 0)
        return rc;
    if (found == NULL)
        return hm_fail(error, HM_ENOTFOUND, "this node has issued no ticket of that id");
    Hypermesh__Cluster__JoinPayment *payment = issued_payment(found, account), stood = *payment;
    if (stood == from) {
        *payment = to;
        rc = tickets_store(tickets, tickets->issued, error);
        /* The file may say the one or the other: whoever asks next reads it. */
        if (rc != 0)
            tickets->issued = NULL;
    }
    if (rc == 0)
        *before = stood;
    return rc;
}

int join_tickets_pay(struct join_tickets *tickets, struct hm_slice id,
                     enum join_ticket_account account, Hypermesh__Cluster__JoinPayment *before,
                     struct hm_error *error)
{
    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_payment(tickets, id, account, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE,
                             HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT, before, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}

int join_tickets_paid(struct join_tickets *tickets, struct hm_slice id,
                      enum join_ticket_account account, Hypermesh__Cluster__JoinPayment how,
                      struct hm_error *error)
{
    Hypermesh__Cluster__JoinPayment before;

    pthread_mutex_lock(&tickets->lock);
    int rc = tickets_payment(tickets, id, account, HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT,
                             how, &before, error);
    pthread_mutex_unlock(&tickets->lock);
    return rc;
}
