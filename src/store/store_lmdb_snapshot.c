/* LMDB copies an environment to a file descriptor, and only that. So it writes into a pipe on a thread
 * that lives for the length of the call, and the caller's own thread reads and hands on. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "store_lmdb_error.h"
#include "store_lmdb_snapshot.h"

#define PIECE_BYTES ((size_t)1 << 20) /* given to the caller at a time, and the pipe's length */

struct copy {
    MDB_env *env;
    int out; /* the pipe's end to write, closed by the thread */
    int rc; /* LMDB's, readable after the join */
};

static void *copy_run(void *ctx)
{
    struct copy *copy = ctx;

    copy->rc = mdb_env_copyfd2(copy->env, copy->out, MDB_CP_COMPACT);
    close(copy->out);
    return NULL;
}

/* The thread and the one LMDB starts inherit a mask that blocks every signal: SIGPIPE must not end the
 * process when the reader gives up, and no handler of the program shall run there. */
static int copy_start(struct copy *copy, pthread_t *thread)
{
    sigset_t all;
    sigset_t before;
    int rc;

    sigfillset(&all);
    rc = pthread_sigmask(SIG_BLOCK, &all, &before);
    if (rc)
        return rc;
    rc = pthread_create(thread, NULL, copy_run, copy);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* Hands on whole pieces; the last one may be shorter. */
static int hand_on(int in, uint8_t *piece,
                   int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                   void *ctx, const char *path, struct hm_error *error)
{
    size_t len = 0;
    ssize_t got;
    int rc = 0;

    do {
        got = read(in, piece + len, PIECE_BYTES - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "copying the store %s", path);
        len += (size_t)got;
        if (len == PIECE_BYTES || (got == 0 && len > 0)) {
            rc = write(ctx, hm_slice_of(piece, len), error);
            len = 0;
        }
    } while (got != 0 && rc == 0);
    return rc;
}

/* MDB_INCOMPATIBLE: the copy met another number of pages than the environment counts. */
static int copy_failed(const struct copy *copy, const char *path, struct hm_error *error)
{
    if (copy->rc == MDB_INCOMPATIBLE)
        return hm_fail(
            error, HM_ECORRUPT,
            "the store %s counts more pages than it uses: it is damaged; restore it from "
            "a copy",
            path);
    return store_lmdb_fail(error, copy->rc, "copy", path);
}

int store_lmdb_snapshot(MDB_env *env, const char *path,
                        int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                        void *ctx, struct hm_error *error)
{
    HM_AUTOFREE uint8_t *piece = hm_malloc(PIECE_BYTES);
    struct copy copy = {.env = env};
    pthread_t thread;
    int ends[2];
    int rc;

    if (!piece)
        return hm_fail(error, HM_ENOMEM, "no memory to copy the store %s", path);
    if (pipe2(ends, O_CLOEXEC))
        return hm_fail_errno(error, HM_EIO, "copying the store %s: a pipe", path);
    (void)fcntl(ends[1], F_SETPIPE_SZ, (int)PIECE_BYTES); /* a shorter one is only slower */
    copy.out = ends[1];
    rc = copy_start(&copy, &thread);
    if (rc) {
        close(ends[0]);
        close(ends[1]);
        return hm_fail(error, HM_EIO, "copying the store %s: no thread: %s", path, strerror(rc));
    }
    rc = hand_on(ends[0], piece, write, ctx, path, error);
    close(ends[0]); /* a copy that nobody reads any more ends with EPIPE */
    pthread_join(thread, NULL);
    return rc || !copy.rc ? rc : copy_failed(&copy, path, error);
}
