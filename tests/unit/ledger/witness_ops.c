#include "witness_ops.h"

#include <stdlib.h>

void witness_node_key(unsigned who, struct crypto_ed25519_key *key)
{
    uint8_t seed[32] = {0x4e, (uint8_t)who};

    crypto_ed25519_from_seed(key, seed);
}

void witness_node(unsigned who, uint8_t node[20])
{
    struct crypto_ed25519_key key;

    witness_node_key(who, &key);
    stake_address(key.public_key, node);
}

static void prove(struct fixture *f, unsigned who, Hypermesh__VoteWitness *said)
{
    struct crypto_ed25519_key validator;
    struct crypto_ed25519_key key;
    struct ledger_info info;
    uint8_t address[20];
    uint8_t digest[32];
    uint8_t proof[64];

    if (ledger_info(f->ledger, &info, NULL))
        abort();
    stake_key((enum fixture_role)who, &validator);
    stake_address(validator.public_key, address);
    ledger_witness_digest(info.chain_hash, address, digest);
    witness_node_key(who, &key);
    crypto_ed25519_sign(&key, digest, sizeof digest, proof);
    said->key = fixture_keep(f, key.public_key, 32);
    said->proof = fixture_keep(f, proof, sizeof proof);
}

static int echo_order(const void *a, const void *b)
{
    const Hypermesh__WitnessEcho *const *left = a;
    const Hypermesh__WitnessEcho *const *right = b;

    return memcmp((*left)->node.data, (*right)->node.data, 20);
}

Hypermesh__VoteWitness *witness_say(struct fixture *f, unsigned who, uint64_t clock_ms)
{
    Hypermesh__VoteWitness *said = fixture_new(f, &hypermesh__vote_witness__descriptor);
    uint8_t node[20];

    witness_node(who, node);
    said->node = fixture_keep(f, node, sizeof node);
    said->clock_ms = clock_ms;
    prove(f, who, said);
    said->echoes = fixture_take(f, FIXTURE_PEOPLE * sizeof *said->echoes);
    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++) {
        Hypermesh__WitnessEcho *echo;

        if (i == who)
            continue;
        echo = fixture_new(f, &hypermesh__witness_echo__descriptor);
        witness_node(i, node);
        echo->node = fixture_keep(f, node, sizeof node);
        echo->rtt_us = 300 + 100 * (who + i);
        said->echoes[said->n_echoes++] = echo;
    }
    qsort(said->echoes, said->n_echoes, sizeof *said->echoes, echo_order);
    return said;
}

Hypermesh__WitnessEcho *witness_echo(const Hypermesh__VoteWitness *said, unsigned of)
{
    uint8_t node[20];

    witness_node(of, node);
    for (size_t i = 0; i < said->n_echoes; i++) {
        if (memcmp(said->echoes[i]->node.data, node, sizeof node) == 0)
            return said->echoes[i];
    }
    return NULL;
}

Hypermesh__WitnessVote *witness_vote(struct fixture *f, unsigned who, struct hm_slice extension,
                                     uint64_t height, uint32_t round)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__WitnessVote *vote = fixture_new(f, &hypermesh__witness_vote__descriptor);
    struct crypto_ed25519_key key;
    uint8_t signature[64];
    uint8_t address[20];

    stake_key((enum fixture_role)who, &key);
    stake_address(key.public_key, address);
    if (ledger_witness_sign_bytes(FIXTURE_CHAIN, height, round, extension, &bytes))
        abort();
    crypto_ed25519_sign(&key, bytes.data, bytes.len, signature);
    vote->address = fixture_keep(f, address, sizeof address);
    vote->extension = wire_bytes(extension.data, extension.len);
    vote->signature = fixture_keep(f, signature, sizeof signature);
    return vote;
}
