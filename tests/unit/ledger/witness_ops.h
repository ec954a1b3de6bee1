/* What validators say of each other's nodes, and their votes with it, as an engine would sign them. */
#ifndef WITNESS_OPS_H
#define WITNESS_OPS_H

#include "stake_ops.h"

/* A role's node: its key is another than its validator's. */
void witness_node_key(unsigned who, struct crypto_ed25519_key *key);
void witness_node(unsigned who, uint8_t node[20]);
/* A witness of the role's validator that had an echo of everybody else's node, with its proof; to be changed. */
Hypermesh__VoteWitness *witness_say(struct fixture *f, unsigned who, uint64_t clock_ms);
/* The echo of another's node in it; NULL: none. */
Hypermesh__WitnessEcho *witness_echo(const Hypermesh__VoteWitness *said, unsigned of);
/* Signed by the role's validator for the block at height, decided in that round. */
Hypermesh__WitnessVote *witness_vote(struct fixture *f, unsigned who, struct hm_slice extension,
                                     uint64_t height, uint32_t round);

#endif
