/* Where newcomers knock: a STOQ endpoint of a cluster's member. One thread takes connections, each of which has a thread
 * while it lasts; one request at a time is answered on each. */
#include "join_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DOOR_IDLE_NS           UINT64_C(30000000000)
#define DOOR_LOOK_MS           1000 /* how soon the porter sees that the node stops */
#define DOOR_WRITE_MS          60000
#define DOOR_STRANGER_WRITE_MS 2000
#define DOOR_QUIET_MS          60000 /* without a request a newcomer is hung up on; it may call again */
#define DOOR_NAP_MS            200 /* how soon one that is asked to go does */
#define DOOR_SLOTS             (2 * JOIN_DOOR_LINKS_MAX) /* places, and who is on the way out */
#define DOOR_CONNECTIONS       64
#define DOOR_HANDSHAKES        20 /* a second */
#define DOOR_RETRY_ABOVE       8
#define DOOR_STREAMS           4 /* of a connection at a time */
#define DOOR_WINDOW            ((uint64_t)64 << 10)
#define DOOR_NS_PER_S          UINT64_C(1000000000)
#define DOOR_NS_PER_MS         UINT64_C(1000000)

enum door_guest_state { GUEST_NONE, GUEST_HERE, GUEST_GONE }; /* gone: its thread is to be joined */

/* A newcomer who is here. */
struct door_guest {
    struct join_door *door;
    struct stoq_link *link;
    pthread_t thread; /* of who lets in and closes */
    enum door_guest_state state; /* under the door's lock */
    struct join_door_peer peer; /* its key under the door's lock */
    uint64_t came_ns;
    bool served; /* under the door's lock: something, so far */
    bool busy; /* under the door's lock: a request is on its way */
    bool leave; /* under the door's lock: its place goes to another */
    unsigned refusals; /* since something was served */
    uint64_t second_ns; /* since when requests are counted */
    unsigned requests;
};

struct join_door {
    struct join_door_options options;
    struct stoq_identity *identity;
    struct stoq_caller *caller;
    pthread_t porter;
    bool has_porter;
    pthread_mutex_t lock;
    bool closing;
    struct door_guest guests[DOOR_SLOTS];
    struct join_door_self self;
    pthread_mutex_t log_lock; /* guards what follows */
    uint64_t logged_ns; /* when a refusal was, last */
    unsigned left_out; /* refusals since */
};

/* --- who comes -------------------------------------------------------------------------------------------- */

/* Anybody with an Ed25519 key: what a newcomer may have, its ticket says. */
static int door_verify(void *ctx, const struct stoq_peer *shown, uint8_t *alert,
                       struct stoq_error *error)
{
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];

    (void)ctx;
    (void)alert;
    if (shown->count == 1 &&
        join_certificate_key(hm_slice_of(shown->chain[0].data, shown->chain[0].len), key))
        return 0;
    error->code = STOQ_EAUTH;
    (void)snprintf(error->text, sizeof(error->text), "a newcomer shows one Ed25519 certificate");
    return STOQ_EAUTH;
}

/* A stream says whose it is, and its connection's certificate must show that key: so the key is known where streams are read. */
static int door_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    struct stoq_bytes leaf = stoq_conn_peer_leaf(conn);
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];

    (void)ctx;
    return bidirectional && tag.len == sizeof(key) &&
                   join_certificate_key(hm_slice_of(leaf.data, leaf.len), key) &&
                   memcmp(tag.data, key, sizeof(key)) == 0
               ? 0
               : STOQ_EPERM;
}

/* --- one request ------------------------------------------------------------------------------------------ */

static uint64_t door_now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* Milliseconds until then; 0: it is past. */
static int door_left_ms(uint64_t until_ns)
{
    uint64_t now_ns = door_now_ns();

    return now_ns >= until_ns ? 0 : (int)((until_ns - now_ns) / DOOR_NS_PER_MS) + 1;
}

/* Must it go? A place is another's, or it has been refused too often, or the time of one that has redeemed nothing is over. */
static bool guest_must_go(const struct door_guest *guest)
{
    pthread_mutex_lock(&guest->door->lock);
    bool go = guest->leave || guest->door->closing || guest->refusals >= JOIN_DOOR_REFUSALS_MAX ||
              (!guest->served &&
               door_left_ms(guest->came_ns + JOIN_DOOR_STRANGER_MS * DOOR_NS_PER_MS) == 0);
    pthread_mutex_unlock(&guest->door->lock);
    return go;
}

/* Waits in short pieces, so that a place is given up soon; the time is that of the whole request, however it comes. */
static int guest_read(const struct door_guest *guest, struct stoq_pipe *pipe, struct hm_buf *out)
{
    uint64_t until_ns = door_now_ns() + JOIN_DOOR_REQUEST_MS * DOOR_NS_PER_MS;
    uint8_t bytes[1024];

    for (;;) {
        int64_t got = stoq_pipe_read(pipe, bytes, sizeof(bytes), DOOR_NAP_MS);

        if (got == 0)
            return 0;
        if (got < 0 && got != STOQ_ETIMEOUT)
            return (int)got;
        if (guest_must_go(guest) || door_left_ms(until_ns) == 0)
            return HM_ETIMEOUT;
        if (got < 0)
            continue;
        if (out->len + (size_t)got > JOIN_DOOR_REQUEST_MAX_BYTES)
            return HM_ELIMIT;
        if (hm_buf_append(out, bytes, (size_t)got) != 0)
            return HM_ENOMEM;
    }
}

/* A stranger that does not take its refusal keeps its place no longer for it. */
static void guest_write(const struct door_guest *guest, struct stoq_pipe *pipe,
                        struct hm_slice answer)
{
    int patience_ms = guest->served ? DOOR_WRITE_MS : DOOR_STRANGER_WRITE_MS;

    if (stoq_pipe_write(pipe, answer.data, answer.len, patience_ms) >= 0)
        (void)stoq_pipe_finish(pipe, patience_ms);
}

/* Who asks too often waits; so do its next requests. */
static void guest_hold_back(struct door_guest *guest)
{
    uint64_t now_ns = hm_mono_ns(hm_clock_system());

    if (now_ns - guest->second_ns >= DOOR_NS_PER_S) {
        guest->second_ns = now_ns;
        guest->requests = 0;
    }
    if (++guest->requests > JOIN_DOOR_REQUESTS_A_SECOND) {
        uint64_t left_ns = DOOR_NS_PER_S - (now_ns - guest->second_ns);
        const struct timespec pause = {.tv_nsec = (long)(left_ns % DOOR_NS_PER_S)};

        (void)nanosleep(&pause, NULL);
    }
}

static void guest_is_busy(struct door_guest *guest, bool busy)
{
    pthread_mutex_lock(&guest->door->lock);
    guest->busy = busy;
    pthread_mutex_unlock(&guest->door->lock);
}

static void guest_is(struct door_guest *guest, const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES])
{
    pthread_mutex_lock(&guest->door->lock);
    memcpy(guest->peer.key, key, sizeof(guest->peer.key));
    pthread_mutex_unlock(&guest->door->lock);
}

/* Who has redeemed something keeps its place. So one that has more of them than it needs gives up its oldest: with addresses
 * enough it would have them all. */
static void guest_was_served(struct door_guest *guest)
{
    struct join_door *door = guest->door;
    struct door_guest *oldest = guest;
    size_t here = 0;

    pthread_mutex_lock(&door->lock);
    guest->served = true;
    for (size_t i = 0; i < DOOR_SLOTS; i++) {
        struct door_guest *other = &door->guests[i];

        if (other->state != GUEST_HERE || other->leave || !other->served ||
            memcmp(other->peer.key, guest->peer.key, sizeof(guest->peer.key)) != 0)
            continue;
        here++;
        if (other->came_ns < oldest->came_ns)
            oldest = other;
    }
    if (here > JOIN_DOOR_LINKS_A_KEY)
        oldest->leave = true;
    pthread_mutex_unlock(&door->lock);
}

/* false: no whole request came. */
static bool guest_serve(struct door_guest *guest, struct stoq_pipe *pipe)
{
    struct stoq_bytes tag = stoq_pipe_tag(pipe);
    struct hm_buf request = {0}, answer = {0};
    bool served = false;

    guest_is_busy(guest, true);
    guest_hold_back(guest);
    bool came = tag.len == sizeof(guest->peer.key) && guest_read(guest, pipe, &request) == 0;
    if (came) {
        guest_is(guest, tag.data);
        int rc = join_door_answer(guest->door, &guest->peer, hm_buf_slice(&request), &answer,
                                  &served);
        if (served)
            guest_was_served(guest);
        guest->refusals = served ? 0 : guest->refusals + 1;
        if (rc == 0)
            guest_write(guest, pipe, hm_buf_slice(&answer));
    }
    if (request.data != NULL)
        hm_wipe(request.data, request.cap); /* it may hold a ticket's secret */
    hm_buf_release(&request);
    hm_buf_release(&answer);
    guest_is_busy(guest, false);
    return came;
}

/* The next stream, in short pieces of waiting; false: there is none. */
static bool guest_next(const struct door_guest *guest, struct stoq_pipe **out)
{
    uint64_t until_ns = door_now_ns() + DOOR_QUIET_MS * DOOR_NS_PER_MS;
    int rc = STOQ_ETIMEOUT;

    while (rc == STOQ_ETIMEOUT && !guest_must_go(guest) && door_left_ms(until_ns) > 0)
        rc = stoq_pipe_accept(guest->link, DOOR_NAP_MS, out, NULL);
    return rc == 0;
}

static void guest_becomes(struct door_guest *guest, enum door_guest_state state)
{
    pthread_mutex_lock(&guest->door->lock);
    guest->state = state;
    pthread_mutex_unlock(&guest->door->lock);
}

static void *guest_main(void *arg)
{
    struct door_guest *guest = arg;
    struct stoq_pipe *pipe;
    bool came = true;

    while (came && guest_next(guest, &pipe)) {
        came = guest_serve(guest, pipe);
        stoq_pipe_release(pipe);
    }
    stoq_link_release(guest->link);
    guest_becomes(guest, GUEST_GONE);
    return NULL;
}

/* --- connections ------------------------------------------------------------------------------------------ */

bool join_door_same_place(const struct sockaddr_in6 *one, const struct sockaddr_in6 *other)
{
    bool v4 = IN6_IS_ADDR_V4MAPPED(&one->sin6_addr);

    return v4 == IN6_IS_ADDR_V4MAPPED(&other->sin6_addr) &&
           memcmp(&one->sin6_addr, &other->sin6_addr, v4 ? 16 : 8) == 0;
}

static enum door_guest_state door_state(struct join_door *door, size_t slot)
{
    pthread_mutex_lock(&door->lock);
    enum door_guest_state state = door->guests[slot].state;
    pthread_mutex_unlock(&door->lock);
    return state;
}

/* A free slot; threads that have ended are joined on the way. NULL: all are taken. */
static struct door_guest *door_slot(struct join_door *door)
{
    struct door_guest *found = NULL;

    for (size_t i = 0; i < DOOR_SLOTS; i++) {
        struct door_guest *guest = &door->guests[i];
        enum door_guest_state state = door_state(door, i);

        if (state == GUEST_GONE) {
            pthread_join(guest->thread, NULL);
            guest_becomes(guest, GUEST_NONE);
        }
        if (state != GUEST_HERE && found == NULL)
            found = guest;
    }
    return found;
}

/* Is there room for one from there, of so many places? Else the oldest that has redeemed nothing goes. NULL at: from anywhere. */
static bool door_room(struct join_door *door, const struct sockaddr_in6 *at, size_t places)
{
    struct door_guest *oldest = NULL, *quiet = NULL;
    size_t here = 0;

    pthread_mutex_lock(&door->lock);
    for (size_t i = 0; i < DOOR_SLOTS; i++) {
        struct door_guest *guest = &door->guests[i];

        if (guest->state != GUEST_HERE || guest->leave ||
            (at != NULL && !join_door_same_place(at, &guest->peer.remote)))
            continue;
        here++;
        if (!guest->served && (oldest == NULL || guest->came_ns < oldest->came_ns))
            oldest = guest;
        if (guest->served && !guest->busy && (quiet == NULL || guest->came_ns < quiet->came_ns))
            quiet = guest;
    }
    /* Of one's own place also one that asks nothing now: it was killed, say, and else it calls again. */
    if (oldest == NULL && at != NULL)
        oldest = quiet;
    if (here >= places && oldest != NULL)
        oldest->leave = true;
    pthread_mutex_unlock(&door->lock);
    return here < places || oldest != NULL;
}

static void door_let_in(struct join_door *door, struct stoq_link *link)
{
    struct door_guest *guest = door_slot(door);
    struct stoq_conn_info info;

    if (guest == NULL || stoq_link_info(link, &info) != 0 ||
        !door_room(door, &info.path.remote, JOIN_DOOR_LINKS_A_PLACE) ||
        !door_room(door, NULL, JOIN_DOOR_LINKS_MAX)) {
        stoq_link_release(link);
        return;
    }
    pthread_mutex_lock(&door->lock);
    *guest = (struct door_guest){.door = door,
                                 .link = link,
                                 .state = GUEST_HERE,
                                 .came_ns = door_now_ns(),
                                 .peer = {.local = info.path.local, .remote = info.path.remote}};
    pthread_mutex_unlock(&door->lock);
    if (pthread_create(&guest->thread, NULL, guest_main, guest) != 0) {
        guest_becomes(guest, GUEST_NONE);
        stoq_link_release(link);
    }
}

static bool door_is_closing(struct join_door *door)
{
    pthread_mutex_lock(&door->lock);
    bool closing = door->closing;
    pthread_mutex_unlock(&door->lock);
    return closing;
}

static void *door_main(void *arg)
{
    struct join_door *door = arg;
    struct stoq_link *link;

    /* The caller must not be closed between two of these: this thread ends first. */
    while (!door_is_closing(door)) {
        int rc = stoq_link_accept(door->caller, DOOR_LOOK_MS, &link, NULL);

        if (rc == 0)
            door_let_in(door, link);
        else if (rc != STOQ_ETIMEOUT)
            break;
    }
    return NULL;
}

/* --- what is logged --------------------------------------------------------------------------------------- */

void join_door_log_refusal(struct join_door *door, const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES],
                           const char *why)
{
    uint64_t now_ns = door_now_ns();
    char id[17], more[48] = "";

    pthread_mutex_lock(&door->log_lock);
    bool soon = door->logged_ns != 0 && now_ns - door->logged_ns < DOOR_NS_PER_S;
    unsigned left_out = door->left_out;
    door->left_out = soon ? left_out + 1 : 0;
    if (!soon)
        door->logged_ns = now_ns;
    pthread_mutex_unlock(&door->log_lock);
    if (soon)
        return;
    if (left_out > 0)
        snprintf(more, sizeof(more), " (%u more refusals before it)", left_out);
    hm_hex_encode(key, 8, id);
    hm_log(HM_LOG_WARN, "door", "newcomer %s... is refused: %s%s", id, why, more);
}

/* --- life ------------------------------------------------------------------------------------------------- */

const struct join_door_self *join_door_self(const struct join_door *door)
{
    return &door->self;
}

const struct join_door_options *join_door_options(const struct join_door *door)
{
    return &door->options;
}

static int door_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the door");
}

static int door_genesis(struct join_door *door, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf genesis = {0};
    HM_AUTOFREE char *path = hm_asprintf("%s/" JOIN_GENESIS, door->options.data_dir);
    int rc = path == NULL ? door_no_memory(error)
                          : hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &genesis, error);

    if (rc == 0)
        crypto_hash(genesis.data, genesis.len, door->self.genesis_hash);
    return rc;
}

static int door_identity(struct join_door *door, struct hm_error *error)
{
    HM_AUTOFREE char *keys_dir = hm_asprintf("%s/" JOIN_KEYS_DIR, door->options.data_dir);
    struct crypto_ed25519_key key;
    int rc = keys_dir == NULL ? door_no_memory(error)
                              : engine_key_load(keys_dir, ENGINE_NODE_KEY_NAME, &key, error);

    if (rc != 0)
        return rc;
    rc = join_certificate_identity(&key, &door->identity, error);
    if (rc == 0)
        rc = engine_config_node_id(key.public_key, door->self.node_id, error);
    crypto_ed25519_wipe(&key);
    return rc != 0 ? rc : door_genesis(door, error);
}

static int door_listen(struct join_door *door, struct hm_error *error)
{
    struct stoq_host_config config;
    struct stoq_error why = {0};

    stoq_host_config_default(&config);
    if (stoq_address_parse(door->options.listen, JOIN_DOOR_PORT, &config.bind, &why) != 0)
        return hm_fail(error, HM_EINVAL, "--door-listen: %s", why.text);
    config.endpoint.identity = door->identity;
    config.endpoint.verify = door_verify;
    config.endpoint.server = true;
    config.endpoint.alpn = JOIN_DOOR_ALPN;
    config.endpoint.datagram_max = 0;
    config.endpoint.streams_bidi = DOOR_STREAMS;
    config.endpoint.streams_uni = 0;
    config.endpoint.idle_timeout_ns = DOOR_IDLE_NS;
    config.endpoint.stream_window = DOOR_WINDOW;
    config.endpoint.connection_window = DOOR_WINDOW * DOOR_STREAMS;
    config.endpoint.connections_max = DOOR_CONNECTIONS;
    config.endpoint.handshakes_per_second = DOOR_HANDSHAKES;
    config.endpoint.handshakes_before_retry = DOOR_RETRY_ABOVE;
    config.endpoint.rate = STOQ_RATE_100M;
    config.handlers.permit = door_permit;
    int rc = stoq_caller_open(&door->caller, &config, &why);
    return rc == 0 ? 0
                   : hm_fail(error, rc == STOQ_ENOMEM ? HM_ENOMEM : HM_EBUSY,
                             "the door for newcomers cannot be opened: %s (--door-listen %s)",
                             why.text, door->options.listen);
}

/* The transport uses IPv6's sockets for IPv4 too. */
static bool door_has_sockets(void)
{
    HM_AUTOCLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd >= 0 || errno != EAFNOSUPPORT;
}

int join_door_open(const struct join_door_options *options, struct join_door **out,
                   struct hm_error *error)
{
    struct join_door *door;
    int rc;

    if (!door_has_sockets()) {
        hm_log(HM_LOG_WARN, "door",
               "newcomers cannot be answered: this machine's kernel has no IPv6, whose sockets are "
               "needed for IPv4 too");
        *out = NULL;
        return 0;
    }
    door = hm_calloc(1, sizeof(*door));
    if (door == NULL)
        return door_no_memory(error);
    door->options = *options;
    pthread_mutex_init(&door->lock, NULL);
    pthread_mutex_init(&door->log_lock, NULL);
    rc = door_identity(door, error);
    if (rc == 0)
        rc = door_listen(door, error);
    if (rc == 0 && pthread_create(&door->porter, NULL, door_main, door) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no thread for the door");
    if (rc != 0) {
        join_door_close(door);
        return rc;
    }
    door->has_porter = true;
    hm_log(HM_LOG_INFO, "door", "newcomers are answered at %s", options->listen);
    *out = door;
    return 0;
}

void join_door_close(struct join_door *door)
{
    if (door == NULL)
        return;
    pthread_mutex_lock(&door->lock);
    door->closing = true;
    pthread_mutex_unlock(&door->lock);
    if (door->has_porter)
        pthread_join(door->porter, NULL);
    stoq_caller_close(door->caller); /* guests who wait for a stream are woken */
    for (size_t i = 0; i < DOOR_SLOTS; i++)
        if (door_state(door, i) != GUEST_NONE)
            pthread_join(door->guests[i].thread, NULL);
    stoq_identity_unref(door->identity);
    pthread_mutex_destroy(&door->log_lock);
    pthread_mutex_destroy(&door->lock);
    hm_free(door);
}
