/* The cometbft engine, put together: application, server, pool, and what the engine says of itself. Private to this
 * room. */
#ifndef HM_ENGINE_COMETBFT_H
#define HM_ENGINE_COMETBFT_H

#include "engine_app.h"
#include "engine_pool.h"
#include "engine_remote.h"
#include "engine_rounds.h"

/* Refusals told in the log: what others send can bring them about as fast as they send. */
#define ENGINE_COMETBFT_LINES_PER_S 20
struct engine_cometbft_lines {
    pthread_mutex_t lock; /* guards the rest */
    uint64_t second;
    unsigned told, left_out; /* in it */
};

struct engine_cometbft {
    struct engine head; /* first */
    struct engine_options options;
    struct engine_cometbft_options cometbft; /* its paths are copies */
    char *rpc_path, *abci_path;
    struct engine_pool *pool;
    struct engine_app *app;
    struct engine_remote *remote;
    struct engine_rounds *rounds;
    struct engine_rounds_run *rounds_run; /* NULL, as server is: driven by hand */
    struct abci_server *server; /* NULL: driven by hand */
    bool has_heights;
    struct engine_cometbft_lines lines;
};

#endif
