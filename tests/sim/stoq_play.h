/* A scenario from a seed: endpoints, configurations, a network and traffic; see stoq_check.h for what must hold. */
#ifndef STOQ_PLAY_H
#define STOQ_PLAY_H

#include "stoq_check.h"

#define STOQ_PLAY_WHY_BYTES 640

/* True: everything held. Else why has a sentence. Adds to *totals. */
bool stoq_play_run(uint64_t seed, struct check_totals *totals, char why[STOQ_PLAY_WHY_BYTES]);
void stoq_play_end(void); /* frees what the scenarios of a process share */

#endif
