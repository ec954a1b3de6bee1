/* What the files of test_rules share: a small chain on which Alice offers cpu0, and refusals checked. */
#ifndef RULES_CHECK_H
#define RULES_CHECK_H

#include "ledger_check.h"

void result_is(const Hypermesh__TxResult *result, const char *name);
/* As refused, and the sentence, the code and the name are what the table of rules says. */
void refused_by(enum fixture_role who, Hypermesh__Operation *op, const char *name);

/* rules_mesh.c */
void test_privacy_set(void **state);
void test_privacy_admits(void **state);
void test_networks(void **state);
void test_peers(void **state);
void test_challenges(void **state);

#endif
