/* Bodies for etcd's gateway: the first byte picks the path. Whatever comes, the answer is JSON,
 * lines of JSON or a stream, and an error has etcd's form. */
#include <stdlib.h>

#include "api_etcd.h"
#include "fake_backend.h"

#define STREAM_READS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "/v3/kv/range",      "/v3/kv/put",       "/v3/kv/deleterange",   "/v3/kv/txn",
    "/v3/kv/compaction", "/v3/lease/grant",  "/v3/lease/revoke",     "/v3/lease/keepalive",
    "/v3/watch",         "/v3/lease/leases", "/v3/lease/timetolive", "/v3/maintenance/alarm",
};

static void require(int holds)
{
    if (!holds)
        abort();
}

static void check_answer(const struct api_response *response)
{
    struct hm_slice rest = hm_buf_slice(&response->body);

    require(strcmp(response->content_type, "application/json") == 0);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.data) : rest.len;
        json_t *value = json_loadb((const char *)rest.data, len, JSON_REJECT_DUPLICATES, NULL);

        require(json_is_object(value));
        if (response->status >= 400)
            require(json_string_length(json_object_get(value, "error")) > 0 &&
                    json_is_integer(json_object_get(value, "code")));
        json_decref(value);
        len += end != NULL;
        rest = hm_slice_of(rest.data + len, rest.len - len);
    }
}

static void check_stream(struct api_stream *stream)
{
    uint8_t block[256];

    for (unsigned i = 0; i < STREAM_READS; i++) {
        if (stream->read(stream, block, sizeof(block)) <= 0)
            break;
    }
}

/* What the quick reader takes the JSON reader takes, too, and as the same. */
static void check_flat(struct hm_slice body)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct api_etcd_range_ask ask = {0};
    ProtobufCBinaryData key = {0};
    ProtobufCBinaryData end = {0};
    json_t *value = NULL;

    hm_arena_init(&arena, 0);
    if (!api_etcd_flat(body, "range_end", &arena, &key, &end))
        return;
    require(api_etcd_read_next(&body, &value, NULL) == 0 && value);
    require(api_etcd_range_read(value, &arena, &ask, NULL) == 0);
    require(hm_slice_equal(wire_slice(key), wire_slice(ask.key)));
    require(hm_slice_equal(wire_slice(end), wire_slice(ask.range_end)));
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake fake;
    static struct api_core core;
    static bool open;
    struct api_request request = {.method = "POST", .peer_known = true, .peer_uid = geteuid()};
    struct api_response response = {0};

    if (size == 0 || size > API_BODY_MAX_BYTES)
        return 0;
    if (!open) {
        fake_init(&fake);
        require(api_core_init(&core, &fake.backend, hm_clock_system(), NULL) == 0);
        open = true;
    }
    request.target = paths[data[0] % HM_COUNT_OF(paths)];
    request.body = hm_slice_of(data + 1, size - 1);
    check_flat(request.body);
    api_core_handle(&core, &request, &response);
    require(response.status >= 200 && response.status < 600);
    if (response.stream)
        check_stream(response.stream);
    else
        check_answer(&response);
    api_response_release(&response);
    return 0;
}
