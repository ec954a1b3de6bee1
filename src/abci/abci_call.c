/* One request to its handler and back: the safe default before, the engine's rules after. */
#include "abci_private.h"

/* What is at hand while one request is answered. The answer's message lies in its oneof already. */
struct call {
    const struct abci_handlers *handlers;
    const Hypermesh__Abci__Request *request;
    Hypermesh__Abci__Response *answer;
    struct hm_arena *arena;
    struct hm_error *error;
};

#define CALL_ABSENT 1 /* no such handler: the default stands */

/* --- handlers ----------------------------------------------------------------------------------- */

#define CALL_HANDLER(name)                                                                         \
    static int call_##name(const struct call *call)                                                \
    {                                                                                              \
        const struct abci_handlers *handlers = call->handlers;                                     \
                                                                                                   \
        if (handlers->name == NULL)                                                                \
            return CALL_ABSENT;                                                                    \
        return handlers->name(handlers->ctx, call->request->name, call->arena, call->answer->name, \
                              call->error);                                                        \
    }
#define CALL_HANDLER_BARE(name) /* of a request without content */                          \
    static int call_##name(const struct call *call)                                         \
    {                                                                                       \
        const struct abci_handlers *handlers = call->handlers;                              \
                                                                                            \
        if (handlers->name == NULL)                                                         \
            return CALL_ABSENT;                                                             \
        return handlers->name(handlers->ctx, call->arena, call->answer->name, call->error); \
    }

CALL_HANDLER(info)
CALL_HANDLER(query)
CALL_HANDLER(check_tx)
CALL_HANDLER(init_chain)
CALL_HANDLER(prepare_proposal)
CALL_HANDLER(process_proposal)
CALL_HANDLER(extend_vote)
CALL_HANDLER(verify_vote_extension)
CALL_HANDLER(finalize_block)
CALL_HANDLER_BARE(commit)
CALL_HANDLER_BARE(list_snapshots)
CALL_HANDLER(offer_snapshot)
CALL_HANDLER(load_snapshot_chunk)
CALL_HANDLER(apply_snapshot_chunk)

static int call_echo(const struct call *call)
{
    call->answer->echo->message = call->request->echo->message;
    return 0;
}

static int call_flush(const struct call *call)
{
    (void)call;
    return 0;
}

/* --- what is answered where nobody does; failed: the handler did, and its sentence is in call->error --- */

static void default_nothing(const struct call *call, int failed)
{
    (void)call;
    (void)failed;
}

static char *borrowed_text(const char *text)
{
    return (char *)(uintptr_t)text; /* protobuf-c has no const; packing only reads */
}

static void default_query(const struct call *call, int failed)
{
    Hypermesh__Abci__ResponseQuery *answer = call->answer->query;

    answer->code = failed != 0 ? (uint32_t)-failed : 1;
    answer->log = borrowed_text(failed != 0 ? call->error->text : "not supported");
}

static void default_check_tx(const struct call *call, int failed)
{
    if (failed == 0)
        return;
    call->answer->check_tx->code = (uint32_t)-failed;
    call->answer->check_tx->log = call->error->text;
}

/* What the engine's mempool gave, as far as it fits; nothing when the application failed, which may refuse them next. */
static void default_prepare(const struct call *call, int failed)
{
    const Hypermesh__Abci__RequestPrepareProposal *request = call->request->prepare_proposal;
    Hypermesh__Abci__ResponsePrepareProposal *answer = call->answer->prepare_proposal;
    size_t left = request->max_tx_bytes > 0 ? (size_t)request->max_tx_bytes : 0;
    size_t count = 0;

    if (failed != 0)
        return;
    while (count < request->n_txs && abci_tx_bytes(request->txs[count].len) <= left)
        left -= abci_tx_bytes(request->txs[count++].len);
    answer->txs = request->txs;
    answer->n_txs = count;
}

static void default_process(const struct call *call, int failed)
{
    call->answer->process_proposal->status =
        failed != 0 ? HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__REJECT
                    : HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
}

/* Also when the application failed: refusing honest votes can stop the chain. */
static void default_verify(const struct call *call, int failed)
{
    (void)failed;
    call->answer->verify_vote_extension->status =
        HYPERMESH__ABCI__RESPONSE_VERIFY_VOTE_EXTENSION__STATUS__ACCEPT;
}

static void default_offer(const struct call *call, int failed)
{
    (void)failed;
    call->answer->offer_snapshot->result = HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__ABORT;
}

static void default_apply(const struct call *call, int failed)
{
    (void)failed;
    call->answer->apply_snapshot_chunk->result =
        HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__ABORT;
}

/* --- the kinds ---------------------------------------------------------------------------------- */

struct kind {
    int (*call)(const struct call *call);
    void (*preset)(const struct call *call, int failed);
    const ProtobufCMessageDescriptor *answer;
    enum abci_group group; /* ABCI_GROUPS: none, answered here */
    bool vital; /* without the application's word the engine cannot go on */
};

#define KIND(UPPER, name, preset, of, vital) \
    [HYPERMESH__ABCI__REQUEST__VALUE_##      \
        UPPER] = {call_##name, preset, &hypermesh__abci__response_##name##__descriptor, of, vital}

static const struct kind kinds[] = {
    KIND(ECHO, echo, default_nothing, ABCI_GROUPS, false),
    KIND(FLUSH, flush, default_nothing, ABCI_GROUPS, false),
    KIND(INFO, info, default_nothing, ABCI_QUERY, true),
    KIND(INIT_CHAIN, init_chain, default_nothing, ABCI_CONSENSUS, true),
    KIND(QUERY, query, default_query, ABCI_QUERY, false),
    KIND(CHECK_TX, check_tx, default_check_tx, ABCI_CHECK, false),
    KIND(COMMIT, commit, default_nothing, ABCI_CONSENSUS, true),
    KIND(LIST_SNAPSHOTS, list_snapshots, default_nothing, ABCI_SNAPSHOT, false),
    KIND(OFFER_SNAPSHOT, offer_snapshot, default_offer, ABCI_SNAPSHOT, false),
    KIND(LOAD_SNAPSHOT_CHUNK, load_snapshot_chunk, default_nothing, ABCI_SNAPSHOT, false),
    KIND(APPLY_SNAPSHOT_CHUNK, apply_snapshot_chunk, default_apply, ABCI_SNAPSHOT, false),
    KIND(PREPARE_PROPOSAL, prepare_proposal, default_prepare, ABCI_CONSENSUS, false),
    KIND(PROCESS_PROPOSAL, process_proposal, default_process, ABCI_CONSENSUS, false),
    KIND(EXTEND_VOTE, extend_vote, default_nothing, ABCI_CONSENSUS, false),
    KIND(VERIFY_VOTE_EXTENSION, verify_vote_extension, default_verify, ABCI_CONSENSUS, false),
    KIND(FINALIZE_BLOCK, finalize_block, default_nothing, ABCI_CONSENSUS, true),
};

static const struct kind *kind_of(const Hypermesh__Abci__Request *request)
{
    size_t number = (size_t)request->value_case;

    return number < HM_COUNT_OF(kinds) && kinds[number].call != NULL ? &kinds[number] : NULL;
}

/* Puts an empty answer of the kind into the oneof, then its default. The members are pointers to messages, all at the
 * same place. */
static int answer_reset(const struct kind *kind, const struct call *call, int failed)
{
    ProtobufCMessage *message = (ProtobufCMessage *)call->answer->echo;

    if (message == NULL) {
        message = hm_arena_alloc(call->arena, kind->answer->sizeof_message);
        if (message == NULL)
            return hm_fail(call->error, HM_ENOMEM, "no memory for an answer");
    }
    protobuf_c_message_init(kind->answer, message);
    call->answer->echo = (void *)message;
    call->answer->value_case = (Hypermesh__Abci__Response__ValueCase)(call->request->value_case +
                                                                      1);
    kind->preset(call, failed);
    return 0;
}

/* A handler that failed without a sentence gets one. */
static void sentence_fill(const struct kind *kind, int rc, struct hm_error *error)
{
    if (error->text[0] == '\0')
        (void)hm_fail(error, rc, "the application failed in %s with %s", kind->answer->short_name,
                      hm_error_name(rc));
    error->code = rc;
}

static int call_checked(const struct kind *kind, const struct call *call)
{
    int rc = kind->call(call);

    if (rc >= 0) {
        *call->error = (struct hm_error){0};
        return abci_answer_check(call->request, call->answer, call->error);
    }
    sentence_fill(kind, rc, call->error);
    return rc;
}

int abci_call(const struct abci_handlers *handlers, const struct abci_core_hooks *hooks,
              const Hypermesh__Abci__Request *request, struct hm_arena *arena,
              struct abci_call_result *result, struct hm_error *error)
{
    const struct kind *kind = kind_of(request);
    const struct call call = {.handlers = handlers,
                              .request = request,
                              .answer = &result->answer,
                              .arena = arena,
                              .error = &result->note};
    bool grouped = kind != NULL && kind->group != ABCI_GROUPS;
    int rc;

    *result = (struct abci_call_result){.answer = HYPERMESH__ABCI__RESPONSE__INIT};
    if (kind == NULL)
        return hm_fail(error, HM_EPARSE, "a request of a kind that ABCI 2.0 does not have");
    rc = answer_reset(kind, &call, 0);
    if (rc == 0) {
        if (grouped && hooks->enter != NULL && !hooks->enter(hooks->ctx, kind->group))
            return hm_fail(error, HM_ECANCELLED, "the connection is being closed");
        result->used = grouped ? 1U << kind->group : 0;
        rc = call_checked(kind, &call);
        if (grouped && hooks->leave != NULL)
            hooks->leave(hooks->ctx, kind->group);
        if (rc != 0 && !kind->vital && grouped) {
            result->note.code = rc;
            return answer_reset(kind, &call, rc);
        }
    }
    if (rc != 0) {
        result->fatal = true;
        if (error != NULL)
            *error = result->note;
    }
    return rc;
}

int abci_handlers_check(const struct abci_handlers *handlers, struct hm_error *error)
{
    const char *missing = handlers->info == NULL             ? "info"
                          : handlers->finalize_block == NULL ? "finalize_block"
                          : handlers->commit == NULL         ? "commit"
                                                             : NULL;

    if (missing != NULL)
        return hm_fail(error, HM_EINVAL, "an application without the handler %s", missing);
    return 0;
}
