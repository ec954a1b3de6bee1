/* Join tickets of a cluster's member: issue, list, revoke (docs/cluster.md). */
#include "api_handlers.h"

#define SECRET_ROOM_BYTES 64 /* what stands around a ticket's text in the answer */

static int no_tickets(struct hm_error *error)
{
    return hm_fail(error, HM_EUNSUPPORTED, "this node is of no cluster: nobody can join it");
}

/* The last of all, in room that is there: a buffer that grew after it would leave a copy behind. */
static void put_secret(struct json_out *json, const char *text)
{
    if (json->error == 0)
        json->error = hm_buf_reserve(json->out, strlen(text) + SECRET_ROOM_BYTES);
    json_out_put_text(json, "ticket", text);
}

static void ticket_json(struct json_out *json, const struct api_ticket *ticket)
{
    json_out_open(json, '{');
    json_out_put_hex(json, "id", hm_slice_of(ticket->id, sizeof ticket->id));
    json_out_put_text(json, "role", ticket->validator ? "validator" : "full");
    json_out_put_bool(json, "funded", ticket->funded);
    json_out_put_money(json, "bond", ticket->bond);
    json_out_put_u64(json, "issued_ms", ticket->issued_ms);
    json_out_put_u64(json, "expires_ms", ticket->expires_ms);
    json_out_put_bool(json, "revoked", ticket->revoked);
    json_out_put_text(json, "used_by", ticket->used_by);
    json_out_put_u64(json, "used_ms", ticket->used_ms);
    if (ticket->text) {
        json_out_key(json, "addresses");
        json_out_open(json, '[');
        for (size_t i = 0; i < ticket->address_count; i++)
            json_out_text(json, ticket->addresses[i]);
        json_out_close(json, ']');
        put_secret(json, ticket->text);
    }
    json_out_close(json, '}');
}

int api_handle_ticket_create(struct api_call *call, struct hm_error *error)
{
    const struct api_value *addresses = api_record_get(&call->body, "addresses");
    const char *role = api_text_or(&call->body, "role", "full");
    struct api_ticket_new wanted = {
        .lasts_ms = api_number_or(&call->body, "expires", 0),
        .validator = strcmp(role, "validator") == 0,
        .fund = api_number_or(&call->body, "fund", 0) != 0,
        .bond = api_number_or(&call->body, "bond", 0),
        .addresses = addresses->set ? addresses->list : NULL,
        .address_count = addresses->set ? addresses->count : 0,
    };
    struct api_ticket made = {.text = NULL};
    int rc = 0;

    if (!wanted.validator && strcmp(role, "full") != 0)
        rc = hm_fail(error, HM_EINVAL, "role is full or validator, not '%.40s'", role);
    if (rc == 0 && wanted.bond > 0 && !(wanted.validator && wanted.fund))
        rc = hm_fail(error, HM_EINVAL, "bond goes with the role validator and with fund");
    if (rc == 0)
        rc = call->backend->ticket_create
                 ? call->backend->ticket_create(call->backend->ctx, &wanted, &call->arena, &made,
                                                error)
                 : no_tickets(error);
    if (rc)
        return rc;
    call->response->secret = true;
    ticket_json(&call->json, &made);
    hm_wipe(made.text, strlen(made.text));
    return 0;
}

int api_handle_tickets(struct api_call *call, struct hm_error *error)
{
    struct api_ticket *items = NULL;
    size_t count = 0;
    int rc = call->backend->tickets
                 ? call->backend->tickets(call->backend->ctx, &call->arena, &items, &count, error)
                 : no_tickets(error);

    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < count; i++)
        ticket_json(&call->json, &items[i]);
    api_list_close(&call->json, NULL);
    return 0;
}

int api_handle_ticket_revoke(struct api_call *call, struct hm_error *error)
{
    const char *text = call->param.text;
    uint8_t id[API_TICKET_ID_BYTES];
    int rc = hm_hex_decode(text, strlen(text), id, sizeof id, NULL);

    if (rc)
        return hm_fail(error, HM_EINVAL, "a ticket's id is %zu hexadecimal digits", 2 * sizeof id);
    rc = call->backend->ticket_revoke ? call->backend->ticket_revoke(call->backend->ctx, id, error)
                                      : no_tickets(error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_close(&call->json, '}');
    return 0;
}
