/* One request and its answer, without sockets. Everything here comes from outside and is checked
 * here. */
#ifndef HM_API_REQUEST_H
#define HM_API_REQUEST_H

#include <stdatomic.h>

#include "api.h"
#include "api_field.h"

enum api_transport {
    API_TRANSPORT_UNIX,
    API_TRANSPORT_TCP,
    API_TRANSPORT_KV /* loopback without a token, for what etcd serves only */
};

struct api_request {
    const char *method;
    const char *target; /* as received: path, or path?query, percent-encoded */
    /* Headers, NULL when absent. */
    const char *host;
    const char *origin;
    const char *authorization;
    const char *content_type;
    const char *if_match;
    const char *if_none_match;
    const char *last_event_id;
    const char *idempotency_key;
    const char *traceparent;
    enum api_transport transport;
    bool peer_known; /* unix socket: peer_uid is what the kernel says */
    uid_t peer_uid;
    const atomic_bool *gone; /* the client hung up: waiting is in vain; NULL: not known */
    struct hm_slice body;
};

#define API_SEGMENTS_MAX     6
#define API_QUERY_MAX        16
#define API_SEGMENT_MAX      1024 /* bytes, decoded: a state key in hexadecimal is the longest */
#define API_AUTH_MAX_BYTES   256
#define API_HEADERS_MAX      64
#define API_HEADER_MAX_BYTES 8192 /* request line and headers */
#define API_ETAG_MAX         80 /* with NUL */

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

/* Bytes that come bit by bit. Used by one thread at a time, which never waits in it. */
struct api_stream {
    /* Up to size bytes into out: their count; API_STREAM_WAIT: nothing now; API_STREAM_END; or
     * HM_E*, when the stream broke and the client must see that it did. Never blocks. */
    int (*read)(struct api_stream *stream, uint8_t *out, size_t size);
    /* Called once, before the first read. wake may afterwards be called from any thread, at any
     * time until release returns, whenever read may have more; it never blocks and is harmless
     * when nothing came. NULL: the server reads again every API_STREAM_POLL_MS. */
    void (*attach)(struct api_stream *stream, void (*wake)(void *wake_ctx), void *wake_ctx);
    /* With attach: read is called at least this often even when nothing wakes it (heartbeats);
     * 0: only when woken. */
    unsigned beat_ms;
    /* After it has returned, wake is not called any more. */
    void (*release)(struct api_stream *stream);
    atomic_uint *counted; /* the core's: where it is counted; NULL: nowhere */
};
#define API_STREAM_WAIT    0
#define API_STREAM_END     (-1000)
#define API_STREAM_POLL_MS 50
#define API_STREAM_MAX     ((size_t)1 << 20) /* one read */

struct api_response {
    unsigned status;
    const char *content_type; /* static text */
    const char *allow; /* static text, or NULL: of 405 */
    bool ask_token; /* 401: WWW-Authenticate */
    bool retry; /* Retry-After, beside 429 and 503, which always have it */
    bool replayed; /* of an earlier request with the same Idempotency-Key */
    bool secret; /* the body holds one: it is kept nowhere, and wiped with its buffer */
    char etag[API_ETAG_MAX]; /* with its quotes; "": none */
    bool fresh; /* of the ledger: as it was after this block, or a later one */
    struct api_fresh read_at;
    uint64_t age_ms; /* of that block, by this node's clock */
    struct hm_buf body; /* when stream is NULL */
    struct api_stream *stream; /* owned */
};

#define API_PROBLEM_TYPE "application/problem+json"

/* NULL is fine. */
void api_stream_release(struct api_stream *stream);
void api_response_release(struct api_response *response);

#endif
