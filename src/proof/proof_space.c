/* Space: the pure half. Which positions a challenge draws, and whether openings there lead to the
 * committed root. */
#include "proof_graph.h"

#define POSITIONS_LABEL "hypermesh 1 positions\0\0"
_Static_assert(sizeof(POSITIONS_LABEL) == 24, "label, challenge and counter fill one block");

void proof_space_positions(const uint8_t challenge[CRYPTO_HASH_BYTES], uint64_t labels,
                           uint64_t *positions, size_t count)
{
    uint8_t block[24 + CRYPTO_HASH_BYTES + 8];
    uint8_t stream[CRYPTO_HASH_BYTES];

    memcpy(block, POSITIONS_LABEL, 24);
    memcpy(block + 24, challenge, CRYPTO_HASH_BYTES);
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0) {
            hm_put_be64(block + 24 + CRYPTO_HASH_BYTES, i / 4);
            crypto_hash(block, sizeof(block), stream);
        }
        positions[i] = labels > 0 ? hm_get_be64(stream + i % 4 * 8) % labels : 0;
    }
}

void proof_space_challenge(const uint8_t anchor_hash[CRYPTO_HASH_BYTES],
                           const uint8_t tx_root[CRYPTO_HASH_BYTES],
                           const uint8_t node[CRYPTO_HASH_BYTES], uint8_t out[CRYPTO_HASH_BYTES])
{
    const struct hm_slice parts[] = {
        hm_slice_of(anchor_hash, CRYPTO_HASH_BYTES),
        hm_slice_of(tx_root, CRYPTO_HASH_BYTES),
        hm_slice_of(node, CRYPTO_HASH_BYTES),
    };

    crypto_hash_parts("hypermesh 1 space", parts, HM_COUNT_OF(parts), out);
}

void proof_plot_challenge(const uint8_t node[CRYPTO_HASH_BYTES],
                          const Hypermesh__PlotCommitment *plot, uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t numbers[16];

    hm_put_be64(numbers, plot->labels);
    hm_put_be64(numbers + 8, plot->segment_labels);
    const struct hm_slice parts[] = {
        hm_slice_of(node, CRYPTO_HASH_BYTES),
        wire_slice(plot->root),
        hm_slice_of(numbers, sizeof(numbers)),
    };
    crypto_hash_parts("hypermesh 1 plot", parts, HM_COUNT_OF(parts), out);
}

int proof_plot_check(const Hypermesh__PlotCommitment *plot, uint64_t min_labels,
                     struct hm_error *error)
{
    struct graph_shape shape;
    struct hm_error why = {0};
    const uint64_t min_segment = min_labels < PROOF_SEGMENT_LABELS_DEFAULT
                                     ? min_labels
                                     : PROOF_SEGMENT_LABELS_DEFAULT;

    if (plot->root.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EPROOF_SPACE, "space: the plot's root has %zu bytes, must have %d",
                       plot->root.len, CRYPTO_HASH_BYTES);
    if (graph_shape_init(&shape, plot->labels, plot->segment_labels, &why) != 0)
        return hm_fail(error, HM_EPROOF_SPACE, "space: %s", why.text);
    if (plot->labels < min_labels)
        return hm_fail(error, HM_EPROOF_SPACE,
                       "space: the plot has %llu labels, at least %llu are needed; build a larger "
                       "one",
                       (unsigned long long)plot->labels, (unsigned long long)min_labels);
    if (plot->segment_labels < min_segment)
        return hm_fail(error, HM_EPROOF_SPACE,
                       "space: the plot's segments have %llu labels, at least %llu are needed, "
                       "because small ones can be made again instead of kept",
                       (unsigned long long)plot->segment_labels, (unsigned long long)min_segment);
    return 0;
}

/* Openings on their way to the root, checked a group at a time. */
struct space_check {
    const struct graph_shape *shape;
    const uint8_t *root;
    struct graph_climb climbs[GRAPH_CLIMB_LANES];
    size_t count;
    struct hm_error *error;
};

static int space_check_flush(struct space_check *check)
{
    graph_climb_all(check->shape, check->climbs, check->count);
    for (size_t i = 0; i < check->count; i++)
        if (memcmp(check->climbs[i].node, check->root, CRYPTO_HASH_BYTES) != 0)
            return hm_fail(check->error, HM_EPROOF_SPACE,
                           "space: the opening of label %llu does not lead to the committed root",
                           (unsigned long long)check->climbs[i].index);
    check->count = 0;
    return 0;
}

static int space_check_add(struct space_check *check, const Hypermesh__PlotOpening *opening,
                           uint64_t index)
{
    if (opening->index != index)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: label %llu is opened where %llu was asked for",
                       (unsigned long long)opening->index, (unsigned long long)index);
    if (opening->label.len != PROOF_LABEL_BYTES)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: label %llu has %zu bytes, must have %d", (unsigned long long)index,
                       opening->label.len, PROOF_LABEL_BYTES);

    const size_t path_bytes = graph_path_nodes(check->shape, index) * CRYPTO_HASH_BYTES;
    if (opening->path.len != path_bytes)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: the path of label %llu has %zu bytes, must have %zu",
                       (unsigned long long)index, opening->path.len, path_bytes);

    struct graph_climb *climb = &check->climbs[check->count++];
    climb->index = index;
    climb->path = opening->path.data;
    memcpy(climb->node, opening->label.data, PROOF_LABEL_BYTES);
    return check->count == GRAPH_CLIMB_LANES ? space_check_flush(check) : 0;
}

/* The label must be what its parents make it; parents are opened like the label itself. */
static int space_check_parents(struct space_check *check, const uint8_t node[CRYPTO_HASH_BYTES],
                               const Hypermesh__PlotOpening *opening)
{
    const uint64_t segment_labels = check->shape->segment_labels;
    const uint64_t local = opening->index % segment_labels;
    const uint64_t first = opening->index - local;
    const size_t expected = local > 0 ? GRAPH_PARENTS : 0;
    uint64_t places[GRAPH_PARENTS] = {0};
    const uint8_t *labels[GRAPH_PARENTS] = {NULL};
    uint8_t seed[GRAPH_SEED_BYTES];
    uint8_t label[PROOF_LABEL_BYTES];

    if (opening->n_parents != expected)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: label %llu comes with %zu parents, must have %zu",
                       (unsigned long long)opening->index, opening->n_parents, expected);
    if (expected > 0)
        graph_parents(local, places);
    for (size_t i = 0; i < expected; i++) {
        const Hypermesh__PlotOpening *parent = opening->parents[i];
        if (parent->n_parents != 0)
            return hm_fail(check->error, HM_EPROOF_SPACE,
                           "space: a parent of label %llu comes with parents of its own",
                           (unsigned long long)opening->index);
        int rc = space_check_add(check, parent, first + places[i]);
        if (rc != 0)
            return rc;
        labels[i] = parent->label.data;
    }
    graph_segment_seed(node, opening->index / segment_labels, segment_labels, seed);
    graph_label(seed, opening->index, expected > 0 ? labels : NULL, label);
    if (memcmp(label, opening->label.data, PROOF_LABEL_BYTES) != 0)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: label %llu is not what its parents and this node make it",
                       (unsigned long long)opening->index);
    return 0;
}

static int space_check_one(struct space_check *check, const uint8_t node[CRYPTO_HASH_BYTES],
                           const Hypermesh__PlotOpening *opening, uint64_t index, bool with_parents)
{
    int rc = space_check_add(check, opening, index);

    if (rc != 0)
        return rc;
    if (with_parents)
        return space_check_parents(check, node, opening);
    if (opening->n_parents != 0)
        return hm_fail(check->error, HM_EPROOF_SPACE,
                       "space: label %llu comes with parents, none were asked for",
                       (unsigned long long)index);
    return 0;
}

int proof_space_verify(const uint8_t node[CRYPTO_HASH_BYTES], const Hypermesh__PlotCommitment *plot,
                       const uint8_t challenge[CRYPTO_HASH_BYTES],
                       Hypermesh__PlotOpening *const *openings, size_t count, size_t needed,
                       bool with_parents, struct hm_error *error)
{
    struct graph_shape shape;
    uint64_t positions[PROOF_OPENINGS_MAX];
    struct space_check check;
    int rc = proof_plot_check(plot, 0, error);

    if (rc != 0 || graph_shape_init(&shape, plot->labels, plot->segment_labels, NULL) != 0)
        return HM_EPROOF_SPACE;
    if (needed == 0 || needed > PROOF_OPENINGS_MAX)
        return hm_fail(error, HM_EPROOF_SPACE,
                       "space: the chain's parameters ask for %zu openings; 1 to %d are possible",
                       needed, PROOF_OPENINGS_MAX);
    if (count != needed)
        return hm_fail(error, HM_EPROOF_SPACE, "space: %zu openings are given, %zu are needed",
                       count, needed);

    check.shape = &shape;
    check.root = plot->root.data;
    check.count = 0;
    check.error = error;
    proof_space_positions(challenge, plot->labels, positions, needed);
    for (size_t i = 0; i < needed && rc == 0; i++)
        rc = space_check_one(&check, node, openings[i], positions[i], with_parents);
    return rc != 0 ? rc : space_check_flush(&check);
}
