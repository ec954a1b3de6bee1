/* Pages of things that have 32-byte ids: the cursor is the last id as text. */
#include <stddef.h>

#include "api_handlers.h"

#define ID_AT(type, field) offsetof(Hypermesh__##type, field)

const struct api_id_kind api_id_asset = {wire_asset_parse, wire_asset_text, ID_AT(Asset, id)};
const struct api_id_kind api_id_lease = {wire_lease_parse, wire_lease_text, ID_AT(Lease, id)};
const struct api_id_kind api_id_network = {wire_network_parse, wire_network_text,
                                           ID_AT(Network, id)};
const struct api_id_kind api_id_member = {wire_account_parse, wire_account_text,
                                          ID_AT(Member, account)};
const struct api_id_kind api_id_challenge = {wire_challenge_parse, wire_challenge_text,
                                             ID_AT(Challenge, id)};
const struct api_id_kind api_id_validator = {wire_account_parse, wire_account_text,
                                             ID_AT(Validator, operator_)};
const struct api_id_kind api_id_delegator = {wire_account_parse, wire_account_text,
                                             ID_AT(Delegation, delegator)};

int api_page_open(struct api_call *call, const struct api_id_kind *kind, struct api_id_page *out,
                  struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    int rc = api_query_limit(call, &out->limit, error);

    if (rc == 0 && after) {
        rc = kind->parse(after, out->cursor, error);
        rc = rc ? hm_error_prefix(error, rc, "after") : 0;
    }
    out->page.after = after ? out->cursor : NULL;
    out->page.limit = out->limit + 1;
    return rc;
}

/* Cursor of the page after the message, in the arena. */
static int cursor_of(struct api_call *call, const struct api_id_kind *kind,
                     const ProtobufCMessage *last, const char **next, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCBinaryData id;

    memcpy(&id, (const char *)last + kind->at, sizeof(id));
    if (id.len != WIRE_ID_BYTES)
        return hm_fail(error, HM_ECORRUPT, "an entry of the list has no id");
    kind->text(id.data, text);
    *next = hm_arena_strdup(&call->arena, text);
    return *next ? 0 : api_no_memory(error);
}

int api_page_cut(struct api_call *call, const struct api_id_kind *kind,
                 const struct api_id_page *page, void *items, size_t *count, const char **next,
                 struct hm_error *error)
{
    ProtobufCMessage *const *messages = items;

    *next = NULL;
    if (*count <= page->limit)
        return 0;
    *count = page->limit;
    return cursor_of(call, kind, messages[page->limit - 1], next, error);
}

int api_page_answer(struct api_call *call, const struct api_id_kind *kind,
                    const struct api_id_page *page, void *items, size_t count,
                    struct hm_error *error)
{
    const char *next = NULL;
    int rc = api_page_cut(call, kind, page, items, &count, &next, error);

    if (rc == 0)
        api_messages_json(call, items, count, next);
    return rc;
}

void api_messages_json(struct api_call *call, void *items, size_t count, const char *next)
{
    ProtobufCMessage *const *messages = items;

    api_list_open(&call->json);
    for (size_t i = 0; i < count; i++)
        json_message(&call->json, messages[i]);
    api_list_close(&call->json, next);
}

int api_page_names(struct api_call *call, const char *const *names, size_t count,
                   struct api_name_page *out, struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    struct api_name_page page = {0};
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    if (rc)
        return rc;
    while (after && page.first < count && strcmp(names[page.first], after) <= 0)
        page.first++;
    page.count = count - page.first < limit ? count - page.first : limit;
    if (page.first + page.count < count)
        page.next = names[page.first + page.count - 1];
    *out = page;
    return 0;
}
