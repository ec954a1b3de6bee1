#include "nexus_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *beside_self(struct hm_arena *arena)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (len <= 0)
        return NULL;
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return hm_arena_printf(arena, "%s/%s", self, NEXUS_DAEMON_NAME);
}

static const char *on_path(struct hm_arena *arena)
{
    const char *path = getenv("PATH");

    while (path && *path) {
        size_t len = strcspn(path, ":");
        const char *candidate = hm_arena_printf(arena, "%.*s/%s", (int)len, path,
                                                NEXUS_DAEMON_NAME);

        if (len > 0 && path[0] == '/' && candidate && access(candidate, X_OK) == 0)
            return candidate;
        path += len;
        path += *path == ':';
    }
    return NULL;
}

int nexus_daemon_find(struct hm_arena *arena, const char **path, struct hm_error *error)
{
    const char *beside = beside_self(arena);
    const char *found = beside && access(beside, X_OK) == 0 ? beside : on_path(arena);

    if (!found)
        return hm_fail(error, HM_ENOTFOUND, "%s is neither %s nor on PATH", NEXUS_DAEMON_NAME,
                       beside ? beside : "beside nexus");
    *path = found;
    return 0;
}

/* The child is to meet signals as a fresh process does. */
static int spawn_attributes(posix_spawnattr_t *attr)
{
    sigset_t none;
    sigset_t all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
    if (!rc)
        rc = posix_spawnattr_setsigmask(attr, &none);
    return rc ? rc : posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn(const char *path, char *const *argv, int log_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc) {
        posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = spawn_attributes(&attr);
    if (!rc)
        rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, log_fd, 1);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, log_fd, 2);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (!rc)
        rc = posix_spawn_file_actions_addchdir_np(&actions, "/");
    if (!rc)
        rc = posix_spawn(pid, path, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int nexus_daemon_spawn(const char *path, char *const *argv, const char *log_path,
                       struct nexus_daemon *out, struct hm_error *error)
{
    HM_AUTOCLOSE int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                                   0600);
    struct nexus_daemon daemon = {.pidfd = -1};
    struct stat info;
    int rc;

    if (log_fd < 0 || fstat(log_fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", log_path);
    daemon.log_start = (uint64_t)info.st_size;
    rc = spawn(path, argv, log_fd, &daemon.pid);
    if (rc) {
        errno = rc;
        return hm_fail_errno(error, HM_EIO, "cannot start %s", path);
    }
    daemon.pidfd = (int)syscall(SYS_pidfd_open, daemon.pid, 0);
    if (daemon.pidfd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot watch %s", path);
    *out = daemon;
    return 0;
}

bool nexus_daemon_ended(struct nexus_daemon *daemon, int timeout_ms, int *status)
{
    struct pollfd watched = {.fd = daemon->pidfd, .events = POLLIN};

    if (poll(&watched, 1, timeout_ms) <= 0)
        return false;
    *status = 0;
    waitpid(daemon->pid, status, WNOHANG);
    return true;
}

void nexus_daemon_release(struct nexus_daemon *daemon)
{
    if (daemon->pidfd >= 0)
        close(daemon->pidfd);
    daemon->pidfd = -1;
}

int nexus_log_tail(const char *log_path, uint64_t from, unsigned lines, struct hm_buf *out,
                   struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    char text[NEXUS_LOG_TAIL_BYTES];
    struct stat info;
    ssize_t len;
    ssize_t start;

    if (fd < 0 || fstat(fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot read %s", log_path);
    if ((uint64_t)info.st_size > from + sizeof(text))
        from = (uint64_t)info.st_size - sizeof(text);
    len = pread(fd, text, sizeof(text), (off_t)from);
    if (len < 0)
        return hm_fail_errno(error, HM_EIO, "cannot read %s", log_path);
    for (start = len; start > 0; start--) {
        if (text[start - 1] == '\n' && start < len && lines-- == 1)
            break;
    }
    if (hm_buf_append(out, text + start, (size_t)(len - start)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the log");
    return 0;
}

int nexus_socket_owner(const char *socket_path, pid_t *pid, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a socket");
    if (strlen(socket_path) >= sizeof(address.sun_path))
        return hm_fail(error, HM_ELIMIT, "%s is too long for a unix socket", socket_path);
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return hm_fail_errno(error,
                             errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR
                                 ? HM_ENOTFOUND
                             : errno == EACCES ? HM_EPERM
                                               : HM_EIO,
                             "cannot connect to %s", socket_path);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot tell who listens on %s", socket_path);
    *pid = peer.pid;
    return 0;
}
