#include "api_json.h"

#define MONEY_DIGITS 9

static void json_raw(struct api_json *json, const void *data, size_t len)
{
    if (json->error == 0)
        json->error = hm_buf_append(json->out, data, len);
}

static void json_str(struct api_json *json, const char *text)
{
    json_raw(json, text, strlen(text));
}

/* Before any value or key: the comma that the one before it left due. */
static void json_separate(struct api_json *json)
{
    if (json->comma)
        json_raw(json, ",", 1);
    json->comma = true;
}

void api_json_open(struct api_json *json, char bracket)
{
    json_separate(json);
    json_raw(json, &bracket, 1);
    json->comma = false;
}

void api_json_close(struct api_json *json, char bracket)
{
    json_raw(json, &bracket, 1);
    json->comma = true;
}

void api_json_key(struct api_json *json, const char *name)
{
    json_separate(json);
    json_raw(json, "\"", 1);
    json_str(json, name);
    json_raw(json, "\":", 2);
    json->comma = false;
}

static const char *json_short_escape(uint32_t code)
{
    switch (code) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

static void json_escape(struct api_json *json, uint32_t code)
{
    const char *brief = json_short_escape(code);
    char text[8];

    if (!brief)
        (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)(code & 0xffff));
    json_str(json, brief ? brief : text);
}

/* Text in pieces: what needs no escaping goes out as it is. */
static void json_string(struct api_json *json, const char *text, size_t len)
{
    size_t start = 0;
    size_t at = 0;

    json_separate(json);
    json_raw(json, "\"", 1);
    while (at < len) {
        uint32_t code = 0;
        size_t step = hm_utf8_step(text + at, len - at, &code);

        if (step != 0 && code >= 0x20 && code != '"' && code != '\\' && code != 0x7f) {
            at += step;
            continue;
        }
        json_raw(json, text + start, at - start);
        if (step == 0)
            json_str(json, "\xef\xbf\xbd");
        else
            json_escape(json, code);
        at += step != 0 ? step : 1;
        start = at;
    }
    json_raw(json, text + start, at - start);
    json_raw(json, "\"", 1);
}

void api_json_text(struct api_json *json, const char *text)
{
    if (text)
        json_string(json, text, strlen(text));
    else
        api_json_null(json);
}

void api_json_text_key(struct api_json *json, const char *name)
{
    json_string(json, name ? name : "", name ? strlen(name) : 0);
    json_raw(json, ":", 1);
    json->comma = false;
}

void api_json_u64(struct api_json *json, uint64_t value)
{
    char text[24];

    json_separate(json);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    json_str(json, text);
}

void api_json_i64(struct api_json *json, int64_t value)
{
    char text[24];

    json_separate(json);
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    json_str(json, text);
}

void api_json_bool(struct api_json *json, bool value)
{
    json_separate(json);
    json_str(json, value ? "true" : "false");
}

void api_json_null(struct api_json *json)
{
    json_separate(json);
    json_str(json, "null");
}

void api_json_hex(struct api_json *json, struct hm_slice bytes)
{
    json_separate(json);
    if (json->error == 0)
        json->error = hm_buf_reserve(json->out, 2 * bytes.len + 3);
    if (json->error != 0)
        return;
    json_raw(json, "\"", 1);
    if (bytes.len > 0)
        hm_hex_encode(bytes.data, bytes.len, (char *)json->out->data + json->out->len);
    json->out->len += 2 * bytes.len;
    json_raw(json, "\"", 1);
}

void api_json_base64(struct api_json *json, struct hm_slice bytes)
{
    json_separate(json);
    json_raw(json, "\"", 1);
    if (json->error == 0)
        json->error = hm_base64_encode(bytes.data, bytes.len, json->out);
    json_raw(json, "\"", 1);
}

void api_json_money(struct api_json *json, uint64_t base_units)
{
    char text[40];

    hm_decimal_format(base_units, MONEY_DIGITS, text);
    api_json_text(json, text);
}

static void json_id(struct api_json *json, struct hm_slice id,
                    void (*form)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]))
{
    char text[WIRE_ID_TEXT_MAX];

    if (id.len != WIRE_ID_BYTES) {
        api_json_hex(json, id);
        return;
    }
    form(id.data, text);
    api_json_text(json, text);
}

void api_json_account(struct api_json *json, struct hm_slice id)
{
    json_id(json, id, wire_account_text);
}

void api_json_asset(struct api_json *json, struct hm_slice id)
{
    json_id(json, id, wire_asset_text);
}

void api_json_lease(struct api_json *json, struct hm_slice id)
{
    json_id(json, id, wire_lease_text);
}

void api_json_put_text(struct api_json *json, const char *name, const char *text)
{
    api_json_key(json, name);
    api_json_text(json, text);
}

void api_json_put_u64(struct api_json *json, const char *name, uint64_t value)
{
    api_json_key(json, name);
    api_json_u64(json, value);
}

void api_json_put_bool(struct api_json *json, const char *name, bool value)
{
    api_json_key(json, name);
    api_json_bool(json, value);
}

void api_json_put_hash(struct api_json *json, const char *name, const uint8_t hash[32])
{
    api_json_key(json, name);
    api_json_hex(json, hm_slice_of(hash, 32));
}

void api_json_put_money(struct api_json *json, const char *name, uint64_t base_units)
{
    api_json_key(json, name);
    api_json_money(json, base_units);
}
