/* Behind the API: where and when the validators together see each node, and the chain of delays. */
#include "node_reading.h"

static int node_of_cluster(const struct node *node, struct hm_error *error)
{
    return node->options.cluster
               ? 0
               : hm_fail(error, HM_EUNSUPPORTED,
                         "this node's chain is its own: nobody else sees it, and it has no chain "
                         "of delays");
}

static int node_witness_view(void *ctx, struct hm_arena *arena, Hypermesh__WitnessView **out,
                             struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_of_cluster(ctx, error);

    if (rc == 0)
        rc = node_reading_open(ctx, &at, error);
    if (rc == 0)
        rc = ledger_view_witness(at.view, arena, out, error);
    return rc == HM_ENOTFOUND
               ? hm_fail(error, rc, "no block holds yet what the validators see of each other")
               : rc;
}

static int node_vdf_link(void *ctx, struct hm_arena *arena, Hypermesh__VdfLink **out,
                         struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_of_cluster(ctx, error);

    if (rc == 0)
        rc = node_reading_open(ctx, &at, error);
    if (rc == 0)
        rc = ledger_view_vdf(at.view, arena, out, error);
    return rc == HM_ENOTFOUND ? hm_fail(error, rc, "the chain of delays has no link yet") : rc;
}

void node_backend_witness_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->witness = node_witness_view;
    backend->vdf = node_vdf_link;
}
