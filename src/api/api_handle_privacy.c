/* Who may use what: levels of assets, peers, relays. */
#include "api_handlers.h"

#define WHOLE_PPM 1000000u

static int networks_of(struct api_call *call, const struct api_value *texts, size_t *count,
                       ProtobufCBinaryData **out, struct hm_error *error)
{
    ProtobufCBinaryData *ids = hm_arena_alloc(&call->arena, (texts->count + 1) * sizeof(*ids));
    uint8_t *bytes = hm_arena_alloc(&call->arena, texts->count * WIRE_ID_BYTES + 1);
    int rc = ids && bytes ? 0 : api_no_memory(error);

    for (size_t i = 0; i < texts->count && rc == 0; i++) {
        rc = wire_network_parse(texts->list[i], bytes + i * WIRE_ID_BYTES, error);
        ids[i] = wire_bytes(bytes + i * WIRE_ID_BYTES, WIRE_ID_BYTES);
    }
    if (rc)
        return hm_error_prefix(error, rc, "networks");
    *count = texts->count;
    *out = ids;
    return 0;
}

static int demand_of(struct api_call *call, const struct api_record *from, Hypermesh__Privacy *out,
                     struct hm_error *error)
{
    Hypermesh__ProofDemand *demand = hm_arena_alloc(&call->arena, sizeof(*demand));
    uint64_t bits = api_number_or(from, "min_work_bits", 0);

    if (!demand)
        return api_no_memory(error);
    if (bits > UINT32_MAX)
        return hm_fail(error, HM_ERANGE, "demand.min_work_bits is at most %u", UINT32_MAX);
    hypermesh__proof_demand__init(demand);
    demand->min_bond = api_number_or(from, "min_bond", 0);
    demand->min_work_bits = (uint32_t)bits;
    demand->max_anchor_age = api_number_or(from, "max_anchor_age", 0);
    demand->min_plot_labels = api_number_or(from, "min_plot_labels", 0);
    out->demand = demand;
    return 0;
}

int api_privacy_of(struct api_call *call, const struct api_record *from, Hypermesh__Privacy *out,
                   struct hm_error *error)
{
    const struct api_value *demand = api_record_get(from, "demand");
    uint64_t leases = api_number_or(from, "max_leases", 0);
    int rc;

    if (leases > UINT32_MAX)
        return hm_fail(error, HM_ERANGE, "max_leases is at most %u", UINT32_MAX);
    out->level = (Hypermesh__PrivacyLevel)api_record_get(from, "level")->number;
    out->max_share_ppm = (uint32_t)api_number_or(from, "max_share", WHOLE_PPM);
    out->max_leases = (uint32_t)leases;
    out->max_duration_ms = api_number_or(from, "max_duration", 0);
    out->reward_waived_ppm = WHOLE_PPM - (uint32_t)api_number_or(from, "reward", WHOLE_PPM);
    rc = api_account_ids(call, api_record_get(from, "accounts"), &out->n_accounts, &out->accounts,
                         error);
    if (rc == 0)
        rc = networks_of(call, api_record_get(from, "networks"), &out->n_networks, &out->networks,
                         error);
    if (rc == 0 && demand->set)
        rc = demand_of(call, demand->object, out, error);
    return rc;
}

int api_handle_privacy_set(struct api_call *call, struct hm_error *error)
{
    Hypermesh__PrivacySet act = HYPERMESH__PRIVACY_SET__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Privacy privacy = HYPERMESH__PRIVACY__INIT;
    Hypermesh__Asset *asset = NULL;
    const char *actor = NULL;
    int rc = api_asset_acting(call, api_record_get(&call->body, "asset")->id, &call->body, &asset,
                              &actor, error);

    if (rc == 0)
        rc = api_privacy_of(call, &call->body, &privacy, error);
    if (rc)
        return rc;
    act.asset = asset->id;
    act.privacy = &privacy;
    op.op_case = HYPERMESH__OPERATION__OP_PRIVACY_SET;
    op.privacy_set = &act;
    return api_submit_answer(call, actor, &op, error);
}

static void privacy_item(struct json_out *json, const Hypermesh__Asset *asset)
{
    json_out_open(json, '{');
    json_out_key(json, "asset");
    json_out_asset(json, wire_slice(asset->id));
    json_out_key(json, "owner");
    json_out_account(json, wire_slice(asset->owner));
    json_out_key(json, "privacy");
    json_message(json, asset->privacy ? &asset->privacy->base : NULL);
    json_out_close(json, '}');
}

int api_handle_privacy(struct api_call *call, struct hm_error *error)
{
    const struct api_value *only = api_record_get(&call->query, "asset");
    Hypermesh__Asset *one[1] = {NULL};
    Hypermesh__Asset **items = one;
    const char *next = NULL;
    size_t count = 1;
    int rc;

    if (only->set)
        rc = api_asset_find(call, only->id, &one[0], error);
    else
        rc = api_asset_page(call, NULL, HYPERMESH__ASSET_KIND__ASSET_NONE, false, &items, &count,
                            &next, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < count; i++)
        privacy_item(&call->json, items[i]);
    api_list_close(&call->json, next);
    return 0;
}

/* --- peers and relays of an account ---------------------------------------------------------------- */

int api_handle_peers_set(struct api_call *call, struct hm_error *error)
{
    Hypermesh__PeersSet act = HYPERMESH__PEERS_SET__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = api_account_ids(call, api_record_get(&call->body, "accounts"), &act.n_accounts,
                             &act.accounts, error);

    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_PEERS_SET;
    op.peers_set = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_proxy_set(struct api_call *call, struct hm_error *error)
{
    Hypermesh__ProxySet act = HYPERMESH__PROXY_SET__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = api_account_ids(call, api_record_get(&call->body, "relays"), &act.n_relays,
                             &act.relays, error);

    if (rc)
        return rc;
    act.any = api_number_or(&call->body, "any", 0) != 0;
    act.sealed_only = api_number_or(&call->body, "sealed_only", 0) != 0;
    op.op_case = HYPERMESH__OPERATION__OP_PROXY_SET;
    op.proxy_set = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

/* The account of the query, and {"account": its id so far. */
static int account_open(struct api_call *call, struct api_account *out, struct hm_error *error)
{
    int rc = call->backend->account(call->backend->ctx, api_actor(call, &call->query), &call->arena,
                                    out, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, "account");
    json_out_account(&call->json, hm_slice_of(out->id, sizeof(out->id)));
    return 0;
}

int api_handle_peers(struct api_call *call, struct hm_error *error)
{
    struct api_account account = {0};
    int rc = account_open(call, &account, error);

    if (rc)
        return rc;
    json_out_key(&call->json, "accounts");
    json_out_open(&call->json, '[');
    for (size_t i = 0; account.state && i < account.state->n_peers; i++)
        json_out_account(&call->json, wire_slice(account.state->peers[i]));
    json_out_close(&call->json, ']');
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_proxy(struct api_call *call, struct hm_error *error)
{
    static const Hypermesh__Proxies none = HYPERMESH__PROXIES__INIT;
    struct api_account account = {0};
    int rc = account_open(call, &account, error);

    if (rc)
        return rc;
    json_message_put(
        &call->json,
        account.state && account.state->proxies ? &account.state->proxies->base : &none.base, NULL);
    json_out_close(&call->json, '}');
    return 0;
}
