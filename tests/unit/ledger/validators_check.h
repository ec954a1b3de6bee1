/* What tests of a cluster's validators share: a chain, the model of its engine (stake_ops.h), and blocks in a word. */
#ifndef VALIDATORS_CHECK_H
#define VALIDATORS_CHECK_H

#include "ledger_check.h"
#include "ledger_validator.h"
#include "stake_ops.h"

#define H FIXTURE_HYPER

extern struct engine_model engine;

int validators_setup(void **state);

/* One operation in a block of its own; the rule that it broke, or "". */
const char *did(enum fixture_role who, Hypermesh__Operation *op);
#define DONE(who, op) assert_string_equal(did(who, op), "")
/* A block in which somebody pays, with these votes; one in which nobody does. */
struct ledger_outcome busy(const struct stake_votes *votes);
struct ledger_outcome idle(const struct stake_votes *votes);

uint64_t power_of(enum fixture_role who); /* that the engine was told of, by his key */
void sets_agree(void); /* what the ledger says it told is what the model took */
void event_is(const char *type, enum fixture_role who); /* the last block's last event */
void begin(void); /* three validators: ALICE 400, BOB and CAROL 300 HYPER */

#endif
