/* The application that a cluster's engine drives: the ledger behind ABCI 2.0. Knows no socket, no queue; what happened it
 * tells its owner. Private to this room. */
#ifndef HM_ENGINE_APP_H
#define HM_ENGINE_APP_H

#include "abci.h"
#include "engine_keeper.h"
#include "engine_private.h"

/* The engine this is written for; another one is refused at its first word. */
#define ENGINE_APP_VERSION_PREFIX "0.38."
#define ENGINE_APP_ABCI_VERSION   "2.0.0"
#define ENGINE_APP_BLOCK_PROTOCOL 11

/* Validators and kinds of fault that a block's header takes. The evidence that the engine lets into a block
 * (GENESIS_EVIDENCE_MAX_BYTES, over 200 bytes for each of them) cannot name more. */
#define ENGINE_APP_FAULTS_MAX 512
/* Left free in a proposal. */
#define ENGINE_APP_SPARE_BYTES ((size_t)1024)

/* A block that is durable and that readers see; borrowed for the call. */
struct engine_app_commit {
    struct engine_block block;
    const Hypermesh__BlockRecord *record;
    const struct hm_slice *items;
    size_t count;
    uint64_t next_due_ms;
    bool validator; /* this node's key was one of those that could vote for the block before */
    unsigned rank; /* of it */
    uint64_t busy_ns; /* that this process spent on it */
};

/* A link of the chain of delays that this node offers; index 0: none. */
struct engine_app_vdf {
    uint64_t index;
    uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], proof[CRYPTO_VDF_ELEMENT_BYTES];
};

struct engine_snapshots;
struct engine_restore;
struct engine_share;
struct engine_watch;
struct engine_rounds;
struct engine_rounds_run;

struct engine_app_options {
    const struct engine_options *engine; /* borrowed */
    const struct engine_cometbft_options *cometbft; /* borrowed */
    /* An engine has begun to talk to us; version is its own. On a thread of the query group. */
    void (*on_start)(void *ctx, const char *version);
    /* The chain is there now (InitChain made it). On the consensus thread. */
    void (*on_chain)(void *ctx, const struct ledger_info *info);
    /* On the consensus thread, before the engine hears that it is committed. */
    void (*on_commit)(void *ctx, const struct engine_app_commit *commit);
    /* Another block is needed soon (a snapshot is not of use before). Any thread. */
    void (*on_wish)(void *ctx);
    /* A refusal that its answer does not tell: a line of the log, where there is room for one. Any thread; NULL is fine. */
    void (*on_refusal)(void *ctx, const struct hm_error *error);
    void (*on_failure)(void *ctx, const struct hm_error *error); /* any thread; once */
    void *ctx;
    /* Borrowed: told who votes, and when this node does. NULL: nobody looks. */
    struct engine_rounds *rounds;
    struct engine_rounds_run *rounds_run;
};

struct engine_app {
    struct engine_app_options options;
    struct abci_handlers handlers;
    struct engine_snapshots *snapshots; /* NULL: none are made */
    struct engine_restore *restore; /* the snapshot group's */
    struct engine_share *share;

    /* The consensus thread's. */
    struct engine_watch *watch;
    struct engine_keeper *keeper; /* NULL: no block log, or no chain yet */
    bool under_way; /* finalize_block began a block, and neither commit nor gone came yet */
    struct hm_arena arena; /* of the block under way */
    struct ledger_info previous; /* before it */
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    uint64_t busy_ns;
    bool validator;
    unsigned rank;
    /* Of the engine's genesis, until its first block is committed: goes into that block's header. */
    Hypermesh__EngineRecovery *recovery; /* NULL: none */
    struct hm_arena recovery_arena;
    uint64_t judged_height; /* of the newest proposal that this node let pass */
    uint64_t
        left_out_ms; /* when it last was told that batches are left out of a proposal; 0: never */
    struct engine_hand pace; /* set by the last block, where it is one of these */

    pthread_mutex_t lock; /* guards everything below */
    struct engine_hand hand;
    struct engine_app_vdf vdf;
    struct hm_error failure; /* code 0: none */
};

/* options is copied. Opens the block log when the ledger holds a chain (engine_keeper_open). */
int engine_app_open(const struct engine_app_options *options, struct engine_app **out,
                    struct hm_error *error);
/* Drops a block under way; no handler may be in a call. NULL is fine. */
void engine_app_close(struct engine_app *app);

/* --- parts, by file ------------------------------------------------------------------------------------- */
/* engine_app_header.c */
/* What the engine says of a block; ProcessProposal and FinalizeBlock have the same under other names. */
struct engine_app_said {
    ProtobufCBinaryData hash; /* 32 bytes; empty: not known yet */
    ProtobufCBinaryData proposer; /* 20 bytes; empty: not known yet */
    ProtobufCBinaryData next_validators_hash;
    const Hypermesh__Abci__Timestamp *time;
    const Hypermesh__Abci__CommitInfo *commit; /* of the block before; NULL: none */
    int32_t round; /* where commit is NULL: the one in which the block before was decided */
    Hypermesh__Abci__Misbehavior *const *faults;
    size_t fault_count;
    Hypermesh__EngineRecovery *recovery; /* of the engine's first block; NULL: none */
};
/* Fills the proposal's time, header and hash from its height, its items and what the engine says: the same bytes on every
 * node. Memory of the arena. HM_ENOMEM; HM_EINVAL: a note that is malformed; HM_EINTERNAL: more faults than there can be. */
int engine_app_header(const struct engine_app_said *said, const struct ledger_info *previous,
                      struct hm_arena *arena, struct ledger_proposal *proposal,
                      struct hm_error *error);
/* Milliseconds since 1970, rounded down; 0 for what lies before, or is absent. */
uint64_t engine_app_time_ms(const Hypermesh__Abci__Timestamp *time);

/* Where the block log begins, once there is a chain. Of whoever made it one: InitChain, or the snapshot group before there is
 * anything for the consensus group to do. */
int engine_app_keep(struct engine_app *app, struct hm_error *error);
/* This machine's time, believed: see engine_hand_time. */
int engine_app_now(struct engine_app *app, uint64_t *now_ms, struct hm_error *error);

/* engine_app_start.c: handlers info, init_chain. */
/* The ledger's genesis in what an engine's genesis has as app_state; points into it. HM_EINVAL. */
int engine_app_state_genesis(struct hm_slice app_state, struct hm_slice *genesis,
                             struct hm_error *error);
int engine_app_info(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                    Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error);
int engine_app_init_chain(void *ctx, const Hypermesh__Abci__RequestInitChain *request,
                          struct hm_arena *arena, Hypermesh__Abci__ResponseInitChain *answer,
                          struct hm_error *error);

/* engine_app_set.c */
/* As messages of the engine's, in the arena. HM_ENOMEM. */
int engine_app_set_pack(const struct ledger_validator_update *from, size_t count,
                        struct hm_arena *arena, Hypermesh__Abci__ValidatorUpdate ***out,
                        struct hm_error *error);
/* Would an engine that has this set take the changes? HM_EINTERNAL: no, and it says why; HM_ENOMEM. */
int engine_app_set_check(const struct ledger_validator_update *set, size_t count,
                         Hypermesh__Abci__ValidatorUpdate *const *updates, size_t updates_count,
                         struct hm_arena *arena, struct hm_error *error);
/* Does the engine forget a fault before the stake has left that it is to take? HM_EINVAL: it remembers longer, and there are validators. */
int engine_app_set_evidence(struct engine_app *app, const Hypermesh__Abci__ConsensusParams *params,
                            struct hm_arena *arena, struct hm_error *error);
/* The set that the engine begins with; none where the ledger knows no validators: then it is the genesis file's. */
int engine_app_set_begin(struct engine_app *app, struct hm_arena *arena,
                         Hypermesh__Abci__ResponseInitChain *answer, struct hm_error *error);
/* What the block under way changes of it. */
int engine_app_set_change(struct engine_app *app, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseFinalizeBlock *answer, struct hm_error *error);

/* engine_app_propose.c: handlers check_tx, prepare_proposal, process_proposal. */
int engine_app_check_tx(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                        struct hm_error *error);
int engine_app_prepare(void *ctx, const Hypermesh__Abci__RequestPrepareProposal *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponsePrepareProposal *answer,
                       struct hm_error *error);
int engine_app_process(void *ctx, const Hypermesh__Abci__RequestProcessProposal *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseProcessProposal *answer,
                       struct hm_error *error);
/* Items of a request as slices, in the arena. HM_ENOMEM. */
int engine_app_items(const ProtobufCBinaryData *txs, size_t count, struct hm_arena *arena,
                     struct hm_slice **out, struct hm_error *error);

/* engine_app_witness.c: handlers extend_vote, verify_vote_extension. */
int engine_app_extend(void *ctx, const Hypermesh__Abci__RequestExtendVote *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseExtendVote *answer,
                      struct hm_error *error);
int engine_app_verify(void *ctx, const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseVerifyVoteExtension *answer,
                      struct hm_error *error);
/* Adds what is due to the note, whose time is set: votes of the last commit, the link that is offered. Memory of the arena. */
void engine_app_note_fill(struct engine_app *app,
                          const Hypermesh__Abci__RequestPrepareProposal *request,
                          struct hm_arena *arena, Hypermesh__BlockNote *note);
/* engine_offer_vdf. Thread-safe. */
int engine_app_offer_vdf(struct engine_app *app, uint64_t index, struct hm_slice output,
                         struct hm_slice proof, struct hm_error *error);

/* engine_app_query.c: handler query. A refusal is the answer's code and sentence. */
int engine_app_query(void *ctx, const Hypermesh__Abci__RequestQuery *request,
                     struct hm_arena *arena, Hypermesh__Abci__ResponseQuery *answer,
                     struct hm_error *error);

/* engine_app_fair.c */
/* The request with those of its batches that have a place in a block of this time (ledger_items_pay), whoever has the fewest bytes in it
 * next, as many as are worth a look where `limit` bytes fit, by the engine's count. Memory of the arena. */
int engine_app_fair(struct engine_app *app, const Hypermesh__Abci__RequestPrepareProposal *request,
                    size_t limit, uint64_t time_ms, struct hm_arena *arena,
                    Hypermesh__Abci__RequestPrepareProposal *out, struct hm_error *error);

/* engine_app.c: handlers finalize_block, commit, gone. */
#endif
