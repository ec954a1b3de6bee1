#include "runtime_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* The OCI runtimes need nothing from the caller's environment, so nothing of it reaches them. */
static char *const child_environment[] = {
    (char *)(uintptr_t)("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    (char *)(uintptr_t)("LC_ALL=C"), NULL};

/* Until it is waited for, its number, and so that of its group, belongs to nobody else. */
void runtime_child_kill(const struct runtime_child *child)
{
    if (child->pid <= 0)
        return;
    (void)kill(-child->pid, SIGKILL);
    (void)kill(child->pid, SIGKILL); /* it may not have made its session yet */
}

void runtime_child_release(struct runtime_child *child)
{
    if (child->pid > 0) {
        runtime_child_kill(child);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    hm_fd_release(&child->pidfd);
    hm_fd_release(&child->out);
    hm_fd_release(&child->err);
    *child = (struct runtime_child){.pidfd = -1, .out = -1, .err = -1};
}

static int child_spawn(const char *const *argv, int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0 && out >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (rc == 0 && err >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, err, 2);
    if (rc == 0 && out < 0)
        rc = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (rc == 0 && err < 0)
        rc = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(&attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(&attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawn(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
                         child_environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

int runtime_child_start(const char *const *argv, bool pipes, struct runtime_child *out,
                        struct hm_error *error)
{
    HM_CLEANUP(runtime_child) struct runtime_child child = {.pidfd = -1, .out = -1, .err = -1};
    HM_AUTOCLOSE int out_end = -1;
    HM_AUTOCLOSE int err_end = -1;
    int ends[2];
    int rc;

    if (pipes) {
        if (pipe2(ends, O_CLOEXEC) != 0)
            return hm_fail_errno(error, HM_EIO, "cannot make a pipe");
        child.out = ends[0];
        out_end = ends[1];
        if (pipe2(ends, O_CLOEXEC) != 0)
            return hm_fail_errno(error, HM_EIO, "cannot make a pipe");
        child.err = ends[0];
        err_end = ends[1];
        (void)fcntl(child.out, F_SETFL, O_NONBLOCK);
        (void)fcntl(child.err, F_SETFL, O_NONBLOCK);
    }
    rc = child_spawn(argv, out_end, err_end, &child.pid);
    if (rc != 0) {
        child.pid = 0;
        errno = rc;
        return hm_fail_errno(error, HM_EUNAVAILABLE, "cannot start %s", argv[0]);
    }
    child.pidfd = pidfd_open(child.pid, 0);
    if (child.pidfd < 0)
        return hm_fail_errno(error, HM_EUNAVAILABLE, "cannot watch a process (pidfd_open)");
    *out = child;
    child = (struct runtime_child){.pidfd = -1, .out = -1, .err = -1};
    return 0;
}

int runtime_child_wait(struct runtime_child *child, int timeout_ms, int *status,
                       struct rusage *usage, struct hm_error *error)
{
    struct pollfd ready = {.fd = child->pidfd, .events = POLLIN};
    uint64_t end = hm_mono_ns(hm_clock_system()) + (uint64_t)timeout_ms * 1000000U;
    bool late = false;

    for (;;) {
        uint64_t now = hm_mono_ns(hm_clock_system());
        int rc = poll(&ready, 1, now < end ? (int)((end - now) / 1000000U) + 1 : 0);

        if (rc > 0)
            break;
        if (rc == 0) {
            late = true;
            break;
        }
        if (errno != EINTR)
            return hm_fail_errno(error, HM_EIO, "cannot wait for a process");
    }
    if (late)
        runtime_child_kill(child);
    else
        (void)kill(-child->pid, SIGKILL);
    while (wait4(child->pid, status, 0, usage) < 0) {
        if (errno != EINTR)
            return hm_fail_errno(error, HM_EIO, "cannot wait for a process");
    }
    child->pid = 0;
    if (late)
        return hm_fail(error, HM_ETIMEOUT, "a helper process did not end within %d ms", timeout_ms);
    return 0;
}

/* Takes what is there; false when the stream has ended. */
static bool child_drain(int *fd, struct hm_buf *output, size_t limit)
{
    char step[4096];
    ssize_t got = read(*fd, step, sizeof(step));

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        hm_fd_release(fd);
        *fd = -1;
        return false;
    }
    if (output != NULL && output->len < limit)
        (void)hm_buf_append(output, step,
                            (size_t)got < limit - output->len ? (size_t)got : limit - output->len);
    return true;
}

int runtime_child_run(const char *const *argv, int timeout_ms, struct hm_buf *output, size_t limit,
                      int *status, struct hm_error *error)
{
    HM_CLEANUP(runtime_child) struct runtime_child child = {.pidfd = -1, .out = -1, .err = -1};
    uint64_t end = hm_mono_ns(hm_clock_system()) + (uint64_t)timeout_ms * 1000000U;
    int rc = runtime_child_start(argv, output != NULL, &child, error);

    if (rc != 0)
        return rc;
    while (child.out >= 0 || child.err >= 0) {
        struct pollfd fds[3] = {{.fd = child.out, .events = POLLIN},
                                {.fd = child.err, .events = POLLIN},
                                {.fd = child.pidfd, .events = POLLIN}};
        uint64_t now = hm_mono_ns(hm_clock_system());

        if (now >= end || (poll(fds, 3, (int)((end - now) / 1000000U) + 1) < 0 && errno != EINTR))
            break;
        if (fds[0].revents != 0)
            (void)child_drain(&child.out, output, limit);
        if (fds[1].revents != 0)
            (void)child_drain(&child.err, output, limit);
        if (fds[0].revents == 0 && fds[1].revents == 0 && fds[2].revents != 0)
            break; /* ended; someone else holds the pipes */
    }
    end = end > hm_mono_ns(hm_clock_system()) ? end - hm_mono_ns(hm_clock_system()) : 0;
    return runtime_child_wait(&child, (int)(end / 1000000U) + 1, status, NULL, error);
}

int runtime_exit_code(int status)
{
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status);
}
