/* traceparent: 00-<32 hex>-<16 hex>-<2 hex> (W3C Trace Context, 3.2). */
#include "trace.h"

#define HEADER_CHARS 55

/* Lower-case hexadecimal only, as the standard asks; true unless all are zero and that is not allowed. */
static bool hex_field(const char *text, size_t bytes, uint8_t *out, bool zero_is_fine)
{
    bool any = false;

    for (size_t i = 0; i < 2 * bytes; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit < 0)
            return false;
        any = any || digit != 0;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    return any || zero_is_fine;
}

bool trace_parent_parse(const char *header, uint8_t trace_id[TRACE_ID_BYTES],
                        uint8_t parent[TRACE_SPAN_ID_BYTES], bool *sampled)
{
    uint8_t version;
    uint8_t flags;
    size_t len = strlen(header);

    if (len < HEADER_CHARS || header[2] != '-' || header[35] != '-' || header[52] != '-' ||
        !hex_field(header, 1, &version, true) || version == 0xff ||
        !hex_field(header + 3, TRACE_ID_BYTES, trace_id, false) ||
        !hex_field(header + 36, TRACE_SPAN_ID_BYTES, parent, false) ||
        !hex_field(header + 53, 1, &flags, true))
        return false;
    /* Later versions may have more behind a dash. */
    if (len > HEADER_CHARS && (version == 0 || header[HEADER_CHARS] != '-'))
        return false;
    *sampled = flags & 1;
    return true;
}
