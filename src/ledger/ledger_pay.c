/* Who can still pay. */
#include "ledger_pay.h"

/* An account, after what it has paid for so far. */
struct pay_stand {
    bool spent; /* otherwise it is as the state has it */
    bool unsure; /* perhaps it cannot pay any more */
    uint8_t presence[CRYPTO_HASH_BYTES];
    uint64_t hyper;
    struct proof_rate rate;
};

struct ledger_pay_account {
    struct ledger_pay_account *next; /* in its bucket */
    struct ledger_pay_account *touched; /* the next one that the batch under way has changed */
    uint8_t id[LEDGER_ID_BYTES];
    size_t batch; /* that changed it last, counted from 1 */
    struct pay_stand now, before; /* before: that batch */
};

/* --- life ---------------------------------------------------------------------------------------------------- */

int ledger_pay_new(const Hypermesh__Params *params, uint64_t now_ms, struct ledger_pay **out,
                   struct hm_error *error)
{
    struct ledger_pay *pay = hm_calloc(1, sizeof(*pay));

    if (pay == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to judge who pays");
    pay->params = params;
    pay->now_ms = now_ms;
    hm_arena_init(&pay->arena, 0);
    *out = pay;
    return 0;
}

void ledger_pay_free(struct ledger_pay *pay)
{
    if (pay == NULL)
        return;
    hm_arena_release(&pay->arena);
    hm_free(pay);
}

void ledger_pay_batch(struct ledger_pay *pay)
{
    pay->batch++;
    pay->touched = NULL;
}

/* --- accounts ------------------------------------------------------------------------------------------------ */

static struct ledger_pay_account **pay_find(struct ledger_pay *pay, const uint8_t *id)
{
    struct ledger_pay_account **at = &pay->buckets[hm_get_be32(id) & (LEDGER_PAY_BUCKETS - 1)];

    while (*at != NULL && memcmp((*at)->id, id, LEDGER_ID_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

bool ledger_pay_unsure(struct ledger_pay *pay, const uint8_t id[LEDGER_ID_BYTES])
{
    const struct ledger_pay_account *known = *pay_find(pay, id);

    return known != NULL && known->now.unsure;
}

static bool pay_follows(const struct ledger_tx *tx, ProtobufCBinaryData presence)
{
    return presence.len == CRYPTO_HASH_BYTES &&
           memcmp(tx->body->presence.data, presence.data, CRYPTO_HASH_BYTES) == 0;
}

enum ledger_pay_line ledger_pay_stand(struct ledger_pay *pay, const struct ledger_tx *tx,
                                      Hypermesh__Account *account)
{
    struct ledger_pay_account *known = *pay_find(pay, tx->body->account.data);
    bool first = pay_follows(tx, account->presence);

    if (known == NULL || !known->now.spent)
        return first ? LEDGER_PAY_NEXT : LEDGER_PAY_AWAY;
    ProtobufCBinaryData presence = wire_bytes(known->now.presence, CRYPTO_HASH_BYTES);
    if (!pay_follows(tx, presence))
        return first ? LEDGER_PAY_LATE : LEDGER_PAY_AWAY;
    account->presence = presence;
    account->hyper = known->now.hyper;
    account->rate_start_ms = known->now.rate.start_ms;
    account->rate_count = known->now.rate.count;
    account->rate_previous = known->now.rate.previous;
    return LEDGER_PAY_NEXT;
}

/* To be changed by the batch under way. NULL: no memory. */
static struct pay_stand *pay_touch(struct ledger_pay *pay, const uint8_t *id)
{
    struct ledger_pay_account **at = pay_find(pay, id);

    if (*at == NULL) {
        struct ledger_pay_account *made = hm_arena_alloc(&pay->arena, sizeof(*made));

        if (made == NULL)
            return NULL;
        *made = (struct ledger_pay_account){0};
        memcpy(made->id, id, LEDGER_ID_BYTES);
        *at = made;
    }
    struct ledger_pay_account *account = *at;
    if (account->batch != pay->batch) {
        account->batch = pay->batch;
        account->before = account->now;
        account->touched = pay->touched;
        pay->touched = account;
    }
    return &account->now;
}

void ledger_pay_undo(struct ledger_pay *pay)
{
    for (struct ledger_pay_account *account = pay->touched; account != NULL;
         account = account->touched)
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
        return hm_fail(error, HM_ENOMEM, "no memory to judge who pays");
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
    proof_rate_count(&stand->rate, pay->now_ms, pay->params->work_window_ms);
    proof_presence_next(tx->body->presence.data, tx->digest, stand->presence);
    return 0;
}
