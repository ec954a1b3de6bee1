/* Reads HTTP/1.1 answers as they come in, in whatever pieces: status, length or chunks, whether the connection
 * stays. Knows what a benchmark meets from servers on its own machine, no more. */
#ifndef LOAD_HTTP_H
#define LOAD_HTTP_H

#include "base.h"

#define LOAD_HTTP_LINE_MAX 1024

enum load_http_state {
    LOAD_HTTP_STATUS,
    LOAD_HTTP_HEADERS,
    LOAD_HTTP_BODY,
    LOAD_HTTP_CHUNK_SIZE,
    LOAD_HTTP_CHUNK,
    LOAD_HTTP_CHUNK_END,
    LOAD_HTTP_TRAILER,
    LOAD_HTTP_DONE,
};

/* body: is told of each piece of the body; may be NULL. */
struct load_http {
    enum load_http_state state;
    unsigned status;
    bool chunked, closes;
    uint64_t left; /* bytes of the body or chunk still to come */
    size_t line_len;
    char line[LOAD_HTTP_LINE_MAX];
    void (*body)(void *ctx, struct hm_slice piece);
    void *ctx;
};

/* Makes it ready for the next answer; keeps body and ctx. */
void load_http_begin(struct load_http *http);
/* Takes bytes until the answer is whole (state DONE) or they are used up; *used says how many. HM_EPARSE. */
int load_http_feed(struct load_http *http, struct hm_slice bytes, size_t *used,
                   struct hm_error *error);

#endif
