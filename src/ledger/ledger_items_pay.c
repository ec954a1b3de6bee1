/* Which batches of a proposal would be paid for: the one judge of them, for who proposes and for who is proposed to.
 *
 * Fees are looked at one by one, against what accounts have after the last block: an account that has enough for one act but
 * not for two may be in two batches. */
#include "ledger_check_item.h"

#define PAY_BUCKETS 1024 /* a power of two */

/* A presence that some account has after a batch which has a place. */
struct pay_presence {
    struct pay_presence *next;
    uint8_t presence[CRYPTO_HASH_BYTES];
};

struct pay_walk {
    struct ledger_item_check check;
    const struct hm_slice *items;
    const bool *pays;
    size_t at; /* the batch that is judged */
    size_t known; /* of those before it so many were looked through: only when somebody asks */
    struct hm_arena presences_arena;
    struct pay_presence *presences[PAY_BUCKETS];
    bool no_memory;
};

static struct pay_presence **pay_find(struct pay_walk *walk, const uint8_t *presence)
{
    struct pay_presence **at = &walk->presences[hm_get_be32(presence) & (PAY_BUCKETS - 1)];

    while (*at != NULL && memcmp((*at)->presence, presence, CRYPTO_HASH_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

/* What comes after this transaction, if it comes at all. */
static void pay_follow(struct pay_walk *walk, const struct ledger_tx *tx,
                       const Hypermesh__Account *account)
{
    uint8_t next[CRYPTO_HASH_BYTES];

    if (!ledger_item_check_is_next(tx, account) && *pay_find(walk, tx->body->presence.data) == NULL)
        return;
    proof_presence_next(tx->body->presence.data, tx->digest, next);
    struct pay_presence **at = pay_find(walk, next);
    if (*at != NULL)
        return;
    *at = hm_arena_alloc(&walk->presences_arena, sizeof(**at));
    if (*at == NULL)
        walk->no_memory = true;
    else
        memcpy((*at)->presence, next, sizeof(next));
}

/* A batch that was judged, once more, for all of its transactions. */
static void pay_look_through(struct pay_walk *walk, struct hm_slice item)
{
    struct ledger_item_check look = {.ledger = walk->check.ledger,
                                     .txn = walk->check.txn,
                                     .info = walk->check.info,
                                     .now_ms = walk->check.now_ms};
    Hypermesh__Account *account;
    struct ledger_tx tx;

    hm_arena_init(&look.arena, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&look.scratch, LEDGER_TX_ARENA_BYTES);
    int rc = ledger_batch_read(look.ledger->params, &look.ledger->seen, item, &look.arena,
                               &look.batch, NULL);
    for (size_t i = 0; rc == 0 && i < look.batch.batch->n_txs && !walk->no_memory; i++) {
        rc = ledger_item_check_read(&look, &look.batch.txs[i], &tx, &account, NULL);
        if (rc == 0)
            pay_follow(walk, &tx, account);
        else if (rc != HM_ENOMEM)
            rc = 0;
    }
    walk->no_memory |= rc == HM_ENOMEM;
    hm_arena_release(&look.scratch);
    hm_arena_release(&look.arena);
}

static bool pay_follows(void *ctx, const struct ledger_tx *tx, const Hypermesh__Account *account)
{
    struct pay_walk *walk = ctx;

    if (ledger_item_check_is_next(tx, account))
        return true;
    for (; walk->known < walk->at && !walk->no_memory; walk->known++)
        if (walk->pays == NULL || walk->pays[walk->known])
            pay_look_through(walk, walk->items[walk->known]);
    return *pay_find(walk, tx->body->presence.data) != NULL;
}

static int pay_judge(struct pay_walk *walk, size_t count, bool *pays, struct hm_error *error)
{
    for (walk->at = 0; walk->at < count; walk->at++) {
        struct hm_error why = {0};
        int rc = ledger_item_check_batch(&walk->check, walk->items[walk->at], &why);

        if (walk->no_memory)
            rc = hm_fail(&why, HM_ENOMEM, "no memory to judge a proposal");
        if (rc != 0 && (pays == NULL || hm_error_is_fatal(rc))) {
            if (error != NULL)
                *error = why;
            return rc;
        }
        if (pays != NULL)
            pays[walk->at] = rc == 0;
    }
    return 0;
}

int ledger_items_pay(struct ledger *ledger, const struct hm_slice *items, size_t count,
                     uint64_t time_ms, bool *pays, struct hm_error *error)
{
    struct pay_walk *walk = hm_calloc(1, sizeof(*walk));

    if (walk == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to judge a proposal");
    walk->check = (struct ledger_item_check){
        .ledger = ledger, .now_ms = time_ms, .follows = pay_follows, .ctx = walk};
    walk->items = items;
    walk->pays = pays;
    int rc = ledger_info(ledger, &walk->check.info, error); /* with the chain's name */
    if (rc == 0)
        rc = store_begin_read(ledger->store, &walk->check.txn, error);
    if (rc == 0) {
        hm_arena_init(&walk->check.arena, LEDGER_TX_ARENA_BYTES);
        hm_arena_init(&walk->check.scratch, LEDGER_TX_ARENA_BYTES);
        hm_arena_init(&walk->presences_arena, 0);
        rc = ledger_read_info(walk->check.txn, &walk->check.info, error);
        if (rc == 0)
            rc = pay_judge(walk, count, pays, error);
        hm_arena_release(&walk->presences_arena);
        hm_arena_release(&walk->check.scratch);
        hm_arena_release(&walk->check.arena);
        store_abort(walk->check.txn);
    }
    hm_free(walk);
    return rc;
}
