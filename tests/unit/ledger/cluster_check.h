/* What the tests of a cluster's blocks share. */
#ifndef CLUSTER_CHECK_H
#define CLUSTER_CHECK_H

#include "cluster_fixture.h"
#include "kv_check.h"

/* fix with a base fee far above its minimum: every empty block of one node lowers it. */
int fees_setup(void **state);
/* What the state says of the chain; NULL: nothing. */
Hypermesh__ChainFacts *facts_now(struct fixture *f);
/* It is what the chain was then. */
void facts_are(const struct ledger_info *at);
uint64_t era_now(void);
/* ledger_replay into a new store; the reason is in fix.error. */
int replay_rc(void);
/* It goes well. */
void replays(void);

#endif
