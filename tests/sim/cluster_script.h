/* The application without a ledger (tests/tools/script_app.h) as one that a cluster's world can run, right or with one
 * mistake in it. One world at a time. */
#ifndef CLUSTER_SCRIPT_H
#define CLUSTER_SCRIPT_H

#include "cluster_world.h"
#include "script_app.h"

const struct cluster_kind *cluster_script_kind(enum script_mutant mutant);

#endif
