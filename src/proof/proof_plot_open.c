/* Opens a plot: what is small enough is read once, checked up to the root and kept. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "proof_plot_open.h"

#define CHECK_NODES 512 /* hashed at once when a tree is checked; a power of two */

void proof_plot_close(struct proof_plot *plot)
{
    if (plot == NULL)
        return;
    hm_fd_release(&plot->fd);
    hm_free(plot->path);
    hm_free(plot->roots);
    hm_free(plot->trees);
    hm_free(plot->mids);
    hm_free((void *)plot->mid_states);
    hm_free(plot);
}

static void plot_release(struct proof_plot **plot)
{
    proof_plot_close(*plot);
}

int plot_failed(const char *path, int code, const struct hm_error *why, struct hm_error *error)
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

/* Reads a segment's stored tree (tree_bytes) and hashes each level again. */
static int tree_read(const struct proof_plot *plot, uint64_t segment, uint8_t *tree,
                     struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    const uint8_t *level = tree;
    uint8_t hashed[CHECK_NODES / 2 * CRYPTO_HASH_BYTES];
    int rc = plot_read_at(plot->fd, tree, l->tree_bytes,
                          plot_layout_segment_offset(l, segment) + l->labels_bytes, why);

    if (rc != 0)
        return rc;
    int differs = memcmp(tree + l->tree_bytes - CRYPTO_HASH_BYTES,
                         plot->roots + segment * CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
    for (uint64_t count = l->groups; count > 1 && differs == 0; count /= 2) {
        const uint8_t *above = level + count * CRYPTO_HASH_BYTES;
        for (uint64_t done = 0; done < count && differs == 0; done += CHECK_NODES) {
            size_t some = count - done < CHECK_NODES ? count - done : CHECK_NODES;
            size_t half = graph_level_up(level + done * CRYPTO_HASH_BYTES, some, hashed);
            differs = memcmp(hashed, above + done / 2 * CRYPTO_HASH_BYTES,
                             half * CRYPTO_HASH_BYTES);
        }
        level = above;
    }
    if (differs != 0)
        return hm_fail(why, HM_ECORRUPT, "the tree of segment %llu is wrong",
                       (unsigned long long)segment);
    return 0;
}

/* All trees, to be kept. */
static int trees_read(struct proof_plot *plot, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    int rc = 0;

    plot->trees = hm_malloc(l->shape.segments * l->tree_bytes);
    if (plot->trees == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for its segments' trees");
    for (uint64_t segment = 0; segment < l->shape.segments && rc == 0; segment++)
        rc = tree_read(plot, segment, plot->trees + segment * l->tree_bytes, why);
    return rc;
}

/* The first and the last tree: what a copy that broke off, or another layout, would have got wrong. */
static int trees_sample(const struct proof_plot *plot, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    HM_AUTOFREE uint8_t *tree = hm_malloc(l->tree_bytes);

    if (tree == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for a segment's tree");
    int rc = tree_read(plot, 0, tree, why);
    if (rc == 0 && l->shape.segments > 1)
        rc = tree_read(plot, l->shape.segments - 1, tree, why);
    return rc;
}

/* Memory for the nodes in the groups; the system gives it when it is written to. */
static int mids_init(struct proof_plot *plot, uint64_t groups, struct hm_error *why)
{
    plot->mids = hm_calloc(groups, PLOT_MID_BYTES);
    plot->mid_states = hm_calloc(groups, sizeof(*plot->mid_states));
    if (plot->mids == NULL || plot->mid_states == NULL)
        return hm_fail(why, HM_ENOMEM, "no memory for its groups");
    return 0;
}

static int trees_open(struct proof_plot *plot, uint64_t memory_max_bytes, struct hm_error *why)
{
    const struct plot_layout *l = &plot->layout;
    /* The shape's limits keep these below 2^41. */
    const uint64_t groups = l->shape.segments * l->groups;
    const uint64_t bytes = l->shape.segments * l->tree_bytes;
    int rc = bytes <= memory_max_bytes ? trees_read(plot, why) : trees_sample(plot, why);

    if (rc == 0 && l->group_labels == PLOT_GROUP_LABELS &&
        bytes + groups * PLOT_MID_BYTES <= memory_max_bytes)
        rc = mids_init(plot, groups, why);
    return rc;
}

int plot_open_limited(const char *path, const uint8_t node[CRYPTO_HASH_BYTES],
                      uint64_t memory_max_bytes, struct proof_plot **out, struct hm_error *error)
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
        rc = trees_open(plot, memory_max_bytes, &why);
    if (rc != 0)
        return plot_failed(path, rc, &why, error);
    /* Openings are drawn anywhere: reading ahead would only fill the page cache. */
    (void)posix_fadvise(plot->fd, 0, 0, POSIX_FADV_RANDOM);
    *out = HM_TAKE(plot);
    return 0;
}

int proof_plot_open(const char *path, const uint8_t node[CRYPTO_HASH_BYTES],
                    struct proof_plot **out, struct hm_error *error)
{
    return plot_open_limited(path, node, PLOT_MEMORY_MAX_BYTES, out, error);
}

void proof_plot_commitment(const struct proof_plot *plot, Hypermesh__PlotCommitment *out)
{
    hypermesh__plot_commitment__init(out);
    out->root = wire_bytes(plot->root, sizeof(plot->root));
    out->labels = plot->layout.shape.labels;
    out->segment_labels = plot->layout.shape.segment_labels;
}
