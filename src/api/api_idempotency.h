/* Answers remembered by the client's Idempotency-Key, so that an act which is asked for twice is
 * done once. In memory, and through the node's store where it has one, so that a restart forgets
 * nothing: what was begun is written down before it runs. */
#ifndef HM_API_IDEMPOTENCY_H
#define HM_API_IDEMPOTENCY_H

#include <pthread.h>

#include "api.h"

#define API_IDEMPOTENCY_KEY_MAX_CHARS 128 /* printable ASCII */

/* What is remembered of one request. */
struct api_remembered {
    uint8_t digest[32]; /* of method, target and body */
    uint64_t begun_ms;
    unsigned status; /* 0: it was begun and its end is not known */
    bool problem; /* the body is a problem document, else what the route answers */
    bool cut; /* the body was too long to be kept */
    struct hm_slice body;
};

/* The stored form: version, digest, time, status, flags, body. Parsing is a pure function of the bytes;
 * body points into them. HM_ECORRUPT. */
int api_remembered_pack(const struct api_remembered *from, struct hm_buf *out);
int api_remembered_parse(struct hm_slice bytes, struct api_remembered *out, struct hm_error *error);

struct api_idempotent; /* one key */

struct api_idempotency {
    const struct api_backend *backend;
    const struct hm_clock *clock;
    pthread_mutex_t lock;
    struct api_idempotent **places;
    struct api_idempotent *oldest, *newest;
    size_t count, bytes;
    size_t entries_max, bytes_max;
};

enum api_idempotency_word {
    API_IDEMPOTENCY_RUN, /* the first time: run it, then call end */
    API_IDEMPOTENCY_REPLAY, /* *answer has it, its body in the arena */
    API_IDEMPOTENCY_RUNNING, /* the first one still runs */
    API_IDEMPOTENCY_UNKNOWN, /* the first one was cut short by the node's end */
    API_IDEMPOTENCY_OTHER /* the key was used for another request */
};

int api_idempotency_init(struct api_idempotency *table, const struct api_backend *backend,
                         const struct hm_clock *clock);
void api_idempotency_release(struct api_idempotency *table);

/* The name under which an answer is kept. */
void api_idempotency_name(struct hm_slice principal, const char *key, uint8_t name[32]);
/* 1 to API_IDEMPOTENCY_KEY_MAX_CHARS printable characters. */
int api_idempotency_check(const char *key, struct hm_error *error);

int api_idempotency_begin(struct api_idempotency *table, const uint8_t name[32],
                          const uint8_t digest[32], struct hm_arena *arena,
                          enum api_idempotency_word *word, struct api_remembered *answer,
                          struct hm_error *error);
/* After RUN. answer NULL: nothing came of it, and it may be asked again. */
void api_idempotency_end(struct api_idempotency *table, const uint8_t name[32],
                         const struct api_remembered *answer);

#endif
