/* Hexadecimal and base64 (RFC 4648, sections 4 and 8). */
#include "base_encode.h"

void hm_hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hm_hex_decode(const char *text, size_t text_len, uint8_t *out, size_t len,
                  struct hm_error *error)
{
    if (len > SIZE_MAX / 2 || text_len != 2 * len)
        return hm_fail(error, HM_EPARSE,
                       "hexadecimal text has %zu characters, %zu are needed for %zu bytes",
                       text_len, 2 * len, len);
    for (size_t i = 0; i < text_len; i++) {
        if (hex_value(text[i]) < 0)
            return hm_fail(error, HM_EPARSE, "character %zu is not a hexadecimal digit (0-9, a-f)",
                           i + 1);
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return 0;
}

int hm_base64_encode(const void *data, size_t len, struct hm_buf *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    uint8_t *at;
    int rc;

    if (len == 0)
        return 0;
    if (len > SIZE_MAX / 4)
        return HM_ENOMEM;
    rc = hm_buf_reserve(out, (len + 2) / 3 * 4);
    if (rc != 0)
        return rc;
    at = out->data + out->len;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)in[i] << 16;

        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        *at++ = (uint8_t)alphabet[group >> 18];
        *at++ = (uint8_t)alphabet[group >> 12 & 63];
        *at++ = left > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        *at++ = left > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
    out->len += (len + 2) / 3 * 4;
    return 0;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return -1;
}

/* One group of four characters; pad of them are '='. Returns the count of bytes or -1. */
static int base64_group(const char *text, size_t pad, uint8_t out[3])
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? base64_value(text[i]) : 0;

        if (value < 0)
            return -1;
        group = group << 6 | (uint32_t)value;
    }
    /* bits under the padding must be zero, or two texts would mean the same bytes */
    if ((pad == 1 && (group & 0xFF) != 0) || (pad == 2 && (group & 0xFFFF) != 0))
        return -1;
    out[0] = (uint8_t)(group >> 16);
    out[1] = (uint8_t)(group >> 8);
    out[2] = (uint8_t)group;
    return 3 - (int)pad;
}

int hm_base64_decode(const char *text, size_t text_len, struct hm_buf *out, struct hm_error *error)
{
    size_t start = out->len;
    size_t pad = 0;
    uint8_t *at;

    if (text_len % 4 != 0)
        return hm_fail(error, HM_EPARSE,
                       "base64 text has %zu characters, a multiple of 4 is needed", text_len);
    if (text_len == 0)
        return 0;
    if (hm_buf_reserve(out, text_len / 4 * 3) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu base64 characters", text_len);
    if (text[text_len - 1] == '=')
        pad = text[text_len - 2] == '=' ? 2 : 1;
    at = out->data + start;
    for (size_t i = 0; i < text_len; i += 4) {
        uint8_t bytes[3];
        int count = base64_group(text + i, i + 4 == text_len ? pad : 0, bytes);

        if (count < 0)
            return hm_fail(error, HM_EPARSE, "base64 text is malformed near character %zu", i + 1);
        memcpy(at, bytes, (size_t)count);
        at += count;
    }
    out->len = (size_t)(at - out->data);
    return 0;
}
