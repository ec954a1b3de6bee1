/* Streams that follow the ledger: what there is to say is read from it, news of it wake. A slow
 * reader loses nothing, it reads at its own pace. */
#ifndef HM_API_FEED_H
#define HM_API_FEED_H

#include <pthread.h>

#include "api_core.h"

#define API_FEED_BEAT_MS    10000 /* a comment at least this often */
#define API_FEED_TURN_BYTES ((size_t)64 << 10) /* appended in one turn, about */
/* Of one turn. What the largest block (32 MiB) may need at once to be told: its operations as messages (small ones
 * take some four times their bytes), the values of its keys once more, its record with 16 MiB of answers; with
 * a half to spare. It is a bound, not a reservation. */
#define API_FEED_ARENA_MAX ((size_t)320 << 20)

struct api_feed;
/* Appends to feed->out what there is to say now, about API_FEED_TURN_BYTES of it: 0; nothing
 * appended: wait for news; API_STREAM_END when all is said (what was appended still goes out); or
 * HM_E*. feed->arena is clear at the start. Never waits. */
typedef int (*api_feed_turn)(struct api_feed *feed);

struct api_feed {
    struct api_stream base; /* first: the interface */
    struct api_core *core;
    api_feed_turn turn;
    void (*state_release)(void *state); /* frees it; may be NULL */
    void *state; /* the turn's own */
    const char *beat; /* what a heartbeat is; NULL: none */
    struct hm_arena arena;
    struct hm_buf out;
    size_t out_at;
    uint64_t spoke_ns; /* when something was last handed out */
    bool ended;

    struct api_subscription **subscriptions;
    size_t subscription_count; /* 0: does not follow */
    pthread_mutex_t lock;
    void (*wake)(void *ctx); /* under the lock */
    void *wake_ctx;
};

/* Makes the feed the call's answer. interest NULL: it only reads what is there. On failure state is
 * the caller's still. */
int api_feed_open(struct api_call *call, const struct api_interest *interest, api_feed_turn turn,
                  void *state, void (*state_release)(void *state), const char *beat,
                  struct hm_error *error);

/* News of this wake it too. */
int api_feed_follow(struct api_feed *feed, const struct api_interest *interest,
                    struct hm_error *error);

/* In a turn that found nothing to say but has not looked at everything: read it again soon. */
void api_feed_again(struct api_feed *feed);

/* Appends "id: ", "event: " and "data: " lines of one server-sent event: call _begin, write JSON
 * without line breaks into out, call _end. id may be NULL. */
int api_sse_begin(struct hm_buf *out, const char *id, const char *event);
int api_sse_end(struct hm_buf *out);
#define API_SSE_MEDIA "text/event-stream"
#define API_SSE_BEAT  ": \n\n"

/* "12.3" or "12": two numbers; *whole: the second was left out (0 then). Pure. */
int api_cursor_parse(const char *text, uint64_t *first, uint32_t *second, bool *whole,
                     struct hm_error *error);

#endif
