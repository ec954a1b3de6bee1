/* node: the daemon. Puts the rooms together, owns the data directory, the threads, and the order of start
 * and stop.
 *
 * Never: decides a ledger rule, parses HTTP.
 * Start reading with node_start, then node_bootstrap.c (what happens on the first start) and
 * node_job_run.c (the main flow). */
#ifndef HM_NODE_H
#define HM_NODE_H

#include "base.h"

struct node;

#define NODE_OPERATOR "operator" /* owns this machine's assets, signs batches and settlements */
#define NODE_USER     "user" /* whose jobs they are unless another account is named */

#define NODE_P2P_PEERS_MAX 64

struct node_options {
    const char *data_dir; /* absolute; made 0700 when missing */
    const char *listen; /* "127.0.0.1:7470"; "": unix socket only */
    const char *kv_listen; /* etcd's door, as api.h says: "127.0.0.1:2379"; NULL: none */
    const char *kv_account; /* who acts there; NULL: "user" */
    bool open_proofs; /* who has no token may read values with their proofs, and signed headers */
    unsigned rate_per_s; /* requests a second of one principal; 0: the server's default */
    const char *passphrase_path; /* file with the keystore's passphrase; NULL: unsealed keys */
    const char *genesis_path; /* packed Genesis for a new chain; NULL: a chain of this node's own */
    const char *oci_runtime; /* "crun", "runc" or NULL: whichever works */
    /* Who orders the blocks: false: this process alone; true: CometBFT beside it, together with the nodes of a cluster that
     * node_cluster_create (or a genesis of theirs in data_dir) made this one a member of. */
    bool cluster;
    const char *engine_path; /* CometBFT's binary; NULL: looked for */
    const char *p2p_listen; /* "ADDRESS:PORT" for the cluster's other nodes */
    const char *p2p_peers[NODE_P2P_PEERS_MAX]; /* "NODE-ID@ADDRESS:PORT" of theirs */
    size_t p2p_peer_count;
    const char *
        door_listen; /* "ADDRESS:PORT", UDP, where newcomers redeem join tickets; NULL: nobody is answered */
    const char *
        engine_metrics; /* "127.0.0.1:PORT" where CometBFT gives its metrics, to be told with ours; NULL: none */
    uint64_t
        snapshot_blocks; /* a cluster's node makes a snapshot every so many blocks; 0: engine.h's default */
    uint64_t plot_bytes; /* 0: NODE_PLOT_BYTES_DEFAULT */
    const struct hm_clock *clock;
    const struct hm_random *random;
};

#define NODE_PLOT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define NODE_PLOT_BYTES_MAX     (UINT64_C(32) << 40)
#define NODE_SOCKET_NAME        "api.sock"
#define NODE_TOKEN_NAME         "api.token"

/* Opens the data directory and the API (which answers "starting" until ready), then makes the node ready
 * on a thread of its own. HM_EBUSY: another daemon has the directory or the port. */
int node_start(const struct node_options *options, struct node **out, struct hm_error *error);

/* Readable when the node wants to end: POST /node/stop, or a failure it can't survive. */
int node_stop_fd(const struct node *node);
/* The failure, or NULL when the end was asked for. Valid until node_stop. */
const char *node_failure(struct node *node);

/* Cancels and settles running jobs, stops threads, closes files. NULL is fine. */
void node_stop(struct node *node);

/* What becomes of a node that could not start or go on, after node_stop: nothing; it is started again at once, with its ledger set
 * aside because the cluster's is another; or when its disk, which was full, has room again. failure: node_failure's text, or
 * node_start's. */
enum node_next { NODE_ENDS, NODE_BEGINS_ANEW, NODE_WAITS_FOR_ROOM };
enum node_next node_next(const struct node_options *options, const char *failure);
bool node_has_room(const struct node_options *options);

/* --- a cluster's first nodes, before any of them runs (docs/cluster.md) ---------------------------------- */
#define NODE_CLUSTER_MAX 20
struct node_cluster_member {
    char name[32]; /* "node0" */
    char node_id[41]; /* by which the others reach it */
    uint8_t address[20]; /* of its validator key */
    uint8_t key
        [32]; /* that key, Ed25519, and its word that this operator may declare it (ValidatorDeclare.proof) */
    uint8_t proof[64];
    uint8_t account[32]; /* its operator's */
    uint8_t user[32]; /* whose jobs are its */
};
struct node_cluster {
    char chain_id[33];
    size_t count;
    struct node_cluster_member members[NODE_CLUSTER_MAX];
};
/* CometBFT, there or where it is looked for (NULL), must be of the right version before anything is made. */
int node_engine_check(const char *engine_path, struct hm_error *error);
/* Makes folder/node0 to folder/nodeN-1, data folders of nodes for --engine cometbft: a keystore (unsealed) with the
 * accounts "operator" and "user", the validator's key, and one genesis for all: each is a validator with the same bond, and has its part
 * of the supply. vdf_blocks: blocks with transactions between two links of the chain of delays; NULL: the ledger's
 * default. HM_EEXIST: one is there already; after a failure none is left. */
int node_cluster_create(const char *folder, size_t count, uint64_t plot_bytes,
                        const uint64_t *vdf_blocks, const struct hm_clock *clock,
                        const struct hm_random *random, struct node_cluster *out,
                        struct hm_error *error);

/* Makes data_dir (absolute, missing or empty: HM_EEXIST), the folder of a further node of a cluster whose engine's genesis is in
 * the file: keys of its own, no validator. It gets the chain from the others, and needs its accounts funded by them before it is
 * ready; then its operator may declare it a validator, with out's key and proof. out's name stays empty. */
int node_cluster_add(const char *data_dir, const char *genesis_path, const struct hm_random *random,
                     struct node_cluster_member *out, struct hm_error *error);

/* As node_cluster_add, but the node gets no old blocks: it takes the state over from a snapshot of the others (state sync), each
 * piece checked against the state root that their signed headers lead to from one trusted block. servers: two to sixteen RPC
 * servers of them ("unix:///PATH", "http://HOST:PORT"; they may be the same). trust_height 0: they are asked for that block, which
 * is for sockets of this machine only. */
#define NODE_SYNC_SERVERS_MAX 16
struct node_cluster_sync {
    const char *servers[NODE_SYNC_SERVERS_MAX];
    size_t server_count;
    uint64_t trust_height;
    uint8_t trust_hash[32];
};
int node_cluster_add_synced(const char *data_dir, const char *genesis_path,
                            const struct node_cluster_sync *sync, const struct hm_random *random,
                            struct node_cluster_member *out, struct hm_error *error);

/* --- a single node becomes a cluster's first (docs/cluster.md) -------------------------------------------- */
/* Makes DATA/validator with the key that the node will vote with, where it is not there yet, once CometBFT's binary (engine_path,
 * or found) is there in the right version. out: what its operator ("hm1...") declares on its chain; user is left out. */
int node_promote_key(const char *data_dir, const char *engine_path, const char *chain_id,
                     const char *operator_text, const struct hm_random *random,
                     struct node_cluster_member *out, struct hm_error *error);
struct node_promote_facts {
    char chain_id[33];
    uint64_t height; /* of the last block that the node made alone */
    uint8_t state_root[32];
};
/* Of a node that does not run (HM_EBUSY) and whose ledger has its validator (HM_ECONFLICT): puts the engine's folder beside the
 * ledger, with a genesis that goes on from it. Whole or not at all; then the folder is a cluster's node. HM_EEXIST: it was. */
int node_promote(const char *data_dir, const struct hm_clock *clock, struct node_promote_facts *out,
                 struct hm_error *error);

/* --- a cluster that has lost a third of its power, or more, for good (docs/cluster.md) ----------------------- */
struct node_recover_voters {
    const uint8_t (*ids)[32]; /* operators' accounts */
    size_t count;
};
struct node_recover_facts {
    char engine_chain[51]; /* of the cluster that goes on */
    uint64_t height; /* of the ledger that it goes on from; 0: a snapshot is to bring it */
};
/* Of a node that does not run, best the one with the highest ledger: its cluster goes on from there with these voters only, who
 * must be validators with power (HM_ECONFLICT). Whole or not at all. DATA/engine/config/genesis.json is then what the others
 * need. to: the genesis is written there instead, and the node is left as it is, to join like the others; NULL: no. */
int node_recover_begin(const char *data_dir, const struct node_recover_voters *voters,
                       const char *to, const struct hm_clock *clock, struct node_recover_facts *out,
                       struct hm_error *error);
/* A node of the same cluster goes on with that genesis, if it does not already; blocks that it has not got come from the folder `from` of a node that
 * does not run (NULL: it must have all). HM_ECONFLICT: its ledger is not the one that goes on. */
int node_recover_join(const char *data_dir, const char *genesis_path, const char *from,
                      struct node_recover_facts *out, struct hm_error *error);
/* A node of the cluster of before, or one from a backup, begins anew with a snapshot of the cluster of that genesis, with its keys; its
 * old ledger and block log become DATA/ledger.last.N. sync as for node_cluster_add_synced. In the same cluster its validator does not vote
 * before the block after the trusted one; a key whose record is missing (from a backup) may be used only when the servers were
 * asked for that block (trust_height 0): HM_ECONFLICT. */
int node_recover_rejoin(const char *data_dir, const char *genesis_path,
                        const struct node_cluster_sync *sync, struct node_recover_facts *out,
                        struct hm_error *error);

/* --- backups, without a running node (docs/formats-backup.md) ------------------------------------------- */
struct node_backup_facts {
    char chain_id[33];
    uint64_t height, blocks, txs;
    uint8_t state_root[32];
};
/* Unpacks the backup into a folder of its own under $TMPDIR, authenticates every byte, replays the chain and
 * compares every state root. HM_EAUTH: wrong passphrase, or changed; HM_EPARSE, HM_ECORRUPT, HM_EIO. */
int node_backup_verify(const char *file, const char *passphrase, struct node_backup_facts *facts,
                       struct hm_error *error);
/* As verify, and leaves it as data_dir (absolute), which must be missing or empty (HM_EEXIST). Whole or not at
 * all: made beside, as data_dir.restoring. Of a cluster's node: one that is to begin anew (node_recover_rejoin, node_recover_begin),
 * with new keys and no vote; validator: with its old ones, which is for a node that is known to have stopped for ever. */
int node_backup_restore(const char *file, const char *passphrase, const char *data_dir,
                        bool validator, struct node_backup_facts *facts, struct hm_error *error);

#endif
