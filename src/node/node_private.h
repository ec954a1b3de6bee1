/* The node's insides: what its files share. */
#ifndef HM_NODE_PRIVATE_H
#define HM_NODE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api.h"
#include "asset.h"
#include "base.h"
#include "crypto.h"
#include "engine.h"
#include "join.h"
#include "ledger.h"
#include "node.h"
#include "node_feed.h"
#include "proof.h"
#include "runtime.h"
#include "store.h"
#include "trace.h"
#include "trust.h"
#include "wire.h"

#define NODE_LOG_NAME    "blocks" /* the block log: blocks.0, blocks.1 */
#define NODE_VERIFY_NAME "verify" /* scratch folder of a replay */

#define NODE_PATH_MAX_BYTES 4096
#define NODE_TEXT_MAX_BYTES 512

/* A clock that is behind the last block by more than this is told of at start, and by doctor. */
#define NODE_CLOCK_BEHIND_MS (UINT64_C(10) * 60 * 1000)

struct node_account;
struct node_job;
struct node_vdf;
struct witness;

/* Accounts of the keystore that have been used since start. */
struct node_wallet {
    pthread_mutex_t lock; /* guards the list, not the accounts */
    struct node_account *accounts;
    struct node_account *operator; /* NULL before the identities are there */
    _Atomic size_t share_ops; /* operations that one transaction may hold */
    pthread_mutex_t names_lock; /* guards the keystore's names, and its growth */
    struct trust_entry *names; /* sorted; NULL: not read yet */
    size_t name_count;
};

struct node_jobs {
    pthread_mutex_t lock; /* guards everything below and every job's record */
    pthread_cond_t changed; /* a record, a log, the number of jobs */
    pthread_cond_t room; /* a lease ended, or a job that waits for one is to look up */
    pthread_mutex_t placing; /* held by the one job that tries again to get a lease */
    struct store *store; /* durable records, apart from the ledger's writer */
    struct node_job *live;
    size_t running; /* live jobs */
    size_t leased; /* jobs that hold a lease or try to get one */
    uint64_t leases_ended;
    uint64_t last_number;
    bool stopping;
};

/* Hardware as last seen; replaced whole, under the lock. */
struct node_hardware {
    pthread_mutex_t lock;
    struct hm_arena arena;
    struct asset_inventory inventory;
    pthread_mutex_t scan_lock; /* one scan at a time */
    struct asset_scanner *scanner;
    pthread_t watcher;
    bool watching;
};

/* The plot; it may be built anew while the node runs. */
struct node_plot {
    pthread_rwlock_t lock; /* whoever reads the plot holds it */
    struct proof_plot *open; /* NULL: not there yet */
    atomic_bool damaged; /* who answers challenges builds it again */
};

/* Answers what is asked of this node. */
struct node_challenges {
    pthread_t thread;
    bool running;
    int news_fd; /* eventfd: a block may have brought a challenge */
    _Atomic uint64_t answered, missed; /* since start */
};

/* CometBFT beside this process. */
struct node_engine {
    struct engine_process *process; /* NULL: solo, or not started */
    char socket_abci[NODE_PATH_MAX_BYTES], socket_rpc[NODE_PATH_MAX_BYTES];
    size_t validators; /* in the genesis: how many peers make two thirds */
    bool syncing; /* this start began without a chain, which a snapshot is to bring */
    unsigned looks; /* the supervisor's own */
    bool waiting; /* what the last look found; the supervisor's own */
    _Atomic uint64_t height; /* of the last block */
    char stranger
        [LEDGER_ENGINE_CHAIN_MAX_BYTES +
         1]; /* chain of a peer that is of another one; "": none seen; state_lock guards it */
    uint8_t address[ENGINE_ADDRESS_BYTES]; /* of the key it votes with */
    struct witness *witness; /* NULL: solo, or not started */
    uint64_t known_ns; /* when it was told whom the validators see; of the thread that packs */
    struct node_vdf *_Atomic vdf; /* blocks come before it is there */
};

/* How much is kept by idempotency key. */
struct node_kept_answers {
    pthread_mutex_t lock; /* held while one is written */
    bool counted;
    uint64_t count, bytes;
};

struct node {
    struct node_options options;
    char data_dir[NODE_PATH_MAX_BYTES];
    char log_path[NODE_PATH_MAX_BYTES]; /* of the engine's block log */
    uint64_t started_ms;
    int stop_fd; /* eventfd: the node wants to end */
    int quit_fd; /* eventfd: threads must end */

    struct store *store;
    struct ledger *ledger;
    struct engine *engine;
    struct node_engine beside;
    struct trust_keystore *keystore;
    struct runtime_images *images;
    struct api_server *api;
    struct api_backend backend;
    uint8_t operator_id[WIRE_ID_BYTES];
    /* Parameters of the chain; set before the engine starts, never after. */
    uint32_t space_openings; /* of a batch */
    uint32_t challenge_openings;
    uint64_t result_kept_ms; /* how long what a result was made of may be asked for */

    struct node_wallet wallet;
    struct node_feed feed;
    struct node_jobs jobs;
    struct node_kept_answers answers;
    struct node_hardware hardware;

    struct node_plot plot;
    struct node_challenges challenges;

    struct join_door *_Atomic door; /* NULL: closed */
    struct join_tunnel *tunnel; /* NULL: none is needed */
    struct join_tickets tickets; /* that this node has issued */
    char tickets_path[NODE_PATH_MAX_BYTES];

    _Atomic uint64_t chain_ms; /* of the last block, or of the genesis */

    pthread_t bootstrap;
    bool bootstrapping; /* a thread to join */
    atomic_bool verifying;
    atomic_bool ready;
    atomic_bool
        opened; /* the ledger and the engine beside it can be read, whether the node is ready or not */
    pthread_mutex_t state_lock; /* guards the two texts and the machine */
    char not_ready[NODE_TEXT_MAX_BYTES];
    char failure[NODE_TEXT_MAX_BYTES];
    bool machine_known;
    struct runtime_machine machine;
};

/* --- node_state.c: what the node says of itself ---------------------------------------------------- */
void node_say_not_ready(struct node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* From here on the API serves; false when the node has failed meanwhile. */
bool node_say_ready(struct node *node);
/* Remembers why and asks for the end. */
void node_fail(struct node *node, const char *why);
/* The ledger or its block log cannot be read, *error says why. A cluster's node has its blocks again: it is written down that it
 * begins anew (node_anew.h), and *error is the sentence for people. HM_ECORRUPT. */
int node_ledger_damaged(struct node *node, struct hm_error *error);
int node_path(const struct node *node, const char *name, char out[NODE_PATH_MAX_BYTES],
              struct hm_error *error);
/* HM_EBUSY with what it is doing while it is not ready. */
int node_need_ready(struct node *node, struct hm_error *error);
/* Is there a ledger to be read? A cluster's node has one long before it can act: while others are missing, or until it is paid. */
int node_need_ledger(struct node *node, struct hm_error *error);
bool node_quitting(const struct node *node);
/* The time that this node signs and judges by: the clock's, but never before the last block, whose time the next one
 * goes on from when the clock was set back. */
uint64_t node_now_ms(const struct node *node);

/* --- node_genesis.c ----------------------------------------------------------------------------------- */
/* The chain of a node of its own: user, operator and keyless accounts hold the initial distribution. */
int node_genesis_make(struct node *node, struct hm_buf *out, struct hm_error *error);

/* Chains of several nodes as of one: users and operators share what one's would have. */
struct node_genesis_plan {
    const char *chain_id;
    uint64_t time_ms;
    uint64_t plot_labels; /* of a node */
    const uint8_t (*users)[WIRE_ID_BYTES];
    const uint8_t (*operators)[WIRE_ID_BYTES];
    /* Keys of validators, one an operator, each with node_genesis_stake's bond; NULL: none. */
    const uint8_t (*validators)[CRYPTO_ED25519_PUBLIC_BYTES];
    size_t nodes; /* 1 to NODE_CLUSTER_MAX */
    const uint64_t *vdf_blocks; /* Params.vdf_blocks; NULL: the ledger's default */
};
/* What a validator of the beginning bonds of its operator's share, and the power that gives it in the engine. */
void node_genesis_stake(uint64_t *bond, uint64_t *power);
uint64_t node_genesis_evidence_age(void); /* of a genesis that node_genesis_pack makes, in ms */
int node_genesis_pack(const struct node_genesis_plan *plan, struct hm_buf *out,
                      struct hm_error *error);
/* "local-" and eight digits; out holds 32. */
int node_genesis_name(const struct hm_random *random, char out[32], struct hm_error *error);

/* --- node_engine.c: the engine that the options ask for ---------------------------------------------------- */
/* The chain of a cluster's node, from the genesis in its folder; solo: the node's own. HM_ECONFLICT: the folder is of the other kind. */
int node_engine_boot_chain(struct node *node, struct hm_error *error);
int node_engine_open(struct node *node, const struct engine_options *options,
                     struct hm_error *error);
void node_engine_close(struct node *node);
/* What is put off until a snapshot has brought the chain. */
int node_boot_synced(struct node *node, struct hm_error *error);
/* Waits until CometBFT is there and has caught up; in solo it is at once. HM_ECANCELLED: quitting. */
int node_engine_wait(struct node *node, struct hm_error *error);
/* Was an act not ordered only because the cluster makes no blocks now? It may be ordered yet. Never in solo. */
bool node_engine_is_late(const struct node *node, int rc);
/* A step that orders something failed with rc. True, after a pause: the cluster may be able to in a while. */
bool node_engine_may_try_again(struct node *node, int rc, const struct hm_error *error);
void node_engine_saw_block(struct node *node, uint64_t height);
/* What api_status says of a cluster's engine; nothing in solo. */
void node_engine_status(struct node *node, const struct engine_status *engine,
                        struct hm_arena *arena, struct api_status *out);
/* CometBFT's metrics; appends nothing where there are none. */
int node_engine_metrics(struct node *node, struct hm_buf *out);

/* node_validator.c. True: it votes with another key than its operator has declared, so that its votes do not count; out says which and
 * what to do. Never in solo, nor before the ledger is there. Once the engine is open. */
bool node_validator_differs(struct node *node, char out[HM_ERROR_TEXT_BYTES]);

/* --- node_view.c: what a cluster's node sees of the others, and what it computes for the chain --------------- */
/* Before the engine is opened, and after. keys_dir: where its keys are. */
int node_view_open(struct node *node, const char *keys_dir, const char *chain_id,
                   struct hm_error *error);
int node_view_compute(struct node *node, struct hm_error *error);
int node_view_witness(void *node, struct hm_buf *out); /* engine_cometbft_options.witness */
/* Before the engine is closed, and after. */
void node_view_stop(struct node *node);
void node_view_close(struct node *node);
void node_view_saw_block(struct node *node);
/* Appends nothing in solo. */
void node_view_links(struct node *node, struct hm_arena *arena, struct api_cluster *out);
int node_view_metrics(struct node *node, struct hm_buf *out);
void node_backend_witness_init(struct node *node); /* node_backend_witness.c */

/* --- node_door_backend.c, node_door_engine.c: newcomers are answered ----------------------------------------------- */
/* At options.door_listen, if there is one. HM_EBUSY: the port is taken. */
int node_door_open(struct node *node, struct hm_error *error);
void node_door_close(struct node *node);
struct join_backend node_door_backend(struct node *node); /* what the door asks of this node */
/* One JSON-RPC call of the engine at this socket; the answer's body is appended. HM_EUNAVAILABLE, HM_ETIMEOUT, HM_EIO, HM_ELIMIT. */
int node_door_engine(const char *rpc_path, struct hm_slice json, struct hm_buf *out,
                     struct hm_error *error);

/* --- node_bootstrap.c ---------------------------------------------------------------------------------- */
void *node_bootstrap_main(void *node);
/* What the account lacks to take part: session, bond and (for the operator) plot, in one root-signed transaction when
 * all are new. */
int node_boot_account(struct node *node, const char *name, struct hm_error *error);

/* --- node_plot.c: the space that this node holds -------------------------------------------------------- */
uint64_t node_plot_labels_of(uint64_t bytes);
uint64_t node_plot_labels(const struct node *node); /* what options.plot_bytes holds */
void node_plot_init(struct node *node);
int node_plot_boot(struct node *node,
                   struct hm_error *error); /* opens it; builds it when it must */
void node_plot_release(struct node *node);
/* Builds it again from nothing and puts it in the old one's place; it is the same. */
int node_plot_rebuild(struct node *node, struct hm_error *error);
/* As the plot's own functions. HM_EUNAVAILABLE before there is one. The commitment's bytes lie in the arena. */
int node_plot_commitment(struct node *node, struct hm_arena *arena, Hypermesh__PlotCommitment *out,
                         struct hm_error *error);
int node_plot_open_at(struct node *node, const uint8_t challenge[CRYPTO_HASH_BYTES], size_t count,
                      bool with_parents, struct hm_arena *arena, Hypermesh__PlotOpening ***out,
                      struct hm_error *error);
uint64_t node_plot_size(struct node *node); /* bytes; 0 before there is one */

/* --- node_challenge.c: answers to challenges of this node ------------------------------------------------------ */
int node_challenges_start(struct node *node, struct hm_error *error);
void node_challenges_stop(struct node *node);
/* A block was made. Returns at once. */
void node_challenges_tell(struct node *node, const Hypermesh__BlockRecord *record);

/* --- node_seal.c: batches ------------------------------------------------------------------------------- */
int node_seal(void *node, const struct hm_slice *txs, size_t count, struct hm_buf *out,
              struct hm_error *error);

/* --- node_wallet.c, node_session.c: signing and ordering for the keystore's accounts ---------------------------- */
void node_wallet_init(struct node_wallet *wallet);
void node_wallet_release(struct node_wallet *wallet);
/* Signs the operations as one transaction of the named account, orders it and waits until it is durable; acts of many
 * threads may share a transaction (node_submit.c). A session key is granted first when there is none. A transaction
 * that failed in its block is this function's failure; receipt may be NULL, and is the caller's to release when 0. */
int node_wallet_submit(struct node *node, const char *name, Hypermesh__Operation *const *ops,
                       size_t count, struct engine_receipt *receipt, struct hm_error *error);
/* Grants a session key when there is none that lasts and that the ledger knows. Extra operations ride along in
 * the same root-signed transaction, or are submitted by the session that is there. */
int node_wallet_open_session(struct node *node, const char *name,
                             Hypermesh__Operation *const *extra, size_t extra_count,
                             struct hm_error *error);
/* As open_session for the operator, without which nobody's transaction can be forwarded; cheap when it is there. */
int node_wallet_ready(struct node *node, struct hm_error *error);
/* Loads the operator's keys, before anything else is asked of the wallet. */
int node_wallet_begin(struct node *node, struct hm_error *error);
/* New keys in the keystore; one at a time. */
int node_wallet_create(struct node *node, const char *name, struct trust_entry *out,
                       struct hm_error *error);
/* The keystore's accounts, sorted by name, in the arena. */
int node_wallet_names(struct node *node, struct hm_arena *arena, struct trust_entry **out,
                      size_t *count, struct hm_error *error);
/* HM_ENOTFOUND: not ours. */
int node_wallet_name_of(struct node *node, const uint8_t id[WIRE_ID_BYTES],
                        char name[TRUST_NAME_MAX + 1], struct hm_error *error);
/* Account id of a name, or of "hm1..." text. */
int node_wallet_resolve(struct node *node, const char *name_or_id, uint8_t id[WIRE_ID_BYTES],
                        struct hm_error *error);
/* HM_ENOTFOUND without a session that the ledger knows. */
int node_wallet_session_key(struct node *node, const char *name,
                            uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES]);
/* The session that signs batches, if the operator's account knows it; HM_ENOTFOUND. */
int node_wallet_batch_session(struct node *node, const Hypermesh__Account *operator,
                              struct trust_session * out);
/* Signs a batch's head with it. HM_ECONFLICT when another has taken its place meanwhile. */
int node_wallet_sign_batch(struct node *node, struct hm_slice head,
                           const struct trust_session *session,
                           uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES],
                           struct hm_error *error);

/* --- node_hardware.c ---------------------------------------------------------------------------------------- */
/* First scan, and registration of what is not on the ledger yet. */
int node_hardware_start(struct node *node, struct hm_error *error);
void node_hardware_watch_end(struct node *node);
void node_hardware_close(struct node *node); /* after the API, which scans */
/* The machine as it is now; in the arena. */
int node_hardware_scan(struct node *node, struct hm_arena *arena, struct asset_inventory *out,
                       struct hm_error *error);

/* --- node_lease.c --------------------------------------------------------------------------------------------- */
/* The lease's share of this machine as limits; strings in the arena. */
int node_lease_limits(struct node *node, const Hypermesh__Lease *lease, struct hm_arena *arena,
                      Hypermesh__SandboxLimits *limits, struct hm_error *error);
/* What the job used, as ledger records of the lease; in the arena. */
int node_lease_usage(struct node *node, const Hypermesh__Lease *lease,
                     const Hypermesh__JobUsage *used, struct hm_arena *arena,
                     Hypermesh__ResourceTransaction ***records, size_t *count,
                     struct hm_error *error);

/* --- node_proofs.c --------------------------------------------------------------------------------------------- */
/* Four reports, in the order of enum ledger_proof_kind; in the arena. */
int node_proofs_of_tx(struct node *node, struct ledger_view *view, const uint8_t digest[32],
                      struct hm_arena *arena, Hypermesh__ProofReport **out, struct hm_error *error);
int node_proofs_of_batch(struct node *node, struct ledger_view *view, struct hm_slice batch,
                         size_t tx_index, struct hm_arena *arena, Hypermesh__ProofReport **out,
                         struct hm_error *error);

/* --- node_gpu.c --------------------------------------------------------------------------------------------------- */
/* Measures the GPUs of a lease while its job runs; start gives NULL when the lease has none or they can't be
 * measured. stop (NULL is fine) returns busy nanoseconds. */
struct node_gpu_watch;
struct node_gpu_watch *node_gpu_watch_start(struct node *node, const Hypermesh__Lease *lease);
uint64_t node_gpu_watch_stop(struct node_gpu_watch *watch);

/* --- node_jobs.c, node_job_run.c, node_recover.c ------------------------------------------------------------------------------ */
int node_jobs_open(struct node *node, struct hm_error *error);
/* Settles what a killed daemon left running. Call when the chain is ready. */
int node_jobs_recover(struct node *node, struct hm_error *error);
void node_jobs_stop(struct node *node); /* cancels and settles what runs; takes no more */
void node_jobs_close(struct node *node); /* after the API, which reads records */

/* --- the functions behind the API ------------------------------------------------------------------------------- */
void node_backend_init(struct node *node); /* node_backend.c: fills node->backend */
void node_backend_chain_init(struct node *node); /* node_backend_chain.c: ledger reads, proofs */
void node_backend_light_init(struct node *node); /* node_backend_light.c: heights, signed blocks */
void node_backend_machine_init(
    struct node *node); /* node_backend_machine.c: scan, doctor, jobs, images */
void node_backend_network_init(struct node *node); /* node_backend_network.c: and challenges */
void node_backend_stake_init(struct node *node); /* node_backend_stake.c */
void node_backend_ticket_init(struct node *node); /* node_backend_ticket.c */
void node_backend_kv_init(struct node *node); /* node_backend_kv.c */
void node_later_init(struct node *node); /* node_later.c: acts that nobody waits for */
/* What the API tells of it; in the arena. HM_ENOMEM: the transaction is durable all the same. */
int node_receipt(const struct engine_receipt *from, struct hm_arena *arena, struct api_receipt *out,
                 struct hm_error *error);
void node_backend_news_init(struct node *node); /* node_backend_news.c: events, the feed, audits */
/* The feed of news: init with the node, start before the engine. */
void node_news_init(struct node *node);
int node_news_start(struct node *node, struct hm_error *error);
int node_metrics(void *node, struct hm_buf *out, struct hm_error *error); /* node_metrics.c */
int node_doctor(void *node, struct hm_arena *arena, struct api_check **out, size_t *count,
                struct hm_error *error); /* node_doctor.c */
/* The name under which the keystore holds the keys of "user" or "hm1...". HM_EPERM: it holds none. */
int node_signer(struct node *node, const char *name_or_id, char name[TRUST_NAME_MAX + 1],
                struct hm_error *error);
/* A snapshot for one request; HM_EBUSY while the node is not ready. */
int node_view(struct node *node, struct ledger_view **out, struct hm_error *error);

#endif
