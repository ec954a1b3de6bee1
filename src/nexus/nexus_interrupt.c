#include "nexus_interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "nexus.h"

/* Signal handlers reach nothing but what is global. */
static volatile sig_atomic_t signals_seen;
static int wake_read = -1;
static int wake_write = -1;
static char words[NEXUS_LAST_WORDS_BYTES];
static struct sigaction before_int;
static struct sigaction before_term;

static void on_signal(int number)
{
    int saved = errno;

    (void)number;
    signals_seen = signals_seen + 1;
    if (signals_seen > 1) {
        ssize_t written = write(2, words, strlen(words));

        (void)written;
        _exit(NEXUS_EXIT_INTERRUPTED);
    } else {
        ssize_t written = write(wake_write, "!", 1);

        (void)written;
    }
    errno = saved;
}

int nexus_interrupt_open(const char *last_words, struct hm_error *error)
{
    struct sigaction action = {.sa_handler = on_signal};
    int pipes[2];

    nexus_interrupt_close();
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make a pipe");
    wake_read = pipes[0];
    wake_write = pipes[1];
    signals_seen = 0;
    snprintf(words, sizeof(words), "%s", last_words);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_int);
    sigaction(SIGTERM, &action, &before_term);
    return 0;
}

int nexus_interrupt_fd(void)
{
    return wake_read;
}

bool nexus_interrupt_take(void)
{
    char byte;

    return wake_read >= 0 && read(wake_read, &byte, 1) == 1;
}

bool nexus_interrupt_seen(void)
{
    return signals_seen > 0;
}

void nexus_interrupt_close(void)
{
    if (wake_read < 0)
        return;
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    close(wake_read);
    close(wake_write);
    wake_read = -1;
    wake_write = -1;
}
