/* The cometbft engine, put together: application, server, pool, and what the engine says of itself. Private to this
 * room. */
#ifndef HM_ENGINE_COMETBFT_H
#define HM_ENGINE_COMETBFT_H

#include "engine_app.h"
#include "engine_pool.h"
#include "engine_remote.h"

struct engine_cometbft {
    struct engine head; /* first */
    struct engine_options options;
    struct engine_cometbft_options cometbft; /* its paths are copies */
    char *rpc_path, *abci_path;
    struct engine_pool *pool;
    struct engine_app *app;
    struct engine_remote *remote;
    struct abci_server *server; /* NULL: driven by hand */
    bool has_heights;
};

#endif
