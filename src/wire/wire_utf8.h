/* UTF-8 (RFC 3629), and other people's text shown in our sentences. */
#ifndef HM_WIRE_UTF8_H
#define HM_WIRE_UTF8_H

#include "base.h"

/* Length in bytes of the code point at text, 1-4, with its value in *code; 0 when the bytes are not
 * UTF-8 (truncated, overlong, a surrogate, past U+10FFFF) or len is 0. */
size_t wire_utf8_next(const uint8_t *text, size_t len, uint32_t *code);

/* True when all of it is UTF-8 without NUL: a C string then means the same as the bytes. */
bool wire_utf8_valid(struct hm_slice text);

/* The text for a sentence: printable ASCII as it is, the rest as \xNN, cut with "..." when longer
 * than fits. Never a control character or a newline. */
#define WIRE_SHOWN_BYTES 72
void wire_shown(struct hm_slice text, char out[WIRE_SHOWN_BYTES]);

#endif
