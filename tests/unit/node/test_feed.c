/* The feed of news, over a log of changed keys that the test writes: who is woken, and that no wake is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "node_feed.h"

#define LOG_MAX  200000
#define WATCHERS 64
#define WRITES   20000

struct log {
    pthread_mutex_t lock;
    uint32_t keys[LOG_MAX]; /* "k" + number, by revision - 2 */
    uint64_t revision;
    uint64_t last_round; /* changes after this revision are their keys' last; 0: not yet */
    bool broken; /* reads fail */
    _Atomic uint64_t told; /* keys handed to the feed */
};

struct setting {
    struct node_feed feed;
    struct log log;
};

static struct hm_slice key_text(uint32_t number, char out[16])
{
    return hm_slice_of(out, (size_t)snprintf(out, 16, "k%05u", number));
}

static int log_changes(void *ctx, uint64_t from, uint64_t to, node_feed_key key, void *key_ctx,
                       struct hm_error *error)
{
    struct log *log = ctx;

    pthread_mutex_lock(&log->lock);
    bool broken = log->broken;
    pthread_mutex_unlock(&log->lock);
    if (broken)
        return hm_fail(error, HM_ERANGE, "compacted");
    for (uint64_t revision = from; revision <= to; revision++) {
        char text[16];

        pthread_mutex_lock(&log->lock);
        uint32_t number = log->keys[revision - 2];
        pthread_mutex_unlock(&log->lock);
        atomic_fetch_add(&log->told, 1);
        if (key(key_ctx, key_text(number, text)))
            return 0;
    }
    return 0;
}

/* A block of `count` changes from this key on. */
static void write_block(struct setting *setting, uint32_t first, unsigned count)
{
    struct log *log = &setting->log;

    pthread_mutex_lock(&log->lock);
    uint64_t before = log->revision;
    for (unsigned i = 0; i < count; i++)
        log->keys[log->revision++ - 1] = first + i;
    uint64_t after = log->revision;
    pthread_mutex_unlock(&log->lock);
    node_feed_tell(&setting->feed, before, after);
}

static int setup(void **state)
{
    struct setting *setting = hm_calloc(1, sizeof(*setting));
    struct hm_error error;

    if (setting == NULL)
        return -1;
    const struct node_feed_source source = {.changes = log_changes, .ctx = &setting->log};
    pthread_mutex_init(&setting->log.lock, NULL);
    setting->log.revision = 1;
    node_feed_init(&setting->feed, &source);
    *state = setting;
    return node_feed_start(&setting->feed, 1, &error);
}

static int teardown(void **state)
{
    struct setting *setting = *state;

    node_feed_stop(&setting->feed);
    assert_int_equal(setting->feed.interest_count, 0);
    assert_int_equal(setting->feed.kv_count, 0);
    assert_int_equal(setting->feed.block_count, 0);
    node_feed_release(&setting->feed);
    pthread_mutex_destroy(&setting->log.lock);
    hm_free(setting);
    return 0;
}

/* --- one that counts -------------------------------------------------------------------------------------- */

struct ear {
    _Atomic unsigned wakes;
    struct api_subscription *subscription;
};

static void ear_wake(void *ctx)
{
    struct ear *ear = ctx;

    atomic_fetch_add(&ear->wakes, 1);
}

static void ear_open(struct setting *setting, struct ear *ear, const char *key, const char *end,
                     size_t end_len)
{
    const struct api_interest interest = {.kv_key = hm_slice_str(key),
                                          .kv_range_end = hm_slice_of(end, end_len)};

    assert_int_equal(
        node_feed_subscribe(&setting->feed, &interest, ear_wake, ear, &ear->subscription, NULL), 0);
}

static void ear_close(struct setting *setting, struct ear *ear)
{
    node_feed_unsubscribe(&setting->feed, ear->subscription);
    ear->subscription = NULL;
}

static void nap(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Until the feed has told of everything so far. */
static void settle(struct setting *setting)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&setting->feed.news_lock);
        bool news = setting->feed.news;
        pthread_mutex_unlock(&setting->feed.news_lock);
        pthread_mutex_lock(&setting->feed.lock);
        bool seen = setting->feed.kv_seen == setting->feed.kv_latest || setting->feed.kv_count == 0;
        pthread_mutex_unlock(&setting->feed.lock);
        nap();
        if (!news && seen)
            return;
    }
    fail_msg("the feed does not keep up");
}

static void expect(struct ear *ear, unsigned wakes)
{
    for (int i = 0; i < 2000 && atomic_load(&ear->wakes) < wakes; i++)
        nap();
    assert_int_equal(atomic_load(&ear->wakes), wakes);
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

static void test_only_those_concerned_are_woken(void **state)
{
    struct setting *setting = *state;
    struct ear one = {0}, range = {0}, all = {0}, other = {0}, nested = {0};

    ear_open(setting, &one, "k00005", "", 0);
    ear_open(setting, &range, "k00003", "k00007", 6);
    ear_open(setting, &nested, "k00004", "k00005", 6);
    ear_open(setting, &all, "k", "\0", 1);
    ear_open(setting, &other, "z", "\0", 1);
    write_block(setting, 5, 1);
    expect(&one, 1);
    expect(&range, 1);
    expect(&all, 1);
    settle(setting);
    expect(&nested, 0); /* its end is not in it */
    expect(&other, 0);
    write_block(setting, 6, 1);
    expect(&range, 2);
    expect(&all, 2);
    write_block(setting, 7, 1);
    expect(&all, 3);
    settle(setting);
    expect(&one, 1);
    expect(&range, 2);
    write_block(setting, 4, 3); /* one wake a block, however many keys */
    expect(&nested, 1);
    expect(&one, 2);
    expect(&range, 3);
    expect(&all, 4);
    expect(&other, 0);
    ear_close(setting, &one);
    ear_close(setting, &range);
    ear_close(setting, &nested);
    ear_close(setting, &all);
    ear_close(setting, &other);
}

static void test_equal_interests_are_one(void **state)
{
    struct setting *setting = *state;
    struct ear ears[8] = {0};

    for (size_t i = 0; i < HM_COUNT_OF(ears); i++)
        ear_open(setting, &ears[i], "k00001", "k00009", 6);
    assert_int_equal(setting->feed.interest_count, 1);
    write_block(setting, 2, 1);
    for (size_t i = 0; i < HM_COUNT_OF(ears); i++)
        expect(&ears[i], 1);
    for (size_t i = 0; i < 4; i++)
        ear_close(setting, &ears[i]);
    write_block(setting, 3, 1);
    for (size_t i = 4; i < HM_COUNT_OF(ears); i++) {
        expect(&ears[i], 2);
        ear_close(setting, &ears[i]);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(atomic_load(&ears[i].wakes), 1);
}

static void test_every_block_wakes_who_asked_for_blocks(void **state)
{
    struct setting *setting = *state;
    const struct api_interest blocks = {.blocks = true};
    struct ear ear = {0};

    assert_int_equal(
        node_feed_subscribe(&setting->feed, &blocks, ear_wake, &ear, &ear.subscription, NULL), 0);
    node_feed_tell(&setting->feed, 1, 1); /* nothing of the store changed in it */
    expect(&ear, 1);
    write_block(setting, 1, 1);
    expect(&ear, 2);
    assert_int_equal(setting->log.told, 0); /* nobody asked for keys */
    ear_close(setting, &ear);
}

static void test_what_cannot_be_read_wakes_all(void **state)
{
    struct setting *setting = *state;
    struct ear near = {0}, far = {0};

    ear_open(setting, &near, "k00001", "", 0);
    ear_open(setting, &far, "z", "", 0);
    pthread_mutex_lock(&setting->log.lock);
    setting->log.broken = true;
    pthread_mutex_unlock(&setting->log.lock);
    write_block(setting, 1, 1);
    expect(&near, 1);
    expect(&far, 1);
    ear_close(setting, &near);
    ear_close(setting, &far);
}

/* What was written before the first subscription is not read again. */
static void test_history_is_not_told(void **state)
{
    struct setting *setting = *state;
    struct ear ear = {0};

    write_block(setting, 0, 1000);
    ear_open(setting, &ear, "k00001", "", 0);
    write_block(setting, 2000, 1);
    settle(setting);
    assert_int_equal(atomic_load(&ear.wakes), 0);
    assert_true(atomic_load(&setting->log.told) <= 1);
    ear_close(setting, &ear);
}

/* A thousand watchers of other keys must cost a change next to nothing. */
static void test_many_interests_stay_cheap(void **state)
{
    struct setting *setting = *state;
    static struct ear ears[2000];
    uint64_t began_ns;

    for (uint32_t i = 0; i < HM_COUNT_OF(ears); i++) {
        char text[16];

        (void)key_text(i, text);
        ears[i].wakes = 0;
        ear_open(setting, &ears[i], text, "", 0);
    }
    began_ns = hm_mono_ns(hm_clock_system());
    for (unsigned i = 0; i < 100; i++)
        write_block(setting, 50000, 1000);
    settle(setting);
    assert_true(hm_mono_ns(hm_clock_system()) - began_ns < UINT64_C(20000000000));
    for (size_t i = 0; i < HM_COUNT_OF(ears); i++) {
        assert_int_equal(atomic_load(&ears[i].wakes), 0);
        ear_close(setting, &ears[i]);
    }
}

/* --- subscribe, read, wait: nothing is missed --------------------------------------------------------------------- */

struct watcher {
    struct setting *setting;
    pthread_t thread;
    uint32_t key;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
    uint64_t last; /* revision of the key's last change; 0: not written yet */
};

static void watcher_wake(void *ctx)
{
    struct watcher *watcher = ctx;

    pthread_mutex_lock(&watcher->lock);
    watcher->wake = true;
    pthread_cond_signal(&watcher->woken);
    pthread_mutex_unlock(&watcher->lock);
}

/* The last change of the key that is in the log from a revision on. */
static uint64_t watcher_read(struct watcher *watcher, uint64_t *from, bool *over)
{
    struct log *log = &watcher->setting->log;
    uint64_t last = 0;

    pthread_mutex_lock(&log->lock);
    for (; *from <= log->revision; (*from)++) {
        if (log->keys[*from - 2] != watcher->key)
            continue;
        last = *from;
        *over = log->last_round > 0 && last > log->last_round;
    }
    pthread_mutex_unlock(&log->lock);
    return last;
}

/* Each round is a subscription of its own, which comes and goes while others write. */
static void *watcher_main(void *arg)
{
    struct watcher *watcher = arg;
    char text[16];
    const struct api_interest interest = {.kv_key = key_text(watcher->key, text)};
    uint64_t from = 2;
    bool over = false;

    while (!over) {
        struct api_subscription *mine;

        assert_int_equal(node_feed_subscribe(&watcher->setting->feed, &interest, watcher_wake,
                                             watcher, &mine, NULL),
                         0);
        for (int round = 0; round < 20 && !over; round++) {
            uint64_t found = watcher_read(watcher, &from, &over);

            watcher->last = found > 0 ? found : watcher->last;
            pthread_mutex_lock(&watcher->lock);
            while (!over && !watcher->wake) /* for ever, if a wake is lost */
                pthread_cond_wait(&watcher->woken, &watcher->lock);
            watcher->wake = false;
            pthread_mutex_unlock(&watcher->lock);
        }
        node_feed_unsubscribe(&watcher->setting->feed, mine);
    }
    return NULL;
}

static void test_no_wake_is_lost(void **state)
{
    struct setting *setting = *state;
    static struct watcher watchers[WATCHERS];
    uint64_t last[WATCHERS] = {0};
    uint64_t seed = 1;

    for (uint32_t i = 0; i < WATCHERS; i++) {
        watchers[i] = (struct watcher){.setting = setting,
                                       .key = i,
                                       .lock = PTHREAD_MUTEX_INITIALIZER,
                                       .woken = PTHREAD_COND_INITIALIZER};
        assert_int_equal(pthread_create(&watchers[i].thread, NULL, watcher_main, &watchers[i]), 0);
    }
    for (unsigned i = 0; i < WRITES; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        uint32_t key = (uint32_t)(seed >> 33) % WATCHERS;

        write_block(setting, key, 1);
        last[key] = setting->log.revision;
    }
    pthread_mutex_lock(&setting->log.lock);
    setting->log.last_round = setting->log.revision;
    pthread_mutex_unlock(&setting->log.lock);
    for (uint32_t i = 0; i < WATCHERS; i++) {
        write_block(setting, i, 1);
        last[i] = setting->log.revision;
    }
    for (uint32_t i = 0; i < WATCHERS; i++) {
        pthread_join(watchers[i].thread, NULL);
        assert_int_equal(watchers[i].last, last[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_those_concerned_are_woken),
        TEST(test_equal_interests_are_one),
        TEST(test_every_block_wakes_who_asked_for_blocks),
        TEST(test_what_cannot_be_read_wakes_all),
        TEST(test_history_is_not_told),
        TEST(test_many_interests_stay_cheap),
        TEST(test_no_wake_is_lost),
    };

    return cmocka_run_group_tests_name("node_feed", tests, NULL, NULL);
}
