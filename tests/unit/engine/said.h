/* The log in a test's hands: kept instead of shown, and looked into. */
#ifndef SAID_H
#define SAID_H

#include "base.h"

#define SAID_MAX_BYTES ((size_t)1 << 20) /* of the log; what comes after is not looked at */

/* From here on lines of this level and above are kept, until said_end. While nobody else logs. */
void said_begin(enum hm_log_level level);
void said_end(void);
/* How often these words stand in what was kept since said_begin or said_forget. Others may log meanwhile. */
unsigned said(const char *words);
void said_forget(void);

#endif
