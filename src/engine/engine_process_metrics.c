/* What the engine says of itself in Prometheus's text form, over loopback: a request, and the lines that are its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_process.h"

#define METRICS_PREFIX "hypermesh_engine_"

/* --- reading the answer ---------------------------------------------------------------------------------- */

/* The metric's name in a sample, or in a "# HELP NAME" or "# TYPE NAME" line. */
static bool metrics_is_ours(const char *line, size_t len)
{
    const char *name = line;

    if (len >= 7 && (memcmp(line, "# HELP ", 7) == 0 || memcmp(line, "# TYPE ", 7) == 0))
        name = line + 7;
    len -= (size_t)(name - line);
    return len > sizeof(METRICS_PREFIX) - 1 &&
           memcmp(name, METRICS_PREFIX, sizeof(METRICS_PREFIX) - 1) == 0;
}

/* Control characters would break the text of all metrics. */
static bool metrics_is_plain(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            return false;
    return true;
}

int engine_process_metrics_read(struct hm_slice answer, struct hm_buf *out, struct hm_error *error)
{
    const char *text = (const char *)answer.data, *body;
    size_t before = out->len;

    if (answer.len < 12 || memcmp(text, "HTTP/1.", 7) != 0 || memcmp(text + 8, " 200", 4) != 0)
        return hm_fail(error, HM_EPARSE, "the engine's metrics came with no HTTP 200");
    body = memmem(text, answer.len, "\r\n\r\n", 4);
    if (body == NULL)
        return hm_fail(error, HM_EPARSE, "the engine's metrics came without a text");
    body += 4;
    for (const char *end = text + answer.len; body < end;) {
        const char *line_end = memchr(body, '\n', (size_t)(end - body));
        size_t len = (size_t)((line_end != NULL ? line_end : end) - body);

        if (line_end == NULL) /* cut */
            break;
        if (metrics_is_ours(body, len) && metrics_is_plain(body, len) &&
            (hm_buf_append(out, body, len) != 0 || hm_buf_append(out, "\n", 1) != 0)) {
            out->len = before;
            return hm_fail(error, HM_ENOMEM, "no memory for the engine's metrics");
        }
        body += len + 1;
    }
    return 0;
}

/* --- the wire -------------------------------------------------------------------------------------------- */

static uint64_t metrics_now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* 0: ready for events before the deadline. */
static int metrics_wait(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd watched = {.fd = fd, .events = events};
        uint64_t now = metrics_now_ms();
        int ready;

        if (now >= deadline_ms)
            return HM_ETIMEOUT;
        ready = poll(&watched, 1, (int)(deadline_ms - now));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return HM_EIO;
    }
}

/* "127.0.0.1:PORT" or "[::1]:PORT". */
static int metrics_address(const char *listen, struct sockaddr_storage *out, socklen_t *len)
{
    const char *colon = strrchr(listen, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    uint64_t port;
    char host[64];

    memset(out, 0, sizeof(*out));
    if (colon == NULL || hm_u64_parse(colon + 1, &port, NULL) != 0 || port == 0 || port > 65535 ||
        (size_t)(colon - listen) >= sizeof(host))
        return HM_EINVAL;
    bool is_v6 = listen[0] == '[' && colon > listen + 1 && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen) - (is_v6 ? 2 : 0),
             listen + (is_v6 ? 1 : 0));
    if (is_v6) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof(*v6);
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? 0 : HM_EINVAL;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *len = sizeof(*v4);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : HM_EINVAL;
}

static int metrics_connect(const char *listen, uint64_t deadline_ms, int *out,
                           struct hm_error *error)
{
    struct sockaddr_storage address;
    int failed = 0;
    socklen_t len, size = sizeof(failed);

    if (metrics_address(listen, &address, &len) != 0)
        return hm_fail(error, HM_EINVAL, "the engine's metrics are not at '%.80s'", listen);
    HM_AUTOCLOSE int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "no socket for the engine's metrics");
    if (connect(fd, (struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS)
        return hm_fail_errno(error, HM_EUNAVAILABLE, "the engine gives no metrics at %.80s",
                             listen);
    int rc = metrics_wait(fd, POLLOUT, deadline_ms);
    if (rc != 0)
        return hm_fail(error, rc, "the engine gives no metrics at %.80s in time", listen);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 && failed != 0) {
        errno = failed;
        return hm_fail_errno(error, HM_EUNAVAILABLE, "the engine gives no metrics at %.80s",
                             listen);
    }
    *out = HM_TAKE_FD(fd);
    return 0;
}

static int metrics_exchange(int fd, uint64_t deadline_ms, struct hm_buf *answer,
                            struct hm_error *error)
{
    static const char request[] =
        "GET /metrics HTTP/1.0\r\nHost: engine\r\nAccept: text/plain\r\n\r\n";

    /* A fresh connection takes so little at once. */
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof(request) - 1))
        return hm_fail_errno(error, HM_EIO, "cannot ask the engine for its metrics");
    for (;;) {
        char bytes[16384];
        int rc = metrics_wait(fd, POLLIN, deadline_ms);

        if (rc != 0)
            return hm_fail(error, rc, "the engine's metrics do not come in time");
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read the engine's metrics");
        if (got == 0)
            return 0;
        if (answer->len + (size_t)got > ENGINE_PROCESS_METRICS_MAX_BYTES)
            return hm_fail(error, HM_ELIMIT, "the engine's metrics are longer than %zu KiB",
                           ENGINE_PROCESS_METRICS_MAX_BYTES >> 10);
        if (hm_buf_append(answer, bytes, (size_t)got) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for the engine's metrics");
    }
}

int engine_process_metrics(const char *listen, struct hm_buf *out, struct hm_error *error)
{
    uint64_t deadline_ms = metrics_now_ms() + ENGINE_PROCESS_METRICS_TIMEOUT_MS;
    HM_CLEANUP(hm_buf) struct hm_buf answer = {0};
    HM_AUTOCLOSE int fd = -1;
    int rc = metrics_connect(listen, deadline_ms, &fd, error);

    if (rc == 0)
        rc = metrics_exchange(fd, deadline_ms, &answer, error);
    return rc != 0 ? rc : engine_process_metrics_read(hm_buf_slice(&answer), out, error);
}
