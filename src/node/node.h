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

struct node_options {
    const char *data_dir; /* absolute; made 0700 when missing */
    const char *listen; /* "127.0.0.1:7470"; "": unix socket only */
    const char *kv_listen; /* etcd's door, as api.h says: "127.0.0.1:2379"; NULL: none */
    const char *kv_account; /* who acts there; NULL: "user" */
    unsigned rate_per_s; /* requests a second of one principal; 0: the server's default */
    const char *passphrase_path; /* file with the keystore's passphrase; NULL: unsealed keys */
    const char *genesis_path; /* packed Genesis for a new chain; NULL: a chain of this node's own */
    const char *oci_runtime; /* "crun", "runc" or NULL: whichever works */
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
 * all: made beside, as data_dir.restoring. */
int node_backup_restore(const char *file, const char *passphrase, const char *data_dir,
                        struct node_backup_facts *facts, struct hm_error *error);

#endif
