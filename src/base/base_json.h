/* Reading JSON text with jansson, where memory may run out. The only way in which rooms read it. */
#ifndef HM_BASE_JSON_H
#define HM_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base_bytes.h"

/* Of jansson.h, which only who reads JSON includes. */
struct json_t;
struct json_error_t;

/* A text with jansson's flags (JSON_REJECT_DUPLICATES, ...): what its own readers would give, which must not be
 * called, for they misread when memory runs out (see base_json.c). HM_ENOMEM, or HM_EPARSE: *problem (NULL is
 * fine) says why. The caller json_decrefs *out. Nests as deep as the text does: ask hm_json_is_within first when
 * others wrote it. */
int hm_json_parse(struct hm_slice text, size_t flags, struct json_t **out,
                  struct json_error_t *problem);
/* Do the text's brackets nest no deeper than this? It need not be JSON. */
bool hm_json_is_within(struct hm_slice text, unsigned depth);

#endif
