/* Server-sent events. First byte: how many bytes to feed at once; the rest: the stream. What comes out must not
 * depend on how it was cut. */
#include <stdlib.h>

#include "nexus_sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(void *ctx, const struct nexus_sse_event *event, struct hm_error *error)
{
    struct hm_buf *out = ctx;

    (void)error;
    if (!event->type[0])
        abort();
    return hm_buf_append(out, event->id, strlen(event->id) + 1) ||
                   hm_buf_append(out, event->type, strlen(event->type) + 1)
               ? HM_ENOMEM
               : hm_buf_append(out, event->data, event->data_len + 1);
}

static void run(const uint8_t *data, size_t size, size_t step, struct hm_buf *out)
{
    struct nexus_sse sse = {0};

    for (size_t at = 0; at < size; at += step)
        if (nexus_sse_feed(&sse, data + at, size - at < step ? size - at : step, take, out, NULL))
            break;
    nexus_sse_release(&sse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
    HM_CLEANUP(hm_buf) struct hm_buf cut = {0};

    if (size < 2)
        return 0;
    run(data + 1, size - 1, size, &whole);
    run(data + 1, size - 1, (size_t)data[0] + 1, &cut);
    if (!hm_slice_equal(hm_buf_slice(&whole), hm_buf_slice(&cut)))
        abort();
    return 0;
}
