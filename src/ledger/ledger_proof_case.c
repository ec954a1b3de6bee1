/* The four proofs of one transaction, checked again and said in words. */
#include <inttypes.h>

#include "ledger_batch.h"
#include "ledger_view.h"

struct ledger_proof_case {
    const Hypermesh__Params *params;
    char chain_id[LEDGER_CHAIN_ID_MAX_BYTES + 1];
    struct hm_arena *arena;
    struct ledger_batch batch;
    struct ledger_tx tx;
    /* What the verifiers are told. */
    Hypermesh__TxFacts facts;
    Hypermesh__Account account; /* presence, for Time */
    const Hypermesh__Account *node; /* offered: its sessions must know the batch's key; else NULL */
    uint64_t time_ms;
    const uint8_t *tx_anchor; /* NULL: out of reach */
    const uint8_t *head_anchor;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to check the proofs");
}

static int anchor_keep(struct ledger_proof_case *that, struct store_txn *txn, uint64_t last,
                       uint64_t height, const uint8_t **out, struct hm_error *error)
{
    uint8_t *buffer = hm_arena_alloc(that->arena, CRYPTO_HASH_BYTES);

    return buffer ? ledger_anchor_find(txn, that->params, last, height, buffer, out, error)
                  : no_memory(error);
}

/* Reads the batch and finds the anchors; last is the height before the block that judges. */
static int case_new(struct ledger_view *view, struct hm_slice bytes, size_t index, uint64_t last,
                    struct hm_arena *arena, struct ledger_proof_case **out, struct hm_error *error)
{
    struct ledger_proof_case *that = hm_arena_alloc(arena, sizeof *that);
    int rc;

    if (!that)
        return no_memory(error);
    that->params = view->ledger->params;
    that->arena = arena;
    memcpy(that->chain_id, view->info.chain_id, sizeof that->chain_id);
    rc = ledger_batch_read(that->params, NULL, bytes, arena, &that->batch, error);
    if (rc)
        return rc;
    if (index >= that->batch.batch->n_txs)
        return hm_fail(error, HM_ENOTFOUND,
                       "the batch has %zu transactions, there is no number "
                       "%zu",
                       that->batch.batch->n_txs, index);
    rc = ledger_batch_shape(&that->batch, that->chain_id, error);
    if (rc == 0)
        rc = ledger_tx_read(that->params, that->batch.txs[index].bytes, arena, &that->tx, error);
    if (rc == 0)
        rc = ledger_tx_shape(&that->tx, that->chain_id, that->params, error);
    if (rc)
        return rc;
    that->facts = (Hypermesh__TxFacts)HYPERMESH__TX_FACTS__INIT;
    that->account = (Hypermesh__Account)HYPERMESH__ACCOUNT__INIT;
    rc = anchor_keep(that, view->txn, last, that->tx.body->anchor_height, &that->tx_anchor, error);
    if (rc == 0)
        rc = anchor_keep(that, view->txn, last, that->batch.head->anchor_height, &that->head_anchor,
                         error);
    if (rc == 0)
        *out = that;
    return rc;
}

int ledger_proof_case_included(struct ledger_view *view, const uint8_t digest[32],
                               struct hm_arena *arena, struct ledger_proof_case **out,
                               struct hm_error *error)
{
    struct ledger_proof_case *that;
    struct ledger_found_tx found;
    const Hypermesh__TxFacts *facts;
    int rc = ledger_view_find_tx(view, digest, arena, &found, error);

    if (rc)
        return rc;
    facts = found.result->facts;
    if (!ledger_result_charged(found.result))
        return hm_fail(error, HM_ECONFLICT, "the transaction was refused: %s", found.result->text);
    rc = case_new(view, found.batch, found.location->tx, found.height - 1, arena, &that, error);
    if (rc)
        return rc;
    that->facts = *facts;
    that->account.presence = facts->presence;
    that->time_ms = found.record->time_ms;
    *out = that;
    return 0;
}

/* The largest bond that an operation needs, as far as it can be told without applying. */
static uint64_t bond_needed(const struct ledger_proof_case *that)
{
    uint64_t needed = 0;

    for (size_t i = 0; i < that->tx.body->n_ops; i++) {
        uint64_t bond = ledger_op_bond_needed(that->params, that->tx.body->ops[i]->op_case);

        if (bond > needed)
            needed = bond;
    }
    return needed;
}

int ledger_proof_case_offered(struct ledger_view *view, struct hm_slice batch, size_t tx_index,
                              uint64_t now_ms, struct hm_arena *arena,
                              struct ledger_proof_case **out, struct hm_error *error)
{
    struct ledger_proof_case *that;
    const Hypermesh__Session *session;
    Hypermesh__Account *account;
    Hypermesh__Account *node;
    int rc = case_new(view, batch, tx_index, view->info.height, arena, &that, error);

    if (rc)
        return rc;
    rc = ledger_read_account(view->txn, that->tx.body->account.data, arena, &account, error);
    if (rc)
        return rc;
    rc = ledger_read_account(view->txn, that->batch.head->node.data, arena, &node, error);
    if (rc)
        return rc;
    session = that->tx.tx->root ? NULL : ledger_tx_session(&that->tx, account);
    that->account = *account;
    that->node = node;
    that->time_ms = now_ms;
    that->facts.work_bits = ledger_account_work_bits(that->params, account, now_ms);
    that->facts.presence = account->presence;
    that->facts.bonded = account->bonded;
    that->facts.bond_needed = bond_needed(that);
    that->facts.plot = node->plot;
    /* Only read. */
    that->facts.session = (Hypermesh__Session *)(uintptr_t)session;
    *out = that;
    return 0;
}

static char *short_hex(struct hm_arena *arena, ProtobufCBinaryData bytes)
{
    char text[2 * 6 + 1];

    hm_hex_encode(bytes.data, bytes.len < 6 ? bytes.len : 6, text);
    return hm_arena_strdup(arena, text);
}

/* --- Space --- */

static const char *space_shows(const struct ledger_proof_case *that)
{
    const Hypermesh__PlotCommitment *plot = that->facts.plot;
    char node[WIRE_ID_TEXT_MAX];
    char size[32];

    wire_account_text(that->batch.head->node.data, node);
    if (!that->tx.touches_assets && that->batch.head->n_openings == 0)
        return hm_arena_printf(that->arena,
                               "WHERE: it touches no asset, so it needs and carries no Space "
                               "proof; it %s node %s",
                               that->batch.batch->signature.len > 0
                                   ? "came in through"
                                   : "names, without its signature,",
                               node);
    if (!plot)
        return hm_arena_printf(that->arena,
                               "WHERE: it came in through node %s, which has "
                               "committed no plot",
                               node);
    hm_size_format(plot->labels * PROOF_LABEL_BYTES, size);
    return hm_arena_printf(that->arena,
                           "WHERE: the entry node %s holds the %s of space it committed to: %zu "
                           "positions drawn from block %" PRIu64
                           " and these transactions were opened. It does not show that nobody "
                           "shares that space",
                           node, size, that->batch.head->n_openings,
                           that->batch.head->anchor_height);
}

static int space_check(const struct ledger_proof_case *that, struct hm_error *error)
{
    struct ledger_batch_facts facts = {.params = that->params,
                                       .chain_id = that->chain_id,
                                       .node = that->node,
                                       .now_ms = that->time_ms,
                                       .anchor_known = that->head_anchor};
    int rc = ledger_batch_time(&that->batch, &facts, error);

    if (rc)
        return rc;
    if (that->node)
        rc = ledger_batch_stake(&that->batch, &facts, error);
    else if (that->batch.head->session_key.len > 0)
        rc = proof_batch_signature_verify(that->batch.batch, that->batch.head, error);
    return rc ? rc : ledger_batch_space(&that->batch, that->params, that->facts.plot, error);
}

/* --- Stake --- */

static const char *stake_shows(const struct ledger_proof_case *that)
{
    char account[WIRE_ID_TEXT_MAX];
    char bonded[40];
    char needed[40];
    const char *key = "its root keys (Ed25519 and ML-DSA-65)";

    wire_account_text(that->tx.body->account.data, account);
    hm_decimal_format(that->facts.bonded, 9, bonded);
    hm_decimal_format(that->facts.bond_needed, 9, needed);
    if (!that->tx.tx->root) {
        const char *hex = short_hex(that->arena, that->tx.body->session_key);

        key = hm_arena_printf(that->arena, "its session key %s…, whose scope covers this",
                              hex ? hex : "");
    }
    return hm_arena_printf(that->arena,
                           "WHO: account %s signed exactly this with %s, and had %s HYPER bonded "
                           "where %s are needed",
                           account, key ? key : "", bonded, needed);
}

static int stake_check(const struct ledger_proof_case *that, struct hm_error *error)
{
    int rc = proof_signature_verify(that->tx.tx, that->tx.body, that->tx.digest, error);

    if (rc == 0)
        rc = ledger_tx_rights(&that->tx, that->facts.session, that->time_ms, error);
    return rc ? rc
              : proof_stake_verify(that->facts.bonded, that->facts.bond_needed, "do this", error);
}

/* --- Work --- */

static bool has_settle(const struct ledger_proof_case *that)
{
    for (size_t i = 0; i < that->tx.body->n_ops; i++) {
        if (that->tx.body->ops[i]->op_case == HYPERMESH__OPERATION__OP_SETTLE)
            return true;
    }
    return false;
}

static const char *work_shows(const struct ledger_proof_case *that)
{
    return hm_arena_printf(that->arena,
                           "WHAT: effort was spent on exactly this: its digest begins with %u zero "
                           "bits where the account's rate asked for %u, about %" PRIu64
                           " hashes. It is a price, not a vote%s",
                           proof_work_bits(that->tx.digest), that->facts.work_bits,
                           UINT64_C(1) << (that->facts.work_bits & 63),
                           has_settle(that)
                               ? "; the usage record and the result's digest in it can "
                                 "be refuted by running the job again"
                               : "");
}

/* --- Time --- */

static const char *time_shows(const struct ledger_proof_case *that)
{
    const char *presence = short_hex(that->arena, that->tx.body->presence);
    char when[32];

    hm_time_format_ms(that->time_ms, when);
    return hm_arena_printf(
        that->arena,
        "WHEN: after block %" PRIu64
        ", whose hash it names; as the account's next act after presence %s…; "
        "within %" PRIu64 " ms of block time %s. It is an order and a window, not a certified "
        "clock",
        that->tx.body->anchor_height, presence ? presence : "", that->params->time_window_ms, when);
}

static int time_check(const struct ledger_proof_case *that, struct hm_error *error)
{
    struct ledger_tx_facts facts = {.params = that->params,
                                    .chain_id = that->chain_id,
                                    .account = &that->account,
                                    .now_ms = that->time_ms,
                                    .anchor_known = that->tx_anchor};

    return ledger_tx_time(&that->tx, &facts, error);
}

int ledger_proof_case_check(struct ledger_proof_case *that, enum ledger_proof_kind kind,
                            const char **shows, struct hm_error *error)
{
    const char *text = NULL;
    int rc;

    switch (kind) {
    case LEDGER_PROOF_SPACE:
        rc = space_check(that, error);
        text = space_shows(that);
        break;
    case LEDGER_PROOF_STAKE:
        rc = stake_check(that, error);
        text = stake_shows(that);
        break;
    case LEDGER_PROOF_WORK:
        rc = ledger_tx_work(&that->tx, that->facts.work_bits, error);
        text = work_shows(that);
        break;
    case LEDGER_PROOF_TIME:
        rc = time_check(that, error);
        text = time_shows(that);
        break;
    default:
        return hm_fail(error, HM_EINVAL, "there is no proof number %d", (int)kind);
    }
    if (!text)
        return no_memory(error);
    if (shows)
        *shows = text;
    return rc;
}
