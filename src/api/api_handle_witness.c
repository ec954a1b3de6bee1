/* GET /cluster/witness and /cluster/vdf: where and when validators see each node, and the newest link of the chain of delays. */
#include "api_handlers.h"

/* Bits of WitnessNode.doubts, from the lowest. */
static const char *const doubts[] = {"clock", "distance"};

static void seen_json(struct json_out *json, const Hypermesh__WitnessNode *node)
{
    json_out_open(json, '{');
    json_message_put(json, &node->base, "doubts");
    json_out_key(json, "doubts");
    json_out_open(json, '[');
    for (size_t i = 0; i < HM_COUNT_OF(doubts); i++)
        if (node->doubts >> i & 1)
            json_out_text(json, doubts[i]);
    json_out_close(json, ']');
    json_out_close(json, '}');
}

static int no_cluster(struct hm_error *error)
{
    return hm_fail(error, HM_EUNSUPPORTED, "this node is of no cluster");
}

int api_handle_witness(struct api_call *call, struct hm_error *error)
{
    Hypermesh__WitnessView *view = NULL;
    struct json_out *json = &call->json;
    int rc = call->backend->witness
                 ? call->backend->witness(call->backend->ctx, &call->arena, &view, error)
                 : no_cluster(error);

    if (rc)
        return rc;
    json_out_open(json, '{');
    json_message_put(json, &view->base, "nodes");
    json_out_key(json, "nodes");
    json_out_open(json, '[');
    for (size_t i = 0; i < view->n_nodes; i++)
        seen_json(json, view->nodes[i]);
    json_out_close(json, ']');
    json_out_close(json, '}');
    return 0;
}

int api_handle_vdf(struct api_call *call, struct hm_error *error)
{
    Hypermesh__VdfLink *link = NULL;
    int rc = call->backend->vdf ? call->backend->vdf(call->backend->ctx, &call->arena, &link, error)
                                : no_cluster(error);

    if (rc == 0)
        json_message(&call->json, &link->base);
    return rc;
}
