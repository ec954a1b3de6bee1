/* Frames of a job's log: 1 byte stream (1 stdout, 2 stderr), 3 zero bytes, be32 length, payload. */
#ifndef HM_API_FRAMES_H
#define HM_API_FRAMES_H

#include "base.h"

#define API_FRAME_HEADER_BYTES 8

/* Where in a frame the bytes seen so far end. Zero-initialised: before the first. */
struct api_frames {
    uint8_t header[API_FRAME_HEADER_BYTES];
    size_t header_len;
    uint64_t payload_left;
};

/* Takes the headers out of the next len bytes, in place; *kept is what is left of them at data.
 * The bytes may be cut anywhere. HM_ECORRUPT: no such frames. */
int api_frames_strip(struct api_frames *frames, uint8_t *data, size_t len, size_t *kept,
                     struct hm_error *error);

#endif
