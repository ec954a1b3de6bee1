#include "json.h"

#define MONEY_DIGITS 9

static void json_append(struct json_out *json, const void *data, size_t len)
{
    if (json->error == 0)
        json->error = hm_buf_append(json->out, data, len);
}

static void json_append_str(struct json_out *json, const char *text)
{
    json_append(json, text, strlen(text));
}

/* Before any value or key: the comma that the one before it left due. */
static void json_separate(struct json_out *json)
{
    if (json->comma)
        json_append(json, ",", 1);
    json->comma = true;
}

void json_out_open(struct json_out *json, char bracket)
{
    json_separate(json);
    json_append(json, &bracket, 1);
    json->comma = false;
}

void json_out_close(struct json_out *json, char bracket)
{
    json_append(json, &bracket, 1);
    json->comma = true;
}

void json_out_key(struct json_out *json, const char *name)
{
    json_separate(json);
    json_append(json, "\"", 1);
    json_append_str(json, name);
    json_append(json, "\":", 2);
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

static void json_escape(struct json_out *json, uint32_t code)
{
    const char *brief = json_short_escape(code);
    char text[8];

    if (!brief)
        (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)(code & 0xffff));
    json_append_str(json, brief ? brief : text);
}

/* Text in pieces: what needs no escaping goes out as it is. */
static void json_quoted(struct json_out *json, const char *text, size_t len)
{
    size_t start = 0;
    size_t at = 0;

    json_separate(json);
    json_append(json, "\"", 1);
    while (at < len) {
        uint32_t code = 0;
        size_t step = hm_utf8_step(text + at, len - at, &code);

        if (step != 0 && code >= 0x20 && code != '"' && code != '\\' && code != 0x7f) {
            at += step;
            continue;
        }
        json_append(json, text + start, at - start);
        if (step == 0)
            json_append_str(json, "\xef\xbf\xbd");
        else
            json_escape(json, code);
        at += step != 0 ? step : 1;
        start = at;
    }
    json_append(json, text + start, at - start);
    json_append(json, "\"", 1);
}

void json_out_text(struct json_out *json, const char *text)
{
    if (text)
        json_quoted(json, text, strlen(text));
    else
        json_out_null(json);
}

void json_out_text_key(struct json_out *json, const char *name)
{
    json_quoted(json, name ? name : "", name ? strlen(name) : 0);
    json_append(json, ":", 1);
    json->comma = false;
}

void json_out_u64(struct json_out *json, uint64_t value)
{
    char text[24];

    json_separate(json);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    json_append_str(json, text);
}

void json_out_i64(struct json_out *json, int64_t value)
{
    char text[24];

    json_separate(json);
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    json_append_str(json, text);
}

void json_out_bool(struct json_out *json, bool value)
{
    json_separate(json);
    json_append_str(json, value ? "true" : "false");
}

void json_out_null(struct json_out *json)
{
    json_separate(json);
    json_append_str(json, "null");
}

void json_out_hex(struct json_out *json, struct hm_slice bytes)
{
    json_separate(json);
    if (json->error == 0)
        json->error = hm_buf_reserve(json->out, 2 * bytes.len + 3);
    if (json->error != 0)
        return;
    json_append(json, "\"", 1);
    if (bytes.len > 0)
        hm_hex_encode(bytes.data, bytes.len, (char *)json->out->data + json->out->len);
    json->out->len += 2 * bytes.len;
    json_append(json, "\"", 1);
}

void json_out_base64(struct json_out *json, struct hm_slice bytes)
{
    json_separate(json);
    json_append(json, "\"", 1);
    if (json->error == 0)
        json->error = hm_base64_encode(bytes.data, bytes.len, json->out);
    json_append(json, "\"", 1);
}

bool json_bytes_are_text(struct hm_slice bytes)
{
    return bytes.len == 0 || (memchr(bytes.data, 0, bytes.len) == NULL &&
                              hm_utf8_valid((const char *)bytes.data, bytes.len));
}

void json_out_text_bytes(struct json_out *json, struct hm_slice text)
{
    json_quoted(json, text.len > 0 ? (const char *)text.data : "", text.len);
}

void json_out_bytes(struct json_out *json, struct hm_slice bytes)
{
    static const char mark[] = "base64:";
    const size_t mark_len = sizeof(mark) - 1;

    if (json_bytes_are_text(bytes) &&
        (bytes.len < mark_len || memcmp(bytes.data, mark, mark_len) != 0)) {
        json_out_text_bytes(json, bytes);
        return;
    }
    json_separate(json);
    json_append(json, "\"", 1);
    json_append(json, mark, mark_len);
    if (json->error == 0)
        json->error = hm_base64_encode(bytes.data, bytes.len, json->out);
    json_append(json, "\"", 1);
}

void json_out_money(struct json_out *json, uint64_t base_units)
{
    char text[40];

    hm_decimal_format(base_units, MONEY_DIGITS, text);
    json_out_text(json, text);
}

static void json_id(struct json_out *json, struct hm_slice id,
                    void (*form)(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]))
{
    char text[WIRE_ID_TEXT_MAX];

    if (id.len != WIRE_ID_BYTES) {
        json_out_hex(json, id);
        return;
    }
    form(id.data, text);
    json_out_text(json, text);
}

void json_out_account(struct json_out *json, struct hm_slice id)
{
    json_id(json, id, wire_account_text);
}

void json_out_asset(struct json_out *json, struct hm_slice id)
{
    json_id(json, id, wire_asset_text);
}

void json_out_lease(struct json_out *json, struct hm_slice id)
{
    json_id(json, id, wire_lease_text);
}

void json_out_network(struct json_out *json, struct hm_slice id)
{
    json_id(json, id, wire_network_text);
}

void json_out_challenge(struct json_out *json, struct hm_slice id)
{
    json_id(json, id, wire_challenge_text);
}

void json_out_put_text(struct json_out *json, const char *name, const char *text)
{
    json_out_key(json, name);
    json_out_text(json, text);
}

void json_out_put_u64(struct json_out *json, const char *name, uint64_t value)
{
    json_out_key(json, name);
    json_out_u64(json, value);
}

void json_out_put_bool(struct json_out *json, const char *name, bool value)
{
    json_out_key(json, name);
    json_out_bool(json, value);
}

void json_out_put_hash(struct json_out *json, const char *name, const uint8_t hash[32])
{
    json_out_key(json, name);
    json_out_hex(json, hm_slice_of(hash, 32));
}

void json_out_put_money(struct json_out *json, const char *name, uint64_t base_units)
{
    json_out_key(json, name);
    json_out_money(json, base_units);
}

void json_out_put_hex(struct json_out *json, const char *name, struct hm_slice bytes)
{
    json_out_key(json, name);
    json_out_hex(json, bytes);
}

void json_out_put_base64(struct json_out *json, const char *name, struct hm_slice bytes)
{
    json_out_key(json, name);
    json_out_base64(json, bytes);
}
