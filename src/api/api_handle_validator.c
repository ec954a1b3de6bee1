/* Validators: who they are, what is delegated to them, and what an account does with its stake. */
#include "api_handlers.h"

/* The validator that the path names, by its operator. */
static int operator_id(struct api_call *call, ProtobufCBinaryData *out, struct hm_error *error)
{
    return api_account_id(call, call->param.text, out, error);
}

/* --- looking ---------------------------------------------------------------------------------- */

int api_handle_validators(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Validator **items = NULL;
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = api_page_open(call, &api_id_validator, &at, error);

    if (rc == 0)
        rc = call->backend->validators(call->backend->ctx, &at.page, &call->arena, &items, &count,
                                       error);
    return rc ? rc : api_page_answer(call, &api_id_validator, &at, items, count, error);
}

int api_handle_validator(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Validator *found = NULL;
    ProtobufCBinaryData id = {0};
    int rc = operator_id(call, &id, error);

    if (rc == 0)
        rc = call->backend->validator(call->backend->ctx, id.data, &call->arena, &found, error);
    if (rc == 0)
        json_message(&call->json, &found->base);
    return rc;
}

int api_handle_delegations(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Delegation **items = NULL;
    ProtobufCBinaryData id = {0};
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = operator_id(call, &id, error);

    if (rc == 0)
        rc = api_page_open(call, &api_id_delegator, &at, error);
    if (rc == 0)
        rc = call->backend->delegations(call->backend->ctx, id.data, &at.page, &call->arena, &items,
                                        &count, error);
    return rc ? rc : api_page_answer(call, &api_id_delegator, &at, items, count, error);
}

static void stake_json(struct json_out *json, const struct api_stake *stake)
{
    json_out_open(json, '{');
    json_out_key(json, "validator");
    json_out_account(json, hm_slice_of(stake->validator, sizeof stake->validator));
    json_out_put_money(json, "stake", stake->stake);
    json_out_put_money(json, "leaving", stake->leaving);
    json_out_put_u64(json, "free_ms", stake->free_ms);
    json_out_put_money(json, "rewards", stake->rewards);
    json_out_close(json, '}');
}

int api_handle_stakes(struct api_call *call, struct hm_error *error)
{
    struct api_stake *items = NULL;
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCBinaryData id = {0};
    struct api_id_page at = {0};
    size_t count = 0;
    int rc = operator_id(call, &id, error); /* here the delegator */

    if (rc == 0)
        rc = api_page_open(call, &api_id_validator, &at, error);
    if (rc == 0)
        rc = call->backend->stakes(call->backend->ctx, id.data, &at.page, &call->arena, &items,
                                   &count, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < count && i < at.limit; i++)
        stake_json(&call->json, &items[i]);
    if (count > at.limit)
        wire_account_text(items[at.limit - 1].validator, text);
    api_list_close(&call->json, count > at.limit ? text : NULL);
    return 0;
}

/* --- the operator ----------------------------------------------------------------------------- */

/* Bytes that have one length. */
static int bytes_of(struct api_call *call, const char *name, size_t len, ProtobufCBinaryData *out,
                    struct hm_error *error)
{
    struct hm_slice bytes = api_record_get(&call->body, name)->bytes;

    if (bytes.len != len)
        return hm_fail(error, HM_EINVAL, "%s must be %zu bytes in hexadecimal, has %zu", name, len,
                       bytes.len);
    *out = wire_bytes(bytes.data, bytes.len);
    return 0;
}

/* What is past 32 bits is past what the ledger takes as well. */
static uint32_t ppm_of(uint64_t number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

int api_handle_validator_declare(struct api_call *call, struct hm_error *error)
{
    Hypermesh__ValidatorDeclare act = HYPERMESH__VALIDATOR_DECLARE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = bytes_of(call, "key", 32, &act.key, error);

    if (rc == 0)
        rc = bytes_of(call, "proof", 64, &act.proof, error);
    if (rc)
        return rc;
    act.bond = api_record_get(&call->body, "bond")->number;
    act.commission_ppm = ppm_of(api_number_or(&call->body, "commission_ppm", 0));
    op.op_case = HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE;
    op.validator_declare = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_validator_update(struct api_call *call, struct hm_error *error)
{
    Hypermesh__ValidatorUpdate act = HYPERMESH__VALIDATOR_UPDATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    act.commission_ppm = ppm_of(api_record_get(&call->body, "commission_ppm")->number);
    op.op_case = HYPERMESH__OPERATION__OP_VALIDATOR_UPDATE;
    op.validator_update = &act;
    return api_submit_answer(call, call->param.text, &op, error);
}

int api_handle_validator_retire(struct api_call *call, struct hm_error *error)
{
    Hypermesh__ValidatorRetire act = HYPERMESH__VALIDATOR_RETIRE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    op.op_case = HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE;
    op.validator_retire = &act;
    return api_submit_answer(call, call->param.text, &op, error);
}

int api_handle_unjail(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Unjail act = HYPERMESH__UNJAIL__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    op.op_case = HYPERMESH__OPERATION__OP_UNJAIL;
    op.unjail = &act;
    return api_submit_answer(call, call->param.text, &op, error);
}

/* --- stake ------------------------------------------------------------------------------------ */

int api_handle_delegate(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Delegate act = HYPERMESH__DELEGATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = operator_id(call, &act.validator, error);

    if (rc)
        return rc;
    act.amount = api_record_get(&call->body, "amount")->number;
    op.op_case = HYPERMESH__OPERATION__OP_DELEGATE;
    op.delegate = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

/* An amount, or all when it is left out. */
static void amount_of(struct api_call *call, uint64_t *amount, protobuf_c_boolean *all)
{
    const struct api_value *value = api_record_get(&call->body, "amount");

    *amount = value->set ? value->number : 0;
    *all = !value->set;
}

int api_handle_undelegate(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Undelegate act = HYPERMESH__UNDELEGATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = operator_id(call, &act.validator, error);

    if (rc)
        return rc;
    amount_of(call, &act.amount, &act.all);
    op.op_case = HYPERMESH__OPERATION__OP_UNDELEGATE;
    op.undelegate = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_redelegate(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Redelegate act = HYPERMESH__REDELEGATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = operator_id(call, &act.validator, error);

    if (rc == 0)
        rc = api_account_id(call, api_record_get(&call->body, "to")->text, &act.to, error);
    if (rc)
        return rc;
    amount_of(call, &act.amount, &act.all);
    op.op_case = HYPERMESH__OPERATION__OP_REDELEGATE;
    op.redelegate = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_rewards_take(struct api_call *call, struct hm_error *error)
{
    Hypermesh__RewardsTake act = HYPERMESH__REWARDS_TAKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    int rc = operator_id(call, &act.validator, error);

    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_REWARDS_TAKE;
    op.rewards_take = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}
