#define FUSE_USE_VERSION 32
#include "verb_mount_signal.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

#define MOUNT_WAKE_PERIOD_NS 10000000L /* how often the loop is woken until it has returned */

static const int caught[MOUNT_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
static int asked_fd = -1; /* an eventfd: somebody asked for the end; what a handler may write to */

static void ask(void)
{
    uint64_t one = 1;

    if (write(asked_fd, &one, sizeof(one)) < 0)
        return; /* it is full of such wishes */
}

static void on_signal(int number)
{
    int kept = errno;

    if (number != SIGUSR1)
        ask();
    errno = kept;
}

static void *watch_main(void *arg)
{
    struct mount_signals *signals = arg;
    const struct timespec pause = {.tv_nsec = MOUNT_WAKE_PERIOD_NS};
    uint64_t wishes;

    while (read(asked_fd, &wishes, sizeof(wishes)) < 0 && errno == EINTR)
        ;
    while (!atomic_load(&signals->over)) {
        fuse_session_exit(signals->session);
        (void)pthread_kill(signals->loop, SIGUSR1);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

/* What the watcher starts with: no signal interrupts it. */
static int start(struct mount_signals *signals)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&signals->watcher, NULL, watch_main, signals);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int mount_signals_init(struct mount_signals *signals, struct packetfs_error *error)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: the loop's sleep ends */

    *signals = (struct mount_signals){0};
    asked_fd = eventfd(0, EFD_CLOEXEC);
    if (asked_fd < 0)
        return hm_fail_errno((struct hm_error *)(void *)error, HM_EIO, "signals cannot be caught");
    (void)sigemptyset(&action.sa_mask);
    for (int i = 0; i < MOUNT_SIGNALS; i++)
        (void)sigaction(caught[i], &action, &signals->before[i]);
    return 0;
}

int mount_signals_watch(struct mount_signals *signals, struct fuse_session *session,
                        struct packetfs_error *error)
{
    signals->session = session;
    signals->loop = pthread_self();
    errno = start(signals);
    if (errno != 0)
        return hm_fail_errno((struct hm_error *)(void *)error, HM_EIO,
                             "signals cannot be waited for");
    signals->watched = true;
    return 0;
}

void mount_signals_release(struct mount_signals *signals)
{
    atomic_store(&signals->over, true);
    ask();
    if (signals->watched)
        (void)pthread_join(signals->watcher, NULL);
    for (int i = 0; i < MOUNT_SIGNALS; i++)
        (void)sigaction(caught[i], &signals->before[i], NULL);
    hm_fd_release(&asked_fd);
    asked_fd = -1;
}
