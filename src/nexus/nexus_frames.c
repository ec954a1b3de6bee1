#include "nexus_frames.h"

static int header_read(struct nexus_frames *frames, struct hm_error *error)
{
    const uint8_t *h = frames->header;
    uint32_t length = hm_get_be32(h + 4);

    if ((h[0] != 1 && h[0] != 2) || h[1] != 0 || h[2] != 0 || h[3] != 0)
        return hm_fail(error, HM_EPARSE,
                       "the output is damaged at byte %llu: no frame begins there",
                       (unsigned long long)(frames->offset - NEXUS_FRAME_HEADER_BYTES));
    if (length > NEXUS_FRAME_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT,
                       "the output is damaged at byte %llu: a frame of %u bytes, at most %u",
                       (unsigned long long)(frames->offset - NEXUS_FRAME_HEADER_BYTES), length,
                       NEXUS_FRAME_MAX_BYTES);
    frames->stream = h[0];
    frames->left = length;
    frames->header_len = 0;
    return 0;
}

int nexus_frames_feed(struct nexus_frames *frames, const uint8_t *data, size_t len,
                      nexus_frames_take take, void *ctx, struct hm_error *error)
{
    while (len > 0) {
        size_t step;
        int rc;

        if (frames->left > 0) {
            step = len < frames->left ? len : frames->left;
            rc = take(ctx, frames->stream, data, step, error);
            frames->left -= (uint32_t)step;
            frames->offset += step;
        } else {
            size_t missing = NEXUS_FRAME_HEADER_BYTES - frames->header_len;

            step = len < missing ? len : missing;
            memcpy(frames->header + frames->header_len, data, step);
            frames->header_len += step;
            frames->offset += step;
            rc = frames->header_len == NEXUS_FRAME_HEADER_BYTES ? header_read(frames, error) : 0;
        }
        if (rc)
            return rc;
        data += step;
        len -= step;
    }
    return 0;
}

int nexus_frames_end(const struct nexus_frames *frames, struct hm_error *error)
{
    if (frames->left > 0 || frames->header_len > 0)
        return hm_fail(error, HM_EPARSE, "the output breaks off inside a frame, at byte %llu",
                       (unsigned long long)frames->offset);
    return 0;
}
