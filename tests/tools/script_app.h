/* An application without a ledger, behind struct abci_handlers, for tests of what orders blocks: its state is a hash chain
 * over the transactions that were applied, and the validators.
 *
 * Transactions are text: "add:ANYTHING" (applied once: again is a result with code 2), "val:HEX KEY:POWER" (64 digits; power 0
 * leaves; what the engine would not take, or moves over a third of the power in one block, is a result with code 3).
 * A block without transactions changes nothing. It has vote extensions (its clock), snapshots in chunks that are checked
 * one by one, and may execute a proposal before it is final, as the real application does.
 *
 * A `mutant` is the same application with one mistake, to see that a test finds it. */
#ifndef SCRIPT_APP_H
#define SCRIPT_APP_H

#include "abci.h"

#define SCRIPT_VALIDATORS_MAX      64
#define SCRIPT_CHUNK_DIGESTS       16 /* of one chunk of a snapshot */
#define SCRIPT_SNAPSHOTS_MAX       2
#define SCRIPT_EXTENSION_MAX_BYTES 65536
#define SCRIPT_TX_MAX_BYTES        (1 << 20)

#define SCRIPT_MUTANTS(X)                                                  \
    X(NONE, "")                                                            \
    X(NODE_IN_ROOT, "the root depends on which node it is")                \
    X(CLOCK_IN_ROOT, "the root depends on the node's own clock")           \
    X(PROPOSER_IN_ROOT, "the root depends on who asked for the proposal")  \
    X(LOST_TX, "some transactions are answered with 0 and not applied")    \
    X(NEVER_IDLE, "an empty block changes the root")                       \
    X(FEW_RESULTS, "a result is missing")                                  \
    X(UPDATE_TWICE, "a validator is updated twice in one block")           \
    X(UPDATE_MISSING, "a validator that is not there is removed")          \
    X(UPDATE_NEGATIVE, "a validator gets a negative power")                \
    X(OVERSIZE, "proposals are not cut to the size asked for")             \
    X(UNKNOWN, "now and then a proposal is judged neither way")            \
    X(REJECTS_OWN, "the checker refuses what the proposer makes")          \
    X(ACCEPTS_ALL, "a proposal of nonsense is accepted, and then fails")   \
    X(VERIFY_CLOCK, "extensions of clocks that are 10 s off are refused")  \
    X(STALE_PROPOSAL, "what a proposal did is kept though another came")   \
    X(COMMIT_FORGETS, "a height is named that is not on the disk")         \
    X(COMMIT_EARLY, "a block is on the disk before its commit")            \
    X(REPLAY_SKIPS, "the first block after a restart is not applied")      \
    X(PRUNES_TOO_MUCH, "the engine may forget blocks not yet on the disk") \
    X(CENSORS, "a proposer leaves some transactions out for ever")         \
    X(CHUNK_UNCHECKED, "a snapshot's chunks are taken as they are")        \
    X(HEAD_UNCHECKED, "a snapshot's root is taken as it is")

enum script_mutant {
#define SCRIPT_X(name, what) SCRIPT_##name,
    SCRIPT_MUTANTS(SCRIPT_X)
#undef SCRIPT_X
        SCRIPT_MUTANT_COUNT
};
const char *script_mutant_name(enum script_mutant mutant);
const char *script_mutant_does(enum script_mutant mutant);

struct script_state {
    uint64_t height, count;
    uint8_t chain[32];
    unsigned validators;
    struct abci_validator validator[SCRIPT_VALIDATORS_MAX];
    struct hm_buf digests; /* 32 bytes for each applied transaction, in order */
};

/* What a crash leaves: the owner keeps it while applications come and go. */
struct script_disk {
    struct script_state state;
    struct {
        uint64_t height;
        struct hm_buf bytes; /* script_state_pack */
    } snapshot[SCRIPT_SNAPSHOTS_MAX];
};
void script_disk_release(struct script_disk *disk);

struct script_options {
    unsigned node;
    const struct hm_clock *clock; /* borrowed */
    unsigned durable_every; /* commits between two that reach the disk; 0: each */
    unsigned snapshot_every; /* heights; 0: none */
    bool optimistic; /* a proposal is executed before it is final */
    /* The engine may forget blocks that are on the disk here. With it, a node that lags behind the others finds nobody to get its
     * blocks from, unless they come by other ways. */
    bool forgets;
    enum script_mutant mutant;
    /* Called when the disk changed; a failure fails the commit. NULL is fine. */
    int (*saved)(void *ctx, const struct script_disk *disk, struct hm_error *error);
    void *ctx;
};

struct script_app;
/* disk is borrowed. HM_ENOMEM. */
int script_app_open(struct script_disk *disk, const struct script_options *options,
                    struct script_app **out, struct hm_error *error);
void script_app_close(struct script_app *app); /* as a crash: only the disk stays */
void script_app_handlers(struct script_app *app, struct abci_handlers *out);

bool script_state_has(const struct script_state *state, struct hm_slice tx);
void script_state_root(const struct script_state *state, uint8_t out[32]);
/* Appends head and digests. HM_ENOMEM. */
int script_state_pack(const struct script_state *state, struct hm_buf *out);
/* out holds nothing yet. HM_EPARSE, HM_ENOMEM. */
int script_state_unpack(struct hm_slice bytes, struct script_state *out);
void script_state_release(struct script_state *state);

#endif
