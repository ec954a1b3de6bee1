#include "beside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t child;
static sigset_t watched;

static void ended(void)
{
    int status;

    if (waitpid(child, &status, WNOHANG) == child)
        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void *watch_run(void *unused)
{
    (void)unused;
    for (int number; sigwait(&watched, &number) == 0;) {
        if (number == SIGCHLD)
            ended();
        else
            (void)kill(child, number);
    }
    return NULL;
}

static int spawn(char *const *argv)
{
    posix_spawnattr_t attr;
    sigset_t none;
    int status = posix_spawnattr_init(&attr);

    if (status != 0)
        return status;
    (void)sigemptyset(&none);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &watched);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    status = posix_spawnp(&child, argv[0], NULL, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
    return status;
}

int beside_start(char *const *argv, struct hm_error *error)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE};
    pthread_t thread;

    (void)sigemptyset(&watched);
    for (size_t i = 0; i < HM_COUNT_OF(numbers); i++)
        (void)sigaddset(&watched, numbers[i]);
    /* Before the program is there: an end of it must not be missed. SIGPIPE is only its default for the program. */
    (void)pthread_sigmask(SIG_BLOCK, &watched, NULL);
    errno = spawn(argv);
    (void)sigdelset(&watched, SIGPIPE);
    if (errno != 0)
        return hm_fail_errno(error, HM_EIO, "cannot start %.200s", argv[0]);
    errno = pthread_create(&thread, NULL, watch_run, NULL);
    if (errno != 0)
        return hm_fail_errno(error, HM_EIO, "no thread");
    (void)pthread_detach(thread);
    return 0;
}
