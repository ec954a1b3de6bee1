/* hypermeshd's options that change a data folder whose node does not run, or only look at this machine, and end. */
#ifndef HM_NODE_MAIN_ERA_H
#define HM_NODE_MAIN_ERA_H

#include "node.h"

/* getopt's numbers of its options; past every letter. */
enum {
    MAIN_ERA_PROMOTE_KEY = 1000,
    MAIN_ERA_RECOVER,
    MAIN_ERA_RECOVER_JOIN,
    MAIN_ERA_RECOVER_FROM,
    MAIN_ERA_RECOVER_TO
};

struct main_era {
    const char *promote_key; /* "CHAIN:OPERATOR"; NULL: no */
    int promote;
    int engine_check; /* needs no data folder */
    int validator; /* with a backup that is restored */
    const char *recover; /* operators, "hm1...,hm1..." */
    const char *recover_join, *recover_from, *recover_to;
};

/* False: none of its options. */
bool main_era_option(struct main_era *era, int name, const char *value);

bool main_era_wanted(const struct main_era *era);
/* Prints JSON, or the failure; the process's exit status. */
int main_era_run(const struct main_era *era, const struct node_options *node,
                 const struct node_cluster_sync *sync);
/* JSON of one node; without its end of line. */
void main_print_member(const struct node_cluster_member *member);

#endif
