/* A whole node in a folder of its own, with a clock that tests move. */
#ifndef NODE_FIXTURE_H
#define NODE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "node_private.h"

struct node_fixture {
    char folder[64];
    char genesis[96]; /* path of a chain that the test chose */
    _Atomic uint64_t ahead_ms; /* of the machine's clock */
    struct hm_clock clock;
    struct node_options options;
    struct node *node;
};

/* cmocka fixtures: *state is a struct node_fixture whose node is ready. */
/* Where the next fixture's node logs its warnings; -1, as ever: nowhere. Its threads must not be there yet. */
extern int node_fixture_log_fd;
int node_fixture_setup(void **state);
/* As setup; the node's clock is behind the machine's from the start. */
#define NODE_FIXTURE_BEHIND_MS UINT64_C(30000)
int node_fixture_setup_behind(void **state);
int node_fixture_teardown(void **state);
/* Stops the node and starts it again. */
void node_fixture_restart(struct node_fixture *fixture);
void node_fixture_wait_ready(struct node *node);
/* Stops the node and starts it with the same keys on a new chain, whose parameters the function changes. */
void node_fixture_rebirth(struct node_fixture *fixture, void (*change)(Hypermesh__Params *params));

/* One transfer of a base unit; 0, or what it was refused with, in *error. */
int node_fixture_transfer(struct node *node, const char *from, const char *to,
                          struct hm_error *error);
/* The account's row on the ledger, in the arena. */
Hypermesh__Account *node_fixture_account(struct node *node, const char *name,
                                         struct hm_arena *arena);

#endif
