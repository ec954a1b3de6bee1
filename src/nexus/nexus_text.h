/* Text as a terminal shows it. */
#ifndef HM_NEXUS_TEXT_H
#define HM_NEXUS_TEXT_H

#include "base.h"

/* Columns the text takes on a terminal: combining marks none, East Asian wide characters and emoji two.
 * Bytes that are not UTF-8 count one each. */
size_t nexus_text_width(const char *text);

/* Appends the text with control characters (C0, DEL, C1), bidirectional overrides and bytes that are not
 * UTF-8 shown as \xNN or \u{NNNN}: what comes from other people's machines must not steer the terminal. */
int nexus_text_append_safe(struct hm_buf *out, const char *text);
/* The same for a whole answer, which may have lines, tabs, and bold text. */
int nexus_text_append_answer(struct hm_buf *out, struct hm_slice text);

#endif
