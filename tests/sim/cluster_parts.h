/* Shared by the files of the cluster simulator; nobody else includes it. */
#ifndef CLUSTER_PARTS_H
#define CLUSTER_PARTS_H

#include "cluster_world.h"
#include "crypto.h"

#define CLUSTER_FAULTS_MAX 4

struct cluster_validator {
    uint8_t key[32], address[20];
    int64_t power, priority;
    unsigned node;
};
struct cluster_set { /* power descending, then address ascending */
    unsigned count;
    struct cluster_validator validator[CLUSTER_NODES_MAX];
};

struct cluster_vote { /* a precommit for its block, by index in the set */
    Hypermesh__Abci__BlockIdFlag flag;
    uint64_t time_ms;
    struct hm_buf extension;
    uint8_t signature[64];
};

struct cluster_fault {
    struct cluster_validator validator;
    uint64_t height, time_ms;
    int64_t total;
};

struct cluster_block {
    uint64_t height, time_ms;
    unsigned round, proposer; /* node */
    bool nonsense;
    uint8_t hash[32];
    size_t count;
    ProtobufCBinaryData *txs; /* each its own */
    unsigned last_round;
    Hypermesh__Abci__BlockIdFlag
        last_flags[CLUSTER_NODES_MAX]; /* by index in the set of height - 1 */
    unsigned faults;
    struct cluster_fault fault[CLUSTER_FAULTS_MAX];
    struct cluster_vote vote[CLUSTER_NODES_MAX];
    /* What the first node said of it; all others must say the same. */
    bool executed;
    unsigned executed_by;
    uint8_t app_hash[32], results_hash[32], updates_hash[32];
    uint8_t *codes; /* 0: result code 0 */
};

struct cluster_node {
    void *seat;
    struct abci_handlers handlers;
    struct hm_clock clock;
    struct cluster_world *world;
    int64_t skew_ms;
    struct cluster_validator self; /* its key; power means nothing here */
    struct crypto_ed25519_key signer;
    bool member; /* has joined; else it is to come */
    bool online; /* engine and application run */
    bool app_up; /* the application runs, maybe without its engine */
    bool lies; /* its engine does what it likes; its application is honest */
    uint64_t store; /* highest block in its engine's store */
    uint64_t base; /* the lowest */
    uint64_t answered; /* highest whose finalize_block its engine has the answer of */
    unsigned group; /* only nodes of one group reach each other */
};

struct cluster_tx {
    struct hm_buf bytes;
    bool decided, acknowledged;
    bool update, tick; /* tick: what a node asked a block with; nobody waits for it */
    uint64_t height; /* that decided it */
    uint32_t pooled; /* bit a node */
    unsigned tries, refusals;
};

struct cluster_world {
    const struct cluster_kind *kind;
    void *app_world;
    struct cluster_genesis genesis;
    struct cluster_totals *totals;
    struct hm_random dice;
    struct hm_random_seeded dice_state;
    uint64_t now_ms, began_ms;
    unsigned nodes;
    struct cluster_node node[CLUSTER_NODES_MAX];
    uint64_t top; /* highest decided */
    struct cluster_block *block[CLUSTER_HEIGHTS_MAX + 1];
    struct cluster_set set[CLUSTER_HEIGHTS_MAX + 4]; /* of each height */
    uint64_t sets_known;
    bool genesis_known;
    uint8_t genesis_hash[32]; /* app hash of height 0 */
    struct cluster_block *valid; /* of height top + 1: more than two thirds prevoted it */
    size_t txs;
    struct cluster_tx tx[CLUSTER_TXS_MAX];
    unsigned pending_faults;
    struct cluster_fault pending[CLUSTER_FAULTS_MAX];
    unsigned empty_changes; /* blocks without content that changed the root, one after the other */
    uint32_t crash_ppm; /* before and after each call */
    int64_t max_tx_bytes;
    bool calm; /* the end of a run: nothing bad happens any more */
    bool trace, failed;
    char *why;
    struct hm_arena arena; /* requests and answers of the present height */
};

/* --- cluster_world.c */
void cluster_fail(struct cluster_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cluster_tell(const struct cluster_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t cluster_below(struct cluster_world *world, uint64_t limit); /* 0 .. limit - 1 */
bool cluster_chance(struct cluster_world *world, unsigned percent);
void *cluster_alloc(struct cluster_world *world, size_t size); /* of the arena, zeroed */
uint64_t cluster_node_ms(const struct cluster_node *node); /* what it takes for now */
void cluster_order(struct cluster_world *world,
                   unsigned order[CLUSTER_NODES_MAX]); /* all nodes, mixed */

/* --- cluster_set.c */
int64_t cluster_set_total(const struct cluster_set *set);
/* By index; negative: it is no validator then. */
int cluster_set_find(const struct cluster_set *set, unsigned node);
void cluster_set_sort(struct cluster_set *set);
/* Who proposes in that round, as an index. */
unsigned cluster_set_proposer(const struct cluster_set *set, unsigned round);
void cluster_set_advance(struct cluster_set *set); /* one height on */
/* As the engine's headers name it. */
void cluster_set_hash(const struct cluster_set *set, uint8_t out[32]);
/* The set two heights on, by the updates of an answer that keeps the rules. */
void cluster_set_learn(struct cluster_world *world, uint64_t height,
                       Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count);

/* --- cluster_rules.c: 0, or a sentence says what the engine would do */
size_t cluster_rule_bytes(const ProtobufCBinaryData *txs, size_t count);
const char *cluster_rule_proposal(const Hypermesh__Abci__RequestPrepareProposal *request,
                                  const Hypermesh__Abci__ResponsePrepareProposal *answer);
const char *cluster_rule_finalize(const struct cluster_set *next,
                                  const Hypermesh__Abci__RequestFinalizeBlock *request,
                                  const Hypermesh__Abci__ResponseFinalizeBlock *answer);
const char *cluster_rule_updates(const struct cluster_set *set,
                                 Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count);

/* --- cluster_call.c: a call to one node's application. The answer is of the arena. */
enum cluster_call { CLUSTER_ANSWERED, CLUSTER_CRASHED, CLUSTER_FAILED };
void cluster_crash(struct cluster_world *world, unsigned node);
enum cluster_call cluster_call_info(struct cluster_world *world, unsigned node,
                                    Hypermesh__Abci__ResponseInfo *answer);
enum cluster_call cluster_call_init(struct cluster_world *world, unsigned node);
enum cluster_call cluster_call_check(struct cluster_world *world, unsigned node, struct hm_slice tx,
                                     bool again, bool *taken);
enum cluster_call cluster_call_prepare(struct cluster_world *world, unsigned node,
                                       const Hypermesh__Abci__RequestPrepareProposal *request,
                                       Hypermesh__Abci__ResponsePrepareProposal *answer);
enum cluster_call cluster_call_process(struct cluster_world *world, unsigned node,
                                       const Hypermesh__Abci__RequestProcessProposal *request,
                                       bool *accepted);
enum cluster_call cluster_call_extend(struct cluster_world *world, unsigned node,
                                      const Hypermesh__Abci__RequestExtendVote *request,
                                      struct hm_slice *extension);
enum cluster_call cluster_call_verify(struct cluster_world *world, unsigned node,
                                      const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                                      bool *accepted);
enum cluster_call cluster_call_finalize(struct cluster_world *world, unsigned node,
                                        const Hypermesh__Abci__RequestFinalizeBlock *request,
                                        Hypermesh__Abci__ResponseFinalizeBlock *answer);
enum cluster_call cluster_call_commit(struct cluster_world *world, unsigned node,
                                      Hypermesh__Abci__ResponseCommit *answer);

/* --- cluster_block.c */
void cluster_block_free(struct cluster_block *block);
void cluster_request_times(struct cluster_world *world, uint64_t time_ms,
                           Hypermesh__Abci__Timestamp **out);
Hypermesh__Abci__Misbehavior **cluster_request_faults(struct cluster_world *world,
                                                      const struct cluster_fault *faults,
                                                      unsigned count);
Hypermesh__Abci__CommitInfo *cluster_request_commit(struct cluster_world *world,
                                                    const struct cluster_block *block);
ProtobufCBinaryData cluster_request_next(struct cluster_world *world, uint64_t height);
void cluster_request_process(struct cluster_world *world, const struct cluster_block *block,
                             Hypermesh__Abci__RequestProcessProposal *out);
void cluster_request_extend(struct cluster_world *world, const struct cluster_block *block,
                            Hypermesh__Abci__RequestExtendVote *out);
/* Saves the block in the node's store, and has its application finalize and commit it. */
enum cluster_call cluster_apply(struct cluster_world *world, unsigned node,
                                struct cluster_block *block);
/* Applies what the node lacks. */
enum cluster_call cluster_catch_up(struct cluster_world *world, unsigned node);

/* --- cluster_height.c */
/* Has any group of nodes a block to make, and can it? Then tries to. */
void cluster_height(struct cluster_world *world);
bool cluster_wants_block(const struct cluster_world *world);

/* --- cluster_start.c */
void cluster_start(struct cluster_world *world,
                   unsigned node); /* after a crash, or for the first time */
void cluster_join(struct cluster_world *world,
                  unsigned node); /* with an empty disk, by a snapshot */

#endif
