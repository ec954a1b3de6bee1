/* What stands behind `struct engine`: a head that all kinds share, and the functions of its kind. Private to this
 * room. */
#ifndef HM_ENGINE_PRIVATE_H
#define HM_ENGINE_PRIVATE_H

#include <pthread.h>

#include "engine.h"

/* What one kind of engine does; see engine.h for each. submit, status, nudge and close must be there. */
struct engine_kind {
    int (*submit)(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error);
    void (*status)(struct engine *engine, struct engine_status *out);
    int (*nudge)(struct engine *engine, struct hm_error *error);
    int (*light_block)(struct engine *engine, uint64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error);
    int (*offer_vdf)(struct engine *engine, uint64_t index, struct hm_slice output,
                     struct hm_slice proof, struct hm_error *error);
    void (*expect)(struct engine *engine, int64_t pid);
    void (*give_up)(struct engine *engine, const struct hm_error *error);
    const struct abci_handlers *(*handlers)(struct engine *engine);
    void (*close)(struct engine *engine);
};

/* Which height readers see, and who waits for it to grow. */
struct engine_heights {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    uint64_t height;
    unsigned waiters;
    bool stopped;
};

/* First member of what every kind is. */
struct engine {
    const struct engine_kind *kind;
    struct engine_heights heights;
};

int engine_heights_init(struct engine_heights *heights, uint64_t height, struct hm_error *error);
void engine_heights_release(struct engine_heights *heights);
void engine_heights_set(struct engine_heights *heights, uint64_t height); /* after ledger_commit */
void engine_heights_stop(struct engine_heights *heights); /* no more blocks: nobody waits on */

/* --- time (engine_time.c) ------------------------------------------------------------------------------ */
/* Where both clocks stood at the last block of this run: the wall clock may not run away from the other. */
struct engine_hand {
    bool set; /* no: nothing to compare with yet */
    uint64_t wall_ms, mono_ns;
    uint64_t block_ms; /* time of the last block */
};
void engine_hand_set(struct engine_hand *hand, const struct hm_clock *clock, uint64_t block_ms);
/* The time by which transactions are judged and blocks made: the wall clock's, never before the last block. Refused
 * (HM_EUNAVAILABLE) while the wall clock has gone ahead by more than ENGINE_CLOCK_AHEAD_MAX_MS of what has passed: a block
 * would fix that time for good. */
int engine_hand_time(const struct engine_hand *hand, const struct hm_clock *clock, uint64_t *now_ms,
                     struct hm_error *error);
/* The time that a proposer gives the next block: own_ms, but no more than ENGINE_PACE_AHEAD_MS beyond the last block's time and what has passed
 * since, where the hand was set by a block that this node saw being made. Others refuse what is far ahead of their clocks
 * (LEDGER_NOTE_AHEAD_MS), and this clock may be the one that is wrong. */
uint64_t engine_hand_pace(const struct engine_hand *hand, const struct hm_clock *clock,
                          uint64_t own_ms);
#define ENGINE_PACE_AHEAD_MS UINT64_C(1000)

#endif
