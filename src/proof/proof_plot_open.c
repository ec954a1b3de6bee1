/* Opens a plot and its labels. Only pread after opening: any number of threads, no mapping that a
 * truncated file could turn into a signal. Nothing leaves here that was not checked up to the root. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "proof_plot_file.h"

struct proof_plot {
    struct plot_layout layout;
    int fd;
    char *path;
    uint8_t *roots; /* tree over the segments' roots */
    uint8_t root[CRYPTO_HASH_BYTES];
};

void proof_plot_close(struct proof_plot *plot)
{
    if (plot == NULL)
        return;
    hm_fd_release(&plot->fd);
    hm_free(plot->path);
    hm_free(plot->roots);
    hm_free(plot);
}

static void plot_release(struct proof_plot **plot)
{
    proof_plot_close(*plot);
}

/* Says which plot, and what to do about it. */
static int plot_failed(const char *path, int code, const struct hm_error *why,
                       struct hm_error *error)
{
    if (code != HM_ECORRUPT)
        return hm_fail(error, code, "plot %s: %s", path, why->text);
    return hm_fail(error, HM_ECORRUPT, "plot %s is damaged: %s; remove it and build it again", path,
                   why->text);
}

static int header_read(struct proof_plot *plot, const uint8_t node[CRYPTO_HASH_BYTES],
                       struct hm_error *why)
{
    uint8_t page[PLOT_PAGE_BYTES];
    uint8_t owner[CRYPTO_HASH_BYTES];
    struct stat info;
    int rc = plot_read_at(plot->fd, page, sizeof(page), 0, why);

    if (rc == 0)
        rc = plot_header_decode(page, &plot->layout, owner, plot->root, why);
    if (rc != 0)
        return rc;
    if (memcmp(owner, node, sizeof(owner)) != 0)
        return hm_fail(why, HM_ECONFLICT,
                       "it belongs to another node; a plot cannot be shared or moved, build one "
                       "for this node");
    if (fstat(plot->fd, &info) != 0)
        return hm_fail_errno(why, HM_EIO, "reading its size");
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != plot->layout.file_bytes)
        return hm_fail(why, HM_ECORRUPT, "it has %lld bytes, must have %llu",
                       (long long)info.st_size, (unsigned long long)plot->layout.file_bytes);
    return 0;
}

/* Segments' roots, the tree above them, and the root that is committed. */
static int roots_read(struct proof_plot *plot, struct hm_error *why)
{
    const size_t segments = plot->layout.shape.segments;
    const size_t nodes = plot_tree_nodes(segments);

    plot->roots = hm_malloc(nodes * CRYPTO_HASH_BYTES);
    if (plot->roots == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for its %zu segments", segments);
    int rc = plot_read_at(plot->fd, plot->roots, segments * CRYPTO_HASH_BYTES,
                          plot->layout.roots_offset, why);
    if (rc != 0)
        return rc;
    plot_tree_fill(plot->roots, segments);
    if (memcmp(plot->roots + (nodes - 1) * CRYPTO_HASH_BYTES, plot->root, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(why, HM_ECORRUPT, "its segments do not lead to its root");
    return 0;
}

/* A segment's stored tree, hashed again. Done for the first and the last when opening. */
static int tree_check(const struct proof_plot *plot, uint64_t segment, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    const uint8_t *root = plot->roots + segment * CRYPTO_HASH_BYTES;
    HM_AUTOFREE uint8_t *stored = hm_malloc(l->tree_bytes);
    HM_AUTOFREE uint8_t *again = hm_malloc(l->tree_bytes);

    if (stored == NULL || again == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for a segment's tree");
    int rc = plot_read_at(plot->fd, stored, l->tree_bytes,
                          plot_layout_segment_offset(l, segment) + l->labels_bytes, why);
    if (rc != 0)
        return rc;
    memcpy(again, stored, l->groups * CRYPTO_HASH_BYTES);
    plot_tree_fill(again, l->groups);
    if (memcmp(again, stored, l->tree_bytes) != 0 ||
        memcmp(stored + l->tree_bytes - CRYPTO_HASH_BYTES, root, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(why, HM_ECORRUPT, "the tree of segment %llu is wrong",
                       (unsigned long long)segment);
    return 0;
}

int proof_plot_open(const char *path, const uint8_t node[CRYPTO_HASH_BYTES],
                    struct proof_plot **out, struct hm_error *error)
{
    HM_CLEANUP(plot) struct proof_plot *plot = hm_calloc(1, sizeof(*plot));
    struct hm_error why = {0};

    if (plot == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to open the plot %s", path);
    plot->fd = -1;
    plot->path = hm_strdup(path);
    if (plot->path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to open the plot %s", path);
    plot->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (plot->fd < 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO, "opening the plot %s",
                             path);

    int rc = header_read(plot, node, &why);
    if (rc == 0)
        rc = roots_read(plot, &why);
    if (rc == 0)
        rc = tree_check(plot, 0, &why);
    if (rc == 0 && plot->layout.shape.segments > 1)
        rc = tree_check(plot, plot->layout.shape.segments - 1, &why);
    if (rc != 0)
        return plot_failed(path, rc, &why, error);
    /* Openings are drawn anywhere: reading ahead would only fill the page cache. */
    (void)posix_fadvise(plot->fd, 0, 0, POSIX_FADV_RANDOM);
    *out = HM_TAKE(plot);
    return 0;
}

void proof_plot_commitment(const struct proof_plot *plot, Hypermesh__PlotCommitment *out)
{
    hypermesh__plot_commitment__init(out);
    out->root = wire_bytes(plot->root, sizeof(plot->root));
    out->labels = plot->layout.shape.labels;
    out->segment_labels = plot->layout.shape.segment_labels;
}

/* Siblings below the group's node, from the group's labels. */
static uint8_t *path_in_group(const uint8_t *labels, uint64_t count, uint64_t at, uint8_t *path)
{
    uint8_t nodes[PLOT_GROUP_LABELS * PROOF_LABEL_BYTES];

    memcpy(nodes, labels, count * PROOF_LABEL_BYTES);
    while (count > 1) {
        memcpy(path, nodes + (at ^ 1) * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
        path += CRYPTO_HASH_BYTES;
        count = graph_level_up(nodes, count, nodes);
        at /= 2;
    }
    return path;
}

/* Siblings between the group's node and the segment's root, from the stored tree. */
static int path_in_segment(const struct proof_plot *plot, uint64_t segment, uint64_t at,
                           uint8_t **path, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    uint64_t level = plot_layout_segment_offset(l, segment) + l->labels_bytes;

    for (uint64_t count = l->groups; count > 1; count /= 2) {
        int rc = plot_read_at(plot->fd, *path, CRYPTO_HASH_BYTES,
                              level + (at ^ 1) * CRYPTO_HASH_BYTES, why);
        if (rc != 0)
            return rc;
        *path += CRYPTO_HASH_BYTES;
        level += count * CRYPTO_HASH_BYTES;
        at /= 2;
    }
    return 0;
}

/* Siblings above the segments' roots. */
static uint8_t *path_above(const struct proof_plot *plot, uint64_t segment, uint8_t *path)
{
    const uint8_t *level = plot->roots;
    struct graph_place place = {.at = segment, .width = plot->layout.shape.segments};

    while (place.width > 1) {
        if (graph_place_has_sibling(&place)) {
            memcpy(path, level + (place.at ^ 1) * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
            path += CRYPTO_HASH_BYTES;
        }
        level += place.width * CRYPTO_HASH_BYTES;
        graph_place_up(&place);
    }
    return path;
}

static int label_open(const struct proof_plot *plot, uint64_t index, struct hm_arena *arena,
                      Hypermesh__PlotOpening **out, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    const size_t path_bytes = graph_path_nodes(&l->shape, index) * CRYPTO_HASH_BYTES;
    const uint64_t segment = index / l->shape.segment_labels;
    const uint64_t local = index % l->shape.segment_labels;
    const uint64_t group = local / l->group_labels;
    const size_t group_bytes = l->group_labels * PROOF_LABEL_BYTES;
    uint8_t labels[PLOT_GROUP_LABELS * PROOF_LABEL_BYTES];
    Hypermesh__PlotOpening *opening = hm_arena_alloc(arena, sizeof(*opening));
    uint8_t *label = hm_arena_alloc(arena, PROOF_LABEL_BYTES + path_bytes);

    if (opening == NULL || label == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for an opening");
    int rc = plot_read_at(plot->fd, labels, group_bytes,
                          plot_layout_segment_offset(l, segment) + group * group_bytes, why);
    if (rc != 0)
        return rc;
    const uint64_t place = local % l->group_labels;
    memcpy(label, labels + place * PROOF_LABEL_BYTES, PROOF_LABEL_BYTES);
    uint8_t *path = path_in_group(labels, l->group_labels, place, label + PROOF_LABEL_BYTES);
    rc = path_in_segment(plot, segment, group, &path, why);
    if (rc != 0)
        return rc;
    (void)path_above(plot, segment, path);

    hypermesh__plot_opening__init(opening);
    opening->index = index;
    opening->label = wire_bytes(label, PROOF_LABEL_BYTES);
    opening->path = wire_bytes(label + PROOF_LABEL_BYTES, path_bytes);
    *out = opening;
    return 0;
}

static int parents_open(const struct proof_plot *plot, Hypermesh__PlotOpening *opening,
                        struct hm_arena *arena, struct hm_error *why)
{
    const uint64_t local = opening->index % plot->layout.shape.segment_labels;
    uint64_t parents[GRAPH_PARENTS];
    Hypermesh__PlotOpening **list = NULL;

    if (local == 0)
        return 0;
    list = hm_arena_alloc(arena, GRAPH_PARENTS * sizeof(*list));
    if (list == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for an opening");
    graph_parents(local, parents);
    for (size_t i = 0; i < GRAPH_PARENTS; i++) {
        int rc = label_open(plot, opening->index - local + parents[i], arena, &list[i], why);
        if (rc != 0)
            return rc;
    }
    opening->n_parents = GRAPH_PARENTS;
    opening->parents = list;
    return 0;
}

/* A damaged label must not become a refused transaction: it is found here, where it can be named. */
static int openings_check(const struct proof_plot *plot, Hypermesh__PlotOpening *const *openings,
                          size_t count, struct hm_error *why)
{
    struct graph_climb climbs[GRAPH_CLIMB_LANES];

    for (size_t i = 0; i < count; i++) {
        climbs[i].index = openings[i]->index;
        climbs[i].path = openings[i]->path.data;
        memcpy(climbs[i].node, openings[i]->label.data, PROOF_LABEL_BYTES);
    }
    graph_climb_all(&plot->layout.shape, climbs, count);
    for (size_t i = 0; i < count; i++)
        if (memcmp(climbs[i].node, plot->root, CRYPTO_HASH_BYTES) != 0)
            return hm_fail(why, HM_ECORRUPT, "label %llu or what is stored around it is wrong",
                           (unsigned long long)openings[i]->index);
    return 0;
}
_Static_assert(PROOF_OPENINGS_MAX <= GRAPH_CLIMB_LANES, "openings climb in one group");

int proof_plot_open_at(const struct proof_plot *plot, const uint8_t challenge[CRYPTO_HASH_BYTES],
                       size_t count, bool with_parents, struct hm_arena *arena,
                       Hypermesh__PlotOpening ***out, struct hm_error *error)
{
    uint64_t positions[PROOF_OPENINGS_MAX];
    struct hm_error why = {0};
    int rc = 0;

    if (count == 0 || count > PROOF_OPENINGS_MAX)
        return hm_fail(error, HM_EINVAL, "%zu openings are asked for; 1 to %d are possible", count,
                       PROOF_OPENINGS_MAX);
    Hypermesh__PlotOpening **openings = hm_arena_alloc(arena, count * sizeof(*openings));
    if (openings == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu openings", count);
    proof_space_positions(challenge, plot->layout.shape.labels, positions, count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = label_open(plot, positions[i], arena, &openings[i], &why);
        if (rc == 0 && with_parents)
            rc = parents_open(plot, openings[i], arena, &why);
    }
    if (rc == 0)
        rc = openings_check(plot, openings, count, &why);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = openings_check(plot, openings[i]->parents, openings[i]->n_parents, &why);
    if (rc != 0)
        return plot_failed(plot->path, rc, &why, error);
    *out = openings;
    return 0;
}
