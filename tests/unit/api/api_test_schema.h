/* Checks a JSON value against a schema of /openapi.json: the part of JSON Schema that the
 * document uses. */
#ifndef API_TEST_SCHEMA_H
#define API_TEST_SCHEMA_H

#include <jansson.h>

/* NULL when it fits; otherwise what does not, in static text valid until the next call. */
const char *api_test_schema_fault(const json_t *document, const json_t *schema,
                                  const json_t *value);

#endif
