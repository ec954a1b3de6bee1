#include "runtime_watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime_procs.h"
#include "runtime_tree.h"

#define NS_PER_MS           UINT64_C(1000000)
#define WATCH_NEVER         UINT64_MAX
#define WATCH_READS_MAX     16 /* of one stream before the others have their turn */
#define WATCH_START_NS      (500 * NS_PER_MS)
#define WATCH_START_STEP_NS (2 * NS_PER_MS)
#define WATCH_STUCK_MS      10000

static uint64_t watch_now(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* The parent of a process: field 4 of /proc/PID/stat, after the name in parentheses. */
static pid_t watch_parent_of(pid_t pid)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char path[64];
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (hm_file_read(path, 4096, &text, NULL) != 0)
        return -1;
    at = strrchr(hm_buf_cstr(&text), ')');
    return at != NULL && strlen(at) > 4 ? (pid_t)strtol(at + 4, NULL, 10) : -1;
}

/* Once the runtime has written its pid file, the container's first process is known. */
static void watch_find_init(struct runtime_watch *watch)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int fd = -1;
    uint64_t pid = 0;

    if (watch->started || hm_file_read(watch->oci->pid, 32, &text, NULL) != 0)
        return;
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (hm_u64_parse(hm_buf_cstr(&text), &pid, NULL) != 0 || pid < 2 || pid > INT32_MAX)
        return;
    watch->started = true;
    watch->init = (pid_t)pid;
    fd = pidfd_open(watch->init, 0);
    /* Still the runtime's child? Else it has ended and the number may be somebody else's. */
    if (fd >= 0 && watch->child->pid > 0 && watch_parent_of(watch->init) == watch->child->pid)
        watch->init_fd = HM_TAKE_FD(fd);
    if (watch->request->started != NULL)
        watch->request->started(watch->request->ctx, (int)watch->init);
    if (watch->stop != RUNTIME_STOP_NONE && watch->init_fd >= 0)
        (void)pidfd_send_signal(watch->init_fd, watch->forced ? SIGKILL : SIGTERM, NULL, 0);
}

static void watch_stop(struct runtime_watch *watch, enum runtime_stop why, bool at_once)
{
    if (watch->stop != RUNTIME_STOP_NONE)
        return;
    watch->stop = why;
    watch->forced = at_once;
    watch->kill_ns = watch_now() + (at_once ? WATCH_STUCK_MS : RUNTIME_STOP_GRACE_MS) * NS_PER_MS;
    if (watch->init_fd >= 0)
        (void)pidfd_send_signal(watch->init_fd, at_once ? SIGKILL : SIGTERM, NULL, 0);
}

/* The grace is over: first the container, and when that does not help the runtime itself. */
static void watch_kill(struct runtime_watch *watch)
{
    if (watch->init_fd >= 0 && !watch->forced) {
        watch->forced = true;
        watch->kill_ns = watch_now() + WATCH_STUCK_MS * NS_PER_MS;
        (void)pidfd_send_signal(watch->init_fd, SIGKILL, NULL, 0);
        return;
    }
    watch->forced = true;
    watch->kill_ns = WATCH_NEVER;
    runtime_child_kill(watch->child);
}

static uint64_t watch_storage(const struct runtime_watch *watch, uint64_t limit, bool *unknown)
{
    uint64_t total = 0;

    *unknown = false;
    for (size_t i = 0; i < watch->folder_count; i++) {
        uint64_t bytes = 0;

        if (runtime_tree_usage(watch->folders[i], limit, &bytes, NULL) != 0)
            *unknown = true;
        total += bytes;
    }
    return total;
}

static void watch_memory(struct runtime_watch *watch)
{
    uint64_t bytes;

    if (watch->memory_bytes == 0 || watch->init_fd < 0)
        return;
    bytes = runtime_procs_memory(watch->init);
    if (bytes > watch->memory_peak)
        watch->memory_peak = bytes;
    if (bytes > watch->memory_bytes)
        watch_stop(watch, RUNTIME_STOP_MEMORY, true);
}

static void watch_look(struct runtime_watch *watch)
{
    uint64_t before = watch_now();
    uint64_t limit = watch->storage_bytes + watch->storage_base;
    uint64_t tick = watch->memory_bytes != 0 ? RUNTIME_WATCH_FAST_TICK_MS : RUNTIME_WATCH_TICK_MS;
    uint64_t took;
    bool unknown;

    watch_memory(watch);
    runtime_cgroup_sample(watch->cgroup);
    /* Trees too deep to measure count as over the limit: nobody needs them. */
    if (watch_storage(watch, limit, &unknown) > limit || unknown)
        watch_stop(watch, RUNTIME_STOP_STORAGE, true);
    took = watch_now() - before;
    /* At most a twentieth of one core, however many files the job has made. */
    tick *= NS_PER_MS;
    watch->next_look_ns = watch_now() + (took * 20 > tick ? took * 20 : tick);
}

/* Reads what is there. *fd becomes -1 at the end of the stream. */
static int watch_pump(struct runtime_watch *watch, int *fd, uint8_t stream, bool *added,
                      struct hm_error *error)
{
    uint8_t step[RUNTIME_LOG_FRAME_MAX_BYTES];

    for (int i = 0; *fd >= 0 && i < WATCH_READS_MAX; i++) {
        ssize_t got = read(*fd, step, sizeof(step));
        int rc;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0) {
            hm_fd_release(fd);
            *fd = -1;
            return 0;
        }
        rc = runtime_log_append(watch->log, stream, step, (size_t)got, error);
        if (rc != 0)
            return rc;
        *added = true;
    }
    return 0;
}

static int watch_pump_both(struct runtime_watch *watch, struct hm_error *error)
{
    bool added = false;
    int rc = watch_pump(watch, &watch->child->out, 1, &added, error);

    if (rc == 0)
        rc = watch_pump(watch, &watch->child->err, 2, &added, error);
    if (added && watch->request->output != NULL)
        watch->request->output(watch->request->ctx, watch->log->bytes);
    return rc;
}

static int watch_timeout(const struct runtime_watch *watch)
{
    uint64_t now = watch_now();
    uint64_t next = watch->next_look_ns;

    if (watch->stop == RUNTIME_STOP_NONE && watch->deadline_ns < next)
        next = watch->deadline_ns;
    if (watch->stop != RUNTIME_STOP_NONE && watch->kill_ns < next)
        next = watch->kill_ns;
    if (!watch->started) {
        /* Nothing tells when the pid file appears but looking (inotify would: closing its descriptor
         * costs 10 ms and more, the kernel waits for a grace period). */
        uint64_t age = now - watch->start_ns;
        uint64_t step = age < WATCH_START_NS ? WATCH_START_STEP_NS : 10 * WATCH_START_STEP_NS;

        next = now + step < next ? now + step : next;
    }
    return next <= now ? 0 : (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void watch_clock(struct runtime_watch *watch)
{
    uint64_t now = watch_now();

    if (watch->stop == RUNTIME_STOP_NONE && now >= watch->deadline_ns)
        watch_stop(watch, RUNTIME_STOP_TIMEOUT, false);
    if (watch->stop == RUNTIME_STOP_NONE && !watch->started &&
        now - watch->start_ns >= watch->start_limit_ms * NS_PER_MS) {
        watch_stop(watch, RUNTIME_STOP_START, true);
        runtime_child_kill(watch->child);
    }
    if (watch->stop != RUNTIME_STOP_NONE && now >= watch->kill_ns)
        watch_kill(watch);
    if (now >= watch->next_look_ns)
        watch_look(watch);
}

static int watch_step(struct runtime_watch *watch, bool *ended, struct hm_error *error)
{
    bool may_cancel = watch->request->cancel_fd >= 0 && watch->stop == RUNTIME_STOP_NONE;
    struct pollfd fds[] = {
        {.fd = watch->child->out, .events = POLLIN},
        {.fd = watch->child->err, .events = POLLIN},
        {.fd = watch->child->pidfd, .events = POLLIN},
        {.fd = may_cancel ? watch->request->cancel_fd : -1, .events = POLLIN},
    };
    int rc = poll(fds, HM_COUNT_OF(fds), watch_timeout(watch));

    if (rc < 0 && errno != EINTR)
        return hm_fail_errno(error, HM_EIO, "cannot watch the job");
    if (rc < 0)
        return 0;
    watch_find_init(watch);
    if (fds[3].revents != 0)
        watch_stop(watch, RUNTIME_STOP_CANCEL, false);
    *ended = fds[2].revents != 0;
    rc = watch_pump_both(watch, error);
    watch_clock(watch);
    return rc;
}

static int watch_loop(struct runtime_watch *watch, struct hm_error *error)
{
    bool ended = false;
    int rc = 0;

    while (!ended && rc == 0)
        rc = watch_step(watch, &ended, error);
    if (rc != 0) {
        /* The log cannot be written any more: the job must not go on unheard. */
        watch_stop(watch, RUNTIME_STOP_CANCEL, true);
        runtime_child_kill(watch->child);
        return rc;
    }
    watch_find_init(watch);
    /* Whatever is left in the pipes; nobody writes any more. */
    while (rc == 0 && (watch->child->out >= 0 || watch->child->err >= 0)) {
        uint64_t before = watch->log->payload;

        rc = watch_pump_both(watch, error);
        if (watch->log->payload == before)
            break;
    }
    return rc;
}

int runtime_watch_run(struct runtime_watch *watch, struct hm_error *error)
{
    bool unknown;
    int rc, waited;

    watch->init_fd = -1;
    watch->start_ns = watch_now();
    watch->deadline_ns = watch->start_ns + watch->timeout_ms * NS_PER_MS;
    watch->kill_ns = WATCH_NEVER;
    watch->next_look_ns = watch->start_ns + RUNTIME_WATCH_FAST_TICK_MS * NS_PER_MS;
    watch->storage_base = watch_storage(watch, WATCH_NEVER, &unknown);
    rc = watch_loop(watch, error);
    watch->wall_ms = (watch_now() - watch->start_ns) / NS_PER_MS;
    waited = runtime_child_wait(watch->child, WATCH_STUCK_MS, &watch->status, &watch->usage,
                                rc == 0 ? error : NULL);
    if (waited == 0 && watch->started && watch->stop == RUNTIME_STOP_NONE &&
        WIFSIGNALED(watch->status)) {
        watch->deserted = true;
        if (watch->init_fd >= 0)
            (void)pidfd_send_signal(watch->init_fd, SIGKILL, NULL, 0);
    }
    runtime_cgroup_sample(watch->cgroup);
    hm_fd_release(&watch->init_fd);
    watch->init_fd = -1;
    return rc != 0 ? rc : waited;
}
