/* Builds a plot: a segment is labelled in memory, its tree put above it, and both written in one go. What
 * is unfinished carries another name, so a reader never meets half a plot. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proof_plot_file.h"

/* Parents are known long before they are needed: this many labels ahead they are called into the cache. */
#define BUILD_AHEAD 16
/* Labels between two calls of progress, at most: a quarter of a second or so. */
#define BUILD_STEP_LABELS_MAX (UINT64_C(1) << 20)
#define BUILD_SUFFIX          ".part"

struct plot_build {
    struct plot_layout layout;
    const char *path;
    const uint8_t *node;
    char *part_path; /* while it exists and is ours to remove */
    int fd;
    uint8_t *segment; /* labels, then tree, then zeros up to the page */
    uint8_t *roots; /* tree over the segments' roots */
    uint64_t next_progress;
    proof_plot_progress progress;
    void *ctx;
};

static void plot_build_release(struct plot_build *build)
{
    if (build->part_path != NULL)
        (void)unlink(build->part_path);
    hm_fd_release(&build->fd);
    hm_free(build->part_path);
    hm_free(build->segment);
    hm_free(build->roots);
}

static int write_failed(const struct plot_build *build, struct hm_error *error)
{
    const int reason = errno;

    if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG) {
        char size[32];
        hm_size_format(build->layout.file_bytes, size);
        errno = reason;
        return hm_fail_errno(error, HM_EIO,
                             "the plot %s needs %s on its disk; free space or choose a smaller "
                             "plot",
                             build->path, size);
    }
    return hm_fail_errno(error, HM_EIO, "writing the plot %s", build->path);
}

/* Two builders of one plot would write over each other; what a killed one left is taken over. */
static int part_open(struct plot_build *build, struct hm_error *error)
{
    HM_AUTOFREE char *part = hm_asprintf("%s%s", build->path, BUILD_SUFFIX);
    struct stat opened, named;

    if (part == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to build the plot %s", build->path);
    build->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (build->fd < 0)
        return hm_fail_errno(error, HM_EIO, "creating %s", part);
    if (flock(build->fd, LOCK_EX | LOCK_NB) != 0 || fstat(build->fd, &opened) != 0 ||
        lstat(part, &named) != 0 || opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
        return hm_fail(error, HM_EBUSY, "another process is building the plot %s; wait for it",
                       build->path);
    build->part_path = HM_TAKE(part);
    if (ftruncate(build->fd, 0) != 0)
        return write_failed(build, error);

    /* Room is taken at once, so that a full disk is met now and not hours later. */
    int rc = 0;
    do {
        rc = fallocate(build->fd, 0, 0, (off_t)build->layout.file_bytes);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return write_failed(build, error);
    return 0;
}

static int report(struct plot_build *build, uint64_t done, struct hm_error *error)
{
    const uint64_t total = build->layout.shape.labels;
    uint64_t step = total / 100;

    if (done < build->next_progress && done < total)
        return 0;
    if (step > BUILD_STEP_LABELS_MAX)
        step = BUILD_STEP_LABELS_MAX;
    build->next_progress = done + (step > 0 ? step : 1);
    if (build->progress == NULL || build->progress(build->ctx, done, total) == 0)
        return 0;
    return hm_fail(error, HM_ECANCELLED,
                   "building the plot %s was cancelled at %llu of %llu labels", build->path,
                   (unsigned long long)done, (unsigned long long)total);
}

static void parents_ahead(const uint8_t *labels, uint64_t local, uint64_t parents[GRAPH_PARENTS])
{
    graph_parents(local, parents);
    __builtin_prefetch(labels + parents[1] * PROOF_LABEL_BYTES);
    __builtin_prefetch(labels + parents[2] * PROOF_LABEL_BYTES);
}

static int segment_label(struct plot_build *build, uint64_t segment, struct hm_error *error)
{
    const uint64_t count = build->layout.shape.segment_labels;
    const uint64_t first = segment * count;
    uint8_t *labels = build->segment;
    uint64_t ahead[BUILD_AHEAD][GRAPH_PARENTS];
    uint8_t seed[GRAPH_SEED_BYTES];

    graph_segment_seed(build->node, segment, count, seed);
    graph_label(seed, first, NULL, labels);
    for (uint64_t local = 1; local <= BUILD_AHEAD; local++)
        graph_parents(local, ahead[local % BUILD_AHEAD]);
    for (uint64_t local = 1; local < count; local++) {
        uint64_t *parents = ahead[local % BUILD_AHEAD];
        const uint8_t *const from[GRAPH_PARENTS] = {
            labels + parents[0] * PROOF_LABEL_BYTES,
            labels + parents[1] * PROOF_LABEL_BYTES,
            labels + parents[2] * PROOF_LABEL_BYTES,
        };
        graph_label(seed, first + local, from, labels + local * PROOF_LABEL_BYTES);
        parents_ahead(labels, local + BUILD_AHEAD, parents);
        int rc = report(build, first + local + 1, error);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Levels below the groups' nodes are not kept: a group is read and hashed again faster than stored. */
static void segment_tree(struct plot_build *build)
{
    const struct plot_layout *l = &build->layout;
    uint8_t *tree = build->segment + l->labels_bytes;
    uint8_t nodes[PLOT_GROUP_LABELS / 2 * CRYPTO_HASH_BYTES];

    for (uint64_t group = 0; group < l->groups; group++) {
        const uint8_t *labels = build->segment + group * l->group_labels * PROOF_LABEL_BYTES;
        size_t count = graph_level_up(labels, l->group_labels, nodes);
        while (count > 1)
            count = graph_level_up(nodes, count, nodes);
        memcpy(tree + group * CRYPTO_HASH_BYTES, nodes, CRYPTO_HASH_BYTES);
    }
    plot_tree_fill(tree, l->groups);
}

static int segment_build(struct plot_build *build, uint64_t segment, struct hm_error *error)
{
    const struct plot_layout *l = &build->layout;
    int rc = segment_label(build, segment, error);

    if (rc != 0)
        return rc;
    segment_tree(build);
    memcpy(build->roots + segment * CRYPTO_HASH_BYTES,
           build->segment + l->labels_bytes + l->tree_bytes - CRYPTO_HASH_BYTES, CRYPTO_HASH_BYTES);
    if (plot_write_at(build->fd, build->segment, l->segment_bytes,
                      plot_layout_segment_offset(l, segment), error) != 0)
        return write_failed(build, error);
    return 0;
}

/* The rename is durable only when the folder is. */
static int folder_sync(const char *path, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');
    HM_AUTOFREE char *folder = slash == NULL ? hm_strdup(".")
                                             : hm_strndup(path, (size_t)(slash - path) + 1);

    if (folder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to finish the plot %s", path);
    HM_AUTOCLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "syncing the folder of the plot %s", path);
    return 0;
}

static int build_finish(struct plot_build *build, struct hm_error *error)
{
    const struct plot_layout *l = &build->layout;
    const size_t segments = l->shape.segments;
    const uint8_t *root = NULL;
    uint8_t page[PLOT_PAGE_BYTES];

    plot_tree_fill(build->roots, segments);
    root = build->roots + (plot_tree_nodes(segments) - 1) * CRYPTO_HASH_BYTES;
    plot_header_encode(l, build->node, root, page);
    if (plot_write_at(build->fd, build->roots, segments * CRYPTO_HASH_BYTES, l->roots_offset,
                      error) != 0 ||
        plot_write_at(build->fd, page, sizeof(page), 0, error) != 0 || fsync(build->fd) != 0)
        return write_failed(build, error);
    if (rename(build->part_path, build->path) != 0)
        return hm_fail_errno(error, HM_EIO, "naming the plot %s", build->path);
    hm_free(HM_TAKE(build->part_path));
    return folder_sync(build->path, error);
}

int proof_plot_create(const char *path, const uint8_t node[CRYPTO_HASH_BYTES], uint64_t labels,
                      uint64_t segment_labels, proof_plot_progress progress, void *ctx,
                      struct hm_error *error)
{
    HM_CLEANUP(plot_build)
    struct plot_build build = {
        .path = path, .node = node, .fd = -1, .progress = progress, .ctx = ctx};
    int rc = plot_layout_init(&build.layout, labels, segment_labels, error);

    if (rc != 0)
        return rc;
    build.segment = hm_calloc(1, build.layout.segment_bytes);
    build.roots = hm_malloc(plot_tree_nodes(build.layout.shape.segments) * CRYPTO_HASH_BYTES);
    if (build.segment == NULL || build.roots == NULL)
        return hm_fail(error, HM_ENOMEM,
                       "no memory for a segment of %llu labels; use smaller segments",
                       (unsigned long long)segment_labels);
    rc = part_open(&build, error);
    for (uint64_t segment = 0; segment < build.layout.shape.segments && rc == 0; segment++)
        rc = segment_build(&build, segment, error);
    return rc != 0 ? rc : build_finish(&build, error);
}
