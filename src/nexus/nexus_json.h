/* Short ways to what the node's JSON holds. What is not there reads as empty, 0 or false: an older node
 * may say less. */
#ifndef HM_NEXUS_JSON_H
#define HM_NEXUS_JSON_H

#include <jansson.h>

#include "base.h"

/* `NEXUS_AUTOJSON json_t *x = NULL;` gives its reference back at the end of the block. */
void nexus_json_release(json_t **json);
#define NEXUS_AUTOJSON __attribute__((cleanup(nexus_json_release)))

const char *nexus_json_text(const json_t *object, const char *key); /* "" */
uint64_t nexus_json_u64(const json_t *object, const char *key);
int64_t nexus_json_i64(const json_t *object, const char *key);
bool nexus_json_bool(const json_t *object, const char *key);
/* The array under key; NULL (of size 0) when there is none. */
const json_t *nexus_json_list(const json_t *object, const char *key);
/* The text of a value whatever its type, for tables: numbers and booleans as JSON writes them. */
const char *nexus_json_cell(const json_t *value, struct hm_arena *arena);

#endif
