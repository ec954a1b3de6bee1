/* Behind the API: validators and stake. */
#include "node_reading.h"

static int node_validator(void *ctx, const uint8_t operator_id[32], struct hm_arena *arena,
                          Hypermesh__Validator **out, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc : ledger_view_validator(at.view, operator_id, arena, out, error);
}

static int node_validators(void *ctx, const struct api_page *page, struct hm_arena *arena,
                           Hypermesh__Validator ***out, size_t *count, struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc
                   : ledger_view_validators(at.view, page->after, page->limit, arena, out, count,
                                            error);
}

static int node_delegations(void *ctx, const uint8_t validator[32], const struct api_page *page,
                            struct hm_arena *arena, Hypermesh__Delegation ***out, size_t *count,
                            struct hm_error *error)
{
    NODE_READING at = {0};
    int rc = node_reading_open(ctx, &at, error);

    return rc != 0 ? rc
                   : ledger_view_delegations(at.view, validator, page->after, page->limit, arena,
                                             out, count, error);
}

static int node_stake(struct ledger_view *view, const Hypermesh__Validator *validator,
                      const uint8_t delegator[32], struct hm_arena *arena, struct api_stake *out,
                      struct hm_error *error)
{
    struct ledger_delegation_worth worth;
    Hypermesh__Delegation *delegation;
    int rc;

    if (validator->operator_.len != sizeof out->validator)
        return hm_fail(error, HM_ECORRUPT, "a stored validator is damaged");
    rc = ledger_view_delegation(view, validator->operator_.data, delegator, arena, &delegation,
                                error);
    if (rc != 0)
        return rc;
    ledger_delegation_worth(validator, delegation, &worth);
    memcpy(out->validator, validator->operator_.data, sizeof out->validator);
    out->stake = worth.stake;
    out->leaving = worth.leaving;
    out->free_ms = worth.free_ms;
    out->rewards = worth.rewards;
    return 0;
}

static int node_stakes(void *ctx, const uint8_t delegator[32], const struct api_page *page,
                       struct hm_arena *arena, struct api_stake **out, size_t *count,
                       struct hm_error *error)
{
    NODE_READING at = {0};
    Hypermesh__Validator **validators = NULL;
    struct api_stake *list;
    size_t found = 0;
    int rc = node_reading_open(ctx, &at, error);

    if (rc == 0)
        rc = ledger_view_delegated(at.view, delegator, page->after, page->limit, arena, &validators,
                                   &found, error);
    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, (found + 1) * sizeof *list);
    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory for a list of stakes");
    for (size_t i = 0; i < found; i++) {
        rc = node_stake(at.view, validators[i], delegator, arena, &list[i], error);
        if (rc != 0)
            return rc;
    }
    *out = list;
    *count = found;
    return 0;
}

void node_backend_stake_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->validator = node_validator;
    backend->validators = node_validators;
    backend->delegations = node_delegations;
    backend->stakes = node_stakes;
}
