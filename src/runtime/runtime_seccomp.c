/* An allow list: what ordinary programs need. Left out on purpose, because nothing in a job needs it and
 * much of it has been a way out of sandboxes: mounting, new namespaces, other processes' memory
 * (ptrace, process_vm_*, pidfd_getfd), kernel keys, BPF, perf events, io_uring, userfaultfd, modules,
 * kexec, raw file handles, clocks, swap, quotas, accounting, ports. */
#include "runtime_seccomp.h"

#include "base.h"

#define SECCOMP_ENOSYS        38
#define SECCOMP_EPERM         1
#define SECCOMP_NEW_NAMESPACE 0x7E020000 /* every CLONE_NEW* that clone(2) takes */

static const char *const seccomp_allowed[] = {
    /* files */
    "open", "openat", "openat2", "creat", "close", "close_range", "read", "write", "readv",
    "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
    "sendfile", "copy_file_range", "splice", "tee", "vmsplice", "stat", "fstat", "lstat",
    "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2", "getdents",
    "getdents64", "getcwd", "chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "readlink",
    "readlinkat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown",
    "fchownat", "umask", "truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "sync",
    "fsync", "fdatasync", "syncfs", "sync_file_range", "flock", "fcntl", "ioctl", "dup", "dup2",
    "dup3", "pipe", "pipe2", "mknod", "mknodat", "utime", "utimes", "utimensat", "futimesat",
    "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "setxattr",
    "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "chroot", "cachestat",
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    /* waiting */
    "select", "pselect6", "poll", "ppoll", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "io_setup", "io_destroy", "io_submit",
    "io_cancel", "io_getevents", "io_pgetevents",
    /* memory */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "msync", "mlock", "mlock2",
    "munlock", "mlockall", "munlockall", "memfd_create", "membarrier", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "mseal", "map_shadow_stack", "get_mempolicy", "set_mempolicy", "mbind",
    /* processes and threads */
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
    "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "kill", "tkill",
    "tgkill", "pidfd_open", "pidfd_send_signal", "set_tid_address", "set_robust_list",
    "get_robust_list", "futex", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "rseq",
    "arch_prctl", "prctl", "getpriority", "setpriority", "ioprio_get", "ioprio_set", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
    "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_setattr",
    "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "getcpu",
    "getrlimit", "setrlimit", "prlimit64", "getrusage", "times", "sysinfo", "uname", "capget",
    "capset", "seccomp", "restart_syscall", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self",
    /* users */
    "getuid", "geteuid", "getgid", "getegid", "getgroups", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "getresuid", "getresgid", "setfsuid", "setfsgid",
    "setgroups",
    /* signals and time */
    "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "rt_sigsuspend", "rt_sigreturn", "sigaltstack", "pause", "alarm",
    "setitimer", "getitimer", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres",
    "gettimeofday", "time", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun",
    "timer_delete", "getrandom",
    /* sockets; socket itself has rules of its own below */
    "socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername",
    "getsockopt", "setsockopt", "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg",
    "recvmmsg",
    /* System V and POSIX messages, semaphores, shared memory: in the job's own namespace */
    "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
    "mq_notify", "mq_getsetattr"};

static json_t *seccomp_arg(unsigned index, uint64_t value, uint64_t second, const char *op)
{
    return json_pack("[{s:i, s:I, s:I, s:s}]", "index", (int)index, "value", (json_int_t)value,
                     "valueTwo", (json_int_t)second, "op", op);
}

static json_t *seccomp_rule(const char *name, json_t *args)
{
    return json_pack("{s:[s], s:s, s:o}", "names", name, "action", "SCMP_ACT_ALLOW", "args", args);
}

static int seccomp_special(json_t *rules)
{
    /* The address families of user-mode crypto (38) and of virtual machine sockets (40) reach the host
     * past every namespace. */
    static const uint64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
    int bad = 0;

    bad |= json_array_append_new(rules,
                                 seccomp_rule("socket", seccomp_arg(0, 38, 0, "SCMP_CMP_LT")));
    bad |= json_array_append_new(rules,
                                 seccomp_rule("socket", seccomp_arg(0, 39, 0, "SCMP_CMP_EQ")));
    bad |= json_array_append_new(rules,
                                 seccomp_rule("socket", seccomp_arg(0, 40, 0, "SCMP_CMP_GT")));
    bad |= json_array_append_new(
        rules,
        seccomp_rule("clone", seccomp_arg(0, SECCOMP_NEW_NAMESPACE, 0, "SCMP_CMP_MASKED_EQ")));
    for (size_t i = 0; i < HM_COUNT_OF(personalities); i++)
        bad |= json_array_append_new(
            rules, seccomp_rule("personality", seccomp_arg(0, personalities[i], 0, "SCMP_CMP_EQ")));
    /* Flags of clone3 lie in memory, out of a filter's sight; "no such call" makes C libraries use
     * clone. */
    bad |= json_array_append_new(rules, json_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
                                                  "SCMP_ACT_ERRNO", "errnoRet", SECCOMP_ENOSYS));
    return bad;
}

json_t *runtime_seccomp_profile(void)
{
    json_t *names = json_array();
    json_t *rules = json_array();
    int bad = 0;

    for (size_t i = 0; i < HM_COUNT_OF(seccomp_allowed); i++)
        bad |= json_array_append_new(names, json_string(seccomp_allowed[i]));
    bad |= json_array_append_new(
        rules, json_pack("{s:o, s:s}", "names", names, "action", "SCMP_ACT_ALLOW"));
    bad |= seccomp_special(rules);
    if (bad != 0) {
        json_decref(rules);
        return NULL;
    }
    return json_pack("{s:s, s:i, s:[s,s,s,s], s:o}", "defaultAction", "SCMP_ACT_ERRNO",
                     "defaultErrnoRet", SECCOMP_EPERM, "architectures",
#if defined(__aarch64__)
                     "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_AARCH64",
#else
                     "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64",
#endif
                     "syscalls", rules);
}
