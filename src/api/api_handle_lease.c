/* Leases: made, shown, renewed, released. */
#include "api_handlers.h"

int api_handle_allocate(struct api_call *call, struct hm_error *error)
{
    Hypermesh__LeaseItem item = HYPERMESH__LEASE_ITEM__INIT;
    Hypermesh__LeaseItem *items[] = {&item};
    Hypermesh__Allocate act = HYPERMESH__ALLOCATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Asset *asset = NULL;
    int rc = api_asset_find(call, call->param.id, &asset, error);

    if (rc)
        return rc;
    item.asset = asset->id;
    item.share_ppm = (uint32_t)api_record_get(&call->body, "share")->number;
    /* Nobody pays more than they saw: a price that rises meanwhile is refused. */
    item.max_price_per_hour = api_number_or(&call->body, "max_price_per_hour",
                                            asset->price_per_hour);
    act.n_items = 1;
    act.items = items;
    act.duration_ms = api_record_get(&call->body, "duration")->number;
    op.op_case = HYPERMESH__OPERATION__OP_ALLOCATE;
    op.allocate = &act;
    return api_submit_made(call, api_text_or(&call->body, "account", API_ACCOUNT_DEFAULT), &op,
                           "lease", json_out_lease, error);
}

/* The one active lease that account has on the asset as consumer. */
static int lease_of_consumer(struct api_call *call, const char *account, Hypermesh__Lease **out,
                             struct hm_error *error)
{
    const struct api_page page = {.limit = API_PAGE_MAX};
    ProtobufCBinaryData id = {0};
    Hypermesh__Lease **leases = NULL;
    Hypermesh__Lease *found = NULL;
    size_t count = 0;
    int rc = api_account_id(call, account, &id, error);

    if (rc == 0)
        rc = call->backend->leases(call->backend->ctx, account, call->param.id, true, &page,
                                   &call->arena, &leases, &count, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (!hm_slice_equal(wire_slice(leases[i]->consumer), wire_slice(id)))
            continue;
        if (found)
            return hm_fail(
                error, HM_ECONFLICT,
                "%.80s has more than one active lease on this asset; name one with ?lease=",
                account);
        found = leases[i];
    }
    if (!found)
        return hm_fail(error, HM_ENOTFOUND, "%.80s has no active lease on this asset", account);
    *out = found;
    return 0;
}

static bool lease_has_asset(const Hypermesh__Lease *lease, const uint8_t asset[WIRE_ID_BYTES])
{
    for (size_t i = 0; i < lease->n_items; i++) {
        if (hm_slice_equal(wire_slice(lease->items[i]->asset), hm_slice_of(asset, WIRE_ID_BYTES)))
            return true;
    }
    return false;
}

int api_handle_release(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Release act = HYPERMESH__RELEASE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const struct api_value *named = api_record_get(&call->query, "lease");
    const char *account = api_text_or(&call->query, "account", NULL);
    Hypermesh__Lease *lease = NULL;
    int rc;

    if (named->set)
        rc = call->backend->lease(call->backend->ctx, named->id, &call->arena, &lease, error);
    else
        rc = lease_of_consumer(call, account ? account : API_ACCOUNT_DEFAULT, &lease, error);
    if (rc == 0 && !lease_has_asset(lease, call->param.id))
        rc = hm_fail(error, HM_EINVAL, "that lease is not on this asset");
    if (rc)
        return rc;
    act.lease = lease->id;
    op.op_case = HYPERMESH__OPERATION__OP_RELEASE;
    op.release = &act;
    return api_submit_answer(call, account ? account : api_account_text(call, lease->consumer), &op,
                             error);
}

int api_handle_leases(struct api_call *call, struct hm_error *error)
{
    const struct api_value *asset = api_record_get(&call->query, "asset");
    Hypermesh__Lease **items = NULL;
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = api_page_open(call, &api_id_lease, &at, error);

    if (rc == 0)
        rc = call->backend->leases(call->backend->ctx, api_text_or(&call->query, "party", NULL),
                                   asset->set ? asset->id : NULL,
                                   api_number_or(&call->query, "active", 0) != 0, &at.page,
                                   &call->arena, &items, &count, error);
    return rc ? rc : api_page_answer(call, &api_id_lease, &at, items, count, error);
}

int api_handle_lease(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Lease *lease = NULL;
    int rc = call->backend->lease(call->backend->ctx, call->param.id, &call->arena, &lease, error);

    if (rc == 0)
        json_message(&call->json, &lease->base);
    return rc;
}

int api_handle_renew(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Renew act = HYPERMESH__RENEW__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *account = api_text_or(&call->body, "account", NULL);
    Hypermesh__Lease *lease = NULL;
    int rc = call->backend->lease(call->backend->ctx, call->param.id, &call->arena, &lease, error);

    if (rc)
        return rc;
    act.lease = lease->id;
    act.extra_ms = api_record_get(&call->body, "extra")->number;
    op.op_case = HYPERMESH__OPERATION__OP_RENEW;
    op.renew = &act;
    return api_submit_answer(call, account ? account : api_account_text(call, lease->consumer), &op,
                             error);
}
