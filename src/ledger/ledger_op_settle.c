/* settle: the provider ends a lease with what was used, or adds the record to one that has ended. */
#include "ledger_op.h"

/* Price at which something of this kind was leased? */
static bool item_matches(const Hypermesh__Lease *lease, const Hypermesh__ResourceTransaction *used)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        if (lease->items[i]->kind == used->resource_type &&
            lease->items[i]->price_per_hour == used->price_per_unit)
            return true;
    }
    return false;
}

static int usage_check(const struct ledger_act *act, const Hypermesh__Lease *lease,
                       const Hypermesh__ResourceTransaction *used, struct hm_error *error)
{
    uint64_t window = act->params->time_window_ms;
    uint64_t now = act->scope->block->time_ms;

    if (!ledger_id_ok(used->node))
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE, "node has %zu bytes, must have %d",
                             used->node.len, LEDGER_ID_BYTES);
    if (!ledger_id_equal(used->consumer, lease->consumer))
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE, "consumer is not the lease's");
    if (!ledger_id_equal(used->provider, lease->provider))
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE, "provider is not the lease's");
    if (!item_matches(lease, used))
        return ledger_refuse(
            error, LEDGER_RULE_SETTLE_USAGE,
            "resource_type and price_per_unit are not those of an item of the lease");
    if (used->unit[0] == '\0')
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE, "unit is empty");
    if (used->duration_ms > lease->expires_ms - lease->start_ms)
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE,
                             "duration_ms %llu is longer than the lease's %llu",
                             (unsigned long long)used->duration_ms,
                             (unsigned long long)(lease->expires_ms - lease->start_ms));
    if (used->timestamp_ms > now + window ||
        used->timestamp_ms < (lease->start_ms > window ? lease->start_ms - window : 0))
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE,
                             "timestamp_ms %llu is not within the lease",
                             (unsigned long long)used->timestamp_ms);
    return ledger_text_check(used->unit, LEDGER_USAGE_UNIT_MAX_BYTES, "unit", error);
}

/* As many records of a kind as items of it. */
static int usage_complete(const Hypermesh__Lease *lease, const Hypermesh__Settle *what,
                          struct hm_error *error)
{
    for (size_t i = 0; i < lease->n_items; i++) {
        Hypermesh__AssetKind kind = lease->items[i]->kind;
        size_t items = 0;
        size_t records = 0;

        for (size_t j = 0; j < lease->n_items; j++)
            items += lease->items[j]->kind == kind;
        for (size_t j = 0; j < what->n_usage; j++)
            records += what->usage[j]->resource_type == kind;
        if (records < items)
            return ledger_refuse(
                error, LEDGER_RULE_SETTLE_COMPLETE,
                "%zu usage records for the %zu leased items of kind %s: one each is "
                "needed",
                records, items, wire_asset_kind_name(kind));
    }
    return 0;
}

static int settle_check(const struct ledger_act *act, const Hypermesh__Lease *lease,
                        const Hypermesh__Settle *what, struct hm_error *error)
{
    if (what->n_usage > LEDGER_USAGE_MAX)
        return ledger_refuse(error, LEDGER_RULE_SETTLE_USAGE_COUNT,
                             "%zu usage records, at most %d are allowed", what->n_usage,
                             LEDGER_USAGE_MAX);
    if (what->result.len != 0 && what->result.len != CRYPTO_HASH_BYTES)
        return ledger_refuse(error, LEDGER_RULE_SETTLE_RESULT,
                             "result has %zu bytes, must have none or %d", what->result.len,
                             CRYPTO_HASH_BYTES);
    if (what->outcome < HYPERMESH__JOB_OUTCOME__FINISHED ||
        what->outcome > HYPERMESH__JOB_OUTCOME__TIMED_OUT)
        return ledger_refuse(error, LEDGER_RULE_SETTLE_OUTCOME,
                             "outcome %d is not one that a provider reports", (int)what->outcome);
    for (size_t i = 0; i < what->n_usage; i++) {
        int rc = usage_check(act, lease, what->usage[i], error);

        if (rc) {
            hm_error_prefix(error, rc, "usage %zu", i);
            return rc;
        }
    }
    return usage_complete(lease, what, error);
}

int ledger_op_settle(struct ledger_act *act, const Hypermesh__Operation *op, struct hm_error *error)
{
    Hypermesh__Settle *what = op->settle;
    Hypermesh__Lease *lease;
    int rc = ledger_scope_lease(act->scope, what->lease, &lease, error);

    if (rc)
        return rc;
    if (!ledger_id_equal(lease->provider, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_SETTLE_PROVIDER,
                             "only the lease's provider may settle it");
    if (lease->settlement)
        return ledger_refuse(error, LEDGER_RULE_SETTLE_ONCE, "the lease is settled already");
    rc = settle_check(act, lease, what, error);
    if (rc)
        return rc;
    if (lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE) {
        rc = ledger_lease_end(act->scope, lease, HYPERMESH__LEASE_STATE__LEASE_SETTLED, act->number,
                              act->body->account, error);
        if (rc)
            return rc;
    }
    /* A lease that ran out or was released meanwhile still gets its record, once; no money moves. */
    lease->settlement = what;
    lease->settled_ms = act->scope->block->time_ms;
    return 0;
}
