/* The space that this node holds: built at the first start, opened at the next, read by the engine's thread for every
 * batch and by whoever answers a challenge. */
#include "node_private.h"

static int node_plot_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct node *node = ctx;

    node_say_not_ready(node, "building the plot: %u %%",
                       total == 0 ? 100U : (unsigned)(done / (total / 100 + 1)));
    return node_quitting(node);
}

static uint64_t node_segment_labels(uint64_t labels)
{
    uint64_t segment = PROOF_SEGMENT_LABELS_DEFAULT;

    while (segment > labels && segment > PROOF_SEGMENT_LABELS_MIN) /* one segment, a power of two */
        segment /= 2;
    return segment;
}

uint64_t node_plot_labels_of(uint64_t bytes)
{
    uint64_t labels = bytes / PROOF_LABEL_BYTES;

    return labels - labels % node_segment_labels(labels);
}

uint64_t node_plot_labels(const struct node *node)
{
    return node_plot_labels_of(node->options.plot_bytes);
}

static int node_plot_build(struct node *node, const char *path, struct hm_error *error)
{
    uint64_t labels = node_plot_labels(node);

    if (labels == 0)
        return hm_fail(error, HM_ERANGE, "a plot of %llu bytes is too small",
                       (unsigned long long)node->options.plot_bytes);
    hm_log(HM_LOG_INFO, "node", "building a plot of %llu KiB",
           (unsigned long long)(labels * PROOF_LABEL_BYTES >> 10));
    return proof_plot_create(path, node->operator_id, labels, node_segment_labels(labels),
                             node_plot_progress, node, error);
}

void node_plot_init(struct node *node)
{
    pthread_rwlock_init(&node->plot.lock, NULL);
}

void node_plot_release(struct node *node)
{
    proof_plot_close(node->plot.open);
    node->plot.open = NULL;
    pthread_rwlock_destroy(&node->plot.lock);
}

static void node_plot_put(struct node *node, struct proof_plot *plot)
{
    pthread_rwlock_wrlock(&node->plot.lock);
    struct proof_plot *old = node->plot.open;
    node->plot.open = plot;
    pthread_rwlock_unlock(&node->plot.lock);
    proof_plot_close(old);
}

int node_plot_boot(struct node *node, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    struct proof_plot *plot;
    int rc = node_path(node, "plot", path, error);

    if (rc != 0)
        return rc;
    rc = proof_plot_open(path, node->operator_id, &plot, error);
    if (rc == HM_ECORRUPT)
        hm_log(HM_LOG_WARN, "node", "%s; it is built anew", error->text);
    if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT) {
        rc = node_plot_build(node, path, error);
        if (rc == 0)
            rc = proof_plot_open(path, node->operator_id, &plot, error);
    }
    if (rc == 0)
        node_plot_put(node, plot);
    return rc;
}

static int node_plot_patience(void *ctx, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return node_quitting(ctx);
}

int node_plot_rebuild(struct node *node, struct hm_error *error)
{
    Hypermesh__PlotCommitment commitment = HYPERMESH__PLOT_COMMITMENT__INIT;
    char path[NODE_PATH_MAX_BYTES];
    struct proof_plot *plot;
    int rc = node_path(node, "plot", path, error);

    if (rc != 0)
        return rc;
    proof_plot_commitment(node->plot.open, &commitment); /* only this thread replaces it */
    rc = proof_plot_create(path, node->operator_id, commitment.labels, commitment.segment_labels,
                           node_plot_patience, node, error);
    if (rc == 0)
        rc = proof_plot_open(path, node->operator_id, &plot, error);
    if (rc != 0)
        return rc;
    node_plot_put(node, plot);
    atomic_store(&node->plot.damaged, false);
    hm_log(HM_LOG_WARN, "node", "the plot is whole again");
    return 0;
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static int node_plot_missing(struct hm_error *error)
{
    return hm_fail(error, HM_EUNAVAILABLE, "the node's plot is not there yet");
}

int node_plot_commitment(struct node *node, struct hm_arena *arena, Hypermesh__PlotCommitment *out,
                         struct hm_error *error)
{
    Hypermesh__PlotCommitment commitment = HYPERMESH__PLOT_COMMITMENT__INIT;
    int rc = 0;

    pthread_rwlock_rdlock(&node->plot.lock);
    if (node->plot.open == NULL)
        rc = node_plot_missing(error);
    else
        proof_plot_commitment(node->plot.open, &commitment);
    if (rc == 0) { /* the root lies in the plot */
        commitment.root.data = hm_arena_dup(arena, commitment.root.data, commitment.root.len);
        if (commitment.root.data == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a plot's commitment");
    }
    pthread_rwlock_unlock(&node->plot.lock);
    if (rc == 0)
        *out = commitment;
    return rc;
}

int node_plot_open_at(struct node *node, const uint8_t challenge[CRYPTO_HASH_BYTES], size_t count,
                      bool with_parents, struct hm_arena *arena, Hypermesh__PlotOpening ***out,
                      struct hm_error *error)
{
    const uint64_t one = 1;

    pthread_rwlock_rdlock(&node->plot.lock);
    int rc = node->plot.open == NULL ? node_plot_missing(error)
                                     : proof_plot_open_at(node->plot.open, challenge, count,
                                                          with_parents, arena, out, error);
    pthread_rwlock_unlock(&node->plot.lock);
    if (rc == HM_ECORRUPT && !atomic_exchange(&node->plot.damaged, true))
        hm_write_all(node->challenges.news_fd, &one, sizeof(one), NULL);
    return rc;
}

uint64_t node_plot_size(struct node *node)
{
    Hypermesh__PlotCommitment commitment = HYPERMESH__PLOT_COMMITMENT__INIT;

    pthread_rwlock_rdlock(&node->plot.lock);
    if (node->plot.open != NULL)
        proof_plot_commitment(node->plot.open, &commitment);
    pthread_rwlock_unlock(&node->plot.lock);
    return commitment.labels * PROOF_LABEL_BYTES;
}
