/* engine: orders transactions into blocks. One interface, engines behind it: `solo` orders inside this
 * process, the embedded default; `cometbft` lets a CometBFT v0.38 beside this process order, together with those of
 * other machines, and applies what they decide (docs: ARCHITECTURE.md).
 *
 * Never: looks inside a transaction, decides a rule, writes to the store by itself.
 * Start reading with engine_submit, then engine_solo.c; engine_app.c for a cluster. */
#ifndef HM_ENGINE_H
#define HM_ENGINE_H

#include "abci.pb-c.h"
#include "base.h"
#include "engine_config.h"
#include "engine_process.h"
#include "ledger.h"
#include "wire.h"

struct engine;
struct abci_handlers; /* of abci.h, which only who drives an application by hand includes */

/* The block that holds a transaction; durable when a caller sees it. */
struct engine_block {
    uint64_t height;
    uint64_t time_ms;
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint8_t state_root[CRYPTO_HASH_BYTES];
    size_t txs;
};

/* Puts transactions into one Batch with this node's Space proof and signature, appended to out. All slices
 * are borrowed for the call. Runs on the engine's thread. */
struct engine_sealer {
    int (*seal)(void *ctx, const struct hm_slice *txs, size_t count, struct hm_buf *out,
                struct hm_error *error);
    void *ctx;
};

/* Called once per submitted transaction, on the engine's thread, after its block is durable (block not
 * NULL; result->code says whether the transaction did what it says), or when it was refused (block NULL,
 * result->code negative): then it will not be in a block, unless the disk failed while its block was
 * written, which the text says. A transaction that the ledger refuses for nothing (ledger_result_charged is
 * false) is not kept in the block either: block is then the newest one that it was judged after (in a cluster it is in
 * the block, and left nothing behind).
 * In a cluster there is a third outcome: block NULL and result->code HM_ETIMEOUT: not ordered yet, it may still be, and
 * only ledger_view_tx, asked for its digest, will tell; once a block's time is past the transaction's own by more than
 * Params.time_window_ms and it is in none, it never will be.
 * result is borrowed for the call. Must not block and must not call engine_submit_wait; engine_submit is
 * fine. */
typedef void (*engine_done)(void *ctx, const Hypermesh__TxResult *result,
                            const struct engine_block *block);

struct engine_options {
    struct ledger *ledger; /* borrowed, chain initialised */
    const struct hm_clock *clock; /* borrowed */
    struct engine_sealer sealer;
    size_t queue_limit; /* transactions waiting; 0: ENGINE_QUEUE_LIMIT */
    size_t queue_bytes; /* of them together; 0: ENGINE_QUEUE_MAX_BYTES */
    size_t batch_limit; /* transactions a batch; 0: ENGINE_BATCH_LIMIT */
    /* The block log: files PATH.0 and PATH.1 (docs/formats-log.md). A block is then durable by one write and one
     * sync there, and the store may be a deferred one: the engine makes its checkpoints, and engine_solo_open
     * applies again what came after the last. NULL: the store syncs itself. */
    const char *log_path;
    struct store *store; /* the ledger's, borrowed; with log_path only */
    uint64_t checkpoint_ms; /* after a block, at the latest; 0: ENGINE_CHECKPOINT_MS */
    size_t checkpoint_bytes; /* of blocks, at the latest; 0: ENGINE_CHECKPOINT_BYTES */
    /* After each durable block, on the engine's thread; may be NULL. */
    void (*on_block)(void *ctx, const struct engine_block *block,
                     const Hypermesh__BlockRecord *record);
    /* Once, when the engine can't go on (a disk that failed, an invariant that broke); may be NULL. */
    void (*on_failure)(void *ctx, const struct hm_error *error);
    void *ctx;
};
/* A week: longer sleeps of the machine need a restart of the node to be believed. */
#define ENGINE_CLOCK_AHEAD_MAX_MS (UINT64_C(7) * 24 * 3600 * 1000)
#define ENGINE_QUEUE_LIMIT        65536
#define ENGINE_BATCH_LIMIT        4096
#define ENGINE_QUEUE_MAX_BYTES    ((size_t)256 << 20)
#define ENGINE_CHECKPOINT_MS      UINT64_C(500)
#define ENGINE_CHECKPOINT_BYTES   ((size_t)32 << 20)

/* What engine_solo_open does first when there is a log_path, for who reads the ledger before: applies the blocks of the
 * log that the ledger has not got, and makes a checkpoint. HM_ECORRUPT: log and ledger do not belong together, or
 * after an unclean stop a file of the log is missing or another's. */
int engine_solo_recover(const struct engine_options *options, struct hm_error *error);
/* Starts the one writer thread, and with log_path one for checkpoints. Idle means asleep: it wakes for a transaction or for a lease that is due. */
int engine_solo_open(const struct engine_options *options, struct engine **out,
                     struct hm_error *error);

/* --- a cluster ---------------------------------------------------------------------------------------- */
/* The engine is another process: whoever opens this starts it afterwards (it looks for abci_path at once) with
 * `abci = "socket"`, proxy_app = "unix://ABCI_PATH", rpc.laddr = "unix://RPC_PATH", and again whenever it ends. It must have
 * mempool.recheck = true: so the requests for a block that engine_nudge makes leave its pool when the block is there; without
 * that blocks would never end. */
struct engine_cometbft_options {
    const char
        *rpc_path; /* the engine's RPC: a unix socket, at most 107 bytes; need not be there yet */
    const char *
        abci_path; /* where the engine finds the application: made here, as rpc_path; NULL: no server, see
                              engine_cometbft_handlers */
    uint8_t validator_address
        [ENGINE_ADDRESS_BYTES]; /* of the key this node's engine signs with: says who asks first for a block that is due */
    size_t
        block_max_bytes; /* of a proposal of ours; 0: ENGINE_PROPOSAL_MAX_BYTES, over which every node refuses one; never over what the engine asks */
    uint64_t answer_ms; /* how long a transaction waits for its block; 0: ENGINE_ANSWER_MS */
    uint64_t
        resend_ms; /* a batch that is in no block after it is handed to the engine again; 0: ENGINE_RESEND_MS */
    uint64_t retain_blocks; /* the engine may drop blocks older than these; 0: keeps all */
    /* Where snapshots for nodes that join are kept, the last two; absolute, borrowed until open returned; NULL: none are
     * made. One is made of the first block that changes something, then of the first that does at or after each
     * multiple of snapshot_blocks (0: ENGINE_SNAPSHOT_BLOCKS), the same ones on every node. */
    const char *snapshot_dir;
    uint64_t snapshot_blocks;
    /* What the engine's genesis says, for an empty ledger that is to begin with a snapshot (state sync); borrowed until open
     * returned. Empty: none is taken. After a crash in the midst of it ledger_open gives HM_ECONFLICT, and
     * ledger_restore_drop lets it begin anew. */
    struct hm_slice app_state;
    uint64_t initial_height;
    /* Appends what this node saw of the others, a packed VoteWitness (at most LEDGER_WITNESS_MAX_BYTES), or nothing: it goes
     * with this node's next vote. On the consensus thread, must not block. NULL: it says nothing. */
    int (*witness)(void *witness_ctx, struct hm_buf *out);
    void *witness_ctx;
    /* A connection of the engine with this pid has ended, and not because of engine_close: what engine_process_lost is to hear. Any
     * thread, must not block; NULL is fine. */
    void (*left)(void *left_ctx, int64_t pid);
    void *left_ctx;
};
#define ENGINE_SNAPSHOT_BLOCKS    UINT64_C(1000)
#define ENGINE_ANSWER_MS          UINT64_C(20000)
#define ENGINE_RESEND_MS          UINT64_C(5000)
#define ENGINE_PROPOSAL_MAX_BYTES ((size_t)4 << 20)
/* Of one batch in a cluster: every node checks it while the engine holds its pool of waiting items. */
#define ENGINE_CLUSTER_BATCH_TXS       256
#define ENGINE_CLUSTER_BATCH_MAX_BYTES ((size_t)256 << 10)
#define ENGINE_CLUSTER_BATCHES         4 /* of this node, that wait for their block at once */

/* Applies the block log first (as engine_solo_open; engine_solo_recover is for both), then serves the application and
 * starts the thread that hands batches to the engine. options as for solo, but batch_limit is at most
 * ENGINE_CLUSTER_BATCH_TXS. The ledger may be empty: the engine's genesis then brings the chain (InitChain), and until
 * it did engine_submit answers HM_EUNAVAILABLE. Info names the ledger's height only from ledger_era on, so that a ledger
 * that was one node's is taken over by InitChain. HM_EINVAL: a path too long. */
int engine_cometbft_open(const struct engine_options *options,
                         const struct engine_cometbft_options *cometbft, struct engine **out,
                         struct hm_error *error);
/* Only this process may be the engine from now on (0: any of our own user). Nothing in solo. Thread-safe. */
void engine_expect(struct engine *engine, int64_t pid);
/* The process is not started any more (engine_process_options.on_failure): what waits for its block is answered now, with this
 * sentence, as at engine_close; what comes is refused, and nobody waits for a height. on_failure is not called. The first
 * failure counts. Nothing in solo. Thread-safe, does not block. */
void engine_give_up(struct engine *engine, const struct hm_error *error);
/* The application itself, for who drives it without a server (abci_path NULL): tests, the simulator, other transports.
 * Borrowed until close; NULL in solo. */
const struct abci_handlers *engine_cometbft_handlers(struct engine *engine);
/* Appends what engine_genesis.app_state must hold for this ledger to go on as a cluster's chain: its Genesis alone when it
 * stands at height 0 (so packed Genesis does for a ledger yet to be made), else byte 0xF2, its height (8 bytes, big
 * endian), its state root, its Genesis. With it go the ledger's chain id, and initial_height = height + 1. InitChain
 * refuses what does not fit. HM_ENOMEM; HM_ENOTFOUND: an empty ledger. */
int engine_cometbft_app_state(struct ledger *ledger, struct hm_buf *out, struct hm_error *error);
/* The same of a ledger past height 0 for an engine that goes on where another one could not: byte 0xF3, height, state root, the
 * recovery's length (4 bytes, big endian), the recovery, the Genesis. With it goes the recovery's engine_chain as chain id. */
int engine_cometbft_recover_state(struct ledger *ledger, const Hypermesh__EngineRecovery *recovery,
                                  struct hm_buf *out, struct hm_error *error);
struct engine_cometbft_state {
    uint64_t height; /* of the ledger that it goes on from; 0: it begins */
    struct hm_slice genesis; /* the ledger's; points into app_state */
    Hypermesh__EngineRecovery *recovery; /* in the arena; NULL: none */
};
/* What an app_state says. HM_EINVAL. Pure. */
int engine_cometbft_state_read(struct hm_slice app_state, struct hm_arena *arena,
                               struct engine_cometbft_state *out, struct hm_error *error);
/* What the engine's genesis must say as consensus_params.version.app, and Info answers. */
#define ENGINE_APP_VERSION 1

/* Finishes the block under way (in a cluster: the engine's call under way), answers what still waits, stops: with
 * HM_EUNAVAILABLE what will not be in a block, with HM_ETIMEOUT what may be. No other call may be under way or follow.
 * NULL is fine. */
void engine_close(struct engine *engine);

/* Waits until the block at height is committed here, so that reads see it: HM_ETIMEOUT says both heights;
 * HM_EUNAVAILABLE: the engine has stopped. 0 at once when it is there already. Thread-safe. */
int engine_wait_height(struct engine *engine, uint64_t height, uint64_t timeout_ms,
                       struct hm_error *error);
/* A block, please, though nobody submits: something is due or is to be proved. Solo looks again whether something is due. A
 * cluster is asked once for the present height, however often this is called. Thread-safe; 0, or HM_EUNAVAILABLE. */
int engine_nudge(struct engine *engine, struct hm_error *error);
/* A link of the chain of delays (ledger_view_vdf_task) that this node has computed: it goes into the notes of its proposals for as
 * long as it is due. Copied; the newest counts. Thread-safe. Solo: HM_EUNSUPPORTED. HM_EINVAL: not 256 bytes each. */
int engine_offer_vdf(struct engine *engine, uint64_t index, struct hm_slice output,
                     struct hm_slice proof, struct hm_error *error);
/* The engine's signed header at a height and the validators who signed it, from the engine, in the arena; block height
 * (0: the newest). HM_EUNSUPPORTED: solo; HM_ENOTFOUND: the engine has not got it (any more); HM_EUNAVAILABLE; HM_ETIMEOUT; HM_EBUSY: it hangs over
 * another one. Blocks for a few seconds at most. Thread-safe. */
int engine_light_block(struct engine *engine, uint64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error);

/* Checks the transaction (ledger_check_tx, on the caller's thread), copies it and queues it. 0: done will
 * be called, once. Negative: refused, done is not called; HM_EBUSY when the queue is full,
 * HM_EUNAVAILABLE with the reason when the engine has stopped, or does not believe the wall clock. What one thread submits is ordered as it
 * was submitted. Thread-safe. */
int engine_submit(struct engine *engine, struct hm_slice tx, engine_done done, void *ctx,
                  struct hm_error *error);

/* A copy of what done received; created holds ids in operation order. */
#define ENGINE_CREATED_MAX 64
struct engine_receipt {
    uint8_t digest[CRYPTO_HASH_BYTES];
    int code; /* 0 or HM_E* */
    char text[HM_ERROR_TEXT_BYTES];
    uint64_t fee;
    uint32_t op;
    size_t created_count;
    uint8_t created[ENGINE_CREATED_MAX][WIRE_ID_BYTES];
    /* Packed TxResult that holds nothing but `kv`, the answers of its key-value operations; empty when there
     * are none. The receipt's own. */
    struct hm_buf kv;
    bool kv_lost; /* there was no memory to keep them */
    struct engine_block block;
};
/* Copies what done received into a receipt that holds nothing yet; block may be NULL. For callers that wait by
 * means of their own. */
void engine_receipt_fill(struct engine_receipt *receipt, const Hypermesh__TxResult *result,
                         const struct engine_block *block);
/* As fill, of a transaction that several share: of the answers only those of operations from..from+count-1,
 * numbered from 0. */
void engine_receipt_fill_part(struct engine_receipt *receipt, const Hypermesh__TxResult *result,
                              const struct engine_block *block, uint32_t from, uint32_t count);
/* The answers, in the arena; HM_ENOMEM also when they were lost (the transaction is durable all the same). */
int engine_receipt_answers(const struct engine_receipt *receipt, struct hm_arena *arena,
                           Hypermesh__KvAnswer ***out, size_t *count, struct hm_error *error);
void engine_receipt_release(struct engine_receipt *receipt); /* idempotent; NULL is fine */

/* Submits and waits until durable; then the receipt is the caller's to release. Returns 0 also when the transaction failed in its block (see
 * receipt->code); negative when it was refused or the engine stopped; HM_ETIMEOUT: see engine_done. */
int engine_submit_wait(struct engine *engine, struct hm_slice tx, struct engine_receipt *receipt,
                       struct hm_error *error);

struct engine_status {
    const char *name; /* "solo", "cometbft" */
    bool failed;
    char failure[HM_ERROR_TEXT_BYTES];
    bool clock_refused; /* the wall clock is not believed: see ENGINE_CLOCK_AHEAD_MAX_MS */
    size_t queued;
    uint64_t blocks, txs; /* since start */
    uint64_t busy_ns; /* writer thread's time in blocks */
    uint64_t height; /* last block committed here */
    uint64_t block_time_ms;
    uint64_t block_age_ms; /* by this machine's wall clock; 0 also when that is behind */
    size_t pending; /* transactions handed to the engine that are in no block yet; solo: 0 */
    /* Of a cluster's engine; in solo zero, "" and true for validator and reachable. What it says of itself is 0.3 s
     * old where it answers promptly, two seconds at most, and the call may wait a few hundred milliseconds for it. */
    char engine_version[32]; /* "0.38.25"; "": has not been here yet */
    unsigned starts; /* how often an engine has begun to talk to us since open; 1: no restart */
    unsigned peers;
    bool reachable; /* it answers on its RPC socket */
    bool catching_up;
    bool validator; /* its key is one of the last block's validators */
    unsigned rank; /* of it among them, by power; when validator */
    uint64_t engine_height; /* its own newest block; 0: unknown */
};
void engine_get_status(struct engine *engine, struct engine_status *out);

#endif
