/* Requests without sockets, for the tests of this room. */
#ifndef API_TEST_H
#define API_TEST_H

#include <jansson.h>

#include "api_core.h"
#include "fake_backend.h"

struct api_test {
    struct fake fake;
    struct api_core core;
    struct api_response response; /* of the last request */
};

/* cmocka fixtures: *state is a struct api_test. */
int api_test_setup(void **state);
int api_test_teardown(void **state);

char *api_test_quoted(const char *body); /* a copy, " for every '; hm_free it */
/* Over the unix socket, as the owner when it names no peer. Returns the status. */
unsigned api_test_send(struct api_test *test, const struct api_request *what);
/* The same with a body of that type, or NULL for both. */
unsigned api_test_ask(struct api_test *test, const char *method, const char *target,
                      const char *type, const char *body);
/* The same with a JSON body (' for "). */
unsigned api_test_json(struct api_test *test, const char *method, const char *target,
                       const char *body);
/* Body of the last answer. */
const char *api_test_body(struct api_test *test);
json_t *api_test_parse(struct api_test *test); /* NULL: not JSON; the caller decrefs */
/* The operation that the fake got last. */
Hypermesh__Operation *api_test_op(struct api_test *test, struct hm_arena *arena);
/* Reads the whole stream of the last answer, for at most 10 s; appends it to out. The last code. */
int api_test_drain(struct api_test *test, struct hm_buf *out);

void api_test_asset_text(unsigned index, char out[WIRE_ID_TEXT_MAX]);
void api_test_lease_text(unsigned index, char out[WIRE_ID_TEXT_MAX]);
void api_test_account_text(uint8_t first, char out[WIRE_ID_TEXT_MAX]);

#endif
