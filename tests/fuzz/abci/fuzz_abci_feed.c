/* Any bytes as what an engine sends, whole and in pieces: the same calls' answers both times, each well formed, of the kind
 * that was asked for, and one the engine's rules take. First byte: whether the application has all handlers, how they
 * answer, and how long the pieces are. */
#include <stdlib.h>

#include "abci_private.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

struct app {
    unsigned mood; /* 0: well behaved */
    unsigned calls;
    unsigned failed;
    unsigned gone;
};

/* What a call returns: 0, or now and then a failure, with or without a sentence. */
static int outcome(struct app *app, struct hm_error *error)
{
    app->calls++;
    if (app->mood == 0 || app->calls % 5 != app->mood)
        return 0;
    return app->calls % 2 ? HM_EINTERNAL : hm_fail(error, HM_ECONFLICT, "as it likes");
}

#define BLAND(name, Name)                                                                    \
    static int bland_##name(void *ctx, const Hypermesh__Abci__Request##Name *request,        \
                            struct hm_arena *arena, Hypermesh__Abci__Response##Name *answer, \
                            struct hm_error *error)                                          \
    {                                                                                        \
        (void)request;                                                                       \
        (void)arena;                                                                         \
        (void)answer;                                                                        \
        return outcome(ctx, error);                                                          \
    }
BLAND(info, Info)
BLAND(check_tx, CheckTx)
BLAND(init_chain, InitChain)
BLAND(process_proposal, ProcessProposal)
BLAND(verify_vote_extension, VerifyVoteExtension)
BLAND(apply_snapshot_chunk, ApplySnapshotChunk)

/* Gives back what it was given: what was read must be readable to its end. */
static int echo_query(void *ctx, const Hypermesh__Abci__RequestQuery *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseQuery *answer,
                      struct hm_error *error)
{
    answer->value = wire_bytes(request->data.data, request->data.len);
    answer->log = hm_arena_strdup(arena, request->path);
    require(hm_utf8_valid(request->path, strlen(request->path)));
    return outcome(ctx, error);
}

static int echo_prepare(void *ctx, const Hypermesh__Abci__RequestPrepareProposal *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponsePrepareProposal *answer,
                        struct hm_error *error)
{
    size_t votes = 0;

    (void)arena;
    for (size_t i = 0; i < request->local_last_commit->n_votes; i++)
        votes += request->local_last_commit->votes[i]->validator->address.len;
    answer->txs = request->txs; /* may be more than fit */
    answer->n_txs = request->n_txs;
    return votes == SIZE_MAX ? HM_EINTERNAL : outcome(ctx, error);
}

static int echo_extend(void *ctx, const Hypermesh__Abci__RequestExtendVote *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseExtendVote *answer,
                       struct hm_error *error)
{
    (void)arena;
    answer->vote_extension = wire_bytes(request->hash.data, request->hash.len);
    return outcome(ctx, error);
}

/* A result for each transaction, except in some moods; power for the misbehaving. */
static int finalize(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                    struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                    struct hm_error *error)
{
    struct app *app = ctx;
    Hypermesh__Abci__ExecTxResult *results = hm_arena_alloc(arena,
                                                            request->n_txs * sizeof(*results));

    answer->tx_results = hm_arena_alloc(arena, request->n_txs * sizeof(void *));
    if (results == NULL || answer->tx_results == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    for (size_t i = 0; i < request->n_txs; i++) {
        hypermesh__abci__exec_tx_result__init(&results[i]);
        results[i].data = request->txs[i];
        answer->tx_results[i] = &results[i];
    }
    answer->n_tx_results = request->n_txs - (size_t)(app->mood == 3 && request->n_txs > 2);
    answer->app_hash = wire_bytes(request->hash.data, request->hash.len);
    for (size_t i = 0; i < request->n_misbehavior; i++)
        require(request->misbehavior[i]->validator != NULL &&
                request->misbehavior[i]->time != NULL);
    return outcome(ctx, error);
}

static int commit(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                  struct hm_error *error)
{
    (void)arena;
    answer->retain_height = -1;
    return outcome(ctx, error);
}

static int list_snapshots(void *ctx, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error)
{
    Hypermesh__Abci__Snapshot *snapshot = hm_arena_alloc(arena, sizeof(*snapshot));

    require(snapshot != NULL);
    hypermesh__abci__snapshot__init(snapshot);
    snapshot->height = 1;
    snapshot->chunks = ((struct app *)ctx)->mood % 2;
    snapshot->hash = wire_bytes("h", 1);
    answer->snapshots = hm_arena_dup(arena, &snapshot, sizeof(snapshot));
    answer->n_snapshots = 1;
    return outcome(ctx, error);
}

static int offer(void *ctx, const Hypermesh__Abci__RequestOfferSnapshot *request,
                 struct hm_arena *arena, Hypermesh__Abci__ResponseOfferSnapshot *answer,
                 struct hm_error *error)
{
    (void)arena;
    answer->result = (Hypermesh__Abci__ResponseOfferSnapshot__Result)request->snapshot->format;
    return outcome(ctx, error);
}

static int load(void *ctx, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                struct hm_arena *arena, Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                struct hm_error *error)
{
    size_t len = request->chunk % 5000;

    answer->chunk = wire_bytes(hm_arena_alloc(arena, len), len);
    return outcome(ctx, error);
}

static void gone(void *ctx)
{
    ((struct app *)ctx)->gone++;
}

static void failed(void *ctx, const struct hm_error *error)
{
    require(error->code < 0 && error->text[0] != '\0');
    ((struct app *)ctx)->failed++;
}

static struct abci_handlers handlers_of(struct app *app, int all)
{
    struct abci_handlers handlers = {.info = bland_info,
                                     .finalize_block = finalize,
                                     .commit = commit,
                                     .gone = gone,
                                     .failed = failed,
                                     .ctx = app};

    if (all) {
        handlers.query = echo_query;
        handlers.check_tx = bland_check_tx;
        handlers.init_chain = bland_init_chain;
        handlers.prepare_proposal = echo_prepare;
        handlers.process_proposal = bland_process_proposal;
        handlers.extend_vote = echo_extend;
        handlers.verify_vote_extension = bland_verify_vote_extension;
        handlers.list_snapshots = list_snapshots;
        handlers.offer_snapshot = offer;
        handlers.load_snapshot_chunk = load;
        handlers.apply_snapshot_chunk = bland_apply_snapshot_chunk;
    }
    return handlers;
}

/* Feeds it in pieces of that length; what was answered goes to out. */
static int play(const struct app *like, int all, struct hm_slice bytes, size_t piece,
                struct hm_buf *out)
{
    struct app app = *like;
    const struct abci_handlers handlers = handlers_of(&app, all);
    struct abci_core *core = NULL;
    struct hm_error error = {0};
    int rc = 0;
    bool flush;

    require(abci_core_new(&handlers, NULL, &core, NULL) == 0);
    while (bytes.len > 0 && rc == 0) {
        size_t len = piece < bytes.len ? piece : bytes.len;
        struct hm_slice answers;

        rc = abci_core_feed(core, hm_slice_of(bytes.data, len), &error);
        bytes = hm_slice_of(bytes.data + len, bytes.len - len);
        answers = abci_core_out(core, &flush);
        require(hm_buf_append(out, answers.data, answers.len) == 0);
        abci_core_take(core, answers.len);
    }
    require(rc <= 0 && error.code == rc);
    if (rc != 0)
        require(abci_core_feed(core, bytes, NULL) == rc && abci_core_out(core, &flush).len == 0);
    require(app.failed == (rc != 0 && rc != HM_EPARSE && rc != HM_ELIMIT) || app.mood != 0);
    require(app.failed <= 1 && app.gone == 0);
    abci_core_free(core);
    require(app.gone <= 1);
    return rc;
}

/* Each answer against the request in its place. */
static void check(struct hm_slice requests, struct hm_slice answers)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_slice asked = {0}, told = {0};

    hm_arena_init(&arena, ABCI_ARENA_MAX_BYTES);
    while (abci_frame_parse(answers, &told, NULL) == 1) {
        Hypermesh__Abci__Response *answer = NULL;
        ProtobufCMessage *request = NULL;

        require(abci_frame_parse(requests, &asked, NULL) == 1);
        require(abci_read(&hypermesh__abci__request__descriptor, asked, &arena, &request, NULL) ==
                0);
        require(WIRE_UNPACK(hypermesh__abci__response, told, ABCI_MESSAGE_MAX_BYTES, &arena,
                            &answer, NULL) == 0);
        require(abci_answer_check((const Hypermesh__Abci__Request *)request, answer, NULL) == 0);
        requests.len -= (size_t)(asked.data + asked.len - requests.data);
        requests.data = asked.data + asked.len;
        answers.len -= (size_t)(told.data + told.len - answers.data);
        answers.data = told.data + told.len;
    }
    require(answers.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
    HM_CLEANUP(hm_buf) struct hm_buf pieces = {0};
    struct hm_slice bytes;
    struct app app = {0};
    int all, rc;

    if (size == 0)
        return 0;
    all = data[0] & 1;
    app.mood = data[0] >> 1 & 3;
    bytes = hm_slice_of(data + 1, size - 1);
    rc = play(&app, all, bytes, size, &whole);
    require(play(&app, all, bytes, (size_t)(1 + (data[0] >> 3)), &pieces) == rc);
    require(hm_slice_equal(hm_buf_slice(&whole), hm_buf_slice(&pieces)));
    check(bytes, hm_buf_slice(&whole));
    return 0;
}
