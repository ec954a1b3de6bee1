/* Handing over: takes what somebody sends. */
#include <unistd.h>

#include "cli_people.h"

#define TIMEOUT_MAX_S    3600
#define TYPED_CODE_BYTES 128

/* What comes, told before it comes; and the limit. */
struct asked {
    struct cli_call *call;
    uint64_t limit;
    bool too_large;
};

static bool on_offer(void *ctx, uint64_t files, uint64_t folders, uint64_t bytes)
{
    struct asked *asked = ctx;
    char size[CLI_SHOW_BYTES];

    if (!asked->call->json && !cli_has(asked->call, "quiet"))
        cli_say("offered: %llu files and %llu folders, %s", (unsigned long long)files,
                (unsigned long long)folders, cli_show_size(bytes, size));
    asked->too_large = asked->limit > 0 && bytes > asked->limit;
    return !asked->too_large;
}

static int show(const struct cli_call *call, const struct packetfs_receive_result *result)
{
    const struct packetfs_get_result *r = &result->restored;
    char bytes[CLI_SHOW_BYTES], wire[CLI_SHOW_BYTES];

    if (!call->json) {
        (void)printf("%llu files and %llu folders, %s; %llu were there already; %s on the wire\n",
                     (unsigned long long)r->files, (unsigned long long)r->folders,
                     cli_show_size(r->bytes, bytes), (unsigned long long)r->files_same,
                     cli_show_size(result->bytes_received + result->bytes_sent, wire));
        if (r->files_failed > 0)
            (void)printf("%llu files are missing\n", (unsigned long long)r->files_failed);
        return 0;
    }
    cli_json_open('{');
    cli_json_pair("files", r->files);
    cli_json_pair("folders", r->folders);
    cli_json_pair("bytes", r->bytes);
    cli_json_pair("files_same", r->files_same);
    cli_json_pair("files_failed", r->files_failed);
    cli_json_pair("bytes_sent", result->bytes_sent);
    cli_json_pair("bytes_received", result->bytes_received);
    cli_json_findings(call);
    cli_json_close();
    return 0;
}

/* A code that was not given beside the address, where other users of the machine can read it for as long as we run. */
static int code_read(struct cli_call *call, char out[TYPED_CODE_BYTES])
{
    if (isatty(STDIN_FILENO))
        (void)fputs("code: ", stderr);
    if (fgets(out, TYPED_CODE_BYTES, stdin) == NULL)
        return cli_fail(call, PACKETFS_EINVAL,
                        "no code: write CODE@HOST:PORT, or give it on standard input");
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

/* "CODE@HOST:PORT" into the two; copy is what code and remote then point into. */
static int code_find(struct cli_call *call, char *copy, char typed[TYPED_CODE_BYTES],
                     struct packetfs_receive_options *options)
{
    char *at = strchr(copy, '@');

    options->remote = at != NULL ? at + 1 : copy;
    if (cli_has(call, "from"))
        return at != NULL ? cli_fail(call, PACKETFS_EINVAL, "a code or --from, not both") : 0;
    if (at == NULL && strspn(copy, "0123456789") == 4 && copy[4] == '-')
        return cli_fail(call, PACKETFS_EINVAL,
                        "a code alone is not enough, the sender is not looked for: CODE@HOST:PORT");
    options->code = at != NULL ? copy : typed;
    if (at == NULL)
        return code_read(call, typed);
    *at = '\0';
    return 0;
}

static int receive(struct cli_call *call, struct packetfs_receive_options *options)
{
    struct packetfs_receive_result result = {0};
    struct asked asked = {.call = call};
    uint64_t timeout_s = 0;
    int rc = cli_size(call, "limit", UINT64_MAX, &asked.limit);

    if (rc == 0)
        rc = cli_number(call, "timeout", TIMEOUT_MAX_S, &timeout_s);
    if (rc != 0)
        return rc;
    options->timeout_ms = (unsigned)timeout_s * 1000;
    options->accept = on_offer;
    options->ctx = &asked;
    rc = packetfs_receive(options, cli_watch(call), &result, &call->error);
    cli_watch_end(call);
    if (asked.too_large)
        return cli_fail(call, PACKETFS_ELIMIT, "more is offered than --limit allows");
    if (rc == PACKETFS_EEXIST)
        call->hint = "--force replaces what is there and differs; the sender still waits";
    if (rc != 0 && result.restored.files_failed == 0)
        return rc;
    if (rc != 0)
        cli_say("%s", call->error.text);
    if (rc != 0 && call->hint != NULL)
        (void)fprintf(stderr, "hint: %s\n", call->hint);
    (void)show(call, &result);
    return rc == PACKETFS_ECORRUPT ? CLI_EXIT_DAMAGED : rc != 0 ? CLI_EXIT_INCOMPLETE : 0;
}

static int receive_run(struct cli_call *call)
{
    struct packetfs_receive_options options = {.target = cli_value(call, "into"),
                                               .overwrite = cli_has(call, "force"),
                                               .state = cli_value(call, "state")};
    HM_AUTOFREE char *copy = hm_strdup(cli_operand(call, 0));
    char typed[TYPED_CODE_BYTES] = "";
    struct packetfs_identity *identity = NULL;
    struct packetfs_contact *from = NULL;
    int rc;

    if (copy == NULL)
        return cli_no_memory(call);
    if (options.target == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "where to? --into DIR");
    rc = code_find(call, copy, typed, &options);
    if (rc == 0 && options.remote[0] == '\0')
        rc = cli_fail(call, PACKETFS_EINVAL,
                      "from where? CODE@HOST:PORT: the sender is not looked "
                      "for, his address is needed");
    if (rc == 0 && cli_has(call, "from"))
        rc = cli_identity(call, &identity);
    if (rc == 0 && cli_has(call, "from"))
        rc = cli_contact(call, cli_value(call, "from"), &from);
    options.identity = identity;
    options.from = from;
    if (rc == 0)
        rc = receive(call, &options);
    hm_wipe(typed, sizeof(typed));
    packetfs_contact_close(from);
    packetfs_identity_close(identity);
    return rc;
}

static const struct cli_option receive_options[] = {
    {.name = "into", .letter = 't', .value = "DIR", .help = "where to put it", .words = "@folder"},
    {.name = "force", .letter = 'f', .help = "replace what is there and differs"},
    {.name = "from",
     .value = "FILE",
     .help = "no code: the public part of who sends",
     .words = "@file"},
    CLI_IDENTITY_OPTION,
    {.name = "limit", .value = "SIZE", .help = "take nothing larger than this"},
    {.name = "timeout",
     .value = "SECONDS",
     .help = "how long the sender may be silent; default: 60"},
    {.name = "state",
     .value = "DIR",
     .help = "keep what has come here until it is restored; default: in the cache",
     .words = "@folder"},
};

const struct cli_verb verb_receive = {
    .name = "receive",
    .operands = "[CODE@]HOST:PORT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take what another person sends",
    .text =
        "The sender's `packetfs send` prints CODE@HOST:PORT. Without CODE it is asked for, or read "
        "from standard input.\n"
        "Every byte is checked before it is written; nothing is written outside DIR. "
        "Interrupted, the same command goes on.",
    .options = receive_options,
    .option_count = HM_COUNT_OF(receive_options),
    .run = receive_run,
};
