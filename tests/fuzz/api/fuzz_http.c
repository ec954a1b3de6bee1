/* Any request, as a server could hand it over: "METHOD TARGET", then the lines Content-Type,
 * Host, Origin and Authorization ("-" for none), then the body. Whatever comes, there is an
 * answer, and it is what it says it is. */
#include <jansson.h>
#include <stdlib.h>

#include "api_core.h"
#include "api_frames.h"
#include "fake_backend.h"

#define FUZZ_LINE_MAX   4096
#define FUZZ_STREAM_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

/* The next line, without its end; "" when there is none. NUL ends a line too: no header holds
 * one. */
static void take_line(const uint8_t **data, size_t *size, char line[FUZZ_LINE_MAX])
{
    size_t len = 0;

    while (*size > 0) {
        uint8_t byte = *(*data)++;

        (*size)--;
        if (byte == '\n' || byte == '\0')
            break;
        if (len < FUZZ_LINE_MAX - 1)
            line[len++] = (char)byte;
    }
    line[len] = '\0';
}

static const char *header(const char *line)
{
    return strcmp(line, "-") == 0 ? NULL : line;
}

static void check_json(const struct api_response *response)
{
    json_t *value = json_loadb((const char *)response->body.data, response->body.len,
                               JSON_REJECT_DUPLICATES, NULL);

    require(json_is_object(value));
    if (response->status >= 400 && strcmp(response->content_type, "application/json") == 0) {
        require(json_is_string(json_object_get(value, "error")) || /* etcd's gateway */
                json_is_string(json_object_get(value, "health")));
    } else if (response->status >= 400) {
        require(strcmp(response->content_type, "application/problem+json") == 0);
        require(json_integer_value(json_object_get(value, "status")) == response->status);
        require(json_string_length(json_object_get(value, "detail")) > 0);
    }
    json_decref(value);
}

static void check_stream(struct api_stream *stream)
{
    uint8_t block[256];

    for (unsigned i = 0; i < FUZZ_STREAM_MAX; i++) {
        if (stream->read(stream, block, sizeof(block)) < 0)
            break;
    }
}

static void run(struct api_core *core, const struct api_request *request)
{
    struct api_response response = {0};
    enum api_manner manner;

    if (api_core_admit(core, request, request->body.len, &response, &manner)) {
        api_core_handle(core, request, &response);
        require(response.status != 0);
    }
    require(response.status >= 200 && response.status < 600 && response.content_type);
    if (response.stream)
        check_stream(response.stream);
    else if (strstr(response.content_type, "json"))
        check_json(&response);
    api_response_release(&response);
}

static void run_frames(const uint8_t *data, size_t size)
{
    struct api_frames frames = {0};
    uint8_t *copy = malloc(size + 1);
    size_t kept = 0;

    require(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    if (api_frames_strip(&frames, copy, size, &kept, NULL) == 0)
        require(kept <= size);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake fake;
    static struct api_core core;
    static bool open;
    char first[FUZZ_LINE_MAX], type[FUZZ_LINE_MAX], host[FUZZ_LINE_MAX], origin[FUZZ_LINE_MAX],
        token[FUZZ_LINE_MAX];
    struct api_request request = {.peer_known = true, .peer_uid = geteuid()};
    char *target;

    if (!open) {
        fake_init(&fake);
        fake.verify_steps = 0;
        fake_job_state(&fake, HYPERMESH__JOB_STATE__JOB_DONE);
        require(api_core_init(&core, &fake.backend, hm_clock_system(), NULL) == 0);
        memset(core.token, 'a', API_TOKEN_CHARS);
        atomic_store(&core.closing, true); /* nothing waits */
        open = true;
    }
    run_frames(data, size);
    take_line(&data, &size, first);
    take_line(&data, &size, type);
    take_line(&data, &size, host);
    take_line(&data, &size, origin);
    take_line(&data, &size, token);
    target = strchr(first, ' ');
    if (target)
        *target++ = '\0';
    request.method = first;
    request.target = target ? target : "/";
    request.content_type = header(type);
    request.host = header(host);
    request.origin = header(origin);
    request.authorization = header(token);
    request.body = hm_slice_of(data, size);
    run(&core, &request);
    request.transport = API_TRANSPORT_TCP;
    run(&core, &request);
    return 0;
}
