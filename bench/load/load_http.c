#include "load_http.h"

#include <stdlib.h>
#include <strings.h>

void load_http_begin(struct load_http *http)
{
    http->state = LOAD_HTTP_STATUS;
    http->status = 0;
    http->chunked = http->closes = false;
    http->left = 0;
    http->line_len = 0;
}

static bool load_http_header(struct load_http *http, const char *name, const char **value)
{
    size_t len = strlen(name);

    if (strncasecmp(http->line, name, len) != 0 || http->line[len] != ':')
        return false;
    *value = http->line + len + 1;
    *value += strspn(*value, " \t");
    return true;
}

static int load_http_headers_end(struct load_http *http)
{
    if (http->status == 100) { /* the real one follows */
        load_http_begin(http);
        return 0;
    }
    if (http->chunked)
        http->state = LOAD_HTTP_CHUNK_SIZE;
    else
        http->state = http->left > 0 ? LOAD_HTTP_BODY : LOAD_HTTP_DONE;
    return 0;
}

static int load_http_line(struct load_http *http, struct hm_error *error)
{
    const char *value;

    switch (http->state) {
    case LOAD_HTTP_STATUS:
        if (strncmp(http->line, "HTTP/1.", 7) != 0 || strlen(http->line) < 12)
            return hm_fail(error, HM_EPARSE, "an answer begins with '%.40s'", http->line);
        http->status = (unsigned)strtoul(http->line + 9, NULL, 10);
        http->state = LOAD_HTTP_HEADERS;
        return 0;
    case LOAD_HTTP_HEADERS:
        if (http->line[0] == '\0')
            return load_http_headers_end(http);
        if (load_http_header(http, "content-length", &value))
            http->left = strtoull(value, NULL, 10);
        else if (load_http_header(http, "transfer-encoding", &value))
            http->chunked = strcasecmp(value, "chunked") == 0;
        else if (load_http_header(http, "connection", &value))
            http->closes = strcasecmp(value, "close") == 0;
        return 0;
    case LOAD_HTTP_CHUNK_SIZE:
        http->left = strtoull(http->line, NULL, 16);
        http->state = http->left > 0 ? LOAD_HTTP_CHUNK : LOAD_HTTP_TRAILER;
        return 0;
    case LOAD_HTTP_CHUNK_END:
        http->state = LOAD_HTTP_CHUNK_SIZE;
        return 0;
    case LOAD_HTTP_TRAILER:
        if (http->line[0] == '\0')
            http->state = LOAD_HTTP_DONE;
        return 0;
    default:
        return hm_fail(error, HM_EINTERNAL, "a line where none can be");
    }
}

/* Collects a line; bytes of one longer than the room for it are dropped, as nothing here needs them. */
static int load_http_feed_line(struct load_http *http, struct hm_slice bytes, size_t *used,
                               struct hm_error *error)
{
    const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
    size_t take = end != NULL ? (size_t)(end - bytes.data) : bytes.len;
    size_t room = LOAD_HTTP_LINE_MAX - 1 - http->line_len;

    memcpy(http->line + http->line_len, bytes.data, take < room ? take : room);
    http->line_len += take < room ? take : room;
    *used += take;
    if (end == NULL)
        return 0;
    (*used)++;
    if (http->line_len > 0 && http->line[http->line_len - 1] == '\r')
        http->line_len--;
    http->line[http->line_len] = '\0';
    http->line_len = 0;
    return load_http_line(http, error);
}

int load_http_feed(struct load_http *http, struct hm_slice bytes, size_t *used,
                   struct hm_error *error)
{
    int rc = 0;

    *used = 0;
    while (rc == 0 && *used < bytes.len && http->state != LOAD_HTTP_DONE) {
        struct hm_slice rest = hm_slice_of(bytes.data + *used, bytes.len - *used);

        if (http->state != LOAD_HTTP_BODY && http->state != LOAD_HTTP_CHUNK) {
            rc = load_http_feed_line(http, rest, used, error);
            continue;
        }
        if (rest.len > http->left)
            rest.len = (size_t)http->left;
        if (http->body != NULL)
            http->body(http->ctx, rest);
        *used += rest.len;
        http->left -= rest.len;
        if (http->left == 0)
            http->state = http->state == LOAD_HTTP_BODY ? LOAD_HTTP_DONE : LOAD_HTTP_CHUNK_END;
    }
    return rc;
}
