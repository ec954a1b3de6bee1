/* Text forms of single values, as they stand in bodies, queries and paths. */
#include "api_field.h"

#define MONEY_DIGITS   9
#define PERCENT_DIGITS 4 /* of a percentage: parts per million */
#define SHARE_FULL_PPM 1000000u
#define PERCENT_CHARS  32

static int parse_share(const char *text, bool zero, uint64_t *ppm, struct hm_error *error)
{
    size_t len = strlen(text);
    char digits[PERCENT_CHARS];
    uint64_t value = 0;
    int rc;

    if (len < 2 || text[len - 1] != '%' || len > sizeof(digits))
        return hm_fail(error, HM_EPARSE, "a share is a percentage such as \"10%%\" or \"2.5%%\"");
    memcpy(digits, text, len - 1);
    digits[len - 1] = '\0';
    rc = hm_decimal_parse(digits, PERCENT_DIGITS, &value, error);
    if (rc)
        return rc;
    if ((value == 0 && !zero) || value > SHARE_FULL_PPM)
        return hm_fail(error, HM_ERANGE, "a share is %s 0%% and at most 100%%",
                       zero ? "at least" : "more than");
    *ppm = value;
    return 0;
}

static int parse_bool(const char *text, uint64_t *out, struct hm_error *error)
{
    if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
        *out = 1;
    else if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
        *out = 0;
    else
        return hm_fail(error, HM_EPARSE, "'%.20s' is neither true nor false", text);
    return 0;
}

static int parse_named(enum json_form form, const char *text, uint64_t *out, struct hm_error *error)
{
    Hypermesh__AssetKind kind = HYPERMESH__ASSET_KIND__ASSET_NONE;
    Hypermesh__PrivacyLevel level = HYPERMESH__PRIVACY_LEVEL__PRIVACY_NONE;

    if (form == JSON_FORM_KIND) {
        if (wire_asset_kind_parse(text, &kind))
            return hm_fail(error, HM_EINVAL,
                           "'%.20s' is no kind of asset; there are cpu, memory, storage, gpu, "
                           "container, network",
                           text);
        *out = (uint64_t)kind;
    } else if (form == JSON_FORM_LEVEL) {
        if (wire_privacy_parse(text, &level))
            return hm_fail(error, HM_EINVAL,
                           "'%.20s' is no privacy level; there are Private, PrivateNetwork, P2P, "
                           "PublicNetwork, "
                           "FullPublic",
                           text);
        *out = (uint64_t)level;
    } else if (strcmp(text, "hyper") == 0) {
        *out = HYPERMESH__TOKEN__HYPER;
    } else if (strcmp(text, "caes") == 0) {
        *out = HYPERMESH__TOKEN__CAES;
    } else {
        return hm_fail(error, HM_EINVAL, "'%.20s' is no token; there are hyper and caes", text);
    }
    return 0;
}

/* Bytes of any length, into the arena. */
static int parse_bytes(enum json_form form, const char *text, struct hm_arena *arena,
                       struct hm_slice *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    size_t len = strlen(text);
    uint8_t *copy;
    int rc;

    if (form == JSON_FORM_HEX && len % 2 != 0)
        return hm_fail(error, HM_EPARSE, "hexadecimal text has an even number of digits");
    if (form == JSON_FORM_HEX) {
        rc = hm_buf_reserve(&decoded, len / 2 + 1);
        if (rc == 0)
            rc = hm_hex_decode(text, len, decoded.data, len / 2, error);
        decoded.len = len / 2;
    } else {
        rc = hm_base64_decode(text, len, &decoded, error);
    }
    if (rc)
        return rc == HM_ENOMEM ? hm_fail(error, rc, "out of memory") : rc;
    copy = hm_arena_alloc(arena, decoded.len + 1);
    if (!copy)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    if (decoded.len > 0)
        memcpy(copy, decoded.data, decoded.len);
    *out = hm_slice_of(copy, decoded.len);
    return 0;
}

static int parse_plain(const char *text, struct hm_arena *arena, const char **out,
                       struct hm_error *error)
{
    const char *copy;

    if (strlen(text) > API_TEXT_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "longer than %d bytes", API_TEXT_MAX_BYTES);
    copy = hm_arena_strdup(arena, text);
    if (!copy)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    *out = copy;
    return 0;
}

static int parse_value(enum json_form form, const char *text, struct hm_arena *arena,
                       struct api_value *out, struct hm_error *error)
{
    switch (form) {
    case JSON_FORM_BOOL:
        return parse_bool(text, &out->number, error);
    case JSON_FORM_UINT:
        return hm_u64_parse(text, &out->number, error);
    case JSON_FORM_MONEY:
        return hm_decimal_parse(text, MONEY_DIGITS, &out->number, error);
    case JSON_FORM_SHARE:
    case JSON_FORM_PART:
        return parse_share(text, form == JSON_FORM_PART, &out->number, error);
    case JSON_FORM_DURATION:
        return hm_duration_parse_ms(text, &out->number, error);
    case JSON_FORM_AMOUNT:
        return hm_size_parse(text, &out->number, error);
    case JSON_FORM_ASSET:
        return wire_asset_parse(text, out->id, error);
    case JSON_FORM_LEASE:
        return wire_lease_parse(text, out->id, error);
    case JSON_FORM_NETWORK:
        return wire_network_parse(text, out->id, error);
    case JSON_FORM_CHALLENGE:
        return wire_challenge_parse(text, out->id, error);
    case JSON_FORM_DIGEST:
        return hm_hex_decode(text, strlen(text), out->id, sizeof(out->id), error);
    case JSON_FORM_HEX:
    case JSON_FORM_BASE64:
        return parse_bytes(form, text, arena, &out->bytes, error);
    case JSON_FORM_KIND:
    case JSON_FORM_TOKEN:
    case JSON_FORM_LEVEL:
        return parse_named(form, text, &out->number, error);
    default:
        return parse_plain(text, arena, &out->text, error);
    }
}

int api_value_parse_text(enum json_form form, const char *name, const char *text,
                         struct hm_arena *arena, struct api_value *out, struct hm_error *error)
{
    struct api_value value = {.set = true};
    int rc = parse_value(form, text, arena, &value, error);

    if (rc)
        return hm_error_prefix(error, rc, "%s", name);
    *out = value;
    return 0;
}
