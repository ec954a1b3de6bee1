/* Assets. */
#include <arpa/inet.h>

#include "api_handlers.h"

#define SHARE_FULL_PPM 1000000u

int api_asset_find(struct api_call *call, const uint8_t id[WIRE_ID_BYTES], Hypermesh__Asset **out,
                   struct hm_error *error)
{
    uint8_t address[16];

    return call->backend->asset(call->backend->ctx, id, &call->arena, out, address, error);
}

int api_asset_acting(struct api_call *call, const uint8_t id[WIRE_ID_BYTES],
                     const struct api_record *from, Hypermesh__Asset **out, const char **actor,
                     struct hm_error *error)
{
    const char *named = api_text_or(from, "account", NULL);
    int rc = api_asset_find(call, id, out, error);

    if (rc == 0)
        *actor = named ? named : api_account_text(call, (*out)->owner);
    return rc;
}

/* Attributes of a request, which come sorted by name. */
static int attributes_of(struct api_call *call, const struct api_value *value, size_t *count,
                         Hypermesh__Attribute ***out, struct hm_error *error)
{
    Hypermesh__Attribute **list = hm_arena_alloc(&call->arena, (value->count + 1) * sizeof(*list));

    if (!list)
        return api_no_memory(error);
    for (size_t i = 0; i < value->count; i++) {
        list[i] = hm_arena_alloc(&call->arena, sizeof(*list[i]));
        if (!list[i])
            return api_no_memory(error);
        hypermesh__attribute__init(list[i]);
        list[i]->name = (char *)(uintptr_t)value->list[2 * i];
        list[i]->value = (char *)(uintptr_t)value->list[2 * i + 1];
    }
    *count = value->count;
    *out = list;
    return 0;
}

static int node_account(struct api_call *call, const char **out, struct hm_error *error)
{
    struct api_status status = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);

    if (rc)
        return rc;
    if (!status.node_account)
        return hm_fail(error, HM_EBUSY, "the node has no account yet: %s",
                       status.not_ready ? status.not_ready : "starting");
    *out = status.node_account;
    return 0;
}

int api_handle_asset_register(struct api_call *call, struct hm_error *error)
{
    Hypermesh__AssetRegister act = HYPERMESH__ASSET_REGISTER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Privacy privacy = HYPERMESH__PRIVACY__INIT;
    const struct api_value *wanted = api_record_get(&call->body, "privacy");
    const char *account = api_text_or(&call->body, "account", NULL);
    int rc = account ? 0 : node_account(call, &account, error);

    act.kind = (Hypermesh__AssetKind)api_record_get(&call->body, "kind")->number;
    act.hardware_id = (char *)(uintptr_t)api_record_get(&call->body, "hardware_id")->text;
    act.capacity = api_record_get(&call->body, "capacity")->number;
    act.price_per_hour = api_record_get(&call->body, "price_per_hour")->number;
    act.privacy = &privacy;
    privacy.level = HYPERMESH__PRIVACY_LEVEL__PRIVATE;
    privacy.max_share_ppm = SHARE_FULL_PPM;
    if (rc == 0)
        rc = attributes_of(call, api_record_get(&call->body, "attributes"), &act.n_attributes,
                           &act.attributes, error);
    if (rc == 0 && wanted->set)
        rc = api_privacy_of(call, wanted->object, &privacy, error);
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_REGISTER;
    op.asset_register = &act;
    return rc ? rc : api_submit_made(call, account, &op, "asset", json_out_asset, error);
}

int api_asset_page(struct api_call *call, const char *owner, Hypermesh__AssetKind kind,
                   bool retired, Hypermesh__Asset ***items, size_t *count, const char **next,
                   struct hm_error *error)
{
    struct api_id_page at = {0};
    int rc = api_page_open(call, &api_id_asset, &at, error);

    if (rc == 0)
        rc = call->backend->assets(call->backend->ctx, owner, kind, retired, &at.page, &call->arena,
                                   items, count, error);
    return rc ? rc : api_page_cut(call, &api_id_asset, &at, *items, count, next, error);
}

int api_handle_assets(struct api_call *call, struct hm_error *error)
{
    Hypermesh__AssetKind kind = (Hypermesh__AssetKind)api_number_or(
        &call->query, "kind", HYPERMESH__ASSET_KIND__ASSET_NONE);
    Hypermesh__Asset **items = NULL;
    const char *next = NULL;
    size_t count = 0;
    int rc = api_asset_page(call, api_text_or(&call->query, "owner", NULL), kind,
                            api_number_or(&call->query, "retired", 0) != 0, &items, &count, &next,
                            error);

    if (rc == 0)
        api_messages_json(call, items, count, next);
    return rc;
}

int api_handle_asset(struct api_call *call, struct hm_error *error)
{
    char text[INET6_ADDRSTRLEN] = "";
    Hypermesh__Asset *asset = NULL;
    uint8_t address[16] = {0};
    int rc = call->backend->asset(call->backend->ctx, call->param.id, &call->arena, &asset, address,
                                  error);

    if (rc)
        return rc;
    (void)inet_ntop(AF_INET6, address, text, sizeof(text));
    json_out_open(&call->json, '{');
    json_message_put(&call->json, &asset->base, NULL);
    json_out_put_text(&call->json, "address", text);
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_asset_history(struct api_call *call, struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    Hypermesh__AssetEvent **events = NULL;
    uint64_t from = 0;
    char next[24];
    size_t count = 0;
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    if (rc == 0 && after) {
        rc = hm_u64_parse(after, &from, error);
        rc = rc ? hm_error_prefix(error, rc, "after") : 0;
    }
    if (rc == 0)
        rc = call->backend->asset_history(call->backend->ctx, call->param.id, from, limit + 1,
                                          &call->arena, &events, &count, error);
    if (rc)
        return rc;
    (void)snprintf(next, sizeof(next), "%llu", (unsigned long long)(from + limit));
    api_messages_json(call, events, count < limit ? count : limit, count > limit ? next : NULL);
    return 0;
}

int api_handle_asset_update(struct api_call *call, struct hm_error *error)
{
    Hypermesh__AssetUpdate act = HYPERMESH__ASSET_UPDATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const struct api_value *attributes = api_record_get(&call->body, "attributes");
    Hypermesh__Asset *asset = NULL;
    const char *actor = NULL;
    int rc = api_asset_acting(call, call->param.id, &call->body, &asset, &actor, error);

    if (rc)
        return rc;
    act.asset = asset->id;
    act.capacity = api_number_or(&call->body, "capacity", asset->capacity);
    act.price_per_hour = api_number_or(&call->body, "price_per_hour", asset->price_per_hour);
    act.n_attributes = asset->n_attributes;
    act.attributes = asset->attributes;
    if (attributes->set)
        rc = attributes_of(call, attributes, &act.n_attributes, &act.attributes, error);
    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_UPDATE;
    op.asset_update = &act;
    return api_submit_answer(call, actor, &op, error);
}

int api_handle_asset_transfer(struct api_call *call, struct hm_error *error)
{
    Hypermesh__AssetTransfer act = HYPERMESH__ASSET_TRANSFER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Asset *asset = NULL;
    const char *actor = NULL;
    int rc = api_asset_acting(call, call->param.id, &call->body, &asset, &actor, error);

    if (rc == 0)
        rc = api_account_id(call, api_record_get(&call->body, "to")->text, &act.to, error);
    if (rc)
        return rc;
    act.asset = asset->id;
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_TRANSFER;
    op.asset_transfer = &act;
    return api_submit_answer(call, actor, &op, error);
}

int api_handle_asset_retire(struct api_call *call, struct hm_error *error)
{
    Hypermesh__AssetRetire act = HYPERMESH__ASSET_RETIRE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Asset *asset = NULL;
    const char *actor = NULL;
    int rc = api_asset_acting(call, call->param.id, &call->query, &asset, &actor, error);

    if (rc)
        return rc;
    act.asset = asset->id;
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_RETIRE;
    op.asset_retire = &act;
    return api_submit_answer(call, actor, &op, error);
}
