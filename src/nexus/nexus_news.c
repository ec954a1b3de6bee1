#include "nexus_news.h"

#include <errno.h>
#include <unistd.h>

#include "nexus_text.h"

#define ENOUGH (-101) /* all that was asked for was shown, or nobody reads any more */

struct stream {
    const struct nexus_news *news;
    struct nexus_sse sse;
    uint64_t shown;
    char last[128]; /* id of the last event */
};

static int print(struct stream *stream, const struct hm_buf *text, struct hm_error *error)
{
    int rc = hm_write_all(1, text->data, text->len, error);

    if (rc && errno == EPIPE)
        return ENOUGH;
    if (rc)
        return hm_error_prefix(error, rc, "standard output");
    stream->shown++;
    return stream->shown == stream->news->most ? ENOUGH : 0;
}

static int take_event(void *ctx, const struct nexus_sse_event *event, struct hm_error *error)
{
    struct stream *stream = ctx;
    struct nexus_call *call = stream->news->call;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    NEXUS_AUTOJSON json_t *data = NULL;
    int rc = 0;

    if (strlen(event->id) < sizeof(stream->last))
        memcpy(stream->last, event->id, strlen(event->id) + 1);
    rc = hm_json_parse(hm_slice_of(event->data, event->data_len), 0, &data, NULL);
    if (rc)
        return hm_fail(error, rc,
                       rc == HM_ENOMEM ? "no memory to read an event"
                                       : "the node sent an event that is not JSON");
    if (strcmp(event->type, "error") == 0)
        return hm_fail(error, HM_EIO, "the node ended the stream: %s",
                       nexus_json_text(data, "detail"));
    if (strcmp(event->type, "compacted") == 0)
        return hm_fail(error, HM_ERANGE, "history before revision %llu is compacted",
                       (unsigned long long)nexus_json_u64(data, "compacted"));
    if (call->format != NEXUS_FORMAT_TABLE) {
        if (hm_buf_append(&out, event->data, event->data_len) || hm_buf_append(&out, "\n", 1))
            rc = hm_fail(error, HM_ENOMEM, "out of memory");
    } else {
        rc = stream->news->line(call, event, data, &out);
        if (rc)
            *error = call->error;
    }
    return rc ? rc : print(stream, &out, error);
}

static int take_bytes(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct stream *stream = ctx;

    return nexus_sse_feed(&stream->sse, data, len, take_event, stream, error);
}

static int once(struct stream *stream)
{
    struct nexus_call *call = stream->news->call;
    struct nexus_request request = {.method = "GET",
                                    .path = stream->news->path,
                                    .take = take_bytes,
                                    .wake_fd = -1,
                                    .ctx = stream};
    int rc = stream->last[0]
                 ? nexus_query(call, &request.path, stream->news->resume, stream->last)
                 : nexus_query(call, &request.path, stream->news->start, stream->news->start_value);

    if (!rc)
        rc = nexus_connect(call);
    return rc ? rc : nexus_client_send(call->client, &request, NULL, &call->error);
}

int nexus_news_follow(const struct nexus_news *news)
{
    struct stream stream = {.news = news};
    bool begun = false;
    int rc;

    for (;;) {
        rc = once(&stream);
        nexus_sse_release(&stream.sse);
        stream.sse = (struct nexus_sse){0};
        begun = begun || rc == 0 || stream.last[0];
        if (!news->follow || (rc != 0 && rc != NEXUS_EUNREACHABLE) || !begun)
            break;
        if (rc)
            nexus_say("the node is away; waiting for it");
        (void)usleep(NEXUS_NEWS_RETRY_MS * 1000);
    }
    return rc == ENOUGH ? 0 : rc;
}
