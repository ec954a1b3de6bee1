/* Which batches of a proposal would be paid for: the one judge of them, for who proposes and for who is proposed to. Transactions are
 * looked at in their order, each against what those before it leave of its account. */
#include "ledger_check_item.h"

static int pay_judge(struct ledger_item_check *check, const struct hm_slice *items, size_t count,
                     bool *pays, struct hm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct hm_error why = {0};
        int rc = ledger_item_check_batch(check, items[i], &why);

        if (rc != 0 && (pays == NULL || hm_error_is_fatal(rc))) {
            if (error != NULL)
                *error = why;
            return rc;
        }
        if (rc != 0) {
            ledger_pay_undo(check->pay);
        } else {
            check->paid_before += check->paid;
            check->unpaid_before += check->bytes - check->paid;
        }
        if (pays != NULL)
            pays[i] = rc == 0;
    }
    return 0;
}

int ledger_items_pay(struct ledger *ledger, const struct hm_slice *items, size_t count,
                     uint64_t time_ms, bool *pays, struct hm_error *error)
{
    struct ledger_item_check check = {.ledger = ledger, .now_ms = time_ms, .proposed = true};
    int rc = ledger_info(ledger, &check.info, error); /* with the chain's name */

    if (rc == 0)
        rc = ledger_item_check_begin(&check, error);
    if (rc == 0) {
        rc = pay_judge(&check, items, count, pays, error);
        ledger_item_check_end(&check);
    }
    return rc;
}
