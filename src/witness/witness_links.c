#include "witness_links.h"

#include <limits.h>

static bool peer_is_watched(const struct witness_echo_peer *peer)
{
    return peer->placed && (peer->named || (peer->known && peer->sample_count > 0));
}

static size_t peers_watched(const struct witness_echo_peers *peers)
{
    size_t count = 0;

    for (size_t i = 0; i < peers->count; i++)
        count += peer_is_watched(&peers->list[i]);
    return count;
}

struct witness_echo_peer *witness_links_due(struct witness_echo_peers *peers, uint64_t now_ns,
                                            unsigned *size, uint64_t *wait_ns)
{
    size_t watched = peers_watched(peers), place = 0;
    uint64_t own_ns = peers->own[0] * WITNESS_LINK_EVERY_NS / (UINT8_MAX + 1);

    *size = witness_link_size(watched);
    *wait_ns = UINT64_MAX;
    for (size_t i = 0; i<peers->count && * size> 0; i++) {
        struct witness_echo_peer *peer = &peers->list[i];

        if (!peer_is_watched(peer))
            continue;
        uint64_t at_ns = now_ns + own_ns + place++ * WITNESS_LINK_EVERY_NS / watched;
        uint64_t round = at_ns / WITNESS_LINK_EVERY_NS;
        uint64_t pause = witness_link_answers(&peer->link) ? 1 : WITNESS_LINK_SILENT;
        if (round >= peer->link.round + pause) {
            peer->link.round = round;
            return peer;
        }
        uint64_t left_ns = WITNESS_LINK_EVERY_NS - at_ns % WITNESS_LINK_EVERY_NS;
        if (left_ns < *wait_ns)
            *wait_ns = left_ns;
    }
    return NULL;
}

void witness_links_sent(struct witness_echo_peers *peers, struct witness_echo_peer *peer,
                        const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned size,
                        uint64_t now_ns)
{
    witness_link_sent(&peer->link, nonce, size, now_ns, &peers->links_total);
}

bool witness_links_lets(struct witness_echo_peers *peers, const struct witness_echo_place *from,
                        uint64_t now_ns)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct witness_echo_peer *peer = &peers->list[i];

        if (witness_echo_peer_is_at(peer, from) && peer_is_watched(peer))
            return witness_echo_gate_lets(&peer->link.gate_ns, now_ns, WITNESS_LINK_RATE,
                                          WITNESS_LINK_BURST);
    }
    return false;
}

bool witness_links_answered(struct witness_echo_peers *peers,
                            const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned number,
                            uint64_t now_ns)
{
    bool found = false;

    for (size_t i = 0; i < peers->count && !found; i++)
        found = witness_link_answered(&peers->list[i].link, nonce, number, now_ns,
                                      &peers->links_total);
    return found;
}

/* --- news ------------------------------------------------------------------------------------------------- */

static uint64_t before(uint64_t now_ns, uint64_t ns)
{
    return now_ns > ns ? now_ns - ns : 0;
}

/* Tells what is bad with the counts of shown, what is good with those of calm. */
static bool news_of(struct witness_link_told *told, const struct witness_link_count *recent,
                    const struct witness_link_count *shown, const struct witness_link_count *calm,
                    uint64_t now_ns, struct witness_links_news *out)
{
    if (!witness_link_news(told, recent, calm, now_ns, &out->fault))
        return false;
    out->bad = told->bad[out->fault];
    out->packets = (out->bad ? shown : calm)->packets;
    out->count = (out->bad ? shown : calm)->of[out->fault].count;
    return true;
}

bool witness_links_news(struct witness_echo_peers *peers, uint64_t now_ns,
                        struct witness_links_news *out)
{
    uint64_t recent_ns = before(now_ns, WITNESS_LINK_RECENT_NS);
    uint64_t window_ns = before(now_ns, WITNESS_LINK_WINDOW_NS);
    struct witness_link_count recent = {0}, shown = {0}, calm = {0};

    for (size_t i = 0; i < peers->count; i++) {
        struct witness_link *link = &peers->list[i].link;
        struct witness_link_count count = {0};

        witness_link_judge(link, now_ns, &peers->links_total);
        witness_link_add(link, window_ns, UINT_MAX, &count);
        out->peer = &peers->list[i];
        if (news_of(&link->told, &count, &count, &count, now_ns, out))
            return true;
        witness_link_add(link, recent_ns, WITNESS_LINK_ONE_MAX, &recent);
        witness_link_add(link, recent_ns, UINT_MAX, &shown);
        witness_link_add(link, window_ns, UINT_MAX, &calm);
    }
    out->peer = NULL;
    return news_of(&peers->links_told, &recent, &shown, &calm, now_ns, out);
}

bool witness_links_count(const struct witness_echo_peer *peer, uint64_t now_ns,
                         struct witness_link_count *out)
{
    *out = (struct witness_link_count){0};
    witness_link_add(&peer->link, before(now_ns, WITNESS_LINK_WINDOW_NS), UINT_MAX, out);
    return out->packets > 0;
}

bool witness_link_is_bad(const struct witness_link *link)
{
    bool bad = false;

    for (unsigned i = 0; i < WITNESS_LINK_FAULTS; i++)
        bad = bad || link->told.bad[i];
    return bad;
}

size_t witness_links_bad(const struct witness_echo_peers *peers)
{
    size_t count = 0;

    for (size_t i = 0; i < peers->count; i++)
        count += witness_link_is_bad(&peers->list[i].link);
    return count;
}
