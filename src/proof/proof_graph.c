#include "proof_graph.h"

#define LABEL_BLOCK_BYTES (GRAPH_PARENTS * PROOF_LABEL_BYTES + GRAPH_SEED_BYTES + 8)
_Static_assert(LABEL_BLOCK_BYTES == 128, "a label is two BLAKE3 compressions");

__extension__ typedef unsigned __int128 u128;

int graph_shape_init(struct graph_shape *shape, uint64_t labels, uint64_t segment_labels,
                     struct hm_error *error)
{
    if (segment_labels < PROOF_SEGMENT_LABELS_MIN || segment_labels > PROOF_SEGMENT_LABELS_MAX ||
        (segment_labels & (segment_labels - 1)) != 0)
        return hm_fail(error, HM_EINVAL,
                       "a plot's segment has %llu labels; it must be a power of two from %llu to "
                       "%llu",
                       (unsigned long long)segment_labels,
                       (unsigned long long)PROOF_SEGMENT_LABELS_MIN,
                       (unsigned long long)PROOF_SEGMENT_LABELS_MAX);
    if (labels < segment_labels || labels > PROOF_PLOT_LABELS_MAX || labels % segment_labels != 0)
        return hm_fail(error, HM_EINVAL,
                       "a plot has %llu labels; it must be a multiple of the segment's %llu and at "
                       "most %llu",
                       (unsigned long long)labels, (unsigned long long)segment_labels,
                       (unsigned long long)PROOF_PLOT_LABELS_MAX);
    if (labels / segment_labels > PROOF_SEGMENTS_MAX)
        return hm_fail(error, HM_EINVAL,
                       "a plot has %llu segments, at most %llu are possible; use larger segments",
                       (unsigned long long)(labels / segment_labels),
                       (unsigned long long)PROOF_SEGMENTS_MAX);

    const uint64_t segments = labels / segment_labels;
    const unsigned segment_levels = hm_ilog2_u64(segment_labels);
    *shape = (struct graph_shape){
        .labels = labels,
        .segment_labels = segment_labels,
        .segments = segments,
        .segment_levels = segment_levels,
        .levels = segment_levels + (segments > 1 ? hm_ilog2_u64(segments - 1) + 1 : 0),
    };
    return 0;
}

struct graph_place graph_place_of(const struct graph_shape *shape, uint64_t index)
{
    return (struct graph_place){.at = index, .width = shape->labels};
}

bool graph_place_has_sibling(const struct graph_place *place)
{
    return (place->at ^ 1) < place->width;
}

void graph_place_up(struct graph_place *place)
{
    place->at /= 2;
    place->width = place->width / 2 + place->width % 2;
}

size_t graph_path_nodes(const struct graph_shape *shape, uint64_t index)
{
    struct graph_place place = graph_place_of(shape, index);
    size_t nodes = 0;

    for (unsigned level = 0; level < shape->levels; level++) {
        nodes += graph_place_has_sibling(&place) ? 1 : 0;
        graph_place_up(&place);
    }
    return nodes;
}

size_t graph_level_up(const uint8_t *nodes, size_t count, uint8_t *out)
{
    const size_t pairs = count / 2;
    const size_t batch = 256; /* crypto_hash_many does not promise to work in place */
    uint8_t hashed[256 * CRYPTO_HASH_BYTES];

    for (size_t done = 0; done < pairs; done += batch) {
        size_t some = pairs - done < batch ? pairs - done : batch;
        crypto_hash_many(nodes + done * 2 * CRYPTO_HASH_BYTES, some, 2 * CRYPTO_HASH_BYTES, hashed);
        memcpy(out + done * CRYPTO_HASH_BYTES, hashed, some * CRYPTO_HASH_BYTES);
    }
    if (count % 2 != 0)
        memmove(out + pairs * CRYPTO_HASH_BYTES, nodes + (count - 1) * CRYPTO_HASH_BYTES,
                CRYPTO_HASH_BYTES);
    return pairs + count % 2;
}

/* SplitMix64 of a counter (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
 * 2014). The graph is fixed and public: it needs spread, not secrecy. */
static uint64_t graph_random(uint64_t counter)
{
    uint64_t z = (counter + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* DRSample: first a scale, each power of two up to the node as likely as another; then a distance in it. */
static uint64_t graph_distance(uint64_t local, uint64_t draw)
{
    if (local == 1)
        return 1;
    const u128 scaled = (u128)graph_random(local * 2 + draw) * (hm_ilog2_u64(local) + 1);
    const unsigned scale = (unsigned)(scaled >> 64) + 1;
    const uint64_t high = (UINT64_C(1) << scale) < local ? UINT64_C(1) << scale : local;
    const uint64_t low = high / 2 > 2 ? high / 2 : 2;

    /* What the scale left over of the random number is as uniform as the number was. */
    return low + (uint64_t)(((u128)(uint64_t)scaled * (high - low + 1)) >> 64);
}

void graph_parents(uint64_t local, uint64_t parents[GRAPH_PARENTS])
{
    parents[0] = local - 1;
    parents[1] = local - graph_distance(local, 0);
    parents[2] = local - graph_distance(local, 1);
}

void graph_segment_seed(const uint8_t node[CRYPTO_HASH_BYTES], uint64_t segment,
                        uint64_t segment_labels, uint8_t seed[GRAPH_SEED_BYTES])
{
    uint8_t numbers[16];
    uint8_t hash[CRYPTO_HASH_BYTES];

    hm_put_be64(numbers, segment);
    hm_put_be64(numbers + 8, segment_labels);
    const struct hm_slice parts[] = {
        hm_slice_of(node, CRYPTO_HASH_BYTES),
        hm_slice_of(numbers, sizeof(numbers)),
    };
    crypto_hash_parts("hypermesh 1 plot segment", parts, HM_COUNT_OF(parts), hash);
    memcpy(seed, hash, GRAPH_SEED_BYTES);
}

void graph_label(const uint8_t seed[GRAPH_SEED_BYTES], uint64_t index,
                 const uint8_t *const parents[GRAPH_PARENTS], uint8_t out[PROOF_LABEL_BYTES])
{
    uint8_t block[LABEL_BLOCK_BYTES] = {0};

    /* The label before comes second: the first compression does not wait for it. */
    if (parents != NULL) {
        memcpy(block, parents[1], PROOF_LABEL_BYTES);
        memcpy(block + 32, parents[2], PROOF_LABEL_BYTES);
        memcpy(block + 64, parents[0], PROOF_LABEL_BYTES);
    }
    memcpy(block + 96, seed, GRAPH_SEED_BYTES);
    hm_put_be64(block + 96 + GRAPH_SEED_BYTES, index);
    crypto_hash(block, sizeof(block), out);
}

void graph_climb_all(const struct graph_shape *shape, struct graph_climb *climbs, size_t count)
{
    struct graph_place places[GRAPH_CLIMB_LANES];
    const uint8_t *next[GRAPH_CLIMB_LANES];
    size_t lane_of[GRAPH_CLIMB_LANES];
    uint8_t pairs[GRAPH_CLIMB_LANES * 2 * CRYPTO_HASH_BYTES];
    uint8_t hashed[GRAPH_CLIMB_LANES * CRYPTO_HASH_BYTES];

    for (size_t i = 0; i < count; i++) {
        places[i] = graph_place_of(shape, climbs[i].index);
        next[i] = climbs[i].path;
    }
    for (unsigned level = 0; level < shape->levels; level++) {
        size_t lanes = 0;
        for (size_t i = 0; i < count; i++) {
            if (graph_place_has_sibling(&places[i])) {
                uint8_t *pair = pairs + lanes * 2 * CRYPTO_HASH_BYTES;
                size_t side = places[i].at % 2;
                memcpy(pair + side * CRYPTO_HASH_BYTES, climbs[i].node, CRYPTO_HASH_BYTES);
                memcpy(pair + (1 - side) * CRYPTO_HASH_BYTES, next[i], CRYPTO_HASH_BYTES);
                next[i] += CRYPTO_HASH_BYTES;
                lane_of[lanes++] = i;
            }
            graph_place_up(&places[i]);
        }
        crypto_hash_many(pairs, lanes, 2 * CRYPTO_HASH_BYTES, hashed);
        for (size_t lane = 0; lane < lanes; lane++)
            memcpy(climbs[lane_of[lane]].node, hashed + lane * CRYPTO_HASH_BYTES,
                   CRYPTO_HASH_BYTES);
    }
}
