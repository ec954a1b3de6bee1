/* Finding the engine's binary, asking its version, starting it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_process_private.h"

#define SPAWN_DEPS_LEVELS_MAX   4
#define SPAWN_VERSION_WAIT_MS   10000 /* of a cold disk */
#define SPAWN_VERSION_MAX_BYTES 256

/* --- finding --------------------------------------------------------------------------------------------- */

/* Cuts the last part of a path; false when there is none. */
static bool spawn_parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path)
        return false;
    *slash = '\0';
    return true;
}

static const char *spawn_runnable(struct hm_arena *arena, const char *folder, const char *below)
{
    const char *path = hm_arena_printf(arena, "%s/%s" ENGINE_PROCESS_NAME, folder, below);

    return path != NULL && access(path, X_OK) == 0 ? path : NULL;
}

static const char *spawn_beside_self(struct hm_arena *arena)
{
    char at[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", at, sizeof(at) - 1);
    const char *found = NULL;

    if (len <= 0)
        return NULL;
    at[len] = '\0';
    if (!spawn_parent(at))
        return NULL;
    for (unsigned level = 0; found == NULL && level < SPAWN_DEPS_LEVELS_MAX; level++) {
        if (level == 1)
            found = spawn_runnable(arena, at, "libexec/hypermesh/");
        if (found == NULL)
            found = spawn_runnable(arena, at, ".deps/cluster/bin/");
        if (!spawn_parent(at))
            break;
    }
    return found;
}

static const char *spawn_on_path(struct hm_arena *arena)
{
    const char *path = getenv("PATH");

    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        const char *folder = hm_arena_printf(arena, "%.*s", (int)len, path);
        const char *found = folder != NULL && folder[0] == '/' ? spawn_runnable(arena, folder, "")
                                                               : NULL;

        if (found != NULL)
            return found;
        path += len;
        path += *path == ':';
    }
    return NULL;
}

int engine_process_find(const char *given, struct hm_arena *arena, const char **out,
                        struct hm_error *error)
{
    const char *found = given;

    if (given != NULL && access(given, X_OK) != 0)
        return hm_fail_errno(error, HM_ENOTFOUND, "the engine's binary %.200s cannot be run",
                             given);
    if (found == NULL)
        found = spawn_beside_self(arena);
    if (found == NULL)
        found = spawn_on_path(arena);
    if (found == NULL)
        return hm_fail(error, HM_ENOTFOUND,
                       "the engine of clusters, " ENGINE_PROCESS_NAME " " ENGINE_PROCESS_VERSION
                       ", is not on this machine: scripts/setup --cluster gets it, --engine-path "
                       "FILE names one");
    found = hm_arena_strdup(arena, found);
    if (found == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    *out = found;
    return 0;
}

/* --- starting -------------------------------------------------------------------------------------------- */

static int spawn_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    return rc != 0 ? rc : posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn_actions(posix_spawn_file_actions_t *actions, int output)
{
    int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, output, 2);
    return rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(actions, 3);
}

/* Returns an errno. */
static int spawn_run(const char *program, const char *const *argv, const char *const *environment,
                     int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = spawn_attributes(&attr);
    if (rc == 0)
        rc = spawn_actions(&actions, output);
    if (rc == 0)
        rc = posix_spawn(pid, program, &actions, &attr, (char *const *)(uintptr_t)argv,
                         (char *const *)(uintptr_t)environment);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int engine_child_spawn(const char *program, const char *const *argv, const char *const *environment,
                       struct engine_child *out, struct hm_error *error)
{
    struct engine_child child = ENGINE_CHILD_NONE;
    int ends[2], rc;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return hm_fail_errno(error, HM_EIO, "no pipe for %.200s", program);
    rc = spawn_run(program, argv, environment, ends[1], &child.pid);
    close(ends[1]);
    child.output = ends[0];
    if (rc == 0 && fcntl(child.output, F_SETFL, O_NONBLOCK) != 0)
        rc = errno;
    if (rc == 0) {
        child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
        rc = child.pidfd < 0 ? errno : 0;
    }
    if (rc == 0) {
        *out = child;
        return 0;
    }
    if (child.pid > 0) {
        kill(-child.pid, SIGKILL);
        engine_child_reap(&child, &(int){0});
    } else {
        close(child.output);
    }
    errno = rc;
    return hm_fail_errno(error, HM_EIO, "cannot start %.200s", program);
}

void engine_child_signal(const struct engine_child *child, int signal_number)
{
    if (child->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, child->pidfd, signal_number, NULL, 0);
}

void engine_child_reap(struct engine_child *child, int *status)
{
    /* Nobody has waited for it yet, so its number is still its own. */
    if (child->pid > 0) {
        kill(-child->pid, SIGKILL);
        while (waitpid(child->pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    hm_fd_release(&child->pidfd);
    hm_fd_release(&child->output);
    *child = (struct engine_child)ENGINE_CHILD_NONE;
}

/* --- its version ----------------------------------------------------------------------------------------- */

static uint64_t spawn_now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* Until the output ends, the buffer is full, or the time is over. */
static int spawn_read_all(const struct engine_child *child, char *out, size_t size,
                          struct hm_error *error)
{
    uint64_t end_ms = spawn_now_ms() + SPAWN_VERSION_WAIT_MS;
    size_t len = 0;

    for (;;) {
        struct pollfd watched = {.fd = child->output, .events = POLLIN};
        uint64_t now = spawn_now_ms();

        if (now >= end_ms)
            return hm_fail(error, HM_ETIMEOUT, "it does not say its version within %d s",
                           SPAWN_VERSION_WAIT_MS / 1000);
        if (poll(&watched, 1, (int)(end_ms - now)) <= 0)
            continue;
        ssize_t got = read(child->output, out + len, size - 1 - len);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0 || len + (size_t)got == size - 1) {
            out[got > 0 ? len + (size_t)got : len] = '\0';
            return 0;
        }
        len += (size_t)got;
    }
}

int engine_process_check(const char *program, char version[ENGINE_PROCESS_VERSION_BYTES],
                         struct hm_error *error)
{
    const char *const argv[] = {program, "version", NULL};
    struct engine_child child = ENGINE_CHILD_NONE;
    char said[SPAWN_VERSION_MAX_BYTES];
    int status = 0;
    int rc = engine_child_spawn(program, argv, (const char *const *)(uintptr_t)environ, &child,
                                error);

    if (rc != 0)
        return rc;
    rc = spawn_read_all(&child, said, sizeof(said), error);
    if (rc != 0)
        engine_child_signal(&child, SIGKILL);
    engine_child_reap(&child, &status);
    if (rc != 0)
        return hm_error_prefix(error, rc, "%.200s", program);
    said[strcspn(said, "\r\n")] = '\0';
    said[ENGINE_PROCESS_VERSION_BYTES - 1] = '\0';
    hm_text_clean(said);
    if (strcmp(said, ENGINE_PROCESS_VERSION) != 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "%.200s is not " ENGINE_PROCESS_NAME " " ENGINE_PROCESS_VERSION
                       ", it says '%s': scripts/setup --cluster gets the right one",
                       program, said);
    memcpy(version, said, ENGINE_PROCESS_VERSION_BYTES);
    return 0;
}
