/* Inside of the server: a listener thread, a thread a connection, and whose turn a group of calls is. */
#ifndef HM_ABCI_SERVER_PRIVATE_H
#define HM_ABCI_SERVER_PRIVATE_H

#include <pthread.h>
#include <sys/types.h>

#include "abci.h"
#include "base.h"

#define ABCI_PATH_MAX_BYTES 107 /* a unix socket's, sun_path less its NUL */
#define ABCI_READ_BYTES     ((size_t)64 << 10)

/* A socket file that we made. */
struct abci_socket {
    char path[ABCI_PATH_MAX_BYTES + 1];
    dev_t device;
    ino_t inode;
    int fd; /* not blocking; -1: closed */
};

/* HM_EINVAL: path too long; HM_EEXIST: a live server or no socket lies there; HM_EIO. */
int abci_socket_open(struct abci_socket *out, const char *path, struct hm_error *error);
/* Removes the file, if it is still ours, and closes. Idempotent. */
void abci_socket_close(struct abci_socket *listener);

struct abci_conn {
    struct abci_server *server;
    struct abci_conn *next;
    struct abci_core *core;
    pthread_t thread;
    int64_t peer_pid;
    int fd; /* closed by who joined the thread; others may shut it down while holding the server's lock */
    bool done; /* the thread needs nothing any more */
    uint8_t bytes[ABCI_READ_BYTES];
};

struct abci_server {
    struct abci_handlers handlers;
    struct abci_server_options options;
    struct abci_socket listener; /* the listener thread's, once it runs */
    pthread_t thread;
    int wake; /* eventfd: look at the state again */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t turn; /* a group became free, or nothing is to be called any more */
    struct abci_conn *conns;
    unsigned count;
    int64_t peer_pid;
    bool closing;
    bool failed;
    const struct abci_conn *consensus; /* whose consensus calls are, until its `gone` returned */
    bool busy[ABCI_GROUPS]; /* the other groups: a call is under way */
};

/* Starts a connection's thread and puts it into the server's list. Takes fd also on failure. */
int abci_conn_start(struct abci_server *server, int fd, int64_t peer_pid, struct hm_error *error);
/* Joins and frees connections that are done, or all. */
void abci_conn_reap(struct abci_server *server, bool all);
void abci_server_wake(const struct abci_server *server);
void abci_server_log(const struct abci_server *server, const struct hm_error *error);
/* A thread of ours, which gets none of the process's signals. 0 or what pthread_create gave. */
int abci_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
