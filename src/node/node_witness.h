/* What this node sees of the cluster's others: how long a packet takes to them and back, and what their clocks say. It goes into its
 * votes, and the ledger keeps the medians of what all validators saw (docs/cluster.md).
 *
 * One thread asks and answers signed packets (node_echo.h) on UDP, at the address and port where the engine listens with TCP. */
#ifndef HM_NODE_WITNESS_H
#define HM_NODE_WITNESS_H

#include "base.h"
#include "crypto.h"
#include "ledger.pb-c.h"

struct node_witness;

struct node_witness_options {
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
int node_witness_open(const struct node_witness_options *options, struct node_witness **out,
                      struct hm_error *error);
void node_witness_close(struct node_witness *witness); /* NULL is fine */

/* A block was made: as long as there are some, the others are asked more often. Returns at once; NULL is fine. */
void node_witness_saw_block(struct node_witness *witness);
/* With the hash of the ledger's chain id it says of itself, from then on, which validator it is. On the thread that packs. */
void node_witness_prove(struct node_witness *witness, const uint8_t chain_hash[CRYPTO_HASH_BYTES]);
bool node_witness_is_proven(const struct node_witness *witness);
/* Whom the validators saw, by the ledger's last view: they come in before strangers who ask this node (node_echo_peers_know). */
void node_witness_know(struct node_witness *witness, const Hypermesh__WitnessView *view);
/* Appends a packed VoteWitness; as engine_cometbft_options.witness wants it. HM_ENOMEM. */
int node_witness_pack(void *witness, struct hm_buf *out);

struct node_witness_stats {
    bool listening;
    size_t peers, answering; /* known; that answered lately */
    uint64_t asked, answers; /* by this node, to it */
    uint64_t answered; /* questions of others */
    uint64_t refused; /* packets: too many, of another chain, forged, of no question of ours */
};
void node_witness_get_stats(struct node_witness *witness, struct node_witness_stats *out);

#endif
