#include "nexus_text.h"

struct range {
    uint32_t first, last;
};

/* Unicode 15: general categories Mn and Me, and format characters, as far as names of things use them. */
static const struct range zero_wide[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD},   {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x0900, 0x0902}, {0x093C, 0x093C}, {0x0941, 0x0948},   {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},
    {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},   {0x200B, 0x200F}, {0x202A, 0x202E},
    {0x2060, 0x2064}, {0x20D0, 0x20F0}, {0x302A, 0x302D},   {0x3099, 0x309A}, {0xFE00, 0xFE0F},
    {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
};

/* Unicode Standard Annex 11: East Asian Width W and F. */
static const struct range double_wide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6F},
    {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
    {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};

static bool in_ranges(uint32_t code, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

static size_t code_width(uint32_t code)
{
    if (code < 0x300)
        return 1;
    if (in_ranges(code, zero_wide, HM_COUNT_OF(zero_wide)))
        return 0;
    return in_ranges(code, double_wide, HM_COUNT_OF(double_wide)) ? 2 : 1;
}

size_t nexus_text_width(const char *text)
{
    size_t len = strlen(text);
    size_t width = 0;

    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t step = hm_utf8_step(text + i, len - i, &code);

        width += step == 0 ? 1 : code_width(code);
        i += step == 0 ? 1 : step;
    }
    return width;
}

static bool steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/* Bytes at text that belong to an answer and steer: a line's end, a tab, bold on and off as our tables have it. */
static size_t answer_step(const char *text, size_t len)
{
    static const char *const kept[] = {"\n", "\t", "\033[1m", "\033[0m"};

    for (size_t i = 0; i < HM_COUNT_OF(kept); i++)
        if (strlen(kept[i]) <= len && memcmp(text, kept[i], strlen(kept[i])) == 0)
            return strlen(kept[i]);
    return 0;
}

static int append_safe(struct hm_buf *out, const char *text, size_t len, bool answer)
{
    int rc = 0;

    for (size_t i = 0; i < len && !rc;) {
        size_t kept = answer ? answer_step(text + i, len - i) : 0;

        if (kept > 0) {
            rc = hm_buf_append(out, text + i, kept);
            i += kept;
            continue;
        }
        uint32_t code = 0;
        size_t step = hm_utf8_step(text + i, len - i, &code);

        if (step == 0)
            rc = hm_buf_printf(out, "\\x%02x", (unsigned)(unsigned char)text[i]);
        else if (steers(code))
            rc = hm_buf_printf(out, code < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)code);
        else
            rc = hm_buf_append(out, text + i, step);
        i += step == 0 ? 1 : step;
    }
    return rc;
}

int nexus_text_append_safe(struct hm_buf *out, const char *text)
{
    return append_safe(out, text, strlen(text), false);
}

int nexus_text_append_answer(struct hm_buf *out, struct hm_slice text)
{
    return append_safe(out, (const char *)text.data, text.len, true);
}
