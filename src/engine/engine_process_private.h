/* The supervisor's parts, and starting a program with a pipe on its output. Private to this room. */
#ifndef HM_ENGINE_PROCESS_PRIVATE_H
#define HM_ENGINE_PROCESS_PRIVATE_H

#include <pthread.h>
#include <sys/types.h>

#include "engine_process.h"

struct engine_child {
    pid_t pid; /* leads a process group of its own */
    int pidfd; /* readable when it has ended */
    int output; /* both its outputs, to be read without blocking */
};
#define ENGINE_CHILD_NONE                   \
    {                                       \
        .pid = 0, .pidfd = -1, .output = -1 \
    }

/* argv and environment end with NULL. The program meets signals as a fresh process does. HM_EIO. */
int engine_child_spawn(const char *program, const char *const *argv, const char *const *environment,
                       struct engine_child *out, struct hm_error *error);
void engine_child_signal(const struct engine_child *child, int signal_number);
/* After its end: what is left of its group is killed, *status as of waitpid; everything is closed. */
void engine_child_reap(struct engine_child *child, int *status);

/* Lines as they come, and how many were handed on in this second. */
struct process_lines {
    uint8_t bytes[ENGINE_PROCESS_LINE_MAX_BYTES];
    size_t len;
    bool dumping; /* after a panic come the stacks of everything */
    uint64_t second;
    unsigned handed, left_out;
};

struct engine_process {
    struct engine_process_options options;
    char *program, *home, *temporary;
    char **stale;
    char **environment; /* ends with NULL */
    pthread_t thread;
    int wake; /* eventfd: stop, or restart */
    pthread_mutex_t lock; /* guards the rest of this block */
    bool stopping;
    bool restart;
    bool lost;
    struct engine_process_status status;
    /* The thread's own. */
    struct engine_child child;
    struct process_lines lines;
    bool failed; /* the child's consensus is dead */
    bool differs; /* ENGINE_PROCESS_STATE_DIFFERS */
    bool full; /* it said that a disk is */
    bool stuck; /* it made no blocks, though it could */
    bool shot; /* SIGKILL was sent */
    bool blameless; /* it ended for a reason that lies outside of it */
    uint64_t term_ms; /* SIGTERM was sent; 0: not */
    uint64_t gone_ms; /* engine_process_lost was heard; 0: not */
    uint64_t last_height; /* at which it ended last */
    uint64_t seen_height, seen_ms; /* the last new height, and when */
    unsigned stuck_times; /* in a row at seen_height */
    unsigned failures; /* in a row at last_height */
    uint64_t pause_ms;
    char said[HM_ERROR_TEXT_BYTES]; /* its last error, for people; of who failed or panicked: why */
};

uint64_t engine_process_now_ms(void);
bool engine_process_stopping(struct engine_process *process);
struct engine_process_look engine_process_look_now(struct engine_process *process);
void engine_process_say(struct engine_process *process,
                        const char *text); /* a warning, as a line */

/* --- one life after the other (engine_process_again.c) ---------------------------------------------------- */
/* What follows an end that nobody wanted, or (asked) somebody did; began_ms: when that life did. Waits as long as must be.
 * False: no other start. */
bool engine_process_again(struct engine_process *process, uint64_t began_ms, bool asked);

#endif
