/* One connection: connects without blocking, sends one request, reads its answer. */
#ifndef LOAD_CONN_H
#define LOAD_CONN_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "load_http.h"

#define LOAD_BODY_KEPT 512 /* bytes of an answer kept, to show when it is a refusal */

struct load_address {
    union {
        struct sockaddr any;
        struct sockaddr_in ip;
        struct sockaddr_un local;
    } at;
    socklen_t len;
    char host[64]; /* for the Host header */
};

struct load_conn {
    int fd; /* -1: none */
    size_t number;
    struct hm_buf out;
    size_t sent;
    struct load_http http;
    uint64_t began_ns;
    uint64_t bytes_in;
    bool waiting; /* a request is on its way */
    size_t kept;
    char body[LOAD_BODY_KEPT + 1];
};

/* "127.0.0.1:PORT" or "unix:PATH"; anything but this machine is refused. */
int load_address_parse(const char *text, struct load_address *out, struct hm_error *error);

/* Connected, blocking until then, and from then on not blocking; watched by epoll_fd for what can be read. */
int load_conn_open(struct load_conn *conn, const struct load_address *address, int epoll_fd,
                   struct hm_error *error);
void load_conn_release(struct load_conn *conn);

/* Sends what is in out; began_ns is now. */
int load_conn_send(struct load_conn *conn, struct hm_error *error);
/* Sends what is left, reads what is there. Returns 1 when the answer is whole, 0 when not yet; HM_EIO when the
 * other side has closed. */
int load_conn_step(struct load_conn *conn, struct hm_error *error);

uint64_t load_now_ns(void);

#endif
