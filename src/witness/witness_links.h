/* The ways to all peers: whose turn it is, and what they show together. Plain data, as witness_echo_peers.h. */
#ifndef HM_WITNESS_LINKS_H
#define HM_WITNESS_LINKS_H

#include "witness_echo_peers.h"

/* A peer that gets a train of *size questions now, or NULL, and then *wait_ns: until one does (UINT64_MAX: none ever). Only who was named
 * or is in the ledger: a stranger could answer badly. Each has its time within a round, so that a short outage does not
 * meet all. */
struct witness_echo_peer *witness_links_due(struct witness_echo_peers *peers, uint64_t now_ns,
                                            unsigned *size, uint64_t *wait_ns);
/* It is sent now. */
void witness_links_sent(struct witness_echo_peers *peers, struct witness_echo_peer *peer,
                        const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned size,
                        uint64_t now_ns);
/* Is a question from there to be sent back? Counts it. */
bool witness_links_lets(struct witness_echo_peers *peers, const struct witness_echo_place *from,
                        uint64_t now_ns);
/* False: an answer to no question. */
bool witness_links_answered(struct witness_echo_peers *peers,
                            const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned number,
                            uint64_t now_ns);

struct witness_links_news {
    const struct witness_echo_peer *peer; /* NULL: of all together */
    enum witness_link_fault fault;
    bool bad; /* else: not any more */
    unsigned packets, count; /* of so many so many */
};

/* What is to be told; call until false, after all packets that came were read. */
bool witness_links_news(struct witness_echo_peers *peers, uint64_t now_ns,
                        struct witness_links_news *out);

/* What came of the packets to a peer lately; false: none went there. */
bool witness_links_count(const struct witness_echo_peer *peer, uint64_t now_ns,
                         struct witness_link_count *out);
/* Is something wrong told of it now? */
bool witness_link_is_bad(const struct witness_link *link);
/* Of how many ways it is told now that they are bad. */
size_t witness_links_bad(const struct witness_echo_peers *peers);

#endif
