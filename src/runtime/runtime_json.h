/* JSON from outside: bounded in size and depth before the library sees it. */
#ifndef HM_RUNTIME_JSON_H
#define HM_RUNTIME_JSON_H

#include <jansson.h>

#include "base.h"

#define RUNTIME_JSON_MAX_BYTES ((size_t)4 << 20)
#define RUNTIME_JSON_MAX_DEPTH 32

static inline void runtime_json_release(json_t **json)
{
    json_decref(*json);
}
#define RUNTIME_JSON __attribute__((cleanup(runtime_json_release))) json_t

/* An object (or, with JSON_ARRAY, an array); the caller owns the reference. `what` names the source in errors. HM_EPARSE, HM_ELIMIT. */
int runtime_json_parse(struct hm_slice bytes, const char *what, json_type type, json_t **out,
                       struct hm_error *error);
/* The file's object; HM_ENOTFOUND when missing. */
int runtime_json_read(const char *path, json_t **out, struct hm_error *error);
/* Compact text with sorted keys, appended to out. HM_ENOMEM also for NULL. */
int runtime_json_write(const json_t *json, struct hm_buf *out, struct hm_error *error);
/* Borrowed string member, or NULL when missing or no string. */
const char *runtime_json_text(const json_t *object, const char *key);

#endif
