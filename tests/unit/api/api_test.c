#include "api_test.h"

int api_test_setup(void **state)
{
    struct api_test *test = hm_calloc(1, sizeof(*test));
    struct hm_error error = {0};

    if (!test)
        return -1;
    fake_init(&test->fake);
    *state = test;
    return api_core_init(&test->core, &test->fake.backend, hm_clock_system(), &error);
}

int api_test_teardown(void **state)
{
    struct api_test *test = *state;

    api_response_release(&test->response);
    api_core_release(&test->core);
    fake_release(&test->fake);
    hm_free(test);
    return 0;
}

unsigned api_test_send(struct api_test *test, const struct api_request *what)
{
    struct api_request request = *what;

    request.transport = API_TRANSPORT_UNIX;
    if (!request.peer_known) {
        request.peer_known = true;
        request.peer_uid = geteuid();
    }
    api_response_release(&test->response);
    test->response = (struct api_response){0};
    api_core_handle(&test->core, &request, &test->response);
    return test->response.status;
}

unsigned api_test_ask(struct api_test *test, const char *method, const char *target,
                      const char *type, const char *body)
{
    const struct api_request request = {
        .method = method,
        .target = target,
        .content_type = type,
        .body = body ? hm_slice_str(body) : hm_slice_of(NULL, 0),
    };

    return api_test_send(test, &request);
}

char *api_test_quoted(const char *body)
{
    char *copy = hm_strdup(body);

    for (char *at = copy; at && *at != '\0'; at++) {
        if (*at == '\'')
            *at = '"';
    }
    return copy;
}

unsigned api_test_json(struct api_test *test, const char *method, const char *target,
                       const char *body)
{
    HM_AUTOFREE char *copy = api_test_quoted(body);

    return api_test_ask(test, method, target, "application/json", copy);
}

const char *api_test_body(struct api_test *test)
{
    return hm_buf_cstr(&test->response.body);
}

json_t *api_test_parse(struct api_test *test)
{
    return json_loadb((const char *)test->response.body.data, test->response.body.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
}

Hypermesh__Operation *api_test_op(struct api_test *test, struct hm_arena *arena)
{
    Hypermesh__Operation *op = NULL;

    if (WIRE_UNPACK(hypermesh__operation, hm_buf_slice(&test->fake.op), 1 << 20, arena, &op, NULL))
        return NULL;
    return op;
}

int api_test_drain(struct api_test *test, struct hm_buf *out)
{
    struct api_stream *stream = test->response.stream;
    uint64_t started_ns = hm_mono_ns(hm_clock_system());
    uint8_t block[7]; /* small, so that frames and lines are cut */
    const struct timespec nap = {.tv_nsec = 1000000};
    int got = 0;

    while (got >= 0 && hm_mono_ns(hm_clock_system()) - started_ns < UINT64_C(10000000000)) {
        got = stream->read(stream, block, sizeof(block));
        if (got == API_STREAM_WAIT)
            (void)nanosleep(&nap, NULL);
        if (got > 0 && hm_buf_append(out, block, (size_t)got))
            return HM_ENOMEM;
    }
    return got;
}

void api_test_asset_text(unsigned index, char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[32];

    fake_id((uint8_t)(0xa0 + index), id);
    wire_asset_text(id, out);
}

void api_test_lease_text(unsigned index, char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[32];

    fake_id((uint8_t)(0xb0 + index), id);
    wire_lease_text(id, out);
}

void api_test_account_text(uint8_t first, char out[WIRE_ID_TEXT_MAX])
{
    uint8_t id[32];

    fake_id(first, id);
    wire_account_text(id, out);
}
