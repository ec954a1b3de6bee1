/* Behind the API: networks and challenges. */
#include "node_reading.h"

static int node_network(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Network **out, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_network(at.view, id, arena, out, error);
}

static int node_networks(void *ctx, const char *member, const struct api_page *page,
                         struct hm_arena *arena, Hypermesh__Network ***out, size_t *count,
                         struct hm_error *error)
{
    NODE_READING at = {0};
    uint8_t id[WIRE_ID_BYTES];
    const uint8_t *who;
    int rc = node_reading_open_for(ctx, member, id, &who, &at, error);

    return rc != 0 ? rc
                   : ledger_view_networks(at.view, who, page->after, page->limit, arena, out, count,
                                          error);
}

static int node_members(void *ctx, const uint8_t network[32], const struct api_page *page,
                        struct hm_arena *arena, Hypermesh__Member ***out, size_t *count,
                        struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc
                   : ledger_view_members(at.view, network, page->after, page->limit, arena, out,
                                         count, error);
}

static int node_challenge(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                          Hypermesh__Challenge **out, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_challenge(at.view, id, arena, out, error);
}

static int node_challenges(void *ctx, const char *party, bool open_only,
                           const struct api_page *page, struct hm_arena *arena,
                           Hypermesh__Challenge ***out, size_t *count, struct hm_error *error)
{
    struct ledger_challenge_filter filter = {.open_only = open_only};
    NODE_READING at = {0};
    uint8_t id[WIRE_ID_BYTES];
    int rc = node_reading_open_for(ctx, party, id, &filter.party, &at, error);

    return rc != 0 ? rc
                   : ledger_view_challenges(at.view, &filter, page->after, page->limit, arena, out,
                                            count, error);
}

void node_backend_network_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->network = node_network;
    backend->networks = node_networks;
    backend->members = node_members;
    backend->challenge = node_challenge;
    backend->challenges = node_challenges;
}
