/* What a newcomer is answered: its ticket used up, the genesis, its accounts paid, a few reads of our engine. */
#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "join_private.h"

#define DOOR_VERSION    1
#define DOOR_HEIGHT_MAX INT64_MAX
#define DOOR_PAGE_MAX   100 /* pages, and validators a page: the engine's own limits */
/* As `nexus cluster add` gives. */
#define DOOR_UNITS         UINT64_C(1000000000)
#define DOOR_FUND_OPERATOR (UINT64_C(10000) * DOOR_UNITS)
#define DOOR_FUND_USER     (UINT64_C(1000) * DOOR_UNITS)
#define FUND_LOOK_MS       10000u
#define FUND_LOOK_EVERY_MS 200u

typedef Hypermesh__Cluster__JoinRequest Request;
typedef Hypermesh__Cluster__JoinAnswer Answer;

struct door_call {
    struct join_door *door;
    const struct join_door_options *options;
    const struct join_door_peer *peer;
    struct hm_arena *arena;
    Answer *answer;
    struct hm_buf bytes; /* of the answer: a genesis, the engine's words */
};

/* One payment. */
struct fund {
    struct hm_slice ticket; /* its id */
    enum join_ticket_account whose;
    struct hm_slice account;
    uint64_t amount;
};

int join_door_request_read(struct hm_slice bytes, struct hm_arena *arena, Request **out,
                           struct hm_error *error)
{
    Request *request;
    int rc = WIRE_UNPACK(hypermesh__cluster__join_request, bytes, JOIN_DOOR_REQUEST_MAX_BYTES,
                         arena, &request, error);

    if (rc != 0)
        return rc;
    if (request->request_case == HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST__NOT_SET)
        return hm_fail(error, HM_EPARSE, "the request asks for nothing");
    *out = request;
    return 0;
}

/* --- where the others are ----------------------------------------------------------------------------------- */

static bool is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static bool is_anywhere(const struct in6_addr *address)
{
    static const uint8_t v4_any[4] = {0};

    return IN6_IS_ADDR_UNSPECIFIED(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && memcmp(&address->s6_addr[12], v4_any, 4) == 0);
}

bool join_door_can_dial(const char *address, const struct sockaddr_in6 *remote)
{
    struct sockaddr_in6 at;

    if (stoq_address_parse(address, 0, &at, NULL) != 0)
        return true; /* a name: the newcomer will see */
    if (at.sin6_port == 0 || is_anywhere(&at.sin6_addr))
        return false;
    return !is_loopback(&at.sin6_addr) || is_loopback(&remote->sin6_addr);
}

/* Our own engine's address as the newcomer may dial it: where that listens everywhere, at the address that he came to. */
static const char *own_address(struct door_call *call)
{
    const char *listen = call->options->p2p_listen;
    char text[STOQ_ADDRESS_TEXT_BYTES];
    struct sockaddr_in6 at;

    if (stoq_address_parse(listen, 0, &at, NULL) != 0 || !is_anywhere(&at.sin6_addr) ||
        is_anywhere(&call->peer->local.sin6_addr))
        return listen;
    at.sin6_addr = call->peer->local.sin6_addr;
    stoq_address_text(&at, text);
    return hm_arena_strdup(call->arena, text);
}

static int own_peer(struct door_call *call, char **out, struct hm_error *error)
{
    const char *address = own_address(call);

    if (address == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    *out = join_door_can_dial(address, &call->peer->remote)
               ? hm_arena_printf(call->arena, "%s@%s", join_door_self(call->door)->node_id, address)
               : NULL;
    return 0;
}

static int call_peers(struct door_call *call, Hypermesh__Cluster__Redeemed *redeemed,
                      struct hm_error *error)
{
    const struct join_door_options *options = call->options;
    char **peers = hm_arena_alloc(call->arena, (options->p2p_peer_count + 1) * sizeof(*peers));
    char *own = NULL;
    int rc = peers == NULL ? hm_fail(error, HM_ENOMEM, "no memory for an answer")
                           : own_peer(call, &own, error);

    if (rc != 0)
        return rc;
    if (own != NULL)
        peers[redeemed->n_peers++] = own;
    for (size_t i = 0; i < options->p2p_peer_count; i++) {
        const char *at = strchr(options->p2p_peers[i], '@');

        if (at != NULL && join_door_can_dial(at + 1, &call->peer->remote))
            peers[redeemed->n_peers++] = (char *)(uintptr_t)options->p2p_peers[i];
    }
    redeemed->peers = peers;
    return redeemed->n_peers > 0
               ? 0
               : hm_fail(
                     error, HM_EUNAVAILABLE,
                     "the member's engine listens at an address that you cannot reach from where "
                     "you are: its operator must start it with --p2p-listen at one that you can");
}

/* --- REDEEM, GENESIS --------------------------------------------------------------------------------------- */

static int call_genesis_bytes(struct door_call *call, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" JOIN_GENESIS, call->options->data_dir);

    return path == NULL ? hm_fail(error, HM_ENOMEM, "no memory for an answer")
                        : hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &call->bytes, error);
}

static int call_same_chain(struct door_call *call, const Hypermesh__Cluster__Redeem *redeem,
                           struct hm_error *error)
{
    const uint8_t *hash = join_door_self(call->door)->genesis_hash;

    return hm_slice_equal(wire_slice(redeem->genesis_hash), hm_slice_of(hash, CRYPTO_HASH_BYTES))
               ? 0
               : hm_fail(
                     error, HM_ECONFLICT,
                     "the ticket is of another chain than this member's: one of them was made anew "
                     "since");
}

static int call_redeem(struct door_call *call, const Hypermesh__Cluster__Redeem *redeem,
                       struct hm_error *error)
{
    Hypermesh__Cluster__Redeemed *redeemed = hm_arena_alloc(call->arena, sizeof(*redeemed));
    Hypermesh__Cluster__IssuedTicket *ticket;
    int rc;

    if (redeemed == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an answer");
    hypermesh__cluster__redeemed__init(redeemed);
    if (redeem->version != DOOR_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the newcomer speaks version %u of joining, this member version %d",
                       redeem->version, DOOR_VERSION);
    /* Nothing is done for who has not the secret. */
    rc = join_tickets_know(call->options->tickets, redeem, error);
    if (rc == 0)
        rc = call_same_chain(call, redeem, error);
    /* Before the ticket is used: where the newcomer could reach nobody, it may come again from elsewhere. */
    if (rc == 0)
        rc = call_peers(call, redeemed, error);
    if (rc == 0)
        rc = join_tickets_redeem(call->options->tickets, redeem, call->peer->key,
                                 hm_wall_ms(call->options->clock), call->arena, &ticket, error);
    if (rc != 0)
        return rc;
    redeemed->snapshot_height = call->options->backend.snapshot(call->options->backend.ctx);
    redeemed->read_until_ms = ticket->used_ms + JOIN_TICKET_READ_MS;
    call->answer->answer_case = HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_REDEEMED;
    call->answer->redeemed = redeemed;
    return 0;
}

static int call_ticket(struct door_call *call, Hypermesh__Cluster__IssuedTicket **out,
                       struct hm_error *error)
{
    return join_tickets_of(call->options->tickets, call->peer->key,
                           hm_wall_ms(call->options->clock), call->arena, out, error);
}

static int call_genesis(struct door_call *call, struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTicket *ticket;
    int rc = call_ticket(call, &ticket, error);

    if (rc == 0)
        rc = call_genesis_bytes(call, error);
    if (rc != 0)
        return rc;
    call->answer->answer_case = HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_GENESIS;
    call->answer->genesis = wire_bytes(call->bytes.data, call->bytes.len);
    return 0;
}

/* --- FUND --------------------------------------------------------------------------------------------------- */

/* What was sent once is not sent again, whatever became of it: its end is looked for, for a while. */
static int fund_look(struct door_call *call, const struct fund *fund, struct hm_error *error)
{
    const struct timespec pause = {.tv_nsec = FUND_LOOK_EVERY_MS * 1000000L};
    const struct join_backend *backend = &call->options->backend;
    char text[WIRE_ID_TEXT_MAX];
    bool come = false;

    for (unsigned waited_ms = 0; waited_ms < FUND_LOOK_MS && !backend->quitting(backend->ctx);
         waited_ms += FUND_LOOK_EVERY_MS) {
        int rc = backend->is_used(backend->ctx, fund->account.data, &come, error);

        if (rc != 0)
            return rc;
        if (come)
            return join_tickets_paid(call->options->tickets, fund->ticket, fund->whose,
                                     HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE, error);
        (void)nanosleep(&pause, NULL);
    }
    wire_account_text(fund->account.data, text);
    return hm_fail(error, HM_EBUSY,
                   "the payment to %s was sent and is not there yet; it is not sent twice. Look "
                   "again later, and if it never comes, let the member's operator pay it by hand",
                   text);
}

/* Refused as a whole, or never handed on: everything else may have been ordered, or will be. */
static bool fund_was_not_sent(int rc)
{
    return rc == HM_EFUNDS || rc == HM_EUNAVAILABLE || rc == HM_EPROOF_SPACE ||
           rc == HM_EPROOF_STAKE || rc == HM_EPROOF_WORK || rc == HM_EPROOF_TIME;
}

static int fund_send(struct door_call *call, const struct fund *fund, struct hm_error *error)
{
    const struct join_backend *backend = &call->options->backend;
    int rc = backend->pay(backend->ctx, fund->account.data, fund->amount, error);

    if (rc == 0) {
        /* Where this is not written down, what has come says it. */
        (void)join_tickets_paid(call->options->tickets, fund->ticket, fund->whose,
                                HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE, NULL);
        return 0;
    }
    if (!fund_was_not_sent(rc))
        return fund_look(call, fund, error);
    (void)join_tickets_paid(call->options->tickets, fund->ticket, fund->whose,
                            HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE, NULL);
    return hm_error_prefix(error, rc, "the member's user pays the newcomer");
}

static int fund_account(struct door_call *call, const struct fund *fund, uint64_t *paid,
                        struct hm_error *error)
{
    Hypermesh__Cluster__JoinPayment before;
    int rc = fund->account.len != WIRE_ID_BYTES
                 ? hm_fail(error, HM_ECORRUPT, "a ticket's account is damaged")
                 : join_tickets_pay(call->options->tickets, fund->ticket, fund->whose, &before,
                                    error);

    if (rc != 0 || before == HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE)
        return rc;
    if (before == HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT)
        return fund_look(call, fund, error);
    rc = fund_send(call, fund, error);
    if (rc == 0)
        *paid = fund->amount;
    return rc;
}

static int fund_both(struct door_call *call, const Hypermesh__Cluster__IssuedTicket *ticket,
                     Hypermesh__Cluster__Funded *funded, struct hm_error *error)
{
    struct fund fund = {.ticket = wire_slice(ticket->id),
                        .whose = JOIN_TICKET_OPERATOR,
                        .account = wire_slice(ticket->operator_)};

    if (hm_slice_equal(wire_slice(ticket->operator_), wire_slice(ticket->user)))
        return hm_fail(error, HM_EINVAL, "a newcomer's operator and its user are two accounts");
    if (__builtin_add_overflow(DOOR_FUND_OPERATOR, ticket->bond, &fund.amount))
        return hm_fail(error, HM_ERANGE, "the ticket's bond is more than there is money");
    int rc = fund_account(call, &fund, &funded->operator_paid, error);
    if (rc != 0)
        return rc;
    fund.whose = JOIN_TICKET_USER;
    fund.account = wire_slice(ticket->user);
    fund.amount = DOOR_FUND_USER;
    return fund_account(call, &fund, &funded->user_paid, error);
}

static int call_fund(struct door_call *call, struct hm_error *error)
{
    Hypermesh__Cluster__Funded *funded = hm_arena_alloc(call->arena, sizeof(*funded));
    Hypermesh__Cluster__IssuedTicket *ticket;
    int rc = funded == NULL ? hm_fail(error, HM_ENOMEM, "no memory for an answer")
                            : call_ticket(call, &ticket, error);

    if (rc != 0)
        return rc;
    if (!ticket->funded)
        return hm_fail(error, HM_EPERM, "the ticket does not say that the member pays");
    hypermesh__cluster__funded__init(funded);
    rc = fund_both(call, ticket, funded, error);
    if (rc != 0)
        return rc;
    call->answer->answer_case = HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_FUNDED;
    call->answer->funded = funded;
    return 0;
}

/* --- READ --------------------------------------------------------------------------------------------------- */

static void json_number(struct json_out *json, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    if (value > 0)
        json_out_put_text(json, name, text);
}

/* The call is written here out of an enum and three numbers: nothing that a newcomer sent gets to the engine. */
int join_door_read_json(const Hypermesh__Cluster__EngineRead *read, struct hm_buf *out,
                        struct hm_error *error)
{
    static const char *const methods[] = {NULL, "commit", "validators", "consensus_params",
                                          "status"};
    struct json_out json = {.out = out};
    size_t method = (size_t)read->method;
    bool pages = read->method == HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_VALIDATORS;

    if (method == 0 || method >= HM_COUNT_OF(methods))
        return hm_fail(error, HM_EPERM, "this is not read for others");
    if (read->height > DOOR_HEIGHT_MAX || read->page > DOOR_PAGE_MAX ||
        read->per_page > DOOR_PAGE_MAX || (!pages && (read->page > 0 || read->per_page > 0)) ||
        (read->method == HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_STATUS && read->height > 0))
        return hm_fail(error, HM_ERANGE, "a read's numbers are out of range");
    json_out_open(&json, '{');
    json_out_put_text(&json, "jsonrpc", "2.0");
    json_out_key(&json, "id");
    json_out_i64(&json, read->id);
    json_out_put_text(&json, "method", methods[method]);
    json_out_key(&json, "params");
    json_out_open(&json, '{');
    json_number(&json, "height", read->height);
    json_number(&json, "page", read->page);
    json_number(&json, "per_page", read->per_page);
    json_out_close(&json, '}');
    json_out_close(&json, '}');
    return json.error != 0 ? hm_fail(error, HM_ENOMEM, "no memory for a read") : 0;
}

static int call_read(struct door_call *call, const Hypermesh__Cluster__EngineRead *read,
                     struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTicket *ticket;
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    int rc = call_ticket(call, &ticket, error);

    if (rc == 0)
        rc = join_door_read_json(read, &json, error);
    if (rc == 0)
        rc = call->options->backend.read(call->options->backend.ctx, hm_buf_slice(&json),
                                         &call->bytes, error);
    if (rc != 0)
        return rc;
    call->answer->answer_case = HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_READ;
    call->answer->read = wire_bytes(call->bytes.data, call->bytes.len);
    return 0;
}

/* --- all ---------------------------------------------------------------------------------------------------- */

static int call_do(struct door_call *call, struct hm_slice bytes, struct hm_error *error)
{
    Request *request;
    int rc = call->options->backend.ready(call->options->backend.ctx, error);

    if (rc == 0)
        rc = join_door_request_read(bytes, call->arena, &request, error);
    if (rc != 0)
        return rc;
    switch (request->request_case) {
    case HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_REDEEM:
        return call_redeem(call, request->redeem, error);
    case HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_GENESIS:
        return call_genesis(call, error);
    case HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_FUND:
        return call_fund(call, error);
    case HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_READ:
        return call_read(call, request->read, error);
    case HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST__NOT_SET:
    default:
        return hm_fail(error, HM_EPARSE, "the request asks for nothing");
    }
}

int join_door_answer(struct join_door *door, const struct join_door_peer *peer,
                     struct hm_slice request, struct hm_buf *out, bool *served)
{
    Answer answer = HYPERMESH__CLUSTER__JOIN_ANSWER__INIT;
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct door_call call = {.door = door,
                             .options = join_door_options(door),
                             .peer = peer,
                             .arena = &arena,
                             .answer = &answer};
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    int rc = call_do(&call, request, &error);
    *served = rc == 0;
    if (rc != 0) {
        answer.answer_case = HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER__NOT_SET;
        answer.code = rc;
        answer.text = error.text;
        join_door_log_refusal(door, peer->key, error.text);
    }
    rc = wire_pack(&answer.base, out);
    hm_buf_release(&call.bytes);
    return rc;
}
