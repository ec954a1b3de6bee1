/* down: the node asked to stop, and waited for. */
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nexus_call.h"
#include "nexus_daemon.h"
#include "nexus_verbs.h"

#define WAIT_DEFAULT_MS  60000
#define POLL_MS          100
#define PROBE_TIMEOUT_MS 2000

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

/* Over TCP, or with its process in another namespace, silence is the only sign. */
static int wait_silent(struct nexus_call *call, uint64_t deadline_ms)
{
    struct nexus_request request = {
        .method = "GET", .path = "/livez", .timeout_ms = PROBE_TIMEOUT_MS, .wake_fd = -1};

    while (now_ms() < deadline_ms) {
        if (nexus_client_send(call->client, &request, NULL, NULL) == NEXUS_EUNREACHABLE)
            return 0;
        usleep(POLL_MS * 1000);
    }
    return HM_ETIMEOUT;
}

static int wait_process(int pidfd, uint64_t deadline_ms)
{
    struct pollfd watched = {.fd = pidfd, .events = POLLIN};
    int ready;

    do {
        uint64_t now = now_ms();

        ready = poll(&watched, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? 0 : HM_ETIMEOUT;
}

static int stop_and_wait(struct nexus_call *call, int pidfd, uint64_t wait_ms)
{
    uint64_t deadline_ms = now_ms() + wait_ms;
    int rc = nexus_ask(call, "POST", NULL, NULL, "/node/stop");

    if (rc)
        return rc;
    rc = pidfd >= 0 ? wait_process(pidfd, deadline_ms) : wait_silent(call, deadline_ms);
    if (!rc)
        nexus_say("the node has stopped");
    return rc ? hm_fail(&call->error, rc, "the node was asked to stop, and is still stopping") : 0;
}

static int run_down(struct nexus_call *call)
{
    HM_AUTOCLOSE int pidfd = -1;
    uint64_t wait_ms = WAIT_DEFAULT_MS;
    pid_t pid = 0;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (!rc && wait_ms > INT32_MAX)
        rc = hm_fail(&call->error, HM_ERANGE, "--wait: at most 24 days");
    if (rc)
        return rc;
    if (!call->place.url) {
        rc = nexus_socket_owner(call->place.socket_path, &pid, &call->error);
        if (rc == HM_ENOTFOUND) {
            nexus_say("no node is running in %s", call->place.data_dir);
            return 0;
        }
        if (rc)
            return rc;
        pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    }
    return stop_and_wait(call, pidfd, wait_ms);
}

static const struct nexus_option options[] = {
    {.name = "wait", .value = "TIME", .help = "how long to wait for its end; default: 1m"},
};

const struct nexus_verb verb_down = {
    .name = "down",
    .summary = "Stop the node; its jobs are cancelled and settled",
    .text = "Where no node runs there is nothing to do: that is no failure.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_down};
