/* Sends the trains, sends the others' back, and tells what they show. On the thread of witness.c. */
#include <stdio.h>

#include "witness_private.h"

#define TRAIN_LOOK_NS (UINT64_C(20) * 1000000) /* between two looks at what is to be told */

/* False: no random bytes could be had. */
static bool train_send(struct witness *witness, struct witness_echo_peer *peer, unsigned size)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], packet[WITNESS_LINK_BYTES];

    if (witness->random->fill(witness->random->ctx, nonce, sizeof(nonce)) != 0)
        return false;
    pthread_mutex_lock(&witness->lock);
    witness_links_sent(&witness->peers, peer, nonce, size, hm_mono_ns(witness->clock));
    pthread_mutex_unlock(&witness->lock);
    for (unsigned i = 0; i < size; i++) {
        witness_link_write(WITNESS_LINK_ASK, witness->chain, nonce, i, packet);
        witness_send(witness, packet, sizeof(packet), &peer->place);
    }
    return true;
}

bool witness_train_take(struct witness *witness, struct hm_slice packet,
                        const struct witness_echo_place *from, uint64_t now_ns)
{
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], answer[WITNESS_LINK_BYTES];
    enum witness_link_packet kind;
    unsigned number;
    bool good;

    if (witness_link_read(packet, witness->chain, &kind, nonce, &number) != 0)
        return false;
    pthread_mutex_lock(&witness->lock);
    good = kind == WITNESS_LINK_ASK
               ? witness_links_lets(&witness->peers, from, now_ns)
               : witness_links_answered(&witness->peers, nonce, number, now_ns);
    pthread_mutex_unlock(&witness->lock);
    if (good && kind == WITNESS_LINK_ASK) {
        witness_link_write(WITNESS_LINK_ANSWER, witness->chain, nonce, number, answer);
        witness_send(witness, answer, sizeof(answer), from);
    }
    return good;
}

static void train_tell(const struct witness_links_news *news)
{
    static const char *const what[WITNESS_LINK_FAULTS] = {
        [WITNESS_LINK_LOST] = "lost",
        [WITNESS_LINK_LATE] = "overtaken by later ones",
        [WITNESS_LINK_TWICE] = "duplicated"};
    char id[2 * WITNESS_ECHO_ID_BYTES + 1], whom[sizeof(id) + sizeof("node ")] = "all other nodes";

    if (news->peer != NULL) {
        hm_hex_encode(news->peer->id, WITNESS_ECHO_ID_BYTES, id);
        (void)snprintf(whom, sizeof(whom), "node %s", id);
    }
    if (news->bad)
        hm_log(
            HM_LOG_WARN, "witness",
            "of the last %u packets to %s and back %u were %s (%u %%); look at the network between",
            news->packets, whom, news->count, what[news->fault], 100 * news->count / news->packets);
    else
        hm_log(HM_LOG_INFO, "witness",
               "packets to %s and back are good again: of the last %u %u were %s", whom,
               news->packets, news->count, what[news->fault]);
}

void witness_train_look(struct witness *witness)
{
    uint64_t now_ns = hm_mono_ns(witness->clock);
    struct witness_links_news news;
    bool any = true;

    if (now_ns - witness->looked_ns < TRAIN_LOOK_NS)
        return;
    witness->looked_ns = now_ns;
    /* As much news as there may be; no peer comes or goes meanwhile, since this thread alone changes them. */
    for (unsigned i = 0; any && i < (WITNESS_ECHO_PEERS_MAX + 1) * WITNESS_LINK_FAULTS; i++) {
        pthread_mutex_lock(&witness->lock);
        any = witness_links_news(&witness->peers, now_ns, &news);
        pthread_mutex_unlock(&witness->lock);
        if (any)
            train_tell(&news);
    }
}

int witness_train_ask(struct witness *witness, int most_ms)
{
    uint64_t wait_ns;
    unsigned size;

    for (size_t i = 0; i < WITNESS_ECHO_PEERS_MAX; i++) {
        pthread_mutex_lock(&witness->lock);
        struct witness_echo_peer *peer = witness_links_due(
            &witness->peers, hm_mono_ns(witness->clock), &size, &wait_ns);
        pthread_mutex_unlock(&witness->lock);
        if (peer == NULL)
            break;
        if (!train_send(witness, peer, size))
            return WITNESS_RETRY_MS;
    }
    if (wait_ns == UINT64_MAX)
        return most_ms;
    /* What is lost is to be seen soon after it can be. */
    if (wait_ns > WITNESS_LINK_GRACE_NS)
        wait_ns = WITNESS_LINK_GRACE_NS;
    int wait_ms = (int)(wait_ns / 1000000) + 1;
    return wait_ms < most_ms ? wait_ms : most_ms;
}

/* --- what others ask of it -------------------------------------------------------------------------------- */

_Static_assert(WITNESS_WAYS_MAX >= WITNESS_LINK_ALL / 2, "all that get trains");

size_t witness_get_ways(struct witness *witness, struct witness_way out[WITNESS_WAYS_MAX])
{
    uint64_t now_ns = hm_mono_ns(witness->clock);
    struct witness_link_count seen;
    size_t count = 0;

    pthread_mutex_lock(&witness->lock);
    for (size_t i = 0; i < witness->peers.count && count < WITNESS_WAYS_MAX; i++) {
        const struct witness_echo_peer *peer = &witness->peers.list[i];

        if (!witness_links_count(peer, now_ns, &seen))
            continue;
        out[count] = (struct witness_way){.packets = seen.packets,
                                          .lost = seen.of[WITNESS_LINK_LOST].count,
                                          .late = seen.of[WITNESS_LINK_LATE].count,
                                          .twice = seen.of[WITNESS_LINK_TWICE].count,
                                          .bad = witness_link_is_bad(&peer->link)};
        memcpy(out[count++].node, peer->id, WITNESS_ECHO_ID_BYTES);
    }
    pthread_mutex_unlock(&witness->lock);
    return count;
}
