/* What the tests of the engine share: the ledger's small chain, a clock set by hand that counts who looks at it,
 * a sealer with a gate in front, and a list of every answer. */
#ifndef HM_ENGINE_FIXTURE_H
#define HM_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "engine.h"
#include "ledger_fixture.h"

#define ENGINE_TEST_ANSWERS_MAX 512
#define ENGINE_TEST_BLOCKS_MAX  512

enum engine_cheat {
    CHEAT_NOT,
    CHEAT_FAIL, /* the sealer says no */
    CHEAT_EMPTY, /* and says yes to nothing */
    CHEAT_GARBAGE, /* bytes that are no batch */
    CHEAT_REVERSE, /* another order */
    CHEAT_SHORT, /* all but the last */
};

struct engine_answer {
    struct engine_fixture *fixture;
    unsigned calls;
    unsigned place; /* among all answers, from 1 */
    bool in_block;
    struct engine_receipt receipt;
};

struct engine_fixture {
    struct fixture chain;
    struct engine *engine;
    struct engine_options options;
    struct hm_clock clock;
    _Atomic uint64_t wall_ms;
    _Atomic uint64_t mono_ns; /* that the monotonic clock is ahead of the machine's */
    _Atomic uint64_t looks; /* at the wall clock */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool gate_closed;
    unsigned at_gate; /* the engine's thread waits there */
    enum engine_cheat cheat; /* for one seal */
    unsigned answered;
    struct engine_answer answers[ENGINE_TEST_ANSWERS_MAX];
    size_t answer_count; /* handed out; the test's thread alone */
    unsigned blocks;
    struct {
        struct engine_block block;
        size_t expired;
    } seen[ENGINE_TEST_BLOCKS_MAX];
    unsigned failures;
    struct hm_error failure;
};

/* Chain in memory, or in LMDB in the folder; no engine yet. options may be changed before start. */
void engine_fixture_init(struct engine_fixture *fixture, const char *lmdb_path);
/* The same with a block log; then the store is a deferred one. log_path is the caller's to keep. */
void engine_fixture_init_log(struct engine_fixture *fixture, const char *lmdb_path,
                             const char *log_path);
/* In memory, and nothing but genesis: nobody has a session, a bond or a plot. */
void engine_fixture_init_bare(struct engine_fixture *fixture);
void engine_fixture_start(struct engine_fixture *fixture);
void engine_fixture_release(struct engine_fixture *fixture); /* closes the engine too */

/* Closed: the engine stops inside the next seal until it is opened. */
void engine_fixture_gate(struct engine_fixture *fixture, bool closed);
void engine_fixture_wait_at_gate(struct engine_fixture *fixture);
void engine_fixture_wait_answers(struct engine_fixture *fixture, unsigned count);
void engine_fixture_wait_blocks(struct engine_fixture *fixture, unsigned count);
unsigned engine_fixture_blocks(struct engine_fixture *fixture);
void engine_fixture_cheat(struct engine_fixture *fixture, enum engine_cheat cheat);

/* A transfer of 1 from one to another; follows the sender's presence. */
/* Both clocks go on by so much. */
void engine_fixture_pass(struct engine_fixture *fixture, uint64_t ms);
struct hm_slice engine_fixture_transfer(struct engine_fixture *fixture, enum fixture_role from);
struct engine_answer *engine_fixture_answer(struct engine_fixture *fixture);
void engine_fixture_done(void *answer, const Hypermesh__TxResult *result,
                         const struct engine_block *block);
/* Submits and gives the answer to come; fails the test when it is refused. */
struct engine_answer *engine_fixture_submit(struct engine_fixture *fixture, struct hm_slice tx);
/* As submit, expecting this refusal. */
void engine_fixture_refused(struct engine_fixture *fixture, struct hm_slice tx, int code,
                            const char *words);
/* One call of done, in a block, with success. */
void engine_fixture_expect_good(const struct engine_answer *answer);
/* One call of done, in no block, with this code and words. */
void engine_fixture_expect_refused(const struct engine_answer *answer, int code, const char *words);

/* Times the writer's thread went to sleep so far. */
unsigned long engine_fixture_sleeps(void);
/* This person's validator with so many HYPER, in a block of the one node that the chain has so far (engine_fixture_stake.c). */
void engine_fixture_declare(struct engine_fixture *fix, enum fixture_role who, uint64_t bond);

#endif
