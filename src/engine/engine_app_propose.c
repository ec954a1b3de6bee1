/* What a block may hold: checked when an item arrives, put together when this node proposes, judged when another does.
 * Proposing and judging ask the same function, so that this node never refuses its own. */
#include "engine_app.h"

#include "engine_app_share.h"

#define PROPOSE_TELL_MS \
    UINT64_C(60000) /* at most once: what is left out of this node's proposals */
#define PROPOSE_NOTE_PART  4 /* a note is at most this part of a proposal */
#define PROPOSE_SIFT_ITEMS 64 /* at most so many are tried one by one */
#define PROPOSE_SIFT_MS    UINT64_C(250) /* or for so long */

int engine_app_items(const ProtobufCBinaryData *txs, size_t count, struct hm_arena *arena,
                     struct hm_slice **out, struct hm_error *error)
{
    struct hm_slice *items = hm_arena_alloc(arena, (count + 1) * sizeof(*items));

    if (items == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's items");
    for (size_t i = 0; i < count; i++)
        items[i] = wire_slice(txs[i]);
    *out = items;
    return 0;
}

/* --- CheckTx ----------------------------------------------------------------------------------------------- */

/* Bytes of a proposal, by the engine's count; max_tx_bytes is what it allows, 0: not known. */
static size_t propose_limit(const struct engine_app *app, int64_t max_tx_bytes)
{
    size_t limit = app->options.cometbft->block_max_bytes;

    if (limit == 0 || limit > ENGINE_PROPOSAL_MAX_BYTES)
        limit = ENGINE_PROPOSAL_MAX_BYTES;
    if (max_tx_bytes > 0 && (uint64_t)max_tx_bytes < limit)
        limit = (size_t)max_tx_bytes;
    return limit > ENGINE_APP_SPARE_BYTES ? limit - ENGINE_APP_SPARE_BYTES : 0;
}

/* What no proposal takes stays in the pool, and the engine shows a proposer nothing that lies behind it: so an item has room beside
 * any note. */
static int check_size(const struct engine_app *app, struct hm_slice item, struct hm_error *error)
{
    size_t limit = propose_limit(app, 0);

    limit -= limit / PROPOSE_NOTE_PART;
    if (abci_tx_bytes(item.len) <= limit)
        return 0;
    return hm_fail(error, HM_ELIMIT, "the batch has %zu bytes, a cluster takes at most %zu",
                   abci_tx_bytes(item.len), limit);
}

/* New: may its node have another one wait? Again, after a block: did it have a chance? */
static int check_item(struct engine_app *app, struct hm_slice item, bool again, uint64_t now_ms,
                      struct hm_error *error)
{
    struct ledger *ledger = app->options.engine->ledger;
    bool next;
    int rc = again ? 0 : engine_share_enter(app->share, item, error);

    if (rc != 0)
        return rc;
    rc = ledger_check_item_again(ledger, item, now_ms, &next, error);
    if (rc == 0)
        rc = engine_share_waits(app->share, item, next, error);
    if (rc != 0)
        engine_share_leave(app->share, item);
    return rc;
}

/* A refusal is this node's own opinion: the engine keeps the item out of its pool and tells nobody. After each block it asks
 * again of what still waits: requests for a block that is there now, and batches that no proposal will take any more, go
 * then. While anything waits the engine makes blocks. Signatures that were good are remembered. */
int engine_app_check_tx(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                        struct hm_error *error)
{
    struct engine_app *app = ctx;
    struct hm_slice item = wire_slice(request->tx);
    struct hm_error reason = {0};
    uint64_t now_ms;

    (void)error;
    int rc = engine_app_now(app, &now_ms, &reason);
    if (rc == 0)
        rc = check_size(app, item, &reason);
    if (rc == 0)
        rc = check_item(app, item, request->type == HYPERMESH__ABCI__CHECK_TX_TYPE__RECHECK, now_ms,
                        &reason);
    if (rc == 0)
        return 0;
    answer->code = (uint32_t)-rc;
    char *text = hm_arena_strdup(arena, reason.text);
    if (text != NULL)
        answer->log = text;
    return 0;
}

/* --- what a block may be ------------------------------------------------------------------------------------ */

struct propose_block {
    uint64_t height;
    struct engine_app_said said;
    uint64_t bft_ms;
    struct ledger_info previous;
    uint64_t now_ms; /* this node's own time */
    bool now_known; /* and whether it is believed */
};

/* said is filled in. */
static int propose_begin(struct engine_app *app, int64_t height, struct propose_block *out,
                         struct hm_error *error)
{
    int rc = ledger_info(app->options.engine->ledger, &out->previous, error);

    if (rc != 0)
        return rc;
    if (height <= 0 || (uint64_t)height != out->previous.height + 1)
        return hm_fail(error, HM_ECONFLICT, "block %lld is proposed, this node stands at %llu",
                       (long long)height, (unsigned long long)out->previous.height);
    out->height = (uint64_t)height;
    out->said.recovery = app->recovery;
    out->bft_ms = engine_app_time_ms(out->said.time);
    out->now_known = engine_app_now(app, &out->now_ms, NULL) == 0;
    if (!out->now_known)
        out->now_ms = out->bft_ms;
    return 0;
}

/* A batch that nobody pays for is no use to anybody, and costs nothing to whoever puts thousands of them into his blocks. */
static int propose_judge_pays(struct engine_app *app, const struct ledger_proposal *proposal,
                              struct hm_error *error)
{
    size_t first = proposal->count > 0 && ledger_item_is_note(proposal->items[0]) ? 1 : 0;

    return ledger_items_pay(app->options.engine->ledger, proposal->items + first,
                            proposal->count - first, proposal->time_ms, NULL, error);
}

/* The genesis lets a block have more, for the engine's pool's sake (ENGINE_BLOCK_MAX_BYTES). The same on every node. */
static int propose_judge_bytes(const struct hm_slice *items, size_t count, struct hm_error *error)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += abci_tx_bytes(items[i].len);
    if (bytes <= ENGINE_PROPOSAL_MAX_BYTES)
        return 0;
    return hm_fail(error, HM_ELIMIT, "the proposal has %zu bytes, at most %zu are taken", bytes,
                   ENGINE_PROPOSAL_MAX_BYTES);
}

/* The one judge of proposals. */
static int propose_judge(struct engine_app *app, const struct propose_block *block,
                         const struct hm_slice *items, size_t count, struct hm_arena *arena,
                         struct hm_error *error)
{
    struct ledger_proposal proposal = {.height = block->height, .items = items, .count = count};
    int rc = propose_judge_bytes(items, count, error);

    if (rc == 0)
        rc = engine_app_header(&block->said, &block->previous, arena, &proposal, error);
    if (rc == 0 && count > 0)
        rc = ledger_note_check(items[0], block->bft_ms, block->previous.time_ms, block->now_ms,
                               error);
    if (rc == 0)
        rc = ledger_process(app->options.engine->ledger, &proposal, error);
    return rc != 0 ? rc : propose_judge_pays(app, &proposal, error);
}

/* --- PrepareProposal ----------------------------------------------------------------------------------------- */

/* This node's note: its own time, never before the engine's or the last block's; full: and what else is due. */
static int prepare_note(struct engine_app *app, const struct propose_block *block,
                        const Hypermesh__Abci__RequestPrepareProposal *request, bool full,
                        struct hm_arena *arena, struct hm_slice *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;

    note.time_ms = block->now_known
                       ? engine_hand_pace(&app->pace, app->options.engine->clock, block->now_ms)
                       : 0;
    if (note.time_ms < block->bft_ms)
        note.time_ms = block->bft_ms;
    if (note.time_ms <= block->previous.time_ms)
        note.time_ms = block->previous.time_ms + 1;
    if (full)
        engine_app_note_fill(app, request, arena, &note);
    int rc = ledger_note_pack(&note, &packed, error);
    if (rc != 0)
        return rc;
    const uint8_t *bytes = hm_arena_dup(arena, packed.data, packed.len);
    if (bytes == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a proposal");
    *out = hm_slice_of(bytes, packed.len);
    return 0;
}

/* The batches of engine_app_fair in order, as many as fit, behind the note. */
static size_t prepare_pick(struct engine_app *app,
                           const Hypermesh__Abci__RequestPrepareProposal *request,
                           struct hm_slice *items)
{
    size_t limit = propose_limit(app, request->max_tx_bytes);
    size_t bytes = abci_tx_bytes(items[0].len);
    size_t count = 0;

    for (size_t i = 0; i < request->n_txs && count + 1 < LEDGER_BLOCK_MAX_ITEMS; i++) {
        struct hm_slice item = wire_slice(request->txs[i]);
        size_t size = abci_tx_bytes(item.len);

        if (bytes > limit || size > limit - bytes)
            break;
        bytes += size;
        items[1 + count++] = item;
    }
    if (count == 0)
        return 0;
    count = ledger_prepare(app->options.engine->ledger, items, 1 + count);
    return count > 0 ? count - 1 : 0;
}

/* Honest nodes' batches passed CheckTx: that one is left out here is worth a look, but not one at each block. */
static void prepare_tell_left_out(struct engine_app *app, const struct propose_block *block,
                                  struct hm_slice item, const struct hm_error *why)
{
    uint64_t now_ms = hm_mono_ns(app->options.engine->clock) / 1000000 + 1;
    const uint8_t *node = engine_share_node(item);
    char name[WIRE_ID_TEXT_MAX] = "nobody";

    if (app->left_out_ms != 0 && now_ms - app->left_out_ms < PROPOSE_TELL_MS)
        return;
    app->left_out_ms = now_ms;
    if (node != NULL)
        wire_account_text(node, name);
    hm_log(HM_LOG_WARN, "engine", "block %llu is proposed without a batch of node %s: %s",
           (unsigned long long)block->height, name, why->text);
}

/* What the judge does not let pass together is tried one by one; items that honest nodes take go on alone at least. Each is judged with
 * all before it, so only a few are: the others wait for this node's answer. */
static size_t prepare_sift(struct engine_app *app, const struct propose_block *block,
                           struct hm_slice *items, size_t count, struct hm_arena *arena)
{
    const struct hm_clock *clock = app->options.engine->clock;
    size_t kept = 0;

    if (propose_judge(app, block, items, 1 + count, arena, NULL) == 0)
        return count;
    uint64_t until_ns = hm_mono_ns(clock) + PROPOSE_SIFT_MS * 1000000;
    if (count > PROPOSE_SIFT_ITEMS)
        count = PROPOSE_SIFT_ITEMS;
    for (size_t i = 0; i < count && (kept == 0 || hm_mono_ns(clock) < until_ns); i++) {
        struct hm_error why = {0};

        items[1 + kept] = items[1 + i];
        if (propose_judge(app, block, items, 2 + kept, arena, &why) == 0)
            kept++;
        else
            prepare_tell_left_out(app, block, items[1 + kept], &why);
    }
    return kept;
}

/* Behind a note that says all that is due, where it takes no more than a part of the room; else, or where no batch goes on with
 * it, behind the plain one that is there. How many batches. */
static size_t prepare_fill(struct engine_app *app,
                           const Hypermesh__Abci__RequestPrepareProposal *request,
                           const struct propose_block *block, struct hm_slice *items,
                           struct hm_arena *arena)
{
    struct hm_slice plain = items[0];
    size_t count = prepare_pick(app, request, items);

    if (count > 0 && prepare_note(app, block, request, true, arena, &items[0], NULL) == 0 &&
        items[0].len > plain.len &&
        items[0].len <= propose_limit(app, request->max_tx_bytes) / PROPOSE_NOTE_PART) {
        count = prepare_sift(app, block, items, prepare_pick(app, request, items), arena);
        if (count > 0)
            return count;
    }
    items[0] = plain;
    return prepare_sift(app, block, items, prepare_pick(app, request, items), arena);
}

static int prepare_answer(const struct hm_slice *items, size_t count, struct hm_arena *arena,
                          Hypermesh__Abci__ResponsePrepareProposal *answer)
{
    ProtobufCBinaryData *txs = hm_arena_alloc(arena, (count + 1) * sizeof(*txs));

    if (txs == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < count; i++)
        txs[i] = wire_bytes(items[i].data, items[i].len);
    answer->txs = txs;
    answer->n_txs = count;
    return 0;
}

int engine_app_prepare(void *ctx, const Hypermesh__Abci__RequestPrepareProposal *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponsePrepareProposal *answer,
                       struct hm_error *error)
{
    struct engine_app *app = ctx;
    const Hypermesh__Abci__ExtendedCommitInfo *commit = request->local_last_commit;
    struct propose_block block = {.said = {.next_validators_hash = request->next_validators_hash,
                                           .proposer = request->proposer_address,
                                           .round = commit != NULL ? commit->round : 0,
                                           .time = request->time}};
    struct hm_slice *items = hm_arena_alloc(arena, (request->n_txs + 1) * sizeof(*items));
    Hypermesh__Abci__RequestPrepareProposal fair;
    uint64_t time_ms;

    if (items == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a proposal");
    int rc = propose_begin(app, request->height, &block, error);
    if (rc == 0)
        rc = prepare_note(app, &block, request, false, arena, &items[0], error);
    if (rc == 0)
        rc = ledger_note_time(items[0], block.bft_ms, block.previous.time_ms, &time_ms, error);
    if (rc != 0)
        return rc;
    size_t limit = propose_limit(app, request->max_tx_bytes);
    size_t note = abci_tx_bytes(items[0].len);
    rc = engine_app_fair(app, request, note < limit ? limit - note : 0, time_ms, arena, &fair,
                         error);
    if (rc != 0)
        return rc;
    size_t count = prepare_fill(app, &fair, &block, items, arena);
    /* Where there is no room even for the note, the block goes by the engine's time. */
    size_t skip = abci_tx_bytes(items[0].len) > limit ? 1 : 0;
    if (prepare_answer(items + skip, 1 + count - skip, arena, answer) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a proposal");
    return 0;
}

/* --- ProcessProposal ----------------------------------------------------------------------------------------- */

/* Which proposal it was, for the log. */
static int process_refused(const Hypermesh__Abci__RequestProcessProposal *request, int rc,
                           struct hm_error *error)
{
    char proposer[2 * ENGINE_ADDRESS_BYTES + 1] = "nobody";

    if (request->proposer_address.len == ENGINE_ADDRESS_BYTES)
        hm_hex_encode(request->proposer_address.data, ENGINE_ADDRESS_BYTES, proposer);
    return hm_error_prefix(error, rc, "block %lld of proposer %s", (long long)request->height,
                           proposer);
}

/* Negative is a refusal, with the reason for the log; the answer stands at ACCEPT. */
int engine_app_process(void *ctx, const Hypermesh__Abci__RequestProcessProposal *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseProcessProposal *answer,
                       struct hm_error *error)
{
    struct engine_app *app = ctx;
    struct propose_block block = {.said = {.hash = request->hash,
                                           .proposer = request->proposer_address,
                                           .next_validators_hash = request->next_validators_hash,
                                           .time = request->time,
                                           .commit = request->proposed_last_commit,
                                           .faults = request->misbehavior,
                                           .fault_count = request->n_misbehavior}};
    struct hm_slice *items;
    int rc = propose_begin(app, request->height, &block, error);

    (void)answer;
    if (rc == 0)
        rc = engine_app_items(request->txs, request->n_txs, arena, &items, error);
    if (rc == 0)
        rc = propose_judge(app, &block, items, request->n_txs, arena, error);
    if (rc != 0)
        return process_refused(request, rc, error);
    app->judged_height = block.height;
    return 0;
}
