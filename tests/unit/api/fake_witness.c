#include "fake_parts.h"

static int fake_none(const struct fake *fake, struct hm_error *error)
{
    return fake->no_light ? hm_fail(error, HM_EUNSUPPORTED, "this node's chain is its own")
                          : hm_fail(error, HM_ENOTFOUND, "nothing yet");
}

static Hypermesh__WitnessNode *fake_node(struct hm_arena *arena, uint8_t first, uint32_t doubts)
{
    Hypermesh__WitnessNode *node = hm_arena_alloc(arena, sizeof(*node));

    hypermesh__witness_node__init(node);
    node->node = fake_bytes(arena, first);
    node->node.len = 20;
    node->seen_ppm = 750000;
    node->rtt_us = 250 + first;
    node->clock_ms = -(int64_t)first * 1000;
    node->claims_rtt_us = 260;
    node->doubts = doubts;
    node->address = node->node;
    node->said_ms = first;
    return node;
}

static int fake_witness(void *ctx, struct hm_arena *arena, Hypermesh__WitnessView **out,
                        struct hm_error *error)
{
    Hypermesh__WitnessView *view = hm_arena_alloc(arena, sizeof(*view));
    struct fake *fake = ctx;

    if (fake->no_light || fake->no_links)
        return fake_none(fake, error);
    hypermesh__witness_view__init(view);
    view->height = 3;
    view->time_ms = view->clock_ms = 1700000000000;
    view->voters = 3;
    view->power_ppm = 750000;
    view->n_nodes = 2;
    view->nodes = hm_arena_alloc(arena, 2 * sizeof(*view->nodes));
    view->nodes[0] = fake_node(arena, 1, 0);
    view->nodes[1] = fake_node(arena, 2, 3);
    *out = view;
    return 0;
}

static int fake_vdf(void *ctx, struct hm_arena *arena, Hypermesh__VdfLink **out,
                    struct hm_error *error)
{
    Hypermesh__VdfLink *link = hm_arena_alloc(arena, sizeof(*link));
    struct fake *fake = ctx;

    if (fake->no_light || fake->no_links)
        return fake_none(fake, error);
    hypermesh__vdf_link__init(link);
    link->index = 4;
    link->steps = 1048576;
    link->input = fake_bytes(arena, 5);
    link->output = fake_bytes(arena, 6);
    link->proof = fake_bytes(arena, 7);
    link->height = 2;
    link->linked_height = 3;
    *out = link;
    return 0;
}

void fake_witness_fill(struct api_backend *backend)
{
    backend->witness = fake_witness;
    backend->vdf = fake_vdf;
}
