/* Reading HTTP/1.1 answers (RFC 9112). */
#include "engine_rpc.h"

#include <strings.h>

#define HTTP_STATUS_LINE_MIN_BYTES 12 /* "HTTP/1.1 200" */

struct http_head {
    unsigned status;
    bool keep;
    bool chunked;
    bool has_length;
    uint64_t length;
    size_t bytes; /* of the head, its empty line included */
};

static int http_bad(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EPARSE, "the engine's RPC does not answer as HTTP: %s", what);
}

/* The line at *at without its CR LF; false: it is not whole yet. */
static bool http_line(struct hm_slice bytes, size_t *at, struct hm_slice *line)
{
    const uint8_t *from = bytes.data + *at;
    const uint8_t *end = *at < bytes.len ? memchr(from, '\n', bytes.len - *at) : NULL;

    if (end == NULL)
        return false;
    *line = hm_slice_of(from, (size_t)(end - from));
    *at += line->len + 1;
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    return true;
}

static int http_status(struct hm_slice line, struct http_head *head, struct hm_error *error)
{
    static const char version[] = "HTTP/1.";

    if (line.len < HTTP_STATUS_LINE_MIN_BYTES ||
        memcmp(line.data, version, sizeof(version) - 1) != 0 || line.data[8] != ' ')
        return http_bad(error, "no status line");
    for (size_t i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return http_bad(error, "no status");
        head->status = head->status * 10 + (unsigned)(line.data[i] - '0');
    }
    head->keep = line.data[7] == '1';
    return 0;
}

/* The value of the field, when the line has that name (in lower case). */
static bool http_field(struct hm_slice line, const char *name, struct hm_slice *value)
{
    size_t len = strlen(name);

    if (line.len <= len || line.data[len] != ':' ||
        strncasecmp((const char *)line.data, name, len) != 0)
        return false;
    *value = hm_slice_of(line.data + len + 1, line.len - len - 1);
    while (value->len > 0 && (value->data[0] == ' ' || value->data[0] == '\t')) {
        value->data++;
        value->len--;
    }
    while (value->len > 0 &&
           (value->data[value->len - 1] == ' ' || value->data[value->len - 1] == '\t'))
        value->len--;
    return true;
}

static bool http_is(struct hm_slice value, const char *word)
{
    return value.len == strlen(word) && strncasecmp((const char *)value.data, word, value.len) == 0;
}

static int http_number(struct hm_slice digits, unsigned base, uint64_t *out)
{
    uint64_t value = 0;

    if (digits.len == 0 || digits.len > 15)
        return HM_EPARSE;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned c = digits.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - '0'
                         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                : 99;

        if (digit >= base)
            return HM_EPARSE;
        value = value * base + digit;
    }
    *out = value;
    return 0;
}

static int http_header(struct hm_slice line, struct http_head *head, struct hm_error *error)
{
    struct hm_slice value;

    if (http_field(line, "content-length", &value)) {
        if (head->has_length || http_number(value, 10, &head->length) != 0)
            return http_bad(error, "a wrong Content-Length");
        head->has_length = true;
    } else if (http_field(line, "transfer-encoding", &value)) {
        if (!http_is(value, "chunked"))
            return http_bad(error, "an unknown Transfer-Encoding");
        head->chunked = true;
    } else if (http_field(line, "connection", &value)) {
        head->keep = http_is(value, "keep-alive") || (head->keep && !http_is(value, "close"));
    }
    return 0;
}

/* 1: whole, 0: more is needed. */
static int http_head_parse(struct hm_slice bytes, struct http_head *out, struct hm_error *error)
{
    struct hm_slice line;
    size_t at = 0;
    int rc = 0;

    *out = (struct http_head){0};
    for (bool first = true; rc == 0; first = false) {
        if (!http_line(bytes, &at, &line)) {
            if (bytes.len >= ENGINE_RPC_HEAD_MAX_BYTES)
                return hm_fail(error, HM_ELIMIT, "the engine's RPC answers with an endless head");
            return 0;
        }
        if (at > ENGINE_RPC_HEAD_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT,
                           "the head of the engine's RPC answer has more than "
                           "%zu bytes",
                           ENGINE_RPC_HEAD_MAX_BYTES);
        if (line.len == 0 && !first)
            break;
        rc = first ? http_status(line, out, error) : http_header(line, out, error);
    }
    if (rc != 0)
        return rc;
    if (out->chunked == out->has_length)
        return http_bad(error, "its length is not given, or twice");
    if (out->has_length && out->length > ENGINE_RPC_ANSWER_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT,
                       "the engine's RPC answers with %llu bytes, at most %zu are "
                       "read",
                       (unsigned long long)out->length, ENGINE_RPC_ANSWER_MAX_BYTES);
    out->bytes = at;
    return 1;
}

/* One chunk at *at, its data in *data (empty: the last one). 1: whole. */
static int http_chunk(struct hm_slice bytes, size_t *at, struct hm_slice *data,
                      struct hm_error *error)
{
    struct hm_slice line;
    uint64_t size;
    size_t next = *at;

    if (!http_line(bytes, &next, &line))
        return bytes.len - *at > 64 ? http_bad(error, "a chunk without a size") : 0;
    const uint8_t *end = memchr(line.data, ';', line.len);
    if (end != NULL)
        line.len = (size_t)(end - line.data);
    if (http_number(line, 16, &size) != 0)
        return http_bad(error, "a chunk without a size");
    if (size > ENGINE_RPC_ANSWER_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the engine's RPC answers with more than %zu bytes",
                       ENGINE_RPC_ANSWER_MAX_BYTES);
    if (bytes.len - next < size + 2)
        return 0;
    *data = hm_slice_of(bytes.data + next, (size_t)size);
    next += (size_t)size;
    if (bytes.data[next] != '\r' || bytes.data[next + 1] != '\n')
        return http_bad(error, "a chunk of another size than it says");
    *at = next + 2;
    return 1;
}

/* Walks the chunks; body NULL: only looks whether they are all there. Trailers are not taken. */
static int http_chunks(struct hm_slice bytes, size_t *at, struct hm_buf *body,
                       struct hm_error *error)
{
    struct hm_slice data = {0};
    size_t total = 0;
    int rc;

    for (;;) {
        rc = http_chunk(bytes, at, &data, error);
        if (rc != 1 || data.len == 0)
            return rc;
        total += data.len;
        if (total > ENGINE_RPC_ANSWER_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "the engine's RPC answers with more than %zu bytes",
                           ENGINE_RPC_ANSWER_MAX_BYTES);
        if (body != NULL && hm_buf_append(body, data.data, data.len) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for the engine's answer");
    }
}

int engine_http_parse(struct hm_slice bytes, struct engine_http_answer *out, struct hm_buf *body,
                      struct hm_error *error)
{
    struct http_head head;
    int rc = http_head_parse(bytes, &head, error);

    if (rc != 1)
        return rc;
    size_t at = head.bytes;
    if (head.chunked) {
        rc = http_chunks(bytes, &at, NULL, error);
        if (rc != 1)
            return rc;
        at = head.bytes;
        rc = http_chunks(bytes, &at, body, error);
        if (rc != 1)
            return rc;
    } else {
        if (bytes.len - at < head.length)
            return 0;
        if (hm_buf_append(body, bytes.data + at, (size_t)head.length) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for the engine's answer");
        at += (size_t)head.length;
    }
    *out = (struct engine_http_answer){.status = head.status, .keep = head.keep, .bytes = at};
    return 1;
}
