/* What the tests of the ledger share: one small chain, and people on it whose operations must be good or refused. */
#ifndef LEDGER_CHECK_H
#define LEDGER_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger_fixture.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS   UINT64_C(3600000)

extern struct fixture fix;
extern uint8_t cpu[1][32]; /* of check_offer */

/* For cmocka: fix as fixture_init leaves it without options, and its end. */
int check_setup(void **state);
int check_teardown(void **state);
/* The same, when the chain says the same as it is applied again. */
int check_replay_teardown(void **state);
/* Registers who's "cpu0", a CPU of 4000 at this price an hour: its id is cpu. 0 or -1. */
int check_offer(enum fixture_role who, uint64_t price, Hypermesh__PrivacyLevel level);

Hypermesh__TxResult *good(enum fixture_role who, Hypermesh__Operation *op);
/* Good, and id is the first thing that it created. */
void made(enum fixture_role who, Hypermesh__Operation *op, uint8_t id[32]);
/* By the rule of this name. */
Hypermesh__TxResult *refused(enum fixture_role who, Hypermesh__Operation *op, const char *rule);

struct ledger_info check_info(void);
/* What is committed now; ends with ledger_view_close. */
struct ledger_view *check_view(void);

#endif
