#include "api_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* --- unix ------------------------------------------------------------------------------------- */

/* Whether a process answers on the socket at this address. */
static bool unix_answers(const struct sockaddr_un *address)
{
    HM_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return true; /* not known: leave it alone */
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return true;
    return errno != ECONNREFUSED && errno != ENOENT;
}

static int unix_clear_stale(const char *path, const struct sockaddr_un *address,
                            struct hm_error *error)
{
    struct stat info;

    if (lstat(path, &info) != 0)
        return errno == ENOENT ? 0
                               : hm_fail_errno(error, HM_EIO, "cannot look at the socket %s", path);
    if (!S_ISSOCK(info.st_mode))
        return hm_fail(error, HM_EEXIST, "%s is in the way of the node's socket; move it elsewhere",
                       path);
    if (unix_answers(address))
        return hm_fail(error, HM_EBUSY,
                       "another node answers on %s; stop it, or use another data directory", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return hm_fail_errno(error, HM_EIO, "cannot remove the socket %s that an earlier node left",
                             path);
    return 0;
}

int api_listen_unix(const char *path, int *out, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HM_AUTOCLOSE int fd = -1;
    int rc;

    if (strlen(path) >= sizeof(address.sun_path))
        return hm_fail(error, HM_EINVAL,
                       "the path %s is %zu bytes long and a unix socket's may have %zu; use a "
                       "shorter data directory",
                       path, strlen(path), sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    rc = unix_clear_stale(path, &address, error);
    if (rc)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Linux gives the file the mode that the socket has before bind (unix(7)). */
    if (fd < 0 || fchmod(fd, 0600) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make the socket %s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return hm_fail_errno(error, errno == EADDRINUSE ? HM_EBUSY : HM_EIO,
                             "cannot make the socket %s", path);
    if (chmod(path, 0600) != 0 || listen(fd, API_BACKLOG) != 0) {
        rc = hm_fail_errno(error, HM_EIO, "cannot listen on %s", path);
        (void)unlink(path);
        return rc;
    }
    *out = HM_TAKE_FD(fd);
    return 0;
}

/* --- TCP -------------------------------------------------------------------------------------- */

union tcp_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* Host and port of "HOST:PORT" or "[HOST]:PORT". */
static int tcp_split(const char *text, char host[API_ADDRESS_MAX_CHARS], uint64_t *port,
                     struct hm_error *error)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || len == 0 || len >= API_ADDRESS_MAX_CHARS || hm_u64_parse(colon + 1, port, NULL) ||
        *port > UINT16_MAX)
        return hm_fail(error, HM_EINVAL,
                       "'%.80s' is not ADDRESS:PORT, such as 127.0.0.1:7470 or [::1]:7470", text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return 0;
}

static int tcp_parse(const char *text, union tcp_address *out, socklen_t *len,
                     struct hm_error *error)
{
    char host[API_ADDRESS_MAX_CHARS];
    uint64_t port = 0;
    int rc = tcp_split(text, host, &port, error);

    if (rc)
        return rc;
    memset(out, 0, sizeof(*out));
    if (text[0] == '[') {
        out->six.sin6_family = AF_INET6;
        out->six.sin6_port = htons((uint16_t)port);
        *len = sizeof(out->six);
        if (inet_pton(AF_INET6, host, &out->six.sin6_addr) == 1 &&
            IN6_IS_ADDR_LOOPBACK(&out->six.sin6_addr))
            return 0;
    } else {
        const char *literal = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;

        out->four.sin_family = AF_INET;
        out->four.sin_port = htons((uint16_t)port);
        *len = sizeof(out->four);
        if (inet_pton(AF_INET, literal, &out->four.sin_addr) == 1 &&
            ntohl(out->four.sin_addr.s_addr) >> 24 == 127)
            return 0;
    }
    return hm_fail(error, HM_EINVAL,
                   "the API listens on this machine's loopback address only: 127.0.0.1, [::1] or "
                   "localhost, not '%s'",
                   host);
}

static int tcp_bound(int fd, char bound[API_ADDRESS_MAX_CHARS], struct hm_error *error)
{
    union tcp_address address;
    socklen_t len = sizeof(address);
    char host[INET6_ADDRSTRLEN];

    if (getsockname(fd, &address.any, &len) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot read the address that was bound");
    if (address.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address.six.sin6_addr, host, sizeof(host));
        (void)snprintf(bound, API_ADDRESS_MAX_CHARS, "[%s]:%u", host, ntohs(address.six.sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &address.four.sin_addr, host, sizeof(host));
        (void)snprintf(bound, API_ADDRESS_MAX_CHARS, "%s:%u", host, ntohs(address.four.sin_port));
    }
    return 0;
}

int api_listen_tcp(const char *text, int *out, char bound[API_ADDRESS_MAX_CHARS],
                   struct hm_error *error)
{
    union tcp_address address;
    HM_AUTOCLOSE int fd = -1;
    socklen_t len = 0;
    const int on = 1;
    int rc = tcp_parse(text, &address, &len, error);

    if (rc)
        return rc;
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a socket for %s", text);
    if (bind(fd, &address.any, len) != 0 || listen(fd, API_BACKLOG) != 0) {
        if (errno == EADDRINUSE)
            return hm_fail(error, HM_EBUSY,
                           "%s is in use; stop what listens there, or choose another with --listen "
                           "ADDRESS:PORT "
                           "(port 0 takes any free one)",
                           text);
        return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot listen on %s",
                             text);
    }
    rc = tcp_bound(fd, bound, error);
    if (rc == 0)
        *out = HM_TAKE_FD(fd);
    return rc;
}
