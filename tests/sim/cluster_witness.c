#include "cluster_witness.h"

#include <stdlib.h>

#define NEAR_US 1000
#define FAR_US  160000
#define OFF_MS  1000000

/* The same in all worlds. */
struct node {
    struct crypto_ed25519_key key;
    uint8_t id[20];
};

static const struct node *nodes(void)
{
    static struct node list[CLUSTER_NODES_MAX];
    static bool ready;

    for (unsigned i = 0; i < CLUSTER_NODES_MAX && !ready; i++) {
        uint8_t seed[32] = {0x77, (uint8_t)i}, digest[32];
        struct crypto_sha256 *sha;
        crypto_ed25519_from_seed(&list[i].key, seed);
        if (crypto_sha256_new(&sha) != 0)
            abort();
        crypto_sha256_update(sha, list[i].key.public_key, 32);
        crypto_sha256_final(sha, digest);
        crypto_sha256_free(sha);
        memcpy(list[i].id, digest, 20);
    }
    ready = true;
    return list;
}

/* There and back, the same for both. */
static uint32_t rtt_us(unsigned a, unsigned b)
{
    return FAR_US + 9000 * (a + b) + 13000 * (a * b % 5);
}

static int echo_order(const void *a, const void *b)
{
    const Hypermesh__WitnessEcho *const *left = a;
    const Hypermesh__WitnessEcho *const *right = b;

    return memcmp((*left)->node.data, (*right)->node.data, 20);
}

int witness_say(const struct witness_scene *scene, unsigned self, bool lie, struct hm_buf *out)
{
    Hypermesh__VoteWitness said = HYPERMESH__VOTE_WITNESS__INIT;
    Hypermesh__WitnessEcho echoes[CLUSTER_NODES_MAX], *list[CLUSTER_NODES_MAX];
    const struct node *node = nodes();
    uint8_t digest[32], proof[64];

    said.echoes = list;
    for (unsigned i = 0; i < scene->count; i++) {
        Hypermesh__WitnessEcho *echo = &echoes[said.n_echoes];
        if (i == self || !scene->up[i])
            continue;
        hypermesh__witness_echo__init(echo);
        echo->node = wire_bytes(node[i].id, 20);
        echo->rtt_us = lie ? NEAR_US : rtt_us(self, i) + (uint32_t)(scene->clock_ms[self] % 5000);
        echo->clock_ms = lie ? OFF_MS
                             : (int64_t)scene->clock_ms[i] - (int64_t)scene->clock_ms[self];
        list[said.n_echoes++] = echo;
    }
    qsort(list, said.n_echoes, sizeof *list, echo_order);
    ledger_witness_digest(scene->chain_hash, scene->address[self], digest);
    crypto_ed25519_sign(&node[self].key, digest, sizeof digest, proof);
    said.clock_ms = scene->clock_ms[self];
    said.node = wire_bytes(node[self].id, 20);
    said.key = wire_bytes(node[self].key.public_key, 32);
    said.proof = wire_bytes(proof, 64);
    return wire_pack(&said.base, out);
}

static int node_find(ProtobufCBinaryData id)
{
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        if (id.len == 20 && memcmp(nodes()[i].id, id.data, 20) == 0)
            return (int)i;
    }
    return -1;
}

const char *witness_judge(const Hypermesh__WitnessView *view, const bool lies[CLUSTER_NODES_MAX],
                          bool clocks_agree, struct witness_counts *counts)
{
    counts->views++;
    for (size_t i = 0; i < view->n_nodes; i++) {
        const Hypermesh__WitnessNode *it = view->nodes[i];
        int node = node_find(it->node);
        counts->nodes++;
        if (node < 0)
            return "a node is listed that nobody has";
        if (i > 0 &&
            hm_slice_compare(wire_slice(view->nodes[i - 1]->node), wire_slice(it->node)) >= 0)
            return "nodes are not in order";
        counts->clocks += (it->doubts & LEDGER_WITNESS_DOUBT_CLOCK) != 0;
        if (lies[node]) {
            counts->shown += (it->doubts & LEDGER_WITNESS_DOUBT_RTT) != 0;
            continue;
        }
        if (it->doubts & LEDGER_WITNESS_DOUBT_RTT)
            return "an honest node is doubted for what it measured";
        if (clocks_agree && (it->doubts & LEDGER_WITNESS_DOUBT_CLOCK))
            return "an honest node is doubted for its clock";
    }
    return NULL;
}

bool witness_link_make(struct ledger_view *view, struct witness_link *link)
{
    struct ledger_vdf_task task;

    if (ledger_view_vdf_task(view, &task, NULL) != 0)
        return false;
    if (link->index == task.index && memcmp(link->input, task.input, 32) == 0)
        return true;
    link->index = task.index;
    memcpy(link->input, task.input, 32);
    if (crypto_vdf_eval(task.input, task.steps, NULL, NULL, link->output, NULL) != 0 ||
        crypto_vdf_prove(task.input, task.steps, link->output, NULL, NULL, link->proof, NULL) != 0)
        abort();
    return true;
}
