/* Where streams begin and what they filter: a query and a Last-Event-ID, with a line break between
 * them. The first byte picks the stream. */
#include <stdlib.h>

#include "api_feed.h"
#include "fake_backend.h"

#define TEXT_MAX     1500
#define STREAM_READS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

/* Every event has its three lines and ends with an empty one. */
static void check_events(struct api_stream *stream)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    uint8_t block[4096];

    for (unsigned i = 0; i < STREAM_READS; i++) {
        int got = stream->read(stream, block, sizeof(block));

        if (got <= 0)
            break;
        require(hm_buf_append(&out, block, (size_t)got) == 0);
    }
    if (out.len > 0)
        require(out.len >= 2 && (out.data[0] == 'i' || out.data[0] == ':' || out.data[0] == 'e'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const streams[] = {"/events?follow=0&", "/kv-watch?", "/audit?"};
    static struct fake fake;
    static struct api_core core;
    static bool open;
    struct api_request request = {.method = "GET", .peer_known = true, .peer_uid = geteuid()};
    struct api_response response = {0};
    char target[TEXT_MAX + 32];
    char text[TEXT_MAX + 1];
    uint64_t first = 0;
    uint32_t second = 0;
    bool whole = false;
    char *last;
    size_t kind;

    if (size == 0 || size > TEXT_MAX || memchr(data, 0, size))
        return 0;
    if (!open) {
        fake_init(&fake);
        require(api_core_init(&core, &fake.backend, hm_clock_system(), NULL) == 0);
        open = true;
    }
    kind = data[0] % HM_COUNT_OF(streams);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    last = strchr(text, '\n');
    if (last)
        *last++ = '\0';
    if (last && api_cursor_parse(last, &first, &second, &whole, NULL) == 0)
        require(first < UINT64_MAX && (!whole || second == 0));
    (void)snprintf(target, sizeof(target), "%s%s", streams[kind], text);
    request.target = target;
    request.last_event_id = last;
    api_core_handle(&core, &request, &response);
    require(response.status >= 200 && response.status < 600);
    if (response.stream && kind < 2)
        check_events(response.stream);
    api_response_release(&response);
    return 0;
}
