#include "api_frames.h"

static int take_header(struct api_frames *frames, uint8_t byte, struct hm_error *error)
{
    const uint8_t *header = frames->header;

    frames->header[frames->header_len++] = byte;
    if (frames->header_len < API_FRAME_HEADER_BYTES)
        return 0;
    if ((header[0] != 1 && header[0] != 2) || header[1] != 0 || header[2] != 0 || header[3] != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the job's log is damaged: a frame does not begin where one should");
    frames->payload_left = hm_get_be32(header + 4);
    frames->header_len = 0;
    return 0;
}

int api_frames_strip(struct api_frames *frames, uint8_t *data, size_t len, size_t *kept,
                     struct hm_error *error)
{
    size_t used = 0;
    size_t at = 0;

    while (at < len) {
        if (frames->payload_left > 0) {
            size_t part = len - at < frames->payload_left ? len - at : (size_t)frames->payload_left;

            memmove(data + used, data + at, part);
            used += part;
            at += part;
            frames->payload_left -= part;
        } else {
            int rc = take_header(frames, data[at], error);

            if (rc)
                return rc;
            at++;
        }
    }
    *kept = used;
    return 0;
}
