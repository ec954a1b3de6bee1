/* The decoder of job output. First byte: how many bytes to feed at once; the rest: the stream. What comes out
 * must not depend on how it was cut, and must never be more than went in. */
#include <stdlib.h>

#include "nexus_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t bytes;
    uint64_t hash; /* order of payload and stream */
};

static int take(void *ctx, int stream, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct sum *sum = ctx;

    (void)error;
    if ((stream != 1 && stream != 2) || len == 0)
        abort();
    for (size_t i = 0; i < len; i++)
        sum->hash = sum->hash * 1099511628211u ^ (uint64_t)(data[i] + 256 * stream);
    sum->bytes += len;
    return 0;
}

static int run(const uint8_t *data, size_t size, size_t step, struct sum *sum)
{
    struct nexus_frames frames = {0};
    struct hm_error error = {0};

    for (size_t at = 0; at < size; at += step) {
        size_t len = size - at < step ? size - at : step;
        int rc = nexus_frames_feed(&frames, data + at, len, take, sum, &error);

        if (rc)
            return rc;
    }
    return nexus_frames_end(&frames, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sum whole = {0};
    struct sum pieces = {0};

    if (size < 1)
        return 0;
    if (run(data + 1, size - 1, size, &whole) != run(data + 1, size - 1, data[0] + 1u, &pieces))
        abort();
    if (whole.bytes != pieces.bytes || whole.hash != pieces.hash || whole.bytes > size)
        abort();
    return 0;
}
