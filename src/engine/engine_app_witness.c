/* What goes with this node's votes, and what of the others' votes goes into the note of its proposals; the link of the chain of
 * delays that it offers. Nothing here can fail a call: what is missing is left out. */
#include "engine_app.h"
#include "engine_rounds.h"
#include "engine_watch.h"

/* Votes for a block so long before the next note that may hold some go with what this node saw: it may take as long to the next
 * block. Others go without: they would only be carried about. */
#define WITNESS_SOON_MS UINT64_C(5000)

/* --- votes ------------------------------------------------------------------------------------------------- */

/* By block times, so that a clock that is wrong keeps no vote away. */
static bool extend_soon(struct engine_app *app, const Hypermesh__Abci__RequestExtendVote *request)
{
    struct ledger *ledger = app->options.engine->ledger;
    struct ledger_info last;
    uint64_t time_ms;

    return ledger_info(ledger, &last, NULL) == 0 &&
           ledger_note_time(request->n_txs > 0 ? wire_slice(request->txs[0]) : (struct hm_slice){0},
                            engine_app_time_ms(request->time), last.time_ms, &time_ms, NULL) == 0 &&
           ledger_witness_due(ledger, time_ms + WITNESS_SOON_MS);
}

/* An empty extension is as good a vote as any. */
int engine_app_extend(void *ctx, const Hypermesh__Abci__RequestExtendVote *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseExtendVote *answer,
                      struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct engine_app *app = ctx;
    const struct engine_cometbft_options *cometbft = app->options.cometbft;
    struct hm_error why = {0};

    (void)error;
    engine_rounds_voted(app->options.rounds_run);
    if (cometbft->witness == NULL || !extend_soon(app, request) ||
        cometbft->witness(cometbft->witness_ctx, &bytes) != 0 || bytes.len == 0)
        return 0;
    if (ledger_witness_check(hm_buf_slice(&bytes), &why) != 0) {
        hm_log(HM_LOG_WARN, "engine", "what this node saw of the others is not said: %s", why.text);
        return 0;
    }
    uint8_t *copy = hm_arena_dup(arena, bytes.data, bytes.len);
    if (copy != NULL)
        answer->vote_extension = wire_bytes(copy, bytes.len);
    return 0;
}

/* A vote that is refused is lost to everybody, so that only its size counts here. What it says is judged when it is used. The answer says it:
 * a handler that fails lets every vote pass (abci.h). */
int engine_app_verify(void *ctx, const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseVerifyVoteExtension *answer,
                      struct hm_error *error)
{
    const struct engine_app *app = ctx;
    struct hm_error why = {0};

    (void)arena;
    (void)error;
    if (request->vote_extension.len <= LEDGER_WITNESS_MAX_BYTES)
        return 0;
    (void)hm_fail(&why, HM_ELIMIT, "a vote's extension has %zu bytes, at most %zu are taken",
                  request->vote_extension.len, LEDGER_WITNESS_MAX_BYTES);
    if (app->options.on_refusal != NULL)
        app->options.on_refusal(app->options.ctx, &why);
    answer->status = HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__REJECT;
    return 0;
}

/* --- notes ------------------------------------------------------------------------------------------------- */

static int witness_votes(const Hypermesh__Abci__ExtendedCommitInfo *commit, struct hm_arena *arena,
                         const Hypermesh__WitnessVote ***out, size_t *count)
{
    const Hypermesh__WitnessVote **list = hm_arena_alloc(arena,
                                                         (commit->n_votes + 1) * sizeof(*list));
    Hypermesh__WitnessVote *votes = hm_arena_alloc(arena, (commit->n_votes + 1) * sizeof(*votes));

    if (list == NULL || votes == NULL)
        return HM_ENOMEM;
    *count = 0;
    for (size_t i = 0; i < commit->n_votes; i++) {
        const Hypermesh__Abci__ExtendedVoteInfo *from = commit->votes[i];
        Hypermesh__WitnessVote *vote = &votes[*count];

        if (from->flag != HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT || from->validator == NULL ||
            from->vote_extension.len == 0)
            continue;
        hypermesh__witness_vote__init(vote);
        vote->address = from->validator->address;
        vote->extension = from->vote_extension;
        vote->signature = from->extension_signature;
        list[(*count)++] = vote;
    }
    *out = list;
    return 0;
}

/* Votes that were accepted with an extension that nobody can read. Told from here and not when they come: until the engine has taken a
 * vote, it may say any validator's address. */
static void witness_strays(struct engine_app *app,
                           const Hypermesh__Abci__RequestPrepareProposal *request)
{
    const Hypermesh__Abci__ExtendedCommitInfo *commit = request->local_last_commit;

    for (size_t i = 0; commit != NULL && i < commit->n_votes; i++) {
        const Hypermesh__Abci__ExtendedVoteInfo *vote = commit->votes[i];
        struct hm_error why = {0};

        if (vote->flag != HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT || vote->validator == NULL ||
            vote->vote_extension.len == 0)
            continue;
        int rc = ledger_witness_check(wire_slice(vote->vote_extension), &why);
        if (rc != 0 && rc != HM_ENOMEM)
            engine_watch_extension(app->watch, (uint64_t)request->height - 1,
                                   wire_slice(vote->validator->address), vote->vote_extension.len,
                                   why.text, hm_mono_ns(app->options.engine->clock) / 1000000);
    }
}

static int witness_fill(struct engine_app *app,
                        const Hypermesh__Abci__RequestPrepareProposal *request,
                        struct hm_arena *arena, Hypermesh__BlockNote *note, struct hm_error *error)
{
    const Hypermesh__Abci__ExtendedCommitInfo *commit = request->local_last_commit;
    struct ledger *ledger = app->options.engine->ledger;
    const Hypermesh__WitnessVote **votes;
    size_t count = 0;

    if (commit == NULL || commit->n_votes == 0 || !ledger_witness_due(ledger, note->time_ms))
        return 0;
    if (witness_votes(commit, arena, &votes, &count) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for votes");
    if (count == 0)
        return 0;
    return ledger_witness_choose(ledger, votes, count,
                                 commit->round > 0 ? (uint32_t)commit->round : 0,
                                 wire_slice(request->next_validators_hash), arena, note, error);
}

static int witness_link(struct engine_app *app, struct hm_arena *arena, Hypermesh__BlockNote *note,
                        struct hm_error *error)
{
    struct engine_app_vdf *offer = hm_arena_alloc(arena, sizeof(*offer));

    if (offer == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a link");
    pthread_mutex_lock(&app->lock);
    *offer = app->vdf;
    pthread_mutex_unlock(&app->lock);
    if (offer->index == 0)
        return 0;
    return ledger_vdf_choose(app->options.engine->ledger, offer->index,
                             hm_slice_of(offer->output, sizeof(offer->output)),
                             hm_slice_of(offer->proof, sizeof(offer->proof)), arena, note, error);
}

void engine_app_note_fill(struct engine_app *app,
                          const Hypermesh__Abci__RequestPrepareProposal *request,
                          struct hm_arena *arena, Hypermesh__BlockNote *note)
{
    struct hm_error why = {0};

    witness_strays(app, request);
    if (witness_fill(app, request, arena, note, &why) != 0)
        hm_log(HM_LOG_WARN, "engine", "a proposal goes without what validators saw: %s", why.text);
    why = (struct hm_error){0};
    if (witness_link(app, arena, note, &why) != 0)
        hm_log(HM_LOG_WARN, "engine", "a proposal goes without a link of the chain of delays: %s",
               why.text);
}

int engine_app_offer_vdf(struct engine_app *app, uint64_t index, struct hm_slice output,
                         struct hm_slice proof, struct hm_error *error)
{
    if (index == 0 || output.len != CRYPTO_VDF_ELEMENT_BYTES ||
        proof.len != CRYPTO_VDF_ELEMENT_BYTES)
        return hm_fail(error, HM_EINVAL,
                       "a link of the chain of delays has a number from 1 on, and output and proof "
                       "of %d bytes each",
                       CRYPTO_VDF_ELEMENT_BYTES);
    pthread_mutex_lock(&app->lock);
    app->vdf.index = index;
    memcpy(app->vdf.output, output.data, sizeof(app->vdf.output));
    memcpy(app->vdf.proof, proof.data, sizeof(app->vdf.proof));
    pthread_mutex_unlock(&app->lock);
    return 0;
}
