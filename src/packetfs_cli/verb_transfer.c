#include "verb_transfer.h"

#define TIMEOUT_MAX_S 3600

static void show_json(const struct cli_call *call, const struct packetfs_transfer_result *result)
{
    cli_json_open('{');
    cli_json_pair("snapshots", result->snapshots);
    cli_json_pair("references", result->references);
    cli_json_pair("patterns", result->patterns);
    cli_json_pair("deltas", result->deltas);
    cli_json_pair("bytes_plain", result->bytes_plain);
    cli_json_pair("bytes_sent", result->bytes_sent);
    cli_json_pair("bytes_received", result->bytes_received);
    cli_json_pair("round_trips", result->round_trips);
    cli_json_findings(call);
    cli_json_close();
}

static void show_text(const struct packetfs_transfer_result *result)
{
    char plain[CLI_SHOW_BYTES], sent[CLI_SHOW_BYTES], received[CLI_SHOW_BYTES];

    if (result->snapshots == 0)
        (void)printf("nothing new");
    else
        (void)printf("%llu snapshot%s, %llu objects, %s", (unsigned long long)result->snapshots,
                     result->snapshots == 1 ? "" : "s",
                     (unsigned long long)(result->references + result->patterns),
                     cli_show_size(result->bytes_plain, plain));
    (void)printf("; on the wire %s sent, %s received, %llu round trips\n",
                 cli_show_size(result->bytes_sent, sent),
                 cli_show_size(result->bytes_received, received),
                 (unsigned long long)result->round_trips);
}

int cli_transfer(struct cli_call *call, cli_transfer_call how, bool receives)
{
    struct packetfs_transfer_options options = {.remote = cli_operand(call, 0),
                                                .label = cli_value(call, "label"),
                                                .newest_only = cli_has(call, "newest")};
    struct packetfs_transfer_result result = {0};
    uint64_t timeout_s = 0;
    int rc = cli_number(call, "timeout", TIMEOUT_MAX_S, &timeout_s);

    options.timeout_ms = (unsigned)timeout_s * 1000;
    if (receives)
        options.accept_rollback = cli_has(call, "accept-rollback");
    if (rc == 0)
        rc = cli_volume(call, false);
    if (rc != 0)
        return rc;
    rc = how(call->volume, &options, cli_watch(call), &result, &call->error);
    cli_watch_end(call);
    if (rc != 0)
        return rc;
    if (call->json)
        show_json(call, &result);
    else
        show_text(&result);
    return 0;
}
