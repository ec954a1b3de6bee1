/* The node's API: one request at a time over its unix socket, or over TCP with a bearer token. */
#ifndef HM_NEXUS_CLIENT_H
#define HM_NEXUS_CLIENT_H

#include <jansson.h>

#include "base.h"
#include "nexus_place.h"

#define NEXUS_CONNECT_TIMEOUT_MS 5000
#define NEXUS_REPLY_TIMEOUT_MS \
    600000 /* of answers that come at once; importing an image takes a while */
#define NEXUS_REPLY_MAX_BYTES ((size_t)64 << 20)
#define NEXUS_TOKEN_MAX_BYTES 4096

struct nexus_client;

/* Reads the token when place->url is set. Does not connect yet. The place must outlive the client. */
int nexus_client_open(const struct nexus_place *place, struct nexus_client **out,
                      struct hm_error *error);
void nexus_client_close(struct nexus_client *client); /* NULL is fine */

struct nexus_request {
    const char *method;
    const char *path; /* with query, escaped already (nexus_escape) */
    const json_t *json; /* body, or NULL */
    struct hm_slice bytes; /* body as it is, when json is NULL; empty: none */
    const char *type; /* of bytes */
    unsigned timeout_ms; /* 0: NEXUS_REPLY_TIMEOUT_MS, and none for a stream */
    /* Receives a good answer piece by piece; then there is no JSON. A failure ends the request and is its
     * failure. NULL: the answer is collected. */
    int (*take)(void *ctx, const uint8_t *data, size_t len, struct hm_error *error);
    /* While waiting, called when wake_fd is readable (-1 and NULL: nothing). May send requests. */
    int wake_fd;
    int (*woken)(void *ctx, struct hm_error *error);
    void *ctx; /* of both */
};

/* 0 when the node did it: then *reply (may be NULL) is its JSON, owned by the caller; NULL when the answer
 * has none. Otherwise the node's refusal under its own code, NEXUS_EUNREACHABLE when no node answers or it
 * hung up, HM_ETIMEOUT, HM_EPARSE for an answer that is not what the API promises. */
int nexus_client_send(struct nexus_client *client, const struct nexus_request *request,
                      json_t **reply, struct hm_error *error);

/* The usual form: JSON there (borrowed; may be NULL) and back. */
int nexus_client_call(struct nexus_client *client, const char *method, const char *path,
                      const json_t *body, json_t **reply, struct hm_error *error);

/* Of the last answer: after which block the ledger was read, and how old that was then. False: it was read from no ledger. */
bool nexus_client_read_at(const struct nexus_client *client, uint64_t *height, uint64_t *age_ms);

/* Percent-encoding (RFC 3986): all but letters, digits and "-._~". In the arena; NULL when memory is out. */
const char *nexus_escape(const char *text, struct hm_arena *arena);

/* RFC 9457 problem, or whatever else came with a bad status, as an error. Returns its code. Pure. */
int nexus_problem_read(long status, struct hm_slice body, struct hm_error *error);

#endif
