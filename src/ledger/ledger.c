/* The ledger's life: opening, what it knows of its chain, closing. */
#include "ledger_kv_rules.h"
#include "ledger_private.h"
#include "ledger_recovery.h"
#include "ledger_restore.h"
#include "ledger_validator.h"

int ledger_load(struct ledger *ledger, struct hm_error *error)
{
    struct ledger_kv_rules *rules = NULL;
    struct ledger_info info = {0};
    struct store_txn *txn;
    Hypermesh__Params *params = NULL;
    bool stake_known = false;
    int rc = store_begin_read(ledger->store, &txn, error);

    if (rc)
        return rc;
    rc = ledger_restore_pending(txn, error);
    if (rc == 0)
        rc = ledger_read_info(txn, &info, error);
    if (rc == 0)
        rc = ledger_read_name(txn, &info, error);
    if (rc == 0)
        rc = ledger_recovery_read_chain(txn, &info, error);
    if (rc == 0)
        rc = ledger_read_params_stored(txn, &ledger->params_arena, &params, error);
    if (rc == 0) {
        stake_known = params->max_validators > 0;
        ledger_stake_params_fill(params);
    }
    /* A chain of an older version lacks parameters that the rules of this one need. */
    if (rc == 0 && ledger_params_check(params, error))
        rc = hm_error_prefix(error, HM_EUNSUPPORTED,
                             "the chain was made by another version of HyperMesh");
    if (rc == 0)
        rc = ledger_kv_rules_load(txn, &rules, error);
    store_abort(txn);
    if (rc)
        return rc;
    ledger_kv_rules_free(ledger->kv_rules);
    ledger->kv_rules = rules;
    pthread_mutex_lock(&ledger->lock);
    ledger->info = info;
    ledger->params = params;
    ledger->stake_known = stake_known;
    ledger->has_chain = true;
    pthread_mutex_unlock(&ledger->lock);
    return 0;
}

int ledger_open(struct store *store, struct ledger **out, struct hm_error *error)
{
    struct ledger *ledger = hm_calloc(1, sizeof *ledger);
    int rc;

    if (!ledger)
        return hm_fail(error, HM_ENOMEM, "no memory for the ledger");
    if (ledger_seen_init(&ledger->seen)) {
        hm_free(ledger);
        return hm_fail(error, HM_ENOMEM, "no memory for the ledger");
    }
    if (pthread_mutex_init(&ledger->lock, NULL)) {
        ledger_seen_release(&ledger->seen);
        hm_free(ledger);
        return hm_fail(error, HM_ENOMEM, "no memory for the ledger");
    }
    ledger->store = store;
    hm_arena_init(&ledger->params_arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_load(ledger, error);
    if (rc && rc != HM_ENOTFOUND) {
        ledger_close(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    ledger_abandon(ledger);
    ledger_block_free(ledger->done);
    ledger_kv_rules_free(ledger->kv_rules);
    hm_arena_release(&ledger->params_arena);
    ledger_seen_release(&ledger->seen);
    pthread_mutex_destroy(&ledger->lock);
    hm_free(ledger);
}

int ledger_info(struct ledger *ledger, struct ledger_info *out, struct hm_error *error)
{
    int rc = 0;

    pthread_mutex_lock(&ledger->lock);
    if (ledger->has_chain)
        *out = ledger->info;
    else
        rc = HM_ENOTFOUND;
    pthread_mutex_unlock(&ledger->lock);
    return rc ? hm_fail(error, rc, "there is no chain yet: it begins with a genesis") : 0;
}
