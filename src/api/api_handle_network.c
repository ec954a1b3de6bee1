/* Networks: sets of accounts that assets may be opened to. */
#include "api_handlers.h"

static const struct api_id_kind network_kind = {wire_network_parse, wire_network_text};
static const struct api_id_kind account_kind = {wire_account_parse, wire_account_text};

int api_handle_network_create(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkCreate act = HYPERMESH__NETWORK_CREATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    struct api_receipt receipt;
    int rc;

    act.name = (char *)(uintptr_t)api_record_get(&call->body, "name")->text;
    act.open = api_number_or(&call->body, "open", 0) != 0;
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_CREATE;
    op.network_create = &act;
    rc = api_submit(call, api_text_or(&call->body, "account", call->account), &op, &receipt, error);
    if (rc == 0 && receipt.created_count != 1)
        rc = hm_fail(error, HM_EINTERNAL, "the ledger named no network for the creation");
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, "network");
    json_out_network(&call->json, hm_slice_of(receipt.created[0], WIRE_ID_BYTES));
    json_out_key(&call->json, "receipt");
    api_receipt_json(&call->json, &receipt);
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_networks(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Network **items = NULL;
    struct api_id_page at = {0};
    const char *next = NULL;
    size_t count = 0;
    int rc = api_page_open(call, &network_kind, &at, error);

    if (rc == 0)
        rc = call->backend->networks(call->backend->ctx, api_text_or(&call->query, "member", NULL),
                                     &at.page, &call->arena, &items, &count, error);
    if (rc == 0 && count > at.limit)
        rc = api_page_next(call, &network_kind, items[at.limit - 1]->id, &next, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < count && i < at.limit; i++)
        json_message(&call->json, &items[i]->base);
    api_list_close(&call->json, next);
    return 0;
}

static int find_network(struct api_call *call, Hypermesh__Network **out, struct hm_error *error)
{
    return call->backend->network(call->backend->ctx, call->param.id, &call->arena, out, error);
}

int api_handle_network(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Network *network = NULL;
    int rc = find_network(call, &network, error);

    if (rc == 0)
        json_message(&call->json, &network->base);
    return rc;
}

int api_handle_members(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Network *network = NULL;
    Hypermesh__Member **items = NULL;
    struct api_id_page at = {0};
    const char *next = NULL;
    size_t count = 0;
    int rc = api_page_open(call, &account_kind, &at, error);

    if (rc == 0)
        rc = find_network(call, &network, error);
    if (rc == 0)
        rc = call->backend->members(call->backend->ctx, call->param.id, &at.page, &call->arena,
                                    &items, &count, error);
    if (rc == 0 && count > at.limit)
        rc = api_page_next(call, &account_kind, items[at.limit - 1]->account, &next, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < count && i < at.limit; i++)
        json_message(&call->json, &items[i]->base);
    api_list_close(&call->json, next);
    return 0;
}

int api_handle_network_join(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkJoin act = HYPERMESH__NETWORK_JOIN__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_JOIN;
    op.network_join = &act;
    return api_submit_answer(call, api_text_or(&call->body, "account", call->account), &op, error);
}

int api_handle_network_leave(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkLeave act = HYPERMESH__NETWORK_LEAVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_LEAVE;
    op.network_leave = &act;
    return api_submit_answer(call, api_text_or(&call->body, "account", call->account), &op, error);
}

/* Who acts when the request does not say: the network's owner. */
static int owner_of(struct api_call *call, const struct api_record *from, const char **out,
                    struct hm_error *error)
{
    Hypermesh__Network *network = NULL;
    int rc;

    *out = api_text_or(from, "account", NULL);
    if (*out)
        return 0;
    rc = find_network(call, &network, error);
    if (rc == 0)
        *out = api_account_text(call, network->owner);
    return rc;
}

int api_handle_network_invite(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkInvite act = HYPERMESH__NETWORK_INVITE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *owner = NULL;
    int rc = api_account_id(call, api_record_get(&call->body, "who")->text, &act.account, error);

    if (rc == 0)
        rc = owner_of(call, &call->body, &owner, error);
    if (rc)
        return rc;
    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_INVITE;
    op.network_invite = &act;
    return api_submit_answer(call, owner, &op, error);
}

int api_handle_network_expel(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkExpel act = HYPERMESH__NETWORK_EXPEL__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *owner = NULL;
    int rc = api_account_id(call, api_record_get(&call->body, "who")->text, &act.account, error);

    if (rc == 0)
        rc = owner_of(call, &call->body, &owner, error);
    if (rc)
        return rc;
    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_EXPEL;
    op.network_expel = &act;
    return api_submit_answer(call, owner, &op, error);
}

int api_handle_network_dissolve(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkDissolve act = HYPERMESH__NETWORK_DISSOLVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *owner = NULL;
    int rc = owner_of(call, &call->query, &owner, error);

    if (rc)
        return rc;
    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE;
    op.network_dissolve = &act;
    return api_submit_answer(call, owner, &op, error);
}
