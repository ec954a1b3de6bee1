#include "api_feed.h"

#include "api_handlers.h"

#define NS_PER_MS UINT64_C(1000000)
/* A timer that fires a little early must not cost a whole beat. */
#define BEAT_SLACK_MS 500

static int hand_out(struct api_feed *feed, uint8_t *out, size_t size)
{
    size_t part = feed->out.len - feed->out_at;

    part = part < size ? part : size;
    memcpy(out, feed->out.data + feed->out_at, part);
    feed->out_at += part;
    feed->spoke_ns = hm_mono_ns(feed->core->clock);
    return (int)part;
}

static bool beat_is_due(const struct api_feed *feed)
{
    return feed->beat && hm_mono_ns(feed->core->clock) - feed->spoke_ns >=
                             (API_FEED_BEAT_MS - BEAT_SLACK_MS) * NS_PER_MS;
}

static int feed_read(struct api_stream *stream, uint8_t *out, size_t size)
{
    struct api_feed *feed = (struct api_feed *)(void *)stream;
    int rc = 0;

    if (feed->out_at < feed->out.len)
        return hand_out(feed, out, size);
    hm_buf_clear(&feed->out);
    feed->out_at = 0;
    if (feed->ended)
        return API_STREAM_END;
    hm_arena_clear(&feed->arena);
    rc = feed->turn(feed);
    if (rc != 0 && rc != API_STREAM_END)
        return rc;
    feed->ended = rc == API_STREAM_END;
    if (rc == 0 && feed->out.len == 0 && beat_is_due(feed))
        rc = hm_buf_append_str(&feed->out, feed->beat);
    if (feed->out.len > 0)
        return hand_out(feed, out, size);
    if (feed->ended)
        return API_STREAM_END;
    return rc ? rc : API_STREAM_WAIT;
}

static void feed_wake(void *ctx)
{
    struct api_feed *feed = ctx;

    (void)pthread_mutex_lock(&feed->lock);
    if (feed->wake)
        feed->wake(feed->wake_ctx);
    (void)pthread_mutex_unlock(&feed->lock);
}

void api_feed_again(struct api_feed *feed)
{
    feed_wake(feed);
}

static void feed_attach(struct api_stream *stream, void (*wake)(void *wake_ctx), void *wake_ctx)
{
    struct api_feed *feed = (struct api_feed *)(void *)stream;

    (void)pthread_mutex_lock(&feed->lock);
    feed->wake = wake;
    feed->wake_ctx = wake_ctx;
    (void)pthread_mutex_unlock(&feed->lock);
}

static void feed_release(struct api_stream *stream)
{
    struct api_feed *feed = (struct api_feed *)(void *)stream;
    const struct api_backend *backend = feed->core->backend;

    for (size_t i = 0; i < feed->subscription_count; i++)
        backend->unsubscribe(backend->ctx, feed->subscriptions[i]);
    hm_free(feed->subscriptions);
    if (feed->state_release)
        feed->state_release(feed->state);
    (void)pthread_mutex_destroy(&feed->lock);
    hm_buf_release(&feed->out);
    hm_arena_release(&feed->arena);
    hm_free(feed);
}

int api_feed_follow(struct api_feed *feed, const struct api_interest *interest,
                    struct hm_error *error)
{
    const struct api_backend *backend = feed->core->backend;
    struct api_subscription **more = hm_realloc(
        feed->subscriptions, (feed->subscription_count + 1) * sizeof(struct api_subscription *));
    int rc;

    if (!more)
        return api_no_memory(error);
    feed->subscriptions = more;
    rc = backend->subscribe(backend->ctx, interest, feed_wake, feed,
                            &more[feed->subscription_count], error);
    feed->subscription_count += rc == 0;
    return rc;
}

int api_feed_open(struct api_call *call, const struct api_interest *interest, api_feed_turn turn,
                  void *state, void (*state_release)(void *state), const char *beat,
                  struct hm_error *error)
{
    struct api_feed *feed = hm_calloc(1, sizeof(*feed));
    int rc = 0;

    if (!feed)
        return api_no_memory(error);
    feed->base = (struct api_stream){.read = feed_read,
                                     .attach = feed_attach,
                                     .beat_ms = beat ? API_FEED_BEAT_MS : 0,
                                     .release = feed_release};
    feed->core = call->core;
    feed->turn = turn;
    feed->beat = beat;
    feed->spoke_ns = hm_mono_ns(call->core->clock);
    hm_arena_init(&feed->arena, API_FEED_ARENA_MAX);
    (void)pthread_mutex_init(&feed->lock, NULL);
    if (interest)
        rc = api_feed_follow(feed, interest, error);
    if (rc) {
        feed_release(&feed->base);
        return rc;
    }
    feed->state = state;
    feed->state_release = state_release;
    call->response->stream = &feed->base;
    return 0;
}

int api_sse_begin(struct hm_buf *out, const char *id, const char *event)
{
    int rc = id ? hm_buf_printf(out, "id: %s\n", id) : 0;

    return rc ? rc : hm_buf_printf(out, "event: %s\ndata: ", event);
}

int api_sse_end(struct hm_buf *out)
{
    return hm_buf_append(out, "\n\n", 2);
}

int api_cursor_parse(const char *text, uint64_t *first, uint32_t *second, bool *whole,
                     struct hm_error *error)
{
    char head[24];
    size_t len = strcspn(text, ".");
    uint64_t one = 0;
    uint64_t two = 0;
    int rc;

    if (len == 0 || len >= sizeof(head))
        return hm_fail(error, HM_EPARSE, "must be NUMBER or NUMBER.NUMBER");
    memcpy(head, text, len);
    head[len] = '\0';
    rc = hm_u64_parse(head, &one, error);
    if (rc == 0 && text[len] == '.')
        rc = hm_u64_parse(text + len + 1, &two, error);
    if (rc)
        return rc;
    if (two > UINT32_MAX || one == UINT64_MAX)
        return hm_fail(error, HM_ERANGE, "that number is too large");
    *first = one;
    *second = (uint32_t)two;
    *whole = text[len] == '\0';
    return 0;
}
