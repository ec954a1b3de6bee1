#include "witness_echo_peers.h"

#include "ledger.h"

#define NS_A_S  UINT64_C(1000000000)
#define NS_A_MS UINT64_C(1000000)
#define NS_A_US UINT64_C(1000)

void witness_echo_peers_init(struct witness_echo_peers *peers,
                             const uint8_t own[WITNESS_ECHO_ID_BYTES],
                             const uint8_t secret[CRYPTO_KEY_BYTES])
{
    memset(peers, 0, sizeof(*peers));
    memcpy(peers->own, own, WITNESS_ECHO_ID_BYTES);
    memcpy(peers->secret, secret, CRYPTO_KEY_BYTES);
}

/* --- the table ------------------------------------------------------------------------------------------- */

/* Where the id is, or belongs. */
static size_t peers_at(const struct witness_echo_peers *peers, const uint8_t *id, bool *found)
{
    size_t low = 0, high = peers->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(peers->list[middle].id, id, WITNESS_ECHO_ID_BYTES);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct witness_echo_peer *peers_add(struct witness_echo_peers *peers, size_t at,
                                           const uint8_t *id, bool named, uint64_t now_ns)
{
    struct witness_echo_peer *peer = &peers->list[at];

    memmove(peer + 1, peer, (peers->count - at) * sizeof(*peer));
    *peer = (struct witness_echo_peer){.named = named, .since_ns = now_ns};
    memcpy(peer->id, id, WITNESS_ECHO_ID_BYTES);
    peers->count++;
    return peer;
}

bool witness_echo_peer_is_at(const struct witness_echo_peer *peer,
                             const struct witness_echo_place *place)
{
    return peer->placed && peer->place.port == place->port &&
           memcmp(peer->place.ip, place->ip, sizeof(place->ip)) == 0;
}

static const struct witness_echo_sample *peer_best(const struct witness_echo_peer *peer,
                                                   uint64_t now_ns)
{
    const struct witness_echo_sample *best = NULL;

    for (unsigned i = 0; i < peer->sample_count; i++) {
        const struct witness_echo_sample *sample = &peer->samples[i];

        if ((sample->at_ns > now_ns || now_ns - sample->at_ns <= WITNESS_ECHO_FRESH_NS) &&
            (best == NULL || sample->rtt_ns < best->rtt_ns))
            best = sample;
    }
    return best;
}

int witness_echo_peers_name(struct witness_echo_peers *peers,
                            const uint8_t id[WITNESS_ECHO_ID_BYTES],
                            const struct witness_echo_place *place, uint64_t now_ns)
{
    struct witness_echo_peer *peer;
    bool found;
    size_t at = peers_at(peers, id, &found);

    if (memcmp(id, peers->own, WITNESS_ECHO_ID_BYTES) == 0)
        return 0;
    if (!found && peers->count == WITNESS_ECHO_PEERS_MAX)
        return HM_ELIMIT;
    peer = found ? &peers->list[at] : peers_add(peers, at, id, true, now_ns);
    peer->named = true;
    if (place != NULL)
        peer->place = *place;
    peer->placed = peer->placed || place != NULL;
    return 0;
}

/* --- who is learned --------------------------------------------------------------------------------------- */

static bool place_is_v4(const struct witness_echo_place *place)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(place->ip, mapped, sizeof(mapped)) == 0;
}

/* The same /24 of IPv4, or /64 of IPv6: as many addresses as one host may well have. */
static bool place_is_near(const struct witness_echo_place *a, const struct witness_echo_place *b)
{
    bool v4 = place_is_v4(a);

    return v4 == place_is_v4(b) && memcmp(a->ip, b->ip, v4 ? 15 : 8) == 0;
}

static bool peers_knows(const struct witness_echo_peers *peers, const uint8_t *id)
{
    for (size_t i = 0; i < peers->known_count; i++)
        if (memcmp(peers->known[i], id, WITNESS_ECHO_ID_BYTES) == 0)
            return true;
    return false;
}

void witness_echo_peers_know(struct witness_echo_peers *peers,
                             const uint8_t (*ids)[WITNESS_ECHO_ID_BYTES], size_t count)
{
    peers->known_count = count < WITNESS_ECHO_KNOWN_MAX ? count : WITNESS_ECHO_KNOWN_MAX;
    for (size_t i = 0; i < peers->known_count; i++)
        memcpy(peers->known[i], ids[i], WITNESS_ECHO_ID_BYTES);
    for (size_t i = 0; i < peers->count; i++)
        peers->list[i].known = peers_knows(peers, peers->list[i].id);
}

static bool peer_is_stranger(const struct witness_echo_peer *peer)
{
    return !peer->named && !peer->known;
}

/* Has the network of that place as many strangers as it may? mover: not counted, as it is to go there; NULL: nobody. */
static bool block_is_full(const struct witness_echo_peers *peers,
                          const struct witness_echo_place *place,
                          const struct witness_echo_peer *mover)
{
    size_t count = 0;

    for (size_t i = 0; i < peers->count; i++) {
        const struct witness_echo_peer *peer = &peers->list[i];

        count += peer != mover && peer_is_stranger(peer) && place_is_near(&peer->place, place);
    }
    return count >= WITNESS_ECHO_BLOCK_MAX;
}

static void peers_remove(struct witness_echo_peers *peers, struct witness_echo_peer *peer)
{
    size_t after = peers->count - (size_t)(peer - peers->list) - 1;

    memmove(peer, peer + 1, after * sizeof(*peer));
    peers->count--;
}

/* One stranger less, one that never answered if there is such a one. False: there is none. */
static bool peers_displace(struct witness_echo_peers *peers)
{
    struct witness_echo_peer *worst = NULL;

    for (size_t i = 0; i < peers->count; i++) {
        struct witness_echo_peer *peer = &peers->list[i];

        if (peer_is_stranger(peer) &&
            (worst == NULL || (worst->sample_count > 0 && peer->sample_count == 0)))
            worst = peer;
    }
    if (worst != NULL)
        peers_remove(peers, worst);
    return worst != NULL;
}

static size_t peers_learned(const struct witness_echo_peers *peers)
{
    size_t count = 0;

    for (size_t i = 0; i < peers->count; i++)
        count += !peers->list[i].named;
    return count;
}

/* Is there room for one more from there, or is it made? */
static bool peers_make_room(struct witness_echo_peers *peers, const struct witness_echo_place *from,
                            bool known)
{
    if (!known && block_is_full(peers, from, NULL))
        return false;
    return (peers->count < WITNESS_ECHO_PEERS_MAX &&
            peers_learned(peers) < WITNESS_ECHO_LEARNED_MAX) ||
           (known && peers_displace(peers));
}

static struct witness_echo_peer *peers_learn(struct witness_echo_peers *peers, const uint8_t *id,
                                             const struct witness_echo_place *from, uint64_t now_ns)
{
    bool found, known = peers_knows(peers, id);
    struct witness_echo_peer *peer;

    if (!peers_make_room(peers, from, known))
        return NULL;
    peer = peers_add(peers, peers_at(peers, id, &found), id, false, now_ns);
    peer->known = known;
    return peer;
}

/* Does a question from there, not an old one sent again, show that a learned one that answers no longer has moved? */
static bool peer_has_moved(const struct witness_echo_peers *peers,
                           const struct witness_echo_peer *peer,
                           const struct witness_echo_place *from, uint64_t clock_ms,
                           uint64_t now_ns)
{
    return !peer->named && !witness_echo_peer_is_at(peer, from) && clock_ms > peer->newest_ms &&
           peer_best(peer, now_ns) == NULL &&
           !(peer_is_stranger(peer) && block_is_full(peers, from, peer));
}

/* Was it there? Whoever was named is trusted to be. */
static bool peer_is_proven(const struct witness_echo_peer *peer)
{
    return peer->named || peer->sample_count > 0;
}

struct witness_echo_peer *witness_echo_peers_heard(struct witness_echo_peers *peers,
                                                   const uint8_t id[WITNESS_ECHO_ID_BYTES],
                                                   const struct witness_echo_place *from,
                                                   uint64_t clock_ms, uint64_t now_ns)
{
    struct witness_echo_peer *peer;
    bool found;
    size_t at = peers_at(peers, id, &found);

    if (memcmp(id, peers->own, WITNESS_ECHO_ID_BYTES) == 0)
        return NULL;
    peer = found ? &peers->list[at] : peers_learn(peers, id, from, now_ns);
    if (peer == NULL)
        return NULL;
    if (!peer->placed || peer_has_moved(peers, peer, from, clock_ms, now_ns)) {
        peer->place = *from;
        peer->placed = true;
        peer->sample_count = 0;
    }
    if (clock_ms > peer->newest_ms)
        peer->newest_ms = clock_ms;
    return !peer_is_proven(peer) && witness_echo_peer_is_at(peer, from) ? peer : NULL;
}

void witness_echo_peers_forget(struct witness_echo_peers *peers, uint64_t now_ns)
{
    size_t kept = 0;

    for (size_t i = 0; i < peers->count; i++) {
        const struct witness_echo_peer *peer = &peers->list[i];

        if (!peer->named && now_ns - peer->since_ns > WITNESS_ECHO_FRESH_NS &&
            peer_best(peer, now_ns) == NULL)
            continue;
        if (kept != i)
            peers->list[kept] = *peer;
        kept++;
    }
    peers->count = kept;
}

/* --- asking ---------------------------------------------------------------------------------------------- */

struct witness_echo_peer *witness_echo_peers_due(struct witness_echo_peers *peers, uint64_t now_ns,
                                                 uint64_t every_ns, uint64_t *wait_ns)
{
    *wait_ns = UINT64_MAX;
    for (size_t i = 0; i < peers->count; i++) {
        struct witness_echo_peer *peer = &peers->list[i];
        uint64_t ago = now_ns - peer->asked_ns;
        /* Another question would put out the one whose answer is on its way. */
        uint64_t pause_ns = peer->waiting && every_ns < WITNESS_ECHO_WAIT_NS ? WITNESS_ECHO_WAIT_NS
                                                                             : every_ns;

        if (!peer->placed || !peer_is_proven(peer))
            continue;
        if (!peer->asked || ago >= pause_ns)
            return peer;
        if (pause_ns - ago < *wait_ns)
            *wait_ns = pause_ns - ago;
    }
    return NULL;
}

void witness_echo_peer_asked(struct witness_echo_peer *peer,
                             const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], uint64_t now_ns)
{
    memcpy(peer->nonce, nonce, WITNESS_ECHO_NONCE_BYTES);
    peer->asked = peer->waiting = true;
    peer->asked_ns = now_ns;
}

struct witness_echo_peer *witness_echo_peers_waiting(struct witness_echo_peers *peers,
                                                     const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                                                     uint64_t now_ns)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct witness_echo_peer *peer = &peers->list[i];

        if (peer->waiting && now_ns - peer->asked_ns <= WITNESS_ECHO_WAIT_NS &&
            memcmp(peer->nonce, nonce, WITNESS_ECHO_NONCE_BYTES) == 0)
            return peer;
    }
    return NULL;
}

static int64_t clock_off(uint64_t theirs_ms, uint64_t ours_ms)
{
    const uint64_t most = (uint64_t)WITNESS_ECHO_OFFSET_MAX_MS;

    if (theirs_ms >= ours_ms)
        return theirs_ms - ours_ms < most ? (int64_t)(theirs_ms - ours_ms)
                                          : WITNESS_ECHO_OFFSET_MAX_MS;
    return ours_ms - theirs_ms < most ? -(int64_t)(ours_ms - theirs_ms)
                                      : -WITNESS_ECHO_OFFSET_MAX_MS;
}

static bool clock_was_set(const struct witness_echo_peer *peer,
                          const struct witness_echo_sample *sample)
{
    const struct witness_echo_sample *best = peer_best(peer, sample->at_ns);
    int64_t off_ms = best != NULL ? best->clock_ms - sample->clock_ms : 0;
    uint64_t least_ms = best != NULL ? (best->rtt_ns + sample->rtt_ns) / 2 / NS_A_MS : 0;

    return (uint64_t)(off_ms < 0 ? -off_ms : off_ms) > least_ms + WITNESS_ECHO_JUMP_MS;
}

void witness_echo_peer_answered(struct witness_echo_peer *peer, uint64_t clock_ms, uint64_t wall_ms,
                                uint64_t now_ns)
{
    struct witness_echo_sample sample = {.at_ns = now_ns, .rtt_ns = now_ns - peer->asked_ns};
    uint64_t half_ms = sample.rtt_ns / 2 / NS_A_MS;

    peer->waiting = false;
    sample.clock_ms = clock_off(clock_ms, wall_ms > half_ms ? wall_ms - half_ms : 0);
    if (clock_was_set(peer, &sample))
        peer->sample_count = peer->sample_next = 0;
    peer->samples[peer->sample_next] = sample;
    peer->sample_next = (peer->sample_next + 1) % WITNESS_ECHO_SAMPLES;
    if (peer->sample_count < WITNESS_ECHO_SAMPLES)
        peer->sample_count++;
}

bool witness_echo_peer_news(struct witness_echo_peer *peer, uint64_t now_ns, int64_t *clock_ms)
{
    const struct witness_echo_sample *best = peer_best(peer, now_ns);

    if (best == NULL)
        return false;
    /* It is right to half its way. */
    int64_t most_ms = LEDGER_WITNESS_CLOCK_OFF_MS + (int64_t)(best->rtt_ns / 2 / NS_A_MS);
    bool off = best->clock_ms > most_ms || best->clock_ms < -most_ms;
    if (off == peer->doubted ||
        (peer->told_ns != 0 && now_ns - peer->told_ns < WITNESS_ECHO_TELL_NS))
        return false;
    peer->doubted = off;
    peer->told_ns = now_ns;
    *clock_ms = best->clock_ms;
    return true;
}

size_t witness_echo_peers_see(const struct witness_echo_peers *peers, uint64_t now_ns,
                              struct witness_echo_seen out[WITNESS_ECHO_PEERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < peers->count; i++) {
        const struct witness_echo_peer *peer = &peers->list[i];
        const struct witness_echo_sample *best = peer_best(peer, now_ns);

        if (best == NULL)
            continue;
        uint64_t rtt_us = best->rtt_ns / NS_A_US; /* at most WITNESS_ECHO_WAIT_NS */
        out[count].rtt_us = rtt_us > 0 ? (uint32_t)rtt_us : 1;
        out[count].clock_ms = best->clock_ms;
        memcpy(out[count].id, peer->id, WITNESS_ECHO_ID_BYTES);
        count++;
    }
    return count;
}

/* --- being asked ------------------------------------------------------------------------------------------ */

bool witness_echo_gate_lets(uint64_t *gate_ns, uint64_t now_ns, unsigned rate, unsigned burst)
{
    uint64_t cost_ns = NS_A_S / rate;
    uint64_t from_ns = *gate_ns > now_ns ? *gate_ns : now_ns;

    if (from_ns - now_ns > cost_ns * burst)
        return false;
    *gate_ns = from_ns + cost_ns;
    return true;
}

/* The /64 of an IPv6 address, or all of an IPv4 one. */
static void bucket_name(const struct witness_echo_place *place, uint8_t out[16])
{
    memcpy(out, place->ip, 16);
    if (!place_is_v4(place))
        memset(out + 8, 0, 8);
}

static uint64_t *bucket_of(struct witness_echo_peers *peers, const struct witness_echo_place *from)
{
    uint8_t ip[16], hash[CRYPTO_HASH_BYTES];

    bucket_name(from, ip);
    crypto_hash_keyed(peers->secret, ip, sizeof(ip), hash);
    return &peers->buckets_ns[hash[0]];
}
_Static_assert(WITNESS_ECHO_BUCKETS == 256, "a byte of a hash picks a bucket");

bool witness_echo_peers_lets(struct witness_echo_peers *peers,
                             const struct witness_echo_place *from, uint64_t now_ns)
{
    for (size_t i = 0; i < peers->count; i++)
        if (witness_echo_peer_is_at(&peers->list[i], from))
            return witness_echo_gate_lets(&peers->list[i].gate_ns, now_ns, WITNESS_ECHO_RATE_PEER,
                                          WITNESS_ECHO_BURST);
    return witness_echo_gate_lets(bucket_of(peers, from), now_ns, WITNESS_ECHO_RATE_ADDRESS,
                                  WITNESS_ECHO_BURST) &&
           witness_echo_gate_lets(&peers->gate_ns, now_ns, WITNESS_ECHO_RATE_ALL,
                                  WITNESS_ECHO_BURST * 16);
}
