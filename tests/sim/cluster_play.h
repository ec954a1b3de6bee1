/* What the tests over cluster worlds share: which seeds, and how a failure is told. */
#ifndef CLUSTER_PLAY_H
#define CLUSTER_PLAY_H

#include "cluster_world.h"

/* Runs seeds and tells each failure with the line that repeats it; how many failed. Variables of the environment:
 *   HM_SEED          only this one, told step by step
 *   HM_CLUSTER_SEEDS how many (default: seeds)      HM_CLUSTER_FIRST  the first (default 1)
 * *single: it was one seed only, so that not everything can have happened. */
unsigned cluster_play(const struct cluster_kind *kind, uint64_t seeds, const char *program,
                      struct cluster_totals *totals, bool *single);
void cluster_play_tell(const struct cluster_totals *totals, double seconds);
double cluster_play_seconds(void); /* of CPU time */

#endif
