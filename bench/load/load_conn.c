#include "load_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LOAD_READ_BYTES 65536

uint64_t load_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int load_address_local(const char *path, struct load_address *out, struct hm_error *error)
{
    if (strlen(path) >= sizeof(out->at.local.sun_path))
        return hm_fail(error, HM_ERANGE, "%s is too long for a socket's path", path);
    out->at.local.sun_family = AF_UNIX;
    memcpy(out->at.local.sun_path, path, strlen(path) + 1);
    out->len = sizeof(out->at.local);
    (void)snprintf(out->host, sizeof(out->host), "localhost");
    return 0;
}

int load_address_parse(const char *text, struct load_address *out, struct hm_error *error)
{
    char host[32] = "";
    uint64_t port = 0;
    const char *colon = strrchr(text, ':');

    *out = (struct load_address){0};
    if (strncmp(text, "unix:", 5) == 0)
        return load_address_local(text + 5, out, error);
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host) ||
        hm_u64_parse(colon + 1, &port, error) != 0 || port == 0 || port > 65535)
        return hm_fail(error, HM_EPARSE, "'%s' is not 127.0.0.1:PORT or unix:PATH", text);
    memcpy(host, text, (size_t)(colon - text));
    out->at.ip.sin_family = AF_INET;
    out->at.ip.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &out->at.ip.sin_addr) != 1 ||
        ntohl(out->at.ip.sin_addr.s_addr) >> 24 != 127)
        return hm_fail(error, HM_EINVAL, "%s is not an address of this machine's loopback", host);
    out->len = sizeof(out->at.ip);
    (void)snprintf(out->host, sizeof(out->host), "%s", text);
    return 0;
}

static void load_conn_keep(void *ctx, struct hm_slice piece)
{
    struct load_conn *conn = ctx;
    size_t room = LOAD_BODY_KEPT - conn->kept;
    size_t take = piece.len < room ? piece.len : room;

    memcpy(conn->body + conn->kept, piece.data, take);
    conn->kept += take;
    conn->body[conn->kept] = '\0';
}

int load_conn_open(struct load_conn *conn, const struct load_address *address, int epoll_fd,
                   struct hm_error *error)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = conn}};
    int on = 1;

    hm_fd_release(&conn->fd);
    conn->fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 || connect(conn->fd, &address->at.any, address->len) != 0)
        return hm_fail_errno(error, HM_EIO, "connecting to %s", address->host);
    if (address->at.any.sa_family == AF_INET)
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        return hm_fail_errno(error, HM_EIO, "watching a connection");
    if (conn->http.body == NULL) {
        conn->http.body = load_conn_keep;
        conn->http.ctx = conn;
    }
    return 0;
}

void load_conn_release(struct load_conn *conn)
{
    hm_fd_release(&conn->fd);
    conn->fd = -1;
    hm_buf_release(&conn->out);
}

static int load_conn_flush(struct load_conn *conn, struct hm_error *error)
{
    while (conn->sent < conn->out.len) {
        ssize_t put = send(conn->fd, conn->out.data + conn->sent, conn->out.len - conn->sent,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0; /* loopback takes a request whole; a rest goes out with the next step */
        if (put < 0)
            return hm_fail_errno(error, HM_EIO, "sending");
        conn->sent += (size_t)put;
    }
    return 0;
}

int load_conn_send(struct load_conn *conn, struct hm_error *error)
{
    load_http_begin(&conn->http);
    conn->kept = 0;
    conn->sent = 0;
    conn->waiting = true;
    conn->began_ns = load_now_ns();
    return load_conn_flush(conn, error);
}

int load_conn_step(struct load_conn *conn, struct hm_error *error)
{
    static _Thread_local uint8_t bytes[LOAD_READ_BYTES];
    size_t used = 0;

    int rc = load_conn_flush(conn, error);
    if (rc != 0)
        return rc;
    ssize_t got = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return hm_fail_errno(error, HM_EIO, "reading an answer");
    if (got == 0)
        return hm_fail(error, HM_EIO, "the server closed the connection");
    conn->bytes_in += (uint64_t)got;
    rc = load_http_feed(&conn->http, hm_slice_of(bytes, (size_t)got), &used, error);
    if (rc != 0)
        return rc;
    if (conn->http.state != LOAD_HTTP_DONE)
        return 0;
    conn->waiting = false;
    return 1;
}
