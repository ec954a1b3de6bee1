#include "main_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node_keep.h"

#define KEEP_PROGRAM       "/proc/self/exe" /* also after an upgrade the one that runs */
#define KEEP_WORDS_MAX     256
#define KEEP_PROCESS_NAME  "hypermeshd-keep"
#define KEEP_DAEMON_NAME   "hypermeshd"
#define KEEP_ENGINE_MS     300 /* after the daemon's death, for its engine to end by itself */
#define KEEP_KILLED_MS     10000 /* for the kernel to let go of it, a disk may hang */
#define KEEP_NAP_MS        10
#define KEEP_FILE_MAX      4096 /* of /proc files that are read */
#define KEEP_NOT_STARTED   (EXIT_FAILURE << 8) /* as waitpid has it */
#define KEEP_CHILDREN_FILE "/proc/self/task/%d/children"

struct keeper {
    char **argv;
    const char *data_dir;
    int file; /* locked */
    sigset_t signals, before; /* blocked here; as the daemon is to have them */
    struct node_keep keep;
    bool told; /* to end */
};

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* --- its file ------------------------------------------------------------------------------------------- */

static int keeper_open(struct keeper *keeper, struct hm_error *error)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int rc = hm_mkdir_all(keeper->data_dir, 0700, error);

    if (rc != 0)
        return rc;
    snprintf(path, sizeof(path), "%s/" MAIN_KEEP_NAME, keeper->data_dir);
    keeper->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (keeper->file < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %.250s", path);
    if (fcntl(keeper->file, F_SETLK, &lock) == 0)
        return 0;
    if (errno != EACCES && errno != EAGAIN)
        return hm_fail_errno(error, HM_EIO, "cannot lock %.250s", path);
    return hm_fail(error, HM_EBUSY,
                   "another hypermeshd --keep has %.250s: nexus down ends it, another --data is "
                   "another node",
                   keeper->data_dir);
}

/* For people only: what cannot be written is in the log. */
static void keeper_note(const struct keeper *keeper, const char *how)
{
    if (ftruncate(keeper->file, 0) == 0 && how[0] != '\0')
        (void)!pwrite(keeper->file, how, strlen(how), 0);
}

/* --- what a dead daemon leaves -------------------------------------------------------------------------- */

/* Reads what there is, NUL at the end; the length, 0 on failure. */
static size_t read_file(const char *path, char out[KEEP_FILE_MAX])
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, KEEP_FILE_MAX - 1) : -1;
    size_t len = got > 0 ? (size_t)got : 0;

    out[len] = '\0';
    return len;
}

static bool is_engine(const struct keeper *keeper, pid_t pid)
{
    char path[PATH_MAX], home[PATH_MAX], words[KEEP_FILE_MAX];

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    snprintf(home, sizeof(home), "%s/engine", keeper->data_dir);
    size_t len = read_file(path, words);
    bool named = false;

    for (size_t at = 0; at < len; at += strlen(words + at) + 1) {
        if (named && strcmp(words + at, home) == 0)
            return true;
        named = strcmp(words + at, "--home") == 0;
    }
    return false;
}

/* Orphans of the daemon are our children: nobody else waits for them, so their numbers are their own. 0: there is none. */
static pid_t find_engine(const struct keeper *keeper)
{
    char path[PATH_MAX], list[KEEP_FILE_MAX], *rest = NULL;

    snprintf(path, sizeof(path), KEEP_CHILDREN_FILE, (int)getpid());
    if (read_file(path, list) == 0)
        return 0;
    for (char *at = strtok_r(list, " \n", &rest); at != NULL; at = strtok_r(NULL, " \n", &rest)) {
        pid_t pid = (pid_t)strtol(at, NULL, 10);

        if (pid > 0 && is_engine(keeper, pid))
            return pid;
    }
    return 0;
}

/* The engine ends when its application is gone, but may hang over that; the next one cannot start beside it. */
static void keeper_end_engine(const struct keeper *keeper)
{
    uint64_t began_ms = now_ms(), waited_ms = 0;
    pid_t engine = find_engine(keeper);

    while (engine > 0 && waited_ms < KEEP_KILLED_MS && waitpid(engine, NULL, WNOHANG) == 0) {
        if (waited_ms >= KEEP_ENGINE_MS)
            kill(engine, SIGKILL);
        usleep(KEEP_NAP_MS * 1000);
        waited_ms = now_ms() - began_ms;
    }
}

/* --- its lives ------------------------------------------------------------------------------------------ */

int main_kept(long keeper)
{
    prctl(PR_SET_NAME, KEEP_DAEMON_NAME); /* started as /proc/self/exe */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return getppid() == (pid_t)keeper ? 0 : -1;
}

static int spawn_attributes(posix_spawnattr_t *attr, const sigset_t *mask)
{
    int rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK);

    return rc != 0 ? rc : posix_spawnattr_setsigmask(attr, mask);
}

/* The same program with the same words, and with whose child it is. */
static int start_daemon(const struct keeper *keeper, pid_t *child, struct hm_error *error)
{
    const char *words[KEEP_WORDS_MAX + 3];
    posix_spawnattr_t attr;
    size_t count = 0;
    char self[16];

    snprintf(self, sizeof(self), "%d", (int)getpid());
    words[count++] = keeper->argv[0];
    words[count++] = "--kept-by";
    words[count++] = self;
    for (char **at = keeper->argv + 1; *at != NULL; at++) {
        if (count == KEEP_WORDS_MAX + 2)
            return hm_fail(error, HM_ELIMIT, "--keep goes with at most %d words", KEEP_WORDS_MAX);
        words[count++] = *at;
    }
    words[count] = NULL;
    int rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = spawn_attributes(&attr, &keeper->before);
        if (rc == 0)
            rc = posix_spawn(child, KEEP_PROGRAM, NULL, &attr, (char *const *)(uintptr_t)words,
                             environ);
        posix_spawnattr_destroy(&attr);
    }
    if (rc == 0)
        return 0;
    errno = rc;
    return hm_fail_errno(error, HM_EIO, "cannot start the daemon");
}

/* Until the child has ended; its orphans are waited for, too. */
static int watch(struct keeper *keeper, pid_t child)
{
    int status = 0;

    for (;;) {
        int number = sigwaitinfo(&keeper->signals, NULL);
        pid_t ended;

        if (number == SIGTERM || number == SIGINT) {
            keeper->told = true;
            kill(child, SIGTERM);
        }
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == child)
                return status;
    }
}

/* False: told to end. */
static bool wait_pause(struct keeper *keeper)
{
    uint64_t end_ms = now_ms() + keeper->keep.pause_ms;

    for (;;) {
        uint64_t now = now_ms(), left = now < end_ms ? end_ms - now : 0;
        const struct timespec most = {.tv_sec = (time_t)(left / 1000),
                                      .tv_nsec = (long)(left % 1000) * 1000000};
        int number = sigtimedwait(&keeper->signals, NULL, &most);

        if (number == SIGTERM || number == SIGINT)
            return false;
        if (number == SIGHUP) { /* somebody has mended it, and waits */
            keeper->keep = (struct node_keep){0};
            return true;
        }
        while (number == SIGCHLD && waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (number < 0 && errno == EAGAIN)
            return true;
    }
}

/* False: that was its last life. */
static bool goes_on(struct keeper *keeper, int status, uint64_t lived_ms)
{
    char how[NODE_KEEP_HOW_BYTES];
    enum node_keep_next next = node_keep_ended(&keeper->keep, status, lived_ms);

    if (next == NODE_KEEP_DONE)
        return false;
    node_keep_how(status, how);
    keeper_note(keeper, how);
    if (keeper->told)
        return false;
    if (next == NODE_KEEP_GIVES_UP && keeper->keep.quick >= NODE_KEEP_QUICK_MAX)
        hm_log(HM_LOG_ERROR, "keep",
               "the daemon ended with %s%s, for the %u. time within %u s of its start: it is not "
               "started again. Mend what the lines above say, then start it (nexus up, nexus "
               "cluster start)",
               how, node_keep_why(status), keeper->keep.quick,
               (unsigned)(NODE_KEEP_SETTLED_MS / 1000));
    else if (next == NODE_KEEP_GIVES_UP)
        hm_log(HM_LOG_ERROR, "keep",
               "the daemon ended with %s %s: it is not started again. Mend what the lines above "
               "say, then start it (nexus up, nexus cluster start)",
               how,
               keeper->keep.ran ? "and says that its options are wrong"
                                : "within a minute of its first start");
    else
        hm_log(HM_LOG_WARN, "keep",
               "the daemon ended with %s%s after %llu s; it is started again in %llu ms", how,
               node_keep_why(status), (unsigned long long)(lived_ms / 1000),
               (unsigned long long)keeper->keep.pause_ms);
    return next == NODE_KEEP_AGAIN;
}

static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* One that could not be started, for want of memory perhaps, counts as one that says so by itself. */
static int live(struct keeper *keeper)
{
    struct hm_error error = {0};
    pid_t child;

    if (start_daemon(keeper, &child, &error) == 0) {
        keeper_note(keeper, "");
        return watch(keeper, child);
    }
    hm_log(HM_LOG_ERROR, "keep", "%s", error.text);
    return KEEP_NOT_STARTED;
}

/* The exit status. */
static int keeper_run(struct keeper *keeper)
{
    for (;;) {
        uint64_t began_ms = now_ms();
        int status = live(keeper);
        bool again = goes_on(keeper, status, now_ms() - began_ms);

        if (!again)
            hm_fd_release(&keeper->file); /* from here on another one may be started */
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            keeper_end_engine(keeper);
        if (!again || !wait_pause(keeper))
            return exit_status(status);
    }
}

/* SIGCHLD may be ignored by who started us, and then nobody could be waited for. */
static int keeper_signals(struct keeper *keeper, struct hm_error *error)
{
    sigemptyset(&keeper->signals);
    sigaddset(&keeper->signals, SIGTERM);
    sigaddset(&keeper->signals, SIGINT);
    sigaddset(&keeper->signals, SIGHUP);
    sigaddset(&keeper->signals, SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &keeper->signals, &keeper->before) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot block signals");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot take orphans over");
    return 0;
}

int main_keep(char **argv, const char *data_dir)
{
    struct keeper keeper = {.argv = argv, .data_dir = data_dir, .file = -1};
    struct hm_error error = {0};
    int rc = keeper_open(&keeper, &error);

    if (rc == 0)
        rc = keeper_signals(&keeper, &error);
    if (rc == 0) {
        prctl(PR_SET_NAME, KEEP_PROCESS_NAME);
        rc = keeper_run(&keeper);
    }
    if (rc < 0)
        hm_log(HM_LOG_ERROR, "keep", "%s", error.text);
    hm_fd_release(&keeper.file);
    return rc < 0 ? EXIT_FAILURE : rc;
}
