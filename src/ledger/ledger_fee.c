/* Fees and prices: weight of a transaction, the base fee's way, what a lease costs. */
#include "ledger_op.h"

#define LEDGER_WEIGHT_TX         UINT64_C(300) /* whatever it holds: two accounts, signature, index */
#define LEDGER_FEE_CHANGE_DIVIDE UINT64_C(8) /* at most 1/8 a block, as in EIP-1559 */
/* Longer than any lease; keeps price * share * duration inside 128 bits. */
#define LEDGER_COST_DURATION_MAX_MS (UINT64_C(1) << 43)

__extension__ typedef unsigned __int128 ledger_u128;

uint64_t ledger_tx_weight(const Hypermesh__TxBody *body, size_t tx_bytes)
{
    uint64_t weight = LEDGER_WEIGHT_TX + tx_bytes;

    /* No overflow: a transaction's bytes bound its operations and their items. */
    for (size_t i = 0; i < body->n_ops; i++) {
        const struct ledger_op *op = ledger_op_find(body->ops[i]->op_case);

        if (!op)
            continue;
        weight += op->weight;
        if (op->items)
            weight += op->item_weight * op->items(body->ops[i]);
    }
    return weight;
}

uint64_t ledger_fee_next(const Hypermesh__Params *params, uint64_t base_fee, uint64_t weight)
{
    uint64_t target = params->block_weight_target;
    uint64_t over = weight > target ? weight - target : target - weight;
    uint64_t change;
    uint64_t next;

    if (over > target)
        over = target;
    if (!hm_muldiv_u64(base_fee, over, target, &change))
        change = base_fee;
    change /= LEDGER_FEE_CHANGE_DIVIDE;
    if (weight > target) {
        if (change == 0)
            change = 1;
        if (!hm_add_u64(base_fee, change, &next))
            next = UINT64_MAX;
    } else {
        next = base_fee - change;
    }
    return next < params->base_fee_minimum ? params->base_fee_minimum : next;
}

bool ledger_lease_cost(const uint64_t *price_per_hour, const uint32_t *share_ppm, size_t count,
                       uint64_t duration_ms, uint64_t *cost)
{
    const ledger_u128 whole = (ledger_u128)LEDGER_HOUR_MS * LEDGER_PPM;
    uint64_t sum = 0;

    if (duration_ms > LEDGER_COST_DURATION_MAX_MS)
        return false;
    for (size_t i = 0; i < count; i++) {
        ledger_u128 part;

        if (share_ppm[i] > LEDGER_SHARE_WHOLE)
            return false;
        part = (ledger_u128)price_per_hour[i] * share_ppm[i] * duration_ms;
        part = part / whole + (part % whole != 0);
        if (part > UINT64_MAX || !hm_add_u64(sum, (uint64_t)part, &sum))
            return false;
    }
    *cost = sum;
    return true;
}
