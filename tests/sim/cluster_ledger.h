/* The real application (src/engine/engine_app.c over the ledger, in memory) as one that a cluster's world can run: transfers,
 * bonds, leases and their ends. The engine takes over a ledger that was one node's before, so the first height is 3. One
 * world at a time. */
#ifndef CLUSTER_LEDGER_H
#define CLUSTER_LEDGER_H

#include "cluster_witness.h"

/* Made at the first call, with a chain that all worlds begin from. */
const struct cluster_kind *cluster_ledger_kind(void);
void cluster_ledger_end(void);

struct cluster_ledger_counts {
    uint64_t made, good,
        failed; /* transactions; that a client was told to have done what they say, or not */
    struct witness_counts witness;
};
/* What was wrong with a view of the validators, in any world; NULL: nothing. */
const char *cluster_ledger_wrong(void);
const struct cluster_ledger_counts *cluster_ledger_counted(void);

#endif
