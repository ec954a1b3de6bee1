/* Networks: sets of accounts that assets may be opened to. */
#include "api_handlers.h"

int api_handle_network_create(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkCreate act = HYPERMESH__NETWORK_CREATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.name = (char *)(uintptr_t)api_record_get(&call->body, "name")->text;
    act.open = api_number_or(&call->body, "open", 0) != 0;
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_CREATE;
    op.network_create = &act;
    return api_submit_made(call, api_actor(call, &call->body), &op, "network", json_out_network,
                           error);
}

int api_handle_networks(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Network **items = NULL;
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = api_page_open(call, &api_id_network, &at, error);

    if (rc == 0)
        rc = call->backend->networks(call->backend->ctx, api_text_or(&call->query, "member", NULL),
                                     &at.page, &call->arena, &items, &count, error);
    return rc ? rc : api_page_answer(call, &api_id_network, &at, items, count, error);
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
    size_t count = 0;
    int rc = api_page_open(call, &api_id_member, &at, error);

    if (rc == 0)
        rc = find_network(call, &network, error);
    if (rc == 0)
        rc = call->backend->members(call->backend->ctx, call->param.id, &at.page, &call->arena,
                                    &items, &count, error);
    return rc ? rc : api_page_answer(call, &api_id_member, &at, items, count, error);
}

int api_handle_network_join(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkJoin act = HYPERMESH__NETWORK_JOIN__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_JOIN;
    op.network_join = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_network_leave(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkLeave act = HYPERMESH__NETWORK_LEAVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_LEAVE;
    op.network_leave = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
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

/* Which network, which account, and who acts, of an act upon a member. */
static int member_of(struct api_call *call, ProtobufCBinaryData *network, ProtobufCBinaryData *who,
                     const char **actor, struct hm_error *error)
{
    int rc = api_account_id(call, api_record_get(&call->body, "who")->text, who, error);

    *network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    return rc ? rc : owner_of(call, &call->body, actor, error);
}

int api_handle_network_invite(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkInvite act = HYPERMESH__NETWORK_INVITE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *actor = NULL;
    int rc = member_of(call, &act.network, &act.account, &actor, error);

    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_INVITE;
    op.network_invite = &act;
    return rc ? rc : api_submit_answer(call, actor, &op, error);
}

int api_handle_network_expel(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkExpel act = HYPERMESH__NETWORK_EXPEL__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *actor = NULL;
    int rc = member_of(call, &act.network, &act.account, &actor, error);

    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_EXPEL;
    op.network_expel = &act;
    return rc ? rc : api_submit_answer(call, actor, &op, error);
}

int api_handle_network_dissolve(struct api_call *call, struct hm_error *error)
{
    Hypermesh__NetworkDissolve act = HYPERMESH__NETWORK_DISSOLVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *actor = NULL;
    int rc = owner_of(call, &call->query, &actor, error);

    act.network = wire_bytes(call->param.id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE;
    op.network_dissolve = &act;
    return rc ? rc : api_submit_answer(call, actor, &op, error);
}
