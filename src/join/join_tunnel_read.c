/* What the engine's light client sends, read strictly: HTTP requests with a JSON-RPC call in each. Pure. */
#include <stdio.h>
#include <strings.h>

#include "json.h"
#include "join_private.h"

#define TUNNEL_JSON_DEPTH 4
#define TUNNEL_LINE_MAX   1024

/* --- HTTP (RFC 9112) ------------------------------------------------------------------------------------------ */

struct tunnel_head {
    uint64_t length;
    bool has_length, close;
};

/* "Name: value" of len bytes. */
static int head_line(const char *line, size_t len, struct tunnel_head *head, struct hm_error *error)
{
    char text[TUNNEL_LINE_MAX];
    char *value;

    if (len >= sizeof(text))
        return hm_fail(error, HM_ELIMIT, "a header is longer than %d bytes", TUNNEL_LINE_MAX);
    memcpy(text, line, len);
    text[len] = '\0';
    value = strchr(text, ':');
    if (value == NULL)
        return hm_fail(error, HM_EPARSE, "a header has no colon");
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(text, "Transfer-Encoding") == 0)
        return hm_fail(error, HM_EPARSE, "a request's body is to have a Content-Length");
    if (strcasecmp(text, "Connection") == 0)
        head->close = strcasecmp(value, "close") == 0;
    if (strcasecmp(text, "Content-Length") != 0)
        return 0;
    if (head->has_length || hm_u64_parse(value, &head->length, NULL) != 0)
        return hm_fail(error, HM_EPARSE, "a request's Content-Length is no number, or there twice");
    head->has_length = true;
    return 0;
}

static int head_read(const char *text, size_t len, struct tunnel_head *head, struct hm_error *error)
{
    const char *end = text + len;
    const char *line = memmem(text, len, "\r\n", 2);

    if (line == NULL || (size_t)(line - text) < 5 || memcmp(text, "POST ", 5) != 0)
        return hm_fail(error, HM_EPARSE, "only POST is served here");
    for (line += 2; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t line_len = (size_t)((stop != NULL ? stop : end) - line);
        int rc = head_line(line, line_len, head, error);

        if (rc != 0)
            return rc;
        line += line_len + 2;
    }
    return head->has_length ? 0
                            : hm_fail(error, HM_EPARSE, "a request's Content-Length is missing");
}

int join_tunnel_request_parse(struct hm_slice bytes, struct hm_slice *body, size_t *whole,
                              bool *keep, struct hm_error *error)
{
    struct tunnel_head head = {0};
    const uint8_t *end = bytes.len > 0 ? memmem(bytes.data, bytes.len, "\r\n\r\n", 4) : NULL;

    if (end == NULL)
        return bytes.len <= JOIN_TUNNEL_REQUEST_MAX_BYTES
                   ? 0
                   : hm_fail(error, HM_ELIMIT, "a request's head is over its limit");
    size_t head_len = (size_t)(end - bytes.data) + 4;
    /* The last header's line end stays off. */
    int rc = head_read((const char *)bytes.data, head_len - 4, &head, error);
    if (rc != 0)
        return rc;
    if (head_len > JOIN_TUNNEL_REQUEST_MAX_BYTES ||
        head.length > JOIN_TUNNEL_REQUEST_MAX_BYTES - head_len)
        return hm_fail(error, HM_ELIMIT, "a request is over its limit");
    if (bytes.len - head_len < head.length)
        return 0;
    *body = hm_slice_of(bytes.data + head_len, (size_t)head.length);
    *whole = head_len + (size_t)head.length;
    *keep = !head.close;
    return 1;
}

/* --- JSON-RPC --------------------------------------------------------------------------------------------------- */

/* Numbers come as decimal text, or as JSON numbers. */
static int read_number(const json_t *value, uint64_t most, uint64_t *out, struct hm_error *error)
{
    bool is_text = json_is_string(value);

    *out = json_is_integer(value) && json_integer_value(value) > 0
               ? (uint64_t)json_integer_value(value)
               : 0;
    if ((!is_text && !json_is_integer(value)) ||
        (is_text && hm_u64_parse(json_string_value(value), out, NULL) != 0) || *out == 0 ||
        *out > most)
        return hm_fail(error, HM_EPARSE, "a read's parameter is no number in range");
    return 0;
}

static int read_param(const char *name, const json_t *value, Hypermesh__Cluster__EngineRead *out,
                      struct hm_error *error)
{
    uint64_t number = 0;
    int rc;

    if (json_is_null(value))
        return 0;
    rc = read_number(value, strcmp(name, "height") == 0 ? INT64_MAX : UINT32_MAX, &number, error);
    if (rc != 0)
        return rc;
    if (strcmp(name, "height") == 0)
        out->height = number;
    else if (strcmp(name, "page") == 0)
        out->page = (uint32_t)number;
    else if (strcmp(name, "per_page") == 0)
        out->per_page = (uint32_t)number;
    else
        return hm_fail(error, HM_EPARSE, "a read has no parameter %.40s", name);
    return 0;
}

static int read_method(const char *name, Hypermesh__Cluster__EngineMethod *out,
                       struct hm_error *error)
{
    static const struct {
        const char *name;
        Hypermesh__Cluster__EngineMethod method;
    } methods[] = {
        {"commit", HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_COMMIT},
        {"validators", HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_VALIDATORS},
        {"consensus_params", HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_CONSENSUS_PARAMS},
        {"status", HYPERMESH__CLUSTER__ENGINE_METHOD__METHOD_STATUS},
    };

    for (size_t i = 0; name != NULL && i < HM_COUNT_OF(methods); i++)
        if (strcmp(name, methods[i].name) == 0) {
            *out = methods[i].method;
            return 0;
        }
    return hm_fail(error, HM_EPERM, "'%.40s' is not read through the tunnel",
                   name != NULL ? name : "");
}

int join_tunnel_read_parse(struct hm_slice json, Hypermesh__Cluster__EngineRead *out,
                           struct hm_error *error)
{
    Hypermesh__Cluster__EngineRead read = HYPERMESH__CLUSTER__ENGINE_READ__INIT;
    HM_CLEANUP(json) json_t *call = NULL;
    json_t *value;
    const char *name;
    int rc = json_read(json, TUNNEL_JSON_DEPTH, "the call", &call, error);

    if (rc == 0)
        rc = read_method(json_string_value(json_object_get(call, "method")), &read.method, error);
    if (rc != 0)
        return rc;
    value = json_object_get(call, "id");
    if (!json_is_integer(value))
        return hm_fail(error, HM_EPARSE, "a call's id is no number");
    read.id = json_integer_value(value);
    value = json_object_get(call, "params");
    if (value != NULL && !json_is_object(value) && !json_is_null(value))
        return hm_fail(error, HM_EPARSE, "a call's parameters have no names");
    for (void *at = json_object_iter(value); rc == 0 && at != NULL;
         at = json_object_iter_next(value, at)) {
        name = json_object_iter_key(at);
        rc = read_param(name, json_object_iter_value(at), &read, error);
    }
    if (rc == 0)
        *out = read;
    return rc;
}
