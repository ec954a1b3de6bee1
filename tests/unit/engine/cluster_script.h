/* A scripted engine: what CometBFT does to an application and answers on its RPC, one step at a time, in the test's
 * hands. It keeps the blocks it decided, as the engine keeps its block store, and gives them again after a restart. */
#ifndef HM_CLUSTER_SCRIPT_H
#define HM_CLUSTER_SCRIPT_H

#include "engine_fixture.h"

#include "abci.h"

#define SCRIPT_BLOCKS_MAX 256
#define SCRIPT_ITEMS_MAX  512

/* What its RPC does with the next requests. */
enum script_mood {
    SCRIPT_GOOD,
    SCRIPT_FULL, /* "mempool is full" */
    SCRIPT_REFUSES, /* CheckTx says no */
    SCRIPT_DROPS, /* takes the item, but the connection ends without an answer */
    SCRIPT_FORGETS, /* says yes, and no block ever has it */
    SCRIPT_MUTE, /* never answers */
    SCRIPT_RUBBISH, /* answers something that is no HTTP */
};

struct script_rpc {
    char path[100];
    pthread_t thread;
    bool open;
    int listener, stop[2];
    pthread_mutex_t calls; /* guards the next, and is held while it is called */
    const struct abci_handlers *handlers; /* for CheckTx; NULL: it died, and nothing is checked */
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    enum script_mood mood;
    unsigned mood_left; /* for so many broadcasts; then SCRIPT_GOOD */
    _Atomic bool chunked; /* answers in chunks */
    _Atomic bool retired; /* this node does not vote for the next block */
    _Atomic bool no_commits; /* never answers /commit */
    _Atomic bool no_status; /* nor /status */
    _Atomic unsigned unanswered; /* so often not */
    _Atomic bool impatient; /* closes after each answer, without saying so */
    unsigned broadcasts, taken, notes; /* counted; notes: requests for a block among them */
    struct hm_buf items[SCRIPT_ITEMS_MAX]; /* its mempool */
    size_t item_count;
    struct hm_buf cache[SCRIPT_ITEMS_MAX]; /* everything seen since its start */
    size_t cache_count;
    char answer_commit[65536],
        answer_validators[65536]; /* results of /commit and /validators; "": none */
    char answer_round[65536]; /* of /consensus_state; "": none */
    _Atomic unsigned rounds; /* so often asked for, and given */
};

struct script_block {
    uint64_t height, bft_ms;
    uint8_t hash[32];
    struct hm_slice *items; /* in the script's arena */
    size_t count;
    bool finalized, committed; /* by the application, as far as the engine knows */
    uint8_t app_hash[32];
};

#define SCRIPT_SET_MAX 16
/* A validator, or a change of one, as the application tells it. */
struct script_member {
    uint8_t key[32];
    int64_t power;
};
struct script_set {
    struct script_member list[SCRIPT_SET_MAX];
    size_t count;
};

struct script {
    struct engine_fixture fix;
    struct engine_cometbft_options cometbft;
    char dir[64];
    struct hm_arena arena;
    struct script_rpc rpc;
    const struct abci_handlers *handlers;
    struct abci_core *consensus, *query; /* NULL: the engine does not run */
    unsigned logged;
    struct hm_error log; /* last refusal that was logged */

    uint64_t initial_height;
    uint64_t bft_ms; /* of the next block; grows by itself */
    struct script_block blocks[SCRIPT_BLOCKS_MAX]; /* its block store */
    size_t block_count;
    /* What a test may change before the handshake. */
    const char *chain_id, *version, *abci_version;
    uint64_t app_version;
    struct hm_buf app_state; /* JSON value */
    int64_t max_tx_bytes;
    bool absent; /* nobody voted for the block before */
    bool nil; /* who voted, voted for none */
    Hypermesh__Abci__Misbehavior **faults; /* that it says with the next blocks */
    size_t fault_count;
    uint64_t evidence_ms; /* how long its genesis has it remember faults; 0: not said */
    int32_t round; /* in which it was decided */
    Hypermesh__Abci__ExtendedCommitInfo *votes; /* for it, with extensions; NULL: none */
    struct script_set begun; /* what InitChain was answered */
    struct script_set changed; /* what the last FinalizeBlock was */
    const uint8_t *set_hash; /* next_validators_hash that it says; NULL: any */
    /* Allocations of the application's calls (not of the script's own): this one of each decided block or proposal
     * fails; 0: none. alloc_hits: how many did. */
    unsigned long alloc_fail, alloc_hits;
    bool may_break, broken; /* a proposal's connection may end; it did */
};

/* The fixture's chain, which is one node's so far, and a new cometbft engine over it; the scripted engine's RPC listens, but
 * it has said nothing yet. options may be changed between init and start. */
void script_init(struct script *script, const char *lmdb_path, const char *log_path);
void script_start(struct script *script);
void script_release(struct script *script);

/* A test of one script, for cmocka: made before it, released after. */
int script_setup(void **state);
int script_teardown(void **state);
#define script_test(function, script) \
    cmocka_unit_test_prestate_setup_teardown(function, script_setup, script_teardown, script)

void script_rpc_open(struct script *script);
void script_rpc_close(struct script *script);
void script_mood(struct script *script, enum script_mood mood, unsigned times);
/* Waits until that many items lie in its mempool (or were broadcast). */
void script_wait_items(struct script *script, size_t count);
void script_wait_broadcasts(struct script *script, unsigned count);
unsigned script_broadcasts(struct script *script);
unsigned script_notes(struct script *script);
/* As another node's would come, without its RPC. */
void script_add_item(struct script *script, struct hm_slice item);

/* One request on a connection. NULL: the connection is to be closed; *error says why. The answer is in script->arena. */
const Hypermesh__Abci__Response *script_call(struct script *script, struct abci_core *core,
                                             const Hypermesh__Abci__Request *request,
                                             struct hm_error *error);

/* Opens its connections and does the handshake: Info, InitChain when it must, the blocks that the application has not got.
 * 0, or what the application failed with. The application's answers are checked against what it answered before. */
int script_handshake(struct script *script, struct hm_error *error);
void script_handshake_good(struct script *script); /* fails the test otherwise */
/* It dies: connections end, its mempool and cache are empty after. */
void script_die(struct script *script);

enum script_stop {
    SCRIPT_WHOLE,
    SCRIPT_AFTER_PREPARE, /* the round ends with another proposal */
    SCRIPT_AFTER_PROCESS,
    SCRIPT_AFTER_STORE, /* decided, FinalizeBlock never called */
    SCRIPT_AFTER_FINALIZE,
    SCRIPT_AFTER_COMMIT, /* the engine does not know any more that Commit was answered */
};
/* One height with what lies in the mempool: PrepareProposal, ProcessProposal, FinalizeBlock, Commit. */
struct script_block *script_run(struct script *script, enum script_stop stop);
/* The same with these items as they are, decided by others. 0, or what the application failed with. */
int script_decide(struct script *script, const struct hm_slice *items, size_t count,
                  enum script_stop stop, struct hm_error *error);
/* ACCEPT? */
bool script_accepts(struct script *script, const struct hm_slice *items, size_t count);
void script_info(struct script *script, uint64_t *height, uint8_t root[32]);

/* A submit whose answer fails the test when it is refused at once. */
struct engine_answer *script_submit(struct script *script, enum fixture_role from);
struct ledger_info script_ledger(struct script *script);
/* A note with a time, as an item. */
struct hm_slice script_note(struct script *script, uint64_t time_ms);

#endif
