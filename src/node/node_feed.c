#include "node_feed.h"

/* A range of keys that one or more subscribers asked for. */
struct node_interest {
    struct api_subscription *first;
    uint64_t round; /* the last one that woke it */
    struct hm_slice begin, end; /* [begin, end) */
    bool endless;
    uint8_t bytes[]; /* begin, end */
};

struct api_subscription {
    void (*wake)(void *ctx);
    void *ctx;
    bool blocks;
    struct api_subscription *next_block, **at_block;
    struct node_interest *interest; /* NULL: no keys */
    struct api_subscription *next, **at; /* of its interest's */
};

static int node_slice_compare(struct hm_slice a, struct hm_slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least == 0 ? 0 : memcmp(a.data, b.data, least);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* --- interests: sorted, and a tree over the array that says how far ranges reach -------------------------------- */

static int node_interest_compare(const struct node_interest *a, const struct node_interest *b)
{
    int order = node_slice_compare(a->begin, b->begin);

    if (order != 0)
        return order;
    if (a->endless || b->endless)
        return a->endless - b->endless;
    return node_slice_compare(a->end, b->end);
}

/* Ends a after b? */
static bool node_interest_outlasts(const struct node_interest *a, const struct node_interest *b)
{
    return !b->endless && (a->endless || node_slice_compare(a->end, b->end) > 0);
}

static bool node_interest_ends_after(const struct node_interest *interest, struct hm_slice key)
{
    return interest->endless || node_slice_compare(interest->end, key) > 0;
}

/* etcd's ranges: no end is the one key, a zero byte alone is everything from the key on. */
static struct node_interest *node_interest_new(struct hm_slice key, struct hm_slice range_end)
{
    bool one = range_end.len == 0;
    bool endless = range_end.len == 1 && range_end.data[0] == 0;
    size_t end_len = one ? key.len + 1 : endless ? 0 : range_end.len;
    struct node_interest *interest = hm_calloc(1, sizeof(*interest) + key.len + end_len);

    if (interest == NULL)
        return NULL;
    memcpy(interest->bytes, key.data, key.len);
    if (one) /* the first key after it */
        memcpy(interest->bytes + key.len, key.data, key.len);
    else if (!endless)
        memcpy(interest->bytes + key.len, range_end.data, range_end.len);
    interest->begin = hm_slice_of(interest->bytes, key.len);
    interest->end = hm_slice_of(interest->bytes + key.len, end_len);
    interest->endless = endless;
    return interest;
}

/* Where the interest is, or belongs. Under the lock. */
static size_t node_interest_place(const struct node_feed *feed,
                                  const struct node_interest *interest, bool *there)
{
    size_t low = 0, high = feed->interest_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = node_interest_compare(feed->interests[middle], interest);

        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there = false;
    return low;
}

static bool node_interests_grow(struct node_feed *feed)
{
    size_t cap = feed->interest_cap == 0 ? 64 : feed->interest_cap * 2;
    struct node_interest **interests = hm_realloc(feed->interests, cap * sizeof(*interests));

    if (interests == NULL)
        return false;
    feed->interests = interests;
    uint32_t *reach = hm_realloc(feed->reach, cap * sizeof(*reach));
    if (reach == NULL)
        return false;
    feed->reach = reach;
    feed->interest_cap = cap;
    return true;
}

/* The feed's interest in that range; NULL: memory. Under the lock. */
static struct node_interest *node_interest_get(struct node_feed *feed, struct hm_slice key,
                                               struct hm_slice range_end)
{
    struct node_interest *interest = node_interest_new(key, range_end);
    bool there;

    if (interest == NULL)
        return NULL;
    size_t place = node_interest_place(feed, interest, &there);
    if (there) {
        hm_free(interest);
        return feed->interests[place];
    }
    if (feed->interest_count == feed->interest_cap && !node_interests_grow(feed)) {
        hm_free(interest);
        return NULL;
    }
    memmove(feed->interests + place + 1, feed->interests + place,
            (feed->interest_count - place) * sizeof(*feed->interests));
    feed->interests[place] = interest;
    feed->interest_count++;
    feed->reach_old = true;
    interest->round = feed->round; /* nothing of this round is news to it */
    return interest;
}

/* Under the lock. */
static void node_interest_drop(struct node_feed *feed, struct node_interest *interest)
{
    bool there;
    size_t place = node_interest_place(feed, interest, &there);

    memmove(feed->interests + place, feed->interests + place + 1,
            (feed->interest_count - place - 1) * sizeof(*feed->interests));
    feed->interest_count--;
    feed->reach_old = true;
    if (interest->round != feed->round && feed->unwoken > 0)
        feed->unwoken--;
    hm_free(interest);
}

/* Of the subtree [low, high): the index of the one that ends last, kept at its middle. */
static uint32_t node_reach_build(struct node_feed *feed, size_t low, size_t high)
{
    size_t middle = low + (high - low) / 2;
    uint32_t last = (uint32_t)middle;

    for (unsigned side = 0; side < 2; side++) {
        size_t from = side == 0 ? low : middle + 1, to = side == 0 ? middle : high;

        if (from == to)
            continue;
        uint32_t other = node_reach_build(feed, from, to);
        if (node_interest_outlasts(feed->interests[other], feed->interests[last]))
            last = other;
    }
    feed->reach[middle] = last;
    return last;
}

/* --- waking ------------------------------------------------------------------------------------------------------ */

static void node_interest_wake(struct node_feed *feed, struct node_interest *interest)
{
    if (interest->round == feed->round)
        return;
    interest->round = feed->round;
    feed->unwoken--;
    for (struct api_subscription *at = interest->first; at != NULL; at = at->next)
        at->wake(at->ctx);
}

/* Wakes the interests in [low, high) that the key lies in. Depth: the logarithm of their number. */
static void node_key_wake(struct node_feed *feed, size_t low, size_t high, struct hm_slice key)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct node_interest *interest = feed->interests[middle];

        if (!node_interest_ends_after(feed->interests[feed->reach[middle]], key))
            return; /* nothing here reaches so far */
        node_key_wake(feed, low, middle, key);
        if (node_slice_compare(interest->begin, key) > 0)
            return;
        if (node_interest_ends_after(interest, key))
            node_interest_wake(feed, interest);
        low = middle + 1;
    }
}

static bool node_feed_changed(void *ctx, struct hm_slice key)
{
    struct node_feed *feed = ctx;

    pthread_mutex_lock(&feed->lock);
    if (feed->interest_count > 0) {
        if (feed->reach_old)
            (void)node_reach_build(feed, 0, feed->interest_count);
        feed->reach_old = false;
        node_key_wake(feed, 0, feed->interest_count, key);
    }
    bool enough = feed->unwoken == 0;
    pthread_mutex_unlock(&feed->lock);
    return enough;
}

static void node_feed_wake_all(struct node_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    for (size_t i = 0; i < feed->interest_count; i++)
        node_interest_wake(feed, feed->interests[i]);
    pthread_mutex_unlock(&feed->lock);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* Those of every block are woken; of the keys, *from..to are to be read, when *from is not 0. */
static void node_feed_round(struct node_feed *feed, uint64_t to, uint64_t *from)
{
    pthread_mutex_lock(&feed->lock);
    for (struct api_subscription *at = feed->blocks; at != NULL; at = at->next_block)
        at->wake(at->ctx);
    *from = feed->interest_count > 0 && to > feed->kv_seen ? feed->kv_seen + 1 : 0;
    if (to > feed->kv_seen)
        feed->kv_seen = to;
    feed->round++;
    feed->unwoken = feed->interest_count;
    pthread_mutex_unlock(&feed->lock);
}

static bool node_feed_wait(struct node_feed *feed, uint64_t *to)
{
    pthread_mutex_lock(&feed->news_lock);
    while (!feed->news && !feed->quit)
        pthread_cond_wait(&feed->arrived, &feed->news_lock);
    feed->news = false;
    *to = feed->kv_latest;
    bool quit = feed->quit;
    pthread_mutex_unlock(&feed->news_lock);
    return !quit;
}

static void *node_feed_main(void *arg)
{
    struct node_feed *feed = arg;
    uint64_t from, to;

    (void)pthread_setname_np(pthread_self(), "hm-feed");
    while (node_feed_wait(feed, &to)) {
        struct hm_error error = {0};

        node_feed_round(feed, to, &from);
        if (from == 0)
            continue;
        if (feed->source.changes(feed->source.ctx, from, to, node_feed_changed, feed, &error) !=
            0) { /* compacted already, or no memory: they look for themselves */
            hm_log(HM_LOG_DEBUG, "node", "changes are not told one by one: %s", error.text);
            node_feed_wake_all(feed);
        }
    }
    return NULL;
}

void node_feed_tell(struct node_feed *feed, uint64_t kv_before, uint64_t kv_after)
{
    pthread_mutex_lock(&feed->news_lock);
    if (kv_after > feed->kv_latest)
        feed->kv_latest = kv_after;
    if (atomic_load(&feed->block_count) > 0 ||
        (kv_after > kv_before && atomic_load(&feed->kv_count) > 0)) {
        feed->news = true;
        pthread_cond_signal(&feed->arrived);
    }
    pthread_mutex_unlock(&feed->news_lock);
}

/* --- subscriptions --------------------------------------------------------------------------------------------- */

/* Under the lock. */
static int node_feed_add_keys(struct node_feed *feed, struct api_subscription *subscription,
                              const struct api_interest *interest)
{
    struct node_interest *wanted = node_interest_get(feed, interest->kv_key,
                                                     interest->kv_range_end);

    if (wanted == NULL)
        return HM_ENOMEM;
    subscription->interest = wanted;
    subscription->next = wanted->first;
    subscription->at = &wanted->first;
    if (wanted->first != NULL)
        wanted->first->at = &subscription->next;
    wanted->first = subscription;
    if (atomic_fetch_add(&feed->kv_count, 1) ==
        0) { /* nobody listened so far: begin with what comes */
        pthread_mutex_lock(&feed->news_lock);
        feed->kv_seen = feed->kv_latest;
        pthread_mutex_unlock(&feed->news_lock);
    }
    return 0;
}

/* Under the lock. */
static void node_feed_add_blocks(struct node_feed *feed, struct api_subscription *subscription)
{
    subscription->next_block = feed->blocks;
    subscription->at_block = &feed->blocks;
    if (feed->blocks != NULL)
        feed->blocks->at_block = &subscription->next_block;
    feed->blocks = subscription;
    atomic_fetch_add(&feed->block_count, 1);
}

int node_feed_subscribe(struct node_feed *feed, const struct api_interest *interest,
                        void (*wake)(void *wake_ctx), void *wake_ctx, struct api_subscription **out,
                        struct hm_error *error)
{
    struct api_subscription *subscription = hm_calloc(1, sizeof(*subscription));
    int rc = subscription == NULL ? HM_ENOMEM : 0;

    if (rc != 0)
        return hm_fail(error, rc, "no memory for a subscription");
    subscription->wake = wake;
    subscription->ctx = wake_ctx;
    subscription->blocks = interest->blocks;
    pthread_mutex_lock(&feed->lock);
    if (atomic_load(&feed->block_count) + atomic_load(&feed->kv_count) >= NODE_SUBSCRIPTIONS_MAX)
        rc = hm_fail(error, HM_EBUSY, "%d watch already: try again later", NODE_SUBSCRIPTIONS_MAX);
    else if (interest->kv_key.len > 0 && node_feed_add_keys(feed, subscription, interest) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a subscription");
    if (rc == 0 && interest->blocks)
        node_feed_add_blocks(feed, subscription);
    pthread_mutex_unlock(&feed->lock);
    if (rc != 0) {
        hm_free(subscription);
        return rc;
    }
    *out = subscription;
    return 0;
}

void node_feed_unsubscribe(struct node_feed *feed, struct api_subscription *subscription)
{
    if (subscription == NULL)
        return;
    pthread_mutex_lock(&feed->lock);
    if (subscription->blocks) {
        *subscription->at_block = subscription->next_block;
        if (subscription->next_block != NULL)
            subscription->next_block->at_block = subscription->at_block;
        atomic_fetch_sub(&feed->block_count, 1);
    }
    if (subscription->interest != NULL) {
        *subscription->at = subscription->next;
        if (subscription->next != NULL)
            subscription->next->at = subscription->at;
        if (subscription->interest->first == NULL)
            node_interest_drop(feed, subscription->interest);
        atomic_fetch_sub(&feed->kv_count, 1);
    }
    pthread_mutex_unlock(&feed->lock);
    hm_free(subscription);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void node_feed_init(struct node_feed *feed, const struct node_feed_source *source)
{
    *feed = (struct node_feed){.source = *source};
    pthread_mutex_init(&feed->news_lock, NULL);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->arrived, NULL);
}

int node_feed_start(struct node_feed *feed, uint64_t revision, struct hm_error *error)
{
    pthread_mutex_lock(&feed->news_lock);
    feed->kv_latest = revision;
    pthread_mutex_unlock(&feed->news_lock);
    if (pthread_create(&feed->thread, NULL, node_feed_main, feed) != 0)
        return hm_fail(error, HM_ENOMEM, "no thread for the feed of news");
    feed->running = true;
    return 0;
}

void node_feed_stop(struct node_feed *feed)
{
    if (!feed->running)
        return;
    pthread_mutex_lock(&feed->news_lock);
    feed->quit = true;
    pthread_cond_signal(&feed->arrived);
    pthread_mutex_unlock(&feed->news_lock);
    pthread_join(feed->thread, NULL);
    feed->running = false;
}

void node_feed_release(struct node_feed *feed)
{
    hm_free(feed->interests);
    hm_free(feed->reach);
    pthread_cond_destroy(&feed->arrived);
    pthread_mutex_destroy(&feed->lock);
    pthread_mutex_destroy(&feed->news_lock);
}
