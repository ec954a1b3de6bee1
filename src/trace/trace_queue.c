/* The queue and the thread that empties it. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "trace_queue.h"

#define SAY_EVERY_NS UINT64_C(60000000000)

static struct {
    atomic_bool on;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t filled;
    struct trace_span *spans; /* ring of TRACE_QUEUE_MAX */
    size_t first, count;
    bool ending;
    struct trace_stats stats;

    /* Set by open, read by others only while on. */
    struct trace_options options;
    char *url, *service, *instance;
    pthread_t thread;
    CURL *curl;
    uint64_t said_ns;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool trace_on(void)
{
    return atomic_load_explicit(&queue.on, memory_order_acquire);
}

const struct hm_clock *trace_queue_clock(void)
{
    return queue.options.clock;
}

uint32_t trace_queue_sample_ppm(void)
{
    return queue.options.sample_ppm;
}

uint64_t trace_queue_seed(void)
{
    uint64_t seed = 0;

    if (queue.options.random->fill(queue.options.random->ctx, &seed, sizeof(seed)) || seed == 0)
        seed = hm_mono_ns(queue.options.clock) | 1;
    return seed;
}

void trace_queue_put(const struct trace_span *span)
{
    pthread_mutex_lock(&queue.lock);
    if (!queue.spans || queue.ending || queue.count == TRACE_QUEUE_MAX) {
        queue.stats.dropped++;
    } else {
        queue.spans[(queue.first + queue.count++) % TRACE_QUEUE_MAX] = *span;
        if (queue.count == TRACE_BATCH_MAX)
            pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
}

void trace_get_stats(struct trace_stats *out)
{
    pthread_mutex_lock(&queue.lock);
    *out = queue.stats;
    pthread_mutex_unlock(&queue.lock);
}

/* --- sending ---------------------------------------------------------------------------------- */

static size_t ignore(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    return size * count;
}

/* At most once a minute: a collector that is down must not fill the log. */
static void complain(const char *why, long status)
{
    uint64_t now = hm_mono_ns(queue.options.clock);

    if (queue.said_ns && now - queue.said_ns < SAY_EVERY_NS)
        return;
    queue.said_ns = now;
    hm_log(HM_LOG_WARN, "trace", "the collector does not take traces: %s (HTTP %ld)", why, status);
}

static bool post(const struct hm_buf *body)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode rc;

    if (!headers)
        return false;
    (void)curl_easy_setopt(queue.curl, CURLOPT_URL, queue.url);
    (void)curl_easy_setopt(queue.curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(queue.curl, CURLOPT_POSTFIELDS, body->data);
    (void)curl_easy_setopt(queue.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    (void)curl_easy_setopt(queue.curl, CURLOPT_WRITEFUNCTION, ignore);
    (void)curl_easy_setopt(queue.curl, CURLOPT_TIMEOUT_MS, (long)TRACE_TIMEOUT_MS);
    (void)curl_easy_setopt(queue.curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(queue.curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(queue.curl, CURLOPT_ERRORBUFFER, why);
    rc = curl_easy_perform(queue.curl);
    (void)curl_easy_getinfo(queue.curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_setopt(queue.curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    if (rc == CURLE_OK && status >= 200 && status < 300)
        return true;
    complain(why[0] ? why : curl_easy_strerror(rc), status);
    return false;
}

/* Under the lock, which it gives up meanwhile. */
static void send_batch(struct trace_span *batch)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    size_t count = queue.count < TRACE_BATCH_MAX ? queue.count : TRACE_BATCH_MAX;
    bool taken;

    for (size_t i = 0; i < count; i++)
        batch[i] = queue.spans[(queue.first + i) % TRACE_QUEUE_MAX];
    queue.first = (queue.first + count) % TRACE_QUEUE_MAX;
    queue.count -= count;
    pthread_mutex_unlock(&queue.lock);
    taken = trace_otlp(&queue.options, batch, count, &body) == 0 && post(&body);
    pthread_mutex_lock(&queue.lock);
    if (taken)
        queue.stats.sent += count;
    else
        queue.stats.dropped += count;
    queue.stats.failures += !taken;
    /* What could not be sent while ending will not be sent later either. */
    if (!taken && queue.ending) {
        queue.stats.dropped += queue.count;
        queue.count = 0;
    }
}

static void *sender(void *ctx)
{
    struct trace_span *batch = ctx;

    pthread_mutex_lock(&queue.lock);
    while (!queue.ending || queue.count > 0) {
        struct timespec until;

        if (queue.count < TRACE_BATCH_MAX && !queue.ending) {
            (void)clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += TRACE_EVERY_MS / 1000;
            (void)pthread_cond_timedwait(&queue.filled, &queue.lock, &until);
        }
        if (queue.count > 0)
            send_batch(batch);
    }
    pthread_mutex_unlock(&queue.lock);
    hm_free(batch);
    return NULL;
}

/* --- open and close --------------------------------------------------------------------------- */

static void release(void)
{
    if (queue.curl)
        curl_easy_cleanup(queue.curl);
    queue.curl = NULL;
    hm_free(queue.spans);
    queue.spans = NULL;
    hm_free(queue.url);
    hm_free(queue.service);
    hm_free(queue.instance);
    queue.url = queue.service = queue.instance = NULL;
}

static int start(struct hm_error *error)
{
    struct trace_span *batch = hm_calloc(TRACE_BATCH_MAX, sizeof(*batch));
    pthread_condattr_t attributes;

    if (!batch)
        return hm_fail(error, HM_ENOMEM, "no memory for traces");
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&queue.filled, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    queue.first = queue.count = 0;
    queue.ending = false;
    if (pthread_create(&queue.thread, NULL, sender, batch) != 0) {
        hm_free(batch);
        (void)pthread_cond_destroy(&queue.filled);
        return hm_fail(error, HM_ENOMEM, "no thread to send traces");
    }
    return 0;
}

int trace_open(const struct trace_options *options, struct hm_error *error)
{
    int rc;

    if (trace_on())
        return hm_fail(error, HM_EEXIST, "traces are being sent already");
    if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0)
        return hm_fail(error, HM_EINVAL,
                       "'%.100s' is no collector: write http://HOST:4318/v1/traces", options->url);
    if (options->sample_ppm > 1000000)
        return hm_fail(error, HM_ERANGE, "a share of %u of a million traces", options->sample_ppm);
    queue.spans = hm_calloc(TRACE_QUEUE_MAX, sizeof(*queue.spans));
    queue.url = hm_strdup(options->url);
    queue.service = hm_strdup(options->service);
    queue.instance = hm_strdup(options->instance ? options->instance : "");
    queue.curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!queue.spans || !queue.url || !queue.service || !queue.instance || !queue.curl) {
        release();
        return hm_fail(error, HM_ENOMEM, "no memory for traces");
    }
    queue.options = *options;
    queue.options.url = queue.url;
    queue.options.service = queue.service;
    queue.options.instance = queue.instance;
    rc = start(error);
    if (rc) {
        release();
        return rc;
    }
    atomic_store_explicit(&queue.on, true, memory_order_release);
    return 0;
}

void trace_close(void)
{
    if (!trace_on())
        return;
    atomic_store_explicit(&queue.on, false, memory_order_release);
    pthread_mutex_lock(&queue.lock);
    queue.ending = true;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
    (void)pthread_join(queue.thread, NULL);
    (void)pthread_cond_destroy(&queue.filled);
    pthread_mutex_lock(&queue.lock);
    release();
    pthread_mutex_unlock(&queue.lock);
}
