/* witness: what this node sees of the cluster's others: how long a packet takes to them and back, and what their clocks say. One
 * thread asks and answers signed packets on UDP, at the address and port where the engine listens with TCP. What it saw goes into
 * this node's votes, and the ledger keeps the medians of what all validators saw (docs/cluster.md). And whether the ways between lose
 * packets, reorder or double them, which the log and the metrics tell.
 *
 * Never: decides whose clock is right, keeps anything on disk, answers with more bytes than it was asked with, or makes the node
 * wait: without its port the node goes on. Start reading with witness_main in witness.c; what it knows is the table of
 * witness_echo_peers.h, the packets are those of witness_echo.h and witness_link.h. */
#ifndef HM_WITNESS_H
#define HM_WITNESS_H

#include "base.h"
#include "crypto.h"
#include "ledger.pb-c.h"

struct witness;

struct witness_options {
    const struct crypto_ed25519_key *key; /* by which the engine knows this node; copied */
    uint8_t validator
        [20]; /* address of the key it votes with: by its word the ledger knows which node votes */
    const char *chain_id;
    const char *listen; /* "ADDRESS:PORT", "[ADDRESS]:PORT" */
    const char *const *peers; /* "NODE-ID@ADDRESS:PORT" */
    size_t peer_count;
    const struct hm_clock *clock; /* borrowed, as random */
    const struct hm_random *random;
};

/* Strings are copied. Where the UDP port cannot be had the log says so, and the node goes on: others then hear of its clock only.
 * HM_ENOMEM, HM_EINVAL: a peer's id. */
int witness_open(const struct witness_options *options, struct witness **out,
                 struct hm_error *error);
void witness_close(struct witness *witness); /* NULL is fine */

/* A block was made: as long as there are some, the others are asked more often. Returns at once; NULL is fine. */
void witness_saw_block(struct witness *witness);
/* With the hash of the ledger's chain id it says of itself, from then on, which validator it is. On the thread that packs. */
void witness_prove(struct witness *witness, const uint8_t chain_hash[CRYPTO_HASH_BYTES]);
bool witness_is_proven(const struct witness *witness);
/* Whom the validators saw, by the ledger's last view: they come in before strangers who ask this node (witness_echo_peers_know). */
void witness_know(struct witness *witness, const Hypermesh__WitnessView *view);
/* Appends a packed VoteWitness; as engine_cometbft_options.witness wants it. HM_ENOMEM. */
int witness_pack(void *witness, struct hm_buf *out);

struct witness_stats {
    bool listening;
    size_t peers, answering; /* known; that answered lately */
    uint64_t asked, answers; /* by this node, to it */
    uint64_t answered; /* questions of others */
    uint64_t refused; /* packets: too many, of another chain, forged, of no question of ours */
    /* Questions that show how good the ways are. What was taken for lost and came after all is in both. */
    uint64_t link_sent, link_answered, link_lost, link_late, link_twice;
    size_t links_bad; /* ways of which it is told that they are not good */
};
#define WITNESS_WAYS_MAX 64

/* What came of the packets to a peer and back in the last six seconds. */
struct witness_way {
    uint8_t node[20]; /* its id */
    unsigned packets, lost, late, twice;
    bool bad; /* it is told */
};
/* Those that packets went to lately; how many, at most WITNESS_WAYS_MAX. */
size_t witness_get_ways(struct witness *witness, struct witness_way out[WITNESS_WAYS_MAX]);
void witness_get_stats(struct witness *witness, struct witness_stats *out);

#endif
