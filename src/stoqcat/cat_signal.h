/* SIGINT and SIGTERM: a goodbye first, then the end that the signal asks for. */
#ifndef CAT_SIGNAL_H
#define CAT_SIGNAL_H

#include "cat.h"

/* Keeps both signals from this thread and those that it starts: a watch takes them. */
void cat_signals_hold(void);
/* Dies of the signal, as whoever sent it wants to see. */
void cat_signal_die(int signal) __attribute__((noreturn));

/* Calls act(arg) in a thread of its own when the first signal comes; false: there is nothing to say goodbye to, and the
 * program dies at once. So it does of a second one, as saying goodbye may take long: output that nobody reads. */
struct cat_watch;
int cat_watch_open(struct cat_watch **out, bool (*act)(void *arg), void *arg,
                   struct stoq_error *error);
void cat_watch_close(struct cat_watch *watch); /* NULL: nothing */
int cat_signal_taken(void); /* the first that came; 0: none */

#endif
