#include "cli.h"

#include <pthread.h>
#include <signal.h>

#define PEERS_MAX 1024

static volatile sig_atomic_t stop;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER; /* events come from any thread */

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static bool goes_on(void *ctx, const struct packetfs_progress *progress)
{
    (void)ctx;
    (void)progress;
    return stop == 0;
}

static void show(const struct cli_call *call, const char *name, const char *text)
{
    (void)pthread_mutex_lock(&line_lock);
    if (call->json) {
        cli_json_open('{');
        cli_json_key(name);
        cli_json_text(text);
        cli_json_close();
    } else {
        (void)printf("%s%s\n", name[0] == 'a' ? "listening at " : "", text);
    }
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&line_lock);
}

static void on_ready(void *ctx, const char *address)
{
    show(ctx, "address", address);
}

static void on_event(void *ctx, const char *sentence)
{
    if (!cli_has(ctx, "quiet"))
        show(ctx, "event", sentence);
}

static int serve_run(struct cli_call *call)
{
    struct packetfs_serve_options options = {.address = cli_operand(call, 0),
                                             .no_push = cli_has(call, "no-push"),
                                             .no_pull = cli_has(call, "no-pull"),
                                             .ready = on_ready,
                                             .event = on_event,
                                             .ctx = call};
    const struct packetfs_watch watch = {.progress = goes_on};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    uint64_t peers = 0;
    int rc = cli_number(call, "peers", PEERS_MAX, &peers);

    if (rc == 0 && options.no_push && options.no_pull)
        return cli_fail(call, PACKETFS_EINVAL,
                        "--no-push and --no-pull together leave nothing to serve");
    if (rc == 0)
        rc = cli_volume(call, options.no_push);
    if (rc != 0)
        return rc;
    options.threads_max = (unsigned)peers;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return packetfs_serve(call->volume, &options, &watch, &call->error);
}

static const struct cli_option serve_options[] = {
    {.name = "no-push", .help = "peers may take snapshots and not bring any"},
    {.name = "no-pull", .help = "peers may bring snapshots and not take any"},
    {.name = "peers", .value = "NUMBER", .help = "so many at a time; default: 64"},
};

const struct cli_verb verb_serve = {
    .name = "serve",
    .operands = "[ADDRESS]",
    .operands_max = 1,
    .summary = "Let other folders of this volume push, pull and sync",
    .text = "ADDRESS: \"[::]:4478\", \"10.0.0.1\", \"127.0.0.1:0\"; none: every address of this "
            "machine, port 4478. Patterns\n"
            "use the two UDP ports after it. Ends at Ctrl-C or SIGTERM. Who lacks the volume's key "
            "gets nothing.",
    .options = serve_options,
    .option_count = HM_COUNT_OF(serve_options),
    .run = serve_run,
};
