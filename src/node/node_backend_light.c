/* Behind the API: how new the ledger is here, waiting for a block, and a block as a light client needs it. */
#include "node_private.h"

static int node_fresh(void *ctx, struct api_fresh *out, struct hm_error *error)
{
    struct node *node = ctx;
    struct ledger_info info;
    int rc = node_need_ledger(node, error);

    if (rc == 0)
        rc = ledger_info(node->ledger, &info, error);
    if (rc == 0)
        *out = (struct api_fresh){.height = info.height, .time_ms = info.time_ms};
    return rc;
}

/* A cluster's block that nobody needs is made for who wants to see the state root of the one before it. */
static int node_ask_for(struct node *node, uint64_t height, struct hm_error *error)
{
    struct api_fresh now;
    int rc = node_fresh(node, &now, error);

    if (rc != 0)
        return rc;
    if (!node->options.cluster)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "this node's chain is its own: nobody else signs its blocks");
    return height > now.height && height - now.height <= API_ASK_AHEAD
               ? engine_nudge(node->engine, error)
               : 0;
}

static int node_wait_height(void *ctx, uint64_t height, bool ask, unsigned timeout_ms,
                            struct hm_error *error)
{
    struct node *node = ctx;
    int rc = node_need_ledger(node, error);

    if (rc == 0 && ask)
        rc = node_ask_for(node, height, error);
    return rc != 0 ? rc : engine_wait_height(node->engine, height, timeout_ms, error);
}

static int node_light_block(void *ctx, uint64_t height, struct hm_arena *arena,
                            Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct node *node = ctx;
    int rc = node_need_ledger(node, error);

    return rc != 0 ? rc : engine_light_block(node->engine, height, arena, out, error);
}

void node_backend_light_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->fresh = node_fresh;
    backend->wait_height = node_wait_height;
    backend->light_block = node_light_block;
}
