/* Validators in the fixture's ledger, before an engine begins. */
#include "engine_fixture.h"

#include "stake_ops.h"

void engine_fixture_declare(struct engine_fixture *fix, enum fixture_role who, uint64_t bond)
{
    struct fixture *chain = &fix->chain;
    Hypermesh__TxResult *result = fixture_do(chain, who,
                                             op_declare(chain, who, bond * FIXTURE_HYPER, 0));

    if (result == NULL || result->code)
        fail_msg("declare: %s", result ? result->text : chain->error.text);
    atomic_store(&fix->wall_ms, chain->next_ms);
}
