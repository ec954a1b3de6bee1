/* Validators in the scripted engine's ledger, before that engine begins. */
#include "cluster_script.h"

#include "stake_ops.h"

void script_declare(struct script *script, enum fixture_role who, uint64_t bond)
{
    struct fixture *chain = &script->fix.chain;
    Hypermesh__TxResult *result = fixture_do(chain, who,
                                             op_declare(chain, who, bond * FIXTURE_HYPER, 0));

    assert_non_null(result);
    if (result->code)
        fail_msg("declare: %s", result->text);
    atomic_store(&script->fix.wall_ms, chain->next_ms);
}
