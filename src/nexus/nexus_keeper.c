/* Who keeps a daemon running, how that ended, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nexus_daemon.h"
#include "nexus_place.h"

#define HOW_MAX_BYTES 64

enum { DAEMON, KEEPER };

pid_t nexus_keeper(const char *data_dir)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NEXUS_KEEP_NAME, data_dir);
    HM_AUTOCLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
        return 0;
    return lock.l_pid;
}

int nexus_keeper_wake(const char *data_dir, pid_t keeper, struct nexus_daemon *out,
                      struct hm_error *error)
{
    HM_AUTOFREE char *log_path = hm_asprintf("%s/" NEXUS_LOG_NAME, data_dir);
    struct nexus_daemon daemon = {.pid = keeper};
    struct stat info;

    daemon.pidfd = (int)syscall(SYS_pidfd_open, keeper, 0);
    if (daemon.pidfd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot watch process %d, which keeps the node running",
                             (int)keeper);
    if (log_path && stat(log_path, &info) == 0)
        daemon.log_start = (uint64_t)info.st_size;
    (void)syscall(SYS_pidfd_send_signal, daemon.pidfd, SIGHUP, NULL, 0);
    *out = daemon;
    return 0;
}

/* A daemon that ends in order removes its socket. */
static const char *left_behind(const char *data_dir)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NEXUS_SOCKET_NAME, data_dir);

    return path && access(path, F_OK) == 0 ? "not in order" : "";
}

const char *nexus_daemon_how_ended(const char *data_dir, struct hm_arena *arena)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NEXUS_KEEP_NAME, data_dir);
    HM_AUTOCLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    char how[HOW_MAX_BYTES];
    ssize_t len = fd >= 0 ? read(fd, how, sizeof(how) - 1) : 0;
    const char *kept;

    if (len <= 0)
        return left_behind(data_dir);
    how[len] = '\0';
    how[strcspn(how, "\n")] = '\0';
    hm_text_clean(how);
    kept = hm_arena_strdup(arena, how);
    return kept ? kept : "";
}

/* --- its end ----------------------------------------------------------------------------------------------- */

void nexus_daemon_end_watch(struct nexus_daemon_end *end, pid_t pid, pid_t keeper)
{
    end->pidfds[DAEMON] = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    end->pidfds[KEEPER] = keeper > 0 ? (int)syscall(SYS_pidfd_open, keeper, 0) : -1;
}

void nexus_daemon_end_tell(const struct nexus_daemon_end *end)
{
    if (end->pidfds[KEEPER] >= 0)
        (void)syscall(SYS_pidfd_send_signal, end->pidfds[KEEPER], SIGTERM, NULL, 0);
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

bool nexus_daemon_end_wait(const struct nexus_daemon_end *end, uint64_t timeout_ms)
{
    uint64_t end_ms = now_ms() + timeout_ms;

    for (size_t i = 0; i < HM_COUNT_OF(end->pidfds); i++) {
        struct pollfd watched = {.fd = end->pidfds[i], .events = POLLIN};
        int ready;

        if (watched.fd < 0)
            continue;
        do {
            uint64_t now = now_ms();

            ready = poll(&watched, 1, now < end_ms ? (int)(end_ms - now) : 0);
        } while (ready < 0 && errno == EINTR);
        if (ready <= 0)
            return false;
    }
    return true;
}

void nexus_daemon_end_release(struct nexus_daemon_end *end)
{
    for (size_t i = 0; i < HM_COUNT_OF(end->pidfds); i++)
        hm_fd_release(&end->pidfds[i]);
}
