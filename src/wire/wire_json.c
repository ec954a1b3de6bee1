#include "wire_job.h"

/* Beyond what JSON wants escaped: what YAML forbids raw (DEL, C1, U+FEFF, U+FFFE, U+FFFF) or folds
 * as a line break inside quotes (U+0085, U+2028, U+2029). */
static bool must_escape(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           code == 0xfeff || code == 0xfffe || code == 0xffff;
}

static int put_code(uint32_t code, const char *raw, size_t size, struct hm_buf *out)
{
    switch (code) {
    case '"':
        return hm_buf_append(out, "\\\"", 2);
    case '\\':
        return hm_buf_append(out, "\\\\", 2);
    case '\n':
        return hm_buf_append(out, "\\n", 2);
    case '\t':
        return hm_buf_append(out, "\\t", 2);
    default:
        if (must_escape(code))
            return hm_buf_printf(out, "\\u%04x", code);
        return hm_buf_append(out, raw, size);
    }
}

int wire_json_string(const char *text, struct hm_buf *out)
{
    const char *at = text;
    size_t left = strlen(text);

    if (hm_buf_append(out, "\"", 1))
        return HM_ENOMEM;
    while (left > 0) {
        uint32_t code = 0;
        size_t size = hm_utf8_step(at, left, &code);

        if (size == 0)
            return HM_EINVAL;
        if (put_code(code, at, size, out))
            return HM_ENOMEM;
        at += size;
        left -= size;
    }
    return hm_buf_append(out, "\"", 1) ? HM_ENOMEM : 0;
}
