/* The file of a unix socket: made for us alone, taken over from the dead, left to the living. */
#include "abci_server_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SOCKET_BACKLOG 16

/* Whether someone listens there. A queue that is full is a server, too. */
static bool answers(const struct sockaddr_un *address)
{
    HM_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return true;
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
           (errno != ECONNREFUSED && errno != ENOENT);
}

static int clear_stale(const struct sockaddr_un *address, struct hm_error *error)
{
    const char *path = address->sun_path;
    struct stat info;

    if (lstat(path, &info) != 0)
        return errno == ENOENT ? 0 : hm_fail_errno(error, HM_EIO, "cannot look at %s", path);
    if (!S_ISSOCK(info.st_mode))
        return hm_fail(error, HM_EEXIST, "%s is in the way of a socket; move it elsewhere", path);
    if (answers(address))
        return hm_fail(error, HM_EEXIST, "another server listens on %s; stop it first", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return hm_fail_errno(error, HM_EIO, "cannot remove %s, which a dead server left", path);
    return 0;
}

/* Nobody connects before listen, so the file has its mode in time. */
static int listen_there(int fd, const struct sockaddr_un *address, struct stat *info)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return -1;
    if (chmod(address->sun_path, 0600) == 0 && lstat(address->sun_path, info) == 0 &&
        listen(fd, SOCKET_BACKLOG) == 0)
        return 0;
    (void)unlink(address->sun_path);
    return -1;
}

int abci_socket_open(struct abci_socket *out, const char *path, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HM_AUTOCLOSE int fd = -1;
    struct stat info;
    size_t len = strlen(path);
    int rc;

    if (len == 0 || len > ABCI_PATH_MAX_BYTES)
        return hm_fail(error, HM_EINVAL,
                       "a socket's path has 1 to %d bytes, %s has %zu; use a shorter folder",
                       ABCI_PATH_MAX_BYTES, path, len);
    memcpy(address.sun_path, path, len + 1);
    rc = clear_stale(&address, error);
    if (rc)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a socket for %s", path);
    if (listen_there(fd, &address, &info) != 0)
        return hm_fail_errno(error, errno == EADDRINUSE ? HM_EEXIST : HM_EIO, "cannot listen on %s",
                             path);
    *out = (struct abci_socket){.device = info.st_dev, .inode = info.st_ino, .fd = HM_TAKE_FD(fd)};
    memcpy(out->path, path, len + 1);
    return 0;
}

void abci_socket_close(struct abci_socket *listener)
{
    struct stat info;

    if (listener->fd < 0)
        return;
    if (lstat(listener->path, &info) == 0 && info.st_dev == listener->device &&
        info.st_ino == listener->inode)
        (void)unlink(listener->path);
    (void)close(listener->fd);
    listener->fd = -1;
}
