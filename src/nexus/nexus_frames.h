/* Decoder of a job's output as the API streams it: frames of 1 byte stream (1 stdout, 2 stderr), 3 zero
 * bytes, be32 length, payload. A step function: bytes in, pieces of payload out, nothing kept but the
 * header of the frame under way. */
#ifndef HM_NEXUS_FRAMES_H
#define HM_NEXUS_FRAMES_H

#include "base.h"

#define NEXUS_FRAME_HEADER_BYTES 8
/* The node writes what one read of a pipe gave it; far more is not a frame. */
#define NEXUS_FRAME_MAX_BYTES ((uint32_t)16 << 20)

/* Zero-initialised is ready. */
struct nexus_frames {
    uint8_t header[NEXUS_FRAME_HEADER_BYTES];
    size_t header_len;
    uint32_t left; /* payload bytes still to come */
    int stream; /* 1 or 2 while payload is to come */
    uint64_t offset; /* bytes taken so far, for errors */
};

/* Receives payload as it comes, 1..len bytes at a time; a failure ends the feeding. */
typedef int (*nexus_frames_take)(void *ctx, int stream, const uint8_t *data, size_t len,
                                 struct hm_error *error);

/* HM_EPARSE names the offset of a header that is none; HM_ELIMIT past NEXUS_FRAME_MAX_BYTES; what `take`
 * returned. After a failure the decoder is of no further use. */
int nexus_frames_feed(struct nexus_frames *frames, const uint8_t *data, size_t len,
                      nexus_frames_take take, void *ctx, struct hm_error *error);
/* At the end of the stream: HM_EPARSE when it stopped inside a frame. */
int nexus_frames_end(const struct nexus_frames *frames, struct hm_error *error);

#endif
