/* Whom a node measures its distance to, what came of it, and whose questions it answers. Plain data of bounded size: the time is
 * passed in, nothing is sent here. */
#ifndef HM_WITNESS_ECHO_PEERS_H
#define HM_WITNESS_ECHO_PEERS_H

#include "witness_echo.h"
#include "witness_link.h"

#define WITNESS_ECHO_PEERS_MAX 128
#define WITNESS_ECHO_LEARNED_MAX \
    64 /* of them, those that nobody named to this node: who asked it */
#define WITNESS_ECHO_BLOCK_MAX \
    16 /* of those, of one IPv4 /24 or IPv6 /64; the ledger's nodes are not counted */
#define WITNESS_ECHO_KNOWN_MAX 384 /* nodes of the ledger */
#define WITNESS_ECHO_SAMPLES   64
#define WITNESS_ECHO_FRESH_NS  (UINT64_C(120) * 1000000000) /* older samples do not count */
#define WITNESS_ECHO_WAIT_NS   (UINT64_C(5) * 1000000000) /* later answers do not count */
#define WITNESS_ECHO_ACTIVE_NS \
    (UINT64_C(500) *           \
     1000000) /* between two questions while there are blocks: a wrong clock shows as soon */
#define WITNESS_ECHO_IDLE_NS (UINT64_C(60) * 1000000000) /* and while there are none */
/* An answer's clock is right to half its way. One that differs from the best one's by more than both halves and this shows that a
 * clock was set: what was measured before does not count any more. */
#define WITNESS_ECHO_JUMP_MS 500
/* A peer's clock that goes wrong, or right again, is news at most this often. */
#define WITNESS_ECHO_TELL_NS (UINT64_C(5) * 1000000000)
/* How far a clock may be off: what is further is told as this. */
#define WITNESS_ECHO_OFFSET_MAX_MS (INT64_C(10) * 365 * 86400 * 1000)

/* Questions answered a second: of a peer that is in the table, of one address that is not (IPv6: of its /64), of all those. */
#define WITNESS_ECHO_RATE_PEER    4
#define WITNESS_ECHO_RATE_ADDRESS 32
#define WITNESS_ECHO_RATE_ALL     512
#define WITNESS_ECHO_BURST        16 /* at once beyond that, and of all 16 times as many */
#define WITNESS_ECHO_BUCKETS      256

/* An address: IPv6, or IPv4 as ::ffff:a.b.c.d. */
struct witness_echo_place {
    uint8_t ip[16];
    uint16_t port;
};

struct witness_echo_sample {
    uint64_t at_ns;
    uint64_t rtt_ns;
    int64_t clock_ms; /* its wall clock less ours, at the middle of that time */
};

struct witness_echo_peer {
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    bool named; /* stays, whether it answers or not */
    bool known; /* the ledger holds it */
    bool placed;
    struct witness_echo_place place;
    uint64_t since_ns;
    uint64_t newest_ms; /* learned: its clock in the newest of its questions */
    bool asked, waiting;
    uint64_t asked_ns;
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    struct witness_echo_sample samples[WITNESS_ECHO_SAMPLES];
    unsigned sample_count, sample_next;
    bool doubted; /* as it was told last, at told_ns */
    uint64_t told_ns; /* 0: never */
    uint64_t gate_ns; /* of its own questions: see witness_echo_peers_lets */
    struct witness_link link; /* how good the way to it is */
};

struct witness_echo_peers {
    uint8_t own[WITNESS_ECHO_ID_BYTES];
    struct witness_echo_peer list[WITNESS_ECHO_PEERS_MAX]; /* by id */
    size_t count;
    uint8_t known[WITNESS_ECHO_KNOWN_MAX][WITNESS_ECHO_ID_BYTES];
    size_t known_count;
    uint8_t secret[CRYPTO_KEY_BYTES]; /* picks the buckets, so that nobody can aim at another's */
    uint64_t buckets_ns
        [WITNESS_ECHO_BUCKETS]; /* of addresses that are not in the table; chance puts two into one */
    uint64_t gate_ns; /* of all buckets */
    struct witness_link_told links_told; /* of all links together */
    struct witness_link_totals links_total;
};

/* What is known of one that answers. */
struct witness_echo_seen {
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    uint32_t rtt_us; /* least of the samples that count; at least 1 */
    int64_t clock_ms; /* of that one */
};

void witness_echo_peers_init(struct witness_echo_peers *peers,
                             const uint8_t own[WITNESS_ECHO_ID_BYTES],
                             const uint8_t secret[CRYPTO_KEY_BYTES]);
/* One that this node was told of; place NULL: not known yet. HM_ELIMIT. Its own id is passed over. */
int witness_echo_peers_name(struct witness_echo_peers *peers,
                            const uint8_t id[WITNESS_ECHO_ID_BYTES],
                            const struct witness_echo_place *place, uint64_t now_ns);
/* Nodes that the ledger shows, instead of those told before; those past WITNESS_ECHO_KNOWN_MAX are left out. One of them that is heard is
 * learned whatever its network, and where there is no room a learned one that the ledger does not show makes it. */
void witness_echo_peers_know(struct witness_echo_peers *peers,
                             const uint8_t (*ids)[WITNESS_ECHO_ID_BYTES], size_t count);
/* gate_ns: when what was let through would have come at the rate. So many more may come at once. Counts what it lets through. */
bool witness_echo_gate_lets(uint64_t *gate_ns, uint64_t now_ns, unsigned rate, unsigned burst);
bool witness_echo_peer_is_at(const struct witness_echo_peer *peer,
                             const struct witness_echo_place *place);
/* May a question from there be looked at? Counts it. */
bool witness_echo_peers_lets(struct witness_echo_peers *peers,
                             const struct witness_echo_place *from, uint64_t now_ns);
/* A question that its sender signed came from there. NULL: it is to be answered. Else its sender, who is to be asked a question
 * of ours instead, since nothing has shown yet that it is there and not someone whose address was put on the packet; from its answer on
 * it is a peer. One that answers at another place, or whose question is not newer than the last, is not moved: it may
 * have been sent again by someone else. */
struct witness_echo_peer *witness_echo_peers_heard(struct witness_echo_peers *peers,
                                                   const uint8_t id[WITNESS_ECHO_ID_BYTES],
                                                   const struct witness_echo_place *from,
                                                   uint64_t clock_ms, uint64_t now_ns);

/* Forgets who was learned and answers no longer. */
void witness_echo_peers_forget(struct witness_echo_peers *peers, uint64_t now_ns);
/* One that is to be asked now, or NULL, and then *wait_ns: until one is (UINT64_MAX: none ever). every_ns: between two questions. */
struct witness_echo_peer *witness_echo_peers_due(struct witness_echo_peers *peers, uint64_t now_ns,
                                                 uint64_t every_ns, uint64_t *wait_ns);
void witness_echo_peer_asked(struct witness_echo_peer *peer,
                             const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], uint64_t now_ns);
/* Who was asked with this nonce and has not answered; NULL: nobody, or too long ago. */
struct witness_echo_peer *witness_echo_peers_waiting(struct witness_echo_peers *peers,
                                                     const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                                                     uint64_t now_ns);
/* It answered, and is asked again when that is due; who does not answer is waited for as long as WITNESS_ECHO_WAIT_NS. Its clock then, and
 * ours (wall_ms) at now_ns. */
void witness_echo_peer_answered(struct witness_echo_peer *peer, uint64_t clock_ms, uint64_t wall_ms,
                                uint64_t now_ns);
/* Is it news that its clock and ours are more than LEDGER_WITNESS_CLOCK_OFF_MS apart (doubted is set then), or are not any more? How
 * far its is ahead. */
bool witness_echo_peer_news(struct witness_echo_peer *peer, uint64_t now_ns, int64_t *clock_ms);
/* Those who answer, by id; how many. */
size_t witness_echo_peers_see(const struct witness_echo_peers *peers, uint64_t now_ns,
                              struct witness_echo_seen out[WITNESS_ECHO_PEERS_MAX]);

#endif
