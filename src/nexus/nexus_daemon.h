/* hypermeshd as a process: found, started, watched. */
#ifndef HM_NEXUS_DAEMON_H
#define HM_NEXUS_DAEMON_H

#include <sys/types.h>

#include "base.h"

#define NEXUS_DAEMON_NAME "hypermeshd"

/* Beside nexus's own executable, else on PATH. HM_ENOTFOUND says where it was looked for. */
int nexus_daemon_find(struct hm_arena *arena, const char **path, struct hm_error *error);

struct nexus_daemon {
    pid_t pid;
    int pidfd; /* readable when it has ended */
    uint64_t log_start; /* where in the log its lines begin */
};

/* Starts it in a session of its own: standard input empty, output appended to the log (0600). */
int nexus_daemon_spawn(const char *path, char *const *argv, const char *log_path,
                       struct nexus_daemon *out, struct hm_error *error);
/* Waits at most timeout_ms; true when it has ended, *status as of waitpid (0 when it is no child of ours). */
bool nexus_daemon_ended(struct nexus_daemon *daemon, int timeout_ms, int *status);
void nexus_daemon_release(struct nexus_daemon *daemon); /* lets go; does not end it */

/* The last lines of a log from byte `from` on, at most `lines`. Appends nothing when there are none. */
#define NEXUS_LOG_TAIL_BYTES ((uint64_t)16 << 10)
int nexus_log_tail(const char *log_path, uint64_t from, unsigned lines, struct hm_buf *out,
                   struct hm_error *error);

/* Who listens on a unix socket (SO_PEERCRED). HM_ENOTFOUND: nobody. */
int nexus_socket_owner(const char *socket_path, pid_t *pid, struct hm_error *error);

/* --- who starts it again (hypermeshd --keep) ------------------------------------------------------------- */

#define NEXUS_KEEP_NAME "hypermeshd.keep"
/* Keeps the daemon of a data folder running, also while that is down for a moment; 0: nobody does. */
pid_t nexus_keeper(const char *data_dir);
/* One that waits before the next start is to wait no longer. */
int nexus_keeper_wake(const char *data_dir, pid_t keeper, struct nexus_daemon *out,
                      struct hm_error *error);
/* How the daemon of a folder, which does not run, ended: in the arena; "" when in order, or never started. */
const char *nexus_daemon_how_ended(const char *data_dir, struct hm_arena *arena);

/* Its end: of the process that listens (0: nobody does) and of the keeper (0: none). */
struct nexus_daemon_end {
    int pidfds[2]; /* -1: nothing to wait for */
};
void nexus_daemon_end_watch(struct nexus_daemon_end *end, pid_t pid, pid_t keeper);
/* Whoever keeps it is told to end it, and starts it no more. */
void nexus_daemon_end_tell(const struct nexus_daemon_end *end);
/* Until both have ended, at most timeout_ms; true: they have. */
bool nexus_daemon_end_wait(const struct nexus_daemon_end *end, uint64_t timeout_ms);
void nexus_daemon_end_release(struct nexus_daemon_end *end);

#endif
