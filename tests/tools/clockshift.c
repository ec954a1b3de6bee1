/* clockshift: runs a program whose wall clock is wrong, also one without libc (Go).
 *
 *     clockshift SHIFT_MS[@FILE] PROGRAM [ARGUMENT...]        e.g. clockshift -30000 cometbft start --home DIR
 *
 * The program and every program it starts read CLOCK_REALTIME (and its coarse form, CLOCK_TAI, gettimeofday, time)
 * SHIFT_MS milliseconds off, with @FILE only as long as that file exists; CLOCK_MONOTONIC is left alone. Needs no root. Ends with the program's exit status (128 + signal
 * when one ended it), passes SIGTERM, SIGINT and SIGHUP on, and the program is killed when clockshift is.
 *
 * How: readings of the clock are usually no system calls, since the kernel maps code for them (the vDSO) and tells its
 * address at exec. So at each exec the new program is traced for the moment until its first instruction, and that address is
 * taken from the list the kernel left on its stack; what then is a system call is answered here by way of a seccomp filter
 * (about 4 us each). What is not shifted: waiting until an absolute time of the wall clock (clock_nanosleep, timerfd, a
 * condition variable that is not set to the monotonic clock), times of files, time in messages of the kernel. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

#define CHILD_WORD       "--child" /* first argument of this program's second self */
#define SHIFT_MAX_MS     (INT64_C(100) * 365 * 86400 * 1000)
#define AUXV_MAX_WORDS   (1U << 20) /* arguments, environment and the list together */
#define EXIT_NOT_STARTED 127

#if defined(__x86_64__)
#define ARCHITECTURE    AUDIT_ARCH_X86_64
#define STACK_OF(state) ((state).rsp)
#elif defined(__aarch64__)
#define ARCHITECTURE    AUDIT_ARCH_AARCH64
#define STACK_OF(state) ((state).sp)
#else
#error "clockshift knows x86-64 and 64-bit Arm only"
#endif

extern char **environ;

/* --- the second self: puts the filter on and becomes the program -------------------------------------- */

static int descriptor_send(int socket, int fd)
{
    char byte = 0;
    struct iovec piece = {&byte, 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};

    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

static int descriptor_receive(int socket)
{
    char byte;
    struct iovec piece = {&byte, 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int fd;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
        control.head.cmsg_len != CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

#define LOAD(what)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define IF_EQUAL(k, y) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (y), 0)
#define ANSWER(what)   BPF_STMT(BPF_RET | BPF_K, (what))
#define LOW_HALF       (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4)

/* exec, and the clocks of real time, ask this program; all else goes through. */
static int filter_put(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        IF_EQUAL(ARCHITECTURE, 1),
        ANSWER(SECCOMP_RET_ALLOW),
        LOAD(nr),
        IF_EQUAL(SYS_execve, 10),
        IF_EQUAL(SYS_execveat, 9),
        IF_EQUAL(SYS_gettimeofday, 8),
#if defined(SYS_time)
        IF_EQUAL(SYS_time, 7),
#else
        IF_EQUAL(SYS_gettimeofday, 7),
#endif
        IF_EQUAL(SYS_clock_gettime, 1),
        ANSWER(SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + LOW_HALF),
        IF_EQUAL(CLOCK_REALTIME, 3),
        IF_EQUAL(CLOCK_REALTIME_COARSE, 2),
        IF_EQUAL(CLOCK_TAI, 1),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {HM_COUNT_OF(filter), filter};
    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long fd;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
#ifdef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    /* Since Linux 5.19; without it a signal may make a reading be asked for twice, which harms nothing. */
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                 flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (fd >= 0 || errno != EINVAL)
        return (int)fd;
#endif
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return (int)fd;
}

static int child_main(char **argv)
{
    uint64_t socket;
    sigset_t none;
    int listener;

    if (hm_u64_parse(argv[2], &socket, NULL) != 0 || socket > INT_MAX)
        return EXIT_NOT_STARTED;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if ((listener = filter_put()) < 0 || descriptor_send((int)socket, listener) != 0) {
        perror("clockshift: seccomp");
        return EXIT_NOT_STARTED;
    }
    (void)close(listener);
    (void)close((int)socket);
    (void)execvp(argv[3], argv + 3);
    (void)fprintf(stderr, "clockshift: cannot run %s: %s\n", argv[3], strerror(errno));
    _exit(EXIT_NOT_STARTED); /* traced by now: what a sanitizer does at exit, it cannot */
}

/* --- hiding the vDSO: the task stands at the end of its exec -------------------------------------------- */

static int word_read(pid_t task, uint64_t at, uint64_t *out)
{
    long value;

    errno = 0;
    value = ptrace(PTRACE_PEEKDATA, task, (void *)(uintptr_t)at, NULL);
    if (value == -1 && errno != 0)
        return -1;
    *out = (uint64_t)value;
    return 0;
}

/* The stack of a new program: argc, argv, NULL, environment, NULL, pairs of (type, value). */
static int vdso_hide(pid_t task)
{
    struct user_regs_struct state;
    struct iovec into = {&state, sizeof state};
    uint64_t at, word, left = AUXV_MAX_WORDS;

    if (ptrace(PTRACE_GETREGSET, task, (void *)NT_PRSTATUS, &into) != 0)
        return -1;
    at = STACK_OF(state);
    if (word_read(task, at, &word) != 0 || word > AUXV_MAX_WORDS)
        return -1;
    at += 8 * (word + 2);
    do {
        if (word_read(task, at, &word) != 0 || left-- == 0)
            return -1;
        at += 8;
    } while (word != 0);
    for (; left > 0; left--, at += 16) {
        if (word_read(task, at, &word) != 0)
            return -1;
        if (word == AT_NULL)
            return 0;
        if (word == AT_SYSINFO_EHDR)
            return (int)ptrace(PTRACE_POKEDATA, task, (void *)(uintptr_t)at,
                               (void *)(uintptr_t)AT_IGNORE);
    }
    return -1;
}

/* A traced task stopped. It is let go after its exec; until then (an exec may fail, and be tried elsewhere) it goes on
 * as if nobody looked. */
static void task_stopped(pid_t task, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;

    if (event == PTRACE_EVENT_EXEC) {
        if (vdso_hide(task) != 0)
            (void)fprintf(stderr, "clockshift: process %d may read the true time\n", (int)task);
        (void)ptrace(PTRACE_DETACH, task, NULL, NULL);
    } else if (event == PTRACE_EVENT_STOP &&
               (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)) {
        (void)ptrace(PTRACE_LISTEN, task, NULL, NULL);
    } else {
        (void)ptrace(PTRACE_CONT, task, NULL, (void *)(intptr_t)(event == 0 ? signal : 0));
    }
}

/* --- answering ------------------------------------------------------------------------------------------ */

static const char *while_path; /* NULL: always */

static struct timespec shifted(clockid_t clock, int64_t shift_ms)
{
    struct timespec now;
    int64_t ns;

    (void)clock_gettime(clock, &now);
    ns = now.tv_nsec + shift_ms % 1000 * 1000000;
    now.tv_sec += shift_ms / 1000 + (ns >= 1000000000) - (ns < 0);
    now.tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
    return now;
}

static int task_write(pid_t task, uint64_t at, const void *data, size_t len)
{
    struct iovec from = {(void *)(uintptr_t)data, len}, to = {(void *)(uintptr_t)at, len};

    return process_vm_writev(task, &from, 1, &to, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

static void reading_answer(const struct seccomp_notif *asked, int64_t shift_ms,
                           struct seccomp_notif_resp *answer)
{
    const uint64_t *args = (const uint64_t *)asked->data.args;
    pid_t task = (pid_t)asked->pid;
    struct timespec now;

    if (asked->data.nr == SYS_clock_gettime) {
        now = shifted((clockid_t)args[0], shift_ms);
        answer->error = task_write(task, args[1], &now, sizeof now);
        return;
    }
    now = shifted(CLOCK_REALTIME, shift_ms);
    if (asked->data.nr == SYS_gettimeofday) {
        struct timeval value = {now.tv_sec, now.tv_nsec / 1000};
        int zone[2] = {0, 0};
        answer->error = args[0] == 0 ? 0 : task_write(task, args[0], &value, sizeof value);
        if (answer->error == 0 && args[1] != 0)
            answer->error = task_write(task, args[1], zone, sizeof zone);
        return;
    }
    answer->val = now.tv_sec;
    answer->error = args[0] == 0 ? 0 : task_write(task, args[0], &now.tv_sec, sizeof now.tv_sec);
}

/* HM_EIO: nobody asks any more. */
static int question_answer(int listener, int64_t shift_ms)
{
    struct seccomp_notif asked = {0};
    struct seccomp_notif_resp answer = {0};

    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
        return errno == EINTR || errno == ENOENT ? 0 : HM_EIO;
    answer.id = asked.id;
    if (asked.data.nr == SYS_execve || asked.data.nr == SYS_execveat) {
        /* Refused with EPERM where an exec failed before: then it is traced already. */
        (void)ptrace(PTRACE_SEIZE, (pid_t)asked.pid, NULL, (void *)PTRACE_O_TRACEEXEC);
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        bool holds = while_path == NULL || access(while_path, F_OK) == 0;
        reading_answer(&asked, holds ? shift_ms : 0, &answer);
    }
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* ENOENT: it was killed meanwhile */
    return 0;
}

/* --- the loop --------------------------------------------------------------------------------------------- */

/* What ended or stopped. True: the program itself ended, with this status. */
static bool children_look(pid_t program, int *result)
{
    int status;
    pid_t task;

    while ((task = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (WIFSTOPPED(status)) {
            task_stopped(task, status);
        } else if (task == program) {
            *result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return true;
        }
    }
    return false;
}

static void signals_pass(int signals, pid_t program)
{
    struct signalfd_siginfo got;

    if (read(signals, &got, sizeof got) == (ssize_t)sizeof got && got.ssi_signo != SIGCHLD)
        (void)kill(program, (int)got.ssi_signo);
}

static int watch(pid_t program, int listener, int signals, int64_t shift_ms)
{
    struct pollfd polls[] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}};
    int result = EXIT_NOT_STARTED;

    for (;;) {
        if (poll(polls, HM_COUNT_OF(polls), -1) < 0 && errno != EINTR)
            return result;
        if (polls[1].revents & POLLIN)
            signals_pass(signals, program);
        if (children_look(program, &result))
            return result;
        if (polls[0].revents & POLLIN)
            (void)question_answer(listener, shift_ms);
        else if (polls[0].revents != 0)
            polls[0].fd = -1; /* the last of them ended: only its status is to come */
    }
}

static int shift_parse(char *text, int64_t *out)
{
    bool negative = text[0] == '-';
    char *at = strchr(text, '@');
    uint64_t value;

    if (at != NULL) {
        *at = '\0';
        while_path = at + 1;
    }
    if (hm_u64_parse(text + (negative || text[0] == '+'), &value, NULL) != 0 ||
        value > (uint64_t)SHIFT_MAX_MS)
        return HM_EINVAL;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return 0;
}

static int program_start(int argc, char **argv, int socket, pid_t *out)
{
    char number[16], word[] = CHILD_WORD;
    char **child = hm_calloc((size_t)argc + 2, sizeof *child);
    int status;

    if (child == NULL)
        return ENOMEM;
    (void)snprintf(number, sizeof number, "%d", socket);
    child[0] = argv[0];
    child[1] = word;
    child[2] = number;
    for (int i = 2; i < argc; i++)
        child[i + 1] = argv[i];
    status = posix_spawn(out, "/proc/self/exe", NULL, NULL, child, environ);
    hm_free(child);
    return status;
}

int main(int argc, char **argv)
{
    int64_t shift_ms;
    int sockets[2], listener, signals, status;
    sigset_t passed;
    pid_t program;

    if (argc >= 4 && strcmp(argv[1], CHILD_WORD) == 0)
        return child_main(argv);
    if (argc < 3 || shift_parse(argv[1], &shift_ms) != 0) {
        (void)fprintf(stderr, "say: clockshift SHIFT_MS[@FILE] PROGRAM [ARGUMENT...]\n");
        return EXIT_NOT_STARTED;
    }
    (void)sigemptyset(&passed);
    (void)sigaddset(&passed, SIGCHLD);
    (void)sigaddset(&passed, SIGTERM);
    (void)sigaddset(&passed, SIGINT);
    (void)sigaddset(&passed, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &passed, NULL);
    signals = signalfd(-1, &passed, SFD_CLOEXEC);
    if (signals < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0 ||
        fcntl(sockets[0], F_SETFD, FD_CLOEXEC) != 0) {
        perror("clockshift");
        return EXIT_NOT_STARTED;
    }
    if ((status = program_start(argc, argv, sockets[1], &program)) != 0) {
        (void)fprintf(stderr, "clockshift: cannot start: %s\n", strerror(status));
        return EXIT_NOT_STARTED;
    }
    (void)close(sockets[1]);
    listener = descriptor_receive(sockets[0]);
    (void)close(sockets[0]);
    if (listener < 0) {
        (void)waitpid(program, NULL, 0);
        (void)fprintf(stderr, "clockshift: this kernel or container has no seccomp notification\n");
        return EXIT_NOT_STARTED;
    }
    return watch(program, listener, signals, shift_ms);
}
