/* Text from outside: whether it may be kept, and how it is shown in our own sentences. */
#ifndef HM_WIRE_TEXT_H
#define HM_WIRE_TEXT_H

#include "base.h"

/* True when all of it is UTF-8 without NUL: a C string then means the same as the bytes. */
bool wire_text_valid(struct hm_slice text);

/* The text for a sentence: printable ASCII as it is, the rest as \xNN, cut with "..." when longer
 * than fits. Never a control character or a newline. */
#define WIRE_SHOWN_BYTES 72
void wire_shown(struct hm_slice text, char out[WIRE_SHOWN_BYTES]);

#endif
