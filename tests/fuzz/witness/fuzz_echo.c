/* Packets that measure distances, and the table they fill. The first byte says what the others are:
 *   0  a packet as it came             1  a sequence of what may happen to the table, eight bytes each */
#include <assert.h>
#include <stdlib.h>

#include "witness_links.h"

#define EVENT_BYTES 8
#define NEWS_MAX    ((WITNESS_ECHO_PEERS_MAX + 1) * WITNESS_LINK_FAULTS + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_ed25519_key own;
static uint8_t chain[WITNESS_ECHO_CHAIN_BYTES];

static void packet_try(struct hm_slice packet)
{
    uint8_t answer[WITNESS_ECHO_ANSWER_BYTES];
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], link[WITNESS_LINK_BYTES];
    enum witness_link_packet kind;
    struct witness_echo echo, again;
    unsigned number;

    if (witness_echo_read(packet, chain, WITNESS_ECHO_ASK, &echo) == 0) {
        assert(packet.len == WITNESS_ECHO_ASK_BYTES);
        (void)witness_echo_check(packet, WITNESS_ECHO_ASK, NULL);
        witness_echo_write_answer(&own, chain, &echo, echo.clock_ms, answer);
        struct hm_slice back = hm_slice_of(answer, sizeof(answer));
        assert(witness_echo_read(back, chain, WITNESS_ECHO_ANSWER, &again) == 0);
        assert(memcmp(again.nonce, echo.nonce, sizeof(echo.nonce)) == 0);
        assert(witness_echo_check(back, WITNESS_ECHO_ANSWER, echo.key) == 0);
    }
    if (witness_echo_read(packet, chain, WITNESS_ECHO_ANSWER, &echo) == 0)
        (void)witness_echo_check(packet, WITNESS_ECHO_ANSWER, own.public_key);
    if (witness_link_read(packet, chain, &kind, nonce, &number) == 0) {
        witness_link_write(kind, chain, nonce, number, link);
        assert(packet.len == sizeof(link) && memcmp(link, packet.data, sizeof(link)) == 0);
    }
}

static void peers_check(const struct witness_echo_peers *peers, uint64_t now_ns)
{
    struct witness_echo_seen seen[WITNESS_ECHO_PEERS_MAX];
    size_t learned = 0, count = witness_echo_peers_see(peers, now_ns, seen);

    assert(peers->count <= WITNESS_ECHO_PEERS_MAX && count <= peers->count);
    for (size_t i = 0; i < peers->count; i++) {
        learned += !peers->list[i].named;
        assert(i == 0 ||
               memcmp(peers->list[i - 1].id, peers->list[i].id, WITNESS_ECHO_ID_BYTES) < 0);
        assert(memcmp(peers->list[i].id, peers->own, WITNESS_ECHO_ID_BYTES) != 0);
    }
    for (size_t i = 0; i < count; i++)
        assert(seen[i].rtt_us > 0 && seen[i].clock_ms <= WITNESS_ECHO_OFFSET_MAX_MS &&
               seen[i].clock_ms >= -WITNESS_ECHO_OFFSET_MAX_MS);
    assert(learned <= WITNESS_ECHO_LEARNED_MAX);
}

/* kind, id, place, three of a clock, two of the time that passes. */
static void event_try(struct witness_echo_peers *peers, const uint8_t *event, uint64_t *now_ns)
{
    uint8_t id[WITNESS_ECHO_ID_BYTES] = {event[1], 1}, nonce[WITNESS_ECHO_NONCE_BYTES] = {event[1]};
    struct witness_echo_place place = {.ip = {event[2]}, .port = event[2]};
    uint64_t clock_ms = (uint64_t)event[3] << 56 | (uint64_t)event[4] << 16 | event[5];
    struct witness_echo_peer *peer = NULL;
    struct witness_links_news news;
    uint64_t wait_ns;
    unsigned size;

    *now_ns += ((uint64_t)event[6] << 8 | event[7]) * 10000000;
    switch (event[0] % 8) {
    case 0:
        (void)witness_echo_peers_name(peers, id, event[3] & 1 ? &place : NULL, *now_ns);
        break;
    case 1:
        if (witness_echo_peers_lets(peers, &place, *now_ns))
            peer = witness_echo_peers_heard(peers, id, &place, clock_ms, *now_ns);
        break;
    case 2:
        peer = witness_echo_peers_due(peers, *now_ns, WITNESS_ECHO_ACTIVE_NS, &wait_ns);
        break;
    case 3:
        peer = witness_echo_peers_waiting(peers, nonce, *now_ns);
        if (peer != NULL)
            witness_echo_peer_answered(peer, clock_ms, 1700000000000, *now_ns);
        return;
    case 4:
        peer = witness_links_due(peers, *now_ns, &size, &wait_ns);
        if (peer != NULL)
            witness_links_sent(peers, peer, nonce, size, *now_ns);
        return;
    case 5:
        (void)witness_links_answered(peers, nonce, event[3], *now_ns);
        return;
    case 6:
        for (size = 0; size < NEWS_MAX && witness_links_news(peers, *now_ns, &news); size++)
            assert(news.packets > 0);
        assert(size < NEWS_MAX);
        return;
    default:
        witness_echo_peers_forget(peers, *now_ns);
        break;
    }
    if (peer != NULL)
        witness_echo_peer_asked(peer, nonce, *now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[CRYPTO_KEY_BYTES] = {1}, self[WITNESS_ECHO_ID_BYTES] = {0, 1};
    static struct witness_echo_peers peers;
    uint64_t now_ns = UINT64_C(1000000000);

    if (size == 0)
        return 0;
    if (chain[0] == 0) {
        if (crypto_setup(NULL))
            abort();
        crypto_ed25519_from_seed(&own, secret);
        witness_echo_chain("chain", chain);
    }
    if (data[0] % 2 == 0) {
        packet_try(hm_slice_of(data + 1, size - 1));
        return 0;
    }
    witness_echo_peers_init(&peers, self, secret);
    for (size_t at = 1; at + EVENT_BYTES <= size; at += EVENT_BYTES)
        event_try(&peers, data + at, &now_ns);
    peers_check(&peers, now_ns);
    return 0;
}
