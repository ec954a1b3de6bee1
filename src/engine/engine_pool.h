/* What waits for a block of the cluster: transactions queued, sealed into batches, handed to the engine, found again in a
 * block. Private to this room.
 *
 * One thread seals and hands over; the consensus thread brings the blocks. An item is answered once: with its result, or
 * that it will not be in a block, or that nobody knows yet. */
#ifndef HM_ENGINE_POOL_H
#define HM_ENGINE_POOL_H

#include "engine_app.h"
#include "engine_rpc.h"

#define ENGINE_POOL_BUCKETS      4096 /* of digests; a power of two */
#define ENGINE_POOL_FULL_MS      UINT64_C(50) /* until the engine's pool is tried again */
#define ENGINE_POOL_DOWN_MS      UINT64_C(200) /* until an engine that is not there is tried again */
#define ENGINE_POOL_CALL_MS      UINT64_C(5000) /* for one hand-over */
#define ENGINE_POOL_ASK_AGAIN_MS UINT64_C(3000) /* a block that was asked for did not come */
#define ENGINE_POOL_STAGGER_MS   UINT64_C(200) /* between who asks first and who second */
#define ENGINE_POOL_STAGGER_MAX  16 /* who has no rank among the first asks as if it had this one */
#define ENGINE_POOL_LOOK_MS      UINT64_C(10000) /* the wall clock may be set meanwhile */

struct pool_batch;

struct pool_item {
    struct pool_item *next; /* in the queue, in its batch, or among those to be answered */
    struct pool_item *same; /* with digests that begin alike */
    struct pool_batch *batch; /* NULL: queued */
    const Hypermesh__TxResult *result; /* found in the block under way */
    uint8_t digest[CRYPTO_HASH_BYTES];
    engine_done done;
    void *ctx;
    uint64_t deadline_ns;
    int code; /* of a refusal on its way, HM_E* */
    bool again; /* it was in a block before what it follows, and waits for another */
    size_t len;
    uint8_t tx[];
};

struct pool_batch {
    struct pool_batch *next;
    struct pool_item *first; /* still unanswered, in order */
    size_t count;
    struct hm_buf bytes;
    bool busy; /* the thread hands it over without the lock */
    bool handed; /* the engine has or may have it */
    bool over; /* found in a block, or all answered: to be freed by who clears busy */
    uint64_t sent_ns; /* 0: to be handed over */
    unsigned start; /* of the engine, when it was */
};

struct pool_list {
    struct pool_item *first, *last;
};

struct engine_pool_options {
    const struct engine_options *engine; /* borrowed */
    const struct engine_cometbft_options *cometbft; /* borrowed */
};

struct engine_pool {
    struct engine_options options; /* defaults filled in */
    uint64_t answer_ns, resend_ns;
    uint8_t validator_address[ENGINE_ADDRESS_BYTES];
    struct engine_rpc *rpc; /* the thread's, but for stop */
    pthread_t thread;
    bool running;
    struct hm_slice *txs; /* the thread's: room for batch_limit */
    pthread_mutex_t
        answers; /* done and on_block are called one at a time; taken before `lock` where both are */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    struct pool_item *first,
        *last; /* the queue; only the thread takes items off, or puts some in front */
    struct pool_list again; /* what the thread is to put in front of it */
    size_t queued, queued_bytes;
    struct pool_batch *batches; /* in the order of their sealing */
    size_t batch_count;
    size_t pending; /* items in them */
    struct pool_item **table;
    bool stopping;
    struct hm_error failure; /* code 0: none */
    bool has_chain;
    uint64_t height, block_ms, next_due_ms;
    bool validator;
    unsigned rank;
    unsigned starts; /* of the engine */
    char version[32]; /* its own */
    bool reachable;
    bool complained; /* in the log, since it was last reachable */
    uint64_t retry_ns; /* nothing is handed over before */
    uint64_t nudge_height; /* a block after this one is wished for; UINT64_MAX: none */
    uint64_t asked_height, asked_due_ms, asked_ns; /* what the last request was for */
    uint64_t blocks, total_txs, busy_ns;
};

int engine_pool_new(const struct engine_pool_options *options, struct engine_pool **out,
                    struct hm_error *error);
void engine_pool_free(struct engine_pool *pool); /* NULL is fine; after stop */
int engine_pool_start(struct engine_pool *pool, struct hm_error *error); /* its thread */
/* Ends the thread; everything that waits is answered. */
void engine_pool_stop(struct engine_pool *pool);

/* 0 when it would be taken now; see engine_submit. */
int engine_pool_admit(struct engine_pool *pool, size_t len, struct hm_error *error);
/* Copies and queues a transaction that was checked. */
int engine_pool_put(struct engine_pool *pool, struct hm_slice tx,
                    const uint8_t digest[CRYPTO_HASH_BYTES], engine_done done, void *ctx,
                    struct hm_error *error);
/* What the application tells. commit answers, and calls on_block. */
void engine_pool_commit(struct engine_pool *pool, const struct engine_app_commit *commit);
void engine_pool_chain(struct engine_pool *pool, const struct ledger_info *info);
void engine_pool_engine_started(struct engine_pool *pool, const char *version);
void engine_pool_status(struct engine_pool *pool, struct engine_status *out);
/* When the oldest of what waits for a block was put, on the monotonic clock; 0: nothing does. */
uint64_t engine_pool_oldest_ms(struct engine_pool *pool);
void engine_pool_fail(struct engine_pool *pool, const struct hm_error *error);
int engine_pool_nudge(struct engine_pool *pool, struct hm_error *error);

/* --- parts, by file ------------------------------------------------------------------------------------- */
/* engine_pool_run.c */
void *engine_pool_main(void *pool);
/* engine_pool_match.c. Under the lock. Items of the batch go into the table, or out of it. */
void engine_pool_index(struct engine_pool *pool, struct pool_item *item);
void engine_pool_unindex(struct engine_pool *pool, struct pool_item *item);
/* Takes the batch off the list and frees it, later when it is busy. Its items must be gone from it. */
void engine_pool_drop(struct engine_pool *pool, struct pool_batch *batch);
/* engine_pool.c */
void engine_pool_list_add(struct pool_list *list, struct pool_item *item);
/* Answers all of them as refused, with code; text by the code, or error's when not NULL; frees them. Without the
 * lock. */
void engine_pool_refuse(struct engine_pool *pool, struct pool_list *list,
                        const struct hm_error *error);

#endif
