/* Ctrl-C and SIGTERM as something that can be waited for. A process has one set of signal handlers, so
 * there is at most one of these at a time. */
#ifndef HM_NEXUS_INTERRUPT_H
#define HM_NEXUS_INTERRUPT_H

#include "base.h"

/* From here on the first signal makes nexus_interrupt_fd readable; the second prints last_words (at most
 * NEXUS_LAST_WORDS_BYTES) to standard error and ends the process with NEXUS_EXIT_INTERRUPTED, whatever it is
 * doing. HM_EIO. */
#define NEXUS_LAST_WORDS_BYTES 256
int nexus_interrupt_open(const char *last_words, struct hm_error *error);
int nexus_interrupt_fd(void); /* -1 while not open */
/* True once per signal; reads it off the descriptor. */
bool nexus_interrupt_take(void);
bool nexus_interrupt_seen(void); /* any signal since open */
/* The signals do again what they did before. */
void nexus_interrupt_close(void);

#endif
