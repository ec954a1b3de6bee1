/* The engine's validators as the ledger has them: those that a chain begins with, and what each block changes. What would
 * stop the engine does not leave: it has the block on its disk by then, and would stop at each start. */
#include "engine_app.h"

#include "abci.h"

static int set_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the engine's validators");
}

int engine_app_set_pack(const struct ledger_validator_update *from, size_t count,
                        struct hm_arena *arena, Hypermesh__Abci__ValidatorUpdate ***out,
                        struct hm_error *error)
{
    Hypermesh__Abci__ValidatorUpdate **list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));
    Hypermesh__Abci__ValidatorUpdate *updates = hm_arena_alloc(arena,
                                                               (count + 1) * sizeof(*updates));
    Hypermesh__Abci__PublicKey *keys = hm_arena_alloc(arena, (count + 1) * sizeof(*keys));

    if (list == NULL || updates == NULL || keys == NULL)
        return set_no_memory(error);
    for (size_t i = 0; i < count; i++) {
        uint8_t *key = hm_arena_dup(arena, from[i].key, sizeof(from[i].key));

        if (key == NULL)
            return set_no_memory(error);
        hypermesh__abci__public_key__init(&keys[i]);
        keys[i].sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
        keys[i].ed25519 = wire_bytes(key, sizeof(from[i].key));
        hypermesh__abci__validator_update__init(&updates[i]);
        updates[i].pub_key = &keys[i];
        /* What does not fit is negative, and the check stops it. */
        updates[i].power = from[i].power <= INT64_MAX ? (int64_t)from[i].power : -1;
        list[i] = &updates[i];
    }
    *out = list;
    return 0;
}

int engine_app_set_check(const struct ledger_validator_update *set, size_t count,
                         Hypermesh__Abci__ValidatorUpdate *const *updates, size_t updates_count,
                         struct hm_arena *arena, struct hm_error *error)
{
    struct abci_validator *present = hm_arena_alloc(arena, (count + 1) * sizeof(*present));

    if (present == NULL)
        return set_no_memory(error);
    for (size_t i = 0; i < count; i++) {
        memcpy(present[i].key, set[i].key, sizeof(present[i].key));
        present[i].power = set[i].power <= INT64_MAX ? (int64_t)set[i].power : INT64_MAX;
    }
    int rc = abci_updates_check(present, count, updates, updates_count, error);
    if (rc == 0 || rc == HM_ENOMEM)
        return rc;
    return hm_error_prefix(error, HM_EINTERNAL,
                           "the ledger changes the validators as no engine could");
}

/* As the last committed block left it. */
static int set_read(struct engine_app *app, struct hm_arena *arena,
                    struct ledger_validator_update **out, size_t *count, struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(app->options.engine->ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = app->recovery != NULL
             ? ledger_view_recovery_set(view, app->recovery, arena, out, count, error)
             : ledger_view_engine_set(view, arena, out, count, error);
    ledger_view_close(view);
    return rc;
}

int engine_app_set_evidence(struct engine_app *app, const Hypermesh__Abci__ConsensusParams *params,
                            struct hm_arena *arena, struct hm_error *error)
{
    const Hypermesh__Abci__EvidenceParams *evidence = params != NULL ? params->evidence : NULL;
    const Hypermesh__Abci__Duration *age = evidence != NULL ? evidence->max_age_duration : NULL;
    struct ledger_validator_update *set;
    Hypermesh__Params *ledger = NULL;
    struct ledger_view *view;
    size_t count = 0;
    uint64_t most;

    if (age == NULL)
        return 0;
    int rc = set_read(app, arena, &set, &count, error);
    if (rc != 0 || count == 0)
        return rc;
    rc = ledger_view_open(app->options.engine->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_params(view, arena, &ledger, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    most = ledger->unbond_delay_ms;
    if (age->seconds >= 0 && (uint64_t)age->seconds < most / 1000)
        return 0;
    return hm_fail(error, HM_EINVAL,
                   "the engine's genesis remembers faults for %lld s (consensus_params.evidence."
                   "max_age_duration), but stake stays bound for %llu s only: it must be less",
                   (long long)age->seconds, (unsigned long long)(most / 1000));
}

int engine_app_set_begin(struct engine_app *app, struct hm_arena *arena,
                         Hypermesh__Abci__ResponseInitChain *answer, struct hm_error *error)
{
    Hypermesh__Abci__ValidatorUpdate **list;
    struct ledger_validator_update *set;
    size_t count = 0;
    int rc = set_read(app, arena, &set, &count, error);

    if (rc != 0 || count == 0)
        return rc;
    rc = engine_app_set_pack(set, count, arena, &list, error);
    if (rc == 0)
        rc = engine_app_set_check(NULL, 0, list, count, arena, error);
    if (rc != 0)
        return rc;
    answer->validators = list;
    answer->n_validators = count;
    return 0;
}

int engine_app_set_change(struct engine_app *app, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseFinalizeBlock *answer, struct hm_error *error)
{
    const struct ledger_outcome *outcome = &app->outcome;
    Hypermesh__Abci__ValidatorUpdate **list;
    struct ledger_validator_update *set;
    size_t count = 0;

    if (outcome->updates_count == 0)
        return 0;
    int rc = set_read(app, arena, &set, &count, error);
    if (rc == 0)
        rc = engine_app_set_pack(outcome->updates, outcome->updates_count, arena, &list, error);
    if (rc == 0)
        rc = engine_app_set_check(set, count, list, outcome->updates_count, arena, error);
    if (rc != 0)
        return rc;
    answer->validator_updates = list;
    answer->n_validator_updates = outcome->updates_count;
    return 0;
}
