/* Random transactions from one seed, applied to the ledger and to the model, block after block. */
#ifndef LEDGER_SCENARIO_H
#define LEDGER_SCENARIO_H

#include "ledger_model.h"

struct scenario_counts {
    size_t txs;
    size_t good;
    size_t failed;
    size_t expired;
    size_t silent;
    size_t good_of_kind[LEDGER_OP_COUNT + 1];
};

/* Called after each block. */
typedef void (*scenario_block)(struct fixture *fixture, struct model *model, void *ctx);

/* The fixture is ready made. Aborts where ledger and model differ in a result. */
void scenario_run(struct fixture *fixture, uint64_t seed, size_t blocks, scenario_block each,
                  void *ctx, struct scenario_counts *counts);
/* Fixture parameters that make much happen: short delays, long sessions. */
void scenario_params(Hypermesh__Params *params);

#endif
