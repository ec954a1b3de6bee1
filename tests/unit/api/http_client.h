/* A small HTTP client on raw sockets, so that tests can send what no library would. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "base.h"

struct http {
    int fd;
    struct hm_buf in; /* received, not used yet */
};

struct http_answer {
    unsigned status;
    struct hm_buf head; /* status line and headers, as text */
    struct hm_buf body; /* chunks put together */
    bool whole; /* the end was seen: length, or last chunk */
};

#define HTTP_WAIT_MS 20000 /* then a read fails */

bool http_open_unix(struct http *http, const char *path);
bool http_open_tcp(struct http *http, const char *address); /* "127.0.0.1:PORT" or "[::1]:PORT" */
void http_close(struct http *http);
bool http_send(struct http *http, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next whole answer; false when the connection ends first (what came is in *answer). */
bool http_receive(struct http *http, struct http_answer *answer);
/* Status line and headers only. */
bool http_receive_head(struct http *http, struct http_answer *answer);
/* One more chunk, appended to the body; false at the last one (whole is set) or when the
 * connection ends. */
bool http_receive_chunk(struct http *http, struct http_answer *answer);
void http_answer_release(struct http_answer *answer);

#endif
