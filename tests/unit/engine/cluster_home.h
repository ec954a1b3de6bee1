/* For tests with CometBFT itself: nodes' folders, keys, configurations, processes. Nothing here needs cmocka's tests to run:
 * what goes wrong ends the process with a sentence. */
#ifndef HM_CLUSTER_HOME_H
#define HM_CLUSTER_HOME_H

#include "engine_fixture.h"

#define HOME_NODES_MAX 8

struct home {
    unsigned number; /* from 0 */
    char dir[80];
    char ledger[100], log[100], engine[100], keys[100], abci[100], rpc[100], listen[40];
    const char *stale[2];
    struct crypto_ed25519_key node, validator;
    uint8_t address[ENGINE_ADDRESS_BYTES];
};

/* The engine's program on this machine, or NULL, and the reason told: a test then calls skip(), which jumps past clean-up, so
 * that nothing may be held by then. */
const char *home_find_engine(void);
void home_must(int rc, const struct hm_error *error, const char *what);
uint64_t home_now_ms(void);
/* Names and keys of node `number` in the folder, which must be there; a free port. */
void home_init(struct home *home, const char *dir, unsigned number);
/* The engine's genesis of these nodes, all of them validators, over a ledger that they all have. */
void home_genesis(const struct home *homes, unsigned count, struct ledger *ledger,
                  struct hm_buf *out);
/* The engine's files of one of them. */
void home_write(const struct home *homes, unsigned count, unsigned number, struct hm_slice genesis);
/* ctx of on_start is the engine. */
struct engine_process *home_start(const struct home *home, const char *program,
                                  struct engine *engine);
/* Sets the fixture's clock, and the time by which it signs, to the present. */
void home_set_time(struct engine_fixture *fix);

#endif
