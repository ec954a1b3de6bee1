/* Any text as an id or a name. First byte: which one. What is accepted must come back from its own text. */
#include <stdlib.h>

#include "wire_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

typedef int (*parse_id)(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
typedef void (*write_id)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);

static void try_id(const char *text, parse_id parse, write_id write)
{
    uint8_t id[WIRE_ID_BYTES], again[WIRE_ID_BYTES];
    struct hm_error error = {0};
    char written[WIRE_ID_TEXT_MAX];
    int rc = parse(text, id, &error);

    if (rc != 0) {
        require(error.code == rc && hm_utf8_valid(error.text, strlen(error.text)));
        return;
    }
    write(id, written);
    require(parse(written, again, NULL) == 0 && memcmp(id, again, sizeof(id)) == 0);
}

static void try_names(const char *text)
{
    Hypermesh__AssetKind kind, same_kind;
    Hypermesh__PrivacyLevel level, same_level;

    if (wire_asset_kind_parse(text, &kind) == 0)
        require(wire_asset_kind_parse(wire_asset_kind_name(kind), &same_kind) == 0 &&
                same_kind == kind);
    if (wire_privacy_parse(text, &level) == 0)
        require(wire_privacy_parse(wire_privacy_name(level), &same_level) == 0 &&
                same_level == level);
}

static void try_json(const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    int rc = wire_json_string(text, &out);

    require((rc == 0) == hm_utf8_valid(text, strlen(text)));
    if (rc == 0)
        require(out.len >= 2 && out.data[0] == '"' && out.data[out.len - 1] == '"' &&
                hm_utf8_valid((const char *)out.data, out.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = size > 0 ? hm_strndup((const char *)data + 1, size - 1) : NULL;

    if (text == NULL)
        return 0;
    switch (data[0] % 5) {
    case 0:
        try_id(text, wire_account_parse, wire_account_text);
        break;
    case 1:
        try_id(text, wire_asset_parse, wire_asset_text);
        break;
    case 2:
        try_id(text, wire_lease_parse, wire_lease_text);
        break;
    case 3:
        try_names(text);
        break;
    default:
        try_json(text);
    }
    hm_free(text);
    return 0;
}
