/* Request targets and media types (RFC 9110, RFC 3986). */
#include <strings.h>

#include "api.h"
#include "api_request.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes len bytes of text into out (at least len+1 bytes). plus: '+' is a space, as in
 * queries. */
static int percent_decode(const char *text, size_t len, bool plus, char *out,
                          struct hm_error *error)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];

        if (c == '%') {
            int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return hm_fail(error, HM_EPARSE,
                               "the URL holds a '%%' that two hexadecimal digits don't follow");
            c = high * 16 + low;
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f)
            return hm_fail(error, HM_EPARSE, "the URL holds a control character");
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return hm_utf8_valid(out, used) ? 0 : hm_fail(error, HM_EPARSE, "the URL is not UTF-8");
}

static int decode_new(const char *text, size_t len, bool plus, struct hm_arena *arena,
                      const char **out, struct hm_error *error)
{
    char *decoded = hm_arena_alloc(arena, len + 1);
    int rc;

    if (!decoded)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    rc = percent_decode(text, len, plus, decoded, error);
    if (rc == 0)
        *out = decoded;
    return rc;
}

static int parse_path(const char *path, size_t len, struct hm_arena *arena, struct api_target *out,
                      struct hm_error *error)
{
    size_t at = 1;

    if (len == 0 || path[0] != '/')
        return hm_fail(error, HM_EPARSE, "the URL's path must begin with '/'");
    while (at < len) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t end = slash ? (size_t)(slash - path) : len;
        int rc;

        if (end == at)
            return hm_fail(error, HM_EPARSE, "the URL's path has an empty part");
        if (end - at > API_SEGMENT_MAX || out->segment_count == API_SEGMENTS_MAX)
            return hm_fail(error, HM_ENOTFOUND, "there is nothing at this path");
        rc = decode_new(path + at, end - at, false, arena, &out->segments[out->segment_count],
                        error);
        if (rc)
            return rc;
        out->segment_count++;
        at = end + 1;
    }
    return 0;
}

static int parse_pair(const char *text, size_t len, struct hm_arena *arena, struct api_target *out,
                      struct hm_error *error)
{
    const char *equals = memchr(text, '=', len);
    size_t name = equals ? (size_t)(equals - text) : len;
    struct api_pair *pair = &out->query[out->query_count];
    int rc;

    if (len == 0)
        return 0;
    if (out->query_count == API_QUERY_MAX)
        return hm_fail(error, HM_ELIMIT, "the URL has more than %d query parameters",
                       API_QUERY_MAX);
    rc = decode_new(text, name, true, arena, &pair->name, error);
    if (rc == 0)
        rc = decode_new(equals ? equals + 1 : "", equals ? len - name - 1 : 0, true, arena,
                        &pair->value, error);
    if (rc == 0)
        out->query_count++;
    return rc;
}

static int parse_query(const char *query, struct hm_arena *arena, struct api_target *out,
                       struct hm_error *error)
{
    int rc = 0;

    while (rc == 0) {
        const char *next = strchr(query, '&');

        rc = parse_pair(query, next ? (size_t)(next - query) : strlen(query), arena, out, error);
        if (!next)
            break;
        query = next + 1;
    }
    return rc;
}

int api_target_parse(const char *target, struct hm_arena *arena, struct api_target *out,
                     struct hm_error *error)
{
    struct api_target parsed = {0};
    const char *query = strchr(target, '?');
    size_t len = strlen(target);
    int rc;

    if (len > API_URL_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the URL is longer than %d bytes", API_URL_MAX_BYTES);
    rc = parse_path(target, query ? (size_t)(query - target) : len, arena, &parsed, error);
    if (rc == 0 && query)
        rc = parse_query(query + 1, arena, &parsed, error);
    if (rc == 0)
        *out = parsed;
    return rc;
}

bool api_content_type_is(const char *header, const char *media_type)
{
    size_t len = strlen(media_type);

    if (!header || strncasecmp(header, media_type, len) != 0)
        return false;
    header += len;
    while (*header == ' ' || *header == '\t')
        header++;
    return *header == '\0' || *header == ';';
}

void api_stream_release(struct api_stream *stream)
{
    atomic_uint *counted = stream ? stream->counted : NULL;

    if (stream)
        stream->release(stream);
    if (counted)
        atomic_fetch_sub(counted, 1);
}

void api_response_release(struct api_response *response)
{
    if (!response)
        return;
    if (response->secret && response->body.data)
        hm_wipe(response->body.data, response->body.cap);
    hm_buf_release(&response->body);
    api_stream_release(response->stream);
    response->stream = NULL;
}
