/* Child processes: started by posix_spawn in a session of their own, watched by pidfd. */
#ifndef HM_RUNTIME_SPAWN_H
#define HM_RUNTIME_SPAWN_H

#include <sys/resource.h>
#include <sys/types.h>

#include "base.h"

struct runtime_child {
    pid_t pid; /* 0: none */
    int pidfd;
    int out; /* read ends, non-blocking; -1 when not asked for */
    int err;
};

/* Kills a child that has not been waited for, with whatever it started in its session's first group. */
void runtime_child_kill(const struct runtime_child *child);
/* Kills and reaps a child still there, closes the pipes. */
void runtime_child_release(struct runtime_child *child);
/* argv[0] is the program's path. stdin is /dev/null, descriptors above 2 are closed. With pipes,
 * out and err are read ends; else both go to /dev/null. HM_EUNAVAILABLE. */
int runtime_child_start(const char *const *argv, bool pipes, struct runtime_child *out,
                        struct hm_error *error);
/* Waits up to timeout_ms (killed past it: HM_ETIMEOUT); what it left running in its group is killed. status as of
 * waitpid. usage may be NULL. */
int runtime_child_wait(struct runtime_child *child, int timeout_ms, int *status,
                       struct rusage *usage, struct hm_error *error);
/* Runs to the end; output (NULL: dropped) receives both streams, at most limit bytes of them. */
int runtime_child_run(const char *const *argv, int timeout_ms, struct hm_buf *output, size_t limit,
                      int *status, struct hm_error *error);
/* Exit code as a shell gives it: 128 + signal when killed. */
int runtime_exit_code(int status);

#endif
