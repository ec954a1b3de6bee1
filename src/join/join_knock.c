/* A newcomer's connection to the door of a member, whom it knows by its key. */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "join_private.h"

#define KNOCK_CONNECT_MS    4000 /* to one address */
#define KNOCK_TRIED_BYTES   2048 /* what went wrong at each address; the error's text has less room */
#define KNOCK_LOOK_MS       250 /* how soon a stop is seen */
#define KNOCK_KEEP_ALIVE_NS UINT64_C(10000000000)
#define KNOCK_IDLE_NS       UINT64_C(30000000000)
#define KNOCK_WINDOW        ((uint64_t)1 << 20)

struct join_knock {
    struct stoq_identity *identity;
    struct stoq_caller *caller;
    struct stoq_link *link; /* NULL: none, or it broke */
    uint8_t own[CRYPTO_ED25519_PUBLIC_BYTES], member[CRYPTO_ED25519_PUBLIC_BYTES];
    struct sockaddr_in6 addresses[JOIN_TICKET_ADDRESSES_MAX];
    size_t count;
    atomic_bool stopped;
    bool answered; /* the last ask had an answer, be it a refusal */
};

static int knock_verify(void *ctx, const struct stoq_peer *shown, uint8_t *alert,
                        struct stoq_error *error)
{
    const struct join_knock *knock = ctx;
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];

    (void)alert;
    if (shown->count == 1 &&
        join_certificate_key(hm_slice_of(shown->chain[0].data, shown->chain[0].len), key) &&
        hm_equal_ct(key, knock->member, sizeof(key)))
        return 0;
    error->code = STOQ_EAUTH;
    (void)snprintf(error->text, sizeof(error->text),
                   "who answers there is not the member that issued the ticket");
    return STOQ_EAUTH;
}

static int knock_caller(struct join_knock *knock, struct hm_error *error)
{
    struct stoq_host_config config;
    struct stoq_error why = {0};

    stoq_host_config_default(&config);
    config.endpoint.identity = knock->identity;
    config.endpoint.verify = knock_verify;
    config.endpoint.verify_ctx = knock;
    config.endpoint.alpn = JOIN_DOOR_ALPN;
    config.endpoint.datagram_max = 0;
    config.endpoint.streams_bidi = 0;
    config.endpoint.streams_uni = 0;
    config.endpoint.idle_timeout_ns = KNOCK_IDLE_NS;
    config.endpoint.keep_alive_ns = KNOCK_KEEP_ALIVE_NS;
    config.endpoint.stream_window = KNOCK_WINDOW;
    config.endpoint.connection_window = 2 * KNOCK_WINDOW;
    int rc = stoq_caller_open(&knock->caller, &config, &why);
    return rc == 0 ? 0 : join_stoq_failed(rc, &why, "no way out to the member", error);
}

int join_knock_open(const struct crypto_ed25519_key *own,
                    const uint8_t member[CRYPTO_ED25519_PUBLIC_BYTES],
                    const struct sockaddr_in6 *addresses, size_t count, struct join_knock **out,
                    struct hm_error *error)
{
    struct join_knock *knock = hm_calloc(1, sizeof(*knock));
    int rc;

    if (knock == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a connection");
    memcpy(knock->own, own->public_key, sizeof(knock->own));
    memcpy(knock->member, member, sizeof(knock->member));
    knock->count = count < JOIN_TICKET_ADDRESSES_MAX ? count : JOIN_TICKET_ADDRESSES_MAX;
    memcpy(knock->addresses, addresses, knock->count * sizeof(addresses[0]));
    rc = join_certificate_identity(own, &knock->identity, error);
    if (rc == 0)
        rc = knock_caller(knock, error);
    if (rc != 0) {
        join_knock_close(knock);
        return rc;
    }
    *out = knock;
    return 0;
}

void join_knock_close(struct join_knock *knock)
{
    if (knock == NULL)
        return;
    stoq_link_release(knock->link);
    stoq_caller_close(knock->caller);
    stoq_identity_unref(knock->identity);
    hm_free(knock);
}

void join_knock_stop(struct join_knock *knock)
{
    atomic_store(&knock->stopped, true);
}

bool join_knock_answered(const struct join_knock *knock)
{
    return knock->answered;
}

/* What the system would send from: a connected socket of UDP says it, without a packet. */
static bool knock_route(const struct sockaddr_in6 *remote, struct sockaddr_in6 *local)
{
    HM_AUTOCLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*local);

    return fd >= 0 && connect(fd, (const struct sockaddr *)remote, sizeof(*remote)) == 0 &&
           getsockname(fd, (struct sockaddr *)local, &len) == 0 &&
           !IN6_IS_ADDR_UNSPECIFIED(&local->sin6_addr);
}

void join_knock_local(struct join_knock *knock, char out[STOQ_ADDRESS_TEXT_BYTES])
{
    struct stoq_conn_info info;
    struct sockaddr_in6 local;

    out[0] = '\0';
    if (knock->link == NULL || stoq_link_info(knock->link, &info) != 0 ||
        !knock_route(&info.path.remote, &local))
        return;
    local.sin6_scope_id = 0;
    stoq_address_text(&local, out);
    char *colon = strrchr(out, ':');
    if (colon != NULL)
        *colon = '\0';
}

/* --- asking ------------------------------------------------------------------------------------------------- */

static int knock_stopped(struct hm_error *error)
{
    return hm_fail(error, HM_ECANCELLED, "the node is stopping");
}

/* Appends "ADDRESS: what is wrong" for each that was tried. */
static int knock_connect(struct join_knock *knock, struct hm_error *error)
{
    char tried[KNOCK_TRIED_BYTES] = "";
    char address[STOQ_ADDRESS_TEXT_BYTES];
    struct stoq_error why = {0};
    int last = STOQ_ECLOSED;

    if (knock->link != NULL)
        return 0;
    for (size_t i = 0; i < knock->count; i++) {
        size_t at = strlen(tried);

        if (atomic_load(&knock->stopped))
            return knock_stopped(error);
        /* The name is a literal: none goes over the wire. */
        last = stoq_link_connect(knock->caller, &knock->addresses[i], "::1", KNOCK_CONNECT_MS,
                                 &knock->link, &why);
        if (last == 0)
            return 0;
        knock->link = NULL;
        stoq_address_text(&knock->addresses[i], address);
        (void)snprintf(tried + at, sizeof(tried) - at, "%s%s (%.100s)", at > 0 ? ", " : "", address,
                       why.text);
    }
    return hm_fail(error, last == STOQ_EAUTH ? HM_EAUTH : HM_EUNAVAILABLE,
                   "the member does not answer at %s: does it run, with --door-listen there, and "
                   "does UDP get through?",
                   tried);
}

static int knock_read(struct join_knock *knock, struct stoq_pipe *pipe, int timeout_ms,
                      struct hm_buf *out, struct hm_error *error)
{
    uint64_t until_ns = hm_mono_ns(hm_clock_system()) + (uint64_t)timeout_ms * UINT64_C(1000000);
    uint8_t bytes[16384];

    for (;;) {
        int64_t got = stoq_pipe_read(pipe, bytes, sizeof(bytes), KNOCK_LOOK_MS);

        if (atomic_load(&knock->stopped))
            return knock_stopped(error);
        if (got == 0)
            return 0;
        /* For the whole answer, however slowly it comes. */
        if ((got > 0 || got == STOQ_ETIMEOUT) && hm_mono_ns(hm_clock_system()) >= until_ns)
            return hm_fail(error, HM_ETIMEOUT, "the member did not answer within %d s",
                           timeout_ms / 1000);
        if (got == STOQ_ETIMEOUT)
            continue;
        if (got < 0)
            return hm_fail(error, HM_EIO, "the connection to the member broke (%s)",
                           stoq_code_name((int)got));
        if (out->len + (size_t)got > JOIN_DOOR_ANSWER_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "the member's answer is over its limit");
        if (hm_buf_append(out, bytes, (size_t)got) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for the member's answer");
    }
}

static int knock_talk(struct join_knock *knock, struct hm_slice request, int timeout_ms,
                      struct hm_buf *answer, struct hm_error *error)
{
    const struct stoq_stream_options options = {.priority = 3,
                                                .tag = {knock->own, sizeof(knock->own)}};
    struct stoq_error why = {0};
    struct stoq_pipe *pipe;
    int rc = stoq_pipe_open(knock->link, &options, timeout_ms, &pipe, &why);

    if (rc != 0)
        return join_stoq_failed(rc, &why, "the member hung up", error);
    if (stoq_pipe_write(pipe, request.data, request.len, timeout_ms) < 0 ||
        stoq_pipe_finish(pipe, 0) != 0)
        rc = hm_fail(error, HM_EIO, "the connection to the member broke");
    if (rc == 0)
        rc = knock_read(knock, pipe, timeout_ms, answer, error);
    stoq_pipe_release(pipe);
    return rc;
}

/* A refusal has a code of ours; of what else it says nothing is believed. */
static int knock_refused(const Hypermesh__Cluster__JoinAnswer *answer, struct hm_error *error)
{
    char text[HM_ERROR_TEXT_BYTES];
    bool known = strcmp(hm_error_name(answer->code), "HM_E?") != 0;

    (void)snprintf(text, sizeof(text), "%s", answer->text);
    hm_text_clean(text);
    return hm_fail(error, known ? answer->code : HM_EIO, "%s",
                   text[0] != '\0' ? text : "the member refuses, and does not say why");
}

int join_knock_ask(struct join_knock *knock, const Hypermesh__Cluster__JoinRequest *request,
                   int timeout_ms, struct hm_arena *arena, Hypermesh__Cluster__JoinAnswer **out,
                   struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Cluster__JoinAnswer *answer;
    int rc = wire_pack(&request->base, &packed);

    knock->answered = false;
    if (rc != 0)
        return hm_fail(error, rc, "no memory to ask the member");
    bool old = knock->link != NULL;
    rc = knock_connect(knock, error);
    if (rc == 0)
        rc = knock_talk(knock, hm_buf_slice(&packed), timeout_ms, &bytes, error);
    /* A connection that was there before may have been hung up: every request may be made twice. */
    if (rc == HM_EIO && old) {
        stoq_link_release(HM_TAKE(knock->link));
        hm_buf_clear(&bytes);
        rc = knock_connect(knock, error);
        if (rc == 0)
            rc = knock_talk(knock, hm_buf_slice(&packed), timeout_ms, &bytes, error);
    }
    hm_wipe(packed.data, packed.cap); /* it may hold a ticket's secret */
    if (rc != 0) {
        stoq_link_release(HM_TAKE(knock->link)); /* the next ask connects anew */
        return rc;
    }
    rc = WIRE_UNPACK(hypermesh__cluster__join_answer, hm_buf_slice(&bytes),
                     JOIN_DOOR_ANSWER_MAX_BYTES, arena, &answer, error);
    if (rc != 0)
        return hm_error_prefix(error, rc, "the member's answer");
    knock->answered = true;
    if (answer->code != 0)
        return knock_refused(answer, error);
    *out = answer;
    return 0;
}
