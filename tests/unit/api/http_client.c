#include "http_client.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static bool open_socket(struct http *http, const struct sockaddr *address, socklen_t len)
{
    const struct timeval wait = {.tv_sec = HTTP_WAIT_MS / 1000};

    *http = (struct http){.fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return http->fd >= 0 &&
           setsockopt(http->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
           connect(http->fd, address, len) == 0;
}

bool http_open_unix(struct http *http, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return open_socket(http, (const struct sockaddr *)&address, sizeof(address));
}

bool http_open_tcp(struct http *http, const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET};
    uint64_t port = 0;

    if (hm_u64_parse(strrchr(text, ':') + 1, &port, NULL))
        return false;
    four.sin_port = six.sin6_port = htons((uint16_t)port);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (text[0] == '[')
        return open_socket(http, (const struct sockaddr *)&six, sizeof(six));
    return open_socket(http, (const struct sockaddr *)&four, sizeof(four));
}

void http_close(struct http *http)
{
    hm_fd_release(&http->fd);
    http->fd = -1;
    hm_buf_release(&http->in);
}

bool http_send(struct http *http, const char *format, ...)
{
    char text[4096];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (int sent = 0; sent < len && (size_t)len < sizeof(text);) {
        ssize_t part = send(http->fd, text + sent, (size_t)(len - sent), MSG_NOSIGNAL);

        if (part <= 0)
            return false;
        sent += (int)part;
    }
    return len >= 0 && (size_t)len < sizeof(text);
}

static bool receive_more(struct http *http)
{
    uint8_t block[16384];
    ssize_t got = recv(http->fd, block, sizeof(block), 0);

    return got > 0 && hm_buf_append(&http->in, block, (size_t)got) == 0;
}

static void drop(struct http *http, size_t count)
{
    memmove(http->in.data, http->in.data + count, http->in.len - count);
    http->in.len -= count;
}

/* Moves bytes up to and with the first `mark` to out. */
static bool take_until(struct http *http, const char *mark, struct hm_buf *out)
{
    for (;;) {
        void *found = http->in.len > 0 ? memmem(http->in.data, http->in.len, mark, strlen(mark))
                                       : NULL;

        if (found) {
            size_t count = (size_t)((uint8_t *)found - http->in.data) + strlen(mark);
            bool kept = hm_buf_append(out, http->in.data, count) == 0;

            drop(http, count);
            return kept;
        }
        if (!receive_more(http))
            return false;
    }
}

static bool take_count(struct http *http, size_t count, struct hm_buf *out)
{
    while (http->in.len < count) {
        if (!receive_more(http)) {
            (void)hm_buf_append(out, http->in.data, http->in.len);
            return false;
        }
    }
    if (count > 0 && hm_buf_append(out, http->in.data, count))
        return false;
    drop(http, count);
    return true;
}

bool http_receive_head(struct http *http, struct http_answer *answer)
{
    const char *head;

    *answer = (struct http_answer){0};
    if (!take_until(http, "\r\n\r\n", &answer->head))
        return false;
    head = hm_buf_cstr(&answer->head);
    if (strncmp(head, "HTTP/1.1 ", 9) != 0)
        return false;
    answer->status = (unsigned)strtoul(head + 9, NULL, 10);
    if (answer->status != 100)
        return true;
    http_answer_release(answer); /* 100 Continue: the answer comes after it */
    return http_receive_head(http, answer);
}

bool http_receive_chunk(struct http *http, struct http_answer *answer)
{
    HM_CLEANUP(hm_buf) struct hm_buf line = {0};
    HM_CLEANUP(hm_buf) struct hm_buf end = {0};
    size_t size;

    if (!take_until(http, "\r\n", &line))
        return false;
    size = strtoul(hm_buf_cstr(&line), NULL, 16);
    if (!take_count(http, size, &answer->body) || !take_count(http, 2, &end))
        return false;
    answer->whole = size == 0;
    return size != 0;
}

bool http_receive(struct http *http, struct http_answer *answer)
{
    const char *length;

    if (!http_receive_head(http, answer))
        return false;
    if (strcasestr(hm_buf_cstr(&answer->head), "Transfer-Encoding: chunked")) {
        while (http_receive_chunk(http, answer))
            ;
        return answer->whole;
    }
    length = strcasestr(hm_buf_cstr(&answer->head), "Content-Length: ");
    answer->whole = length && take_count(http, strtoul(length + 16, NULL, 10), &answer->body);
    return answer->whole;
}

void http_answer_release(struct http_answer *answer)
{
    hm_buf_release(&answer->head);
    hm_buf_release(&answer->body);
}
