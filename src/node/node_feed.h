/* The feed: who wants to hear of which news. The engine's thread says that a block is there, which costs it next to
 * nothing; the feed's own thread reads which keys changed and wakes exactly those who asked for them.
 *
 * No wake is lost: subscribe, then read, then wait. What was durable before the subscription is there to be read,
 * what comes after it wakes. A wake may come for nothing. */
#ifndef HM_NODE_FEED_H
#define HM_NODE_FEED_H

#include <pthread.h>
#include <stdatomic.h>

#include "api.h"
#include "base.h"

#define NODE_SUBSCRIPTIONS_MAX 65536

/* Called with each changed key; true: no more need be read. */
typedef bool (*node_feed_key)(void *ctx, struct hm_slice key);

/* Where the feed reads changes: every key that changed in the revisions from..to, in any order. A failure wakes
 * everybody. */
struct node_feed_source {
    int (*changes)(void *ctx, uint64_t from, uint64_t to, node_feed_key key, void *key_ctx,
                   struct hm_error *error);
    void *ctx;
};

struct node_interest;

struct node_feed {
    struct node_feed_source source;
    pthread_t thread;
    bool running;

    pthread_mutex_t
        news_lock; /* guards the next four; the engine takes it, so only ever for a moment */
    pthread_cond_t arrived;
    bool news, quit;
    uint64_t kv_latest; /* revision of the newest block */

    _Atomic size_t block_count, kv_count; /* subscriptions */
    pthread_mutex_t lock; /* guards the rest; held while subscribers are woken */
    struct api_subscription *blocks; /* list of those who want every block */
    struct node_interest **interests; /* distinct ranges, sorted by their beginning */
    uint32_t *reach; /* of the tree that the array is: whose end is the last of those below it */
    size_t interest_count, interest_cap;
    bool reach_old; /* an interest came or went */
    size_t unwoken; /* interests that this round has not woken yet */
    uint64_t round;
    uint64_t kv_seen; /* changes up to here are told */
};

void node_feed_init(struct node_feed *feed, const struct node_feed_source *source);
/* revision: of the key-value store now. */
int node_feed_start(struct node_feed *feed, uint64_t revision, struct hm_error *error);
void node_feed_stop(
    struct node_feed *feed); /* ends the thread; subscriptions may still be given back */
void node_feed_release(struct node_feed *feed);

/* A block is durable. Any thread; returns at once. */
void node_feed_tell(struct node_feed *feed, uint64_t kv_before, uint64_t kv_after);

/* As struct api_backend's. HM_EBUSY past NODE_SUBSCRIPTIONS_MAX. */
int node_feed_subscribe(struct node_feed *feed, const struct api_interest *interest,
                        void (*wake)(void *wake_ctx), void *wake_ctx, struct api_subscription **out,
                        struct hm_error *error);
void node_feed_unsubscribe(struct node_feed *feed, struct api_subscription *subscription);

#endif
