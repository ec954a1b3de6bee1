/* Ends the node in order and waits until its process is gone. */
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "nexus_daemon.h"
#include "nexus_verbs.h"

#define END_WAIT_MS 60000

static const struct nexus_option options[] = {
    {.name = "wait", .value = "TIME", .help = "how long to wait until it has ended (60s)"},
};

static int wait_end(struct nexus_call *call, struct nexus_daemon *daemon)
{
    uint64_t wait_ms = END_WAIT_MS;
    int status;
    int rc = nexus_value_ms(call, "wait", &wait_ms);

    if (rc)
        return rc;
    if (wait_ms > INT32_MAX)
        wait_ms = INT32_MAX;
    if (nexus_daemon_ended(daemon, (int)wait_ms, &status))
        return 0;
    call->hint = "it is settling its jobs; nexus down again waits on";
    return hm_fail(&call->error, HM_ETIMEOUT, "the node (process %d) has not ended yet",
                   (int)daemon->pid);
}

static int run(struct nexus_call *call)
{
    struct nexus_daemon daemon = {.pidfd = -1};
    int rc;

    if (call->place.url)
        return nexus_ask(call, "POST", NULL, NULL, "/node/stop");
    rc = nexus_socket_owner(call->place.socket_path, &daemon.pid, &call->error);
    if (rc == HM_ENOTFOUND) {
        nexus_say("no node runs on %s", call->place.data_dir);
        return 0;
    }
    if (rc)
        return rc;
    daemon.pidfd = pidfd_open(daemon.pid, 0);
    rc = nexus_ask(call, "POST", NULL, NULL, "/node/stop");
    if (!rc && daemon.pidfd >= 0)
        rc = wait_end(call, &daemon);
    nexus_daemon_release(&daemon);
    return rc;
}

const struct nexus_verb verb_down = {
    .name = "down",
    .summary = "Stop the node: running jobs are cancelled and settled",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
