#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_config.h"
#include "ledger.h"
#include "witness_private.h"
#include "wire.h"

#define WITNESS_ACTIVE_NS (UINT64_C(15) * 1000000000) /* after a block the chain is called busy */
#define WITNESS_DRAIN_MAX 64 /* packets read before anything else is looked at */

/* --- addresses ------------------------------------------------------------------------------------------- */

static void place_of(const struct sockaddr_storage *address, struct witness_echo_place *out)
{
    memset(out, 0, sizeof(*out));
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        out->ip[10] = out->ip[11] = 0xff;
        memcpy(out->ip + 12, &v4->sin_addr, 4);
        out->port = ntohs(v4->sin_port);
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        memcpy(out->ip, &v6->sin6_addr, 16);
        out->port = ntohs(v6->sin6_port);
    }
}

static socklen_t address_of(const struct witness_echo_place *place, int family,
                            struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    out->ss_family = (sa_family_t)family;
    if (family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;

        memcpy(&v4->sin_addr, place->ip + 12, 4);
        v4->sin_port = htons(place->port);
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memcpy(&v6->sin6_addr, place->ip, 16);
    v6->sin6_port = htons(place->port);
    return sizeof(*v6);
}

/* --- peers that were named -------------------------------------------------------------------------------- */

static int witness_name(struct witness *witness, const uint8_t id[WITNESS_ECHO_ID_BYTES],
                        const struct sockaddr_storage *address)
{
    struct witness_echo_place place;
    int rc;

    if (address != NULL)
        place_of(address, &place);
    pthread_mutex_lock(&witness->lock);
    rc = witness_echo_peers_name(&witness->peers, id, address != NULL ? &place : NULL,
                                 hm_mono_ns(witness->clock));
    pthread_mutex_unlock(&witness->lock);
    return rc;
}

static int witness_take_name(struct witness *witness, const char *text, struct hm_error *error)
{
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    struct sockaddr_storage address;
    const char *at = strchr(text, '@');
    socklen_t len;
    bool found;

    if (at == NULL || hm_hex_decode(text, (size_t)(at - text), id, sizeof(id), NULL) != 0)
        return hm_fail(error, HM_EINVAL, "a peer is NODE-ID@ADDRESS:PORT, not '%.100s'", text);
    found = witness_address(at + 1, witness->family, false, &address, &len) == 0;
    if (!found)
        witness_names_add(witness->names, id, at + 1);
    if (witness_name(witness, id, found ? &address : NULL) != 0)
        return hm_fail(error, HM_ELIMIT, "more than %d peers", WITNESS_ECHO_PEERS_MAX);
    return 0;
}

static int witness_take_names(struct witness *witness, const struct witness_options *options,
                              struct hm_error *error)
{
    int rc = witness_names_new(options->peer_count, witness->family, &witness->names, error);

    for (size_t i = 0; rc == 0 && i < options->peer_count; i++)
        rc = witness_take_name(witness, options->peers[i], error);
    return rc;
}

/* Names of machines, which may be known later than the node starts. */
static void witness_take_found(struct witness *witness)
{
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    struct sockaddr_storage address;

    while (witness_names_take(witness->names, id, &address)) /* each one once */
        (void)witness_name(witness, id, &address);
}

/* --- packets --------------------------------------------------------------------------------------------- */

void witness_send(struct witness *witness, const uint8_t *packet, size_t len,
                  const struct witness_echo_place *to)
{
    struct sockaddr_storage address;
    socklen_t address_len = address_of(to, witness->family, &address);

    /* What cannot be sent now is as good as lost on the way. */
    (void)sendto(witness->socket, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                 (struct sockaddr *)&address, address_len);
}

/* The time is taken as late as can be: making the signature is not part of the way. False: no random bytes could be had. */
static bool witness_ask(struct witness *witness, struct witness_echo_peer *peer)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], packet[WITNESS_ECHO_ASK_BYTES];

    if (witness->random->fill(witness->random->ctx, nonce, sizeof(nonce)) != 0)
        return false;
    witness_echo_write_ask(&witness->key, witness->chain, nonce, hm_wall_ms(witness->clock),
                           packet);
    pthread_mutex_lock(&witness->lock);
    witness_echo_peer_asked(peer, nonce, hm_mono_ns(witness->clock));
    pthread_mutex_unlock(&witness->lock);
    witness_send(witness, packet, sizeof(packet), &peer->place);
    atomic_fetch_add(&witness->asked, 1);
    return true;
}

static bool witness_on_ask(struct witness *witness, struct hm_slice packet,
                           const struct witness_echo_place *from, uint64_t now_ns)
{
    uint8_t answer[WITNESS_ECHO_ANSWER_BYTES], id[WITNESS_ECHO_ID_BYTES];
    struct witness_echo_peer *unproven;
    struct witness_echo asked;
    bool let;

    if (witness_echo_read(packet, witness->chain, WITNESS_ECHO_ASK, &asked) != 0)
        return false;
    pthread_mutex_lock(&witness->lock);
    let = witness_echo_peers_lets(&witness->peers, from, now_ns);
    pthread_mutex_unlock(&witness->lock);
    if (!let || witness_echo_check(packet, WITNESS_ECHO_ASK, NULL) != 0 ||
        engine_config_address(asked.key, id, NULL) != 0 || memcmp(id, witness->id, sizeof(id)) == 0)
        return false;
    pthread_mutex_lock(&witness->lock);
    unproven = witness_echo_peers_heard(&witness->peers, id, from, asked.clock_ms, now_ns);
    pthread_mutex_unlock(&witness->lock);
    if (unproven != NULL) {
        (void)witness_ask(witness, unproven);
        return true;
    }
    witness_echo_write_answer(&witness->key, witness->chain, &asked, hm_wall_ms(witness->clock),
                              answer);
    witness_send(witness, answer, sizeof(answer), from);
    atomic_fetch_add(&witness->answered, 1);
    return true;
}

/* One of the two is wrong; whose it is the validators' votes tell, a few seconds later. */
static void witness_tell_clock(const struct witness_echo_peer *peer, int64_t clock_ms)
{
    char id[2 * WITNESS_ECHO_ID_BYTES + 1];

    hm_hex_encode(peer->id, WITNESS_ECHO_ID_BYTES, id);
    if (peer->doubted)
        hm_log(HM_LOG_WARN, "witness",
               "the clock of node %s is %" PRId64 " ms %s this node's: one of both is wrong; "
               "nexus cluster status shows whose the validators doubt",
               id, clock_ms < 0 ? -clock_ms : clock_ms, clock_ms < 0 ? "behind" : "ahead of");
    else
        hm_log(HM_LOG_INFO, "witness", "the clock of node %s and this node's agree again", id);
}

/* Wall and monotonic clock as they were when the packet was read. */
static bool witness_on_answer(struct witness *witness, struct hm_slice packet, uint64_t wall_ms,
                              uint64_t now_ns)
{
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    struct witness_echo_peer *peer;
    struct witness_echo answer;
    int64_t clock_ms;

    if (witness_echo_read(packet, witness->chain, WITNESS_ECHO_ANSWER, &answer) != 0)
        return false;
    peer = witness_echo_peers_waiting(&witness->peers, answer.nonce, now_ns);
    if (peer == NULL || engine_config_address(answer.key, id, NULL) != 0 ||
        memcmp(id, peer->id, sizeof(id)) != 0 ||
        witness_echo_check(packet, WITNESS_ECHO_ANSWER, witness->key.public_key) != 0)
        return false;
    pthread_mutex_lock(&witness->lock);
    witness_echo_peer_answered(peer, answer.clock_ms, wall_ms, now_ns);
    bool news = witness_echo_peer_news(peer, now_ns, &clock_ms);
    pthread_mutex_unlock(&witness->lock);
    if (news)
        witness_tell_clock(peer, clock_ms);
    atomic_fetch_add(&witness->answers, 1);
    return true;
}

/* --- receiving -------------------------------------------------------------------------------------------- */

/* False: there is none. */
static bool witness_receive(struct witness *witness)
{
    uint8_t bytes[WITNESS_ECHO_ASK_BYTES + 1]; /* a longer one shows */
    struct sockaddr_storage from = {0};
    socklen_t from_len = sizeof(from);
    ssize_t got = recvfrom(witness->socket, bytes, sizeof(bytes), MSG_DONTWAIT,
                           (struct sockaddr *)&from, &from_len);
    uint64_t now_ns = hm_mono_ns(witness->clock), wall_ms = hm_wall_ms(witness->clock);
    struct witness_echo_place place;

    if (got < 0)
        return errno == EINTR;
    struct hm_slice packet = hm_slice_of(bytes, (size_t)got);
    place_of(&from, &place);
    bool good = packet.len == WITNESS_LINK_BYTES
                    ? witness_train_take(witness, packet, &place, now_ns)
                : packet.len == WITNESS_ECHO_ASK_BYTES
                    ? witness_on_ask(witness, packet, &place, now_ns)
                    : witness_on_answer(witness, packet, wall_ms, now_ns);
    if (!good)
        atomic_fetch_add(&witness->refused, 1);
    return true;
}

/* --- the thread ------------------------------------------------------------------------------------------- */

static bool witness_is_busy(struct witness *witness, uint64_t now_ns)
{
    uint64_t block_ns = atomic_load(&witness->block_ns);

    return block_ns >= now_ns || now_ns - block_ns < WITNESS_ACTIVE_NS;
}

/* Asks who is due; milliseconds until the next is. */
static int witness_ask_all(struct witness *witness)
{
    uint64_t wait_ns = 0, now_ns = hm_mono_ns(witness->clock);
    bool busy;

    atomic_store(&witness->resting, true); /* a block from now on wakes this thread */
    busy = witness_is_busy(witness, now_ns);
    atomic_store(&witness->resting, !busy);
    witness_take_found(witness);
    pthread_mutex_lock(&witness->lock);
    witness_echo_peers_forget(&witness->peers, now_ns);
    pthread_mutex_unlock(&witness->lock);
    for (size_t i = 0; i < WITNESS_ECHO_PEERS_MAX; i++) {
        struct witness_echo_peer *peer = witness_echo_peers_due(
            &witness->peers, hm_mono_ns(witness->clock),
            busy ? WITNESS_ECHO_ACTIVE_NS : WITNESS_ECHO_IDLE_NS, &wait_ns);

        if (peer == NULL)
            break;
        wait_ns = 0;
        if (!witness_ask(witness, peer))
            return WITNESS_RETRY_MS;
    }
    if (wait_ns > WITNESS_ECHO_IDLE_NS)
        wait_ns = WITNESS_ECHO_IDLE_NS;
    int wait_ms = (int)(wait_ns / 1000000) + 1;
    return busy ? witness_train_ask(witness, wait_ms) : wait_ms;
}

/* All that came, or as much as is read at once, and then what is to be told of it. */
static void witness_receive_all(struct witness *witness)
{
    bool more = true;

    for (int i = 0; i < WITNESS_DRAIN_MAX && more; i++)
        more = witness_receive(witness);
    if (!more)
        witness_train_look(witness);
}

static void *witness_main(void *arg)
{
    struct witness *witness = arg;

    pthread_setname_np(pthread_self(), "hm-echo");
    while (!atomic_load(&witness->quit)) {
        struct pollfd fds[] = {{.fd = witness->socket, .events = POLLIN},
                               {.fd = witness->wake_fd, .events = POLLIN}};
        int wait_ms = witness_ask_all(witness);
        uint64_t woken;

        if (poll(fds, HM_COUNT_OF(fds), wait_ms) > 0 && fds[1].revents != 0)
            (void)!read(witness->wake_fd, &woken, sizeof(woken));
        witness_receive_all(witness);
    }
    return NULL;
}

static void witness_wake(struct witness *witness)
{
    const uint64_t one = 1;

    (void)!write(witness->wake_fd, &one, sizeof(one));
}

/* --- opening --------------------------------------------------------------------------------------------- */

/* Not having it is no failure of the node's. */
static void witness_listen(struct witness *witness, const char *listen)
{
    struct sockaddr_storage address;
    socklen_t len;
    int fd, off = 0;

    if (witness_address(listen, AF_UNSPEC, true, &address, &len) != 0) {
        hm_log(HM_LOG_WARN, "witness",
               "'%s' is no address: the other nodes' distance is not measured", listen);
        return;
    }
    witness->family = address.ss_family;
    fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0) {
        hm_log(HM_LOG_WARN, "witness",
               "UDP port %s cannot be had (%s): the other nodes' distance is not measured, and "
               "they cannot measure this node's; free the port and start the node again",
               listen, strerror(errno));
        hm_fd_release(&fd);
        return;
    }
    witness->socket = fd;
}

static int witness_start(struct witness *witness, const struct witness_options *options,
                         struct hm_error *error)
{
    uint8_t secret[CRYPTO_KEY_BYTES];
    int rc = engine_config_address(witness->key.public_key, witness->id, error);

    if (rc != 0)
        return rc;
    witness->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (witness->wake_fd < 0 ||
        witness->random->fill(witness->random->ctx, secret, sizeof(secret)) != 0) {
        hm_wipe(secret, sizeof(secret));
        return hm_fail(error, HM_EIO, "no descriptor or random bytes to measure distances");
    }
    witness_echo_peers_init(&witness->peers, witness->id, secret);
    hm_wipe(secret, sizeof(secret));
    witness_listen(witness, options->listen);
    rc = witness_take_names(witness, options, error);
    if (rc != 0 || witness->socket < 0)
        return rc;
    rc = witness_names_start(witness->names, witness->wake_fd, error);
    if (rc != 0)
        return rc;
    if (pthread_create(&witness->thread, NULL, witness_main, witness) != 0)
        return hm_fail(error, HM_ENOMEM, "no thread to measure distances on");
    witness->running = true;
    return 0;
}

int witness_open(const struct witness_options *options, struct witness **out,
                 struct hm_error *error)
{
    struct witness *witness = hm_calloc(1, sizeof(*witness));
    int rc;

    if (witness == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to measure distances");
    witness->key = *options->key;
    witness->clock = options->clock;
    witness->random = options->random;
    witness->family = AF_INET;
    witness->socket = witness->wake_fd = -1;
    pthread_mutex_init(&witness->lock, NULL);
    atomic_store(&witness->block_ns, hm_mono_ns(witness->clock));
    witness_echo_chain(options->chain_id, witness->chain);
    memcpy(witness->validator, options->validator, sizeof(witness->validator));
    rc = witness_start(witness, options, error);
    if (rc != 0) {
        witness_close(witness);
        return rc;
    }
    *out = witness;
    return 0;
}

void witness_close(struct witness *witness)
{
    if (witness == NULL)
        return;
    atomic_store(&witness->quit, true);
    if (witness->running) {
        witness_wake(witness);
        pthread_join(witness->thread, NULL);
    }
    hm_fd_release(&witness->socket);
    hm_fd_release(&witness->wake_fd);
    pthread_mutex_destroy(&witness->lock);
    crypto_ed25519_wipe(&witness->key);
    hm_wipe(witness->peers.secret, sizeof(witness->peers.secret));
    witness_names_free(witness->names);
    hm_free(witness);
}

/* --- what others ask of it -------------------------------------------------------------------------------- */

void witness_saw_block(struct witness *witness)
{
    if (witness == NULL)
        return;
    atomic_store(&witness->block_ns, hm_mono_ns(witness->clock));
    if (atomic_exchange(&witness->resting, false))
        witness_wake(witness);
}

static size_t witness_see(struct witness *witness,
                          struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX])
{
    pthread_mutex_lock(&witness->lock);
    size_t count = witness_echo_peers_see(&witness->peers, hm_mono_ns(witness->clock), seen);
    pthread_mutex_unlock(&witness->lock);
    return count;
}

void witness_prove(struct witness *witness, const uint8_t chain_hash[CRYPTO_HASH_BYTES])
{
    uint8_t digest[CRYPTO_HASH_BYTES];

    ledger_witness_digest(chain_hash, witness->validator, digest);
    crypto_ed25519_sign(&witness->key, digest, sizeof(digest), witness->proof);
    witness->proven = true;
}

bool witness_is_proven(const struct witness *witness)
{
    return witness->proven;
}

void witness_know(struct witness *witness, const Hypermesh__WitnessView *view)
{
    uint8_t ids[WITNESS_ECHO_KNOWN_MAX][WITNESS_ECHO_ID_BYTES];
    size_t count = 0;

    for (size_t i = 0; i < view->n_nodes && count < WITNESS_ECHO_KNOWN_MAX; i++)
        if (view->nodes[i]->node.len == WITNESS_ECHO_ID_BYTES)
            memcpy(ids[count++], view->nodes[i]->node.data, WITNESS_ECHO_ID_BYTES);
    pthread_mutex_lock(&witness->lock);
    witness_echo_peers_know(&witness->peers, ids, count);
    pthread_mutex_unlock(&witness->lock);
}

_Static_assert(WITNESS_ECHO_PEERS_MAX <= LEDGER_WITNESS_ECHOES_MAX, "a vote takes them all");

int witness_pack(void *ctx, struct hm_buf *out)
{
    struct witness *witness = ctx;
    Hypermesh__VoteWitness vote = HYPERMESH__VOTE_WITNESS__INIT;
    Hypermesh__WitnessEcho echoes[WITNESS_ECHO_PEERS_MAX], *pointers[WITNESS_ECHO_PEERS_MAX];
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    size_t count = witness_see(witness, seen);

    for (size_t i = 0; i < count; i++) {
        hypermesh__witness_echo__init(&echoes[i]);
        echoes[i].node = wire_bytes(seen[i].id, sizeof(seen[i].id));
        echoes[i].rtt_us = seen[i].rtt_us;
        echoes[i].clock_ms = seen[i].clock_ms;
        pointers[i] = &echoes[i];
    }
    vote.clock_ms = hm_wall_ms(witness->clock);
    vote.node = wire_bytes(witness->id, sizeof(witness->id));
    if (witness->proven) {
        vote.key = wire_bytes(witness->key.public_key, sizeof(witness->key.public_key));
        vote.proof = wire_bytes(witness->proof, sizeof(witness->proof));
    }
    vote.echoes = pointers;
    vote.n_echoes = count;
    return wire_pack(&vote.base, out);
}

void witness_get_stats(struct witness *witness, struct witness_stats *out)
{
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];

    *out = (struct witness_stats){.listening = witness->running};
    out->answering = witness_see(witness, seen);
    pthread_mutex_lock(&witness->lock);
    out->peers = witness->peers.count;
    out->links_bad = witness_links_bad(&witness->peers);
    out->link_sent = witness->peers.links_total.sent;
    out->link_answered = witness->peers.links_total.answered;
    out->link_lost = witness->peers.links_total.of[WITNESS_LINK_LOST];
    out->link_late = witness->peers.links_total.of[WITNESS_LINK_LATE];
    out->link_twice = witness->peers.links_total.of[WITNESS_LINK_TWICE];
    pthread_mutex_unlock(&witness->lock);
    out->asked = atomic_load(&witness->asked);
    out->answers = atomic_load(&witness->answers);
    out->answered = atomic_load(&witness->answered);
    out->refused = atomic_load(&witness->refused);
}
