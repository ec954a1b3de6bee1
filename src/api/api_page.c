/* Pages of things that have 32-byte ids: the cursor is the last id as text. */
#include "api_handlers.h"

const struct api_id_kind api_id_asset = {wire_asset_parse, wire_asset_text};
const struct api_id_kind api_id_lease = {wire_lease_parse, wire_lease_text};

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

int api_page_next(struct api_call *call, const struct api_id_kind *kind, ProtobufCBinaryData last,
                  const char **next, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];

    if (last.len != WIRE_ID_BYTES)
        return hm_fail(error, HM_ECORRUPT, "an entry of the list has no id");
    kind->text(last.data, text);
    *next = hm_arena_strdup(&call->arena, text);
    return *next ? 0 : api_no_memory(error);
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
