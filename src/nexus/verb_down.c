/* down: the node asked to stop, and waited for. */
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

/* The API first: it is who may stop the node that decides. */
static int stop_and_wait(struct nexus_call *call, const struct nexus_daemon_end *end, bool listens,
                         uint64_t wait_ms)
{
    uint64_t deadline_ms = now_ms() + wait_ms;
    int rc = listens ? nexus_ask(call, "POST", NULL, NULL, "/node/stop") : 0;

    if (rc)
        return rc;
    nexus_daemon_end_tell(end);
    if (call->place.url || (end->pidfds[0] < 0 && end->pidfds[1] < 0))
        rc = wait_silent(call, deadline_ms);
    else
        rc = nexus_daemon_end_wait(end, wait_ms) ? 0 : HM_ETIMEOUT;
    if (!rc)
        nexus_say("the node has stopped");
    return rc ? hm_fail(&call->error, rc, "the node was asked to stop, and is still stopping") : 0;
}

/* found: somebody listens, or will again. */
static int find_node(struct nexus_call *call, struct nexus_daemon_end *end, bool *listens,
                     bool *found)
{
    pid_t keeper = nexus_keeper(call->place.data_dir), pid = 0;
    int rc = nexus_socket_owner(call->place.socket_path, &pid, &call->error);

    if (rc && rc != HM_ENOTFOUND)
        return rc;
    *listens = rc == 0;
    *found = *listens || keeper > 0;
    nexus_daemon_end_watch(end, pid, keeper);
    return 0;
}

static int run_down(struct nexus_call *call)
{
    struct nexus_daemon_end end = {.pidfds = {-1, -1}};
    uint64_t wait_ms = WAIT_DEFAULT_MS;
    bool listens = true, found = true;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (!rc && wait_ms > INT32_MAX)
        rc = hm_fail(&call->error, HM_ERANGE, "--wait: at most 24 days");
    if (!rc && !call->place.url)
        rc = find_node(call, &end, &listens, &found);
    if (!rc && !found)
        nexus_say("no node is running in %s", call->place.data_dir);
    else if (!rc)
        rc = stop_and_wait(call, &end, listens, wait_ms);
    nexus_daemon_end_release(&end);
    return rc;
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
