/* A thread that waits for signals. */
#include "cat_signal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct cat_watch {
    pthread_t thread;
    int signals, over; /* descriptors */
    bool (*act)(void *arg);
    void *arg;
};

static atomic_int taken;

static sigset_t both(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

void cat_signals_hold(void)
{
    const sigset_t set = both();

    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void cat_signal_die(int number)
{
    const sigset_t set = both();

    (void)signal(number, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(number);
    _exit(128 + number); /* as a shell would say */
}

static void *watch(void *arg)
{
    struct cat_watch *watch = arg;
    struct pollfd polls[2] = {{.fd = watch->over, .events = POLLIN},
                              {.fd = watch->signals, .events = POLLIN}};
    const sigset_t set = both();
    struct signalfd_siginfo info;

    for (;;) {
        polls[0].revents = polls[1].revents = 0;
        if (poll(polls, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (polls[0].revents != 0)
            return NULL;
        if (polls[1].revents == 0 || read(watch->signals, &info, sizeof(info)) != sizeof(info))
            continue;
        atomic_store(&taken, (int)info.ssi_signo);
        if (!watch->act(watch->arg))
            cat_signal_die((int)info.ssi_signo);
        polls[1].fd = -1;
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* the next one ends the program */
    }
}

int cat_watch_open(struct cat_watch **out, bool (*act)(void *arg), void *arg,
                   struct stoq_error *error)
{
    struct cat_watch *made = hm_calloc(1, sizeof(*made));
    const sigset_t set = both();

    if (made != NULL) {
        *made = (struct cat_watch){.signals = signalfd(-1, &set, SFD_CLOEXEC),
                                   .over = eventfd(0, EFD_CLOEXEC),
                                   .act = act,
                                   .arg = arg};
        if (made->signals >= 0 && made->over >= 0 &&
            pthread_create(&made->thread, NULL, watch, made) == 0) {
            *out = made;
            return 0;
        }
        if (made->signals >= 0)
            (void)close(made->signals);
        if (made->over >= 0)
            (void)close(made->over);
        hm_free(made);
    }
    (void)snprintf(error->text, sizeof(error->text), "cannot watch for signals");
    error->code = STOQ_EIO;
    return STOQ_EIO;
}

void cat_watch_close(struct cat_watch *watch)
{
    const uint64_t one = 1;

    if (watch == NULL)
        return;
    (void)!write(watch->over, &one, sizeof(one));
    (void)pthread_join(watch->thread, NULL);
    (void)close(watch->signals);
    (void)close(watch->over);
    hm_free(watch);
}

int cat_signal_taken(void)
{
    return atomic_load(&taken);
}
