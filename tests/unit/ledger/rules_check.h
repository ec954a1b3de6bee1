/* What the files of test_rules share: a small chain on which Alice offers cpu0, and refusals checked. */
#ifndef RULES_CHECK_H
#define RULES_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger_fixture.h"

#define MINUTE_MS UINT64_C(60000)

extern struct fixture fix;
extern uint8_t cpu[1][32];

void result_is(const Hypermesh__TxResult *result, const char *name);
void refused(enum fixture_role who, Hypermesh__Operation *op, const char *name);
void good(enum fixture_role who, Hypermesh__Operation *op);
void made(enum fixture_role who, Hypermesh__Operation *op, uint8_t id[32]);

/* rules_mesh.c */
void test_privacy_set(void **state);
void test_privacy_admits(void **state);
void test_networks(void **state);
void test_peers(void **state);
void test_challenges(void **state);

#endif
