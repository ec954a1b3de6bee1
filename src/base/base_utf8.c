#include "base_encode.h"

size_t hm_utf8_step(const char *text, size_t len, uint32_t *code)
{
    const uint8_t *in = (const uint8_t *)text;
    uint32_t value;
    size_t need;

    if (len == 0)
        return 0;
    if (in[0] < 0x80) {
        *code = in[0];
        return 1;
    }
    if (in[0] >= 0xC2 && in[0] <= 0xDF)
        need = 2;
    else if ((in[0] & 0xF0) == 0xE0)
        need = 3;
    else if (in[0] >= 0xF0 && in[0] <= 0xF4)
        need = 4;
    else
        return 0;
    if (len < need)
        return 0;
    value = in[0] & (0x7FU >> need);
    for (size_t i = 1; i < need; i++) {
        if ((in[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (in[i] & 0x3F);
    }
    /* longer than needed, a surrogate, or past the last code point */
    if ((need == 3 && value < 0x800) || (need == 4 && value < 0x10000) ||
        (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF)
        return 0;
    *code = value;
    return need;
}

bool hm_utf8_valid(const char *text, size_t len)
{
    while (len > 0) {
        uint32_t code;
        size_t step = hm_utf8_step(text, len, &code);

        if (step == 0)
            return false;
        text += step;
        len -= step;
    }
    return true;
}
