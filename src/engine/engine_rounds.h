/* What the engine says of the round under way: who votes nil for what the others accept, and whom a block that is late waits for.
 * Told in the log when it changes; decides nothing. A vote of the first kind (prevote) is in no block, so nothing else shows it.
 * Private to this room.
 *
 * A thread of its own asks, for the engine answers only between two messages of its consensus: right after this node's vote, and
 * when what waits here gets into no block. Never while nothing waits and no blocks come. */
#ifndef HM_ENGINE_ROUNDS_H
#define HM_ENGINE_ROUNDS_H

#include "engine_config.h"
#include "engine_pool.h"
#include "engine_watch.h"

#define ENGINE_ROUNDS_HEIGHTS \
    3 /* looked at one after the other, voted for nil or not: a change worth a line */
/* A block that takes longer is late: by then an honest proposer's would be here, and the round still has as long to go. Where blocks
 * usually take long because the nodes are far from each other, so many times as long as they take. */
#define ENGINE_ROUNDS_LATE_MS       (ENGINE_CONFIG_PROPOSE_MS / 2)
#define ENGINE_ROUNDS_LATE_FACTOR   3
#define ENGINE_ROUNDS_USUAL_MAX_MS  UINT64_C(2000) /* one that took longer counts as this */
#define ENGINE_ROUNDS_LATE_AGAIN_MS UINT64_C(5000) /* the next line on that */
/* Between two questions, for each begun ENGINE_ROUNDS_PACE_VALIDATORS: an answer grows with them, and the engine's consensus waits
 * while it writes it. */
#define ENGINE_ROUNDS_PACE_MS         UINT64_C(100)
#define ENGINE_ROUNDS_PACE_VALIDATORS 64
#define ENGINE_ROUNDS_FAILED_MS       UINT64_C(1000) /* after one that was not answered */
#define ENGINE_ROUNDS_STILL_MS        UINT64_C(500) /* while a block is late */
#define ENGINE_ROUNDS_CALL_MS         UINT64_C(300)
#define ENGINE_ROUNDS_VALIDATORS_MAX  512 /* with more nobody looks */

/* --- engine_rounds_read.c: the engine's answer; pure ------------------------------------------------------------ */

#define ENGINE_ROUNDS_START_BYTES 6 /* of an address, of a hash: what the engine shows of them */

struct engine_rounds_vote {
    bool there;
    uint8_t validator[ENGINE_ROUNDS_START_BYTES];
    uint8_t block[ENGINE_ROUNDS_START_BYTES]; /* zeros: nil */
};
enum engine_rounds_step { /* the engine's numbers */
                          ENGINE_ROUNDS_PROPOSE = 3,
                          ENGINE_ROUNDS_PREVOTE,
                          ENGINE_ROUNDS_PREVOTE_WAIT,
                          ENGINE_ROUNDS_PRECOMMIT,
                          ENGINE_ROUNDS_PRECOMMIT_WAIT,
                          ENGINE_ROUNDS_COMMIT,
};
struct engine_rounds_state {
    uint64_t height;
    uint32_t round;
    unsigned step; /* 1 to 8 */
    uint8_t proposer[ENGINE_ADDRESS_BYTES];
    bool has_valid; /* a block that more than two thirds have prevoted for */
    uint8_t valid[ENGINE_ROUNDS_START_BYTES];
    size_t count; /* validators */
    size_t prevoted, precommitted; /* of them, in this round */
    struct engine_rounds_vote
        prevotes[ENGINE_ROUNDS_VALIDATORS_MAX]; /* in this round, in the engine's order */
};
/* The result of /consensus_state. HM_EPARSE; HM_ELIMIT: more validators than that. */
int engine_rounds_read(const json_t *result, struct engine_rounds_state *out,
                       struct hm_error *error);

/* --- engine_rounds.c ---------------------------------------------------------------------------------------------- */

struct engine_rounds;

/* own: this node's validator. HM_ENOMEM. */
int engine_rounds_new(const uint8_t own[ENGINE_ADDRESS_BYTES], struct engine_rounds **out,
                      struct hm_error *error);
void engine_rounds_free(struct engine_rounds *rounds); /* NULL is fine */
/* Who votes, of the commit in a block. Where there is no memory for others than before, nobody is known. Thread-safe; NULL is fine. */
void engine_rounds_set(struct engine_rounds *rounds, const Hypermesh__Abci__CommitInfo *commit);
size_t engine_rounds_validators(struct engine_rounds *rounds); /* how many that was; thread-safe */
/* Counts who prevoted nil in a round in which more than two thirds of the power prevoted for one block; each height counts once for each
 * validator. Nothing where the validators are not those of the last commit. now_ms: of the monotonic clock. Thread-safe. */
void engine_rounds_see(struct engine_rounds *rounds, const struct engine_rounds_state *state,
                       uint64_t now_ms);
/* Nothing for late_ms, though something waits: tells what for. Not where the engine has not begun a block. Thread-safe. */
void engine_rounds_late(struct engine_rounds *rounds, const struct engine_rounds_state *state,
                        uint64_t late_ms, uint64_t now_ms);

/* --- engine_rounds_run.c: the thread -------------------------------------------------------------------------------- */

struct engine_rounds_run;

/* pool and rounds are borrowed. HM_EINVAL: see engine_rpc_new; HM_ENOMEM. */
int engine_rounds_start(const char *rpc_path, struct engine_pool *pool,
                        struct engine_rounds *rounds, struct engine_rounds_run **out,
                        struct hm_error *error);
void engine_rounds_stop(struct engine_rounds_run *run); /* joins and frees; NULL is fine */
/* Thread-safe, and NULL is fine, all of them. */
void engine_rounds_voted(
    struct engine_rounds_run *run); /* this node is about to vote for a block that has two thirds */
void engine_rounds_waits(struct engine_rounds_run *run); /* something was given to the pool */
void engine_rounds_block(struct engine_rounds_run *run); /* one came, and the pool knows it */

#endif
