/* The data folder of a node that does not run: its ledger opened by this process, with every block that its log has. */
#ifndef HM_NODE_IDLE_H
#define HM_NODE_IDLE_H

#include "node_private.h"

struct node_idle {
    char data_dir[NODE_PATH_MAX_BYTES];
    struct store *store;
    struct ledger *ledger;
    struct ledger_info info;
};

/* HM_EBUSY: its daemon runs; HM_ENOTFOUND: no ledger is there, or one without a chain; HM_EINVAL: not an absolute path. */
int node_idle_open(const char *data_dir, struct node_idle *out, struct hm_error *error);
/* Applies the block log again and makes the store durable: after changes to it. */
int node_idle_keep(struct node_idle *idle, struct hm_error *error);
void node_idle_release(struct node_idle *idle); /* idempotent */
/* DATA/name. HM_ELIMIT. */
int node_idle_path(const struct node_idle *idle, const char *name, char out[NODE_PATH_MAX_BYTES],
                   struct hm_error *error);

/* --- node_promote.c -------------------------------------------------------------------------------------------- */
/* DATA/validator with a node's and a validator's key, those that are missing new, and a record of nothing signed with a new one.
 * HM_ECONFLICT: a validator's key without its record is there. */
int node_promote_make_keys(const char *data_dir, const struct hm_random *random,
                           struct hm_error *error);

/* --- node_era.c: the engine's folder, put in place whole ------------------------------------------------------ */
#define NODE_ERA_NEXT "engine.next" /* being made */
#define NODE_ERA_LAST "engine.last" /* engine.last.1, ...: of the eras before, kept */
/* In a new engine's folder until its validator's record has begun. */
#define NODE_ERA_BEGIN "record-begins"

/* Makes DATA/engine anew with this genesis, for a cluster that begins with the ledger in DATA, or with a snapshot (sync, else NULL):
 * whole or not at all, whenever it is cut off. What was there before becomes DATA/engine.last.N. The record of what its validator has
 * signed is then that of the genesis's chain: the other chain's is set aside, the one that was set aside for this chain comes back.
 * signed_height: where no record of that chain is known, up to where it may have signed blocks of it; 0: not known. fresh: nobody
 * can have signed any. A mark to begin anew is removed. HM_ECONFLICT, HM_EINVAL, HM_ELIMIT, HM_EIO. */
int node_era_put(const char *data_dir, struct hm_slice genesis,
                 const struct engine_config_sync *sync, uint64_t signed_height, bool fresh,
                 struct hm_error *error);
/* DATA/NAME.N, the first that is not there; the caller frees it. HM_ELIMIT. */
int node_era_free_name(const char *data_dir, const char *name, char **out, struct hm_error *error);
/* Finishes what was cut off: at each start of a cluster's node, before CometBFT runs. */
int node_era_settle(const char *data_dir, struct hm_error *error);

/* --- node_recover_cluster.c ----------------------------------------------------------------------------------- */
/* Moves ledger and block log to DATA/ledger.last.N, never over what is there; cut off, the next call goes on. HM_EIO, HM_ELIMIT. */
int node_rejoin_away(const char *data_dir, struct hm_error *error);

/* --- node_era.c: peers of another era -------------------------------------------------------------------------- */
/* Remembers what CometBFT's log says of a peer that is of another chain. */
void node_era_line(struct node *node, const struct engine_process_line *line);
/* Why no peers are connected, when it is that; false: not seen. */
bool node_era_stranger(struct node *node, char out[HM_ERROR_TEXT_BYTES]);

#endif
