/* Reads openings from a plot. A path is read page by page: 128 nodes lie in one, are hashed up seven levels, and
 * the node they lead to must be the one above, in memory or in the next page. So an opening costs one to four
 * reads, and nothing leaves here that was not checked up to the root. Only pread: any number of threads, and no
 * mapping that a file cut short, or a disk that fails, could turn into a signal. */
#include "proof_plot_open.h"

#define PAGE_NODES PLOT_GROUP_LABELS
#define PAGE_BYTES (PAGE_NODES * CRYPTO_HASH_BYTES)
/* Openings read side by side: enough to fill the widest vector unit on most levels. */
#define READ_LANES 4
#define READ_MAX   (PROOF_OPENINGS_MAX * (1 + GRAPH_PARENTS))

_Static_assert(CRYPTO_HASH_BYTES == PROOF_LABEL_BYTES, "labels are the lowest nodes");
_Static_assert(PAGE_BYTES == PLOT_PAGE_BYTES, "a page of nodes is a page of the file");

/* A label on its way up. */
struct read_lane {
    Hypermesh__PlotOpening *opening;
    uint64_t segment;
    uint64_t at; /* among the segment's nodes of the present level */
    uint8_t *path; /* what is filled so far */
    uint8_t node[CRYPTO_HASH_BYTES];
    uint8_t mids[PLOT_MID_BYTES]; /* of the page that was climbed last */
};

static int lane_damaged(const struct read_lane *lane, struct hm_error *why)
{
    return hm_fail(why, HM_ECORRUPT, "label %llu or what is stored around it is wrong",
                   (unsigned long long)lane->opening->index);
}

static int lane_init(struct read_lane *lane, const struct plot_layout *l,
                     Hypermesh__PlotOpening *opening, struct hm_arena *arena, struct hm_error *why)
{
    const uint64_t index = opening->index;
    const size_t path_bytes = graph_path_nodes(&l->shape, index) * CRYPTO_HASH_BYTES;
    uint8_t *bytes = hm_arena_alloc(arena, PROOF_LABEL_BYTES + path_bytes);

    if (bytes == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for an opening");
    opening->label = wire_bytes(bytes, PROOF_LABEL_BYTES);
    opening->path = wire_bytes(bytes + PROOF_LABEL_BYTES, path_bytes);
    lane->opening = opening;
    lane->segment = index / l->shape.segment_labels;
    lane->at = index % l->shape.segment_labels;
    lane->path = bytes + PROOF_LABEL_BYTES;
    return 0;
}

/* Where the level of a segment's tree with count nodes lies. Above the labels, levels get stored from the groups'
 * nodes on; those below one of count nodes have groups + groups / 2 + ... + 2 count. */
static uint64_t level_offset(const struct plot_layout *l, uint64_t segment, uint64_t count)
{
    const uint64_t at = plot_layout_segment_offset(l, segment);

    if (count == l->shape.segment_labels && count != l->groups)
        return at;
    return at + l->labels_bytes + 2 * (l->groups - count) * CRYPTO_HASH_BYTES;
}

/* Hashes lanes pages of width nodes up to one node each, taking the siblings on the way. */
static void pages_climb(struct read_lane *lanes, size_t count, const uint8_t *pages, size_t width)
{
    uint8_t odd[READ_LANES * PAGE_BYTES / 2];
    uint8_t even[READ_LANES * PAGE_BYTES / 4];
    const uint8_t *nodes = pages;
    uint8_t *above = odd;

    for (; width > 1; width /= 2) {
        for (size_t i = 0; i < count; i++) {
            const uint8_t *page = nodes + i * width * CRYPTO_HASH_BYTES;
            memcpy(lanes[i].path, page + ((lanes[i].at ^ 1) & (width - 1)) * CRYPTO_HASH_BYTES,
                   CRYPTO_HASH_BYTES);
            lanes[i].path += CRYPTO_HASH_BYTES;
            lanes[i].at /= 2;
            if (width <= PLOT_MIDS) /* four nodes, then two behind them */
                memcpy(lanes[i].mids + (width == PLOT_MIDS ? 0 : PLOT_MIDS) * CRYPTO_HASH_BYTES,
                       page, width * CRYPTO_HASH_BYTES);
        }
        crypto_hash_many(nodes, count * width / 2, 2 * CRYPTO_HASH_BYTES, above);
        nodes = above;
        above = above == odd ? even : odd;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(lanes[i].node, nodes + i * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
}

/* Brings all lanes from a level of `level` nodes a segment up to where the pages of `width` nodes in it lead. */
static int pages_read(const struct proof_plot *plot, struct read_lane *lanes, size_t count,
                      uint64_t level, size_t width, struct hm_error *why)
{
    uint8_t pages[READ_LANES * PAGE_BYTES];

    for (size_t i = 0; i < count; i++) {
        struct read_lane *lane = &lanes[i];
        uint8_t *page = pages + i * width * CRYPTO_HASH_BYTES;
        const uint64_t within = lane->at & (width - 1);
        int rc = plot_read_at(plot->fd, page, width * CRYPTO_HASH_BYTES,
                              level_offset(&plot->layout, lane->segment, level) +
                                  (lane->at - within) * CRYPTO_HASH_BYTES,
                              why);
        if (rc != 0)
            return rc;
        if (level == plot->layout.shape.segment_labels)
            memcpy(lane->opening->label.data, page + within * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
        else if (memcmp(lane->node, page + within * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES) != 0)
            return lane_damaged(lane, why);
    }
    pages_climb(lanes, count, pages, width);
    return 0;
}

/* The group that a lane is in, before it has climbed. */
static uint64_t group_of(const struct proof_plot *plot, uint64_t index)
{
    return index / plot->layout.group_labels; /* segments are whole numbers of groups */
}

static bool group_known(const struct proof_plot *plot, uint64_t index)
{
    return plot->mids != NULL && atomic_load_explicit(&plot->mid_states[group_of(plot, index)],
                                                      memory_order_acquire) == PLOT_MID_KNOWN;
}

/* The group was hashed and is right: the next opening in it need not do that again. */
static void group_keep(const struct proof_plot *plot, const struct read_lane *lane)
{
    const uint64_t group = group_of(plot, lane->opening->index);
    uint8_t unknown = PLOT_MID_UNKNOWN;

    if (!atomic_compare_exchange_strong(&plot->mid_states[group], &unknown, PLOT_MID_FILLING))
        return;
    memcpy(plot->mids + group * PLOT_MID_BYTES, lane->mids, PLOT_MID_BYTES);
    atomic_store_explicit(&plot->mid_states[group], PLOT_MID_KNOWN, memory_order_release);
}

/* From 32 labels to the group's node through what was kept. */
static int group_climb(const struct proof_plot *plot, struct read_lane *lane, struct hm_error *why)
{
    const uint8_t *mids = plot->mids + group_of(plot, lane->opening->index) * PLOT_MID_BYTES;

    if (memcmp(lane->node, mids + lane->at % PLOT_MIDS * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES) != 0)
        return lane_damaged(lane, why);
    for (size_t width = PLOT_MIDS; width > 1; width /= 2) {
        memcpy(lane->path, mids + ((lane->at ^ 1) & (width - 1)) * CRYPTO_HASH_BYTES,
               CRYPTO_HASH_BYTES);
        lane->path += CRYPTO_HASH_BYTES;
        lane->at /= 2;
        mids += width * CRYPTO_HASH_BYTES;
    }
    return 0;
}

/* From the group's node to the segment's root through the tree in memory. */
static void tree_climb(const struct proof_plot *plot, struct read_lane *lane)
{
    const struct plot_layout *l = &plot->layout;
    const uint8_t *level = plot->trees + lane->segment * l->tree_bytes;

    for (uint64_t count = l->groups; count > 1; count /= 2) {
        memcpy(lane->path, level + (lane->at ^ 1) * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
        lane->path += CRYPTO_HASH_BYTES;
        lane->at /= 2;
        level += count * CRYPTO_HASH_BYTES;
    }
}

/* Siblings above the segments' roots. */
static void roots_climb(const struct proof_plot *plot, struct read_lane *lane)
{
    const uint8_t *level = plot->roots;
    struct graph_place place = {.at = lane->segment, .width = plot->layout.shape.segments};

    while (place.width > 1) {
        if (graph_place_has_sibling(&place)) {
            memcpy(lane->path, level + (place.at ^ 1) * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
            lane->path += CRYPTO_HASH_BYTES;
        }
        level += place.width * CRYPTO_HASH_BYTES;
        graph_place_up(&place);
    }
}

/* Labels up to the segments' roots, everything read from the file. */
static int lanes_from_file(const struct proof_plot *plot, struct read_lane *lanes, size_t count,
                           struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    int rc = pages_read(plot, lanes, count, l->shape.segment_labels, l->group_labels, why);

    for (uint64_t level = l->groups; level > 1 && rc == 0;) {
        const size_t width = level < PAGE_NODES ? level : PAGE_NODES;
        rc = pages_read(plot, lanes, count, level, width, why);
        level /= width;
    }
    for (size_t i = 0; i < count && rc == 0; i++)
        if (memcmp(lanes[i].node, plot->roots + lanes[i].segment * CRYPTO_HASH_BYTES,
                   CRYPTO_HASH_BYTES) != 0)
            rc = lane_damaged(&lanes[i], why);
    return rc;
}

/* The same with the trees in memory, which were checked when they were read. */
static int lanes_from_trees(const struct proof_plot *plot, struct read_lane *lanes, size_t count,
                            bool known, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    const size_t width = known ? PLOT_MID_LABELS : l->group_labels;
    int rc = pages_read(plot, lanes, count, l->shape.segment_labels, width, why);

    for (size_t i = 0; i < count && rc == 0; i++) {
        struct read_lane *lane = &lanes[i];
        const uint8_t *tree = plot->trees + lane->segment * l->tree_bytes;
        if (known)
            rc = group_climb(plot, lane, why);
        else if (memcmp(lane->node, tree + lane->at * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES) != 0)
            rc = lane_damaged(lane, why);
        else if (plot->mids != NULL)
            group_keep(plot, lane);
        if (rc == 0)
            tree_climb(plot, lane);
    }
    return rc;
}

/* Fills those openings, whose index is set, that lie in known groups, or those that do not. */
static int openings_read(const struct proof_plot *plot, Hypermesh__PlotOpening *const *openings,
                         const bool *in_known, size_t count, bool known, struct hm_arena *arena,
                         struct hm_error *why)
{
    struct read_lane lanes[READ_LANES];
    size_t some = 0;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        if (in_known[i] == known)
            rc = lane_init(&lanes[some++], &plot->layout, openings[i], arena, why);
        if (rc != 0 || some == 0 || (some < READ_LANES && i + 1 < count))
            continue;
        rc = plot->trees != NULL ? lanes_from_trees(plot, lanes, some, known, why)
                                 : lanes_from_file(plot, lanes, some, why);
        for (size_t k = 0; k < some && rc == 0; k++)
            roots_climb(plot, &lanes[k]);
        some = 0;
    }
    return rc;
}

static Hypermesh__PlotOpening *opening_new(uint64_t index, struct hm_arena *arena)
{
    Hypermesh__PlotOpening *opening = hm_arena_alloc(arena, sizeof(*opening));

    if (opening == NULL)
        return NULL;
    hypermesh__plot_opening__init(opening);
    opening->index = index;
    return opening;
}

/* The places to open, parents behind each when wanted; all is in list, the openings proper are in out too. */
static int openings_plan(const struct proof_plot *plot, const uint64_t *positions, size_t count,
                         bool with_parents, struct hm_arena *arena, Hypermesh__PlotOpening **out,
                         Hypermesh__PlotOpening *list[READ_MAX], size_t *planned)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t local = positions[i] % plot->layout.shape.segment_labels;
        uint64_t parents[GRAPH_PARENTS];
        out[i] = list[n++] = opening_new(positions[i], arena);
        if (out[i] == NULL)
            return HM_ENOMEM;
        if (!with_parents || local == 0)
            continue;
        out[i]->parents = hm_arena_alloc(arena, GRAPH_PARENTS * sizeof(*out[i]->parents));
        if (out[i]->parents == NULL)
            return HM_ENOMEM;
        out[i]->n_parents = GRAPH_PARENTS;
        graph_parents(local, parents);
        for (size_t k = 0; k < GRAPH_PARENTS; k++) {
            out[i]->parents[k] = list[n++] = opening_new(positions[i] - local + parents[k], arena);
            if (out[i]->parents[k] == NULL)
                return HM_ENOMEM;
        }
    }
    *planned = n;
    return 0;
}

int proof_plot_open_at(const struct proof_plot *plot, const uint8_t challenge[CRYPTO_HASH_BYTES],
                       size_t count, bool with_parents, struct hm_arena *arena,
                       Hypermesh__PlotOpening ***out, struct hm_error *error)
{
    uint64_t positions[PROOF_OPENINGS_MAX];
    Hypermesh__PlotOpening *list[READ_MAX];
    bool known[READ_MAX];
    size_t planned = 0;
    struct hm_error why = {0};

    if (count == 0 || count > PROOF_OPENINGS_MAX)
        return hm_fail(error, HM_EINVAL, "%zu openings are asked for; 1 to %d are possible", count,
                       PROOF_OPENINGS_MAX);
    Hypermesh__PlotOpening **openings = hm_arena_alloc(arena, count * sizeof(*openings));
    proof_space_positions(challenge, plot->layout.shape.labels, positions, count);
    if (openings == NULL ||
        openings_plan(plot, positions, count, with_parents, arena, openings, list, &planned) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu openings", count);
    for (size_t i = 0; i < planned; i++)
        known[i] = group_known(plot, list[i]->index);
    int rc = openings_read(plot, list, known, planned, false, arena, &why);
    if (rc == 0)
        rc = openings_read(plot, list, known, planned, true, arena, &why);
    if (rc != 0)
        return plot_failed(plot->path, rc, &why, error);
    *out = openings;
    return 0;
}
