/* hypermeshd's options that make a data folder with a join ticket, and end. */
#ifndef HM_NODE_MAIN_JOIN_H
#define HM_NODE_MAIN_JOIN_H

#include "node.h"

struct main_join {
    int wanted;
    int from_genesis;
    const char *address; /* of the member, instead of the ticket's; NULL: those */
};

/* The ticket comes on standard input. Prints JSON, or the failure; the process's exit status. */
int main_join_run(const struct main_join *join, const struct node_options *node);

#endif
