/* One request and its answer, without sockets. Everything here comes from outside and is checked
 * here. */
#ifndef HM_API_REQUEST_H
#define HM_API_REQUEST_H

#include "api_field.h"

enum api_transport { API_TRANSPORT_UNIX, API_TRANSPORT_TCP };

struct api_request {
    const char *method;
    const char *target; /* as received: path, or path?query, percent-encoded */
    /* Headers, NULL when absent. */
    const char *host;
    const char *origin;
    const char *authorization;
    const char *content_type;
    enum api_transport transport;
    bool peer_known; /* unix socket: peer_uid is what the kernel says */
    uid_t peer_uid;
    struct hm_slice body;
};

#define API_SEGMENTS_MAX   6
#define API_QUERY_MAX      16
#define API_SEGMENT_MAX    1024 /* bytes, decoded: a state key in hexadecimal is the longest */
#define API_AUTH_MAX_BYTES 256

/* Path and query, decoded; memory is the arena's. */
struct api_target {
    const char *segments[API_SEGMENTS_MAX];
    size_t segment_count;
    struct api_pair query[API_QUERY_MAX];
    size_t query_count;
};

/* HM_EPARSE: bad escape, NUL or control character, not UTF-8, no leading "/", empty segment.
 * HM_ELIMIT: too long, too many. */
int api_target_parse(const char *target, struct hm_arena *arena, struct api_target *out,
                     struct hm_error *error);

/* True when the Content-Type header names this media type, whatever its parameters. */
bool api_content_type_is(const char *header, const char *media_type);

/* Bytes that come bit by bit. Read by one thread; `core` closing ends it. */
struct api_stream {
    /* Up to size bytes into out: their count; 0 when none came within wait_ms; API_STREAM_END;
     * or HM_E*, when the stream broke and the client must see that it did. */
    int (*read)(struct api_stream *stream, uint8_t *out, size_t size, unsigned wait_ms);
    void (*release)(struct api_stream *stream);
};
#define API_STREAM_END (-1000)
#define API_STREAM_MAX ((size_t)1 << 20) /* one read */

struct api_response {
    unsigned status;
    const char *content_type; /* static text */
    const char *allow; /* static text, or NULL: of 405 */
    bool ask_token; /* 401: WWW-Authenticate */
    struct hm_buf body; /* when stream is NULL */
    struct api_stream *stream; /* owned */
};

void api_response_release(struct api_response *response);

#endif
