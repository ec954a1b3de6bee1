#include "wire_text.h"

#include <stdio.h>

bool wire_text_valid(struct hm_slice text)
{
    if (text.len == 0)
        return true;
    return hm_utf8_valid((const char *)text.data, text.len) && !memchr(text.data, 0, text.len);
}

void wire_shown(struct hm_slice text, char out[WIRE_SHOWN_BYTES])
{
    static const char cut[] = "...";
    const size_t room = WIRE_SHOWN_BYTES - sizeof(cut);
    size_t used = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool plain = c >= 0x20 && c < 0x7f;

        if (used + (plain ? 1U : 4U) > room) {
            memcpy(out + used, cut, sizeof(cut));
            return;
        }
        if (plain)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, 5, "\\x%02x", c);
    }
    out[used] = '\0';
}
