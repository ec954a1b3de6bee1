/* engine: orders transactions into blocks. One interface, engines behind it: `solo` orders inside this
 * process, the embedded default. A `cometbft` engine will drive the same ledger functions over ABCI 2.0.
 *
 * Never: looks inside a transaction, decides a rule, writes to the store by itself.
 * Start reading with engine_submit, then engine_solo.c. */
#ifndef HM_ENGINE_H
#define HM_ENGINE_H

#include "base.h"
#include "ledger.h"
#include "wire.h"

struct engine;

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
 * false) is not kept in the block either: block is then the newest one that it was judged after.
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
/* Finishes the block under way, answers what still waits with HM_EUNAVAILABLE, stops. No other call may be
 * under way or follow. NULL is fine. */
void engine_close(struct engine *engine);

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
 * receipt->code); negative when it was refused or the engine stopped. */
int engine_submit_wait(struct engine *engine, struct hm_slice tx, struct engine_receipt *receipt,
                       struct hm_error *error);

struct engine_status {
    const char *name; /* "solo" */
    bool failed;
    char failure[HM_ERROR_TEXT_BYTES];
    bool clock_refused; /* the wall clock is not believed: see ENGINE_CLOCK_AHEAD_MAX_MS */
    size_t queued;
    uint64_t blocks, txs; /* since start */
    uint64_t busy_ns; /* writer thread's time in blocks */
};
void engine_get_status(struct engine *engine, struct engine_status *out);

#endif
