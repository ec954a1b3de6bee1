/* Accounts of the keystore and of the ledger, and what they do with their tokens. */
#include <stdlib.h>

#include "api_handlers.h"

int api_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "out of memory");
}

void api_receipt_json(struct json_out *json, const struct api_receipt *receipt)
{
    json_out_open(json, '{');
    json_out_put_hash(json, "tx", receipt->digest);
    json_out_put_u64(json, "height", receipt->height);
    json_out_put_hash(json, "block_hash", receipt->block_hash);
    json_out_put_hash(json, "state_root", receipt->state_root);
    json_out_put_money(json, "fee", receipt->fee);
    json_out_key(json, "created");
    json_out_open(json, '[');
    for (size_t i = 0; i < receipt->created_count; i++)
        json_out_hex(json, hm_slice_of(receipt->created[i], sizeof(receipt->created[i])));
    json_out_close(json, ']');
    json_out_close(json, '}');
}

void api_receipt_put(struct json_out *json, const struct api_receipt *receipt)
{
    json_out_key(json, "receipt");
    api_receipt_json(json, receipt);
}

int api_submit(struct api_call *call, const char *account, Hypermesh__Operation *op,
               struct api_receipt *receipt, struct hm_error *error)
{
    Hypermesh__Operation *const ops[] = {op};

    if (!account)
        return api_no_memory(error);
    memset(receipt, 0, sizeof(*receipt));
    return call->backend->submit(call->backend->ctx, account, ops, 1, &call->arena, receipt, error);
}

int api_submit_then(struct api_call *call, const char *account, Hypermesh__Operation *op,
                    api_ending ending, void *ctx, struct hm_error *error)
{
    Hypermesh__Operation **ops = hm_arena_alloc(&call->arena, sizeof(*ops));
    struct api_receipt receipt = {0};
    bool begun = false;
    int rc;

    if (!account || !ops)
        return api_no_memory(error);
    ops[0] = op;
    call->ending = ending;
    call->ending_ctx = ctx;
    if (call->later) {
        rc = call->backend->submit_later(call->backend->ctx, account, ops, 1, call->later, &begun,
                                         error);
        if (begun)
            return API_BEGUN;
        if (rc == 0)
            return API_WAITS;
    } else {
        rc = api_submit(call, account, op, &receipt, error);
    }
    return ending(call, ctx, rc, rc ? NULL : &receipt, error);
}

int api_submit_answer(struct api_call *call, const char *account, Hypermesh__Operation *op,
                      struct hm_error *error)
{
    struct api_receipt receipt;
    int rc = api_submit(call, account, op, &receipt, error);

    if (rc == 0)
        api_receipt_json(&call->json, &receipt);
    return rc;
}

int api_submit_making(struct api_call *call, const char *account, Hypermesh__Operation *op,
                      const char *what, struct api_receipt *receipt, struct hm_error *error)
{
    int rc = api_submit(call, account, op, receipt, error);

    if (rc == 0 && receipt->created_count != 1)
        rc = hm_fail(error, HM_EINTERNAL, "the ledger named no %s that was made", what);
    return rc;
}

int api_submit_made(struct api_call *call, const char *account, Hypermesh__Operation *op,
                    const char *what, void (*put)(struct json_out *json, struct hm_slice id),
                    struct hm_error *error)
{
    struct api_receipt receipt;
    int rc = api_submit_making(call, account, op, what, &receipt, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, what);
    put(&call->json, hm_slice_of(receipt.created[0], WIRE_ID_BYTES));
    api_receipt_put(&call->json, &receipt);
    json_out_close(&call->json, '}');
    return 0;
}

const char *api_actor(struct api_call *call, const struct api_record *from)
{
    return api_text_or(from, "account", call->account);
}

static int find_account(struct api_call *call, const char *name_or_id, struct api_account *out,
                        struct hm_error *error)
{
    memset(out, 0, sizeof(*out));
    return call->backend->account(call->backend->ctx, name_or_id, &call->arena, out, error);
}

int api_account_id(struct api_call *call, const char *name_or_id, ProtobufCBinaryData *out,
                   struct hm_error *error)
{
    struct api_account found;
    uint8_t id[WIRE_ID_BYTES];
    void *copy;
    int rc = 0;

    /* An id needs no account behind it yet: tokens may be sent to someone new. */
    if (wire_account_parse(name_or_id, id, NULL) != 0) {
        rc = find_account(call, name_or_id, &found, error);
        memcpy(id, found.id, sizeof(id));
    }
    if (rc)
        return rc;
    copy = hm_arena_dup(&call->arena, id, sizeof(id));
    if (!copy)
        return api_no_memory(error);
    *out = wire_bytes(copy, sizeof(id));
    return 0;
}

int api_account_ids(struct api_call *call, const struct api_value *names, size_t *count,
                    ProtobufCBinaryData **out, struct hm_error *error)
{
    ProtobufCBinaryData *ids = hm_arena_alloc(&call->arena, (names->count + 1) * sizeof(*ids));
    int rc = ids ? 0 : api_no_memory(error);

    for (size_t i = 0; i < names->count && rc == 0; i++)
        rc = api_account_id(call, names->list[i], &ids[i], error);
    if (rc)
        return rc;
    *count = names->count;
    *out = ids;
    return 0;
}

const char *api_account_text(struct api_call *call, ProtobufCBinaryData id)
{
    char text[WIRE_ID_TEXT_MAX];

    if (id.len != WIRE_ID_BYTES)
        return NULL;
    wire_account_text(id.data, text);
    return hm_arena_strdup(&call->arena, text);
}

static void account_json(struct json_out *json, const struct api_account *account)
{
    static const Hypermesh__Account nothing = HYPERMESH__ACCOUNT__INIT;

    json_out_open(json, '{');
    json_out_put_text(json, "name", account->name);
    json_out_key(json, "id");
    json_out_account(json, hm_slice_of(account->id, sizeof(account->id)));
    json_message_put(json, account->state ? &account->state->base : &nothing.base, NULL);
    json_out_close(json, '}');
}

static int compare_accounts(const void *a, const void *b)
{
    const struct api_account *left = a;
    const struct api_account *right = b;

    return strcmp(left->name ? left->name : "", right->name ? right->name : "");
}

int api_handle_accounts(struct api_call *call, struct hm_error *error)
{
    struct api_account *accounts = NULL;
    struct api_name_page page = {0};
    const char **names;
    size_t count = 0;
    int rc = call->backend->accounts(call->backend->ctx, &call->arena, &accounts, &count, error);

    if (rc)
        return rc;
    names = hm_arena_alloc(&call->arena, (count + 1) * sizeof(*names));
    if (!names)
        return api_no_memory(error);
    if (count > 0)
        qsort(accounts, count, sizeof(*accounts), compare_accounts);
    for (size_t i = 0; i < count; i++)
        names[i] = accounts[i].name ? accounts[i].name : "";
    rc = api_page_names(call, names, count, &page, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < page.count; i++)
        account_json(&call->json, &accounts[page.first + i]);
    api_list_close(&call->json, page.next);
    return 0;
}

int api_handle_account_create(struct api_call *call, struct hm_error *error)
{
    struct api_account made = {0};
    int rc = call->backend->account_create(
        call->backend->ctx, api_record_get(&call->body, "name")->text, &call->arena, &made, error);

    if (rc == 0)
        account_json(&call->json, &made);
    return rc;
}

int api_handle_account(struct api_call *call, struct hm_error *error)
{
    struct api_account found;
    int rc = find_account(call, call->param.text, &found, error);

    if (rc == 0)
        account_json(&call->json, &found);
    return rc;
}

int api_handle_signing(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    ProtobufCBinaryData id = {0};
    uint64_t base_fee = 0;
    unsigned work_bits = 0;
    int rc = api_account_id(call, call->param.text, &id, error);

    if (rc == 0)
        rc = call->backend->signing(call->backend->ctx, id.data, &call->arena, &body, &work_bits,
                                    &base_fee, error);
    if (rc)
        return rc;
    json_out_open(json, '{');
    json_out_put_text(json, "chain_id", body.chain_id ? body.chain_id : "");
    json_out_key(json, "account");
    json_out_account(json, wire_slice(id));
    json_out_key(json, "presence");
    json_out_hex(json, wire_slice(body.presence));
    json_out_put_u64(json, "anchor_height", body.anchor_height);
    json_out_key(json, "anchor_hash");
    json_out_hex(json, wire_slice(body.anchor_hash));
    json_out_put_u64(json, "timestamp_ms", body.timestamp_ms);
    json_out_put_u64(json, "work_bits", work_bits);
    json_out_put_money(json, "base_fee", base_fee);
    json_out_close(json, '}');
    return 0;
}

int api_handle_transfer(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *memo = api_text_or(&call->body, "memo", NULL);
    int rc = api_account_id(call, api_record_get(&call->body, "to")->text, &transfer.to, error);

    if (rc)
        return rc;
    transfer.amount = api_record_get(&call->body, "amount")->number;
    transfer.token = (Hypermesh__Token)api_number_or(&call->body, "token", HYPERMESH__TOKEN__HYPER);
    if (memo)
        transfer.memo = (char *)(uintptr_t)memo; /* packing only reads */
    op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    op.transfer = &transfer;
    return api_submit_answer(call, call->param.text, &op, error);
}

int api_handle_bond(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Bond bond = HYPERMESH__BOND__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    bond.amount = api_record_get(&call->body, "amount")->number;
    op.op_case = HYPERMESH__OPERATION__OP_BOND;
    op.bond = &bond;
    return api_submit_answer(call, call->param.text, &op, error);
}

int api_handle_unbond(struct api_call *call, struct hm_error *error)
{
    Hypermesh__Unbond unbond = HYPERMESH__UNBOND__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    unbond.amount = api_record_get(&call->body, "amount")->number;
    op.op_case = HYPERMESH__OPERATION__OP_UNBOND;
    op.unbond = &unbond;
    return api_submit_answer(call, call->param.text, &op, error);
}

int api_handle_session_revoke(struct api_call *call, struct hm_error *error)
{
    Hypermesh__SessionRevoke revoke = HYPERMESH__SESSION_REVOKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;

    revoke.session_key = wire_bytes(api_record_get(&call->body, "session_key")->id, WIRE_ID_BYTES);
    op.op_case = HYPERMESH__OPERATION__OP_SESSION_REVOKE;
    op.session_revoke = &revoke;
    return api_submit_answer(call, call->param.text, &op, error);
}
