/* Which batches of a proposal would be paid for: the one judge of them, for who proposes and for who is proposed to.
 *
 * Transactions are looked at in their order, each against what those before it leave of its account: presence, balance, Work's rate.
 * What others send it in the same block does not count, and what becomes of an operation is not known: who hands money on by one whose
 * price only the block knows, takes a session back or a bond out may not be able to pay for what follows, nor, as a node, to seal
 * it. */
#include "ledger_check_item.h"

#define PAY_BUCKETS 1024 /* a power of two */

/* An account, after what it has paid for so far. */
struct pay_stand {
    bool spent; /* otherwise it is as the state has it */
    bool unsure; /* perhaps it cannot pay any more */
    uint8_t presence[CRYPTO_HASH_BYTES];
    uint64_t hyper;
    struct proof_rate rate;
};

struct pay_account {
    struct pay_account *next; /* in its bucket */
    struct pay_account *touched; /* the next one that the batch under way has changed */
    uint8_t id[LEDGER_ID_BYTES];
    size_t batch; /* that changed it last, counted from 1 */
    struct pay_stand now, before; /* before: that batch */
};

struct ledger_pay {
    struct ledger_item_check check;
    size_t batch; /* under way, counted from 1 */
    struct pay_account *touched;
    struct hm_arena arena; /* accounts */
    struct pay_account *buckets[PAY_BUCKETS];
};

/* --- accounts ------------------------------------------------------------------------------------------------ */

static struct pay_account **pay_find(struct ledger_pay *pay, const uint8_t *id)
{
    struct pay_account **at = &pay->buckets[hm_get_be32(id) & (PAY_BUCKETS - 1)];

    while (*at != NULL && memcmp((*at)->id, id, LEDGER_ID_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

bool ledger_pay_unsure(struct ledger_pay *pay, const uint8_t id[LEDGER_ID_BYTES])
{
    const struct pay_account *known = *pay_find(pay, id);

    return known != NULL && known->now.unsure;
}

bool ledger_pay_stand(struct ledger_pay *pay, const struct ledger_tx *tx,
                      Hypermesh__Account *account)
{
    struct pay_account *known = *pay_find(pay, tx->body->account.data);

    if (known == NULL || !known->now.spent)
        return true;
    if (ledger_item_check_is_next(tx, account))
        return false;
    account->presence = wire_bytes(known->now.presence, CRYPTO_HASH_BYTES);
    account->hyper = known->now.hyper;
    account->rate_start_ms = known->now.rate.start_ms;
    account->rate_count = known->now.rate.count;
    account->rate_previous = known->now.rate.previous;
    return true;
}

/* To be changed by the batch under way. NULL: no memory. */
static struct pay_stand *pay_touch(struct ledger_pay *pay, const uint8_t *id)
{
    struct pay_account **at = pay_find(pay, id);

    if (*at == NULL) {
        struct pay_account *made = hm_arena_alloc(&pay->arena, sizeof(*made));

        if (made == NULL)
            return NULL;
        *made = (struct pay_account){0};
        memcpy(made->id, id, LEDGER_ID_BYTES);
        *at = made;
    }
    struct pay_account *account = *at;
    if (account->batch != pay->batch) {
        account->batch = pay->batch;
        account->before = account->now;
        account->touched = pay->touched;
        pay->touched = account;
    }
    return &account->now;
}

/* The batch has no place: it never was. */
static void pay_undo(struct ledger_pay *pay)
{
    for (struct pay_account *account = pay->touched; account != NULL; account = account->touched)
        account->now = account->before;
}

/* --- what a transaction takes -------------------------------------------------------------------------------- */

/* Does its signer keep its sessions, and no more than *amount of its balance goes to somebody who may be the same person? What
 * is burnt is paid. */
static bool pay_op_keeps(const Hypermesh__Operation *op, uint64_t *amount)
{
    *amount = 0;
    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_TRANSFER:
        if (op->transfer->token == HYPERMESH__TOKEN__HYPER)
            *amount = op->transfer->amount;
        return true;
    case HYPERMESH__OPERATION__OP_KV_PUT:
    case HYPERMESH__OPERATION__OP_KV_DELETE:
    case HYPERMESH__OPERATION__OP_KV_TXN:
    case HYPERMESH__OPERATION__OP_KV_LEASE_GRANT:
    case HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE:
    case HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE:
    case HYPERMESH__OPERATION__OP_KV_COMPACT:
    case HYPERMESH__OPERATION__OP_KV_RULE_SET:
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
    case HYPERMESH__OPERATION__OP_PRIVACY_SET:
    case HYPERMESH__OPERATION__OP_SETTLE:
    case HYPERMESH__OPERATION__OP_RELEASE:
    case HYPERMESH__OPERATION__OP_REWARDS_TAKE:
        return true;
    default:
        return false;
    }
}

int ledger_pay_spend(struct ledger_pay *pay, const struct ledger_tx *tx,
                     const Hypermesh__Account *account, uint64_t fee, bool *sure,
                     struct hm_error *error)
{
    struct pay_stand *stand = pay_touch(pay, tx->body->account.data);
    uint64_t amount;

    if (stand == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to judge a proposal");
    *sure = *sure && !stand->unsure;
    stand->spent = true;
    stand->hyper = account->hyper - fee; /* ledger_tx_fee saw that it is there */
    for (size_t i = 0; i < tx->body->n_ops; i++) {
        stand->unsure |= !pay_op_keeps(tx->body->ops[i], &amount);
        stand->hyper -= amount < stand->hyper ? amount : stand->hyper;
    }
    stand->rate = (struct proof_rate){.start_ms = account->rate_start_ms,
                                      .count = account->rate_count,
                                      .previous = account->rate_previous};
    proof_rate_count(&stand->rate, pay->check.now_ms, pay->check.ledger->params->work_window_ms);
    proof_presence_next(tx->body->presence.data, tx->digest, stand->presence);
    return 0;
}

/* --- batches ------------------------------------------------------------------------------------------------- */

static int pay_judge(struct ledger_pay *pay, const struct hm_slice *items, size_t count, bool *pays,
                     struct hm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct hm_error why = {0};

        pay->batch = i + 1;
        pay->touched = NULL;
        int rc = ledger_item_check_batch(&pay->check, items[i], &why);
        if (rc != 0 && (pays == NULL || hm_error_is_fatal(rc))) {
            if (error != NULL)
                *error = why;
            return rc;
        }
        if (rc != 0) {
            pay_undo(pay);
        } else {
            pay->check.paid_before += pay->check.paid;
            pay->check.unpaid_before += pay->check.unpaid;
        }
        if (pays != NULL)
            pays[i] = rc == 0;
    }
    return 0;
}

int ledger_items_pay(struct ledger *ledger, const struct hm_slice *items, size_t count,
                     uint64_t time_ms, bool *pays, struct hm_error *error)
{
    struct ledger_pay *pay = hm_calloc(1, sizeof(*pay));

    if (pay == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to judge a proposal");
    struct ledger_item_check *check = &pay->check;
    *check = (struct ledger_item_check){.ledger = ledger, .now_ms = time_ms, .pay = pay};
    int rc = ledger_info(ledger, &check->info, error); /* with the chain's name */
    if (rc == 0)
        rc = store_begin_read(ledger->store, &check->txn, error);
    if (rc == 0) {
        hm_arena_init(&check->arena, LEDGER_TX_ARENA_BYTES);
        hm_arena_init(&check->scratch, LEDGER_TX_ARENA_BYTES);
        hm_arena_init(&pay->arena, 0);
        rc = ledger_read_info(check->txn, &check->info, error);
        if (rc == 0)
            rc = pay_judge(pay, items, count, pays, error);
        hm_arena_release(&pay->arena);
        hm_arena_release(&check->scratch);
        hm_arena_release(&check->arena);
        store_abort(check->txn);
    }
    hm_free(pay);
    return rc;
}
