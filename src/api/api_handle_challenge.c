/* Challenges: a node is asked to show again what it claims. */
#include "api_handlers.h"

/* Which node: named, or the one that settled the lease. */
static int target_of(struct api_call *call, Hypermesh__ChallengeOpen *act, struct hm_error *error)
{
    const struct api_value *node = api_record_get(&call->body, "node");
    const struct api_value *lease = api_record_get(&call->body, "lease");
    Hypermesh__Lease *found = NULL;
    int rc;

    if (node->set == lease->set)
        return hm_fail(error, HM_EINVAL,
                       "give either node (whose space is challenged) or lease (whose result is)");
    if (node->set)
        return api_account_id(call, node->text, &act->node, error);
    rc = call->backend->lease(call->backend->ctx, lease->id, &call->arena, &found, error);
    if (rc)
        return rc;
    act->node = found->provider;
    act->lease = found->id;
    return 0;
}

int api_handle_challenge_open(struct api_call *call, struct hm_error *error)
{
    Hypermesh__ChallengeOpen act = HYPERMESH__CHALLENGE_OPEN__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Challenge *made = NULL;
    struct api_receipt receipt;
    int rc = target_of(call, &act, error);

    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_CHALLENGE_OPEN;
    op.challenge_open = &act;
    rc = api_submit_making(call, api_actor(call, &call->body), &op, "challenge", &receipt, error);
    if (rc == 0)
        rc = call->backend->challenge(call->backend->ctx, receipt.created[0], &call->arena, &made,
                                      error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, "challenge");
    json_out_challenge(&call->json, hm_slice_of(receipt.created[0], WIRE_ID_BYTES));
    json_out_put_u64(&call->json, "due_ms", made->due_ms);
    api_receipt_put(&call->json, &receipt);
    json_out_close(&call->json, '}');
    return 0;
}

int api_handle_challenges(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Challenge **items = NULL;
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = api_page_open(call, &api_id_challenge, &at, error);

    if (rc == 0)
        rc = call->backend->challenges(call->backend->ctx, api_text_or(&call->query, "party", NULL),
                                       api_number_or(&call->query, "open", 0) != 0, &at.page,
                                       &call->arena, &items, &count, error);
    return rc ? rc : api_page_answer(call, &api_id_challenge, &at, items, count, error);
}

int api_handle_challenge(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Challenge *challenge = NULL;
    Hypermesh__Params *params = NULL;
    Hypermesh__Supply *supply = NULL;
    Hypermesh__Genesis *genesis = NULL;
    int rc = call->backend->challenge(call->backend->ctx, call->param.id, &call->arena, &challenge,
                                      error);

    if (rc == 0)
        rc = call->backend->chain(call->backend->ctx, &call->arena, &params, &supply, &genesis,
                                  error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_message_put(&call->json, &challenge->base, NULL);
    json_out_put_u64(&call->json, "indices",
                     challenge->lease.len == 0 && params ? params->challenge_openings : 0);
    json_out_close(&call->json, '}');
    return 0;
}
