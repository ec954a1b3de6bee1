/* Validators of each height, and whose turn it is. */
#include "cluster_parts.h"

#include <stdlib.h>

int64_t cluster_set_total(const struct cluster_set *set)
{
    int64_t total = 0;

    for (unsigned i = 0; i < set->count; i++)
        total += set->validator[i].power;
    return total;
}

int cluster_set_find(const struct cluster_set *set, unsigned node)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->validator[i].node == node)
            return (int)i;
    return -1;
}

static int order(const struct cluster_validator *a, const struct cluster_validator *b)
{
    if (a->power != b->power)
        return a->power > b->power ? -1 : 1;
    return memcmp(a->address, b->address, sizeof a->address);
}

void cluster_set_sort(struct cluster_set *set)
{
    for (unsigned i = 1; i < set->count; i++) {
        for (unsigned at = i; at > 0; at--) {
            struct cluster_validator kept = set->validator[at];
            if (order(&set->validator[at - 1], &kept) <= 0)
                break;
            set->validator[at] = set->validator[at - 1];
            set->validator[at - 1] = kept;
        }
    }
}

/* Everybody's priority grows by his power; the highest proposes and gives back the sum of all: turns in proportion. */
static unsigned turn(struct cluster_set *set)
{
    unsigned best = 0;

    for (unsigned i = 0; i < set->count; i++) {
        set->validator[i].priority += set->validator[i].power;
        if (set->validator[i].priority > set->validator[best].priority)
            best = i;
    }
    set->validator[best].priority -= cluster_set_total(set);
    return best;
}

unsigned cluster_set_proposer(const struct cluster_set *set, unsigned round)
{
    struct cluster_set copy = *set;
    unsigned proposer = turn(&copy);

    while (round-- > 0)
        proposer = turn(&copy);
    return proposer;
}

void cluster_set_advance(struct cluster_set *set)
{
    (void)turn(set);
}

void cluster_set_learn(struct cluster_world *world, uint64_t height,
                       Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count)
{
    struct cluster_set next = world->set[height + 1];

    cluster_set_advance(&next);
    for (size_t i = 0; i < count; i++) {
        unsigned at = 0;
        while (at < next.count &&
               memcmp(next.validator[at].key, updates[i]->pub_key->ed25519.data, 32) != 0)
            at++;
        if (at < next.count && updates[i]->power == 0) {
            next.validator[at] = next.validator[--next.count];
        } else if (at < next.count) {
            next.validator[at].power = updates[i]->power;
        } else {
            unsigned node = 0;
            while (node < world->nodes &&
                   memcmp(world->node[node].self.key, updates[i]->pub_key->ed25519.data, 32) != 0)
                node++;
            if (node == world->nodes || next.count == CLUSTER_NODES_MAX) {
                cluster_fail(world, "height %llu makes a key a validator that nobody asked for",
                             (unsigned long long)height);
                return;
            }
            next.validator[next.count] = world->node[node].self;
            next.validator[next.count].power = updates[i]->power;
            next.validator[next.count++].priority = -cluster_set_total(&next);
        }
        world->totals->updates_told++;
    }
    cluster_set_sort(&next);
    world->set[height + 2] = next;
    world->sets_known = height + 2;
}

static void sha256(const uint8_t *data, size_t len, uint8_t out[32])
{
    struct crypto_sha256 *state;

    if (crypto_sha256_new(&state) != 0)
        abort();
    crypto_sha256_update(state, data, len);
    crypto_sha256_final(state, out);
    crypto_sha256_free(state);
}

/* A Merkle tree of the shape of RFC 6962 over {key, power}. */
static void part_hash(const struct cluster_validator *list, unsigned count, uint8_t out[32])
{
    uint8_t leaf[64] = {0, 0x0a, 0x22, 0x0a, 0x20}, node[65] = {1};
    unsigned left = 1;
    size_t len = 37;

    if (count > 1) {
        while (left * 2 < count)
            left *= 2;
        part_hash(list, left, node + 1);
        part_hash(list + left, count - left, node + 33);
        sha256(node, sizeof node, out);
        return;
    }
    memcpy(leaf + 5, list->key, 32);
    leaf[len++] = 0x10;
    for (uint64_t power = (uint64_t)list->power; len == 38 || power > 0; power >>= 7)
        leaf[len++] = (uint8_t)((power & 0x7f) | (power > 0x7f ? 0x80 : 0));
    sha256(leaf, len, out);
}

void cluster_set_hash(const struct cluster_set *set, uint8_t out[32])
{
    part_hash(set->validator, set->count, out);
}
